"""How does a stage become a run folder? Short visible loops, continued where they stopped.

A run is a folder: run_card.json, metrics.jsonl, traces.jsonl, state/ (what resume needs), and what
the stage gives: checkpoint/ and eval.json, or data/. Leaves out which stages there are
(`graph.py`), back ends (`scale.py`) and what a step does (`trainers.py`).
"""

import dataclasses
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import torch

from r1book import base_config, models, runs, sft, trace, trainers
from r1book.config import Preset
from r1book.graph import GRAPH, STAGES


class RunError(ValueError):
    """A run folder that cannot be started or continued as asked."""


def run(
    name: str,
    preset: Preset,
    *,
    seed: int = 0,
    out,
    upstream=None,
    rewired: Collection[str] = (),
    on_step: Callable[[dict, int], None] | None = None,
    stop_after: int | None = None,
) -> Path:
    """Run a stage into folder `out`, or continue it where it stopped; return the folder.

    `upstream` is a checkpoint folder to start from, or {stage: folder} of what the stage needs
    (default: what is shipped of it). A folder of another stage than the needed one is refused,
    unless that need is named in `rewired`; the card tells it. `on_step(metrics, steps)` is called
    after each step. `stop_after` ends the session after that many steps, state saved, to be
    continued later. A finished run is left as it is.

    Raises RunError when the folder belongs to another run, there is no such stage, or it would
    start from the wrong stage; CheckpointError when the upstream checkpoint is missing or damaged;
    `runs.Busy` when another process trains there; FloatingPointError when training diverges. What
    is on disk stays.

    Taught in notebook 01.
    """
    if name not in STAGES:
        names = ", ".join(s.name for s in GRAPH)
        raise RunError(f"no stage {name!r} to run: expected one of {names}")
    out = Path(out)
    config = getattr(preset, name.replace("-", "_"))
    found = sources(name, upstream)
    lineage = _lineage(name, found, rewired)
    identity = _identity(name, preset, config, seed, found)
    if (out / "run_card.json").is_file() and _open(out, identity) == "finished":
        return out
    work = trainers.trainer(name, config, seed, found)  # refuses what it cannot start from
    if out.exists() and not out.is_dir():
        raise RunError(f"{out} is a file and no run of this book: choose another --out")
    with runs.hold(out):
        state = _open(out, identity)
        if state != "finished":
            seconds = _train(out, work, config, identity, state, on_step, stop_after)
            if seconds is not None:
                _finish(out, work, preset, config, identity, found, lineage, seconds)
    return out


def sources(name: str, upstream=None) -> dict[str, Path]:
    """Return the folder of each stage that a stage needs: as given (one folder, or {stage:
    folder}), else what is shipped.

    A base needs none, and may go on from one that is given. Raises RunError on a name that the
    stage does not need; CheckpointError, for data RunError, where a folder is not there or nothing
    is shipped.
    """
    needs = STAGES[name].needs
    if upstream is None:
        given = {}
    elif isinstance(upstream, Mapping):
        given = {need: Path(folder) for need, folder in upstream.items()}
    else:
        given = {(*needs, name)[0]: Path(upstream)}
    if odd := sorted(set(given) - {*(needs or (name,))}):
        raise RunError(f"{name} takes nothing from {', '.join(odd)}: it needs {', '.join(needs)}")
    out = {need: given.get(need) or shipped(need) for need in needs or tuple(given)}
    for need, folder in out.items():
        if not folder.is_dir():
            kind = models.CheckpointError if STAGES[need].gives == "checkpoint" else RunError
            raise kind(
                f"{folder}: no {STAGES[need].gives} folder. Make it: python -m r1book run {need}"
            )
    return out


def shipped(name: str) -> Path:
    """Return the folder of what is bundled of a stage; CheckpointError, or for data RunError, where
    nothing is."""
    if name not in STAGES or STAGES[name].gives != "data":
        return models.shipped(name)
    folder = models.DATA / "sets" / name
    if not folder.is_dir():
        raise RunError(f"no bundled data of {name}: make it first, `python -m r1book run {name}`")
    return folder


def _lineage(name: str, found: dict[str, Path], rewired: Collection[str]) -> dict[str, str]:
    """Return {need: stage whose folder it is} where that is another one; what has no card counts as
    what was asked for."""
    out = {}
    for need, folder in found.items():
        cards = (folder / "run_card.json", folder.parent / "run_card.json")
        card = next((path for path in cards if path.is_file()), None)
        stage = need if card is None else json.loads(card.read_text(encoding="utf-8"))["stage"]
        if stage == need:
            continue
        if need not in rewired:
            raise RunError(
                f"{name} starts from {need}, but {folder} is of stage {stage}. To rewire the edge, "
                f"name it: --from {need}={folder}"
            )
        out[need] = stage
    return out


def _train(out, work, config, identity, state, on_step, stop_after) -> float | None:
    """Take the steps that are left, saving states and lines; return the seconds of all sessions, or
    None where it stopped before the end."""
    started, before = time.perf_counter(), 0.0
    if state is not None:
        work.restore(state["work"])
        before = state["seconds"]
    begin = 0 if state is None else state["step"]
    offsets = {"metrics": 0, "traces": 0} if state is None else state["offsets"]
    steps = work.steps
    if state is None:
        trace.write_json(out / "state" / "identity.json", identity)
    with (
        trace.Log(out / "metrics.jsonl", offsets["metrics"]) as metrics,
        trace.Log(out / "traces.jsonl", offsets["traces"]) as rollouts,
    ):

        def save(number: int, name: str) -> None:
            metrics.sync()
            rollouts.sync()
            state = {
                "step": number + 1,
                "seconds": before + time.perf_counter() - started,
                "offsets": {"metrics": metrics.offset, "traces": rollouts.offset},
                "work": work.state(),
            }
            buffer = io.BytesIO()
            torch.save(state, buffer)
            trace.write_bytes(out / "state" / name, buffer.getvalue())

        for number in range(begin, begin if work.ended() else steps):
            line, seen = work.step(number)
            metrics.append(line)
            if seen:
                rollouts.append(*seen)
            last = number + 1 == steps or work.ended()
            pause = stop_after is not None and number + 1 - begin >= stop_after
            if last or pause or (number + 1) % config.save_every == 0:
                save(number, "state.pt")
            if number + 1 == work.forks_at:
                save(number, TRUNK)
            if on_step is not None:
                on_step(line, number + 1 if last else work.expected(number + 1))
            if last:
                break
            if pause:
                return None
    return before + time.perf_counter() - started


TRUNK = "trunk.pt"
"""In the state folder of a base's run: its state where the anneal begins."""
ANNEAL = ("asymmetry", "wait", "second", "switched", "anneal_row_tokens")
"""Settings of a base that the anneal alone reads."""


def branch(name: str, preset: Preset, trunk, out, *, seed: int = 0) -> Path:
    """Begin folder `out` with the trunk of another run of the same base; `run` then goes on with
    the anneal, as if it had trained the trunk itself.

    `trunk` is that run's folder; it may be finished. An `out` that exists is left as it is. Raises
    RunError where `trunk` is no such run, has not come to its anneal, or differs in more than the
    settings of the anneal (`ANNEAL`).
    """
    trunk, out = Path(trunk), Path(out)
    if out.exists():
        return out
    wanted = _identity(name, preset, getattr(preset, name.replace("-", "_")), seed, {})
    path, state = trunk / "state" / "identity.json", trunk / "state" / TRUNK
    if not path.is_file():
        raise RunError(f"{trunk} holds no run: train `{name}` there first")
    found = json.loads(path.read_text(encoding="utf-8"))
    told = {k: v for k, v in found.items() if k != "config"}
    differ = sorted(k for k in wanted if k != "config" and told.get(k) != wanted[k])
    if not differ:
        both = found["config"], wanted["config"]
        names = sorted({*both[0], *both[1]} - {*ANNEAL})
        differ = [k for k in names if both[0].get(k) != both[1].get(k)]
    if differ:
        raise RunError(f"the trunk of {trunk} is another one: it differs in {', '.join(differ)}")
    if not state.is_file():
        raise RunError(f"{trunk} has not come to its anneal: let it go on first")
    used = torch.load(state, weights_only=True)["offsets"]["metrics"]
    half = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    shutil.rmtree(half, ignore_errors=True)
    (half / "state").mkdir(parents=True)
    (half / "metrics.jsonl").write_bytes((trunk / "metrics.jsonl").read_bytes()[:used])
    shutil.copy(state, half / "state" / "state.pt")
    trace.write_json(half / "state" / "identity.json", wanted)
    try:
        half.rename(out)  # last: a folder that exists is complete
    except OSError:  # another process was here first
        shutil.rmtree(half)
    return out


def same_trunk(name: str, one: Preset, other: Preset) -> bool:
    """Whether a base of one preset can branch from the trunk of that of the other."""
    field = name.replace("-", "_")
    kept = [
        {k: v for k, v in dataclasses.asdict(getattr(p, field)).items() if k not in ANNEAL}
        for p in (one, other)
    ]
    return kept[0] == kept[1]


def _identity(name, preset, config, seed, found) -> dict:
    """Return what must be equal for a folder to be continued: all of this decides the result."""
    sums = {need: runs.checksum(folder) for need, folder in found.items()}
    return {
        "stage": name,
        "preset": preset.name,
        "config": json.loads(json.dumps(base_config.identity(config))),
        "seed": seed,
        "upstream": sums if len(sums) > 1 else next(iter(sums.values()), None),
    }


def _open(out: Path, identity: dict):
    """Return None for a new folder, 'finished', or the saved state to continue from."""
    if not out.exists():
        return None
    path = out / "state" / "identity.json"
    halves = [
        *out.glob(".*.tmp"),
        *path.parent.glob(".*.tmp"),
    ]  # being written when a run was killed
    if not path.is_file():
        # a run that was killed at its very start leaves a state folder, at most half a file in it
        if not out.is_dir() or set(out.rglob("*")) - {path.parent, *halves}:
            raise RunError(f"{out} is not empty and no run of this book: choose another --out")
        for half in halves:
            half.unlink()
        return None
    found = json.loads(path.read_text())
    differ = sorted(k for k in identity if found.get(k) != identity[k])
    if differ:
        told = "; ".join(f"{k}: {_brief(found.get(k), identity[k])}" for k in differ)
        raise RunError(
            f"{out} holds another run ({told}): choose another --out, or remove the folder"
        )
    if (out / "run_card.json").is_file():
        (path.parent / "state.pt").unlink(
            missing_ok=True
        )  # the last thing a run does; it may have been killed before
        return "finished"
    for half in halves:
        half.unlink()
    state = out / "state" / "state.pt"
    if not state.is_file():
        return None
    try:
        saved = torch.load(state, weights_only=True)
        if set(saved) != {"step", "seconds", "offsets", "work"}:
            raise ValueError(f"it holds {sorted(saved)}")
        return saved
    except Exception as error:  # a damaged pickle raises nearly anything
        raise RunError(
            f"{state} is damaged ({type(error).__name__}): remove {out} and start anew"
        ) from error


def _brief(old, new) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        return ", ".join(
            f"{k} {old.get(k)} there, {new.get(k)} asked" for k in new if old.get(k) != new.get(k)
        )
    return f"{str(old)[:40]} there, {str(new)[:40]} asked"


def _finish(out, work, preset, config, identity, found, lineage, seconds) -> None:
    """Write what the stage gives and, last, the run card that marks the run as finished."""
    started = time.perf_counter()
    given = work.leave(out, preset)
    lines = trace.read_metrics(out / "metrics.jsonl")
    sampled, trained, asked = (
        sum(line.get(k, 0) for line in lines) for k in ("tokens", "trained_tokens", "prompt_tokens")
    )
    # a prompt is passed through once to be answered, and thrice as dear where answers are learnt
    prompts = 2 * bool(sampled) + 6 * bool(trained)
    card = runs.run_card(
        stage=identity["stage"],
        preset=preset,
        seed=identity["seed"],
        upstream=found,
        # what was computed in, not what was asked
        dtype=str(sft.precision(getattr(config, "dtype", "float32"))).removeprefix("torch."),
        threads=torch.get_num_threads(),
        wall_seconds=round(seconds, 1),
        tokens_generated=sampled,
        tokens_trained=trained,
        tokens_prompt=asked,
        flops=float(
            work.parameters() * (6 * trained + 2 * sampled + prompts * asked)
            + 2 * work.beside() * (trained + asked)
        ),
        config=identity["config"],
        eval_seconds=round(time.perf_counter() - started, 1),
        **({"rewired": lineage} if lineage else {}),
        **given,
    )
    trace.write_json(out / "run_card.json", card)
    # only now: without card and state a killed run would start anew
    (out / "state" / "state.pt").unlink(missing_ok=True)
