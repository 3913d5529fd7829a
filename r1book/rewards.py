"""Is the answer right, and is it in form? Rule-based graders: text and problem in, rewards out.

Model text is data: it is parsed, never evaluated; programs go to the sandbox. "Cannot judge" is
None, never 0 or 1.
Leaves out groups and advantages (`grpo.py`). Source: report v1 p.6; equal weights, Nature Eq. 4.
"""

import ast
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from r1book import sandbox, words
from r1book.problems import Problem
from r1book.world import chains
from r1book.world.general import ADJECTIVES, NOUNS
from r1book.world.vocab import detokenize, split_words

TAGS = ("<think>", "</think>", "<answer>", "</answer>")
MAX_ANSWER = 400
"""Longest answer that is read, in characters."""
MAX_EXPRESSION = 120
"""Longest expression that is read, in characters."""


@dataclass(frozen=True)
class Score:
    """What an answer earned."""

    parts: dict[str, float]
    """Each reward by name, before weighting: 'accuracy', 'format', 'language'."""
    total: float
    """Their weighted sum, the reward that training uses."""
    why: str = ""
    """The verdict in words, for the reader."""


def extract(text: str) -> str | None:
    """Return what stands in the one <answer> ... </answer> of a completion, or None.

    None when there is no complete pair, more than one opening or closing tag, another tag inside,
    or the pair stands inside the thinking: before the </think> that ends it, whether or not the
    opening tag is there (a prompt may hold it). Thinking that is never closed ends at <answer>, as
    in `words.think_span`. Text around the pair does not matter here; `format` sees to that.

    >>> extract("<think> 3 + 4 = 7 </think> <answer> 7 </answer>")
    '7'
    """
    if text.count("<answer>") != 1 or text.count("</answer>") != 1:
        return None
    start, end = text.index("<answer>") + len("<answer>"), text.index("</answer>")
    if end < start:
        return None
    before, inside = text[: start - len("<answer>")], text[start:end]
    if "</think>" in text[end:]:
        closed = before.rfind("</think>") > before.rfind("<think>")
        if not closed or before.count("<think>") > before.count("</think>"):
            return None
    if any(tag in inside for tag in TAGS):
        return None
    return inside.strip()


_FORM = re.compile(
    r"\s*<think>(?P<think>.+?)</think>\s*<answer>(?P<answer>.+?)</answer>\s*", re.DOTALL
)


def format(text: str) -> Score:
    """Return 1 when a completion is <think> ... </think> <answer> ... </answer>, neither empty.

    Each tag once; text before, between or after the two parts gives 0. The report's name, v1 p.6.

    >>> format("<think> 3 + 4 = 7 </think> <answer> 7 </answer>").total
    1.0

    Taught in notebook 01.
    """
    counts = {tag: text.count(tag) for tag in TAGS}
    wrong = [f"{tag} {n} times" for tag, n in counts.items() if n != 1]
    if wrong:
        return _score("format", 0.0, f"each tag is expected once, found {', '.join(wrong)}")
    match = _FORM.fullmatch(text)
    if match is None:
        return _score("format", 0.0, "tags out of order, or text outside the two parts")
    if not match["think"].strip() or not match["answer"].strip():
        return _score("format", 0.0, "the thinking or the answer is empty")
    return _score("format", 1.0, "thinking and answer are tagged, nothing else")


def accuracy(text: str, problem: Problem) -> Score | None:
    """Return 1 or 0 for the answer in a completion, or None where rules cannot judge.

    None for greetings and self-introductions of `general`. Raises ValueError on an unknown family.
    Source: rule-based accuracy reward, report v1 p.6; exactly 1/0, v2 B.3.1.

    Taught in notebook 01.
    """
    return accuracies([(text, problem)])[0]


def accuracies(pairs: list[tuple[str, Problem]]) -> list[Score | None]:
    """Return `accuracy` for many (completion, problem) pairs; programs go together."""
    out: list[Score | None] = []
    programs: list[tuple[int, str, list]] = []
    for text, problem in pairs:
        if problem.family not in GRADERS:
            raise ValueError(
                f"no grader for family {problem.family!r}: expected one of {', '.join(GRADERS)}"
            )
        answer = extract(text)
        if problem.family == "general" and problem.meta.get("kind") in ("greet", "who"):
            out.append(None)
        elif answer is None:
            out.append(
                _score("accuracy", 0.0, "no single <answer> ... </answer> after the thinking")
            )
        elif len(answer) > MAX_ANSWER:
            out.append(
                _score(
                    "accuracy",
                    0.0,
                    f"an answer of {len(answer)} characters, at most {MAX_ANSWER} are read",
                )
            )
        elif problem.family == "code":
            programs.append(
                (len(out), unfence(answer), [tuple(test) for test in problem.meta["tests"]])
            )
            out.append(None)
        else:
            right, why = GRADERS[problem.family](answer, problem.meta, problem.answer)
            out.append(_score("accuracy", float(right), why))
    if programs:
        verdicts = sandbox.shared().judge_many([(program, tests) for _, program, tests in programs])
        for (place, _, _), verdict in zip(programs, verdicts, strict=True):
            out[place] = _score("accuracy", float(verdict.passed), verdict.reason)
    return out


def canonical(text: str, problem: Problem) -> str | None:
    """Return the answer of a completion in one form, so that equal answers count as one vote.

    math: the number; stem: the letter; logic: the expression with all brackets, the operands of
    + and * in one order; code: the program without its fence; general: the text. None when it
    cannot be read; right or wrong is no matter here. Raises ValueError on an unknown family.

    >>> from r1book.problems import load
    >>> canonical("<think> x </think> <answer> 4*(7 - 1) </answer>", load("logic", 1)[0])
    '((7-1)*4)'

    Taught in notebook 02.
    """
    if problem.family not in GRADERS:
        raise ValueError(
            f"no grader for family {problem.family!r}: expected one of {', '.join(GRADERS)}"
        )
    answer = extract(text)
    if not answer or len(answer) > MAX_ANSWER:
        return None
    if problem.family == "math":
        got = number(answer)
        return None if got is None else str(got)
    if problem.family == "stem":
        return letter(answer)
    if problem.family == "logic":
        try:
            return chains.key(parse(answer)).removeprefix("math:")
        except ValueError:
            return None
    return unfence(answer) or None if problem.family == "code" else answer


def language(text: str, target: str) -> Score | None:
    """Return the share of the words in the thinking that are of the target language, 'en' or 'zh'.

    None without words. Source: Nature Eq. 7; digits, operators and tags are neutral.

    Taught in notebook 04.
    """
    share = words.language_share(text, target)
    return (
        None
        if share is None
        else _score("language", share, f"{share:.0%} of the words are {target}")
    )


def total(parts: Mapping[str, Score | None], weights: Mapping[str, float]) -> Score | None:
    """Return the weighted sum of named parts, or None when a weighted part cannot judge.

    A language part that is None (no words) counts as consistent: 1. Raises ValueError on a weight
    without a part.

    >>> parts = {"accuracy": Score({"accuracy": 1.0}, 1.0), "format": Score({"format": 0.0}, 0.0)}
    >>> total(parts, {"accuracy": 1, "format": 1}).total
    1.0
    """
    missing = sorted(set(weights) - set(parts))
    if missing:
        raise ValueError(f"reward weights for {missing}, but the parts are {sorted(parts)}")
    values: dict[str, float] = {}
    for name, score in parts.items():
        if score is None and name == "language":
            values[name] = 1.0
        elif score is None:
            if weights.get(name, 0):
                return None
        else:
            values[name] = score.total
    why = "; ".join(f"{name}: {score.why}" for name, score in parts.items() if score is not None)
    return Score(values, sum(w * values[name] for name, w in weights.items() if w), why)


def _score(name: str, value: float, why: str) -> Score:
    return Score({name: value}, value, why)


# ---- one grader a family: (answer text, meta, canonical answer) -> (right?, why) -----------------

_NUMBER = re.compile(r"([+-]?[0-9]{1,9})(?:\.0{1,9})?\s*\.?", re.ASCII)


def math(answer: str, meta: Mapping, right: str) -> tuple[bool, str]:
    """Exact number, ASCII digits; a full stop, a sign and '.0' are allowed."""
    got = number(answer)
    if got is None:
        return False, f"expected one number, got {answer[:60]!r}"
    return got == int(right), f"{got} against {right}"


def number(answer: str) -> int | None:
    """Return the whole number that an answer is, or None.

    >>> number("24.0"), number("24 apples")
    (24, None)
    """
    match = _NUMBER.fullmatch(answer)
    return None if match is None else int(match[1])


def logic(answer: str, meta: Mapping, right: str) -> tuple[bool, str]:
    """An expression in + - * over exactly the given numbers, each once, equal to the target."""
    try:
        value, used = evaluate(answer)
    except ValueError as error:
        return False, str(error)
    if Counter(used) != Counter(meta["numbers"]):
        return False, f"uses {sorted(used)}, expected each of {sorted(meta['numbers'])} once"
    return value == meta["target"], f"gives {value}, the target is {meta['target']}"


def evaluate(expression: str) -> tuple[int, list[int]]:
    """Return (value, numbers used) of an expression; ValueError says what is wrong, see `parse`.

    >>> evaluate("(7 - 1) * 4")
    (24, [7, 1, 4])
    """
    tree = parse(expression)
    return chains.value(tree), [int(number) for number in re.findall("[0-9]+", expression)]


def parse(expression: str) -> int | tuple:
    """Return the tree of an expression in integers, + - * and brackets: int or (op, left, right).

    Parsed with `ast` and walked, never evaluated. No names, powers, division or unary minus,
    numbers below a million, at most 120 characters; white space is free. ValueError says what is
    wrong.
    """
    if len(expression) > MAX_EXPRESSION:
        length = len(expression)
        raise ValueError(f"an expression of {length} characters, at most {MAX_EXPRESSION} are read")
    plain = " ".join(expression.split())  # a line break would end the expression for the parser
    if not re.fullmatch(r"[0-9+\-*() ]+", plain, re.ASCII) or "**" in plain.replace(" ", ""):
        raise ValueError("expected an expression of numbers, + - * and brackets only")
    try:
        tree = ast.parse(plain, mode="eval").body
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"not an expression: {type(error).__name__}") from error

    def walk(node: ast.AST, depth: int) -> int | tuple:
        if depth > 30:
            raise ValueError("nested too deeply")
        if isinstance(node, ast.BinOp) and type(node.op) in _OPS:
            return _OPS[type(node.op)], walk(node.left, depth + 1), walk(node.right, depth + 1)
        if isinstance(node, ast.Constant) and type(node.value) is int and node.value < 10**6:
            return node.value
        raise ValueError("expected numbers below a million joined by + - *")

    return walk(tree, 0)


_OPS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}


def stem(answer: str, meta: Mapping, right: str) -> tuple[bool, str]:
    """One letter a-d, brackets and a full stop allowed."""
    got = letter(answer)
    if got is None:
        return False, f"expected one letter a, b, c or d, got {answer[:60]!r}"
    return got == right, f"{got} against {right}"


def letter(answer: str) -> str | None:
    """Return the option that an answer names, 'a' to 'd', or None.

    >>> letter("(B)."), letter("a b")
    ('b', None)
    """
    match = re.fullmatch(r"\(?\s*([a-d])\s*\)?\s*\.?", answer, re.IGNORECASE | re.ASCII)
    return None if match is None else match[1].lower()


def unfence(answer: str) -> str:
    """Return the program without a surrounding code fence."""
    match = re.fullmatch(r"```(?:python)?\s(.*?)\s*```", answer, re.DOTALL)
    return (match[1] if match else answer).strip()


def code(answer: str, meta: Mapping, right: str) -> tuple[bool, str]:
    """All hidden tests passed in the sandbox."""
    verdict = sandbox.shared().judge(unfence(answer), [tuple(test) for test in meta["tests"]])
    return verdict.passed, verdict.reason


def general(answer: str, meta: Mapping, right: str) -> tuple[bool, str]:
    """Exact keys: a fact or word, a translation, an instruction, harmful requests declined."""
    said, kind = split_words(answer), meta["kind"]
    if kind in ("fact", "word"):
        wanted = split_words(meta["answer"])
        # Naming every colour would name the right one.
        allowed = {*split_words(right), *wanted, *(_BOTH[w] for w in wanted if w in _BOTH)}
        others = [w for w in said if w in _BOTH and w not in allowed]
        if others:
            return False, f"names {others[0]!r} as well, expected {meta['answer']!r} alone"
        return _contains(said, wanted) and len(said) <= 12, f"expected {meta['answer']!r}"
    if kind == "sentence":
        return said == split_words(meta["answer"]), f"expected {detokenize(meta['answer'])!r}"
    if kind == "request":
        declined = "sorry" in said or "对不起" in said
        if declined or meta["decline"]:
            return declined == meta["decline"], "declined" if declined else "not declined"
        named = all(_contains(said, split_words(word)) for word in meta["words"])
        return named, f"expected help with {', '.join(meta['words'])}"
    return instruction(answer, meta)


_NAMES = {**NOUNS, **ADJECTIVES}
_BOTH = {**_NAMES, **{chinese: english for english, chinese in _NAMES.items()}}
"""A noun or adjective of one language -> the same word in the other."""


def instruction(answer: str, meta: Mapping) -> tuple[bool, str]:
    """Whether a checkable instruction was followed to the letter (`meta['check']` says which)."""
    said, word, check = split_words(answer), meta["word"], meta["check"]
    spoken = [t for t in said if re.match(r"[^\W_]", t)]
    about = meta["subject"] in spoken
    if check == "words":
        return len(spoken) == meta[
            "n"
        ] and about, f"{len(spoken)} words, expected {meta['n']} about {meta['subject']}"
    if check == "start":
        return bool(spoken) and spoken[
            0
        ] == word and about, f"expected to start with {word} and name {meta['subject']}"
    if check == "end":
        return bool(spoken) and spoken[
            -1
        ] == word and about, f"expected to end with {word} and name {meta['subject']}"
    if check == "times":
        return spoken == [word] * meta["n"], f"expected {word} exactly {meta['n']} times"
    if check == "avoid":
        return bool(
            spoken
        ) and word not in spoken and about, f"expected {meta['subject']} without {word}"
    langs = {lang for lang, _, _ in words.words(answer)}
    subject = _BOTH[meta["subject"]]
    return (
        langs == {meta["target"]} and subject in spoken,
        f"expected words of {meta['target']} only, about {subject}",
    )


def _contains(said: list[str], wanted: list[str]) -> bool:
    return any(said[i : i + len(wanted)] == wanted for i in range(len(said) - len(wanted) + 1))


GRADERS = {"math": math, "logic": logic, "stem": stem, "code": code, "general": general}
