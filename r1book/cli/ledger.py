"""How is the ledger of claims filled from a terminal? The command, and what it writes down.

Leaves out the queue of its runs (`queue.py`), what is claimed (`data/claims/claims.yaml`) and when
it counts as shown (`r1book/claims.py`).
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from r1book import config, trace
from r1book.cli.queue import Queue
from r1book.cli.shell import say, set_threads
from r1book.cli.train import adjusted


def claims(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Holds the run folders.")] = Path(
        "runs/claims"
    ),
    ledger: Annotated[
        Path | None, typer.Option(metavar="YAML", help="Default: data/claims/claims.yaml.")
    ] = None,
    preset: Annotated[str, typer.Option(help=f"One of {', '.join(config.PRESETS)}.")] = "laptop",
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="STAGE.FIELD=VALUE",
            help="Change the preset of all arms, e.g. for a trial.",
        ),
    ] = None,
    runs_at_most: Annotated[
        int | None, typer.Option("--runs", min=0, help="Stop after so many runs; 0: only judge.")
    ] = None,
    arms: Annotated[
        list[str] | None,
        typer.Option("--arm", metavar="ARM", help="Train no other arm; may be repeated."),
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Train what is recorded in data/claims/runs, too.")
    ] = False,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="JSON",
            help="Also write effects and verdicts here, and cards and evaluations into runs/ "
            "beside it.",
        ),
    ] = None,
) -> None:
    """Train what the ledger of claims needs, then judge.

    Runs are taken seed by seed, so that each sitting leaves whole comparisons. The same command
    goes on where it was stopped; finished runs, and those whose evaluations the book ships, are
    left as they are. Several processes may work at one queue: each takes runs that no other one is
    at (with OMP_NUM_THREADS=1 each has one core). A run's folder carries a key of the world, of
    what it starts from and of its settings: when one of them changes, it is trained anew.

    For example: python -m r1book claims --runs 5
    """
    from r1book import claims as room
    from r1book import models, runs

    set_threads()
    book = room.load(ledger or models.DATA / "claims" / "claims.yaml")
    other = "exploratory" if book.frozen else "confirmatory"
    if record is not None and record.stem == other:
        frozen = "frozen" if book.frozen else "not frozen"
        raise ValueError(f"--record {record}: the ledger is {frozen}, and its verdicts not {other}")
    if unknown := set(arms or []) - set(book.arms):
        raise ValueError(
            f"no arm {', '.join(sorted(unknown))} in the ledger; it has {', '.join(book.arms)}"
        )
    recorded = None if anew else models.DATA / "claims" / "runs"
    queue = Queue(book, adjusted(config.preset(preset), None, changes or []), out, recorded)
    how = [f"--ledger {ledger}"] if ledger else []
    how += [f"--preset {preset}"] if preset != "laptop" else []
    how += [f"--set {change}" for change in changes or []]
    if record is not None:
        place = record.parent / "runs"
        if how and place.resolve() == (models.DATA / "claims" / "runs").resolve():
            raise ValueError(
                f"--record {record}: the book records its own ledger and preset as they are, not "
                f"{' '.join(how)}: give a file in another folder"
            )
        queue.may_keep(place)
    todo, left = room.jobs(book), queue.left()
    say(f"{len(todo) - len(left)} of {len(todo)} runs are finished in {out} or recorded")
    queue.work(runs_at_most, arms or ())
    queue.evaluate()
    seen = room.read(book, queue.found)
    found = room.judge(book, seen, seen.get(("eval", "base"), {}).get(book.seeds[0]))
    typer.echo(room.table(book, found))
    if record is None:
        return
    queue.keep(place)
    claimed = [
        {
            "id": claim.id, "statement": claim.statement, "verdict": room.verdict(found[claim.id]),
            "tests": [dataclasses.asdict(finding) for finding in found[claim.id]],
        }
        for claim in book.claims
    ]  # fmt: skip
    trace.write_json(
        record,
        {
            "command": " ".join(["python -m r1book claims --runs 0", *how]),
            "git": runs.git_state(), **runs.machine(),
            "frozen": book.frozen, "seeds": book.seeds, "world": queue.world, "claims": claimed,
        },
    )  # fmt: skip
    say(f"written: {record}")
