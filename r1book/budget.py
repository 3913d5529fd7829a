"""How much does thinking buy? Answers to the same problems with the thinking cut at a budget.

A thought is sampled once and cut at several places, so that budgets differ in nothing else. What is
left out: drawing (`plots_budget.py`), and making a thought longer than the model wants it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from r1book import measure, prompts, rewards, rollout
from r1book.intervals import Interval, proportion_ci
from r1book.problems import Problem

BUDGETS = (8, 16, 32, 64, 128, 256, 384)
ROWS = 128
"""Thoughts that are sampled together: with more, their keys and values take too much memory."""
CLOSE = " </think> <answer>"
"""What is written after a thought that is cut; the model goes on from there."""


@dataclass(frozen=True)
class Answer:
    """What became of one thought under one budget."""

    problem: int
    """Place of its problem among those given."""
    index: int
    """Which thought about that problem: the same one under every budget."""
    budget: int
    """Tokens of thinking that were allowed, tags included."""
    text: str
    """The whole completion, the closing that was forced on it included."""
    cut: bool
    """Whether the thought was cut; else it ended within the budget and stands as it was."""
    right: bool | None
    """The grader's verdict; None where no rule can judge."""


def answers(
    model,
    tokenizer,
    problems: Sequence[Problem],
    budgets: Sequence[int] = BUDGETS,
    *,
    samples: int = 64,
    seed: int = 0,
    temperature: float = 1.0,
    answer_tokens: int = 24,
) -> list[Answer]:
    """Sample `samples` thoughts about each problem; cut each at every budget and let it answer.

    A thought that is still open after `budget` tokens is cut there and closed with
    `</think> <answer>`; at most `answer_tokens` tokens follow. The order is that of budgets,
    problems, thoughts. Raises ValueError for no problem or budgets that do not rise from 1.

    Taught in notebook 00.
    """
    rising = list(budgets) == sorted({int(b) for b in budgets}) and bool(budgets)
    if not problems or not rising or budgets[0] < 1:
        raise ValueError(
            f"{len(problems)} problems, budgets {list(budgets)}: expected at least one problem, "
            "and budgets in tokens that rise from at least 1"
        )
    generator = torch.Generator(model.cos.device).manual_seed(seed)
    asked = [prompts.render(problem) for problem in problems]
    how = {"temperature": temperature, "generator": generator, "batch": ROWS}
    longest = budgets[-1] + answer_tokens
    thoughts = rollout.sample(
        model, tokenizer, asked, group_size=samples, max_new_tokens=longest, **how
    )
    ends = {tokenizer.convert_tokens_to_ids(tag) for tag in ("</think>", "<answer>")}
    ends.add(tokenizer.eos_token_id)
    texts, cuts = [], []
    for budget in budgets:
        is_open = [ends.isdisjoint(thought.ids[:budget]) for thought in thoughts]
        # <unk> is in no document; a prefix that holds one could not be read again
        starts = [
            tokenizer.decode(t.ids[:budget]).replace("<unk>", "").strip() + CLOSE
            for t, still in zip(thoughts, is_open, strict=True)
            if still
        ]
        ids = [t.group for t, still in zip(thoughts, is_open, strict=True) if still]
        closed = iter(())
        if starts:
            closed = iter(
                rollout.sample(
                    model, tokenizer, [asked[i] for i in ids], prefixes=starts,
                    max_new_tokens=answer_tokens, **how,
                )
            )  # fmt: skip
        heads = iter(starts)
        cuts += is_open
        texts += [
            f"{next(heads)} {next(closed).text}" if still else thought.text
            for thought, still in zip(thoughts, is_open, strict=True)
        ]
    each = len(thoughts)
    verdicts = rewards.accuracies(
        [(text, problems[thoughts[i % each].group]) for i, text in enumerate(texts)]
    )
    return [
        Answer(
            problem=thoughts[i % each].group,
            index=thoughts[i % each].index,
            budget=budgets[i // each],
            text=text,
            cut=cut,
            right=None if verdict is None else verdict.total == 1,
        )
        for i, (text, cut, verdict) in enumerate(zip(texts, cuts, verdicts, strict=True))
    ]


def shares(found: Sequence[Answer]) -> dict[int, Interval]:
    """Return {budget: share of right answers with its 95 % interval}; what no rule judges is out.

    One problem: the unit is the answer (Wilson). Several: the unit is the problem, because answers
    to one problem share its difficulty. Raises ValueError where nothing was judged.

    >>> tries = [Answer(0, i, 8, "", True, right) for i, right in enumerate((True, False))]
    >>> shares(tries)[8].mean
    0.5

    Taught in notebook 00.
    """
    out = {}
    for budget in sorted({answer.budget for answer in found}):
        table: dict[str, list[bool]] = {}
        for answer in found:
            if answer.budget == budget and answer.right is not None:
                table.setdefault(str(answer.problem), []).append(answer.right)
        if len(table) == 1:
            verdicts = next(iter(table.values()))
            out[budget] = proportion_ci(sum(verdicts), len(verdicts))
        else:
            out[budget] = measure.accuracy_ci(table)
    if not out:
        raise ValueError("no answers: give those of `answers`")
    return out
