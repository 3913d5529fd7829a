"""Which words does a text hold? Its thinking, the words of reflection in it, and their languages.

Plain text in, plain values out. Left out: averages over traces (`measure.py`).
"""

import re
from collections import Counter
from itertools import pairwise

REFLECTION = {
    # the ten words that the report counts (Nature 645, Extended Data Fig. 1)
    "en": tuple("wait mistake however but retry error verify wrong evaluate check".split()),
    # ours: the report prints no Chinese list
    "zh": tuple("等等 等一下 不对 错误 错 但是 不过 然而 重试 验证 检查 评估".split()),
}
"""Words that may mark reflection, by language."""

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
# Latin words (with an apostrophe inside), or one Han character. A lone letter is a variable, an
# option of a multiple choice or a multiplication sign, unless it can only be a word.
_WORD = re.compile(rf"(?P<en>[a-zA-Z]+(?:['’][a-zA-Z]+)*)|(?P<zh>[{_HAN}])")
_LONE_WORDS = {"a", "I", "i"}
_OPTION = re.compile(r"\([a-zA-Z]\)")  # "(a)" is an option of a multiple choice
# Longest first, so that 错误 is one word and not also 错.
REFLECTION_PATTERN = re.compile(
    r"\b(?:"
    + "|".join(REFLECTION["en"])
    + r")\b|"
    + "|".join(sorted(REFLECTION["zh"], key=len, reverse=True)),
    re.IGNORECASE | re.ASCII,  # ASCII: a Han character beside "wait" is no part of the word
)
_LINE = re.compile(r"\*\s*[0-9]+\s*\(([^()0-9=+*-]*)\)")  # a product, then words in brackets
_TAG = re.compile(r"</?(?:think|answer)>")


def think_span(text: str) -> tuple[int, int]:
    """Start and end of the thinking in a completion, tags excluded.

    A prompt may already end in <think>, and an answer may be cut: without the opening tag thinking
    starts at the beginning, without the closing tag it lasts to <answer> or to the end.
    """
    close = text.find("</think>")
    start = text.find("<think>", 0, None if close < 0 else close)
    start = 0 if start < 0 else start + len("<think>")
    if close >= 0:
        return start, close
    answer = text.find("<answer>", start)
    return start, len(text) if answer < 0 else answer


def think(text: str) -> str:
    """The thinking in a completion; see `think_span`. Taught in notebook 03."""
    start, end = think_span(text)
    return text[start:end]


def reflection(text: str) -> Counter:
    """How often each reflection word occurs in a text: whole words, upper or lower case.

    English words as the report counts them, without inflections; Chinese ones by the longest match.

    >>> reflection("Wait, wait. 不对")["wait"]
    2

    Taught in notebook 03.
    """
    return Counter(m.group().lower() for m in REFLECTION_PATTERN.finditer(text))


def words(text: str) -> list[tuple[str, int, int]]:
    """The words of a text as (language, start, end): Latin words "en", Han characters "zh".

    Digits, operators, tags, punctuation and lone letters (x, A, and any in brackets: an option) are
    neutral and left out. One Han character counts as one word: no segmentation of Chinese is
    undisputed.
    """
    blank = _TAG.sub(lambda tag: " " * len(tag.group()), text)  # the places stay those of the text
    return [
        (m.lastgroup, *m.span())
        for m in _WORD.finditer(blank)
        if m.lastgroup == "zh"
        or m.end() - m.start() > 1
        or (m.group() in _LONE_WORDS and not _OPTION.match(blank, max(0, m.start() - 1)))
    ]


def language_share(text: str, target: str) -> float | None:
    """Share of the words in the thinking that are of the target language, "en" or "zh".

    Num(Words_target) / Num(Words) of the report (Nature 645, Eq. 7). None where there are no words.
    Raises ValueError for another target.

    >>> language_share("<think> so 3 * 4 是 12 </think>", "en")
    0.5

    Taught in notebook 04.
    """
    if target not in ("en", "zh"):
        raise ValueError(f'the target language is "en" or "zh", got {target!r}')
    found = [language for language, _, _ in words(think(text))]
    return found.count(target) / len(found) if found else None


def foreign(text: str, target: str) -> Counter:
    """What the words in the thinking are: "own" language, "table" or "other" foreign ones.

    "table" words stand in brackets between a product and its result, "7 * 8 (七八五十六) = 56": a
    line of the multiplication table, borrowed from the other language; "other" ones anywhere else.
    Raises ValueError as `language_share` does.

    >>> foreign("<think> so 7 * 8 (七八五十六) = 56 , 对 </think>", "en")
    Counter({'table': 5, 'own': 1, 'other': 1})

    Taught in notebook 04.
    """
    language_share("", target)  # refuses what is no target
    said = think(text)
    lines = [m.span(1) for m in _LINE.finditer(said)]
    return Counter(
        "own"
        if language == target
        else "table"
        if any(a <= start < b for a, b in lines)
        else "other"
        for language, start, _ in words(said)
    )


def switches(text: str) -> int:
    """How often the language changes from one word of the thinking to the next.

    Words as in `words`: digits, operators and lone letters do not stand between two words. The
    share of a language (`language_share`) cannot tell one switch from many.

    >>> switches("<think> so 3 * 4 是 12 , yes </think>")
    2

    Taught in notebook 03.
    """
    return sum(a != b for (a, *_), (b, *_) in pairwise(words(think(text))))
