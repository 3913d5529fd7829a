"""How are answers judged and runs read in a terminal? `grade`, `traces`, `doctor`, `graph`.

Leaves out verdicts (`rewards.py`), pages (`viewer.py`) and diagnoses (`doctor.py`).
"""

import itertools
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from r1book import doctor as examiner
from r1book import problems, rewards, trace, viewer
from r1book.cli.shell import AsJson, Seed, Split
from r1book.cli.watch import EARLY
from r1book.measure import outcome
from r1book.world import countdown
from r1book.world.splits import split_of

WEIGHTS = {"accuracy": 1.0, "format": 1.0}
"""The reward of R1-Zero."""


def described(family: str, numbers: str | None, target: str | None, lang: str) -> problems.Problem:
    """Return the problem of a few options; ValueError says which are missing or wrong.

    >>> described("logic", "1,4,7", "24", "en").meta
    {'numbers': [1, 4, 7], 'target': 24}
    """
    if family not in ("math", "logic", "stem"):
        raise ValueError(
            f"--family {family}: expected math, logic or stem; for others give --problem or --set"
        )
    if target is None or (numbers is not None) != (family == "logic"):
        wanted = "--numbers 1,4,7 --target 24" if family == "logic" else "--target, no --numbers"
        raise ValueError(f"--family {family} needs {wanted}")
    key, meta = f"{family}:{target}", {}
    try:
        if family == "logic":
            meta = {"numbers": [int(n) for n in numbers.split(",")], "target": int(target)}
            key = countdown.key(**meta)
        elif family == "math":
            target = str(int(target))
    except ValueError as error:
        raise ValueError(f"--numbers {numbers} --target {target}: expected integers") from error
    answer = target.lower()
    return problems.Problem("asked", family, 1, lang, "", answer, key, split_of(key), meta)


def stored(file: Path) -> problems.Problem:
    """Return the problem in a JSON file, which may be a trace; ValueError when there is none."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        return problems.from_dict(values.get("problem", values))
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{file}: expected one problem as a JSON object ({error})") from error


def grade(
    answer: Annotated[str, typer.Argument(metavar="ANSWER", help="A completion; - reads stdin.")],
    family: Annotated[
        str | None, typer.Option(help="math, logic or stem: a question given by --target.")
    ] = None,
    numbers: Annotated[str | None, typer.Option(help="Those of a logic question: 1,4,7")] = None,
    target: Annotated[str | None, typer.Option(help="The target, or the right answer.")] = None,
    lang: Annotated[str, typer.Option(help="Language of the question: en, zh.")] = "en",
    file: Annotated[
        Path | None, typer.Option("--problem", help="A problem, or a trace, as JSON.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--set", metavar="NAME", help="A family or a benchmark.")
    ] = None,
    index: Annotated[int, typer.Option(min=0, help="Place in that set, from 0.")] = 0,
    split: Split = "dev",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Judge an answer as training does, and say why.

    For example: python -m r1book grade "<think> 6 * 4 </think> <answer> (7 - 1) * 4 </answer>"
    --family logic --numbers 1,4,7 --target 24
    """
    if sum(given is not None for given in (file, name, family)) != 1:
        raise ValueError("which question? Give one of --family, --problem, --set")
    if lang not in ("en", "zh"):
        raise ValueError(f"--lang {lang}: expected en or zh")
    if file is not None:
        problem = stored(file)
    elif name is not None:
        problem = problems.load(name, index + 1, seed=seed, split=split)[index]
    else:
        problem = described(family, numbers, target, lang)
    text = sys.stdin.read() if answer == "-" else answer
    try:
        right = rewards.accuracy(text, problem)
        consistent = rewards.language(text, problem.lang)
    except (KeyError, TypeError, AttributeError) as error:
        if file is None:
            raise
        what = f"its fields are not those of a problem of family {problem.family} ({error!r})"
        raise ValueError(f"{file}: {what}") from error
    parts = {"accuracy": right, "format": rewards.format(text), "language": consistent}
    whole = rewards.total(parts, WEIGHTS)
    reward = None if whole is None else whole.total
    if as_json:
        told = {k: s and {"score": s.total, "why": s.why} for k, s in parts.items()}
        shown = {"problem": problems.as_dict(problem), "parts": told, "reward": reward}
        typer.echo(trace.encode(shown, indent=2).decode())
        return
    if problem.question:
        typer.echo(viewer.visible(f"{problem.question}\nexpected: {problem.answer}"))
    lines = {k: (s and s.total, s.why if s else "cannot be judged") for k, s in parts.items()}
    lines["reward"] = (reward, "accuracy + format")
    for part, (value, why) in lines.items():
        value = "-" if value is None else format(value, ".3g")
        typer.echo(f"{part:<9} {value:<5} {viewer.visible(why)}")


def lines_of(path: Path, stem: str) -> Path:
    """Return the plain or gzipped lines of a run folder; a file stands for itself."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise ValueError(f"{path}: no such file or folder")
    for file in (path / f"{stem}.jsonl", path / f"{stem}.jsonl.gz"):
        if file.is_file():
            return file
    raise ValueError(f"{path}: no {stem}.jsonl in this folder; expected a run folder")


def traces(
    path: Annotated[Path, typer.Argument(metavar="FILE_OR_RUN", help="A run, or its traces.")],
    step: Annotated[int | None, typer.Option(help="Only of this step.")] = None,
    family: Annotated[str | None, typer.Option(help="Only of this family.")] = None,
    right: Annotated[
        bool | None, typer.Option("--right/--wrong", help="Only right, or only wrong answers.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most this many (default 5; 2000 with --html).")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="OUT.html", help="Write a page for a browser instead.")
    ] = None,
) -> None:
    """Read what a model wrote, here or as a page.

    The page is one file that loads nothing. A run can be read while it goes on.
    """
    source = lines_of(path, "traces")
    limit = limit or (5 if html is None else 2000)
    wanted = None if right is None else "right" if right else "wrong"
    kept, found, steps, families = [], 0, set(), set()
    for t in trace.iterate(source, live=True):
        steps.add(t.step)
        families.add(t.problem["family"])
        fits = step in (None, t.step) and family in (None, t.problem["family"])
        if fits and wanted in (None, outcome(t)):
            found += 1
            if len(kept) < limit:
                kept.append(t)
    if step not in {None, *steps} or family not in {None, *families}:
        there = ", ".join(map(str, sorted(steps))) or "none"
        kinds = ", ".join(sorted(families)) or "none"
        raise ValueError(f"{source}: nothing of that kind; steps: {there}; families: {kinds}")
    more = f"; --limit {found} takes all" if found > len(kept) else ""
    if html is None:
        for t in kept:
            typer.echo(viewer.text(t))
        typer.echo(f"{len(kept)} of {found} shown{more}")
        return
    metrics = source.parent / "metrics.jsonl"
    known = trace.read_metrics(metrics, live=True) if metrics.is_file() else None
    page = viewer.html(kept, f"Traces of {source.parent.resolve().name}", known)
    trace.write_bytes(html, page.encode())
    typer.echo(f"{len(kept)} of {found} in {html}{more}")


def diagnosis(path: Path, early: bool = False) -> list[examiner.Finding]:
    """Return what the doctor finds in a run folder, or in a metrics file alone.

    early: look at the first steps only. Raises ValueError or TraceError on anything else.
    """
    metrics = trace.read_metrics(lines_of(path, "metrics"), live=True)
    limit, seen = None, iter(())
    if path.is_dir():
        for name in ("run_card.json", "state/identity.json"):
            if limit is None and (path / name).is_file():
                card = json.loads((path / name).read_text(encoding="utf-8"))
                limit = card.get("config", {}).get("max_new_tokens")
        if any(path.glob("traces.jsonl*")):
            seen = trace.iterate(lines_of(path, "traces"), live=True)
    if early:
        metrics, seen = metrics[:EARLY], itertools.takewhile(lambda t: t.step < EARLY, seen)
    return examiner.diagnose(metrics, seen, length_limit=limit)


def doctor(
    path: Annotated[Path, typer.Argument(metavar="RUN", help="A run, or its metrics.jsonl.")],
    early: Annotated[bool, typer.Option("--early", help=f"Judge the first {EARLY} steps.")] = False,
) -> None:
    """Say whether a run is well, and what to do if not.

    Exit code 1 when going on would be a waste.
    """
    found = diagnosis(path, early)
    typer.echo(examiner.report(found))
    if any(f.severity == "stop" for f in found):
        raise typer.Exit(1)


def graph() -> None:
    """Draw the stages: which comes from which."""
    from r1book.graph import drawn

    typer.echo(drawn())
