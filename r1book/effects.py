"""Which number does a run give to the ledger? Measures of a run's evaluation, by name.

Each takes the evaluation of a run and that of the bundled base (`evaluate.summarise`), the
benchmark, and what else it needs. Leaves out what is compared with what (`claims.py`).
"""

import statistics
from collections.abc import Callable, Sequence

from r1book import measure


def _accuracy(own: dict, base: dict, benchmark: str) -> float:
    return own[benchmark]["pass@1"]


def _within_style(own: dict, base: dict, benchmark: str) -> float:
    return measure.style_split(base[benchmark]["styles"], own[benchmark]["styles"]).within


def _tokens(own: dict, base: dict, benchmark: str) -> float:
    return own[benchmark]["mean_tokens"]


def _tokens_gap(own: dict, base: dict, benchmark: str) -> float:
    levels = own[benchmark]["levels"]
    return levels["5"]["tokens"] - levels["1"]["tokens"]


def _wrong_tokens(own: dict, base: dict, benchmark: str) -> float:
    return own[benchmark]["lengths"]["wrong"]


def _rate(kind: str) -> Callable:
    def value(own: dict, base: dict, benchmark: str, per: str) -> float:
        return own[benchmark][kind][f"per_{per}"]

    return value


def _language(own: dict, base: dict, benchmark: str, asked: str | None = None) -> float:
    score = own[benchmark]
    return score["target_language_share"] if asked is None else score["languages"][asked]


def _language_gap(own: dict, base: dict, benchmark: str) -> float:
    shares = own[benchmark]["languages"]
    return shares["zh"] - shares["en"]


def _pass_at(
    own: dict, base: dict, benchmark: str, k: int, levels: Sequence[int], verified: bool = False
) -> float:
    told = own[benchmark]["verified" if verified else "counts"]
    counts = [(n, c) for level, n, c in told if level in levels]
    return statistics.fmean(measure.pass_at_k(n, c, k) for n, c in counts)


def _vote(own: dict, base: dict, benchmark: str) -> float:
    score = own[benchmark]
    return score[f"maj@{score['samples']}"] - score["pass@1"]


def _arena(kind: str) -> Callable:
    def value(own: dict, base: dict) -> float:
        return own["mini-Arena"][kind]

    return value


MEASURES: dict[str, Callable[..., float]] = {
    "accuracy": _accuracy,
    "within_style": _within_style,
    "tokens": _tokens,
    "tokens_gap": _tokens_gap,
    "wrong_tokens": _wrong_tokens,
    "reflection": _rate("reflection"),
    "acts": _rate("acts"),
    "language": _language,
    "language_gap": _language_gap,
    "pass_at": _pass_at,
    "vote": _vote,
    "gold": _arena("gold"),
    "harmless": _arena("harmless"),
    "proxy": _arena("helpful"),
}
"""Name -> (evaluation of a run, of its base, what else) -> a number."""

OF_BASE = {"within_style"}
"""Which of them ask for the evaluation of the base."""
