"""How is a stage trained from a terminal? `run`: one stage, or all in their order.

Leaves out what a stage does and how a run is continued (`stages.py`).
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from r1book import config, doctor, graph, problems, settings
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
            preset = replace(preset, evaluation=settings.override(preset.evaluation, [rest]))
        elif stage is None:
            preset = settings.override(preset, [head.replace("-", "_") + dot + rest])
        else:
            field = stage.replace("-", "_")
            changed = settings.override(getattr(preset, field), [change])
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
        typer.Option(
            metavar="DIR", help="The run folder (default runs/STAGE); with all: the one above."
        ),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="[STAGE=]FOLDER",
            help="Start here, not from what is bundled. STAGE= says for which needed stage "
            "it stands (default: the first); then it may be of another stage, which rewires that "
            "edge.",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Change a setting: steps=20, or evaluation.problems=20; with all: "
            "r1-zero.steps=20. Repeatable.",
        ),
    ] = None,
    stop_after: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many steps; continue later.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="STAGE", help="With all: end with this stage.")
    ] = None,
    retrain_base: Annotated[
        bool, typer.Option("--retrain-base", help="With all: train the bases, too.")
    ] = False,
) -> None:
    """Train a stage into a folder, or all stages.

    `all` takes them in their order, each from the one before, into DIR/STAGE. The same command
    continues a run that was stopped, and leaves a finished one as it is.
    """
    from r1book import stages

    set_threads()
    every = [s.name for s in stages.GRAPH]
    name = stage.replace("_", "-")
    if name not in [*PIPELINE, *every]:
        raise ValueError(f"stage {stage!r} is unknown: expected all or one of {', '.join(every)}")
    if retrain_base and (source is not None or name not in PIPELINE):
        raise ValueError(
            "--retrain-base belongs to `run all`, without --from; `run base` trains a base alone"
        )
    path = [s.name for s in stages.GRAPH if s.report]
    if to is not None and (name not in PIPELINE or to not in path):
        raise ValueError(f"--to {to}: it belongs to `run all`, and takes one of {', '.join(path)}")
    chosen = config.preset(preset)
    chosen = adjusted(chosen, None if name in PIPELINE else name, changes or [])
    start, rewired = given(name, source or [])
    if name in PIPELINE:
        todo = [s for s in stages.GRAPH if s.report and (s.needs or retrain_base)]
        if to is not None:
            todo = [s for s in todo if s.name in graph.above(to)]
        _pipeline(todo, chosen, seed, out or Path("runs"), start, stop_after)
    elif train(name, chosen, seed, out or Path("runs") / name, start, stop_after, rewired) is None:
        say("To train it anew, remove that folder or choose another --out.")


def given(name: str, source: list[str]) -> tuple[dict[str, Path] | None, tuple[str, ...]]:
    """Return ({stage: folder}, the stages named) of --from; a folder without a stage is of the
    first one needed."""
    from r1book import stages

    if name in PIPELINE:
        first = "base"
    else:
        first = (*stages.STAGES[name].needs, name)[0]
    out, rewired = {}, []
    for text in source:
        need, named, folder = text.partition("=")
        if named and need in stages.STAGES:
            rewired.append(need)
        else:
            need, folder = first, text
        if need in out:
            raise ValueError(f"--from {need} was given twice")
        gives = Path(folder) / (stages.STAGES[need].gives if need in stages.STAGES else "")
        out[need] = gives if gives.is_dir() else folder_of(folder)
    return out or None, tuple(rewired)


def _pipeline(todo, preset, seed, out: Path, start, stop_after) -> None:
    """Train stages into folders of `out`, each from those before; `start` stands for what is
    bundled."""
    from r1book import stages

    names = [s.name for s in todo]
    results = []
    for s in todo:
        upstream = {
            need: out / need / stages.STAGES[need].gives if need in names else start[need]
            for need in s.needs
            if need in names or need in (start or {})
        }
        results.append(train(s.name, preset, seed, out / s.name, upstream, stop_after))
        if results[-1] is False:
            return
    told = f"{len(names)} of {len(names)} stages are finished: {', '.join(names)}"
    typer.echo(told if any(results) else f"nothing to do in {out}: {told}")


def train(name, preset, seed, out: Path, upstream, stop_after, rewired=()) -> bool | None:
    """Run one stage, watched; True: finished now, False: to be continued, None: it was finished
    before."""
    from r1book import stages

    chosen = getattr(preset, name.replace("-", "_"))
    rollouts = isinstance(chosen, config.RLConfig)
    before = (out / "run_card.json").is_file()
    size = f" of {chosen.prompts_per_step} x {chosen.group_size} answers" if rollouts else ""
    title = f"{name}, preset {preset.name}, seed {seed}, into {out}: {{}} steps{size}"
    watch = Watch(out, name, title, chosen.max_new_tokens if rollouts else None)
    if not before:
        watch.open()
    try:
        stages.run(
            name,
            preset,
            seed=seed,
            out=out,
            upstream=upstream,
            rewired=rewired,
            on_step=watch,
            stop_after=stop_after,
        )
    except KeyboardInterrupt:
        watch.close()
        say(
            f"stopped after step {watch.done} of {watch.steps}: the same command continues from "
            f"the last saved step (saved every {chosen.save_every})"
        )
        raise typer.Exit(130) from None
    finally:
        watch.close()
    if before:
        typer.echo(f"nothing to do: {out} holds this run, finished")
        return None
    if not (out / "run_card.json").is_file():
        typer.echo(
            f"stopped after step {watch.done} of {watch.steps}, as asked: the same command goes on"
        )
        return False
    if rollouts:
        say(f"the doctor at the end:\n{doctor.report(diagnosis(out))}")
    if (out / "eval.json").is_file():
        typer.echo(table(json.loads((out / "eval.json").read_text())))
    else:
        typer.echo((out / "data" / "card.json").read_text())
    typer.echo(f"finished: {out}")
    return True
