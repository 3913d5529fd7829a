"""What text is the model given? The only place that renders a prompt.

`r1_zero` is the template of the report (v1 p.6, Table 1) shortened to the words of the miniature
world: it asks for the structure only, and says nothing about how to think.
"""

from r1book.problems import Problem
from r1book.world.phrases import TEMPLATES
from r1book.world.vocab import detokenize

REPORT_TEMPLATE = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves "
    "it. The assistant first thinks about the reasoning process in the mind and then provides the "
    "user with the answer. The reasoning process and answer are enclosed within <think> </think> "
    "and <answer> </answer> tags, respectively, i.e., <think> reasoning process here </think> "
    "<answer> answer here </answer>. User: {question}. Assistant:"
)
"""The R1-Zero template in the report's own words, for models that know them (the scale engine)."""


def render(problem: Problem | str, template: str = "r1_zero") -> str:
    """Return the prompt for a problem (or a question as text), ready for the tokenizer.

    `template` is 'r1_zero', 'plain', 'talk' (no tags), 'chat' (special tokens) or 'report' (the
    full text). Raises ValueError on any other name.

    >>> render("what is 3 + 4 - 2?", "plain")
    'question: what is 3 + 4 - 2? answer:'

    Taught in notebook 01.
    """
    question = problem if isinstance(problem, str) else problem.question
    if template == "report":
        return REPORT_TEMPLATE.format(question=question.rstrip(".? "))
    if template not in TEMPLATES:
        raise ValueError(
            f"unknown template {template!r}: expected one of {', '.join((*TEMPLATES, 'report'))}"
        )
    head, tail = detokenize(TEMPLATES[template]).split("{question}")
    return f"{head}{question}{tail}"
