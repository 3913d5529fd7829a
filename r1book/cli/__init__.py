"""What can be done from a terminal?

Exit codes are 0: done, 1: the run failed, or the doctor says stop, 2: bad input. Answers go to
stdout; progress, advice and errors to stderr. Leaves out everything that a room decides.
"""

import sys

import typer

from r1book.cli import ask, keep, ledger, read, train
from r1book.cli.shell import guarded

COMMANDS = {
    "run": train.run,
    "eval": ask.evaluation,
    "compare": ask.compare,
    "sample": ask.sample,
    "grade": read.grade,
    "traces": read.traces,
    "doctor": read.doctor,
    "graph": read.graph,
    "claims": ledger.claims,
    "record": keep.record,
    "readme": keep.readme,
}

app = typer.Typer(
    help="Train R1 in a miniature world, and look at what came out.",
    epilog="Exit codes: 0 done, 1 the run failed or the doctor says stop, 2 bad input, "
    "130 stopped. With R1BOOK_TRACEBACK=1 in the "
    "environment, an error shows where it comes from.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for _name, _command in COMMANDS.items():
    app.command(_name)(guarded(_command))


def main() -> None:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):  # a terminal without Chinese must not end a command
        stream.reconfigure(errors="backslashreplace")
    app(prog_name="python -m r1book")
