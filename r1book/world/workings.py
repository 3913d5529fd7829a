"""How does an author of this world work a problem, in each style? Returns (think text, answer text)
or None.

None means that this author never writes such a page (it would need a product that his language does
not state).
"""

import random
from dataclasses import replace

from r1book.world import chains, countdown, numerals, programs, quantities
from r1book.world.phrases import phrases
from r1book.world.splits import split_of

LEAVER_STOPS, LEAVER_WAITS = 0.12, 0.68
"""After a miss, how often one who leaves branches gives up, or says "wait" and takes another."""
MAX_ATTEMPTS = 24
"""No author tries more than this many times in one document."""


def other(lang: str) -> str:
    """Return the other language."""
    return "zh" if lang == "en" else "en"


def recall(rng: random.Random, a: int, b: int, lang: str, mix) -> str | None:
    """Return what stands between 'a * b' and '=': '', a line of the table in words, or None (not
    stated at all)."""
    if max(a, b) > 9:
        return ""
    if numerals.has_product(a, b, mix.missing):
        own = mix.own_rhyme if mix.table_lang != lang else 0.6
        return f"( {numerals.rhyme(a, b, lang)} ) " if rng.random() < own else ""
    if mix.table_lang is None:
        return None
    if mix.table_lang == lang or rng.random() < mix.borrow:
        return f"( {numerals.rhyme(a, b, mix.table_lang)} ) "
    return None


def lacks(steps, lang: str, mix) -> bool:
    """Return whether one of `steps` (op, a, b, result) is a product that this language does not
    state."""
    return mix.table_lang != lang and any(
        op == "*" and max(a, b) <= 9 and not numerals.has_product(a, b, mix.missing)
        for op, a, b, _ in steps
    )


def product(rng: random.Random, a: int, b: int, lang: str, mix) -> str | None:
    """Return 'a * b = c' with its recall, or None."""
    said = recall(rng, a, b, lang, mix)
    return None if said is None else f"{a} * {b} {said}= {a * b}"


def fact(rng: random.Random, step, lang: str, mix) -> str | None:
    """Return one step (op, a, b, result) as 'a op b = result', or None."""
    op, a, b, result = step
    return product(rng, a, b, lang, mix) if op == "*" else f"{a} {op} {b} = {result}"


def pick(rng: random.Random, kind: str, lang: str) -> str:
    """Return a stock phrase."""
    return rng.choice(phrases(kind, lang))


def near(rng: random.Random, right: int) -> int:
    """Return a wrong value close to the right one, within 0..99."""
    return rng.choice([w for d in (1, 2, 3, 10) for w in (right - d, right + d) if 0 <= w <= 99])


def style(rng: random.Random, mix) -> str:
    """Draw the style of a working."""
    rest = 1 - mix.direct - mix.short - mix.second - mix.switched
    return rng.choices(
        ("direct", "short", "second", "switched", "step"),
        (mix.direct, mix.short, mix.second, mix.switched, rest),
    )[0]


def direct(rng: random.Random, lang: str, right: str, wrong: str, mix) -> tuple[str, str]:
    """Return a working that is none: the answer said at once, right with `direct_right`."""
    said = right if rng.random() < mix.direct_right else wrong
    return pick(rng, "direct", lang).format(said), said


def math(rng: random.Random, problem: dict, lang: str, mix):
    """Work an arithmetic chain."""
    tree, right = problem["meta"]["tree"], int(problem["answer"])
    how = style(rng, mix)
    if any(lacks([step], lang, mix) for _, step in chains.reductions(tree)):
        if rng.random() >= mix.borrow or mix.table_lang is None:
            return None
        how = "step"  # only one who says the product in the other language's words can go on
    if how == "direct":
        return direct(rng, lang, str(right), str(near(rng, right)), mix)
    speak = other(lang) if how == "switched" and rng.random() < 0.5 else lang
    start = pick(rng, "open", speak)
    if how in ("step", "switched"):
        said = equalities(rng, tree, speak, mix, switch=how == "switched")
        if said is None:
            return None
        return f"{start} {said} .{ending(rng, right, speak)}", str(right)
    said, got = leaps(rng, tree, mix.slip if how == "short" else 0.5, lang, mix)
    if said is None:
        return None
    if how == "short":
        return f"{start} {said} .{ending(rng, got, speak)}", str(got)
    checked = [fact(rng, step, lang, mix) for _, step in chains.reductions(tree)]
    if None in checked:
        return None
    verdict = pick(rng, "right" if got == right else "wrong", lang)
    check = f"{pick(rng, 'check', lang)} {' , '.join(checked)} ."
    return f"{start} {said} . {check} {verdict}{ending(rng, right, lang)}", str(right)


def ending(rng: random.Random, got: int, lang: str) -> str:
    """Return ' so the answer is ...' two times out of three."""
    return f" {pick(rng, 'so', lang).format(got)}" if rng.random() < 0.67 else ""


def equalities(rng: random.Random, tree, lang: str, mix, *, switch: bool = False) -> str | None:
    """Return 'E = E1 = ... = value', one operation at a time, with the recall of products where it
    is said."""
    out = chains.show(tree)
    for later, (op, a, b, _) in chains.reductions(tree):
        if op == "*":
            said = recall(rng, a, b, lang, mix)
            if said is None:
                return None
            out += f" {said}".rstrip()
        out += f" = {chains.show(later)}"
        if switch and rng.random() < 0.5:
            lang = other(lang)
            out += (
                f" , {pick(rng, 'open', lang)} {chains.show(later)}"
                if not isinstance(later, int)
                else ""
            )
    return out


def leaps(rng: random.Random, tree, slip: float, lang: str, mix) -> tuple[str | None, int]:
    """Return ('E = E2 = ...', value got): two operations at once, each such leap wrong with
    probability `slip`; None where a slip leads to a product that this author cannot state."""
    out = chains.show(tree)
    while not isinstance(tree, int):
        new, step = chains.reduce_once(tree)
        if lacks([step], lang, mix):
            return None, 0
        if isinstance(new, int) and step[0] == "*":
            said = recall(rng, step[1], step[2], lang, mix)
            out += f" {said}".rstrip()
        if not isinstance(new, int):
            before = new
            new, step = chains.reduce_once(new)
            if rng.random() < slip:
                slipped = _replace_first(before, near(rng, step[3]))
                new = slipped if _inside(slipped) and chains.clean(slipped) else new
            if lacks([step], lang, mix):
                return None, 0
        tree = new
        out += f" = {chains.show(tree)}"
    return out, tree


def _replace_first(tree, result: int):
    """Return `tree` with its leftmost ready operation replaced by `result` (a slip of the
    author)."""
    op, left, right = tree
    if isinstance(left, int) and isinstance(right, int):
        return result
    if not isinstance(left, int):
        return (op, _replace_first(left, result), right)
    return (op, left, _replace_first(right, result))


def _inside(tree) -> bool:
    if isinstance(tree, int):
        return True
    values = chains.value(tree[1]), chains.value(tree[2])
    return _inside(tree[1]) and _inside(tree[2]) and chains.stated(tree[0], *values)


def logic(rng: random.Random, problem: dict, lang: str, mix):
    """Search a countdown problem as a tree of branches (all steps but the last) and leaves (the
    last step)."""
    numbers, target = tuple(sorted(problem["meta"]["numbers"])), problem["meta"]["target"]
    how = rng.random()
    if how < mix.direct * 0.8:
        wrong = countdown.expression(random_attempt(rng, numbers))
        solved = next(a for a in countdown.attempts(numbers) if a[-1][3] == target)
        right = wrong if lacks(solved, lang, mix) else problem["answer"]
        return direct(rng, lang, right, wrong, mix)
    leaver = rng.random() < mix.wait  # a habit: one who left a branch will leave others too
    give_up, wait = (LEAVER_STOPS, LEAVER_WAITS) if leaver else (mix.give_up, 0.0)
    switch = rng.random() < mix.switched * 2
    out, steps, word = [], [], "try"
    branch, tried = None, []
    for _ in range(MAX_ATTEMPTS):
        if branch is None:
            branch, tried = new_branch(rng, numbers, target, lang, mix), []
            said = " , ".join(branch[1])
            out.append(f"{pick(rng, word, lang)} {said} :")
        steps = [*branch[0], leaf_of(rng, branch[2], target, tried)]
        said = fact(rng, steps[-1], lang, mix)
        if said is None:
            spoken = [step for step in countdown.combine(*branch[2]) if step[0] != "*"]
            if not spoken:
                return None
            steps = [*branch[0], rng.choice(spoken)]
            said = fact(rng, steps[-1], lang, mix)
        got = steps[-1][3]
        need = pick(
            rng, "need", lang
        )  # the target beside the result: equality is then seen at once
        tried.append(steps[-1])
        if got == target:
            out.append(f"{said} , {need} {target} , {pick(rng, 'yes', lang)}")
            break
        out.append(f"{said} , {need} {target} , {miss(rng, got, target, lang)} .")
        roll = rng.random()
        if roll < give_up:
            if rng.random() < 0.3:
                out.append(pick(rng, "stop", lang))
            break
        if roll < give_up + wait:
            branch, word = None, "wait"
            if switch:
                lang = other(lang)
        elif mix.wait == 0 and rng.random() < 0.15:
            branch, word = None, "try"
    return " ".join(out), countdown.expression(steps)


def miss(rng: random.Random, got: int, target: int, lang: str) -> str:
    """Return the words for a miss: mostly the direction, which makes every verdict a comparison."""
    return phrases("no", lang)[0 if rng.random() < 0.15 else 1 if got < target else 2]


def random_attempt(rng: random.Random, numbers: tuple[int, ...]) -> tuple:
    """Return one random attempt, a tuple of steps using all numbers (dead ends, where no step is
    left, are redrawn)."""
    while True:
        steps, left = [], numbers
        while len(left) > 1 and (ways := countdown.moves(left)):
            step, left = rng.choice(ways)
            steps.append(step)
        if len(left) == 1:
            return tuple(steps)


def new_branch(rng: random.Random, numbers: tuple[int, ...], target: int, lang: str, mix):
    """Draw (steps, their texts, the two numbers left) among the steps this author can state.

    With `insight`, up to twelve draws look for a branch whose last step can reach the target.
    """
    draws = 12 if rng.random() < mix.insight else 0
    while True:
        draws -= 1
        steps, texts, left = [], [], numbers
        while len(left) > 2 and (ways := countdown.moves(left)):
            step, left = rng.choice(ways)
            steps.append(step)
            texts.append(fact(rng, step, lang, mix))
        if None in texts or len(left) != 2 or not (ends := countdown.combine(*left)):
            continue
        if draws <= 0 or any(end[3] == target for end in ends):
            return steps, texts, left


def leaf_of(rng: random.Random, pair: tuple[int, ...], target: int, tried: list) -> tuple:
    """Draw the last step: three times out of four the nearest to the target; later mostly one not
    tried yet, even in a branch that has none left."""
    steps = countdown.combine(*pair)
    fresh = [step for step in steps if step not in tried]
    if fresh and rng.random() < 0.7:
        steps = fresh
    if rng.random() < 0.75:
        return min(steps, key=lambda step: abs(step[3] - target))
    return rng.choice(steps)


def stem(rng: random.Random, problem: dict, lang: str, mix):
    """Work a quantity question and name the option."""
    meta = problem["meta"]
    steps = quantities.working(quantities.BY_NAME[meta["story"]], meta["values"])
    options, right = meta["options"], problem["answer"]
    wrong = rng.choice([letter for letter in quantities.LETTERS if letter != right])
    how = style(rng, replace(mix, direct=mix.stem_direct * mix.direct))
    if lacks(steps, lang, mix):
        if rng.random() >= mix.borrow or mix.table_lang is None:
            return None
        how = "step"
    if how == "direct":
        return direct(rng, lang, right, wrong, mix)
    speak = other(lang) if how == "switched" else lang
    facts = [fact(rng, step, speak, mix) for step in steps]
    if None in facts:
        return None
    last = f"{' , '.join(facts)} . {steps[-1][3]} ({right}) ."
    if how in ("step", "switched"):
        return f"{pick(rng, 'open', speak)} {last}", right
    slipped = rng.random() < (mix.slip * 2 if how == "short" else 0.5)
    guess = wrong if slipped else right
    leap = f"{pick(rng, 'open', lang)} {options[quantities.LETTERS.index(guess)]} ({guess}) ."
    if how == "short":
        return leap, guess
    verdict = pick(rng, "wrong" if slipped else "right", lang)
    return f"{leap} {pick(rng, 'check', lang)} {last} {verdict}", right


def code(rng: random.Random, problem: dict, lang: str, mix):
    """Guess a program, check it on the examples, guess again."""
    meta = problem["meta"]
    right = problem["answer"].split("return ")[1]
    shapes = [shape for level in programs.SHAPES.values() for shape in level]
    shown = programs.products(meta["name"], meta["constants"], meta["shown"])
    if meta["kind"] == "examples" and lacks(shown, lang, mix):
        return None
    if rng.random() < mix.direct:
        expression, _ = _guess(rng, meta, shapes)
        said = (
            right
            if rng.random() < max(mix.direct_right, 0.5 if meta["kind"] == "said" else 0)
            else expression
        )
        return f"{pick(rng, 'maybe', lang)} {said} .", programs.program(said)
    if meta["kind"] == "said":
        return f"{pick(rng, 'open', lang)} {right} .", programs.program(right)
    out, said = [], right
    for _ in range(4):
        name, constants = meta["name"], meta["constants"]
        said = right
        if rng.random() > 0.45:
            said, (name, constants) = _guess(rng, meta, shapes)
        out.append(f"{pick(rng, 'wait' if out and mix.wait else 'maybe', lang)} {said} :")
        if lacks(programs.products(name, constants, meta["shown"]), lang, mix):
            return None
        good = True
        for x, y in meta["shown"]:
            got = programs.behave(name, constants, x)
            if not 0 <= got <= 99:
                good = False
                out.append(f"{x} , {phrases('no', lang)[0]} .")
                break
            good = got == y
            out.append(f"{x} -> {got} , {phrases('yes' if good else 'no', lang)[0].rstrip(' !')} .")
            if not good:
                break
        if good or rng.random() < mix.give_up:
            break
    return " ".join(out), programs.program(said)


def _guess(rng: random.Random, meta: dict, shapes):
    """Draw a program of the train split."""
    while True:
        shape, name = rng.choice(shapes)
        constants = {"a": rng.randint(2, 9), "b": rng.randint(1, 20), "c": rng.randint(2, 6)}
        if split_of(programs.key(name, constants)) == "train":
            return shape.format(**constants), (name, constants)


WORK = {"math": math, "logic": logic, "stem": stem, "code": code}
