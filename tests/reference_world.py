"""What do the texts of the miniature world say? Second readers, written apart from `r1book.world`.

Nothing here imports the world: questions are read back from their wording, values computed again.
"""

import re
from collections import Counter
from functools import lru_cache
from itertools import permutations

PRIORITY = {"+": 1, "-": 1, "*": 2}
SIGNS = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}


# ---- chains: a shunting yard --------------------------------------------------------------------


def parse(text: str):
    """Read an expression as a tree of (sign, left, right) and ints; ValueError when it is none."""
    out: list = []
    held: list[str] = []
    expect_number = True

    def close() -> None:
        sign, right, left = held.pop(), out.pop(), out.pop()
        out.append((sign, left, right))

    for token in re.findall(r"[0-9]+|\S", text):
        if token[0] in "0123456789" and expect_number:
            out.append(int(token))
            expect_number = False
        elif token == "(" and expect_number:
            held.append(token)
        elif token in PRIORITY and not expect_number:
            while held and held[-1] != "(" and PRIORITY[held[-1]] >= PRIORITY[token]:
                close()
            held.append(token)
            expect_number = True
        elif token == ")" and not expect_number and "(" in held:
            while held[-1] != "(":
                close()
            held.pop()
        else:
            raise ValueError(f"unexpected {token!r} in {text!r}")
    if expect_number or "(" in held:
        raise ValueError(f"{text!r} is cut short")
    while held:
        close()
    return out[0]


def value(tree) -> int:
    """The value of a tree."""
    return tree if isinstance(tree, int) else SIGNS[tree[0]](value(tree[1]), value(tree[2]))


def known(sign: str, a: int, b: int) -> bool:
    """Whether people of this world do this sum: one of two added is at most 20, so is what is taken
    away, and the result is within 0..99.
    """
    if sign == "+" and a > 20 and b > 20:
        return False
    return not (sign == "-" and b > 20) and 0 <= SIGNS[sign](a, b) <= 99


def all_known(tree) -> bool:
    """Whether every operation of a tree is one that people of this world do."""
    if isinstance(tree, int):
        return True
    sign, left, right = tree
    return known(sign, value(left), value(right)) and all_known(left) and all_known(right)


def inner_values(tree) -> list[int]:
    """The values of a tree and of all its parts."""
    if isinstance(tree, int):
        return [tree]
    return [value(tree), *inner_values(tree[1]), *inner_values(tree[2])]


def count(tree) -> int:
    """The operations of a tree."""
    return 0 if isinstance(tree, int) else 1 + count(tree[1]) + count(tree[2])


def leaves(tree) -> list[int]:
    """The numbers of a tree."""
    return [tree] if isinstance(tree, int) else leaves(tree[1]) + leaves(tree[2])


def chain_key(tree) -> str:
    """The key of a chain: fully bracketed, the operands of + and * in the order of their texts."""

    def text(part) -> str:
        if isinstance(part, int):
            return f"{part}"
        pair = [text(part[1]), text(part[2])]
        if part[0] in "+*":
            pair.sort()
        return f"({pair[0]}{part[0]}{pair[1]})"

    return f"math:{text(tree)}"


CHAIN = re.compile(r"[0-9(][0-9()+\-* ]*[0-9)]|[0-9]+", re.ASCII)


def chain_of_question(question: str):
    """The tree in a math question: its longest run of numbers, signs and brackets."""
    return parse(max(CHAIN.findall(question), key=len))


# ---- countdown: all values of all trees over all orders -----------------------------------------


@lru_cache(maxsize=50_000)
def splits_of(numbers: tuple[int, ...]) -> set[int]:
    """All values of expressions over these numbers in this order, each once (brackets anyhow)."""
    if len(numbers) == 1:
        return {numbers[0]}
    return {
        SIGNS[sign](a, b)
        for cut in range(1, len(numbers))
        for a in splits_of(numbers[:cut])
        for b in splits_of(numbers[cut:])
        for sign in SIGNS
    }


def reachable(numbers) -> set[int]:
    """All values that use every number exactly once."""
    return {v for order in set(permutations(numbers)) for v in splits_of(order)}


def hand_of_question(question: str) -> tuple[list[int], int]:
    """(numbers, target) of a countdown question in either language."""
    found = [int(n) for n in re.findall(r"[0-9]+", question)]
    if question.startswith("make "):
        return found[1:], found[0]
    return found[:-1], found[-1]


# ---- quantities: the wording of each story, its formula by hand ---------------------------------

N = r"([0-9]+)"
STEM = {
    "weight": (
        f"each box weighs {N} kg. what do {N} boxes weigh?",
        f"每个箱子重 {N} 千克. {N} 个箱子重多少?",
        lambda x, y: x * y,
    ),
    "speed": (
        f"a train goes {N} km in each hour. how far does it go in {N} hours?",
        f"火车每小时走 {N} 千米. {N} 小时走多少?",
        lambda x, y: x * y,
    ),
    "left": (
        f"a tank has {N} kg of water and loses {N} kg. how much is left?",
        f"水箱有 {N} 千克水, 少 {N} 千克. 还有多少?",
        lambda x, y: x - y,
    ),
    "both": (
        f"one stone weighs {N} kg and one stone weighs {N} kg. what do both weigh?",
        f"一个石头重 {N} 千克, 一个石头重 {N} 千克. 一共重多少?",
        lambda x, y: x + y,
    ),
    "load": (
        f"each box weighs {N} kg and the car weighs {N} kg. what do the car and {N} boxes weigh?",
        f"每个箱子重 {N} 千克, 车重 {N} 千克. 车和 {N} 个箱子重多少?",
        lambda x, z, y: x * y + z,
    ),
    "trip": (
        f"a train goes {N} km in each hour for {N} hours, then {N} km. how far does it go?",
        f"火车每小时走 {N} 千米, 走 {N} 小时, 再走 {N} 千米. 一共走多少?",
        lambda x, y, z: x * y + z,
    ),
    "heat": (
        f"water has {N} degrees, warms by {N} and cools by {N}. how many degrees are left?",
        f"水有 {N} 度, 加 {N} 度, 少 {N} 度. 还有多少度?",
        lambda x, y, z: x + y - z,
    ),
    "leak": (
        f"a tank gets {N} kg of water in each hour for {N} hours and loses {N} kg."
        " how much is left?",
        f"水箱每小时加 {N} 千克水, 加 {N} 小时, 少 {N} 千克. 还有多少?",
        lambda x, y, z: x * y - z,
    ),
    "share": (
        f"each of {N} boxes has {N} kg of rice and loses {N} kg. how much is left?",
        f"{N} 个箱子每个有 {N} 千克米, 少 {N} 千克. 一共还有多少?",
        lambda z, x, y: (x - y) * z,
    ),
}
STEM_ORDER = {"load": "xzy", "share": "zxy"}
SORTED = ("weight", "speed", "both", "heat", "load", "trip", "leak")
OPTIONS = r" ([0-9]+) \(a\) ([0-9]+) \(b\) ([0-9]+) \(c\) ([0-9]+) \(d\)"


def stem_of_question(question: str) -> tuple[str, int, list[int], str]:
    """(story, value, the four options, key) of a quantity question in natural text."""
    for story, (english, chinese, formula) in STEM.items():
        for wording in (english, chinese):
            pattern = wording.replace(".", r"\.").replace("?", r"\?")
            found = re.fullmatch(pattern + OPTIONS, question)
            if found:
                numbers = [int(n) for n in found.groups()]
                given, options = numbers[:-4], numbers[-4:]
                x_y_z = dict(zip(STEM_ORDER.get(story, "xyz"), given, strict=False))
                x, y, z = x_y_z["x"], x_y_z["y"], x_y_z.get("z", 0)
                if story in SORTED:
                    x, y = min(x, y), max(x, y)
                return story, formula(*given), options, f"stem:{story}:{x},{y},{z}"
    raise ValueError(f"no story reads {question!r}")


# ---- code: the specification in words, each program by hand -------------------------------------

PROGRAMS = {
    "add": ("add {b} to x", "x 加 {b}", lambda x, a, b, c: x + b),
    "times": ("take x times {a}", "x 乘 {a}", lambda x, a, b, c: x * a),
    "minus": ("take {b} from x", "x 减 {b}", lambda x, a, b, c: x - b),
    "line": (
        "take x times {a}, then add {b}",
        "x 乘 {a}, 再加 {b}",
        lambda x, a, b, c: x * a + b,
    ),
    "dip": (
        "take x times {a}, then take {b} away",
        "x 乘 {a}, 再减 {b}",
        lambda x, a, b, c: x * a - b,
    ),
    "square": (
        "take x times x, then add {b}",
        "x 乘 x, 再加 {b}",
        lambda x, a, b, c: x * x + b,
    ),
    "max": (
        "take the larger of x and {a}",
        "x 和 {a} 中大的数",
        lambda x, a, b, c: a if a > x else x,
    ),
    "min": (
        "take the smaller of x and {a}",
        "x 和 {a} 中小的数",
        lambda x, a, b, c: x if x < a else a,
    ),
    "shift": (
        "add {b} to x, then take it times {a}",
        "x 加 {b}, 再乘 {a}",
        lambda x, a, b, c: a * x + a * b,
    ),
    "rest": (
        "take the rest of x by {a}, then add {b}",
        "x 除 {a} 的余数, 再加 {b}",
        lambda x, a, b, c: x - x // a * a + b,
    ),
    "branch": (
        "if x is larger than {c} take x times {a}, else add {b} to x",
        "如果 x 比 {c} 大, x 乘 {a}, 不然 x 加 {b}",
        lambda x, a, b, c: x * a if x > c else x + b,
    ),
    "switch": (
        "if x is larger than {c} take {b} from x, else take x times {a}",
        "如果 x 比 {c} 大, x 减 {b}, 不然 x 乘 {a}",
        lambda x, a, b, c: x - b if x > c else x * a,
    ),
}


def program_of_question(question: str) -> tuple[str, list[int]] | None:
    """(name, outputs on 0..9) of a specification in words; None for a question with examples."""
    for name, (english, chinese, function) in PROGRAMS.items():
        for head, said in (("write f (x): ", english), ("写 f (x): ", chinese)):
            pattern = re.escape(head + said + ".")
            for letter in "abc":
                pattern = pattern.replace(rf"\{{{letter}\}}", f"(?P<{letter}>[0-9]+)")
            found = re.fullmatch(pattern, question)
            if found:
                given = {"a": 0, "b": 0, "c": 0} | {k: int(v) for k, v in found.groupdict().items()}
                return name, [function(x, **given) for x in range(10)]
    return None


def examples_of_question(question: str) -> list[tuple[int, int]]:
    """The (x, y) pairs of a question with examples."""
    return [(int(x), int(y)) for x, y in re.findall(r"([0-9]+) -> ([0-9]+)", question)]


def all_behaviours() -> dict[tuple[int, ...], str]:
    """Outputs on 0..9 -> name, for every program this world can ask for."""
    out: dict[tuple[int, ...], str] = {}
    for name, (_, _, function) in PROGRAMS.items():
        top = 10 if name in ("shift", "rest", "branch", "switch") else 61
        for a in range(2, 10):
            for b in range(1, top):
                for c in range(2, 7):
                    out.setdefault(tuple(function(x, a, b, c) for x in range(10)), name)
    return out


# ---- documents ----------------------------------------------------------------------------------

HEADS = (
    "the assistant thinks in <think> </think> and answers in <answer> </answer> . user : ",
    "question : ",
    "user : ",
)


def cut(document: str) -> tuple[str, str] | None:
    """(question, what follows) of a document that has a question, tokens as they stand."""
    for head, tail in zip(HEADS, (" assistant : ", " answer : ", " assistant : "), strict=True):
        if document.startswith(head) and tail in document:
            question, _, rest = document[len(head) :].partition(tail)
            return question, rest
    return None


FACT = re.compile(
    r"(?<![0-9+\-*(] )\b([0-9]+) ([+\-*]) ([0-9]+) (?:\( ([^()0-9]+) \) )?= ([0-9]+)(?! [+\-*])"
)
"""One stated fact 'a op b = c' in token text, with the recall in brackets, if any."""


def stated(document: str) -> list[tuple[int, str, int, str, int]]:
    """All (a, op, b, recall or '', c) that a document states as an equality of its own."""
    return [(int(a), op, int(b), said, int(c)) for a, op, b, said, c in FACT.findall(document)]


UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
UNITS = f"{UNITS} fifteen sixteen seventeen eighteen nineteen".split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
CHINESE = "零一二三四五六七八九"


def number_of_words(said: str) -> int:
    """The number that words of one language name: 'fifty six', '五 十 六'."""
    total = 0
    for word in said.split():
        if word in UNITS:
            total += UNITS.index(word)
        elif word in TENS:
            total += 20 + 10 * TENS.index(word)
        elif word == "十":
            total = 10 * max(total, 1)
        else:
            total += CHINESE.index(word)
    return total


def rhyme_numbers(said: str) -> tuple[int, int, int]:
    """(smaller, larger, product) that a line of the multiplication table states in words."""
    if " times " in said:
        one, two, product = re.fullmatch(r"(.+) times (.+) is (.+)", said).groups()
    else:
        one, two, product = re.fullmatch(r"(\S) (\S) (?:得 )?(.+)", said).groups()
    return number_of_words(one), number_of_words(two), number_of_words(product)


def kind_of(question: str) -> str:
    """Which family asked this question (token text)?"""
    if re.match(r"(what is|compute|work out|计算|求) [(0-9]|[(0-9].* 等于 多少 \?$", question):
        return "math"
    if re.match(r"(use|用|make|how can|怎么 用) [0-9]", question):
        return "logic"
    if re.match(r"(write|写) f ", question):
        return "code"
    return "stem" if " (a)" in question else "general"


@lru_cache(maxsize=20_000)
def attempts(hand: tuple[int, ...]) -> Counter:
    """How many attempts end in which number: larger number first, known steps, no zero."""
    if len(hand) == 1:
        return Counter({hand[0]: 1})
    ends: Counter = Counter()
    have = Counter(hand)
    for high in have:
        for low in have:
            if high < low or (high == low and have[high] < 2):
                continue
            rest = list((have - Counter((high, low))).elements())
            for sign in SIGNS:
                if known(sign, high, low) and SIGNS[sign](high, low) > 0:
                    ends += attempts(tuple(sorted([*rest, SIGNS[sign](high, low)])))
    return ends
