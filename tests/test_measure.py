"""Are the measures what a hand computes?"""

import doctest
import itertools
import math
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_trace import make

from r1book import intervals, measure, words


@pytest.mark.parametrize("module", [measure, words, intervals])
def test_examples(module):
    result = doctest.testmod(module)
    assert result.failed == 0 and result.attempted > 0


# ---- accuracy and votes --------------------------------------------------------------------------


def test_right_reads_the_accuracy_part():
    verdicts = [measure.right(make(parts={"accuracy": x})) for x in (1.0, 0.0, 0.5, None)]
    assert verdicts == [True, False, False, None]
    assert measure.right(make(parts={"format": 1.0})) is None


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"),
    [
        (10, 3, 1, 0.3),
        (5, 2, 3, 1 - 1 / 10),
        (4, 0, 2, 0.0),
        (4, 3, 2, 1.0),
        (256, 1, 128, 0.5),
    ],
)
def test_pass_at_k(n, c, k, expected):
    assert measure.pass_at_k(n, c, k) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 1, 0), (4, 1, 5)])
def test_pass_at_k_refuses(n, c, k):
    with pytest.raises(ValueError, match="pass@k needs"):
        measure.pass_at_k(n, c, k)


def test_majority():
    assert measure.majority(["7", "8", "8"]) == ["8"]
    assert measure.majority(["7", None, None, None]) == ["7"]
    assert measure.majority([None, None]) == [] == measure.majority([])


@pytest.mark.parametrize(
    ("answers", "right", "k", "expected"),
    [
        (["7", "7", "8"], "7", None, 1.0),
        (["7", "8"], "7", None, 1 / 2),  # a fair draw
        (["7", "8", "9"], "7", None, 1 / 3),
        (["7", "8", "8"], "7", 2, 2 / 3 * 1 / 2),  # {7,8} twice: draw; {8,8}: lost
        (["7", None, None], "7", None, 1.0),  # None has no vote
        (["7", None, None], "7", 1, 1 / 3),
        ([None, None], "7", None, 0.0),
        (["8"], "7", None, 0.0),
    ],
)
def test_maj_at_k_by_hand(answers, right, k, expected):
    correct = [a == right for a in answers]
    assert measure.maj_at_k(answers, correct, k) == pytest.approx(expected, abs=1e-15)


@given(st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=1, max_size=7), st.data())
def test_maj_at_k_equals_the_count_over_all_choices(answers, data):
    k = data.draw(st.integers(1, len(answers)))
    good = data.draw(st.sets(st.sampled_from("abcd")))
    total = Fraction(0)
    choices = list(itertools.combinations(answers, k))
    for choice in choices:
        if winners := measure.majority(choice):
            total += Fraction(len(good & set(winners)), len(winners))
    found = measure.maj_at_k(answers, [a in good for a in answers], k)
    assert found == pytest.approx(float(total / len(choices)), abs=1e-12)


def test_maj_at_k_is_quick_for_64_different_answers():
    answers = [str(i) for i in range(64)]
    assert measure.maj_at_k(answers, [a == "0" for a in answers], 16) == pytest.approx(1 / 64)


def test_maj_at_k_refuses():
    with pytest.raises(ValueError, match="right and wrong"):
        measure.maj_at_k(["7", "7"], [True, False])
    with pytest.raises(ValueError, match="maj@k needs"):
        measure.maj_at_k(["7"], [True], 2)


# ---- uncertainty ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("df", "table"),  # 97.5 % quantiles of any printed table
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (30, 2.042), (120, 1.980)],
)
def test_t_quantile_is_that_of_the_table(df, table):
    assert intervals.t_quantile(0.975, df) == pytest.approx(table, abs=5e-4)
    assert intervals.t_quantile(0.025, df) == -intervals.t_quantile(0.975, df)


def test_t_quantile_has_closed_forms():
    assert intervals.t_quantile(0.9, 1) == pytest.approx(math.tan(math.pi * 0.4), rel=1e-12)
    assert intervals.t_quantile(0.9, 2) == pytest.approx(0.8 * math.sqrt(2 / 0.36), rel=1e-12)
    for p, df in ((0.0, 3), (1.0, 3), (0.9, 0)):
        with pytest.raises(ValueError, match="quantile needs"):
            intervals.t_quantile(p, df)


def test_mean_ci_by_hand():
    # 1, 2, 3: standard deviation 1, error 1 / sqrt(3), t with 2 degrees of freedom 4.3027
    interval = measure.mean_ci([1, 2, 3])
    assert (interval.mean, interval.n) == (2.0, 3)
    assert interval.high - 2 == pytest.approx(4.30265 / math.sqrt(3), rel=1e-5)
    with pytest.raises(ValueError, match="at least two seeds"):
        measure.mean_ci([1.0])


def test_proportion_ci_is_wilsons():
    # 8 of 10, z = 1.96: centre (0.8 + 0.19207) / 1.38415, half 1.95996 * 0.15985 / 1.38415
    interval = measure.proportion_ci(8, 10)
    assert (interval.low, interval.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert measure.proportion_ci(0, 10).low == 0.0 and measure.proportion_ci(10, 10).high == 1.0
    assert measure.proportion_ci(0, 10).high == pytest.approx(0.2775, abs=1e-4)
    with pytest.raises(ValueError, match="0 of 0"):
        measure.proportion_ci(0, 0)


def test_accuracy_ci_counts_problems():
    interval = measure.accuracy_ci({"a": [True] * 8, "b": [False] * 8, "c": [True, False] * 4})
    assert (interval.mean, interval.n) == (0.5, 3)
    assert (interval.low, interval.high) == (0.0, 1.0)  # 0.5 -+ 4.30 * 0.5 / sqrt(3), clipped
    sure = measure.accuracy_ci({"a": [True] * 8, "b": [True] * 8})
    assert sure == measure.proportion_ci(2, 2)  # two problems, not sixteen samples
    with pytest.raises(ValueError, match="no judged answer"):
        measure.accuracy_ci({"a": []})


def test_by_problem_leaves_unjudged_answers_out():
    traces = [make(parts={"accuracy": x}) for x in (1.0, 0.0)] + [make(parts={})]
    assert measure.by_problem(traces) == {"p1": [True, False]}


# ---- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a <think>b</think> c", "b"),
        ("b</think> <answer>c</answer>", "b"),  # the prompt ended in <think>
        ("<think>b <answer>c</answer>", "b "),
        ("<think>cut her", "cut her"),
        ("no tags", "no tags"),
        ("</think> <think>late</think>", ""),
        ("", ""),
    ],
)
def test_think(text, expected):
    assert measure.think(text) == expected


def test_reflection_counts_whole_words_of_both_languages():
    text = "Wait, wait ... waiting checks but WRONG, rebut however等等,不对,错误,错了。check一下"
    assert measure.reflection(text) == Counter(
        {"wait": 2, "but": 1, "wrong": 1, "however": 1, "等等": 1, "不对": 1, "错误": 1, "错": 1}
        | {"check": 1}
    )


def test_the_ten_words_of_the_report():
    ten = "check evaluate verify wrong error retry but however mistake wait"  # paper: Ext. Fig. 1
    assert set(words.REFLECTION["en"]) == set(ten.split()) and len(words.REFLECTION["en"]) == 10


def test_reflection_rate_by_hand():
    traces = [
        make(completion="<think> wait , wait </think> <answer> check </answer>", tokens=12),
        make(completion="<think> 7 </think>", tokens=8),
    ]
    assert measure.reflection_rate(traces) == {
        "per_answer": 1.0,
        "per_token": 0.1,
        "share": 0.5,
        "words": {"wait": 1.0},
    }
    with pytest.raises(ValueError, match="at least one trace"):
        measure.reflection_rate([])


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("<think> so we get 12 </think>", "en", 1.0),
        ("<think> so we get 12 </think>", "zh", 0.0),
        ("<think> 3 * 4 = 12 ! </think> <answer> twelve </answer>", "en", None),
        ("<think> 三 times 四 </think>", "zh", 2 / 3),
        ("<think> 是 x = 3 , A or B </think>", "zh", 1 / 2),  # lone letters are neutral
        ("<think> i have a </think>", "en", 1.0),
        ("<think> 是 </think> ```def f(x): return x```", "zh", 1.0),  # code is not thinking
        ("<think> <think> 是 </think>", "zh", 1.0),
        ("<think> don't 是 </think>", "en", 0.5),
        ("", "en", None),
    ],
)
def test_language_share(text, target, expected):
    assert measure.language_share(text, target) == (
        None if expected is None else pytest.approx(expected)
    )


def test_language_share_refuses_other_languages():
    with pytest.raises(ValueError, match="'fr'"):
        measure.language_share("bonjour", "fr")


@given(st.text(alphabet=st.sampled_from("ab x七是<>/ think1,")))
def test_shares_of_both_languages_add_up(text):
    shares = [measure.language_share(text, target) for target in ("en", "zh")]
    assert shares == [None, None] or sum(shares) == pytest.approx(1.0)


# ---- lengths and styles --------------------------------------------------------------------------


def test_lengths_by_level_and_outcome():
    def at(level, tokens, accuracy, finish="stop"):
        return make(
            problem={"level": level}, tokens=tokens, parts={"accuracy": accuracy}, finish=finish
        )

    traces = [at(5, 30, 0.0, "length"), at(1, 4, 1.0), at(1, 8, 1.0), at(1, 12, 0.0)]
    assert measure.lengths(traces) == {
        1: {"n": 3, "mean": 8.0, "median": 8, "max": 12, "truncated": 0.0},
        5: {"n": 1, "mean": 30.0, "median": 30, "max": 30, "truncated": 1.0},
    }
    by_outcome = measure.lengths(traces, measure.outcome)
    assert {k: v["mean"] for k, v in by_outcome.items()} == {"right": 6.0, "wrong": 21.0}
    assert measure.outcome(make(parts={})) == "unjudged"


def test_style_split_by_hand():
    # direct 80 % of the answers at 0.1, steps 20 % at 0.6; then 40 % at 0.2, 60 % at 0.7
    base = {"direct": (80, 8), "steps": (20, 12)}
    after = {"direct": (40, 8), "steps": (60, 42)}
    split = measure.style_split(base, after)
    assert split.gain == pytest.approx(0.50 - 0.20)
    # (-0.4) * 0.15 + 0.4 * 0.65; 0.1 * 0.6 + 0.1 * 0.4
    assert split.reweighting == pytest.approx(0.2)
    assert split.within == pytest.approx(0.1)


def test_style_split_of_a_new_style_is_reweighting():
    split = measure.style_split({"direct": (10, 1)}, {"direct": (5, 1), "wait": (5, 4)})
    # direct: (0.5 - 1) * 0.15 and 0.1 * 0.75; wait: 0.5 * 0.8
    assert split.reweighting == pytest.approx(-0.075 + 0.4)
    assert split.within == pytest.approx(0.075)
    assert split.gain == pytest.approx(0.4)


COUNTS = st.dictionaries(
    st.sampled_from("abcd"),
    st.integers(0, 9).flatmap(lambda n: st.integers(0, n).map(lambda c: (n, c))),
    min_size=1,
).filter(lambda table: sum(n for n, _ in table.values()))


@given(COUNTS, COUNTS)
def test_style_split_adds_up(base, after):
    split = measure.style_split(base, after)
    assert split.reweighting + split.within == pytest.approx(split.gain, abs=1e-12)
    back = measure.style_split(after, base)
    assert (back.reweighting, back.within) == pytest.approx(
        (-split.reweighting, -split.within), abs=1e-12
    )


def test_style_split_refuses_and_by_style_counts():
    for bad in ({}, {"a": (0, 0)}, {"a": (1, 2)}):
        with pytest.raises(ValueError, match="after needs answers"):
            measure.style_split({"a": (1, 1)}, bad)
    traces = [make(parts={"accuracy": x}, completion=c) for x, c in ((1.0, "a"), (0.0, "a"))]
    traces += [make(parts={}, completion="a"), make(parts={"accuracy": 1.0}, completion="b")]
    assert measure.by_style(traces, lambda t: t.completion) == {"a": (2, 1), "b": (1, 1)}


def test_a_lucky_guess_is_right_but_not_verified():
    def of(think, accuracy):
        text = f"<think> {think} </think> <answer> 21 </answer>"
        return make(completion=text, parts={"accuracy": accuracy})

    assert measure.verified(of("7 * 2 + 7 = 14 + 7 = 21.", 1.0))
    assert not measure.verified(of("7 * 2 + 7 = 15 + 7 = 21.", 1.0))  # a false step
    assert not measure.verified(of("i think it is 21.", 1.0))  # no step
    assert not measure.verified(of("7 * 2 + 7 = 14 + 7 = 21.", 0.0))
