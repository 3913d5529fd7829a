"""Which questions are asked? Problems from the miniature world, by name, number, seed and split.

Leaves out tokens, prompts and grading. A problem carries what its grader needs in `meta`.
"""

import json
import random
from dataclasses import asdict, dataclass, field
from typing import Any

from r1book.world import chains, countdown, general, programs, quantities
from r1book.world.splits import check_split
from r1book.world.vocab import detokenize


@dataclass(frozen=True)
class Problem:
    """One question with everything a grader needs."""

    id: str
    """Name within its set, e.g. 'logic-test-7-00012'."""
    family: str
    """'math', 'logic', 'stem', 'code' or 'general'."""
    level: int
    """Difficulty, 1 to 5."""
    lang: str
    """Language of the question, 'en' or 'zh'."""
    question: str
    """The question as natural text."""
    answer: str
    """A canonical right answer as natural text."""
    key: str
    """Canonical, language-free form; the split is decided by it."""
    split: str
    """'train', 'dev', 'test' or 'heldout'."""
    meta: dict[str, Any] = field(default_factory=dict)
    """What the grader needs: numbers and target, options, hidden tests, checks (plain JSON
    values)."""


FAMILIES = {
    "math": chains,
    "logic": countdown,
    "stem": quantities,
    "code": programs,
    "general": general,
}
LEVELS = (1, 2, 3, 4, 5)

BENCHMARKS = {
    "mini-MATH": ("math", LEVELS, None),
    "mini-AIME": ("math", (4, 5), None),
    "mini-GPQA": ("stem", LEVELS, None),
    "mini-LiveCodeBench": ("code", LEVELS, None),
    "mini-Codeforces": ("code", LEVELS, None),
    "mini-IFEval": ("general", (4, 5), "instruct"),
    "mini-Arena": ("general", LEVELS, None),
}
"""Evaluation sets of this world -> (family, levels, kind or None). The names say which benchmark of
the report they stand for; they are not those benchmarks: mini-MATH is arithmetic chains, mini-GPQA
four-option quantity questions (chance 25 %)."""


def load(
    name: str,
    n: int,
    *,
    seed: int = 0,
    split: str = "test",
    levels: tuple[int, ...] | None = None,
    lang: str | None = None,
) -> list[Problem]:
    """Return `n` problems of a family or a benchmark, levels in turn, languages half and half.

    `name` is a family ('math', 'logic', 'stem', 'code', 'general') or one of `BENCHMARKS`; the same
    arguments give the same problems on every machine. `lang` keeps one language. Raises ValueError
    on an unknown name, split, level or language, or a negative n.

    >>> load("mini-MATH", 2, seed=0, split="dev")[0].family
    'math'

    Taught in notebook 00.
    """
    check_split(split)
    if name in BENCHMARKS:
        family, default, kind = BENCHMARKS[name]
    elif name in FAMILIES:
        family, default, kind = name, LEVELS, None
    else:
        raise ValueError(
            f"unknown problem set {name!r}: expected one of {', '.join((*FAMILIES, *BENCHMARKS))}"
        )
    levels = tuple(levels or default)
    if n < 0 or any(level not in LEVELS for level in levels) or lang not in (None, "en", "zh"):
        raise ValueError(
            f"n {n}, levels {levels}, lang {lang!r}: "
            "expected n >= 0, levels within 1-5, lang 'en' or 'zh'"
        )
    rng = random.Random(f"{family}-{split}-{seed}")
    out = []
    for i in range(n):
        level = levels[i % len(levels)]
        tongue = lang or ("zh" if rng.random() < 0.5 else "en")
        out.append(make(rng, family, level, split, tongue, f"{name}-{split}-{seed}-{i:05d}", kind))
    return out


def make(
    rng: random.Random,
    family: str,
    level: int,
    split: str,
    lang: str,
    name: str,
    kind: str | None = None,
) -> Problem:
    """Draw one problem (of a kind, for `general`); text fields become natural text, meta plain JSON
    values. Raises ValueError for a kind that the level does not have."""
    if kind is not None and (family != "general" or kind not in general.KINDS[level]):
        raise ValueError(f"no {family} problem of level {level} is of kind {kind!r}")
    raw = FAMILIES[family].problem(rng, level, split, lang)
    while kind is not None and raw["meta"]["kind"] != kind:
        raw = FAMILIES[family].problem(rng, level, split, lang)
    return pack(raw, family, level, lang, name, split)


def pack(raw: dict, family: str, level: int, lang: str, name: str, split: str) -> Problem:
    """Return a problem as a generator of this world drew it, with natural text and plain values."""
    meta = json.loads(json.dumps(raw["meta"]))
    return Problem(
        name,
        family,
        level,
        lang,
        detokenize(raw["question"]),
        detokenize(raw["answer"]),
        raw["key"],
        split,
        meta,
    )


def as_dict(problem: Problem) -> dict[str, Any]:
    """Return the problem as plain JSON values, as it stands in a trace."""
    return asdict(problem)


def from_dict(values: dict[str, Any]) -> Problem:
    """Return the problem that `as_dict` wrote; ValueError names missing or unknown fields."""
    expected = set(Problem.__dataclass_fields__)
    if set(values) != expected:
        raise ValueError(f"a problem with fields {sorted(values)}: expected {sorted(expected)}")
    return Problem(**values)
