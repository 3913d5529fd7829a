"""How does a stage become a run folder? Short visible loops, continued where they stopped.

A run is a folder: run_card.json, metrics.jsonl, traces.jsonl, eval.json, checkpoint/ and state/
(what resume needs). Leaves out which stages there are (`graph.py`), back ends (`scale.py`)
and what a single step does (`rl.py`, `sft.py`).
"""

import dataclasses
import io
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import torch

from r1book import evaluate, gates, models, rl, runs, sft, trace
from r1book.config import Preset, PretrainConfig, RLConfig
from r1book.graph import GRAPH, STAGES
from r1book.world import corpus


class RunError(ValueError):
    """A run folder that cannot be started or continued as asked."""


def run(
    name: str,
    preset: Preset,
    *,
    seed: int = 0,
    out,
    upstream=None,
    on_step: Callable[[dict, int], None] | None = None,
    stop_after: int | None = None,
) -> Path:
    """Run a stage into folder `out`, or continue it where it stopped; return the folder.

    `upstream` is a checkpoint folder to start from (default: the shipped one of the stage's first
    need). `on_step(metrics, steps)` is called after each step. `stop_after` ends the session after
    that many steps, state saved, to be continued later. A finished run is left as it is.

    Raises RunError when the folder belongs to another run, or the stage is not built;
    CheckpointError when the upstream checkpoint is missing or damaged; `runs.Busy` when another
    process trains there; FloatingPointError when training diverges. What is on disk stays.

    Taught in notebook 01.
    """
    if name not in STAGES or not STAGES[name].built:
        names = ", ".join(s.name for s in GRAPH if s.built)
        raise RunError(f"no stage {name!r} to run: expected one of {names}")
    out = Path(out)
    if name in ("base", "qwen-base", "llama-base"):
        config: PretrainConfig | RLConfig = getattr(preset, name.replace("-", "_"))
        source = None if upstream is None else Path(upstream)
        work = _Pretrain(name, config, seed, source)
    else:
        config = getattr(preset, name.replace("-", "_"))
        source = Path(upstream) if upstream is not None else models.shipped(STAGES[name].needs[0])
        work = _Reinforce(config, seed, source)
    identity = _identity(name, preset, config, seed, source)
    if out.exists() and not out.is_dir():
        raise RunError(f"{out} is a file and no run of this book: choose another --out")
    with runs.hold(out):
        state = _open(out, identity)
        if state != "finished":
            _train(out, work, preset, config, seed, identity, source, state, on_step, stop_after)
    return out


def _train(out, work, preset, config, seed, identity, source, state, on_step, stop_after) -> None:
    """Take the steps that are left, saving states and lines, and finish the folder."""
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

        for number in range(begin, steps):
            line, seen = work.step(number)
            metrics.append(line)
            if seen:
                rollouts.append(*seen)
            last = number + 1 == steps
            pause = stop_after is not None and number + 1 - begin >= stop_after
            if last or pause or (number + 1) % config.save_every == 0:
                save(number, "state.pt")
            if number + 1 == work.forks_at:
                save(number, TRUNK)
            if on_step is not None:
                on_step(line, steps)
            if pause and not last:
                return
    _finish(
        out, work, preset, config, seed, identity, source, before + time.perf_counter() - started
    )


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
    wanted = _identity(name, preset, getattr(preset, name.replace("-", "_")), seed, None)
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


def _identity(name, preset, config, seed, source) -> dict:
    """Return what must be equal for a folder to be continued: all of this decides the result."""
    return {
        "stage": name,
        "preset": preset.name,
        "config": json.loads(json.dumps(dataclasses.asdict(config))),
        "seed": seed,
        "upstream": runs.checksum(source) if source is not None else None,
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


def _finish(out, work, preset, config, seed, identity, source, seconds) -> None:
    """Write checkpoint, evaluation and, last, the run card that marks the run as finished."""
    models.save(work.model, out / "checkpoint", torch.bfloat16)
    model, tokenizer = models.load(out / "checkpoint")
    started = time.perf_counter()
    # the same questions for every run, so that runs can be compared problem by problem
    result = evaluate.evaluate(model, tokenizer, preset.evaluation)
    trace.write_json(out / "eval.json", result)
    more = work.report(model, tokenizer, out)
    lines = trace.read_metrics(out / "metrics.jsonl")
    needs = STAGES[identity["stage"]].needs or (identity["stage"],)  # a base may go on from a base
    upstream = {needs[0]: source} if source is not None else {}
    card = runs.run_card(
        stage=identity["stage"],
        preset=preset,
        seed=seed,
        upstream=upstream,
        dtype=str(sft.precision(config.dtype)).removeprefix(
            "torch."
        ),  # what was computed in, not what was asked
        threads=torch.get_num_threads(),
        wall_seconds=round(seconds, 1),
        tokens_generated=sum(line.get("tokens", 0) for line in lines),
        tokens_trained=sum(line.get("trained_tokens", 0) for line in lines),
        flops=float(
            6 * models.parameters(work.model) * sum(line.get("trained_tokens", 0) for line in lines)
            + 2 * models.parameters(work.model) * sum(line.get("tokens", 0) for line in lines)
        ),
        config=identity["config"],
        eval_seconds=round(time.perf_counter() - started, 1),
        checkpoint={
            "sha256": runs.checksum(out / "checkpoint"),
            "parameters": models.parameters(work.model),
        },
        **more,
    )
    trace.write_json(out / "run_card.json", card)
    # only now: without card and state a killed run would start anew
    (out / "state" / "state.pt").unlink(missing_ok=True)


class _Pretrain:
    """Base training: rows of documents from (seed, step), the anneal's mixture after the
    trunk's."""

    def __init__(self, name: str, config: PretrainConfig, seed: int, source: Path | None = None):
        self.config, self.seed = config, seed
        self.limits = gates.LIMITS if name == "base" else gates.STUDENT_LIMITS
        self.trunk = config.sums_steps + config.trunk_steps
        self.steps = self.trunk + config.anneal_steps
        self.forks_at = self.trunk if source is None and config.anneal_steps else None
        self.model = models.build(config.model, seed) if source is None else models.load(source)[0]
        self.optimizers = sft.optimizers(
            self.model, config.lr, weight_decay=config.weight_decay, kind=config.optimizer
        )
        anneal = corpus.anneal(
            config.asymmetry, wait=config.wait, second=config.second, switched=config.switched
        )
        self.mixtures = [
            dataclasses.replace(mixture, direct=config.direct)
            for mixture in (corpus.ARITHMETIC, corpus.TRUNK, anneal)
        ]
        self.dtype = sft.precision(config.dtype)
        self.forward = sft.compiled(self.model) if config.compile else None

    def step(self, number: int):
        c = self.config
        trunk = number < self.trunk
        mixture = self.mixtures[0 if number < c.sums_steps else 1 if trunk else 2]
        length = c.row_tokens if trunk else c.anneal_row_tokens
        count = max(1, c.step_tokens // length)
        rows = sft.rows(mixture, self.seed, number, count, length)
        share = sft.warm_then_fall(
            number, self.steps, c.warmup, max(c.anneal_steps, self.steps // 4)
        )
        sft.set_rate(self.optimizers, share)
        started = time.perf_counter()
        got = sft.update(
            self.model,
            self.optimizers,
            rows[:, :-1],
            rows[:, 1:],
            grad_clip=c.grad_clip,
            dtype=self.dtype,
            forward=self.forward,
        )
        return {
            "step": number,
            **got,
            "lr": c.lr * share,
            "trained_tokens": count * length,
            "part": "trunk" if trunk else "anneal",
            "seconds": round(time.perf_counter() - started, 3),
        }, []

    def state(self) -> dict:
        return {
            "model": self.model.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
        }

    def restore(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)

    def report(self, model, tokenizer, out: Path) -> dict:
        """Measure the gates of a base, or of a student base; write them beside the run card."""
        found = gates.measure(model, tokenizer, limits=self.limits)
        trace.write_json(out / "gates.json", found)
        return {"gates_passed": found["passed"]}


class _Reinforce:
    """RL: a policy, an optional reference that is refreshed, AdamW without decay."""

    forks_at = None

    def __init__(self, config: RLConfig, seed: int, source: Path):
        self.config, self.seed, self.steps = config, seed, config.steps
        self.model, self.tokenizer = models.load(source)
        self.reference = models.load(source)[0].requires_grad_(False) if config.beta else None
        self.optimizers = sft.optimizers(self.model, config.lr)

    def step(self, number: int):
        c = self.config
        if self.reference is not None and number and number % c.reference_refresh == 0:
            self.reference.load_state_dict(self.model.state_dict())
        done = rl.step(
            self.model, self.reference, self.tokenizer, self.optimizers, c, self.seed, number
        )
        keep = number % c.trace_every == 0 or number + 1 == c.steps
        return done.metrics, done.traces if keep else []

    def state(self) -> dict:
        out = {
            "model": self.model.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
        }
        return out | (
            {"reference": self.reference.state_dict()} if self.reference is not None else {}
        )

    def restore(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        if self.reference is not None:
            self.reference.load_state_dict(state["reference"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)

    def report(self, model, tokenizer, out: Path) -> dict:
        return {}
