"""Are intervals, paired tests, margins and Holm's adjustment what a hand computes?"""

import itertools
import math
import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1book import intervals
from r1book.intervals import Interval, holm, mean_ci, nested_ci, not_worse, sign_flip

# ---- values nested in bases ----------------------------------------------------------------------


def test_nested_ci_by_hand():
    # base means 1, 3, 5: mean 3, standard deviation 2, error 2 / sqrt(3), t with 2 degrees 4.30265
    interval = nested_ci({"a": [0, 2], "b": [3], "c": [4, 5, 6]})
    assert (interval.mean, interval.n) == (3.0, 3)
    assert interval.high - 3 == pytest.approx(4.30265 * 2 / math.sqrt(3), rel=1e-5)
    assert interval.low == pytest.approx(6 - interval.high)


def test_more_seeds_of_the_same_bases_are_no_more_evidence():
    few = nested_ci({"a": [1.0], "b": [2.0]})
    many = nested_ci({"a": [1.0] * 50, "b": [2.0] * 50})
    assert few == many
    assert mean_ci([1.0] * 50 + [2.0] * 50).low > many.low  # what forgetting the bases would claim


@pytest.mark.parametrize("counts", [(3, 3, 3, 3, 3), (1, 1, 1, 1, 8)])
def test_nested_ci_holds_its_level_where_seeds_taken_as_independent_do_not(counts):
    rng = random.Random(0)
    nested = flat = 0
    for _ in range(300):
        bases = {}
        for name, n in enumerate(counts):
            base = rng.gauss(0, 2)
            bases[str(name)] = [base + rng.gauss(0, 1) for _ in range(n)]
        interval = nested_ci(bases)
        nested += interval.low <= 0 <= interval.high
        interval = mean_ci([x for values in bases.values() for x in values])
        flat += interval.low <= 0 <= interval.high
    assert 0.91 <= nested / 300 <= 0.99  # 0.95 give or take 3 standard errors of 0.013
    assert flat / 300 < 0.85


@pytest.mark.parametrize("bases", [{}, {"a": [1.0, 2.0]}, {"a": [1.0], "b": []}])
def test_nested_ci_refuses(bases):
    with pytest.raises(ValueError, match="at least two bases"):
        nested_ci(bases)


# ---- paired test ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("differences", "two_sided", "greater"),
    [
        ([1.0], 1.0, 1 / 2),
        ([1, 2, 3, 4, 5], 2 / 32, 1 / 32),  # the most extreme choice and its mirror image
        ([-1, -2, -3, -4, -5], 2 / 32, 1.0),
        # 1, 2, -3 sums to 0: every choice is as far
        (
            [1, 2, -3],
            1.0,
            5 / 8,
        ),  # 0 is reached by ++- and --+; above are +++ (6), +-+ (2), -++ (4)
        # 3, 2, -1 sums to 4; of 6, 4, 2, 0, 0, -2, -4, -6 four are as far, two as large
        ([3, 2, -1], 4 / 8, 2 / 8),
        ([0.0, 0.0], 1.0, 1.0),
        ([0.0, 1.0, 1.0], 2 / 4, 1 / 4),  # a zero has no sign
        ([0.1, 0.2, -0.3], 1.0, 5 / 8),  # as [1, 2, -3], though the floats sum to 5.6e-17
        ([1 / 3] * 4, 2 / 16, 1 / 16),
    ],
)
def test_sign_flip_by_hand(differences, two_sided, greater):
    assert sign_flip(differences) == pytest.approx(two_sided, abs=1e-15)
    assert sign_flip(differences, "greater") == pytest.approx(greater, abs=1e-15)


@settings(deadline=None)
@given(st.lists(st.integers(-6, 6), min_size=1, max_size=8))
def test_sign_flip_equals_the_count_over_all_signs(differences):
    choices = [
        sum(s * abs(d) for s, d in zip(signs, differences, strict=True))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    seen = sum(differences)
    as_far = Fraction(sum(abs(s) >= abs(seen) for s in choices), len(choices))
    as_large = Fraction(sum(s >= seen for s in choices), len(choices))
    assert sign_flip(differences) == pytest.approx(float(as_far), abs=1e-15)
    assert sign_flip(differences, "greater") == pytest.approx(float(as_large), abs=1e-15)
    assert sign_flip([d / 16 for d in differences]) == sign_flip(differences)  # the unit is free


def test_sign_flip_is_exact_for_hundreds_of_shares():
    # 100 times 1 and 60 times -1 is a binomial of 160 halves: P(|2X - 160| >= 40)
    exact = sum(math.comb(160, k) for k in range(161) if abs(2 * k - 160) >= 40) / 2**160
    assert sign_flip([1 / 16] * 100 + [-1 / 16] * 60) == pytest.approx(exact, rel=1e-12)


def test_sign_flip_draws_where_it_cannot_count(monkeypatch):
    rng = random.Random(1)
    differences = [rng.gauss(0.5, 1) for _ in range(12)]
    exact = sign_flip(differences)
    monkeypatch.setattr(intervals, "MOST_SUMS", 100)
    drawn = sign_flip(differences)
    error = math.sqrt(exact * (1 - exact) / intervals.DRAWS)
    assert drawn != exact and drawn == pytest.approx(exact, abs=4 * error)
    assert drawn == sign_flip(differences)  # from a fixed seed
    monkeypatch.setattr(intervals, "DRAWS", 99)
    # as good as never among 99 draws of 40 signs: only the observed choice counts
    assert sign_flip([1 + x / 1e5 for x in rng.sample(range(99_999), 40)]) == 1 / 100


def test_sign_flip_refuses():
    for bad in ([], [1.0, math.nan], [math.inf]):
        with pytest.raises(ValueError, match="finite differences"):
            sign_flip(bad)
    with pytest.raises(ValueError, match="'less'"):
        sign_flip([1.0], "less")


# ---- margin and family ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.02, 0.01, True),
        (-0.029, -0.001, True),  # worse for sure, but by less than the margin
        (0.01, 0.05, True),
        (-0.05, 0.02, None),  # holds 0 and -margin: not decided
        (-0.05, -0.01, None),
        (-0.03, 0.0, None),  # the margin itself is not above the margin
        (-0.09, -0.04, False),
    ],
)
def test_not_worse_by_hand(low, high, verdict):
    assert not_worse(Interval((low + high) / 2, low, high, 5), margin=0.03) is verdict


def test_not_worse_of_seeds():
    # differences -1, 0, 1 points: 0 -+ 4.30265 / sqrt(3) = 2.4841 points
    interval = mean_ci([-0.01, 0.0, 0.01])
    assert not_worse(interval, 0.025) is True and not_worse(interval, 0.0248) is None
    for bad in (0.0, -0.03, math.nan):
        with pytest.raises(ValueError, match="above 0"):
            not_worse(interval, bad)


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1 is 0.04, 0.06, 0.06, 0.04; then made monotone
    found = holm({"c": 0.03, "a": 0.01, "d": 0.04, "b": 0.02})
    assert list(found) == ["c", "a", "d", "b"]
    assert found == pytest.approx({"c": 0.06, "a": 0.04, "d": 0.06, "b": 0.06})
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}  # a probability
    assert holm({"a": 0.02, "b": 0.02}) == {"a": 0.04, "b": 0.04}
    assert holm({"a": 0.3}) == {"a": 0.3} and holm({}) == {}
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="0 … 1"):
            holm({"a": bad})


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0.001, 0.2))
def test_holm_rejects_what_its_steps_reject(p_values, alpha):
    rejected, ordered = set(), sorted(range(len(p_values)), key=p_values.__getitem__)
    for i, place in enumerate(ordered):
        if p_values[place] * (len(p_values) - i) > alpha:
            break  # the first claim that fails ends the procedure
        rejected.add(str(place))
    adjusted = holm({str(i): p for i, p in enumerate(p_values)})
    assert {name for name, p in adjusted.items() if p <= alpha} == rejected
