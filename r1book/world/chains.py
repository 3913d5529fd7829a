"""math: arithmetic chains with brackets, answered by a number. Counterpart of the report's
mathematics data.

A chain is a tree: an int, or (op, left, right). Every operation inside is a fact of this world
(`stated`): values within 0..99, sums not too large. One-operation sums are facts (the alphabet),
not problems: level 1 has two operations, level 5 has five.
"""

import random
from functools import lru_cache

from r1book.world.splits import split_of

OPS = ("+", "-", "*")
LEVELS = {1: (2, False), 2: (2, True), 3: (3, True), 4: (4, True), 5: (5, True)}
"""Level -> (operations, brackets allowed)."""

PRECEDENCE = {"+": 1, "-": 1, "*": 2}


def apply(op: str, a: int, b: int) -> int:
    """Return a op b for op in + - *."""
    return a + b if op == "+" else a - b if op == "-" else a * b


SMALL = 20
"""Of two numbers added, one is at most this; what is taken away is at most this: the sums people do
in their heads."""


def stated(op: str, a: int, b: int) -> bool:
    """Return whether 'a op b' is a fact of this world: operands small enough, result within
    0..99."""
    small = min(a, b) <= SMALL if op == "+" else b <= SMALL if op == "-" else True
    return small and 0 <= apply(op, a, b) <= 99


def value(tree) -> int:
    """Return the value of a chain."""
    return tree if isinstance(tree, int) else apply(tree[0], value(tree[1]), value(tree[2]))


def show(tree, parent: int = 0, right: bool = False) -> str:
    """Return the chain as space-separated text with the fewest brackets."""
    if isinstance(tree, int):
        return str(tree)
    op, left, rest = tree
    level = PRECEDENCE[op]
    text = f"{show(left, level)} {op} {show(rest, level, True)}"
    needs = level < parent or (right and level == parent)
    return f"( {text} )" if needs else text


def key(tree) -> str:
    """Return the canonical key: operands of + and * sorted, so that commuted chains are one
    problem."""
    return "math:" + _canon(tree)


def _canon(tree) -> str:
    if isinstance(tree, int):
        return str(tree)
    op, left, right = tree
    a, b = _canon(left), _canon(right)
    if op != "-" and a > b:
        a, b = b, a
    return f"({a}{op}{b})"


def operations(tree) -> int:
    """Return how many operations a chain has."""
    return 0 if isinstance(tree, int) else 1 + operations(tree[1]) + operations(tree[2])


def reduce_once(tree):
    """Evaluate the leftmost operation whose operands are both numbers; return (new tree, (op, a, b,
    result))."""
    op, left, right = tree
    if isinstance(left, int) and isinstance(right, int):
        result = apply(op, left, right)
        return result, (op, left, right, result)
    if not isinstance(left, int):
        new, step = reduce_once(left)
        return (op, new, right), step
    new, step = reduce_once(right)
    return (op, left, new), step


def reductions(tree) -> list:
    """Return [(tree, step that made it)], one for each operation, ending in a number: the canonical
    solution."""
    out = []
    while not isinstance(tree, int):
        tree, step = reduce_once(tree)
        out.append((tree, step))
    return out


def leaf(rng: random.Random) -> int:
    """Draw an operand: mostly 1-9, sometimes 10-40."""
    return rng.randint(1, 9) if rng.random() < 0.8 else rng.randint(10, 40)


def draw_tree(rng: random.Random, ops: int, brackets: bool):
    """Draw a chain with `ops` operations, each a fact of this world."""
    while True:
        tree = _draw(rng, ops)
        if tree is not None and (ops < 2 or ("(" in show(tree)) == brackets or ops > 2):
            return tree


def _draw(rng: random.Random, ops: int):
    if ops == 0:
        return leaf(rng)
    left_ops = rng.randint(0, ops - 1)
    left, right = _draw(rng, left_ops), _draw(rng, ops - 1 - left_ops)
    if left is None or right is None:
        return None
    op = rng.choice(OPS)
    return (op, left, right) if stated(op, value(left), value(right)) else None


def draw(rng: random.Random, level: int, split: str):
    """Draw a chain of `level` whose key, and for train also each chain it reduces to, lies in
    `split`."""
    ops, brackets = LEVELS[level]
    while True:
        tree = draw_tree(rng, ops, brackets)
        if split_of(key(tree)) != split:
            continue
        if split == "train" and not clean(tree):
            continue
        return tree


@lru_cache(maxsize=200_000)
def _train(text_key: str) -> bool:
    return split_of(text_key) == "train"


def clean(tree) -> bool:
    """Return whether no chain met while solving `tree` is the key of another split (facts
    excepted)."""
    return all(
        operations(later) < 2 or _train(key(later))
        for later, _ in [(tree, None), *reductions(tree)]
    )


ASK = {
    "en": ("what is {} ?", "compute {} .", "work out {} ."),
    "zh": ("{} 等于 多少 ?", "计算 {} .", "求 {} ."),
}


def problem(rng: random.Random, level: int, split: str, lang: str) -> dict:
    """Return the fields of one problem: question, answer, key, meta (space-separated text)."""
    tree = draw(rng, level, split)
    return {
        "question": rng.choice(ASK[lang]).format(show(tree)),
        "answer": str(value(tree)),
        "key": key(tree),
        "meta": {"tree": tree},
    }
