"""Is the reader's answer right? Checks on unseen draws, and predictions kept until they are scored.

A check draws its inputs from a seed that nobody has seen, prints yours and expected side by side,
and says whether they agree; what is not written yet (None) is said, and is no error. Left out: the
exercises themselves, which stand in the notebooks.
"""

import copy
import json
import math
import os
import random
import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PREDICTIONS = Path(__file__).resolve().parent.parent / "runs" / "predictions.json"
"""Where predictions wait for notebook 12; `runs/` is the reader's own and never committed."""


def check(
    yours: Callable,
    expected: Callable,
    draw: Callable[[random.Random], Sequence],
    *,
    trials: int = 5,
    tolerance: float = 1e-6,
    seed: int | None = None,
) -> bool:
    """Compare two functions on fresh arguments, print both values, return whether all agree.

    draw: a generator of the standard library in, the arguments of one trial out. tolerance: largest
    difference of a number, relative where it is larger than 1. seed: None takes an unseen one and
    prints it. Arguments drawn twice are drawn again, up to twenty times a trial. An
    exception of `yours` is not caught: its traceback is the best hint there is. Raises ValueError
    for less than one trial.

    >>> check(lambda x: x + x, lambda x: 2 * x, lambda rng: (rng.randint(1, 9),), trials=2, seed=0)
    check on seed 0
      (7)  yours 14  expected 14  ok
      (1)  yours 2  expected 2  ok
    All 2 agree.
    True

    Taught in notebook 02.
    """
    if trials < 1:
        raise ValueError(f"trials: got {trials}; a check needs at least one")
    seed = _unseen(seed)
    rng, agreed, drawn = random.Random(seed), 0, set()
    for _ in range(trials):
        arguments = _unlike(drawn, draw, rng)
        # each has its own copy: a function may change what it is given
        wanted = expected(*copy.deepcopy(arguments))
        got = yours(*copy.deepcopy(arguments))
        if got is None:
            print(f"  yours None  expected {_short(wanted)}  not written yet")
            return False
        same = _same(got, wanted, tolerance)
        agreed += same
        shown = ", ".join(map(_short, arguments))
        verdict = "ok" if same else "differs"
        print(f"  ({shown})  yours {_short(got)}  expected {_short(wanted)}  {verdict}")
    print(f"All {trials} agree." if agreed == trials else f"{agreed} of {trials} agree.")
    return agreed == trials


def check_run(
    run: Callable[[int], float | None],
    at_least: float,
    *,
    what: str = "result",
    trials: int = 3,
    seed: int | None = None,
) -> bool:
    """Repeat a run on unseen seeds, print what each reached, return whether all reach `at_least`.

    run: a seed in, the number that is judged out; None: the reader has not chosen yet. Not a number
    (NaN) never passes. Raises ValueError for less than one trial.

    >>> check_run(lambda seed: 0.97, 0.9, what="accuracy", trials=1, seed=4)
    check on seed 4
      seed 4: accuracy 0.97, expected at least 0.9  ok
    All 1 pass.
    True

    Taught in notebook 02.
    """
    if trials < 1:
        raise ValueError(f"trials: got {trials}; a check needs at least one")
    seed, passed = _unseen(seed), 0
    for number in range(seed, seed + trials):
        got = run(number)
        if got is None:
            print(f"  yours None  expected {what} of at least {_short(at_least)}  not written yet")
            return False
        fine = got >= at_least
        passed += fine
        verdict = "ok" if fine else "too low"
        wanted = f"expected at least {_short(at_least)}"
        print(f"  seed {number}: {what} {_short(got)}, {wanted}  {verdict}")
    print(f"All {trials} pass." if passed == trials else f"{passed} of {trials} pass.")
    return passed == trials


def check_grader(
    yours: Callable,
    cases: Callable[[random.Random], Sequence[tuple]],
    *,
    seed: int | None = None,
) -> bool:
    """Give a grader texts known to be right or wrong, print each trick, return whether all fit.

    yours: (text, problem) in, more than 0.5 for a right answer out. cases: a generator of the
    standard library in, [(trick, text, problem, right), …] out; one trick has one truth. An
    exception of `yours` is not caught. Raises ValueError for no cases, or a trick with two truths.

    >>> case = ("no tags", "it is 7", None, False)
    >>> check_grader(lambda text, problem: float("7" in text), lambda rng: [case] * 3, seed=0)
    check on seed 0
      no tags  accepted 3 of 3, expected 0  cheated
    1 of 1 tricks misjudged.
    False

    Taught in notebook 01.
    """
    seed = _unseen(seed)
    drawn = list(cases(random.Random(seed)))
    if not drawn:
        raise ValueError("no cases: a check of a grader needs at least one text")
    table: dict[str, list[bool]] = {}
    for trick, text, problem, right in drawn:
        got = yours(text, problem)
        if got is None:
            print(f"  yours None  expected {float(right)} for {trick!r}  not written yet")
            return False
        table.setdefault(trick, []).append(bool(right))
        table[trick].append(got > 0.5)
    width, misjudged = max(map(len, table)), 0
    for trick, each in table.items():
        truths, accepted = each[::2], sum(each[1::2])
        if len(set(truths)) > 1:
            raise ValueError(f"trick {trick!r} is right in some cases, wrong in others: split it")
        wanted = sum(truths)
        misjudged += accepted != wanted
        verdict = "ok" if accepted == wanted else "cheated" if accepted > wanted else "too strict"
        said = f"accepted {accepted} of {len(truths)}, expected {wanted}"
        print(f"  {trick:<{width}}  {said}  {verdict}")
    print(f"{misjudged} of {len(table)} tricks misjudged.")
    return misjudged == 0


def predict(name: str, value: float | str | None, path: Path | None = None) -> None:
    """Seal a prediction before its result is computed; the first one stands, None seals nothing.

    name: chapter and question, e.g. "02/one_right". To predict anew, delete the entry in the file.
    Raises ValueError for a name without a chapter, or a value that is no finite number or text.

    Taught in notebook 00.
    """
    if not all(name.partition("/")):
        raise ValueError(f"name {name!r}: expected chapter/question, e.g. '02/one_right'")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (value is None or isinstance(value, str) or (number and math.isfinite(value))):
        raise ValueError(f"{name}: got {value!r}; predict a finite number or a text")
    kept = predictions(path)
    if "yours" in kept.get(name, {}):
        print(f"{name}: {_short(kept[name]['yours'])} is sealed since the first time")
    elif value is None:
        print(f"{name}: no prediction yet; put yours in place of None and run the cell again")
    elif "measured" in kept.get(name, {}):
        print(f"{name}: too late, {_short(kept[name]['measured'])} was already shown to you")
    else:
        _write({**kept, name: {"yours": value}}, path)
        print(f"{name}: {_short(value)} is sealed")


def measured(name: str, value: float | str, path: Path | None = None) -> None:
    """Print a result beside the prediction of it; a sealed prediction is kept with it for scoring.

    Taught in notebook 00.
    """
    kept = predictions(path)
    if "yours" not in kept.get(name, {}):
        print(f"{name}: measured {_short(value)}, and you had made no prediction")
        return
    print(f"{name}: you said {_short(kept[name]['yours'])}, measured {_short(value)}")
    _write({**kept, name: {**kept[name], "measured": value}}, path)


def predictions(path: Path | None = None) -> dict[str, dict]:
    """Return {name: {"yours": …, "measured": …}}; empty where none was made, "measured" once shown.

    Raises ValueError for a file that is not what `predict` writes. Taught in notebook 12.
    """
    path = Path(path or PREDICTIONS)
    if not path.is_file():
        return {}
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): repair or delete it") from error
    if not isinstance(kept, dict) or not all(isinstance(x, dict) for x in kept.values()):
        raise ValueError(f"{path}: expected {{name: {{'yours': …}}}}; repair or delete it")
    return kept


def _write(kept: Mapping, path: Path | None) -> None:
    path = Path(path or PREDICTIONS)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, new = tempfile.mkstemp(dir=path.parent, prefix=".predictions-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(kept, file, ensure_ascii=False, indent=2)
    os.replace(new, path)


def _unseen(seed: int | None) -> int:
    seed = 1000 + secrets.randbelow(9000) if seed is None else seed
    print(f"check on seed {seed}")
    return seed


def _unlike(drawn: set[str], draw: Callable, rng: random.Random) -> tuple:
    """Draw arguments that are not among those `drawn`, and add them; twenty tries, then a repeat.

    Five draws of one or two values may all be equal, and a wrong function would pass.
    """
    for _ in range(20):
        arguments = tuple(draw(rng))
        if repr(arguments) not in drawn:
            break
    drawn.add(repr(arguments))
    return arguments


def _same(got, wanted, tolerance: float) -> bool:
    if hasattr(got, "tolist"):  # a tensor or an array
        got = got.tolist()
    if hasattr(wanted, "tolist"):
        wanted = wanted.tolist()
    if isinstance(wanted, int | float) and isinstance(got, int | float):
        return math.isclose(got, wanted, rel_tol=tolerance, abs_tol=tolerance)
    if isinstance(wanted, list | tuple) and isinstance(got, list | tuple):
        pairs = zip(got, wanted, strict=False)
        return len(got) == len(wanted) and all(_same(a, b, tolerance) for a, b in pairs)
    return got == wanted


def _short(value) -> str:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_short, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
