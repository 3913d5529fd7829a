"""How sure is a number? Intervals for means over seeds and for shares.

Left out: what is averaged (`measure.py`) and what follows from it (`claims.py`).
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


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


def t_quantile(p: float, df: int) -> float:
    """The p-quantile of Student's t with df degrees of freedom, by bisection of its exact integral.

    Abramowitz and Stegun 26.7.3 and 26.7.4. Raises ValueError unless 0 < p < 1 and df >= 1.
    """
    if not (0 < p < 1 and df >= 1):
        raise ValueError(f"a t quantile needs 0 < p < 1 and df >= 1, got p={p}, df={df}")
    if p < 0.5:
        return -t_quantile(1 - p, df)

    def inside(t: float) -> float:  # P(|T| < t)
        angle = math.atan(t / math.sqrt(df))
        odd, cos2 = df % 2, math.cos(angle) ** 2
        term = math.sin(angle) * (math.cos(angle) if odd else 1.0)
        total = 0.0
        for j in range(1 if odd else 0, df - 1, 2):
            total += term
            term *= cos2 * (j + 1) / (j + 2)
        return 2 / math.pi * (angle + total) if odd else total

    low, high = 0.0, 1.0
    while inside(high) < 2 * p - 1:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) < 2 * p - 1 else (low, middle)
    return (low + high) / 2


def mean_ci(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean of independent values, one a seed, with its t interval.

    Raises ValueError for fewer than two values: one seed says nothing about the next.

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
