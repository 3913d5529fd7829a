"""How is the ledger of claims filled from a terminal? A queue of runs that can be left at any time.

Leaves out what is claimed (`data/claims/claims.yaml`) and when it counts as shown (`claims.py`).
"""

import contextlib
import dataclasses
import hashlib
import shutil
import time
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from r1book import config, trace
from r1book.base_config import identity
from r1book.cli.shell import say, set_threads
from r1book.cli.train import adjusted, train
from r1book.graph import STAGES

KEPT = ("run_card.json", "gates.json", "eval.json")
"""What is kept of a recorded run, with the ledger's further evaluations."""


class Queue:
    """The runs of a ledger and where they lie.

    A run's folder carries a key of the world, of what it starts from and of its settings, those of
    its evaluation with them: when one of them changes, it is another run.
    """

    def __init__(self, book, basis: config.Preset, out: Path, recorded: Path | None):
        from r1book import claims, runs

        self.book, self.basis, self.out, self.recorded = book, basis, out, recorded
        self.world = runs.checksum(Path(claims.__file__).parent / "world")
        self.names: dict[tuple[str, int], str] = {}

    def settled(self, arm) -> config.Preset:
        """Return the preset of an arm."""
        return adjusted(self.basis, arm.stage, list(arm.settings)) if arm.stage else self.basis

    def name(self, arm, seed: int) -> str:
        """Return the name of a run's folder."""
        from r1book import runs

        seed = seed if arm.seed is None else arm.seed
        if (arm.name, seed) in self.names:
            return self.names[arm.name, seed]
        found: dict[str, str] = {}
        for need, folder in self.start(arm, seed).items():
            if need in dict(arm.start):  # may not be trained yet, and has its key in its name
                found[need] = self.name(self.book.arms[dict(arm.start)[need]], seed)
            else:
                found[need] = runs.checksum(folder)
        source = found if len(found) > 1 else next(iter(found.values()), None)
        preset = self.settled(arm)
        how = [] if arm.stage is None else [getattr(preset, arm.stage.replace("-", "_"))]
        what = [identity(each) for each in (*how, preset.evaluation)]
        told = trace.encode([self.world, source, arm.stage, what])
        key = hashlib.sha256(told).hexdigest()[:8]
        name = f"{arm.name}-{key}" if arm.model else f"{arm.name}-seed{seed}-{key}"
        self.names[arm.name, seed] = name
        return name

    def start(self, arm, seed: int) -> dict[str, Path]:
        """Return {stage: folder} of what a run starts from, nothing for a base."""
        from r1book import models, stages

        if arm.model is not None:
            return {arm.model: models.shipped(arm.model)}
        out = {}
        for need in STAGES[arm.stage].needs or dict(arm.start):
            if need not in dict(arm.start):
                out[need] = stages.shipped(need)
                continue
            other = self.book.arms[dict(arm.start)[need]]
            if other.model is not None:
                out[need] = models.shipped(other.model)
                continue
            folder = Path(self.name(other, seed)) / STAGES[other.stage].gives
            places = [place / folder for place in (self.out, self.recorded) if place is not None]
            out[need] = next((path for path in places if path.is_dir()), places[0])
        return out

    def found(self, arm, seed: int, file: str) -> Path | None:
        """Return a file of a run, from its folder or from the recorded ones, None without it."""
        for place in (self.out, self.recorded):
            if place is not None and (path := place / self.name(arm, seed) / file).is_file():
                return path
        return None

    def left(self) -> list:
        """Return the (arm, seed) that are to be trained, in order.

        A run that is recorded is left out, unless another one starts from it and its checkpoint
        is not here.
        """
        from r1book import claims

        jobs = claims.jobs(self.book)
        out = [job for job in jobs if self.found(*job, "run_card.json") is None]
        for arm, seed in reversed(jobs):  # what one starts from stands before it
            if (arm, seed) not in out:
                continue
            for need, folder in self.start(arm, seed).items():
                if need in dict(arm.start) and not folder.is_dir():
                    before = self.book.arms[dict(arm.start)[need]]
                    out.append((before, seed if before.seed is None else before.seed))
        return [job for job in jobs if job in out]

    def train(self, arm, seed: int) -> None:
        """Train a run, or go on with it; a base takes the trunk of one that is trained. Raises
        `runs.Busy` where another process does."""
        from r1book import stages

        folder, preset = self.out / self.name(arm, seed), self.settled(arm)
        start = self.start(arm, seed)
        if not start:
            for other in self.book.arms.values():
                if other.stage == arm.stage and other.name != arm.name:
                    trunk = self.out / self.name(other, seed)
                    with contextlib.suppress(stages.RunError):
                        stages.branch(arm.stage, preset, trunk, folder, seed=seed)
        train(arm.stage, preset, seed, folder, start or None, None, tuple(dict(arm.start)))

    def work(self, most: int | None = None, arms: Collection[str] = (), pause: float = 20) -> None:
        """Train what is left (of some arms, where given), at most so many runs; what other
        processes train is left to them, and waited for where a run starts from it."""
        from r1book import runs

        def left() -> list:
            return [job for job in self.left() if not arms or job[0].name in arms]

        done = 0
        while (jobs := left()) and (most is None or done < most):
            taken = False
            for arm, seed in jobs:
                if self.waits(arm, seed):
                    continue
                try:
                    self.train(arm, seed)
                except runs.Busy:
                    continue
                done, taken = done + 1, True
                break
            if not taken:
                time.sleep(pause)

    def waits(self, arm, seed: int) -> bool:
        """Whether another process must first end what a run starts from, or the trunk that it can
        take."""
        from r1book import stages

        if start := self.start(arm, seed):
            return not all(folder.is_dir() for folder in start.values())
        for other in self.book.arms.values():
            if other.name == arm.name or other.stage != arm.stage:
                continue
            folder = self.out / self.name(other, seed)
            same = stages.same_trunk(arm.stage, self.settled(arm), self.settled(other))
            if same and not (folder / "state" / stages.TRUNK).is_file() and not self.idle(folder):
                return True
        return False

    @staticmethod
    def idle(folder: Path) -> bool:
        """Whether no process is at a run."""
        from r1book import runs

        if not folder.is_dir():
            return True
        with contextlib.suppress(runs.Busy), runs.hold(folder):
            return True
        return False

    def evaluate(self) -> None:
        """Do the evaluations that the ledger takes besides the runs' own, where they are not
        there and no other process is at them."""
        from r1book import claims, evaluate, models, runs

        book = self.book
        asked = [(arm, "eval", self.basis.evaluation) for arm in book.arms.values() if arm.model]
        for arm, kind in claims.wanted(book):
            how = dataclasses.replace(self.basis.evaluation, **book.evaluations[kind])
            asked.append((arm, kind, how))
        for arm, kind, how in asked:
            for seed in (book.seeds[0],) if arm.model else book.seeds:
                folder = self.out / self.name(arm, seed)
                source = models.shipped(arm.model) if arm.model else folder / "checkpoint"
                if self.found(arm, seed, f"{kind}.json") is not None or not source.is_dir():
                    continue
                with contextlib.suppress(runs.Busy), runs.hold(folder):
                    say(f"evaluating {folder.name}: {kind}")
                    found = evaluate.evaluate(*models.load(source), how)
                    trace.write_json(folder / f"{kind}.json", found)

    def keep(self, place: Path) -> None:
        """Copy cards and evaluations of what is finished to `place`, and the bases that others
        start from, which take longest; what is there of runs and evaluations that the ledger no
        longer takes is removed, but not the exploratory runs of a frozen one."""
        from r1book import claims

        every = self.book.arms.values()
        bundled = [(arm, self.book.seeds[0]) for arm in every if arm.model]
        jobs = [*bundled, *claims.jobs(self.book)]
        explored = claims.jobs(dataclasses.replace(self.book, seeds=self.book.explored))
        names = {self.name(*job) for job in (*jobs, *explored)}
        for old in place.glob("*/"):
            if old.name not in names:
                shutil.rmtree(old)
        for arm, seed in jobs:
            if arm.stage is not None and self.found(arm, seed, "run_card.json") is None:
                continue
            files = (*KEPT, *(f"{kind}.json" for kind in self.book.evaluations))
            for old in (place / self.name(arm, seed)).glob("*.json"):
                if old.name not in files:
                    old.unlink()
            for file in files:
                path, to = self.found(arm, seed, file), place / self.name(arm, seed) / file
                if path is not None and path.resolve() != to.resolve():
                    to.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, to)
            needed = {source for other in every for _, source in other.start}
            if arm.stage is None or STAGES[arm.stage].needs or arm.name not in needed:
                continue
            given = self.out / self.name(arm, seed) / STAGES[arm.stage].gives
            if given.is_dir():
                shutil.copytree(given, place / given.parent.name / given.name, dirs_exist_ok=True)


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
    todo, left = room.jobs(book), queue.left()
    say(f"{len(todo) - len(left)} of {len(todo)} runs are finished in {out} or recorded")
    queue.work(runs_at_most, arms or ())
    queue.evaluate()
    seen = room.read(book, queue.found)
    found = room.judge(book, seen, seen["eval", "base"][book.seeds[0]])
    typer.echo(room.table(book, found))
    if record is None:
        return
    queue.keep(record.parent / "runs")
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
            "command": "python -m r1book claims --runs 0",
            "git": runs.git_state(), **runs.machine(),
            "frozen": book.frozen, "seeds": book.seeds, "world": queue.world, "claims": claimed,
        },
    )  # fmt: skip
    say(f"written: {record}")
