"""Does the queue train what is missing and nothing twice, and does recording lose nothing?"""

import functools
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from r1book import claims, config, evaluate, gates, models, runs
from r1book.cli import app
from r1book.cli.queue import SETTINGS, Queue

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
    out, record = tmp_path / "runs", tmp_path / "told" / "found.json"
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
    mine, other = (
        tmp_path / "kept" / queue.name(book.arms["zero"], 1),
        tmp_path / "kept" / "old-01234567",
    )
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


@pytest.mark.parametrize(("frozen", "other"), [("false", "confirmatory"), ("true", "exploratory")])
def test_verdicts_of_one_kind_do_not_overwrite_those_of_the_other(tmp_path, frozen, other):
    (tmp_path / "c.yaml").write_text(TINY.replace("frozen: false", f"frozen: {frozen}"))
    call = ["claims", "--out", str(tmp_path), "--ledger", str(tmp_path / "c.yaml"), "--runs", "0"]
    done = CliRunner().invoke(app, [*call, "--record", str(tmp_path / f"{other}.json")])
    assert done.exit_code == 2 and f"and its verdicts not {other}" in done.output


def made(tmp_path, text: str, recorded: Path | None = None) -> Queue:
    """Return the queue of a ledger; its runs lie in `runs`."""
    (tmp_path / "c.yaml").write_text(text)
    book = claims.load(tmp_path / "c.yaml")
    return Queue(book, config.preset("laptop"), tmp_path / "runs", recorded)


@pytest.mark.parametrize("place", [".", "runs/claims", "runs/claims/kept"])
def test_recording_over_the_runs_themselves_is_refused_and_loses_nothing(tmp_path, place):
    (tmp_path / "c.yaml").write_text(TINY)
    out = tmp_path / "runs" / "claims"
    for folder in (out / "zero-seed0-01234567", tmp_path / "runs" / "r1-zero"):
        folder.mkdir(parents=True)
        (folder / "run_card.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    record = tmp_path / place / "verdicts.json"
    call = ["claims", "--out", str(out), "--ledger", str(tmp_path / "c.yaml"), "--runs", "0"]
    done = CliRunner().invoke(app, [*call, "--record", str(record)])
    assert done.exit_code == 2 and "give --record a file in another folder" in done.output
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("other", ["notes", "zero-seed0-01234567"])
def test_what_is_no_recorded_run_is_never_removed(tmp_path, other):
    queue = made(tmp_path, TINY)
    (tmp_path / "kept" / other).mkdir(parents=True)
    (tmp_path / "kept" / other / "metrics.jsonl").write_text("")  # a run at work
    with pytest.raises(ValueError, match=f"{other} is no recorded run"):
        queue.keep(tmp_path / "kept")
    assert (tmp_path / "kept" / other / "metrics.jsonl").is_file()


def test_the_book_s_own_record_takes_no_other_settings():
    call = ["claims", "--runs", "0", "--record", str(models.DATA / "claims" / "exploratory.json")]
    done = CliRunner().invoke(app, [*call, "--set", "r1-zero.lr=1e-3"])
    assert done.exit_code == 2 and "not --set r1-zero.lr=1e-3" in done.output


def test_a_run_that_waits_for_what_nobody_trains_says_so(tmp_path, capsys):
    queue = made(tmp_path, GRID)
    told = r"zero-strong: what .* train it, too: --arm strong --arm zero-strong$"
    with pytest.raises(ValueError, match=told):
        queue.work(arms=["zero-strong"], pause=0)
    assert "waiting for another process: 2 runs are left" in capsys.readouterr().err


def test_a_run_that_another_process_trains_is_waited_for(tmp_path, monkeypatch, capsys):
    queue, slept = made(tmp_path, GRID), []
    strong = tmp_path / "runs" / queue.name(queue.book.arms["strong"], 0)
    with runs.hold(strong), monkeypatch.context() as patch:
        patch.setattr(time, "sleep", lambda s: slept.append(s) or (len(slept) == 9 and 1 / 0))
        with pytest.raises(ZeroDivisionError):  # went on waiting
            queue.work(arms=["zero-strong"], pause=0.5)
    assert slept == [0.5] * 9
    assert capsys.readouterr().err.count("waiting for another process") == 1


def test_a_finished_run_whose_checkpoint_is_gone_is_named(tmp_path):
    queue = made(tmp_path, GRID)
    folder = tmp_path / "runs" / queue.name(queue.book.arms["strong"], 0)
    folder.mkdir(parents=True)
    (folder / "run_card.json").write_text("{}")
    with pytest.raises(ValueError, match=r"strong-seed0-.* its checkpoint.* is gone: remove"):
        queue.work(arms=["strong"])


def test_an_evaluation_with_other_settings_is_not_taken(tmp_path):
    queue = made(tmp_path, GRID)
    zero = queue.book.arms["zero-strong"]
    folder = tmp_path / "runs" / queue.name(zero, 0)
    folder.mkdir(parents=True)
    for told, taken in (
        ({SETTINGS: queue.how("wide")}, True),
        ({SETTINGS: {**queue.how("wide"), "samples": 5}}, False),
        ({}, False),
    ):
        (folder / "wide.json").write_text(json.dumps(told))
        assert (queue.found(zero, 0, "wide.json") is not None) is taken
    more = made(tmp_path, GRID.replace("problems: 3, samples: 4", "problems: 3, samples: 5"))
    (folder / "wide.json").write_text(json.dumps({SETTINGS: queue.how("wide")}))
    assert more.name(zero, 0) == folder.name and more.found(zero, 0, "wide.json") is None


def test_a_recorded_run_is_trained_again_for_an_evaluation_that_it_lacks(tmp_path):
    queue = made(tmp_path, GRID, tmp_path / "kept")
    jobs = [(queue.book.arms[name], 0) for name in ("strong", "zero-strong", "zero-reversed")]
    for arm, seed in jobs:
        folder = tmp_path / "kept" / queue.name(arm, seed)
        folder.mkdir(parents=True)
        (folder / "run_card.json").write_text("{}")

    def left():  # of seed 0
        return [arm.name for arm, seed in queue.left() if seed == 0]

    assert left() == ["strong", "reversed", "zero-strong"]  # reversed: no card; wide is missing
    wide = tmp_path / "kept" / queue.name(*jobs[1]) / "wide.json"
    wide.write_text(json.dumps({SETTINGS: queue.how("wide")}))
    assert "zero-strong" not in left()
    wide.unlink()
    (tmp_path / "runs" / queue.name(*jobs[1]) / "checkpoint").mkdir(parents=True)
    assert "zero-strong" not in left()  # can be evaluated as it is


def test_an_evaluation_that_another_process_is_at_is_waited_for(tmp_path, monkeypatch):
    queue = made(tmp_path, TINY)
    base = tmp_path / "runs" / queue.name(queue.book.arms["base"], 0)
    monkeypatch.setattr(evaluate, "evaluate", lambda *_: pytest.fail("was done elsewhere"))
    hold = runs.hold(base)
    hold.__enter__()

    def other_process_ends(pause):
        (base / "eval.json").write_text("{}")
        hold.__exit__(None, None, None)

    monkeypatch.setattr(time, "sleep", other_process_ends)
    queue.evaluate()
    assert queue.found(queue.book.arms["base"], 0, "eval.json") is not None
