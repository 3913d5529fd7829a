"""Which style is a working written in? Read from the text of an answer, by parsing.

The styles are those of the world's documents (`data/world_card.md`), so that a gain can be split
into "another style is used" and "the same style is used better" (`measure.style_split`). Leaves out
whether the answer is right.
"""

import re

from r1book import words
from r1book.trace import Trace

STYLES = ("direct", "short", "step", "second", "one try", "stay", "wait", "other")
"""math and stem: direct, short, step, second (thoughts); logic: direct, one try, stay, wait."""

_CHECK = re.compile(r"check|verify|检查|验证")
_WAIT = re.compile(r"\bwait\b|等等")
_BRANCH = re.compile(r"\btry\b|\bretry\b|试|重试")
_LEAF = re.compile(r"=\s*\d+,\s*(?:(?:need|需要) \d+,\s*)?(?:no|too|yes|不行|不对|太|对)")
_OPTION = re.compile(r"\d+ \([a-d]\)")
_FACT = re.compile(r"\d+\s*[-+*]\s*\d+[^=]*=")


def attempts(text: str) -> int:
    """Return how many complete attempts a countdown working makes (each ends in a verdict).

    >>> attempts("<think> try 7 - 1 = 6: 6 + 4 = 10, no. 6 * 4 = 24, yes! </think>")
    2
    """
    return len(_LEAF.findall(words.think(text)))


def branches(text: str) -> int:
    """Return how many first steps a countdown working takes."""
    return len(_BRANCH.findall(words.think(text)))


def operations(question: str) -> int:
    """Return how many operations the chain in a question has."""
    return len(re.findall(r"[-+*]", question))


def style(trace: Trace) -> str:
    """Return the style of a trace's working, one of `STYLES`. Taught in notebook 01."""
    family = trace.problem["family"]
    thinking = words.think(trace.completion)
    if family == "logic":
        tried = attempts(trace.completion)
        if tried == 0:
            return "direct"
        if _WAIT.search(thinking):
            return "wait"
        return "one try" if tried == 1 else "stay"
    if family not in ("math", "stem"):
        return "other"
    if _CHECK.search(thinking):
        return "second"
    done = thinking.count("=")
    if family == "stem":
        named = _OPTION.search(thinking)
        return "step" if _FACT.search(thinking) else "short" if named else "direct"
    if done == 0:
        return "direct"
    return "step" if done >= operations(trace.problem["question"]) else "short"
