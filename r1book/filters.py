"""Which sampled answers are worth training on? Filters with names, and the toll of each.

The report keeps right and readable answers for its cold start (v2 B.3.2) and, of Dev2's, right ones
without mixed languages, long paragraphs and code blocks (v1 p.11). Text and problem in, reasons
out. Leaves out who decides what is right: a rule, or the judge (`curate.py`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from r1book import rewards, words
from r1book.problems import Problem
from r1book.world.vocab import split_words

MAX_REPEATED = 0.2
"""Largest share of the thinking's runs of ten tokens that came before in it."""
MAX_TOKENS = 260
"""Longest answer of a cold start, in tokens."""
MAX_PARAGRAPH = 200
"""Longest paragraph of a thinking, in tokens: it ends at a line break."""


def form(text: str, problem: Problem) -> bool:
    """Whether thinking and answer are tagged, and nothing else is there."""
    return rewards.format(text).total == 1


def mixed(text: str, problem: Problem) -> bool:
    """Whether the thinking is in the language of the question, wholly."""
    return words.language_share(text, problem.lang) in (None, 1.0)


def repetition(text: str, problem: Problem) -> bool:
    """Whether the thinking says little twice (`repeated`)."""
    return repeated(words.think(text)) <= MAX_REPEATED


def length(text: str, problem: Problem) -> bool:
    """Whether the answer is short enough to be read."""
    return len(split_words(text)) <= MAX_TOKENS


def paragraphs(text: str, problem: Problem) -> bool:
    """Whether no paragraph of the thinking is too long."""
    parts = words.think(text).split("\n")
    return max(len(split_words(part)) for part in parts) <= MAX_PARAGRAPH


def code_blocks(text: str, problem: Problem) -> bool:
    """Whether the thinking holds no fenced code."""
    return "```" not in words.think(text)


FILTERS: dict[str, Callable[[str, Problem], bool]] = {
    "form": form,
    "mixed language": mixed,
    "repetition": repetition,
    "length": length,
    "long paragraphs": paragraphs,
    "code blocks": code_blocks,
}
"""Filter -> whether an answer passes it."""
COLD_START = ("form", "mixed language", "repetition", "length")
REJECTION = ("form", "mixed language", "long paragraphs", "code blocks")


def repeated(text: str, n: int = 10) -> float:
    """Return the share of the runs of n tokens that came before in the text, 0 without any.

    >>> repeated("a b a b a b", n=2)
    0.6
    """
    tokens = split_words(text)
    runs = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def stopped_by(text: str, problem: Problem, names: Sequence[str]) -> str | None:
    """Return the first filter of `names` that an answer does not pass, None when it passes all.

    Raises ValueError on an unknown name.
    """
    for name in names:
        if name not in FILTERS:
            raise ValueError(f"no filter {name!r}: expected some of {', '.join(FILTERS)}")
        if not FILTERS[name](text, problem):
            return name
    return None


def toll(stopped: Iterable[str | None], names: Sequence[str]) -> dict[str, int]:
    """Return {"sampled", "wrong", each filter, "kept"} of what stopped each answer, in order and
    with zeros; None is kept. Taught in notebook 06.

    >>> toll(["wrong", None, "form"], ["form", "length"])
    {'sampled': 3, 'wrong': 1, 'form': 1, 'length': 0, 'kept': 1}
    """
    seen = Counter(stopped)
    return {
        "sampled": sum(seen.values()),
        **{name: seen[name] for name in ("wrong", *names)},
        "kept": seen[None],
    }
