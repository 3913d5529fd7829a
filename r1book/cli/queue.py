"""Which runs does the ledger of claims take, and which are left? A queue that may be left, too.

Leaves out the command (`ledger.py`), and when something counts as shown (`r1book/claims.py`).
"""

import contextlib
import dataclasses
import hashlib
import json
import re
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from r1book import config, trace
from r1book.base_config import identity
from r1book.cli.shell import say
from r1book.cli.train import adjusted, train
from r1book.graph import STAGES

KEPT = ("run_card.json", "gates.json", "eval.json")
"""What is kept of a recorded run, with the ledger's further evaluations."""
SETTINGS = "settings"
"""In the file of a further evaluation: what it was asked with."""
RECORDED = re.compile(r".+-[0-9a-f]{8}")
"""What the folder of a recorded run is called: `Queue.name`."""


class Queue:
    """The runs of a ledger and where they lie.

    A run's folder carries a key of the world, of what it starts from and of its settings, those of
    its evaluation with them: when one of them changes, it is another run. A further evaluation of
    the ledger carries its settings in its file: when they change, it is done anew.
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
        """Return a file of a run, from its folder or from the recorded ones, None without it, or
        where it is an evaluation with other settings than the ledger's."""
        how = self.how(Path(file).stem)
        for place in (self.out, self.recorded):
            if place is None or not (path := place / self.name(arm, seed) / file).is_file():
                continue
            if how is None or json.loads(path.read_text(encoding="utf-8")).get(SETTINGS) == how:
                return path
        return None

    def how(self, kind: str) -> dict | None:
        """Return the settings of a further evaluation as they stand in its file, None of others."""
        if kind not in self.book.evaluations:
            return None
        asked = dataclasses.replace(self.basis.evaluation, **self.book.evaluations[kind])
        return json.loads(trace.encode(identity(asked)))

    def left(self) -> list:
        """Return the (arm, seed) that are to be trained, in order.

        A run that is recorded is left out, unless its checkpoint is not here and another one
        starts from it, or an evaluation of it is missing.
        """
        from r1book import claims

        jobs = claims.jobs(self.book)
        out = [job for job in jobs if self.found(*job, "run_card.json") is None]
        asked = claims.wanted(self.book)
        for arm, seed in jobs:
            gone = not (self.out / self.name(arm, seed) / "checkpoint").is_dir()
            kinds = [kind for each, kind in asked if each == arm]
            if gone and any(self.found(arm, seed, f"{kind}.json") is None for kind in kinds):
                out.append((arm, seed))
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
        gives = folder / STAGES[arm.stage].gives
        if (folder / "run_card.json").is_file() and not gives.is_dir():
            raise ValueError(
                f"{folder} is finished, but its {gives.name}, which another run starts from, is "
                "gone: remove the folder, and it is trained again"
            )
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
        processes train is left to them, and waited for where a run starts from it. Raises
        ValueError where it waits for what nobody trains."""
        from r1book import runs

        def left() -> list:
            return [job for job in self.left() if not arms or job[0].name in arms]

        done = alone = told = 0
        while (jobs := left()) and (most is None or done < most):
            taken = False
            for arm, seed in jobs:
                if self.waits(arm, seed):
                    continue
                try:
                    self.train(arm, seed)
                except runs.Busy:
                    continue
                done, taken, alone = done + 1, True, 0
                break
            if taken:
                continue
            held = not all(map(self.idle, self.out.glob("*/")))
            alone = 0 if held else alone + 1
            if alone > 1:  # not only between two runs of another process
                raise ValueError(self.lacking(jobs))
            if told != len(jobs):
                told = len(jobs)
                say(f"waiting for another process: {told} runs are left")
            time.sleep(pause)

    def lacking(self, jobs: list) -> str:
        """Return what to say of runs that start from what is neither here nor being trained."""
        above = {arm.name for arm, _ in jobs}
        for name in reversed(self.book.arms):  # an arm stands after the one it starts from
            if name in above:
                above.update(source for _, source in self.book.arms[name].start)
        more = dict.fromkeys(arm.name for arm, _ in self.left() if arm.name in above)
        asked = dict.fromkeys(arm.name for arm, _ in jobs)
        return (
            f"{', '.join(asked)}: what they start from is not in {self.out} and no process trains "
            f"it; train it, too: {' '.join(f'--arm {name}' for name in more)}"
        )

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

    def evaluate(self, pause: float = 5) -> None:
        """Do the evaluations that the ledger takes besides the runs' own, where they are not
        there; those that another process is at are waited for."""
        from r1book import claims, evaluate, models, runs

        book = self.book
        asked = [(arm, "eval", self.basis.evaluation) for arm in book.arms.values() if arm.model]
        for arm, kind in claims.wanted(book):
            how = dataclasses.replace(self.basis.evaluation, **book.evaluations[kind])
            asked.append((arm, kind, how))
        todo = [
            (arm, seed, kind, how)
            for arm, kind, how in asked
            for seed in ((book.seeds[0],) if arm.model else book.seeds)
        ]
        while todo:
            busy = []
            for arm, seed, kind, how in todo:
                folder = self.out / self.name(arm, seed)
                source = models.shipped(arm.model) if arm.model else folder / "checkpoint"
                if self.found(arm, seed, f"{kind}.json") is not None or not source.is_dir():
                    continue
                try:
                    with runs.hold(folder):
                        if self.found(arm, seed, f"{kind}.json") is not None:
                            continue
                        say(f"evaluating {folder.name}: {kind}")
                        found = evaluate.evaluate(*models.load(source), how)
                        if kind != "eval":
                            found = {SETTINGS: self.how(kind), **found}
                        trace.write_json(folder / f"{kind}.json", found)
                except runs.Busy:
                    busy.append((arm, seed, kind, how))
            if len(busy) == len(todo):
                time.sleep(pause)
            todo = busy

    def may_keep(self, place: Path) -> None:
        """Raise ValueError where `keep` would remove what are no recorded runs from a folder."""
        mine, out = place.resolve(), self.out.resolve()
        if mine == out or mine in out.parents or out in mine.parents:
            raise ValueError(
                f"what is recorded would go to {place}, and the runs themselves are in {self.out}: "
                "give --record a file in another folder"
            )
        for old in place.glob("*/"):
            live = any((old / name).exists() for name in ("metrics.jsonl", "state"))
            if live or not RECORDED.fullmatch(old.name):
                raise ValueError(
                    f"{old} is no recorded run, and {place} is to hold nothing else: give --record "
                    "a file in another folder"
                )

    def keep(self, place: Path) -> None:
        """Copy cards and evaluations of what is finished to `place`, and the bases that others
        start from, which take longest; then remove what is there of runs and evaluations that the
        ledger no longer takes, but not the exploratory runs of a frozen one. Raises ValueError for
        a place that holds anything else."""
        from r1book import claims

        self.may_keep(place)
        every = self.book.arms.values()
        bundled = [(arm, self.book.seeds[0]) for arm in every if arm.model]
        jobs = [*bundled, *claims.jobs(self.book)]
        needed = {source for other in every for _, source in other.start}
        files = (*KEPT, *(f"{kind}.json" for kind in self.book.evaluations))
        for arm, seed in jobs:
            if arm.stage is not None and self.found(arm, seed, "run_card.json") is None:
                continue
            for file in files:
                path, to = self.found(arm, seed, file), place / self.name(arm, seed) / file
                if path is not None and path.resolve() != to.resolve():
                    to.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, to)
            for old in (place / self.name(arm, seed)).glob("*.json"):
                if old.name not in files:
                    old.unlink()
            if arm.stage is None or STAGES[arm.stage].needs or arm.name not in needed:
                continue
            given = self.out / self.name(arm, seed) / STAGES[arm.stage].gives
            if given.is_dir():
                shutil.copytree(given, place / given.parent.name / given.name, dirs_exist_ok=True)
        explored = claims.jobs(dataclasses.replace(self.book, seeds=self.book.explored))
        names = {self.name(*job) for job in (*jobs, *explored)}
        for old in place.glob("*/"):
            if old.name not in names:
                shutil.rmtree(old)
