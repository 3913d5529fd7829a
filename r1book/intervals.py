"""How sure is a number? Intervals for means over seeds, bases and shares; tests; Holm; a margin.

Left out: what is averaged (`measure.py`) and what follows from it (`claims.py`).
"""

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

MOST_SUMS = 2**17
"""Different sums up to which `sign_flip` counts them all; above, it draws."""
DRAWS = 9_999


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval."""

    mean: float
    """The estimate."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    n: int
    """Number of independent units: seeds, or problems, never tokens or samples of one problem."""


def t_cdf(t: float, df: int) -> float:
    """P(T <= t) of Student's t with df degrees of freedom, by its finite sums.

    Abramowitz and Stegun 26.7.3 and 26.7.4. Raises ValueError unless df >= 1.

    >>> t_cdf(0.0, 3)
    0.5
    """
    if not df >= 1:
        raise ValueError(f"Student's t needs df >= 1, got {df}")
    angle = math.atan(abs(t) / math.sqrt(df))
    odd, cos2 = df % 2, math.cos(angle) ** 2
    term = math.sin(angle) * (math.cos(angle) if odd else 1.0)
    total = 0.0
    for j in range(1 if odd else 0, df - 1, 2):
        total += term
        term *= cos2 * (j + 1) / (j + 2)
    inside = 2 / math.pi * (angle + total) if odd else total  # P(|T| < |t|)
    return (1 + math.copysign(inside, t)) / 2


def t_quantile(p: float, df: int) -> float:
    """The p-quantile of Student's t with df degrees of freedom, by bisection of `t_cdf`.

    Raises ValueError unless 0 < p < 1 and df >= 1.
    """
    if not (0 < p < 1 and df >= 1):
        raise ValueError(f"a t quantile needs 0 < p < 1 and df >= 1, got p={p}, df={df}")
    if p < 0.5:
        return -t_quantile(1 - p, df)
    low, high = 0.0, 1.0
    while t_cdf(high, df) < p:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, df) < p else (low, middle)
    return (low + high) / 2


def mean_ci(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean of independent values, one a seed, with its t interval.

    Where seeds are nested in bases, use `nested_ci`. Raises ValueError for fewer than two values:
    one seed says nothing about the next.

    >>> mean_ci([1.0, 2.0, 3.0]).mean
    2.0

    Taught in notebook 12.
    """
    values = [float(x) for x in values]
    if len(values) < 2:
        raise ValueError(
            f"a t interval needs at least two seeds, got {len(values)}: run more seeds"
        )
    mean, spread = statistics.fmean(values), statistics.stdev(values)
    half = t_quantile((1 + level) / 2, len(values) - 1) * spread / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half, len(values))


def proportion_ci(hits: float, n: int, level: float = 0.95) -> Interval:
    """A share of n independent trials with its Wilson interval, which never leaves 0 … 1.

    Raises ValueError unless 0 <= hits <= n and n >= 1. Taught in notebook 12.
    """
    if not (n >= 1 and 0 <= hits <= n):
        raise ValueError(f"a proportion needs 0 <= hits <= n and n >= 1, got {hits} of {n}")
    z, p = statistics.NormalDist().inv_cdf((1 + level) / 2), hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Interval(p, max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)), n)


def nested_ci(bases: Mapping[str, Sequence[float]], level: float = 0.95) -> Interval:
    """Mean of values nested in bases (RL seeds within a base), with a t interval on the bases.

    bases: the values of each base. Model: value = mean + effect of the base + effect of the seed,
    both random. Seeds share what their base does, so a base counts once, by its mean, and the
    degrees of freedom are those of the bases, however many seeds there are. All bases have the same
    weight: with unequal numbers of seeds, weights from estimated variances make the interval a
    little shorter, but let a nominal 95 % fall to 92 % in a simulation with five bases. Raises
    ValueError for fewer than two bases or one without values.

    >>> nested_ci({"a": [0.0, 2.0], "b": [3.0], "c": [2.0, 4.0, 3.0, 3.0]}) == mean_ci([1, 3, 3])
    True

    Taught in notebook 12.
    """
    if len(bases) < 2 or not all(bases.values()):
        raise ValueError(
            f"a nested interval needs at least two bases, each with a value, got {dict(bases)}"
        )
    return mean_ci([statistics.fmean(map(float, values)) for values in bases.values()], level)


def sign_flip(differences: Sequence[float], alternative: str = "two-sided") -> float:
    """p-value of a paired permutation test: is the mean difference 0?

    differences: one a pair (seed, base or problem: the unit that is independent), after - before.
    If nothing changed, each was as likely to have the other sign; p is the share of all 2^n choices
    of signs whose sum is at least as large ("greater") or as far from 0 ("two-sided"). All are
    counted, sum by sum, and p is exact, while there are at most `MOST_SUMS` different sums: up to
    17 pairs always, hundreds where the differences are shares of a few samples. Beyond that,
    `DRAWS` choices are drawn from a fixed seed, the observed one counting as one more. Floats that
    are a simple fraction up to rounding (0.1) count as that fraction, so that ties are ties.

    p is never below 2 / 2^n (two-sided) or 1 / 2^n: with five pairs 0.0625 or 0.03125. Raises
    ValueError for no differences, or one that is not finite.

    >>> sign_flip([1, 2, 3, 4, 5])
    0.0625

    Taught in notebook 12.
    """
    if alternative not in ("two-sided", "greater"):
        raise ValueError(f'alternative is "two-sided" or "greater", got {alternative!r}')
    if not differences or not all(math.isfinite(x) for x in differences):
        raise ValueError(f"a paired test needs finite differences, got {list(differences)}")
    exact = [_fraction(x) for x in differences]
    scale = math.lcm(*(x.denominator for x in exact))
    steps = [abs(int(x * scale)) for x in exact]
    seen = sum(int(x * scale) for x in exact)
    if alternative == "two-sided":
        seen = abs(seen)
    sums = {0: 1}  # sum of the signed differences so far -> choices of signs that give it
    for step in filter(None, steps):  # a difference of 0 has no sign
        new: dict[int, int] = {}
        for value, ways in sums.items():
            new[value + step] = new.get(value + step, 0) + ways
            new[value - step] = new.get(value - step, 0) + ways
        sums = new
        if len(sums) > MOST_SUMS:
            return _drawn(steps, seen, alternative)
    as_far = sum(ways for value, ways in sums.items() if value >= seen)
    if alternative == "two-sided":  # the sums are symmetric about 0
        as_far = min(sum(sums.values()), 2 * as_far)
    return as_far / sum(sums.values())


def _fraction(x: float) -> Fraction:
    near = Fraction(x).limit_denominator(10_000)
    return near if abs(near - Fraction(x)) < Fraction(1, 10**12) else Fraction(x)


def _drawn(steps: Sequence[int], seen: int, alternative: str) -> float:
    rng = random.Random(0)
    hits = 1
    for _ in range(DRAWS):
        value = sum(x if rng.random() < 0.5 else -x for x in steps)
        hits += (abs(value) if alternative == "two-sided" else value) >= seen
    return hits / (DRAWS + 1)


def not_worse(difference: Interval, margin: float) -> bool | None:
    """Non-inferiority: has a score been kept up to a margin? difference: after - before.

    True where the interval lies above -margin, False where it lies below, None (not decided) where
    it holds -margin. With a two-sided interval at 95 % the test is one-sided at 2.5 %. An interval
    that holds 0 does not decide it: few seeds make it hold everything. Raises ValueError unless
    margin > 0.

    >>> not_worse(Interval(-0.01, -0.02, 0.0, 5), margin=0.03)
    True

    Taught in notebook 12.
    """
    if not margin > 0:
        raise ValueError(f"a margin is how much loss is tolerated, above 0; got {margin}")
    if difference.low > -margin:
        return True
    return False if difference.high < -margin else None


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values of a family of claims, adjusted so that the chance of any false one is kept.

    Holm 1979: the i-th smallest of m, from 0, times m - i, at most 1, and never below the adjusted
    one before it. Valid whatever the dependence. Keys keep their order. Raises ValueError for a p
    outside 0 … 1.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'b': 0.06, 'c': 0.06}

    Taught in notebook 12.
    """
    if any(not 0 <= p <= 1 for p in p_values.values()):
        raise ValueError(f"p-values lie within 0 … 1, got {dict(p_values)}")
    adjusted: dict[str, float] = {}
    highest = 0.0
    for i, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        highest = max(highest, min(1.0, p_values[name] * (len(p_values) - i)))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}
