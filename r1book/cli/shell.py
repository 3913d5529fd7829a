"""What do all commands share? Exit codes, options in common, threads, checkpoints, a table.

Rooms that load torch are imported inside functions, so that --help is quick.
"""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

BAD_INPUT = (ValueError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
RUN_ENDS = {
    "memory": "Make the step smaller: micro_tokens, then prompts_per_step",
}
"""Words in errors of torch that are no bugs -> what to do."""

Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Split = Annotated[
    str, typer.Option(help="train, dev, test or heldout (the last two for final results only).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Limit = Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")]
Temperature = Annotated[float, typer.Option(min=0, help="0: always the likeliest token.")]
TopP = Annotated[float, typer.Option(min=0, max=1, help="1: all tokens can be drawn.")]
Checkpoint = Annotated[
    str,
    typer.Argument(metavar="CHECKPOINT", help="Checkpoint folder, run folder, or bundled model."),
]


def say(text: str) -> None:
    """Print to stderr: what is not the answer to the command."""
    typer.echo(text, err=True)


def guarded(command: Callable) -> Callable:
    """Tell errors of input and machine in one line; everything else is a bug and shows itself."""

    def end(text: str, code: int):
        say(" ".join(text.split()))
        raise typer.Exit(code)

    @functools.wraps(command)
    def within(*args, **kwargs):
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            end("stopped", 130)
        except BrokenPipeError:
            raise  # `| head` has seen enough; typer ends quietly
        except (*BAD_INPUT, FloatingPointError, OSError, RuntimeError) as error:
            if os.environ.get("R1BOOK_TRACEBACK"):
                raise
            if isinstance(error, BAD_INPUT):
                named = isinstance(error, OSError) and error.filename
                end(f"error: {f'{named}: {error.strerror}' if named else error}", 2)
            known = [hint for words, hint in RUN_ENDS.items() if words in str(error)]
            if isinstance(error, RuntimeError) and not known:
                raise  # typer's own exit, or a bug
            end(f"failed: {'. '.join([str(error), *known])}. What was written before is intact", 1)

    return within


def set_threads() -> None:
    """Let torch use the physical cores of this process; OMP_NUM_THREADS has the last word."""
    if "OMP_NUM_THREADS" in os.environ or not hasattr(os, "sched_getaffinity"):
        return  # macOS: there torch takes the physical cores by itself
    import torch

    folder = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    files = [Path(folder.format(i)) for i in os.sched_getaffinity(0)]
    torch.set_num_threads(len({f.read_text() if f.is_file() else str(f) for f in files}))


def folder_of(checkpoint: str) -> Path:
    """Return the folder of a checkpoint given as folder, run folder or name of a bundled model."""
    from r1book import models

    path = Path(checkpoint)
    if (path / "checkpoint").is_dir():
        return path / "checkpoint"
    if (path / "state" / "identity.json").is_file():
        raise ValueError(f"{path}: this run has no checkpoint yet: finish it with its run command")
    if path.exists() or len(path.parts) > 1:
        return path  # `models.load` says what is wrong with it
    try:
        return models.shipped(checkpoint)
    except models.CheckpointError as error:
        raise models.CheckpointError(f"{checkpoint}: no such folder, and {error}") from error


def table(result: dict) -> str:
    """Return an evaluation as lines of equal columns, its counts by style and problem left out.

    >>> logic = {"n": 2, "pass@1": 0.5, "ci95": [0.25, 0.75], "maj@4": None, "counts": [[1, 4, 2]]}
    >>> print(table({"logic": logic}))
    set    n  pass@1  ci95            maj@4
    logic  2  0.500   0.250 to 0.750  -
    """

    def fits(value) -> bool:
        nested = isinstance(value, list) and any(isinstance(each, list) for each in value)
        return not (nested or isinstance(value, dict))

    def cell(value) -> str:
        if isinstance(value, list):
            return " to ".join(map(cell, value))
        return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)

    rows = [
        {"set": name} | {k: cell(v) for k, v in found.items() if fits(v)}
        for name, found in result.items()
    ]
    heads = list(dict.fromkeys(head for row in rows for head in row))
    rows.insert(0, {head: head for head in heads})
    wide = {head: max(len(row.get(head, "-")) for row in rows) for head in heads}
    lines = ("  ".join(row.get(head, "-").ljust(wide[head]) for head in heads) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
