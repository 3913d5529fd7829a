"""Is a verdict what the numbers say, and does the queue train what is missing and nothing twice?"""

import doctest
import json
import math
import statistics

import pytest

from r1book import claims, effects, intervals, models

LEDGER = models.DATA / "claims" / "claims.yaml"
BASE = {
    "logic": {
        "pass@1": 0.2, "mean_tokens": 50.0, "samples": 16, "maj@16": 0.3,
        "target_language_share": 0.9, "styles": {"direct": [8, 2], "steps": [2, 1]},
        "levels": {"1": {"tokens": 40.0}, "5": {"tokens": 55.0}}, "lengths": {"wrong": 60.0},
        "reflection": {"per_answer": 0.5, "per_token": 0.01, "share": 0.3},
        "acts": {"per_answer": 0.25, "per_token": 0.005, "share": 0.2},
        "languages": {"en": 0.7, "zh": 0.95}, "counts": [[1, 4, 4], [4, 4, 1], [5, 4, 0]],
    }
}  # fmt: skip


def of(**values) -> dict:
    """Return an evaluation that differs from the base's in some values."""
    return {"logic": {**BASE["logic"], **values}}


def ledger(*tests: claims.Test, level=0.95) -> claims.Ledger:
    arms = {n: claims.Arm(n, "r1-zero", (), None) for n in ("a", "b")}
    made = tuple(claims.Claim(f"C{i}", "s", "s", "p", (t,)) for i, t in enumerate(tests))
    return claims.Ledger(made, arms, (0, 1, 2, 3), False, level)


def accuracy(direction="up", sesoi=0.1, less=None) -> claims.Test:
    return claims.Test("t", "accuracy", "a", direction, sesoi, less, {"benchmark": "logic"})


def judged(test, values, others=(), **how) -> claims.Finding:
    seen = {
        ("eval", name): {seed: of(**{"pass@1": x}) for seed, x in enumerate(each)}
        for name, each in (("a", values), ("b", others))
    }
    return claims.judge(ledger(test, **how), seen, BASE)["C0"][0]


def test_examples():
    assert doctest.testmod(intervals).failed == 0


# ---- measures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "more", "want"),
    [
        ("accuracy", {}, 0.2), ("tokens", {}, 50.0), ("tokens_gap", {}, 15.0),
        ("wrong_tokens", {}, 60.0), ("language", {}, 0.9), ("vote", {}, 0.1),
        ("reflection", {"per": "answer"}, 0.5), ("reflection", {"per": "token"}, 0.01),
        ("acts", {"per": "answer"}, 0.25), ("within_style", {}, 0.0),
        ("language", {"asked": "en"}, 0.7), ("language_gap", {}, 0.25),
        ("pass_at", {"k": 2, "levels": [4, 5]}, 0.25), ("pass_at", {"k": 4, "levels": [1]}, 1.0),
    ],
)  # fmt: skip
def test_measures_take_what_they_say(name, more, want):
    assert effects.MEASURES[name](BASE, BASE, "logic", **more) == pytest.approx(want)


def test_gain_within_a_style_is_against_the_base():
    own = of(styles={"direct": [5, 2], "steps": [5, 4]})
    # shares 0.8 to 0.5 and 0.2 to 0.5; accuracies 0.25 to 0.4 and 0.5 to 0.8
    want = 0.15 * (0.8 + 0.5) / 2 + 0.3 * (0.2 + 0.5) / 2
    assert effects.MEASURES["within_style"](own, BASE, "logic") == pytest.approx(want)


# ---- verdicts ------------------------------------------------------------------------------------


def test_student_t_against_its_tables_and_closed_forms():
    for df, t in ((1, 6.314), (2, 2.920), (9, 1.833), (30, 1.697)):  # 95 %, one-sided
        assert intervals.t_cdf(t, df) == pytest.approx(0.95, abs=1e-4)
    for t in (-3.0, -0.5, 0.0, 1.0, 4.0):
        assert intervals.t_cdf(t, 1) == pytest.approx(0.5 + math.atan(t) / math.pi)
        assert intervals.t_cdf(t, 2) == pytest.approx(0.5 + t / (2 * math.sqrt(2 + t * t)))
    with pytest.raises(ValueError, match="df"):
        intervals.t_cdf(1.0, 0)


def test_chances_by_hand():
    values = [0.3, 0.5, 0.4]
    t = (0.4 - 0.1) / (statistics.stdev(values) / math.sqrt(3))
    above = 0.5 + t / (2 * math.sqrt(2 + t * t))
    assert claims.chances(values, accuracy()) == pytest.approx((1 - above, above))
    down = claims.chances([-x for x in values], accuracy("down"))
    assert down == pytest.approx((1 - above, above))
    keeps = claims.chances([x - 0.2 for x in values], accuracy("keeps"))
    assert keeps == pytest.approx((1 - above, above))  # 0.2 above a loss of 0.1: t is the same


@pytest.mark.parametrize(
    ("direction", "values", "verdict"),
    [
        ("up", [0.30, 0.31, 0.32, 0.30], claims.SHOWN),
        ("up", [0.01, 0.02, 0.00, 0.01], claims.NOT_SHOWN),
        ("up", [0.00, 0.10, 0.25, 0.12], claims.UNDECIDED),
        ("up", [-0.30, -0.31, -0.32, -0.30], claims.NOT_SHOWN),
        ("down", [-0.30, -0.31, -0.32, -0.30], claims.SHOWN),
        ("down", [0.30, 0.31, 0.32, 0.30], claims.NOT_SHOWN),
        ("keeps", [0.00, -0.01, 0.01, 0.00], claims.SHOWN),
        ("keeps", [-0.20, -0.21, -0.20, -0.19], claims.NOT_SHOWN),
        ("keeps", [-0.20, 0.10, -0.05, -0.30], claims.UNDECIDED),
        ("up", [0.30], claims.MISSING),
        ("up", [], claims.MISSING),
        ("up", [0.2, 0.2], claims.SHOWN),
        ("up", [0.1, 0.1], claims.UNDECIDED),
    ],
)
def test_verdict_compares_with_the_smallest_effect_of_interest(direction, values, verdict):
    finding = judged(accuracy(direction), values)
    assert finding.verdict == verdict
    assert finding.effects == pytest.approx(values)
    assert (finding.interval is None) == (len(values) < 2)


def test_effects_are_differences_seed_by_seed():
    finding = judged(accuracy(less="b"), [0.5, 0.7, 0.9], [0.1, 0.4])
    assert finding.effects == pytest.approx([0.4, 0.3])  # the third has no partner


def test_many_tests_need_more_evidence():
    values = [0.2, 0.3, 0.24, 0.28]
    alone = judged(accuracy(), values)
    assert 0.0025 < alone.p < 0.05 and alone.verdict == claims.SHOWN
    seen = {("eval", "a"): {i: of(**{"pass@1": x}) for i, x in enumerate(values)}}
    many = claims.judge(ledger(*[accuracy()] * 20), seen, BASE)
    for (finding,) in many.values():
        assert finding.p == pytest.approx(20 * alone.p)
        assert finding.verdict == claims.UNDECIDED


def test_a_claim_is_shown_when_all_of_its_tests_are():
    def told(*verdicts):
        return claims.verdict([claims.Finding(accuracy(), (), None, None, v) for v in verdicts])

    assert told(claims.SHOWN, claims.SHOWN) == claims.SHOWN
    assert told(claims.SHOWN, claims.UNDECIDED) == claims.UNDECIDED
    assert told(claims.SHOWN, claims.UNDECIDED, claims.MISSING) == claims.MISSING
    assert told(claims.MISSING, claims.NOT_SHOWN, claims.UNDECIDED) == claims.NOT_SHOWN


def test_the_table_tells_effect_interval_and_limit():
    found = claims.judge(
        ledger(accuracy(), accuracy("keeps", 0.03)),
        {("eval", "a"): {0: of(**{"pass@1": 0.3}), 1: of(**{"pass@1": 0.5})}},
        BASE,
    )
    text = claims.table(ledger(accuracy(), accuracy("keeps", 0.03)), found)
    assert "exploratory" in text and "+0.4" in text and "| > -0.03 | 2 |" in text
    assert text.count("\n| C") == 2


# ---- the ledger on disk --------------------------------------------------------------------------


def test_the_ledger_of_the_book_can_be_read():
    book = claims.load(LEDGER)
    assert {"C01", "C02", "C03", "C04", "C05", "C06"} <= {c.id for c in book.claims}
    if not book.frozen:
        assert set(book.seeds) <= set(range(5))  # the confirmatory seeds stay unseen
    arms = [(arm.name, seed) for arm, seed in claims.jobs(book)]
    assert len(arms) == len(set(arms)) and ("r1-zero", 0) in arms
    assert "base" not in {name for name, _ in arms}  # bundled: nothing to train


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("arm: r1-zero,", "arm: r2,", "no arm 'r2'"),
        ("measure: accuracy", "measure: beauty", "no measure 'beauty'"),
        ("direction: up", "direction: sideways", "sideways"),
        ("sesoi: 0.1", "sesoi: 0", "above 0"),
        ("id: C02", "id: C01", "C01 stands twice"),
        ('mini-MATH", measure', 'logic", measure', "test .*logic' stands twice"),
        ("base: {model: base}", "base: {}", "a stage or a model"),
        ("frozen: false", "froze: false", "KeyError"),
        ("coin: {stage: r1-zero", "coin: {stage: r2", "arm coin: no stage 'r2', expected base"),
        ("base: {model: base}", "bases: {model: base}", "no arm 'base'|an arm `base`"),
        ("sesoi: 0.05", "sesoi: much", "sesoi 'much': expected a number"),
        ("of: {benchmark: logic}", "of: {bench: logic}", "missing a required argument"),
        ("arm: on-policy, less: distill-qwen", "arm: base", "the same for all seeds"),
        ("claims:", "claims: [", "ParserError"),
    ],
)
def test_a_ledger_with_a_mistake_is_refused(old, new, told, tmp_path):
    text = LEDGER.read_text(encoding="utf-8")
    (tmp_path / "c.yaml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"c.yaml.*(?s:.*){told}"):
        claims.load(tmp_path / "c.yaml")


def test_an_evaluation_and_a_start_must_exist(tmp_path):
    text = LEDGER.read_text(encoding="utf-8")
    for old, new, told in (
        ("measure: accuracy", "evaluation: wider, measure: accuracy", "no evaluation 'wider'"),
        ("coin: {stage: r1-zero", "coin: {start: later, stage: r1-zero", "starts from later"),
        ("coin: {stage: r1-zero", "coin: {start: {chat: base}, stage: r1-zero", "takes chat, expe"),
    ):
        (tmp_path / "c.yaml").write_text(text.replace(old, new), encoding="utf-8")
        with pytest.raises(ValueError, match=told):
            claims.load(tmp_path / "c.yaml")


def test_recorded_runs_are_found_by_arm_in_the_order_of_seeds(tmp_path):
    for name in (
        "rl-seed10-0123abcd",
        "rl-seed2-0123abcd",
        "rl-long-seed1-0123abcd",
        "base-89abcdef",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "eval.json").write_text(json.dumps({"of": name}))
    assert [run["of"][:9] for run in claims.recorded(tmp_path, "rl")] == ["rl-seed2-", "rl-seed10"]
    assert claims.recorded(tmp_path, "base") == [{"of": "base-89abcdef"}]
    (tmp_path / "rl-seed10-0123abcd").rename(tmp_path / "rl-seed100-0123abcd")
    assert [run["of"][:9] for run in claims.recorded(tmp_path, "rl")] == ["rl-seed2-"]
    late = claims.recorded(tmp_path, "rl", seeds=range(100, 110))  # confirmatory, if asked for
    assert [run["of"][:9] for run in late] == ["rl-seed10"]
    assert claims.recorded(tmp_path, "base", seeds=range(100, 110)) == [{"of": "base-89abcdef"}]
    with pytest.raises(ValueError, match="no recorded wide of arm 'rl'"):
        claims.recorded(tmp_path, "rl", "wide")
    (tmp_path / "rl-seed2-89abcdef").mkdir()
    (tmp_path / "rl-seed2-89abcdef" / "eval.json").write_text("{}")
    with pytest.raises(ValueError, match="two runs of arm 'rl' with seed 2"):
        claims.recorded(tmp_path, "rl")


def test_tests_without_runs_count_among_the_many():
    values = [0.3, 0.32, 0.31, 0.29]
    alone = judged(accuracy(), values)
    seen = {("eval", "a"): {seed: of(**{"pass@1": x}) for seed, x in enumerate(values)}}
    absent = claims.Test("t", "accuracy", "b", "up", 0.1, None, {"benchmark": "logic"})
    many = claims.judge(ledger(accuracy(), *[absent] * 9), seen, BASE)
    assert many["C1"][0].verdict == claims.MISSING
    assert many["C0"][0].p == pytest.approx(10 * alone.p)  # as if all nine had been run


def test_without_the_base_only_what_asks_for_it_is_missing():
    within = claims.Test("w", "within_style", "a", "up", 0.1, None, {"benchmark": "logic"})
    seen = {("eval", "a"): {seed: of(**{"pass@1": 0.5}) for seed in range(4)}}
    found = claims.judge(ledger(accuracy(), within), seen, None)
    assert found["C0"][0].verdict != claims.MISSING == found["C1"][0].verdict
