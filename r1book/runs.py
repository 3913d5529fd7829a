"""What is kept of a run besides its lines? Its card, its weights' checksum, a small excerpt.

Left out: how lines and files are written (`trace.py`), how a stage runs (`stages.py`).
"""

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from r1book import trace

# Nine evenly spaced steps hold the first, the middle and the last one, and leave each of them about
# as many groups as one step of the laptop preset has.
RECORDED_STEPS = 9
LIBRARIES = ("r1book", "torch", "transformers", "tokenizers", "safetensors", "numpy", "trl", "peft")


def checksum(path) -> str:
    """sha256 of a file, or of a folder: names and contents of its files, in the order of names,
    without what Python keeps of compiled modules (`__pycache__`), which every machine has its own.

    Raises FileNotFoundError for a missing path or an empty folder. Taught in notebook 00.
    """
    path = Path(path)
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    files = {
        f.relative_to(path).as_posix(): f
        for f in path.rglob("*")
        if f.is_file() and f.parent.name != "__pycache__"
    }
    if not files:
        raise FileNotFoundError(errno.ENOENT, "nothing to take a checksum of", str(path))
    whole = hashlib.sha256()
    for name in sorted(files, key=str.encode):
        whole.update(f"{checksum(files[name])}  {name}\n".encode())
    return whole.hexdigest()


class Busy(ValueError):
    """A folder that another process writes into."""


@contextlib.contextmanager
def hold(folder):
    """Make a folder, or take it as it is, and keep other processes that ask from writing into it.

    The hold ends with the block, or with the process, however that ends. Raises Busy where another
    process has it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(
                f"{folder} is being written by another process: wait for it, or choose another "
                "folder"
            ) from None
        yield
    finally:
        os.close(handle)


def peak_rss() -> int:
    """Largest resident memory of this process so far, in bytes."""
    # the same field counts bytes on macOS and kilobytes on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def git_state(file=__file__) -> dict:
    """Commit of the repository that tracks `file`, and whether it has changes; else None.

    Changes in data/ do not count: recording a run makes some, and what the next run takes from
    there has its checksum in the card.
    """
    file = Path(file).resolve()

    def git(*words):
        command = ["git", "-C", str(file.parent), *words]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10
        ).stdout

    try:
        # an installed copy may lie inside somebody else's repository, whose commit says nothing
        # about it
        git("ls-files", "--error-unmatch", file.name)
        commit = git("rev-parse", "HEAD").strip()
        return {
            "commit": commit,
            "dirty": bool(git("status", "--porcelain", "-uno", "--", ":/", ":(top,exclude)data")),
        }
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)  # asks the installed package's record: nothing is imported
    except metadata.PackageNotFoundError:
        return None


def _upstream(path) -> dict:
    """Where a checkpoint came from and what it was; outside the working folder only its name."""
    if isinstance(path, Mapping):
        return dict(path)
    whole, here = Path(path).resolve(), Path.cwd().resolve()
    # cards are published: they must not tell how somebody's home folder is called
    shown = whole.relative_to(here).as_posix() if whole.is_relative_to(here) else whole.name
    return {"path": shown, "sha256": checksum(path)}


def run_card(
    *,
    stage: str,
    preset,
    seed: int,
    upstream: Mapping | None = None,
    dtype: str | None = None,
    threads: int | None = None,
    wall_seconds: float | None = None,
    tokens_generated: int | None = None,
    tokens_trained: int | None = None,
    flops: float | None = None,
    **more,
) -> dict:
    """All that is needed to make a run again and to know what it cost, as plain values.

    preset: a frozen dataclass or a dict, with every resolved value. upstream: checkpoint folders by
    the stage they come from, e.g. {"base": "data/models/base"}; each gets its checksum. more:
    further plain entries. Versions are those installed; nothing is imported for them. Taught in
    notebook 00.
    """
    plain = dataclasses.asdict(preset) if dataclasses.is_dataclass(preset) else dict(preset)
    if clash := {"v", "versions", "platform", "cores", "git", "peak_rss"} & set(more):
        raise ValueError(f"run_card fills {sorted(clash)} itself; give these entries other names")
    return {
        "v": trace.VERSION,
        "stage": stage,
        "preset": plain,
        "seed": seed,
        "upstream": {name: _upstream(path) for name, path in (upstream or {}).items()},
        **machine(),
        "threads": threads,
        "dtype": dtype,
        "git": git_state(),
        "wall_seconds": wall_seconds,
        "peak_rss": peak_rss(),
        "tokens_generated": tokens_generated,
        "tokens_trained": tokens_trained,
        "flops": flops,
        **more,
    }


def machine() -> dict:
    """Return what a figure of speed depends on: {"versions", "platform", "cores"}."""
    return {
        "versions": {"python": platform.python_version()} | {x: _version(x) for x in LIBRARIES},
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
    }


# ---- the excerpt ---------------------------------------------------------------------------------


def _spread(n: int) -> list[int]:
    """Up to RECORDED_STEPS of the positions 0 … n-1: first, last, middle, then the gaps between."""
    last = RECORDED_STEPS - 1
    order = (0, last, last // 2, *range(1, last // 2), *range(last // 2 + 1, last))
    return list(dict.fromkeys(round(i * (n - 1) / last) for i in order))


def _choose(sizes: dict[tuple[int, int], int], max_traces: int) -> list[tuple[int, int]]:
    """Whole groups (step, group), the most needed first, with at most `max_traces` traces in all.

    sizes: traces in each group. Steps take turns, so that dropping groups from the end thins all of
    them.
    """
    by_step: dict[int, list] = {}
    for key in sorted(sizes):
        by_step.setdefault(key[0], []).append(key)
    steps = sorted(by_step)
    turns = [by_step[steps[i]] for i in _spread(len(steps))] if steps else []
    chosen, room = [], max_traces
    for turn in range(max(map(len, turns), default=0)):
        for groups in turns:
            if turn < len(groups) and sizes[groups[turn]] <= room:
                chosen.append(groups[turn])
                room -= sizes[groups[turn]]
    return chosen


def record(run_folder, out_folder, max_traces: int = 2000, max_bytes: int = 1_000_000) -> dict:
    """Keep the card, the metrics, the evaluation and a gzipped excerpt of the traces of a run.

    Whole groups, from up to nine steps between the first and the last; without token ids and
    log-probabilities; all files together at most `max_bytes`. The same run gives the same bytes.
    Returns {"traces": …, "steps": […], "bytes": …}. Raises FileNotFoundError without card or
    metrics, ValueError when these alone are too large. Taught in notebook 01.
    """
    run, out = Path(run_folder), Path(out_folder)
    keep = {}
    for name in ("run_card.json", "metrics.jsonl", "eval.json"):
        if (run / name).is_file():
            keep[name] = (run / name).read_bytes()
        elif name != "eval.json":
            raise FileNotFoundError(
                errno.ENOENT, "not the folder of a run: this file is missing", str(run / name)
            )
    list(trace.lines(run / "metrics.jsonl"))  # a broken line must not be shipped
    room = max_bytes - sum(map(len, keep.values()))
    if room < 0:
        raise ValueError(
            f"card, metrics and evaluation of {run} take {max_bytes - room} bytes, more than the "
            f"{max_bytes} of a recorded run: log fewer steps, or raise max_bytes"
        )
    sizes: dict[tuple[int, int], int] = {}
    source = run / "traces.jsonl"
    if source.is_file():
        for t in trace.iterate(source):
            sizes[t.step, t.group] = sizes.get((t.step, t.group), 0) + 1
    chosen = _choose(sizes, max_traces)
    wanted, kept = set(chosen), {}
    for t in trace.iterate(source) if chosen else ():
        if (t.step, t.group) in wanted:
            line = trace.encode(dataclasses.replace(t, ids=None, logprobs=None)) + b"\n"
            kept.setdefault((t.step, t.group), []).append(line)

    def excerpt(n: int) -> bytes:
        return trace.compress(b"".join(b"".join(kept[key]) for key in sorted(chosen[:n])))

    low, high = 0, len(chosen)  # the most groups that fit: compressed size grows with their number
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(excerpt(middle)) <= room else (low, middle - 1)
    if low:
        keep["traces.jsonl.gz"] = excerpt(low)
    else:  # an excerpt of an earlier recording must not stand beside this card
        (out / "traces.jsonl.gz").unlink(missing_ok=True)
    for name, data in keep.items():
        trace.write_bytes(out / name, data)
    return {
        "traces": sum(sizes[key] for key in chosen[:low]),
        "steps": sorted({step for step, _ in chosen[:low]}),
        "bytes": sum(map(len, keep.values())),
    }
