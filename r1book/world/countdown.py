"""logic: countdown. Reach a target from 3 or 4 numbers with + - *, each used exactly once ("24
game").

A solution is built as in the traces: combine two numbers, put the result back, until one number is
left. Every step is a fact of the world (`chains.stated`), with a positive result. Levels 1-4 have
three numbers and rise as the share of attempts that reach the target falls; level 5 has four.
"""

import itertools
import random
from functools import lru_cache

from r1book.world.chains import stated
from r1book.world.splits import split_of

SMALL = range(1, 10)
LARGE = range(10, 26)
"""With three numbers, one may be large, as in the television game."""
TARGETS = range(1, 100)


def combine(a: int, b: int) -> list[tuple[str, int, int, int]]:
    """Return the steps (op, left, right, result) that two numbers allow; larger number first."""
    high, low = max(a, b), min(a, b)
    steps = [
        ("+", high, low, high + low),
        ("-", high, low, high - low),
        ("*", high, low, high * low),
    ]
    return [step for step in steps if step[3] >= 1 and stated(*step[:3])]


def moves(numbers: tuple[int, ...]) -> list[tuple[tuple[str, int, int, int], tuple[int, ...]]]:
    """Return every distinct (step, remaining numbers) from a sorted tuple of numbers."""
    out, seen = [], set()
    for i, j in itertools.combinations(range(len(numbers)), 2):
        rest = tuple(numbers[k] for k in range(len(numbers)) if k not in (i, j))
        for step in combine(numbers[i], numbers[j]):
            after = tuple(sorted((*rest, step[3])))
            if (step, after) not in seen:
                seen.add((step, after))
                out.append((step, after))
    return out


def attempts(numbers: tuple[int, ...]):
    """Yield every attempt, a tuple of steps that uses all numbers."""
    if len(numbers) == 1:
        yield ()
        return
    for step, after in moves(numbers):
        for rest in attempts(after):
            yield (step, *rest)


@lru_cache(maxsize=2)
def table(count: int) -> dict[tuple[tuple[int, ...], int], float]:
    """Return {(sorted numbers, target): share of attempts that reach it} for all solvable
    problems."""
    out = {}
    hands = list(itertools.combinations_with_replacement(SMALL, count))
    if count == 3:
        pairs = itertools.combinations_with_replacement(SMALL, 2)
        hands += [(a, b, c) for a, b in pairs for c in LARGE]
    for numbers in hands:
        hits: dict[int, int] = {}
        total = 0
        for attempt in attempts(numbers):
            total += 1
            hits[attempt[-1][3]] = hits.get(attempt[-1][3], 0) + 1
        for target, n in hits.items():
            if target in TARGETS and target not in numbers:
                out[numbers, target] = n / total
    return out


def key(numbers, target: int) -> str:
    """Return the canonical key: sorted numbers and target."""
    return f"logic:{','.join(map(str, sorted(numbers)))}={target}"


LEVELS = {
    1: (3, 0.13, 1.0),
    2: (3, 0.075, 0.13),
    3: (3, 0.05, 0.075),
    4: (3, 0.0, 0.05),
    5: (4, 0.02, 1.0),
}
"""Level -> (how many numbers, share of attempts that solve it: from, below)."""


@lru_cache(maxsize=32)
def pool(level: int, split: str) -> tuple[tuple[tuple[int, ...], int], ...]:
    """Return all (numbers, target) of a level and split, sorted."""
    count, low, high = LEVELS[level]
    return tuple(
        sorted(
            item
            for item, share in table(count).items()
            if low <= share < high and split_of(key(*item)) == split
        )
    )


def expression(steps) -> str:
    """Return the attempt as one expression with brackets, e.g. '( 7 - 1 ) * 4'
    (space-separated)."""
    built: dict[int, list[str]] = {}
    text = ""
    for op, a, b, result in steps:
        left = _take(built, a, op, False)
        right = _take(built, b, op, True)
        text = f"{left} {op} {right}"
        built.setdefault(result, []).append(text)
    return text


def _take(built: dict[int, list[str]], number: int, op: str, right: bool) -> str:
    made = built.get(number)
    if not made:
        return str(number)
    text = made.pop()
    loose = any(f" {o} " in _outer(text) for o in "+-")
    return f"( {text} )" if (op == "*" and loose) or (op == "-" and right and loose) else text


def _outer(text: str) -> str:
    depth, out = 0, []
    for token in text.split():
        depth += token == "("
        if depth == 0:
            out.append(token)
        depth -= token == ")"
    return " " + " ".join(out) + " "


ASK = {
    "en": (
        "use {} to make {} .",
        "make {1} from {0} .",
        "how can {} make {} ?",
    ),
    "zh": ("用 {} 得到 {} .", "用 {} 算出 {} .", "怎么 用 {} 得到 {} ?"),
}


def problem(rng: random.Random, level: int, split: str, lang: str) -> dict:
    """Return the fields of one problem; the answer is one canonical solution, the grader takes
    any."""
    numbers, target = rng.choice(pool(level, split))
    shuffled = list(numbers)
    rng.shuffle(shuffled)
    link = " and " if lang == "en" else " 和 "
    listed = " , ".join(map(str, shuffled[:-1])) + f"{link}{shuffled[-1]}"
    return {
        "question": rng.choice(ASK[lang]).format(listed, target),
        "answer": solve(numbers, target),
        "key": key(numbers, target),
        "meta": {"numbers": shuffled, "target": target},
    }


@lru_cache(maxsize=50_000)
def solve(numbers: tuple[int, ...], target: int) -> str:
    """Return a solution's expression (the first in search order)."""
    return next(expression(a) for a in attempts(tuple(sorted(numbers))) if a[-1][3] == target)
