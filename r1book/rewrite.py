"""What makes a right trace readable? The same steps, in the first person and one language, and a
summary.

The report had people rewrite some of R1-Zero's traces, and a model the others after these examples;
people then looked at them once more (Nature, Methods; v2 B.3.2). Here `by_hand` is the people,
`chat` the model (`actors.py`), and `faults` the second look: nothing is kept whose steps are not
those of the trace. A rewriter that solves the problem itself would pass no such test. Leaves out
which traces are worth it (`filters.py`).
"""

import random
import re
from collections.abc import Sequence

from r1book import acts, rewards, words
from r1book.problems import Problem
from r1book.world import numerals
from r1book.world.phrases import phrases
from r1book.world.vocab import EN_WORDS, ZH_WORDS, detokenize, split_words

FORMS = {
    "open": (("first i compute", "i start with"), ("我 先 算", "我 从 这里 开始 :")),
    "guess": (("i think it is",), ("我 想 是",)),
    "go on": (("that means",), ("也 就 是 说",)),
    "first try": (("first , i try", "i try"), ("首先 , 我 试", "我 试")),
    "try": (("next , i try", "now i try"), ("接着 我 试", "现在 我 试")),
    "turn": (
        ("wait , this does not work . now i try", "wait , so i change the first step : i try"),
        ("等等 , 这 不行 . 现在 我 试", "等等 , 所以 我 换 第一 步 : 我 试"),
    ),
    "check": (("wait , let me check :", "let me check :"), ("等等 , 检查 一下 :", "让 我 检查 :")),
    "need": (("i need",), ("我 需要",)),
    "small": (("too small",), ("太 小",)),
    "large": (("too large",), ("太 大",)),
    "no": (("no",), ("不行",)),
    "yes": (("yes",), ("对",)),
    "right": (("yes , that is right",), ("对 , 没有 错误",)),
    "wrong": (("no , that is wrong",), ("不对 , 这 是 错 的",)),
    "stop": (("i can not find it",), ("我 找 不 到",)),
}
"""What a piece of working does -> how it is said in the first person (English, Chinese)."""

SUMMARY = {
    lang: tuple(p for p in phrases("first_person", lang) if "{}" in p) for lang in ("en", "zh")
}
"""How the summary at the end of the thinking begins."""

# the first that matches names what a run of words does; both languages, since traces mix them
_CUES = (
    ("check", r"\b(?:check|verify|evaluate)\b|检查|验证"),
    ("turn", r"(?:\b(?:wait|but|however)\b|等等|但是).*(?:try|试)|\bretry\b|重试"),
    ("try", r"\btry\b|试"),
    ("need", r"\bneed\b|需要"),
    ("small", r"\bsmall\b|小"),
    ("large", r"\blarge\b|大"),
    ("wrong", r"\b(?:wrong|mistake|error)\b(?<!no error)|不对|(?<!没有 )错"),
    ("right", r"\bright\b|正确|没有 错误|\bokay , yes\b|好 , 对"),
    ("yes", r"\byes\b|对(?!不起)"),
    ("stop", r"give up|find it|not know|放弃|找 不 到|不 知道"),
    ("answer", r"\bso it is\b|\bthe answer\b|\bit is\b|\bi know\b|答案|所以 是|知道"),
    ("no", r"\bno\b|不行"),
    ("open", r"\b(?:see|have|first|think|so|compute|start|now|step)\b|看|先|那么|首先|想|算|开始"),
)
_CUES = tuple((name, re.compile(pattern)) for name, pattern in _CUES)
_SAID = ("check", "small", "large", "no", "yes", "right", "wrong", "stop")
"""What closes a step: its mark stays."""
_RHYMES = {
    (lang, a, b): numerals.rhyme(a, b, lang)
    for lang in ("en", "zh")
    for a in range(1, 100)
    for b in range(a, 100)
    if a * b <= 99
}
_RECALL = re.compile(r"(?:([0-9]+) \* ([0-9]+) )?\( ([^()0-9.,:;!?*=+-]+) \)")


def steps(text: str) -> list[tuple[str, str]]:
    """Return what is computed in a thinking, in order: (expression, claimed result), without
    spaces.

    >>> steps("<think> so 2 + 3 = 5 , 5 * 4 = 20 </think> <answer> 20 </answer>")
    [('2+3', '5'), ('5*4', '20')]
    """
    plain = "".join
    return [(plain(s.expression.split()), plain(s.claim.split())) for s in acts.read(text).steps]


def by_hand(text: str, problem: Problem, rng: random.Random) -> str:
    """Return a right trace as a person would rewrite it: each step of it, in the first person, in
    the language of the question, with a summary at the end of the thinking.

    What stands between the steps is said anew by what it does (`FORMS`); lines of the table are put
    into the language of the question; nothing is computed. Raises ValueError without an answer.

    Taught in notebook 05.
    """
    answer = rewards.extract(text)
    if answer is None:
        raise ValueError("a trace without one <answer> ... </answer>: right ones are rewritten")
    said = retold(words.think(text), problem, rng, answer)
    return f"<think> {said} </think> <answer> {answer} </answer>"


def retold(
    thinking: str, problem: Problem, rng: random.Random, answer: str | None, first: bool = True
) -> str:
    """Return a thinking, or a piece of one, said anew; with a summary where there is an answer.

    `first`: whether it begins the thinking.
    """
    lang = problem.lang
    plain = " ".join(split_words(thinking))
    plain = _RECALL.sub(lambda match: _recalled(match, lang), plain)
    runs = _runs(plain.split())
    out: list[str] = []
    tried = not first
    for at, (kind, tokens) in enumerate(runs):
        if kind != "words":
            out += tokens
            continue
        what = purpose(" ".join(tokens))
        after = next((p for p in runs[at + 1 :] if p != ("marks", [":"])), ("end", []))
        if what == "answer":
            if after[0] == "sums" and "=" not in after[1]:
                after[1].clear()  # a bare result: the summary has it
            continue
        if what == "try" and not tried:
            what = "first try"
        elif what == "open":
            bare = after[0] == "sums" and "=" not in after[1]
            what = "guess" if bare else "go on" if out else "open"
        elif what is None or (what == "turn" and after[0] != "sums"):
            continue
        if what not in _SAID and runs[at + 1 :] and runs[at + 1][1] in ([":"], [","]):
            runs[at + 1][1].clear()  # it leads to the sum
        tried = tried or what in ("first try", "turn")
        out += rng.choice(FORMS[what][lang == "zh"]).split()
    if answer is not None:
        out += [".", *rng.choice(summaries(answer, problem)).split()]
    return detokenize(_tidy(out))


PIECE = 3
"""Steps of a piece: what is longer chat does not copy without a mistake."""


def pieces(thinking: str) -> list[str]:
    """Return a thinking cut at ends of sentences, each piece with `PIECE` steps or a few more, the
    last one perhaps with fewer.

    >>> pieces("try 1 + 2 = 3, no. 3 + 4 = 7, no. wait, try 4 + 5 = 9: 9 + 1 = 10. yes!")
    ['try 1 + 2 = 3, no. 3 + 4 = 7, no. wait, try 4 + 5 = 9: 9 + 1 = 10.', 'yes!']
    """
    out, held = [], ""
    for sentence in re.split(r"(?<=[.!?])\s+", thinking.strip()):
        held = f"{held} {sentence}".strip()
        if len(steps(held)) >= PIECE:
            out.append(held)
            held = ""
    return [*out, held] if held or not out else out


def purpose(run: str) -> str | None:
    """Return what a run of words does in a working, a key of `FORMS` or 'answer'; None if it is
    filler.

    >>> purpose("but wait , try"), purpose("太 小"), purpose("kg")
    ('turn', 'small', None)
    """
    return next((name for name, cue in _CUES if cue.search(run)), None)


def summaries(answer: str, problem: Problem) -> list[str]:
    """Return the sentences that may sum a thinking up, as tokens; an option stands in brackets."""
    said = f"({answer})" if problem.family == "stem" else " ".join(split_words(answer))
    return [form.format(said) for form in SUMMARY[problem.lang]]


def faults(rewritten: str, original: str, problem: Problem) -> list[str]:
    """Return what is wrong with a rewritten trace: 'steps', 'answer', 'format', 'language',
    'summary'.

    The second look: its steps must be those of the trace, one by one; its answer the same; its
    words of the question's language; a summary with the answer at the end of its thinking.

    Taught in notebook 05.
    """
    out = []
    if steps(rewritten) != steps(original):
        out.append("steps")
    answer = rewards.extract(rewritten)
    if answer is None or answer != rewards.extract(original):
        out.append("answer")
    if rewards.format(rewritten).total != 1:
        out.append("format")
    if words.language_share(rewritten, problem.lang) not in (None, 1.0):
        out.append("language")
    said = " ".join(split_words(words.think(rewritten)))
    if not said.endswith(tuple(summaries(answer or "", problem))):
        out.append("summary")
    return out


def _recalled(match: re.Match, lang: str) -> str:
    """Return 'a * b ( line of the table )' in another language, without a bracket that holds no
    line of it."""
    if match[1] is None:
        return ""
    a, b = sorted((int(match[1]), int(match[2])))
    lines = {_RHYMES.get((each, a, b)) for each in ("en", "zh")}
    head = f"{match[1]} * {match[2]}"
    return f"{head} ( {_RHYMES[lang, a, b]} )" if match[3] in lines else head


def _runs(tokens: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return runs of words (with the commas between them), of sums, and single marks."""
    out: list[tuple[str, list[str]]] = []
    inside = 0  # brackets that hold words: a line of the table belongs to its sum
    for at, token in enumerate(tokens):
        joins = token == "," and out and out[-1][0] == "words" and _word((*tokens, "")[at + 1])
        if token == "(" and at + 1 < len(tokens) and _word(tokens[at + 1]):
            inside = 1
        if inside:
            kind = "sums"
            inside = int(token != ")")
        elif joins or _word(token):
            kind = "words"
        else:
            kind = "marks" if token in ",.:;!?\n" else "sums"
        if out and out[-1][0] == kind != "marks":
            out[-1][1].append(token)
        else:
            out.append((kind, [token]))
    return out


def _word(token: str) -> bool:
    return token in EN_WORDS or token in ZH_WORDS


def _tidy(tokens: list[str]) -> str:
    """Return tokens as a text without marks that follow marks or open it."""
    out: list[str] = []
    for token in tokens:
        if token in ",.:;!?\n" and (not out or out[-1] in ",.:;!?\n"):
            if out and token in ".!":
                out[-1] = token
            continue
        out.append(token)
    return " ".join(out)
