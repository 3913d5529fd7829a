"""How is the ledger of claims filled from a terminal? A queue of runs that can be left at any time.

Leaves out what is claimed (`data/claims/claims.yaml`) and when it counts as shown (`claims.py`).
"""

import dataclasses
import hashlib
from pathlib import Path
from typing import Annotated

import typer

from r1book import config, trace
from r1book.cli.shell import say, set_threads
from r1book.cli.train import adjusted, train


def claims(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Above the run folders.")] = Path(
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
            help="Change the preset of all arms, e.g. in a try.",
        ),
    ] = None,
    runs_at_most: Annotated[
        int | None, typer.Option("--runs", min=0, help="Stop after so many runs; 0: only judge.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(metavar="JSON", help="Also write effects and verdicts here.")
    ] = None,
) -> None:
    """Train what the ledger of claims needs, then judge.

    Runs are taken seed by seed, so that each sitting leaves whole comparisons. The same command
    goes on where it was stopped; finished runs are left as they are. A run's folder carries a key
    of the world, the base and its settings: when one of them changes, it is trained anew.

    For example: python -m r1book claims --runs 5
    """
    from r1book import claims as room
    from r1book import evaluate, models, runs

    set_threads()
    book = room.load(ledger or models.DATA / "claims" / "claims.yaml")
    basis = adjusted(config.preset(preset), None, changes or [])
    world = runs.checksum(Path(room.__file__).parent / "world")

    def settled(arm):
        return adjusted(basis, arm.stage, list(arm.settings)) if arm.stage else basis

    def folder(arm, seed: int) -> Path:
        start = runs.checksum(models.shipped(arm.model or "base"))
        told = trace.encode([world, start, arm.stage, dataclasses.asdict(settled(arm))])
        key = hashlib.sha256(told).hexdigest()[:8]
        return out / (f"{arm.name}-{key}" if arm.model else f"{arm.name}-seed{seed}-{key}")

    todo = room.jobs(book)
    left = [
        (arm, seed) for arm, seed in todo if not (folder(arm, seed) / "run_card.json").is_file()
    ]
    say(f"{len(todo) - len(left)} of {len(todo)} runs are finished in {out}")
    for arm, seed in left[:runs_at_most]:
        train(arm.stage, settled(arm), seed, folder(arm, seed), None, None)
    for arm in book.arms.values():
        path = folder(arm, 0) / "eval.json"
        if arm.model and not path.is_file():
            model, tokenizer = models.load(models.shipped(arm.model))
            trace.write_json(path, evaluate.evaluate(model, tokenizer, basis.evaluation))
    seen = room.read(book, folder)
    base = seen["base"][book.seeds[0]]
    found = room.judge(book, seen, base)
    typer.echo(room.table(book, found))
    if record is not None:
        trace.write_json(
            record,
            {
                "command": "python -m r1book claims", "git": runs.git_state(), **runs.machine(),
                "frozen": book.frozen, "seeds": book.seeds, "world": world,
                "claims": [
                    {
                        "id": claim.id, "verdict": room.verdict(found[claim.id]),
                        "tests": [dataclasses.asdict(finding) for finding in found[claim.id]],
                    }
                    for claim in book.claims
                ],
            },
        )  # fmt: skip
        say(f"written: {record}")
