"""Is this run well, and if not, what is wrong and what should be done? A diagnosis in words.

Takes the lines of `metrics.jsonl` and, where there are some, traces; works after a few steps and at
the end. Left out: the wording of the advice (`remedies.py`), pictures (`plots.py`), the rule that
stops a run.
"""

import itertools
import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from r1book.remedies import REMEDIES
from r1book.trace import Trace

MIN_STEPS = 3
"""Fewer steps say nothing: one odd batch would be a diagnosis."""
TREND_STEPS = 20
"""Steps from which a fall is told from noise; before, only what is plain from the start is said."""
TIED = 0.9
"""Share of tied groups that leaves no signal: at 8 prompts a step, not one group teaches."""
ZERO, ONE = 0.01, 0.98
"""Never right, always right: at 128 answers a step, 0.01 is one of them."""
TRUNCATED_WARN, TRUNCATED_STOP = 0.3, 0.7
"""Share of cut answers: some belong to any base; from a third on the limit decides the rewards."""
NO_ROOM = 0.8
"""Mean length against the limit: beyond it, every answer longer than usual is cut."""
FALL_SHARE, FALL_LEAST, FALL_NOISE = 0.25, 0.1, 4.0
"""A collapse loses a quarter of the peak, ten points, and four standard errors, all three. The peak
is the largest of many noisy values, so even a steady run ends two or three errors below it."""
SHORT_SHARE = 0.4
"""Length against its own peak. RL may rightly shorten: it counts only if accuracy did not rise."""
DEAD_TOKEN, DEAD_ANSWER = 0.02, 3.0
"""Entropy in nats a token and, times the length, an answer: e^3 is twenty texts, hardly more than
a group of 16 needs, so that siblings are copies. Both must be low: long answers have many
tokens."""
KL_WARN, KL_STOP = 2.0, 10.0
"""Nats a token from the reference: e^2 is 7, so it finds a typical token 7 times less likely."""
NO_GRADIENT = 1e-8
"""Gradient norm; rounding alone leaves more."""
UNJUDGED_WARN, UNJUDGED_STOP = 0.1, 0.5
"""Share of answers that no grader could judge: they cost time and teach nothing."""
LOOP_WORDS, LOOP_REPEATS, LOOP_SHARE = 40, 0.8, 0.1
"""A text loops if it has 40 words and 80 % of its four-word runs occurred before (honest searching
repeats its phrases but not its numbers); one looping text in ten is a finding."""


@dataclass(frozen=True)
class Finding:
    """One thing that the doctor saw."""

    code: str
    """Fixed name, e.g. "flat_zero"; "healthy" when nothing is wrong."""
    severity: str
    """"ok", "note", "warn" (look at it) or "stop" (going on is a waste)."""
    where: tuple[int, int] | None
    """First and last step concerned."""
    wrong: str
    """What is wrong, with the numbers seen."""
    do: str
    """What to do about it."""


def _good(value) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _column(metrics: Sequence[Mapping], name: str) -> list[float]:
    """The measured, finite values of a metric; a missing or null one was not measured."""
    return [row[name] for row in metrics if _good(row.get(name))]


def _mean(metrics: Sequence[Mapping], name: str) -> float | None:
    values = _column(metrics, name)
    return statistics.fmean(values) if values else None


def diagnose(
    metrics: Sequence[Mapping],
    traces: Iterable[Trace] | None = None,
    *,
    length_limit: int | None = None,
) -> list[Finding]:
    """What is wrong with a run, causes before consequences; one "healthy" finding if nothing is.

    metrics: steps in order, see `trace.read_metrics`; a missing metric is not examined. traces: of
    any steps; the latest are looked at. length_limit: completion tokens at which answers are cut.

    >>> row = {"accuracy": 0.0, "reward": 0.0, "tied_groups": 1.0}
    >>> [f.code for f in diagnose([{"step": i, **row} for i in range(5)])]
    ['flat_zero']

    Taught in notebook 01.
    """
    rows, traces = list(metrics), list(traces or ())
    found = _not_finite(rows, traces)
    if len(rows) < MIN_STEPS:
        seen = f"{len(rows)} steps are too few to judge."
        return found or _finding("too_early", "note", rows, seen)
    window = max(MIN_STEPS, min(10, len(rows) // 4))
    last = rows[-window:]
    newest = max((t.step for t in traces), default=0)
    recent = [t for t in traces if t.step > newest - window]
    collapse = _collapse(rows)
    found += [
        *_format(rows, last, recent),
        *_truncation(last, length_limit),
        *_unjudged(last, recent),
        *(collapse or _flat(last)),
        *_gradient(last),
        *_entropy(last),
        *_kl(last),
        *_shortening(rows),
        *_loops(recent),
    ]
    return found or [_healthy(rows, last)]


def report(findings: Sequence[Finding]) -> str:
    """The findings as text for a terminal or a notebook. Taught in notebook 01."""
    blocks = []
    for f in findings:
        steps = f" (steps {f.where[0]}-{f.where[1]})" if f.where else ""
        blocks.append(f"[{f.severity}] {f.code}{steps}\n  seen: {f.wrong}\n  do:   {f.do}")
    return "\n".join(blocks)


def _span(rows: Sequence[Mapping]) -> tuple[int, int] | None:
    steps = [row["step"] for row in rows if "step" in row]
    return (steps[0], steps[-1]) if steps else None


def _finding(code, severity, rows, wrong, remedy=None) -> list[Finding]:
    return [Finding(code, severity, _span(rows), wrong, REMEDIES[remedy or code])]


# ---- one examination each ------------------------------------------------------------------------


def _not_finite(rows, traces) -> list[Finding]:
    def names(row):
        return [k for k, x in row.items() if isinstance(x, float) and not math.isfinite(x)]

    if bad := [row for row in rows if names(row)]:
        seen = (
            f"{', '.join(names(bad[0]))} not finite at step {bad[0].get('step')}, {len(bad)} such "
        )
        return _finding("non_finite", "stop", bad, seen + "steps in all: the weights may be lost.")
    if broken := [t for t in traces if not math.isfinite(t.advantage)]:
        t, where = broken[0], [{"step": t.step} for t in broken]
        seen = (
            f"{len(broken)} advantages are not finite, first in group {t.group} of step {t.step}."
        )
        return _finding("non_finite", "stop", where, seen, "advantage_not_finite")
    return []


def _format(rows, last, recent) -> list[Finding]:
    value = _mean(last, "format")
    if value is None or value > ZERO:
        return []
    best, cut = max(_column(rows, "format")), _mean(last, "truncated") or 0.0
    closed = [t for t in recent if "</think>" in t.completion and "<think>" not in t.completion]
    if best > 0.2:
        why, remedy = f"it was {best:.2f} and was lost", "format_lost"
    elif cut > TRUNCATED_WARN:
        why, remedy = f"{cut:.0%} of the answers are cut before they can close tags", "format_cut"
    elif closed and all(t.prompt.rstrip().endswith("<think>") for t in closed):
        why = "the prompt already ends in <think>, so that completions lack the opening tag"
        remedy = "format_prefilled"
    else:
        why, remedy = "the base does not write the tags by itself", "format_zero"
    seen = f"The format is right in {value:.1%} of the answers: {why}."
    return _finding("format_zero", "stop", last, seen, remedy)


def _truncation(last, limit) -> list[Finding]:
    cut, length = _mean(last, "truncated"), _mean(last, "length")
    if cut is not None and cut >= TRUNCATED_WARN:
        seen = f"{cut:.0%} of the answers are cut" + (f" at {limit} tokens." if limit else ".")
    elif limit and length is not None and length >= NO_ROOM * limit:
        seen = f"The mean answer has {length:.0f} tokens of {limit}: there is no room to grow."
    else:
        return []
    severity = "stop" if cut is not None and cut >= TRUNCATED_STOP else "warn"
    seen += " A cut answer has no answer tag and counts as wrong: length is being punished."
    return _finding("truncation", severity, last, seen)


def _unjudged(last, recent) -> list[Finding]:
    tokens, length, count = (_mean(last, k) for k in ("tokens", "length", "unjudged"))
    if count is not None and tokens and length:
        share = count * length / tokens  # answers a step = tokens / mean length
    elif recent:
        share = sum(t.total is None for t in recent) / len(recent)
    else:
        return []
    if share < UNJUDGED_WARN:
        return []
    seen = f"{share:.0%} of the answers could not be judged and are left out of their groups."
    return _finding("unjudged", "stop" if share >= UNJUDGED_STOP else "warn", last, seen)


def _flat(last) -> list[Finding]:
    ties, level = _mean(last, "tied_groups"), _mean(last, "accuracy")
    name = "Reward" if level is None else "Accuracy"
    level = _mean(last, "reward") if level is None else level
    tied = ties is not None and ties >= TIED
    if level is None or not (tied or level <= ZERO):
        return []
    if not tied:
        seen = f"{name} is {level:.3f}; other reward parts vary, and only these are being learnt."
        return _finding("never_right", "stop", last, seen)
    seen = f"{name} is {level:.3f} and {ties:.0%} of the groups have equal rewards throughout: "
    if level <= ZERO:
        return _finding(
            "flat_zero", "stop", last, seen + "every advantage is 0, nothing is learnt."
        )
    if level >= ONE:
        return _finding("flat_one", "warn", last, seen + "nothing is left to learn.")
    return _finding("flat_tied", "warn", last, seen + "each is either always or never solved.")


def _gradient(last) -> list[Finding]:
    norms, ties = _column(last, "grad_norm"), _mean(last, "tied_groups")
    if not norms or max(norms) > NO_GRADIENT or (ties is not None and ties >= TIED):
        return []
    seen = f"The gradient norm is {max(norms):.1e} at most although rewards differ within groups."
    return _finding("no_gradient", "stop", last, seen)


def _entropy(last) -> list[Finding]:
    token, length, level = (_mean(last, k) for k in ("entropy", "length", "accuracy"))
    if token is None or token >= DEAD_TOKEN or (level is not None and level >= ONE):
        return []
    if length is not None and token * length >= DEAD_ANSWER:
        return []
    seen = f"Entropy is {token:.4f} nats a token: siblings are copies, exploration is over"
    seen += "." if level is None else f" at an accuracy of {level:.2f}."
    return _finding("entropy_death", "warn", last, seen)


def _kl(last) -> list[Finding]:
    kl = _mean(last, "kl")
    if kl is None or kl < KL_WARN:
        return []
    seen = f"The policy is {kl:.1f} nats a token from its reference."
    return _finding("kl_blow_up", "stop" if kl >= KL_STOP else "warn", last, seen)


def _windows(rows, name) -> list[float]:
    """Means of a metric over a tenth of the run (5 steps at least), sliding; rows all have it."""
    w = max(5, len(rows) // 10)
    return [_mean(rows[i : i + w], name) for i in range(len(rows) - w + 1)]


def _fall(rows, name) -> tuple[int, float, float] | None:
    """Place of the best window, its mean and the last mean, where the fall is beyond noise."""
    if len(rows) < TREND_STEPS:
        return None
    means, values = _windows(rows, name), _column(rows, name)
    peak = max(range(len(means)), key=means.__getitem__)
    # noise from neighbouring steps, so that a slow trend is not taken for noise
    noise = math.sqrt(statistics.fmean((b - a) ** 2 for a, b in itertools.pairwise(values)) / 2)
    error = noise * math.sqrt(2 / (len(rows) - len(means) + 1))
    least = max(FALL_SHARE * abs(means[peak]), FALL_LEAST, FALL_NOISE * error)
    return (peak, means[peak], means[-1]) if means[peak] - means[-1] >= least else None


def _collapse(rows) -> list[Finding]:
    for name in ("accuracy", "reward"):
        kept = [row for row in rows if _good(row.get(name))]
        if not (fall := _fall(kept, name)):
            continue
        peak, best, now = fall
        paid = name == "accuracy" and all(_good(row.get("reward")) for row in kept)
        hacked = paid and not _fall(kept, "reward")
        seen = f"{name.capitalize()} fell from {best:.2f} to {now:.2f} after its peak"
        seen += ", while the reward held: another part is won at its cost." if hacked else "."
        remedy = "hacked" if hacked else "collapse"
        return _finding("collapse", "stop", kept[peak:], seen, remedy)
    return []


def _shortening(rows) -> list[Finding]:
    kept = [row for row in rows if _good(row.get("length"))]
    if len(kept) < TREND_STEPS:
        return []
    means = _windows(kept, "length")
    peak, w = max(range(len(means)), key=means.__getitem__), len(kept) - len(means) + 1
    then, now = (_mean(part, "accuracy") for part in (kept[peak : peak + w], kept[-w:]))
    known = then is not None and now is not None
    if means[-1] > SHORT_SHARE * means[peak] or (known and now > then + 0.02):
        return []
    seen = f"Answers shrank from {means[peak]:.0f} to {means[-1]:.0f} tokens"
    seen += f", accuracy did not rise ({then:.2f}, now {now:.2f})." if known else "."
    return _finding("length_collapse", "warn", kept[peak:], seen)


# one Han character is one piece: Chinese has no spaces
_PIECE = re.compile(r"[\u4e00-\u9fff]|[^\W_\u4e00-\u9fff]+|[^\w\s]|_")


def repeats(text: str) -> float:
    """Share of the four-word runs of a text that occurred before; 0.0 for a short text."""
    pieces = _PIECE.findall(text)
    if len(pieces) < LOOP_WORDS:
        return 0.0
    runs = list(zip(*(pieces[i:] for i in range(4)), strict=False))
    return 1 - len(set(runs)) / len(runs)


def _loops(recent) -> list[Finding]:
    looping = [t for t in recent if repeats(t.completion) >= LOOP_REPEATS]
    if not recent or len(looping) < LOOP_SHARE * len(recent):
        return []
    tail = " ".join(looping[0].completion.split())[-60:]
    seen = f"{len(looping)} of {len(recent)} answers go round in a loop, e.g. {tail!r}."
    where = sorted(({"step": t.step} for t in recent), key=lambda row: row["step"])
    return _finding("repetition", "warn", where, seen)


def _healthy(rows, last) -> Finding:
    name = next((n for n in ("accuracy", "reward") if _column(rows, n)), "loss")
    first, now = _mean(rows[: len(last)], name), _mean(last, name)
    seen = f"Nothing wrong in {len(rows)} steps"
    if first is not None and now is not None:
        seen += f"; {name} {first:.2f} at first, {now:.2f} now"
    seen += ". Too early for trends." if len(rows) < TREND_STEPS else "."
    remedy = "healthy_copying" if name == "loss" else None  # no rollouts: SFT or pre-training
    return _finding("healthy", "ok", rows, seen, remedy)[0]
