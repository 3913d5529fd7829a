"""Is a verdict what the numbers say, and does the queue train what is missing and nothing twice?"""

import doctest
import functools
import json
import math
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from r1book import claims, config, effects, gates, intervals, models, runs
from r1book.cli import app
from r1book.cli.ledger import Queue

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


TINY = """
frozen: false
level: 0.95
exploratory_seeds: [0, 1]
confirmatory_seeds: [100]
arms: {base: {model: base}, zero: {stage: r1-zero}, coin: {stage: r1-zero, set: [reward=random]}}
claims:
  - id: C01
    statement: s
    source: s
    planted_by: p
    tests:
      - {name: t, measure: accuracy, of: &of {benchmark: mini-MATH}, arm: zero, less: base,
         direction: up, sesoi: 0.1}
      - {name: u, measure: tokens, of: *of, arm: zero, less: coin, direction: up, sesoi: 1}
"""
SMALL = (
    "r1-zero.steps=1", "r1-zero.prompts_per_step=2", "r1-zero.group_size=2",
    "r1-zero.max_new_tokens=8", "evaluation.problems=2", "evaluation.samples=2",
    'evaluation.benchmarks=["mini-MATH"]', "evaluation.max_new_tokens=8",
)  # fmt: skip


@pytest.mark.slow
def test_the_queue_goes_on_where_it_stopped_and_trains_nothing_twice(tmp_path):
    (tmp_path / "c.yaml").write_text(TINY)
    out, record = tmp_path / "runs", tmp_path / "found.json"
    call = ["claims", "--out", str(out), "--ledger", str(tmp_path / "c.yaml")]
    call += [part for setting in SMALL for part in ("--set", setting)]

    def run(*more):
        done = CliRunner().invoke(app, [*call, *more])
        assert done.exit_code == 0, done.output
        return done.output

    assert "0 of 4 runs" in run("--runs", "0")
    asked = CliRunner().invoke(app, [*call, "--arm", "heads"])
    assert asked.exit_code == 2 and "no arm heads in the ledger; it has base" in asked.output
    assert claims.MISSING in run("--arm", "zero", "--runs", "1")
    assert [p.parent.name.startswith("zero") for p in out.rglob("run_card.json")] == [True]
    assert claims.MISSING in run("--runs", "2")
    first = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    assert sum(p.name == "run_card.json" for p in first) == 3
    told = run("--record", str(record))
    assert "3 of 4 runs" in told and claims.MISSING not in told
    assert {p: p.stat().st_mtime_ns for p in first} == first
    found = json.loads(record.read_text())
    assert [len(t["effects"]) for t in found["claims"][0]["tests"]] == [2, 2]
    assert found["claims"][0]["verdict"] in claims.VERDICTS
    assert "4 of 4 runs" in run()
    assert "0 of 4 runs" in run("--runs", "0", "--set", "r1-zero.lr=1e-3")  # other settings


@pytest.mark.slow
def test_two_processes_share_a_queue(tmp_path):
    (tmp_path / "c.yaml").write_text(TINY)
    out = tmp_path / "runs"
    call = [sys.executable, "-m", "r1book", "claims", "--out", out, "--ledger", tmp_path / "c.yaml"]
    call += [part for setting in SMALL for part in ("--set", setting)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    both = [subprocess.Popen(call, text=True, stderr=subprocess.PIPE, env=env) for _ in range(2)]
    told = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    begun = [re.findall("preset laptop, seed (.), into (.*?):", text) for text in told]
    assert sorted(begun[0] + begun[1]) == sorted({*begun[0], *begun[1]}) and all(begun)
    assert len(list(out.glob("*/run_card.json"))) == 4


def test_what_is_recorded_is_kept_where_it_is_and_what_no_arm_takes_goes(tmp_path, monkeypatch):
    (tmp_path / "c.yaml").write_text(TINY)
    book, basis = claims.load(tmp_path / "c.yaml"), config.preset("laptop")
    queue = Queue(book, basis, tmp_path / "none", tmp_path / "kept")
    mine, other = tmp_path / "kept" / queue.name(book.arms["zero"], 1), tmp_path / "kept" / "old-1"
    for folder in (mine, other):
        folder.mkdir(parents=True)
        for name in ("eval.json", "run_card.json"):
            (folder / name).write_text("{}")
    monkeypatch.chdir(tmp_path)
    queue.keep(Path("kept"))  # the same folder by another name, as from the command line
    assert sorted(p.name for p in mine.iterdir()) == ["eval.json", "run_card.json"]
    assert not other.exists()

    (tmp_path / "c.yaml").write_text(TINY.replace("frozen: false", "frozen: true"))
    book = claims.load(tmp_path / "c.yaml")
    assert book.seeds == (100,) and book.explored == (0, 1)
    other.mkdir()
    queue = Queue(book, basis, tmp_path / "none", tmp_path / "kept")
    queue.keep(tmp_path / "kept")  # once frozen, exploratory runs are still taken, others are not
    assert [p.name for p in (tmp_path / "kept").iterdir()] == [mine.name]


def test_a_base_waits_for_the_trunk_that_another_process_trains(tmp_path):
    (tmp_path / "c.yaml").write_text(GRID)
    book = claims.load(tmp_path / "c.yaml")
    queue = Queue(book, config.preset("laptop"), tmp_path, None)
    strong, other = book.arms["strong"], book.arms["reversed"]
    folder = tmp_path / queue.name(strong, 0)
    assert not queue.waits(other, 0)  # nobody is at it
    script = "import sys; from r1book import runs\nwith runs.hold(sys.argv[1]): print(1), input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-uc", script, folder], **pipes) as holder:
        assert holder.stdout.readline() == "1\n"
        with pytest.raises(runs.Busy, match="another process"), runs.hold(folder):
            pass
        assert queue.waits(other, 0) and not queue.waits(strong, 0)
        (folder / "state").mkdir()
        (folder / "state" / "trunk.pt").touch()
        assert not queue.waits(other, 0)
        holder.kill()
    with runs.hold(folder):  # killed: it holds nothing
        assert queue.waits(book.arms["zero-strong"], 0)  # its base is not trained


GRID = """
frozen: false
level: 0.95
exploratory_seeds: [0, 1]
confirmatory_seeds: [100]
evaluations: {wide: {problems: 3, samples: 4, benchmarks: [logic]}}
arms:
  base: {model: base}
  strong: {stage: base, seed: 0}
  reversed: {stage: base, seed: 0, set: [asymmetry=reversed]}
  zero-strong: {stage: r1-zero, start: strong}
  zero-reversed: {stage: r1-zero, start: reversed}
claims:
  - id: C04
    statement: s
    source: s
    planted_by: p
    tests:
      - {name: t, measure: tokens, of: {benchmark: mini-MATH}, arm: zero-reversed,
         less: zero-strong, direction: up, sesoi: 0.1}
      - {name: u, measure: pass_at, of: {benchmark: logic, k: 4, levels: [1, 2, 3, 4, 5]},
         evaluation: wide, arm: zero-strong, less: base, direction: down, sesoi: 0.1}
"""
TWO_BASES = (
    *SMALL, "base.sums_steps=1", "base.trunk_steps=1", "base.anneal_steps=1", "base.warmup=1",
    "base.step_tokens=384", "base.compile=false", "base.model.layers=1", "base.model.hidden=32",
    "base.model.mlp=32", "base.model.heads=2", "base.model.kv_heads=2",
)  # fmt: skip


@pytest.mark.slow
def test_bases_share_their_trunk_and_runs_start_from_their_base(tmp_path, monkeypatch):
    few = functools.partial(gates.measure, problems_each=1, samples=1)
    monkeypatch.setattr(gates, "measure", few)
    (tmp_path / "c.yaml").write_text(GRID)
    out = tmp_path / "runs"
    call = ["claims", "--out", str(out), "--ledger", str(tmp_path / "c.yaml")]
    call += [part for setting in TWO_BASES for part in ("--set", setting)]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    assert claims.MISSING not in done.output
    (one,), (two,) = (list(out.glob(f"{name}-seed0-*")) for name in ("strong", "reversed"))
    lines = [(folder / "metrics.jsonl").read_text().splitlines() for folder in (one, two)]
    assert lines[0][:2] == lines[1][:2] and lines[0][2] != lines[1][2]  # seconds are equal, too
    cards = [json.loads(p.read_text()) for p in out.glob("zero-*/run_card.json")]
    assert len(cards) == 4
    trained = {runs.checksum(folder / "checkpoint") for folder in (one, two)}
    assert len(trained) == 2 and {c["upstream"]["base"]["sha256"] for c in cards} == trained
    wide = [json.loads(p.read_text()) for p in out.glob("*/wide.json")]
    assert len(wide) == 3  # the bundled base once, zero-strong for two seeds
    assert all([n for _, n, _ in told["logic"]["counts"]] == [4, 4, 4] for told in wide)


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
    with pytest.raises(ValueError, match="no recorded wide of arm 'rl'"):
        claims.recorded(tmp_path, "rl", "wide")


@pytest.mark.parametrize(("frozen", "other"), [("false", "confirmatory"), ("true", "exploratory")])
def test_verdicts_of_one_kind_do_not_overwrite_those_of_the_other(tmp_path, frozen, other):
    (tmp_path / "c.yaml").write_text(TINY.replace("frozen: false", f"frozen: {frozen}"))
    call = ["claims", "--out", str(tmp_path), "--ledger", str(tmp_path / "c.yaml"), "--runs", "0"]
    done = CliRunner().invoke(app, [*call, "--record", str(tmp_path / f"{other}.json")])
    assert done.exit_code == 2 and f"and its verdicts not {other}" in done.output
