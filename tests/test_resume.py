"""Does a run that is killed or out of disk come to the same end as one that is not?"""

import dataclasses
import errno
import functools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_models import FORKS
from test_stages import (
    GATES,
    TINY,
    given_small_gates,  # noqa: F401
    given_straight,  # noqa: F401
    given_upstream,  # noqa: F401
    names,
    result,
)

from r1book import gates, graph, runs, stages, trace
from r1book.config import CurateConfig, SFTConfig

# ---- killed --------------------------------------------------------------------------------------


def run_killed(name, out, upstream, fatal: str, nth: int, preset=TINY) -> None:
    """Run a stage, and be killed just before the `nth` event called `fatal`; in its own process.

    The line of a log that is the fatal event is written by half.
    """
    torch.set_num_threads(1)
    gates.measure = functools.partial(GATES, problems_each=1, samples=1)
    left = nth

    def happen(what: str, half=None):
        nonlocal left
        left -= what == fatal
        if what == fatal and left == 0:
            if half is not None:
                half()
            os.kill(os.getpid(), signal.SIGKILL)

    def announced(call, label):
        def wrapped(*args, **options):
            happen(f"{label} {Path(args[-1]).name}")
            return call(*args, **options)

        return wrapped

    os.replace = announced(os.replace, "replace")
    Path.mkdir = announced(Path.mkdir, "mkdir")
    Path.unlink = announced(Path.unlink, "unlink")
    append = trace.Log.append

    def appended(self, *records):
        data = trace.encode(records[0])
        happen(f"append {self.path.name}", lambda: self._file.write(data[: len(data) // 2]))
        append(self, *records)

    trace.Log.append = appended
    stages.run(name, preset, out=out, upstream=upstream)


def killed(name, out, upstream, fatal: str, nth: int, preset=TINY) -> bool:
    """Return whether a run was killed there; False: it came to its end without."""
    child = FORKS.Process(target=run_killed, args=(name, out, upstream, fatal, nth, preset))
    child.start()
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL), f"{fatal}: exit {child.exitcode}"
    return child.exitcode != 0


POINTS = [
    ("r1-zero", "mkdir state", 1),  # right after the start
    ("r1-zero", "replace identity.json", 1),
    ("r1-zero", "append metrics.jsonl", 1),  # in the first line, nothing is saved
    ("r1-zero", "append traces.jsonl", 2),  # a line of metrics has no traces yet
    ("r1-zero", "replace state.pt", 2),  # the logs are ahead of the state
    ("r1-zero", "append metrics.jsonl", 4),
    ("r1-zero", "replace checkpoint", 1),  # trained, not yet written down
    ("r1-zero", "replace eval.json", 1),
    ("r1-zero", "replace run_card.json", 1),
    ("r1-zero", "unlink state.pt", 1),  # all is there
    ("base", "append metrics.jsonl", 2),
    ("base", "replace state.pt", 2),
    ("base", "replace gates.json", 1),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fatal", "nth"), POINTS)
def test_killed_anywhere_a_run_comes_to_the_same_end(
    tmp_path, straight, upstream, name, fatal, nth
):
    out, source = tmp_path / "run", upstream if name != "base" else None
    assert killed(name, out, source, fatal, nth)
    stages.run(name, TINY, out=out, upstream=source)
    assert result(out) == result(straight / name)
    assert names(out) == names(straight / name)  # nothing is left behind


@pytest.mark.parametrize("fatal", ["append metrics.jsonl", "replace checkpoint"])
def test_killed_a_run_that_ends_by_its_operations_takes_no_step_more(tmp_path, upstream, fatal):
    less = dataclasses.replace(TINY.r1_zero, operations=1e6)
    preset = dataclasses.replace(TINY, r1_zero=less)
    whole = stages.run("r1-zero", preset, out=tmp_path / "whole", upstream=upstream)
    assert len(trace.read_metrics(whole / "metrics.jsonl")) < TINY.r1_zero.steps
    assert killed("r1-zero", tmp_path / "run", upstream, fatal, 1, preset)
    stages.run("r1-zero", preset, out=tmp_path / "run", upstream=upstream)
    assert result(tmp_path / "run") == result(whole)


def test_killed_again_and_again(tmp_path, straight, upstream):
    out, deaths = tmp_path / "run", 0
    # two steps, then killed in the third; the state is saved every second step
    while killed("r1-zero", out, upstream, "append metrics.jsonl", 3):
        deaths += 1
        lines = trace.read_metrics(out / "metrics.jsonl", live=True)
        assert [line["step"] for line in lines] == list(range(2 * deaths))
        assert deaths < 3, "no session comes further than the one before it"
    assert deaths == 2
    assert result(out) == result(straight / "r1-zero")


def test_killed_from_outside(tmp_path, straight, upstream):
    out = tmp_path / "run"
    child = FORKS.Process(target=run_killed, args=("r1-zero", out, upstream, "", 0))
    child.start()
    log = out / "metrics.jsonl"
    while child.is_alive() and not (log.exists() and log.stat().st_size):
        child.join(0.002)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    stages.run("r1-zero", TINY, out=out, upstream=upstream)
    assert result(out) == result(straight / "r1-zero")


FEW = {"steps": 3, "prompts_per_step": 6, "save_every": 2}
SMALL = dataclasses.replace(
    TINY,
    chat=SFTConfig(examples=8, passes=2, batch=4, dtype="float32", save_every=2),
    cold_start_data=CurateConfig(**FEW, samples=2, max_new_tokens=96, families={"math": 1.0}),
    reasoning_rl=dataclasses.replace(TINY.r1_zero, reward="rules"),
    rejection_sampling=CurateConfig(**FEW, samples=2, max_new_tokens=96, free_form=2),
    sft_800k=TINY.cold_start,
    preferences=dataclasses.replace(TINY.preferences, save_every=2),
    reward_models=dataclasses.replace(TINY.reward_models, examples=40),
    all_scenario_rl=dataclasses.replace(TINY.all_scenario_rl, steps=3, save_every=2),
    distillation_data=CurateConfig(**FEW, samples=2, max_new_tokens=96, free_form=2),
    distill_qwen=TINY.cold_start,
    distill_llama=TINY.cold_start,
    on_policy_distill=dataclasses.replace(TINY.r1_zero, reward="rules"),
)
LATER = [s.name for s in graph.GRAPH if s.needs and s.name != "r1-zero"]


@pytest.mark.slow
@pytest.mark.parametrize("name", LATER)
def test_every_stage_killed_twice_comes_to_the_same_end(tmp_path, name):
    """From what the book ships of the stages before, with few steps."""
    whole, out = stages.run(name, SMALL, out=tmp_path / "whole"), tmp_path / "run"
    assert killed(name, out, None, "append metrics.jsonl", 2, SMALL)  # a step that is not saved
    assert killed(name, out, None, "replace run_card.json", 1, SMALL)  # all but finished
    stages.run(name, SMALL, out=out)
    gives = graph.STAGES[name].gives
    assert runs.checksum(out / gives) == runs.checksum(whole / gives)
    logs = [trace.read_metrics(folder / "metrics.jsonl") for folder in (out, whole)]
    timeless = [[{k: v for k, v in e.items() if "seconds" not in k} for e in log] for log in logs]
    assert timeless[0] == timeless[1] and len(timeless[0]) > 1
    assert names(out) == names(whole)


# ---- out of disk ---------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["state.pt", "run_card.json", "eval.json", "checkpoint"])
def test_without_disk_a_run_stops_and_can_go_on(tmp_path, straight, upstream, monkeypatch, at):
    out, replace, calls = tmp_path / "run", os.replace, []

    def failing(source, target):
        if Path(target).name == at:
            calls.append(target)
            if len(calls) == 2 or at != "state.pt":
                raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing)
        with pytest.raises(OSError, match=r"No space left on device") as caught:
            stages.run("r1-zero", TINY, out=out, upstream=upstream)
    assert caught.value.errno == errno.ENOSPC and at in str(caught.value)
    state = torch.load(out / "state" / "state.pt", weights_only=True)
    assert state["step"] == (2 if at == "state.pt" else 5)  # the earlier state, or the last one
    assert not list(out.rglob(".*"))
    begun = []
    stages.run(
        "r1-zero", TINY, out=out, upstream=upstream, on_step=lambda line, _: begun.append(line)
    )
    assert len(begun) == 5 - state["step"]
    assert result(out) == result(straight / "r1-zero")
    assert names(out) == names(straight / "r1-zero")


def test_a_disk_that_is_really_full(tmp_path, straight, upstream):
    if not sys.platform.startswith("linux") or shutil.which("mount") is None:
        pytest.skip("needs mount")
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk]
    if subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("may not mount a small disk here: needs root")
    try:
        out = disk / "run"
        stages.run("r1-zero", TINY, out=out, upstream=upstream, stop_after=2)
        before = runs.checksum(out / "state")
        (disk / "filler").write_bytes(b"0" * (shutil.disk_usage(disk).free - 20_000))
        with pytest.raises(OSError, match=r"state.pt|\.jsonl") as caught:
            stages.run("r1-zero", TINY, out=out, upstream=upstream)
        assert caught.value.errno == errno.ENOSPC
        assert runs.checksum(out / "state") == before
        (disk / "filler").unlink()
        stages.run("r1-zero", TINY, out=out, upstream=upstream)
        assert result(out) == result(straight / "r1-zero")
    finally:
        subprocess.run(["umount", disk], check=True)
