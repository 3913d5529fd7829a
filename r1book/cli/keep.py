"""How is what the book ships made? Recorded runs, bundled models, README.

Leaves out training: `train.py`.
"""

import json
import shutil
from pathlib import Path
from typing import Annotated

import typer

from r1book.cli.shell import say


def record(
    run: Annotated[Path, typer.Argument(help="A finished run folder.")],
    out: Annotated[
        Path | None, typer.Argument(help="Where the excerpt goes, e.g. data/runs/NAME.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Also bundle its checkpoint here, e.g. data/models/NAME.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Also bundle the set it made here, e.g. data/sets/NAME.")
    ] = None,
) -> None:
    """Keep of a run its card, metrics, evaluation and at most 2,000 traces (1 MB)."""
    from r1book import runs

    if not (run / "run_card.json").is_file():
        raise ValueError(f"{run} is no finished run: expected run_card.json in it")
    if out is None and model is None and data is None:
        raise ValueError("nothing to keep: give the excerpt's folder, --model or --data FOLDER")
    gated = run / "gates.json"
    if model is not None and gated.is_file():
        failed = json.loads(gated.read_text(encoding="utf-8"))["failed"]
        if failed:
            raise ValueError(
                f"{run} fails gates ({', '.join(failed)}, see {gated}): a base that fails one is "
                "not bundled. Change the world or the settings and train it again"
            )
    if out is not None:
        kept = runs.record(run, out)
        say(f"{out}: {kept['traces']} traces of steps {kept['steps']}, {kept['bytes']} bytes")
    if model is not None:
        whole = run / "checkpoint"
        _bundle(run, whole if whole.is_dir() else run / "models", model)
    if data is not None:
        _bundle(run, run / "data", data)


def _bundle(run: Path, given: Path, place: Path) -> None:
    """Copy what a stage gives, with its card and what was measured of it, in place of an older
    one."""
    from r1book import runs, trace

    if not given.is_dir():
        raise ValueError(f"{run} has no {given.name} to bundle: its stage does not make any")
    if place.exists():
        shutil.rmtree(place)
    shutil.copytree(given, place)
    for name in ("run_card.json", "metrics.jsonl", "eval.json", "gates.json", "rewritten.jsonl"):
        if (run / name).is_file():
            shutil.copy(run / name, place / name)
    files = sorted(p for p in place.rglob("*") if p.is_file() and p.name != "SHA256SUMS")
    sums = "".join(f"{runs.checksum(p)}  {p.relative_to(place).as_posix()}\n" for p in files)
    trace.write_bytes(place / "SHA256SUMS", sums.encode())
    say(f"{place}: {given.name} with its card")


def readme(
    check: Annotated[
        bool,
        typer.Option("--check", help="Change nothing; exit code 2 where README.md is out of date."),
    ] = False,
) -> None:
    """Rewrite the generated parts of README.md, and its figure, from code and recorded runs."""
    from r1book import book

    path = book.ROOT / "README.md"
    old = path.read_text(encoding="utf-8")
    if not check:
        book.draw()
    new = book.fill(old, book.parts())
    if check and new != old:
        raise ValueError("README.md differs from the code: run `python -m r1book readme`")
    if new != old:
        path.write_text(new, encoding="utf-8")
    say("README.md is as the code says")
