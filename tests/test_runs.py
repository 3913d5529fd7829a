"""Does the card tell how a run was made, and does an excerpt keep what chapters need?"""

import dataclasses
import hashlib
import json
import os
import platform
import shutil
import subprocess

import pytest
from test_trace import make

from r1book import runs, trace


@dataclasses.dataclass(frozen=True)
class Preset:
    """A preset as the config has it."""

    name: str = "laptop"
    """Its name."""
    group_size: int = 16
    """Answers to each prompt."""


def test_checksum_of_a_file_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert runs.checksum(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_checksum_of_a_folder_hangs_on_names_and_contents_only(tmp_path):
    for name, order in (("x", "ab"), ("y", "ba")):
        (tmp_path / name / "sub").mkdir(parents=True)
        for file in order:
            (tmp_path / name / file).write_bytes(file.encode())
        (tmp_path / name / "sub" / "c").write_bytes(b"c")
    os.utime(tmp_path / "y" / "a", (1, 1))
    one = hashlib.sha256()
    for file in ("a", "b", "sub/c"):
        one.update(f"{hashlib.sha256(file[-1].encode()).hexdigest()}  {file}\n".encode())
    assert runs.checksum(tmp_path / "x") == runs.checksum(tmp_path / "y") == one.hexdigest()
    (tmp_path / "x" / "__pycache__").mkdir()
    (tmp_path / "x" / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"compiled here, today")
    assert runs.checksum(tmp_path / "x") == one.hexdigest()
    (tmp_path / "y" / "b").rename(tmp_path / "y" / "d")
    assert runs.checksum(tmp_path / "x") != runs.checksum(tmp_path / "y")
    with pytest.raises(FileNotFoundError, match="nothing to take a checksum of"):
        runs.checksum(tmp_path / "none")


def test_card(tmp_path, monkeypatch):
    base = tmp_path / "models" / "base"
    base.mkdir(parents=True)
    (base / "model.safetensors").write_bytes(b"weights")
    monkeypatch.chdir(tmp_path)
    card = runs.run_card(
        stage="r1-zero",
        preset=Preset(),
        seed=3,
        upstream={"base": base, "data": {"sha256": "0"}},
        dtype="float32",
        threads=2,
        wall_seconds=1.5,
        tokens_generated=10,
        tokens_trained=8,
        flops=1e9,
        steps=4,
    )
    trace.write_json(tmp_path / "run_card.json", card)
    card = json.loads((tmp_path / "run_card.json").read_text())
    assert card["preset"] == {"name": "laptop", "group_size": 16}
    assert card["upstream"]["base"] == {"path": "models/base", "sha256": runs.checksum(base)}
    assert card["upstream"]["data"] == {"sha256": "0"}
    assert card["versions"]["python"] == platform.python_version()
    assert card["versions"]["numpy"][0].isdigit()
    assert (card["stage"], card["seed"], card["steps"], card["flops"]) == ("r1-zero", 3, 4, 1e9)
    assert 5_000_000 < card["peak_rss"] < 10**11  # bytes: a Python process, not kilobytes of one
    with pytest.raises(ValueError, match="git"):
        runs.run_card(stage="s", preset={}, seed=0, git="x")


def test_card_does_not_tell_folders_outside(tmp_path, monkeypatch):
    (tmp_path / "home" / "base").mkdir(parents=True)
    (tmp_path / "home" / "base" / "w").write_bytes(b"w")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    card = runs.run_card(stage="s", preset={}, seed=0, upstream={"base": tmp_path / "home/base"})
    assert card["upstream"]["base"]["path"] == "base"


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_git_state_is_that_of_the_file(tmp_path):
    def git(*words):
        subprocess.run(
            ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *words],
            check=True,
            capture_output=True,
        )

    (tmp_path / "ours.py").write_text("1")
    assert runs.git_state(tmp_path / "ours.py") == {"commit": None, "dirty": None}
    git("init")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "run.json").write_text("1")
    git("add", "ours.py", "data")
    git("commit", "-m", "one")
    (tmp_path / "data" / "run.json").write_text("2")  # recorded anew
    (tmp_path / "installed.py").write_text("1")
    state = runs.git_state(tmp_path / "ours.py")
    assert len(state["commit"]) == 40 and state["dirty"] is False
    assert runs.git_state(tmp_path / "installed.py")["commit"] is None
    (tmp_path / "ours.py").write_text("2")
    assert runs.git_state(tmp_path / "ours.py") == {"commit": state["commit"], "dirty": True}


# ---- excerpts ------------------------------------------------------------------------------------


def a_run(folder, steps, groups, size, text="seven"):
    trace.write_json(folder / "run_card.json", {"stage": "r1-zero"})
    trace.append(folder / "metrics.jsonl", ({"step": s, "reward": 0.5} for s in range(steps)))
    trace.write_json(folder / "eval.json", {"mini-MATH": {"pass@1": 0.5}})
    trace.append(
        folder / "traces.jsonl",
        (
            make(s, g, i, f"{text} {s} {g} {i}", ids=[1, 2], logprobs=[-0.5, -0.5])
            for s in range(steps)
            for g in range(groups)
            for i in range(size)
        ),
    )


def test_excerpt_keeps_whole_groups_of_first_middle_and_last_steps(tmp_path):
    a_run(tmp_path / "run", steps=41, groups=3, size=4)
    told = runs.record(tmp_path / "run", tmp_path / "out", max_traces=50)
    kept = trace.read(tmp_path / "out" / "traces.jsonl.gz")
    assert told["traces"] == len(kept) == 48  # 12 groups of 4
    # nine steps once, in turn; the first, the last and the middle one a second time
    assert told["steps"] == [0, 5, 10, 15, 20, 25, 30, 35, 40]
    groups = {}
    for t in kept:
        groups.setdefault((t.step, t.group), []).append(t.index)
    assert all(members == [0, 1, 2, 3] for members in groups.values())
    assert sorted(step for step, group in groups if group == 1) == [0, 20, 40]
    assert [(t.step, t.group) for t in kept] == sorted((t.step, t.group) for t in kept)
    assert all(t.ids is None and t.logprobs is None for t in kept)
    assert (tmp_path / "out" / "eval.json").read_bytes() == (
        tmp_path / "run" / "eval.json"
    ).read_bytes()


def test_excerpt_fits_and_is_the_same_each_time(tmp_path):
    noise = "".join(hashlib.sha256(bytes([i])).hexdigest() for i in range(20))
    a_run(tmp_path / "run", steps=20, groups=4, size=2, text=noise)
    whole = runs.record(tmp_path / "run", tmp_path / "a")
    assert whole["traces"] == 72  # nine of the steps, all their groups
    told = runs.record(tmp_path / "run", tmp_path / "a", max_bytes=whole["bytes"] - 1)
    assert 0 < told["traces"] < 72 and told["traces"] % 2 == 0
    sizes = sum(f.stat().st_size for f in (tmp_path / "a").iterdir())
    assert sizes == told["bytes"] < whole["bytes"]
    runs.record(tmp_path / "run", tmp_path / "b", max_bytes=whole["bytes"] - 1)
    name = "traces.jsonl.gz"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_excerpt_refuses_what_is_no_run_or_too_large(tmp_path):
    with pytest.raises(FileNotFoundError, match="not the folder of a run"):
        runs.record(tmp_path, tmp_path / "out")
    a_run(tmp_path / "run", steps=3, groups=1, size=2)
    with pytest.raises(ValueError, match="more than the 50"):
        runs.record(tmp_path / "run", tmp_path / "out", max_bytes=50)
    (tmp_path / "run" / "traces.jsonl").unlink()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "traces.jsonl.gz").write_bytes(b"of an earlier recording")
    assert runs.record(tmp_path / "run", tmp_path / "out")["traces"] == 0
    assert not (tmp_path / "out" / "traces.jsonl.gz").exists()
