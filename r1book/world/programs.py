"""code: infer and write a tiny Python function, judged by hidden tests. Counterpart of the report's
code data.

A program is f(x) over small integers. Its key is its behaviour on a probe set, so that two ways of
writing the same function are one problem. Nothing here runs model text: `sandbox.py` does.
"""

import random
from functools import lru_cache
from itertools import product

from r1book.world.splits import split_of

PROBES = tuple(range(10))

SHAPES = {
    1: (("x + {b}", "add"), ("x * {a}", "times"), ("x - {b}", "minus")),
    2: (("x * {a} + {b}", "line"), ("x * {a} - {b}", "dip")),
    3: (("x * x + {b}", "square"), ("max ( x , {a} )", "max"), ("min ( x , {a} )", "min")),
    4: (("( x + {b} ) * {a}", "shift"), ("x % {a} + {b}", "rest")),
    5: (
        ("x * {a} if x > {c} else x + {b}", "branch"),
        ("x - {b} if x > {c} else x * {a}", "switch"),
    ),
}
"""Level -> (return expression, name) with constants a in 2..9, b in 1..40 (1..9 from level 4 on), c
in 2..6."""

SAID = {
    "en": {
        "add": "add {b} to x",
        "times": "take x times {a}",
        "minus": "take {b} from x",
        "line": "take x times {a} , then add {b}",
        "dip": "take x times {a} , then take {b} away",
        "square": "take x times x , then add {b}",
        "max": "take the larger of x and {a}",
        "min": "take the smaller of x and {a}",
        "shift": "add {b} to x , then take it times {a}",
        "rest": "take the rest of x by {a} , then add {b}",
        "branch": "if x is larger than {c} take x times {a} , else add {b} to x",
        "switch": "if x is larger than {c} take {b} from x , else take x times {a}",
    },
    "zh": {
        "add": "x 加 {b}",
        "times": "x 乘 {a}",
        "minus": "x 减 {b}",
        "line": "x 乘 {a} , 再 加 {b}",
        "dip": "x 乘 {a} , 再 减 {b}",
        "square": "x 乘 x , 再 加 {b}",
        "max": "x 和 {a} 中 大 的 数",
        "min": "x 和 {a} 中 小 的 数",
        "shift": "x 加 {b} , 再 乘 {a}",
        "rest": "x 除 {a} 的 余数 , 再 加 {b}",
        "branch": "如果 x 比 {c} 大 , x 乘 {a} , 不然 x 加 {b}",
        "switch": "如果 x 比 {c} 大 , x 减 {b} , 不然 x 乘 {a}",
    },
}


def draw(rng: random.Random, level: int) -> tuple[str, str, dict[str, int]]:
    """Draw (return expression, name, constants)."""
    shape, name = rng.choice(SHAPES[level])
    constants = {
        "a": rng.randint(2, 9),
        "b": rng.randint(1, 60 if level in (1, 3) else 40 if level == 2 else 9),
        "c": rng.randint(2, 6),
    }
    return shape.format(**constants), name, constants


def behave(name: str, constants: dict[str, int], x: int) -> int:
    """Return what the reference program gives for x."""
    a, b, c = constants["a"], constants["b"], constants["c"]
    return {
        "add": lambda: x + b,
        "times": lambda: x * a,
        "minus": lambda: x - b,
        "line": lambda: x * a + b,
        "dip": lambda: x * a - b,
        "square": lambda: x * x + b,
        "max": lambda: max(x, a),
        "min": lambda: min(x, a),
        "shift": lambda: (x + b) * a,
        "rest": lambda: x % a + b,
        "branch": lambda: x * a if x > c else x + b,
        "switch": lambda: x - b if x > c else x * a,
    }[name]()


def products(name: str, constants: dict[str, int], shown) -> list[tuple[str, int, int, int]]:
    """Return the multiplications (op, a, b, result) that the outputs for `shown` (x, y) give
    away."""
    a, b = constants["a"], constants["b"]
    out = []
    for x, _ in shown:
        other = x if name == "square" else a
        base = x + b if name == "shift" else x
        times = name in ("times", "line", "dip", "square", "shift", "branch", "switch")
        if times:
            out.append(("*", base, other, base * other))
    return out


def key(name: str, constants: dict[str, int]) -> str:
    """Return the canonical key: the outputs on the probe set 0..9."""
    return "code:" + ",".join(str(behave(name, constants, x)) for x in PROBES)


def program(expression: str) -> str:
    """Return the whole function as space-separated text."""
    return f"def f ( x ) : return {expression}"


def examples(
    rng: random.Random, name: str, constants: dict[str, int], n: int = 3
) -> list[tuple[int, int]]:
    """Draw n input-output pairs whose outputs are within 0..99; for a branch, from both sides."""
    inputs = [x for x in range(1, 10) if 0 <= behave(name, constants, x) <= 99]
    if name in ("branch", "switch"):
        c = constants["c"]
        low, high = [x for x in inputs if x <= c], [x for x in inputs if x > c]
        n_low = min(len(low), n // 2 + 1)
        chosen = rng.sample(low, n_low) + rng.sample(high, min(len(high), n + 1 - n_low))
    else:
        chosen = rng.sample(inputs, min(n, len(inputs)))
    return [(x, behave(name, constants, x)) for x in sorted(chosen)]


@lru_cache(maxsize=1)
def fitting() -> dict[tuple[int, int], frozenset[str]]:
    """Return {(x, y): keys of all programs of the world that give y for x}."""
    found: dict[tuple[int, int], set[str]] = {}
    for shapes in SHAPES.values():
        for _, name in shapes:
            for a, b, c in product(range(2, 10), range(1, 61), range(2, 7)):
                constants = {"a": a, "b": b, "c": c}
                if b > 9 and name in ("shift", "rest", "branch", "switch"):
                    continue
                for x in PROBES:
                    found.setdefault((x, behave(name, constants, x)), set()).add(
                        key(name, constants)
                    )
    return {pair: frozenset(keys) for pair, keys in found.items()}


def determined(shown: list[tuple[int, int]]) -> bool:
    """Return whether exactly one behaviour of the world fits the examples."""
    return len(frozenset.intersection(*(fitting()[pair] for pair in shown))) == 1


def problem(rng: random.Random, level: int, split: str, lang: str) -> dict:
    """Return the fields of one problem; meta holds the hidden tests as (arguments, expected).

    Examples leave one behaviour of the world only: more are shown until they do.
    """
    by_examples = rng.random() < 0.5
    while True:
        expression, name, constants = draw(rng, level)
        if split_of(key(name, constants)) != split:
            continue
        shown = examples(rng, name, constants, rng.choice((3, 4, 4, 5)) if by_examples else 3)
        if len(shown) >= 2 and (not by_examples or determined(shown)):
            break
    if by_examples:
        listed = " , ".join(f"{x} -> {y}" for x, y in shown)
        text = f"write f for {listed} ." if lang == "en" else f"写 f : {listed} ."
        kind = "examples"
    else:
        said = SAID[lang][name].format(**constants)
        text = f"write f ( x ) : {said} ." if lang == "en" else f"写 f ( x ) : {said} ."
        kind = "said"
    hidden = [[[x], behave(name, constants, x)] for x in PROBES]
    return {
        "question": text,
        "answer": program(expression),
        "key": key(name, constants),
        "meta": {
            "kind": kind,
            "name": name,
            "constants": constants,
            "shown": shown,
            "tests": hidden,
        },
    }
