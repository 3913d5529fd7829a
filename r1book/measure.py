"""What do traces show? Accuracy, votes, reflection, switches of language, lengths, styles.

Pure functions of traces and plain lists. Left out: sampling new answers, the verdicts on claims
(`claims.py`), pictures (`plots.py`).
"""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from r1book.acts import contingency
from r1book.acts import count as act_rate
from r1book.acts import read as read_acts
from r1book.intervals import (
    Interval,
    holm,
    mean_ci,
    nested_ci,
    not_worse,
    proportion_ci,
    sign_flip,
)
from r1book.trace import Trace
from r1book.words import language_share, reflection, switches, think

__all__ = [  # words, acts and intervals are reached from here too: chapters import measure.*
    "Interval",
    "StyleSplit",
    "accuracy_ci",
    "act_rate",
    "by_problem",
    "by_style",
    "contingency",
    "holm",
    "language_share",
    "lengths",
    "level",
    "maj_at_k",
    "majority",
    "mean_ci",
    "nested_ci",
    "not_worse",
    "outcome",
    "pass_at_k",
    "proportion_ci",
    "read_acts",
    "reflection",
    "reflection_rate",
    "right",
    "sign_flip",
    "style_split",
    "switch_rate",
    "switches",
    "think",
    "verified",
]

# ---- accuracy and votes --------------------------------------------------------------------------


def right(trace: Trace) -> bool | None:
    """Whether the answer is right; None where nobody could judge. Taught in notebook 01."""
    value = trace.parts.get("accuracy")
    return None if value is None else value >= 1.0


def verified(trace: Trace) -> bool:
    """Whether the answer is right and was worked out: at least one step, and no false one.

    A lucky guess is right, too, and in many tries there will be one. Taught in notebook 04.
    """
    if not right(trace):
        return False
    steps = read_acts(trace.completion).steps
    return bool(steps) and all(step.true is not False for step in steps)


def by_problem(traces: Iterable[Trace]) -> dict[str, list[bool]]:
    """Right or wrong of every judged answer, by problem id. Taught in notebook 04."""
    table: dict[str, list[bool]] = {}
    for trace in traces:
        if (verdict := right(trace)) is not None:
            table.setdefault(trace.problem["id"], []).append(verdict)
    return table


def pass_at_k(n: int, c: int, k: int) -> float:
    """Unbiased chance that at least one of k answers is right, c of n samples being right.

    1 - C(n-c, k) / C(n, k); Chen et al. 2021, arXiv:2107.03374, Eq. 1. Raises ValueError unless
    0 <= c <= n and 1 <= k <= n.

    >>> pass_at_k(4, 1, 2)
    0.5

    Taught in notebook 04.
    """
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"pass@k needs 0 <= c <= n and 1 <= k <= n, got n={n}, c={c}, k={k}")
    return 1 - math.comb(n - c, k) / math.comb(n, k)


def majority(answers: Sequence[str | None]) -> list[str]:
    """The answers with most votes, in the order of their first appearance: several where they tie.

    None (no answer could be read) has no vote. Empty when nobody voted.

    >>> majority(["7", "8", None, "8", "7"])
    ['7', '8']

    Taught in notebook 04.
    """
    votes = Counter(a for a in answers if a is not None)
    most = max(votes.values(), default=0)
    return [a for a, n in votes.items() if n == most]


def maj_at_k(answers: Sequence[str | None], correct: Sequence[bool], k: int | None = None) -> float:
    """Expected accuracy of the majority vote among k answers to one problem, counted exactly.

    Every choice of k of the n answers is equally likely; a tie is broken by a fair draw among the
    answers that tie; None has no vote, and a vote in which nobody votes is wrong. correct: for each
    answer whether it is right. k: default all. Raises ValueError for a k out of range or one answer
    judged both right and wrong.

    >>> maj_at_k(["7", "8", "8"], [True, False, False], k=1) == 1 / 3
    True

    Taught in notebook 04.
    """
    n = len(answers)
    k = n if k is None else k
    if len(correct) != n or not 1 <= k <= n:
        raise ValueError(f"maj@k needs one verdict an answer and 1 <= k <= n, got n={n}, k={k}")
    votes = Counter(a for a in answers if a is not None)
    verdict: dict[str, bool] = {}
    for answer, ok in zip(answers, correct, strict=True):
        if answer is not None and verdict.setdefault(answer, bool(ok)) != bool(ok):
            raise ValueError(f"{answer!r} is judged right and wrong: compare canonical answers")
    favourable = 0.0  # in choices of k answers
    # right answers with equally many votes have equal chances, so one of them stands for all
    for own, times in Counter(votes[a] for a in votes if verdict[a]).items():
        rivals = list(votes.values())
        rivals.remove(own)
        favourable += times * _winning(own, rivals, answers.count(None), k)
    return favourable / math.comb(n, k)


def _winning(own: int, rivals: list[int], blank: int, k: int) -> float:
    """In how many choices of k an answer with `own` votes wins, a t-fold tie counting 1/t."""
    total = 0.0
    for m in range(1, min(own, k) + 1):  # m of its votes are chosen; no rival may have more
        # rivals with fewer than m votes cannot tie: they and the blanks are one heap to choose from
        heap = blank + sum(r for r in rivals if r < m)
        ways = {
            (0, 1): 1
        }  # (votes chosen from the strong rivals, answers that stand at m) -> choices
        for r in (r for r in rivals if r >= m):
            new: dict[tuple[int, int], int] = {}
            for (used, tied), count in ways.items():
                for i in range(min(m, k - m - used) + 1):
                    key = (used + i, tied + (i == m))
                    new[key] = new.get(key, 0) + count * math.comb(r, i)
            ways = new
        for (used, tied), count in ways.items():
            total += math.comb(own, m) * count * math.comb(heap, k - m - used) / tied
    return total


def accuracy_ci(table: Mapping[str, Sequence[bool]], level: float = 0.95) -> Interval:
    """pass@1 over problems, with an interval whose unit is the problem, not the sample.

    table: see `by_problem`. A problem's samples share its difficulty; taking them as independent
    makes the interval far too small. Raises ValueError for an empty table. Taught in notebook 04.
    """
    rates = [statistics.fmean(map(float, verdicts)) for verdicts in table.values() if verdicts]
    if not rates:
        raise ValueError("no judged answer: an accuracy needs at least one problem")
    if len(set(rates)) == 1:  # no spread to estimate from: 8 of 8 problems solved is not certainty
        return proportion_ci(rates[0] * len(rates), len(rates), level)
    interval = mean_ci(rates, level)
    return Interval(interval.mean, max(0.0, interval.low), min(1.0, interval.high), len(rates))


def reflection_rate(traces: Sequence[Trace]) -> dict:
    """Reflection words in the thinking of some answers.

    {"per_answer", "per_token" (over all completion tokens), "share" (of answers with one at least),
    "words": {word: per answer}}. The count an answer grows with its length; only the rate per token
    can tell more reflection from more of everything (the report does not say which one it plots).
    Raises ValueError for no traces. Taught in notebook 03.
    """
    if not traces:
        raise ValueError("reflection needs at least one trace, got none")
    counts = [reflection(think(t.completion)) for t in traces]
    words = sum(counts, Counter())
    tokens = sum(t.tokens for t in traces)
    return {
        "per_answer": words.total() / len(traces),
        "per_token": words.total() / tokens if tokens else 0.0,
        "share": sum(map(bool, counts)) / len(traces),
        "words": {word: n / len(traces) for word, n in words.most_common()},
    }


def switch_rate(traces: Sequence[Trace]) -> dict[str, float]:
    """Changes of language between consecutive words of the thinking, see `words.switches`.

    {"per_answer", "per_token" (over all completion tokens), "share" (of answers with one at
    least)}. Raises ValueError for no traces. Taught in notebook 03.
    """
    if not traces:
        raise ValueError("switches of language need at least one trace, got none")
    counts = [switches(t.completion) for t in traces]
    tokens = sum(t.tokens for t in traces)
    return {
        "per_answer": statistics.fmean(counts),
        "per_token": sum(counts) / tokens if tokens else 0.0,
        "share": sum(map(bool, counts)) / len(traces),
    }


# ---- lengths and styles --------------------------------------------------------------------------


def level(trace: Trace) -> int:
    """The level of difficulty of its problem, 1-5."""
    return trace.problem["level"]


def outcome(trace: Trace) -> str:
    """ "right", "wrong" or "unjudged"."""
    return {True: "right", False: "wrong", None: "unjudged"}[right(trace)]


def lengths(traces: Iterable[Trace], by: Callable[[Trace], object] = level) -> dict:
    """Completion tokens by level, outcome or any other label of a trace.

    {label: {"n", "mean", "median", "max", "truncated" (share cut at the limit)}}, labels in order.
    A cut answer has the length of the limit, so means with many of them are too low.

    Taught in notebook 03.
    """
    groups: dict = {}
    for trace in traces:
        groups.setdefault(by(trace), []).append(trace)
    return {
        label: {
            "n": len(group),
            "mean": statistics.fmean(t.tokens for t in group),
            "median": statistics.median(t.tokens for t in group),
            "max": max(t.tokens for t in group),
            "truncated": sum(t.finish == "length" for t in group) / len(group),
        }
        for label, group in sorted(groups.items())
    }


@dataclass(frozen=True)
class StyleSplit:
    """A gain in accuracy, split in two parts that add up to it."""

    gain: float
    """Accuracy after minus accuracy before."""
    reweighting: float
    """Part due to writing good styles more often."""
    within: float
    """Part due to being right more often in the same style."""


def by_style(traces: Iterable[Trace], style: Callable[[Trace], str]) -> dict[str, tuple[int, int]]:
    """(answers, right ones) of each style among judged traces; style gives a trace its label."""
    table: dict[str, tuple[int, int]] = {}
    for trace in traces:
        if (verdict := right(trace)) is not None:
            n, hits = table.get(label := style(trace), (0, 0))
            table[label] = (n + 1, hits + verdict)
    return table


def style_split(
    base: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]]
) -> StyleSplit:
    """Split a gain into re-weighting of styles and gain within styles (Kitagawa 1955).

    base, after: {style: (answers, right ones)}, see `by_style`. Shares are weighted by the mean of
    both accuracies and accuracies by the mean of both shares, so that the parts add up exactly. A
    style that is absent on one side has no accuracy there; the other side's is used, and all that
    it brings counts as re-weighting. Raises ValueError when a side is empty or has more right ones
    than answers.

    >>> style_split({"direct": (1, 0), "steps": (1, 1)}, {"steps": (2, 2)}).reweighting
    0.5

    Taught in notebook 01.
    """
    for name, table in (("base", base), ("after", after)):
        if not sum(n for n, _ in table.values()) or any(not 0 <= c <= n for n, c in table.values()):
            raise ValueError(f"{name} needs answers, right ones at most as many: got {dict(table)}")
    totals = [sum(n for n, _ in table.values()) for table in (base, after)]
    reweighting = within = 0.0
    for style in sorted({*base, *after}):
        (n0, c0), (n1, c1) = base.get(style, (0, 0)), after.get(style, (0, 0))
        if not n0 + n1:
            continue
        share0, share1 = n0 / totals[0], n1 / totals[1]
        accuracy0 = c0 / n0 if n0 else c1 / n1
        accuracy1 = c1 / n1 if n1 else c0 / n0
        reweighting += (share1 - share0) * (accuracy0 + accuracy1) / 2
        within += (accuracy1 - accuracy0) * (share0 + share1) / 2
    before, now = (
        sum(c for _, c in t.values()) / n for t, n in zip((base, after), totals, strict=True)
    )
    return StyleSplit(now - before, reweighting, within)
