"""How is a stage trained from a terminal? `run`: one stage, or all in their order.

Leaves out what a stage does and how a run is continued (`stages.py`).
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from r1book import config, doctor, problems
from r1book.cli.read import diagnosis
from r1book.cli.shell import Seed, folder_of, say, set_threads, table
from r1book.cli.watch import Watch

PIPELINE = ("all", "pipeline")


def adjusted(preset: config.Preset, stage: str | None, changes: list[str]) -> config.Preset:
    """Return the preset with settings applied; without a stage, each names its own: `stage.field`.

    Raises ValueError on an unknown field, stage or benchmark, or a value of another kind.
    """
    for change in changes:
        head, dot, rest = change.partition(".")
        if head == "evaluation" and dot:
            preset = replace(preset, evaluation=config.override(preset.evaluation, [rest]))
        elif stage is None:
            preset = config.override(preset, [head.replace("-", "_") + dot + rest])
        else:
            field = stage.replace("-", "_")
            changed = config.override(getattr(preset, field), [change])
            preset = replace(preset, **{field: changed})
    for name in preset.evaluation.benchmarks:  # now, not after an hour of training
        problems.load(name, 1, split=preset.evaluation.split)
    return preset


def run(
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="A stage of `graph`, or all.")],
    preset: Annotated[str, typer.Option(help=f"One of {', '.join(config.PRESETS)}.")] = "laptop",
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run folder (default runs/STAGE); of all: above it."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="CHECKPOINT", help="Start here, not from the bundled one."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Change a setting: steps=20, or evaluation.problems=20; of all: r1-zero.steps=20. "
            "Repeatable.",
        ),
    ] = None,
    stop_after: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many steps; continue later.")
    ] = None,
    retrain_base: Annotated[
        bool, typer.Option("--retrain-base", help="Of all: train the bases, too.")
    ] = False,
) -> None:
    """Train a stage into a folder, or all stages.

    `all` takes them in their order, each from the one before, into DIR/STAGE. The same command
    continues a run that was stopped, and leaves a finished one as it is.
    """
    from r1book import stages

    set_threads()
    built = [s for s in stages.GRAPH if s.built]
    name = stage.replace("_", "-")
    if name not in [*PIPELINE, *(s.name for s in built)]:
        why = "comes in a later chapter" if name in stages.STAGES else "is unknown"
        names = ", ".join(s.name for s in built)
        raise ValueError(f"stage {stage!r} {why}: expected all or one of {names}")
    if retrain_base and (source is not None or name not in PIPELINE):
        raise ValueError(
            "--retrain-base belongs to `run all`, without --from; `run base` trains a base alone"
        )
    chosen = config.preset(preset)
    chosen = adjusted(chosen, None if name in PIPELINE else name, changes or [])
    start = None if source is None else folder_of(source)
    if name in PIPELINE:
        used = {need for s in built for need in s.needs}
        todo = [s for s in built if s.needs or (retrain_base and s.name in used)]
        _pipeline(todo, chosen, seed, out or Path("runs"), start, stop_after)
    elif train(name, chosen, seed, out or Path("runs") / name, start, stop_after) is None:
        say("To train it anew, remove that folder or choose another --out.")


def _pipeline(todo, preset, seed, out: Path, start, stop_after) -> None:
    """Train stages into folders of `out`; `start` stands for the bundled base."""
    names = [s.name for s in todo]
    results = []
    for s in todo:
        upstream = None
        if s.needs and s.needs[0] in names:
            upstream = out / s.needs[0] / "checkpoint"
        elif s.needs and s.needs[0] == "base":
            upstream = start
        results.append(train(s.name, preset, seed, out / s.name, upstream, stop_after))
        if results[-1] is False:
            return
    told = f"{len(names)} of {len(names)} stages are finished: {', '.join(names)}"
    typer.echo(told if any(results) else f"nothing to do in {out}: {told}")


def train(name, preset, seed, out: Path, upstream, stop_after) -> bool | None:
    """Run one stage, watched; True: finished now, False: to be continued, None: it was finished
    before."""
    from r1book import stages

    chosen = getattr(preset, name.replace("-", "_"))
    rollouts = isinstance(chosen, config.RLConfig)
    parts = ("steps",) if rollouts else ("sums_steps", "trunk_steps", "anneal_steps")
    steps = sum(getattr(chosen, part) for part in parts)
    before = (out / "run_card.json").is_file()
    size = f" of {chosen.prompts_per_step} x {chosen.group_size} answers" if rollouts else ""
    title = f"{name}, preset {preset.name}, seed {seed}, into {out}: {steps} steps{size}"
    watch = Watch(out, name, title, chosen.max_new_tokens if rollouts else None)
    if not before:
        watch.open(steps)
    try:
        stages.run(
            name,
            preset,
            seed=seed,
            out=out,
            upstream=upstream,
            on_step=watch,
            stop_after=stop_after,
        )
    except KeyboardInterrupt:
        watch.close()
        say(
            f"stopped after step {watch.done} of {steps}: the same command continues from the last "
            f"saved step (saved every {chosen.save_every})"
        )
        raise typer.Exit(130) from None
    finally:
        watch.close()
    if before:
        typer.echo(f"nothing to do: {out} holds this run, finished")
        return None
    if not (out / "run_card.json").is_file():
        typer.echo(
            f"stopped after step {watch.done} of {steps}, as asked: the same command goes on"
        )
        return False
    say(f"the doctor at the end:\n{doctor.report(diagnosis(out))}")
    typer.echo(table(json.loads((out / "eval.json").read_text())))
    typer.echo(f"finished: {out}")
    return True
