"""stem: a quantity question with four options, answered by a letter. Counterpart of the report's
STEM data.

Levels 1-2 need one operation, 3-5 two. The wrong options are the results of common slips.
"""

import random
from dataclasses import dataclass

from r1book.world.chains import stated
from r1book.world.splits import split_of

LETTERS = ("a", "b", "c", "d")


@dataclass(frozen=True)
class Story:
    """One kind of question: a formula with its wording in both languages."""

    name: str
    """Goes into the canonical key."""
    steps: tuple[str, ...]
    """Operations over x, y, z in order: 'x*y' then 'r+z' (r is the running result)."""
    en: str
    zh: str


STORIES = (
    Story("weight", ("x*y",), "each box weighs {x} kg . what do {y} boxes weigh ?", "每 个 箱子 重 {x} 千克 . {y} 个 箱子 重 多少 ?"),
    Story("speed", ("x*y",), "a train goes {x} km in each hour . how far does it go in {y} hours ?", "火车 每 小时 走 {x} 千米 . {y} 小时 走 多少 ?"),
    Story("left", ("x-y",), "a tank has {x} kg of water and loses {y} kg . how much is left ?", "水箱 有 {x} 千克 水 , 少 {y} 千克 . 还 有 多少 ?"),
    Story("both", ("x+y",), "one stone weighs {x} kg and one stone weighs {y} kg . what do both weigh ?", "一 个 石头 重 {x} 千克 , 一 个 石头 重 {y} 千克 . 一共 重 多少 ?"),
    Story("load", ("x*y", "r+z"), "each box weighs {x} kg and the car weighs {z} kg . what do the car and {y} boxes weigh ?", "每 个 箱子 重 {x} 千克 , 车 重 {z} 千克 . 车 和 {y} 个 箱子 重 多少 ?"),
    Story("trip", ("x*y", "r+z"), "a train goes {x} km in each hour for {y} hours , then {z} km . how far does it go ?", "火车 每 小时 走 {x} 千米 , 走 {y} 小时 , 再 走 {z} 千米 . 一共 走 多少 ?"),
    Story("heat", ("x+y", "r-z"), "water has {x} degrees , warms by {y} and cools by {z} . how many degrees are left ?", "水 有 {x} 度 , 加 {y} 度 , 少 {z} 度 . 还 有 多少 度 ?"),
    Story("leak", ("x*y", "r-z"), "a tank gets {x} kg of water in each hour for {y} hours and loses {z} kg . how much is left ?", "水箱 每 小时 加 {x} 千克 水 , 加 {y} 小时 , 少 {z} 千克 . 还 有 多少 ?"),
    Story("share", ("x-y", "r*z"), "each of {z} boxes has {x} kg of rice and loses {y} kg . how much is left ?", "{z} 个 箱子 每 个 有 {x} 千克 米 , 少 {y} 千克 . 一共 还 有 多少 ?"),
)  # fmt: skip

LEVELS = {
    1: ("left", "both"),
    2: ("weight", "speed"),
    3: ("load", "trip"),
    4: ("heat", "leak"),
    5: ("share", "leak"),
}
BY_NAME = {story.name: story for story in STORIES}


def operands(rng: random.Random, story: Story) -> dict[str, int]:
    """Draw x, y, z so that every step is a fact of the world with a positive result."""
    while True:
        small = lambda: rng.randint(2, 9)  # noqa: E731
        big = lambda: rng.randint(2, 60)  # noqa: E731
        x = small() if "x*y" in story.steps else big()
        y = rng.randint(2, 20) if "x*y" in story.steps else big()
        z = small() if "r*z" in story.steps else big()
        values = {"x": x, "y": y, "z": z}
        if all(step[3] >= 1 and stated(*step[:3]) for step in working(story, values)):
            return values


def working(story: Story, values: dict[str, int]) -> list[tuple[str, int, int, int]]:
    """Return the steps (op, left, right, result)."""
    out, running = [], 0
    for first, op, second in story.steps:
        a = running if first == "r" else values[first]
        b = values[second]
        running = a + b if op == "+" else a - b if op == "-" else a * b
        out.append((op, a, b, running))
    return out


def slips(rng: random.Random, story: Story, values: dict[str, int]) -> list[int]:
    """Return three distinct wrong values in 1..99: a wrong operation, a forgotten step, a near
    miss."""
    steps = working(story, values)
    right = steps[-1][3]
    _, a, b, _ = steps[-1]
    wrong = {a + b, a - b, a * b, steps[0][3], right + 1, right - 1, right + 10, right - 10}
    wrong |= {values["x"] + values["y"], values["x"] * values["y"], right + 2, right - 2}
    return rng.sample(sorted(w for w in wrong if 1 <= w <= 99 and w != right), 3)


def key(story: Story, values: dict[str, int]) -> str:
    """Return the canonical key: the story and its operands (x and y sorted where they commute)."""
    x, y = values["x"], values["y"]
    if story.steps[0] in ("x*y", "x+y"):
        x, y = sorted((x, y))
    z = values["z"] if len(story.steps) > 1 else 0
    return f"stem:{story.name}:{x},{y},{z}"


def problem(rng: random.Random, level: int, split: str, lang: str) -> dict:
    """Return the fields of one problem; the answer is a letter."""
    while True:
        story = BY_NAME[rng.choice(LEVELS[level])]
        values = operands(rng, story)
        if split_of(key(story, values)) == split:
            break
    right = working(story, values)[-1][3]
    options = [*slips(rng, story, values), right]
    rng.shuffle(options)
    listed = " ".join(
        f"{option} ({letter})" for letter, option in zip(LETTERS, options, strict=True)
    )
    text = (story.en if lang == "en" else story.zh).format(**values)
    return {
        "question": f"{text} {listed}",
        "answer": LETTERS[options.index(right)],
        "key": key(story, values),
        "meta": {"story": story.name, "values": values, "options": options},
    }
