"""What was shown? The ledger of claims, and its verdicts, computed from runs and never typed.

`data/claims/claims.yaml` says what is claimed, which runs it takes and what counts as an effect; a
verdict compares an interval over seeds with the smallest effect of interest. Until the ledger is
frozen, runs are of development seeds and every verdict is marked exploratory.

Left out: training (`stages.py`, `python -m r1book claims`), the intervals (`intervals.py`).
"""

import inspect
import itertools
import json
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from r1book import effects, graph
from r1book.intervals import Interval, holm, mean_ci, t_cdf

SHOWN, NOT_SHOWN, UNDECIDED = "mechanism shown", "not shown", "inconclusive"
MISSING = "runs missing"
VERDICTS = (SHOWN, NOT_SHOWN, UNDECIDED, MISSING)
DIRECTIONS = ("up", "down", "keeps")


@dataclass(frozen=True)
class Arm:
    """What is trained, or a bundled checkpoint that was."""

    name: str
    """As in the tests."""
    stage: str | None
    """A stage of `graph.py`; None for a bundled model."""
    settings: tuple[str, ...]
    """As after --set."""
    model: str | None
    """A bundled model, the same for all seeds."""
    start: tuple[tuple[str, str], ...] = ()
    """(stage that it needs, the arm that it takes it from); what is not named is bundled."""
    seed: int | None = None
    """Its seed; None: each of the ledger's."""


@dataclass(frozen=True)
class Test:
    """One comparison of a claim."""

    __test__ = False  # pytest collects what is called so

    name: str
    """What is compared, in words."""
    measure: str
    """One of `MEASURES`."""
    arm: str
    """Whose value."""
    direction: str
    """'up', 'down', or 'keeps': falls by less than sesoi."""
    sesoi: float
    """Smallest effect of interest, in the measure's unit."""
    less: str | None = None
    """Whose value is taken from it, seed by seed; None: the value itself is the effect."""
    of: Mapping = field(default_factory=dict)
    """What the measure takes besides the evaluation."""
    evaluation: str = "eval"
    """Which evaluation it reads: the run's own, or one of the ledger's `evaluations`."""


@dataclass(frozen=True)
class Claim:
    """A statement and what it is tested by."""

    id: str
    """C.. of the report, D.. disputed, A.. asked by readers."""
    statement: str
    """In words."""
    source: str
    """Where it is made."""
    planted_by: str
    """The property of this world that makes it possible, or "not planted"."""
    tests: tuple[Test, ...]
    """All must be shown."""


@dataclass(frozen=True)
class Ledger:
    """Everything in claims.yaml."""

    claims: tuple[Claim, ...]
    """In the order of the file."""
    arms: Mapping[str, Arm]
    """By name; an arm stands after the one it starts from."""
    seeds: tuple[int, ...]
    """Seeds that count now: the development seeds until it is frozen, then the confirmatory
    ones."""
    frozen: bool
    """Whether world and ledger may change no more."""
    level: float
    """Of the intervals, and one minus the chance of any false "shown" among all tests."""
    evaluations: Mapping[str, Mapping] = field(default_factory=dict)
    """Further evaluations of the arms that tests read: name -> fields of `config.EvalConfig`."""
    explored: tuple[int, ...] = ()
    """The development seeds, also once it is frozen: what was recorded of them stays."""


@dataclass(frozen=True)
class Finding:
    """What a test found."""

    test: Test
    """The comparison."""
    effects: tuple[float, ...]
    """One a seed."""
    interval: Interval | None
    """Of their mean, a t interval over seeds; None with fewer than two."""
    p: float | None
    """Chance of such an effect if the true one were the sesoi, adjusted for all tests (Holm)."""
    verdict: str
    """One of `VERDICTS`."""


# ---- the ledger ----------------------------------------------------------------------------------


def load(path) -> Ledger:
    """Read claims.yaml. Raises ValueError that names the claim and what is wrong with it."""
    path = Path(path)
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
        arms = {
            name: Arm(
                name,
                a.get("stage"),
                tuple(a.get("set", ())),
                a.get("model"),
                _starts(a),
                a.get("seed"),
            )
            for name, a in record["arms"].items()
        }
        seeds = record["confirmatory_seeds" if record["frozen"] else "exploratory_seeds"]
        claims = tuple(
            Claim(**{**c, "tests": tuple(Test(**test) for test in c["tests"])})
            for c in record["claims"]
        )
        ledger = Ledger(
            claims,
            arms,
            tuple(seeds),
            record["frozen"],
            record["level"],
            record.get("evaluations", {}),
            tuple(record["exploratory_seeds"]),
        )
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from error
    for arm in arms.values():
        if (arm.stage is None) == (arm.model is None):
            raise ValueError(f"{path}: arm {arm.name}: expected a stage or a model")
        if arm.stage is not None and arm.stage not in graph.STAGES:
            names = ", ".join(graph.STAGES)
            raise ValueError(f"{path}: arm {arm.name}: no stage {arm.stage!r}, expected {names}")
        before = list(arms)[: list(arms).index(arm.name)]
        needs = graph.STAGES[arm.stage].needs if arm.stage is not None else ()
        needs = needs or (arm.stage,)  # a base may go on from one of its kind
        if odd := sorted(set(dict(arm.start)) - set(needs)):
            raise ValueError(f"{path}: arm {arm.name} takes {odd[0]}, expected {', '.join(needs)}")
        for _, source in arm.start:
            if source not in before:
                raise ValueError(f"{path}: arm {arm.name} starts from {source}, not listed before")
    for claim in claims:
        for i, test in enumerate(claim.tests):
            _check(test, ledger, f"{path}: {claim.id}, {test.name!r}")
            if test.name in {other.name for other in claim.tests[:i]}:
                raise ValueError(f"{path}: {claim.id}: test {test.name!r} stands twice")
    twice = [a.id for a, b in itertools.combinations(claims, 2) if a.id == b.id]
    if twice:
        raise ValueError(f"{path}: {twice[0]} stands twice")
    return ledger


def _starts(arm: dict) -> tuple[tuple[str, str], ...]:
    """Return (stage, arm) of `start`, which may be one arm, for the first stage needed."""
    start = arm.get("start", {})
    if isinstance(start, str):
        start = {(*graph.STAGES[arm["stage"]].needs, arm["stage"])[0]: start}
    return tuple(start.items())


def _check(test: Test, ledger: Ledger, where: str) -> None:
    for name in (test.arm, *([test.less] if test.less else [])):
        if name not in ledger.arms:
            raise ValueError(f"{where}: no arm {name!r}: expected one of {', '.join(ledger.arms)}")
    if test.measure not in effects.MEASURES:
        names = ", ".join(effects.MEASURES)
        raise ValueError(f"{where}: no measure {test.measure!r}: expected one of {names}")
    if test.evaluation not in ("eval", *ledger.evaluations):
        names = ", ".join(("eval", *ledger.evaluations))
        raise ValueError(f"{where}: no evaluation {test.evaluation!r}: expected one of {names}")
    if test.direction not in DIRECTIONS:
        raise ValueError(f"{where}: direction {test.direction!r}: expected {', '.join(DIRECTIONS)}")
    try:
        inspect.signature(effects.MEASURES[test.measure]).bind(None, None, **test.of)
    except TypeError as error:
        raise ValueError(f"{where}: of {dict(test.of)}: {error}") from error
    if test.measure in effects.OF_BASE and getattr(ledger.arms.get("base"), "model", None) is None:
        raise ValueError(f"{where}: {test.measure} asks for an arm `base` that is a bundled model")
    sides = [ledger.arms[name] for name in (test.arm, test.less) if name]
    if all(arm.model is not None or arm.seed is not None for arm in sides):
        raise ValueError(f"{where}: the same for all seeds, so that seeds can show nothing")
    if isinstance(test.sesoi, bool) or not isinstance(test.sesoi, int | float):
        raise ValueError(f"{where}: sesoi {test.sesoi!r}: expected a number")
    if not test.sesoi > 0:
        raise ValueError(f"{where}: sesoi {test.sesoi}: the smallest effect of interest is above 0")


def jobs(ledger: Ledger) -> list[tuple[Arm, int]]:
    """Return the runs that the ledger takes, (arm, seed), each once and after the one it starts
    from; bundled models take none."""
    used = {name for c in ledger.claims for t in c.tests for name in (t.arm, t.less) if name}
    for name in reversed(ledger.arms):  # an arm stands after the one it starts from
        if name in used:
            used.update(source for _, source in ledger.arms[name].start)
    arms = [arm for name, arm in ledger.arms.items() if name in used and arm.model is None]
    asked = [(arm, seed if arm.seed is None else arm.seed) for seed in ledger.seeds for arm in arms]
    return list(dict.fromkeys(asked))


def wanted(ledger: Ledger) -> list[tuple[Arm, str]]:
    """Return the (arm, evaluation) that tests read besides the runs' own, each once."""
    read_ = [
        (ledger.arms[name], test.evaluation)
        for claim in ledger.claims
        for test in claim.tests
        for name in (test.arm, test.less)
        if name and test.evaluation != "eval"
    ]
    return list(dict.fromkeys(read_))


# ---- verdicts ------------------------------------------------------------------------------------


def effect(test: Test, arm: Mapping[int, dict], less: Mapping[int, dict] | None, base: dict | None):
    """Return {seed: effect} of a test; arm and less are evaluations by seed."""
    if base is None and test.measure in effects.OF_BASE:
        return {}
    value = effects.MEASURES[test.measure]
    seeds = sorted(arm if less is None else set(arm) & set(less))
    out = {}
    for seed in seeds:
        own = value(arm[seed], base, **test.of)
        out[seed] = own if less is None else own - value(less[seed], base, **test.of)
    return out


def chances(effects: Sequence[float], test: Test) -> tuple[float, float]:
    """Return p that the true effect is no larger than the sesoi, and p that it is no smaller.

    One-sided t tests of the mean over seeds against the sesoi in the test's direction; of "keeps"
    against a loss of the sesoi. Raises ValueError for fewer than two seeds.
    """
    signed = [-x for x in effects] if test.direction == "down" else list(effects)
    bound = -test.sesoi if test.direction == "keeps" else test.sesoi
    interval = mean_ci(signed)  # raises for too few
    gap = interval.mean - bound
    error = math.sqrt(
        sum((x - interval.mean) ** 2 for x in signed) / (len(signed) - 1) / len(signed)
    )
    if error == 0:
        return (0.0, 1.0) if gap > 0 else (1.0, 0.0) if gap < 0 else (0.5, 0.5)
    above = t_cdf(gap / error, len(signed) - 1)
    return 1 - above, above


def judge(
    ledger: Ledger, evaluations: Mapping[tuple, Mapping[int, dict]], base: dict | None
) -> dict:
    """Return {claim id: [Finding of each test]}.

    evaluations: {(evaluation, arm): {seed: what it says}}; a bundled model stands under every
    seed. base: the evaluation of the base, None where it is missing. Holm's adjustment is over all
    tests of the ledger, those without runs as well, on each side: shown where the effect is beyond
    the sesoi at the ledger's level, not shown where it falls short of it, inconclusive between.
    With fewer than two seeds the verdict is "runs missing".
    """
    found = {}
    for claim in ledger.claims:
        for test in claim.tests:
            arm, less = evaluations.get((test.evaluation, test.arm), {}), None
            if test.less is not None:
                less = evaluations.get((test.evaluation, test.less), {})
            found[claim.id, test.name] = (test, tuple(effect(test, arm, less, base).values()))
    able = {key: chances(e, test) for key, (test, e) in found.items() if len(e) > 1}
    names = {key: str(i) for i, key in enumerate(found)}
    # a test whose runs are missing counts, too: else half a ledger would show more than a whole one
    sides = [
        holm({names[key]: able[key][side] if key in able else 1.0 for key in found})
        for side in (0, 1)
    ]
    out: dict[str, list[Finding]] = {claim.id: [] for claim in ledger.claims}
    for key, (test, seen) in found.items():
        if key not in able:
            out[key[0]].append(Finding(test, seen, None, None, MISSING))
            continue
        beyond, short = (side[names[key]] for side in sides)
        alpha = 1 - ledger.level
        verdict = SHOWN if beyond < alpha else NOT_SHOWN if short < alpha else UNDECIDED
        out[key[0]].append(Finding(test, seen, mean_ci(seen, ledger.level), beyond, verdict))
    return out


def verdict(findings: Sequence[Finding]) -> str:
    """Return the verdict on a claim: shown if all tests are, not shown if one is not."""
    seen = {finding.verdict for finding in findings}
    for each in (NOT_SHOWN, MISSING, UNDECIDED):
        if each in seen:
            return each
    return SHOWN


def in_cell(text: str) -> str:
    """Return a text as it stands in a cell of a Markdown table.

    >>> print(in_cell("1/|o|"))
    1/\\|o\\|
    """
    return text.replace("|", r"\|")


def table(ledger: Ledger, findings: Mapping[str, Sequence[Finding]]) -> str:
    """Return the ledger as Markdown: a row a test, the claim's verdict in its first row."""
    stage = "confirmatory" if ledger.frozen else "exploratory"
    seeds = ", ".join(map(str, ledger.seeds))
    rows = [
        f"Seeds {seeds} ({stage}); intervals at {ledger.level:.0%} over seeds, verdicts adjusted "
        "for all tests (Holm).",
        "",
        "| claim | verdict | test | effect | interval | smallest of interest | seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    for claim in ledger.claims:
        told = f"{claim.id}: {claim.statement}", verdict(findings[claim.id])
        for finding in findings[claim.id]:
            i, test = finding.interval, finding.test
            limit = {"up": "≥ ", "down": "≤ -", "keeps": "> -"}[test.direction]
            cells = (
                *told, f"{test.name}: {finding.verdict}",
                "-" if i is None else f"{i.mean:+.3g}",
                "-" if i is None else f"{i.low:+.3g} to {i.high:+.3g}",
                f"{limit}{test.sesoi:g}", str(len(finding.effects)),
            )  # fmt: skip
            rows.append(f"| {' | '.join(map(in_cell, cells))} |")
            told = "", ""
    return "\n".join(rows)


def read(ledger: Ledger, found: Callable[[Arm, int, str], Path | None]) -> dict:
    """Return {(evaluation, arm): {seed: what it says}} of what is there; found: where a file of an
    arm and a seed lies (of a bundled model, the same for all seeds), or None."""
    out: dict[tuple[str, str], dict[int, dict]] = {}
    for name, arm in ledger.arms.items():
        for seed in ledger.seeds:
            for kind in ("eval", *ledger.evaluations):
                path = found(arm, seed, f"{kind}.json")
                if path is not None:
                    told = json.loads(path.read_text(encoding="utf-8"))
                    out.setdefault((kind, name), {})[seed] = told
    return out


def recorded(
    folder, arm: str, file: str = "eval", seeds: Collection[int] = range(100)
) -> list[dict]:
    """Return what the recorded runs of an arm say, by seed; of a bundled model, one.

    folder: `data/claims/runs`. file: "eval", "run_card", "gates", or one of the ledger's further
    evaluations. seeds: which; confirmatory ones are 100 and above, and chapters tell of the others
    (an arm with a seed of its own is asked for with that).
    Raises ValueError where no run of the arm has it, or two of one seed. Taught in notebook 04.
    """
    named = re.compile(rf"{re.escape(arm)}-(?:seed(\d+)-)?[0-9a-f]{{8}}")
    found = {}
    for path in Path(folder).glob(f"*/{file}.json"):
        if (match := named.fullmatch(path.parent.name)) is None:
            continue
        seed = int(match[1] or 0)
        if match[1] is None or seed in seeds:  # a bundled model has none, and is that of all
            if seed in found:
                raise ValueError(f"{folder}: two runs of arm {arm!r} with seed {seed}: remove one")
            found[seed] = json.loads(path.read_text(encoding="utf-8"))
    if not found:
        raise ValueError(f"no recorded {file} of arm {arm!r} in {folder}")
    return [found[seed] for seed in sorted(found)]
