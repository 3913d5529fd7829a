"""Does the doctor find each illness, name its numbers, and leave the healthy alone?"""

import dataclasses
import doctest
import math
import random

import pytest
from test_trace import make

from r1book import doctor
from r1book.remedies import REMEDIES


def healthy(n, seed=0, first=0.27, last=0.74, noise=0.11):
    """A run like those the miniature world gives: 16 problems a step make accuracy noisy."""
    dice = random.Random(seed)
    rows = []
    for step in range(n):
        progress = 1 - math.exp(-3 * step / max(n, 60))
        accuracy = first + (last - first) * progress + dice.gauss(0, noise)
        accuracy = min(1.0, max(0.02, accuracy))
        rows.append(
            {
                "step": step,
                "accuracy": accuracy,
                "format": 0.75 + 0.18 * progress,
                "reward": accuracy + 0.1 * (0.75 + 0.18 * progress),
                "length": 50 + 70 * progress + dice.gauss(0, 6),
                "length_max": 230,
                "entropy": 0.4 - 0.25 * progress,
                "kl": 0.4 * progress,
                "grad_norm": 0.3 + abs(dice.gauss(0, 0.1)),
                "loss": dice.gauss(0, 0.01),
                "tied_groups": 0.3 + 0.2 * dice.random(),
                "truncated": 0.05,
                "unjudged": 0,
                "tokens": 256 * 100,
            }
        )
    return rows


def changed(rows, start=0, **values):
    """The rows with other values from a step on; a value may be a function of the step."""
    return [
        row | {k: v(row["step"]) if callable(v) else v for k, v in values.items()}
        if row["step"] >= start
        else row
        for row in rows
    ]


def codes(*args, **more):
    return [f.code for f in doctor.diagnose(*args, **more)]


def only(*args, **more):
    """The one finding there must be."""
    (finding,) = doctor.diagnose(*args, **more)
    return finding


def test_examples():
    assert doctest.testmod(doctor).failed == 0


@pytest.mark.parametrize("n", [3, 5, 19, 20, 60, 120, 400])
def test_healthy_runs_raise_no_alarm(n):
    for seed in range(20):
        finding = only(healthy(n, seed), [make(step=n - 1)], length_limit=256)
        assert (finding.code, finding.severity) == ("healthy", "ok")
        assert finding.where == (0, n - 1)


def test_healthy_variants_raise_no_alarm():
    for seed in range(10):
        # slowly down at the end, as without a KL term
        slow = changed(healthy(160, seed), 100, accuracy=lambda s: 0.68 - 0.001 * (s - 100))
        assert codes(slow) == ["healthy"]
        # a weak base: answers shorten while accuracy rises
        shorter = changed(healthy(100, seed), length=lambda s: 80 * math.exp(-s / 40) + 10)
        assert codes(shorter) == ["healthy"]
        # no noise at all, flat but with signal
        flat = changed(healthy(60, seed), accuracy=0.3, reward=0.38)
        assert codes(flat) == ["healthy"]
    copying = only([{"step": i, "loss": 3.0 - 0.1 * i} for i in range(20)])  # SFT
    assert copying.code == "healthy" and "loss" in copying.wrong
    assert "held-out problems" in copying.do and "reward" not in copying.do


def test_too_early():
    assert codes([]) == codes(healthy(2)) == ["too_early"]


def test_flat_zero_after_five_steps():
    finding = only(changed(healthy(5), accuracy=0.0, reward=0.0, tied_groups=1.0, grad_norm=0.0))
    assert (finding.code, finding.severity, finding.where) == ("flat_zero", "stop", (2, 4))
    assert "0.000" in finding.wrong and "100%" in finding.wrong
    assert "easier problems" in finding.do


def test_never_right_while_format_is_learnt():
    finding = only(changed(healthy(5), accuracy=0.0, reward=0.08))
    assert finding.code == "never_right"


def test_a_lucky_first_step_hides_nothing():
    rows = changed(healthy(8), 1, accuracy=0.0, reward=0.0, tied_groups=1.0)
    assert codes(rows) == ["flat_zero"]


def test_flat_one():
    finding = only(changed(healthy(5), accuracy=1.0, reward=1.1, tied_groups=1.0, entropy=0.001))
    assert (finding.code, finding.severity) == ("flat_one", "warn")


def test_flat_in_between():
    finding = only(changed(healthy(30), 20, accuracy=0.4, tied_groups=0.95))
    assert finding.code == "flat_tied" and "95%" in finding.wrong


def test_reward_alone_is_enough():
    rows = [{"step": i, "reward": 0.0, "tied_groups": 1.0} for i in range(5)]
    assert only(rows).wrong.startswith("Reward is 0.000")


def test_format_never_right_and_its_causes():
    rows = changed(healthy(5), format=0.0)
    assert "does not write the tags" in only(rows).wrong
    cut, limit = doctor.diagnose(changed(rows, truncated=0.6))
    assert (cut.code, limit.code) == ("format_zero", "truncation")
    assert cut.do == REMEDIES["format_cut"]
    prefilled = [make(step=4, prompt="assistant : <think>", completion="7 </think> 7")]
    assert only(rows, prefilled).do == REMEDIES["format_prefilled"]
    lost = only(changed(healthy(30), 15, format=0.0))
    assert lost.code == "format_zero" and "0.8" in lost.wrong and "lost" in lost.wrong


def test_truncation():
    finding = only(changed(healthy(5), truncated=0.4), length_limit=128)
    assert (finding.code, finding.severity) == ("truncation", "warn")
    assert "40%" in finding.wrong and "128" in finding.wrong
    assert only(changed(healthy(5), truncated=0.8)).severity == "stop"
    assert codes(changed(healthy(5), length=110.0, tokens=28160), length_limit=128) == [
        "truncation"
    ]


@pytest.mark.parametrize("seed", range(10))
def test_collapse_after_the_peak(seed):
    fall = {name: lambda s: max(0.02, 0.7 - 0.03 * (s - 60)) for name in ("accuracy", "reward")}
    finding = only(changed(healthy(100, seed), 60, **fall))
    assert (finding.code, finding.severity) == ("collapse", "stop")
    assert finding.where[1] == 99 and 20 <= finding.where[0] <= 62
    assert finding.do == REMEDIES["collapse"]


def test_collapse_to_zero_is_a_collapse_and_nothing_else():
    rows = changed(healthy(80), 40, accuracy=0.0, reward=0.0, tied_groups=1.0, grad_norm=0.0)
    assert codes(rows) == ["collapse"]


def test_a_reward_that_is_hacked():
    rows = changed(healthy(100), 50, accuracy=0.1, reward=1.2)
    finding = only(rows)
    assert finding.code == "collapse" and finding.do == REMEDIES["hacked"]
    assert "while the reward held" in finding.wrong


def test_length_collapse():
    rows = changed(healthy(100), accuracy=0.4, reward=0.48)
    finding = only(changed(rows, 50, length=12.0))
    assert finding.code == "length_collapse" and "to 12 tokens" in finding.wrong


def test_repetition():
    loop = [make(step=99, index=i, completion="try 7 * 1 = 7 : no " * 20) for i in range(2)]
    search = " ".join(f"try {a} * {b} = {a * b} : no" for a in range(9) for b in range(9))
    honest = [make(step=99, index=i, completion=search) for i in range(8)]
    finding = only(healthy(100), loop + honest)
    assert finding.code == "repetition" and finding.where == (99, 99)
    assert "2 of 10" in finding.wrong
    assert codes(healthy(100), honest) == ["healthy"]
    early = [dataclasses.replace(t, step=3) for t in loop]
    assert codes(healthy(100), honest + early) == ["healthy"]  # only the latest are looked at


def test_repeats_by_hand():
    # "a b c d" * 20: 80 words, 77 runs of four, 4 different ones
    assert doctor.repeats("a b c d " * 20) == pytest.approx(1 - 4 / 77)
    assert doctor.repeats("!" * 100) == pytest.approx(1 - 1 / 97)
    assert doctor.repeats("等" * 100) == pytest.approx(1 - 1 / 97)
    assert doctor.repeats("a b c d " * 9) == 0.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_not_finite_even_at_the_first_step(value):
    finding = only([{"step": 0, "loss": value, "kl": 0.1}])
    assert (finding.code, finding.severity, finding.where) == ("non_finite", "stop", (0, 0))
    assert finding.wrong.startswith("loss not finite at step 0")
    later = changed(healthy(30), 25, kl=value)
    assert [f.where for f in doctor.diagnose(later) if f.code == "non_finite"] == [(25, 29)]
    trace = make(step=4, group=2, advantage=value)
    assert "group 2 of step 4" in only(healthy(5), [trace]).wrong


def test_null_is_not_measured_and_no_alarm():
    assert codes(changed(healthy(30), kl=None, unjudged=None, entropy=None)) == ["healthy"]


def test_entropy_death():
    finding = only(changed(healthy(30), 10, entropy=0.004, accuracy=0.5))
    assert finding.code == "entropy_death" and "0.0040" in finding.wrong
    # the same entropy a token leaves long answers different from each other
    long = changed(healthy(30), entropy=0.01, length=1000.0, tokens=256000)
    assert codes(long) == ["healthy"]


def test_kl_blow_up():
    finding = only(changed(healthy(30), 15, kl=4.0))
    assert (finding.code, finding.severity) == ("kl_blow_up", "warn")
    assert only(changed(healthy(30), 15, kl=40.0)).severity == "stop"


def test_no_gradient():
    finding = only(changed(healthy(5), grad_norm=0.0))
    assert (finding.code, finding.severity) == ("no_gradient", "stop")


def test_many_unjudged():
    # 25,600 tokens of answers of 100 tokens: 256 answers, 64 of them unjudged
    rows = changed(healthy(5), length=100.0, unjudged=64)
    finding = only(rows)
    assert (finding.code, finding.severity) == ("unjudged", "warn") and "25%" in finding.wrong
    assert only(changed(rows, unjudged=192)).severity == "stop"
    bare = [{"step": i, "accuracy": 0.3} for i in range(5)]
    assert codes(bare, [make(total=None), make()]) == ["unjudged"]


def test_causes_stand_before_consequences():
    rows = changed(healthy(6), format=0.0, truncated=1.0, accuracy=0.0, reward=0.0, tied_groups=1.0)
    assert codes(rows) == ["format_zero", "truncation", "flat_zero"]


def test_report_is_readable():
    text = doctor.report(doctor.diagnose(changed(healthy(5), truncated=0.4)))
    assert text.startswith("[warn] truncation (steps 2-4)\n  seen: 40%")
    assert "\n  do:   Raise the length limit" in text
    assert doctor.report([]) == ""


def test_inputs_are_left_as_they_were():
    rows, traces = healthy(30), [make()]
    before = repr((rows, traces))
    doctor.diagnose(rows, traces)
    assert repr((rows, traces)) == before
