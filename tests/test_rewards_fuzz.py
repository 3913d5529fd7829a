"""Do random text and mutated right answers ever crash a grader or earn what they should not?

The referees here share no code with the graders: tags are scanned one by one, numbers and
expressions are read by `reference_world`.
"""

import random
import re

import pytest
import reference_world as ref
from hypothesis import given, settings
from hypothesis import strategies as st

from r1book import problems, rewards
from r1book.problems import Problem

TAG = re.compile(r"</?(?:think|answer)>")
PIECES = (
    *("<think>", "</think>", "<answer>", "</answer>", " ", "\n", "\t", "24", "7", "1", "4", "0"),
    *(
        "+",
        "-",
        "*",
        "**",
        "/",
        "(",
        ")",
        "=",
        ".",
        ",",
        "a",
        "b",
        "c",
        "d",
        "wait",
        "等等",
        "．",
        "７",
    ),
    *(
        "(7 - 1) * 4",
        "eval",
        "_",
        "\x00",
        "\u200b",
        "```",
        "def f(x): return x",
        "sorry",
        "{}",
        "%s",
    ),
)
quick = settings(max_examples=200, deadline=None, derandomize=True, database=None)


def made(family: str, answer: str, **meta) -> Problem:
    return Problem("by-hand", family, 1, "en", "?", answer, f"{family}:x", "train", meta)


MATH = made("math", "24")
LOGIC = made("logic", "(7 - 1) * 4", numbers=[7, 1, 4], target=24)
STEM = made("stem", "b")
WORDS = made("general", "", kind="instruct", check="words", subject="cat", word="red", n=2)

soup = st.one_of(
    st.text(max_size=80),
    st.lists(st.sampled_from(PIECES), max_size=25).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=12).map(
        lambda parts: f"<think> a </think> <answer> {' '.join(parts)} </answer>"
    ),
)


def answer_by_scanning(text: str) -> str | None:
    """The one answer after the thinking, by walking over the tags."""
    tags = [(m.group(), m.start(), m.end()) for m in TAG.finditer(text)]
    names = [name for name, _, _ in tags]
    if names.count("<answer>") != 1 or names.count("</answer>") != 1:
        return None
    at = names.index("<answer>")
    if names[at : at + 2] != ["<answer>", "</answer>"]:
        return None
    if "</think>" in names[at + 2 :]:
        depth = 0
        for name in names[:at]:
            depth += {"<think>": 1, "</think>": -1}[name]
        if depth > 0 or at == 0 or names[at - 1] == "<think>":
            return None
    return text[tags[at][2] : tags[at + 1][1]].strip()


def is_number(text: str, expected: int) -> bool:
    """A sign, ASCII digits, perhaps '.0', perhaps a full stop: read digit by digit."""
    text = text.removesuffix(".").rstrip()
    head, dot, tail = text.partition(".")
    if dot and (not tail or set(tail) != {"0"}):
        return False
    sign = -1 if head[:1] == "-" else 1
    digits = head[1:] if head[:1] in ("+", "-") else head
    if not digits or set(digits) - set("0123456789"):
        return False
    total = 0
    for digit in digits:
        total = 10 * total + "0123456789".index(digit)
    return sign * total == expected


def is_solution(text: str, numbers: list[int], target: int) -> bool:
    try:
        tree = ref.parse(text)
    except ValueError:
        return False
    return sorted(ref.leaves(tree)) == sorted(numbers) and ref.value(tree) == target


@quick
@given(soup)
def test_no_text_crashes_a_grader_and_every_verdict_is_0_or_1(text):
    for problem in (MATH, LOGIC, STEM, WORDS):
        assert rewards.accuracy(text, problem).total in (0.0, 1.0)
        form = rewards.canonical(text, problem)
        assert form is None or (form and form == form.strip())
    assert rewards.format(text).total in (0.0, 1.0)
    for target in ("en", "zh"):
        score = rewards.language(text, target)
        assert score is None or 0.0 <= score.total <= 1.0


@quick
@given(soup)
def test_extraction_agrees_with_a_scanner(text):
    assert rewards.extract(text) == answer_by_scanning(text)


@quick
@given(soup)
def test_format_agrees_with_a_scanner(text):
    names = TAG.findall(text)
    parts = [part.strip() for part in TAG.split(text)]
    formed = names == ["<think>", "</think>", "<answer>", "</answer>"]
    formed = formed and parts[0] == parts[2] == parts[4] == "" and bool(parts[1] and parts[3])
    assert rewards.format(text).total == formed


@quick
@given(soup)
def test_nothing_wrong_is_rewarded(text):
    answer = answer_by_scanning(text)
    if rewards.accuracy(text, MATH).total:
        assert is_number(answer, 24)
    if rewards.accuracy(text, LOGIC).total:
        assert is_solution(answer, [7, 1, 4], 24)
    if rewards.accuracy(text, STEM).total:
        assert answer.strip("(). \n\t").lower() == "b"


@quick
@given(st.data())
def test_mutated_right_answers(data):
    """Change, drop or add one character: the verdict stays that of the referee."""
    right = data.draw(st.sampled_from(["24", "24.0", "(7 - 1) * 4", "4*(7-1)", "7*4-4*1"]))
    at = data.draw(st.integers(0, len(right)))
    new = data.draw(st.sampled_from(["", *"0123456789+-*/(). ,=a"]))
    keep = data.draw(st.booleans())
    answer = right[:at] + new + right[at + keep :]
    text = f"<think> a </think> <answer> {answer} </answer>"
    assert rewards.accuracy(text, MATH).total == is_number(answer.strip(), 24)
    plain = not re.search(r"\b0[0-9]", answer)  # a leading zero is no number of an expression
    judged = plain and is_solution(answer, [7, 1, 4], 24)
    assert rewards.accuracy(text, LOGIC).total == judged


space = st.text(alphabet=" \n\t", max_size=3)


@quick
@given(st.data())
def test_white_space_does_not_cost_a_right_answer(data):
    def spread(tokens: list[str]) -> str:
        return "".join(part for token in tokens for part in (data.draw(space), token))

    end = data.draw(space)
    for problem, tokens in [
        (MATH, ["24"]),
        (LOGIC, ["(", "7", "-", "1", ")", "*", "4"]),
        (STEM, ["(", "b", ")"]),
    ]:
        body = ["<think>", "a", "</think>", "<answer>", *tokens]
        text = f"{spread(body)}{end}</answer>{end}"
        assert rewards.accuracy(text, problem).total == 1.0, text
        assert rewards.format(text).total == 1.0
        lone = rewards.canonical(f"<answer>{''.join(tokens)}</answer>", problem)
        assert rewards.canonical(text, problem) == lone is not None


@quick
@given(st.lists(st.sampled_from(PIECES), max_size=8).map(" ".join))
def test_an_answer_inside_the_thinking_earns_nothing(noise):
    noise = TAG.sub("", noise)
    for problem in (MATH, LOGIC, STEM):
        inside = f"<think> {noise} <answer> {problem.answer} </answer> {noise} </think> {noise}"
        assert rewards.accuracy(inside, problem).total == 0.0
        assert rewards.accuracy(inside.removeprefix("<think>"), problem).total == 0.0
        assert rewards.accuracy(f"<think> {problem.answer} </think> {noise}", problem).total == 0.0


def other_expressions(rng: random.Random, numbers: list[int]) -> str:
    """A random fully bracketed expression over the numbers, in random order."""
    parts = [str(n) for n in rng.sample(numbers, len(numbers))]
    while len(parts) > 1:
        i = rng.randrange(len(parts) - 1)
        parts[i : i + 2] = [f"({parts[i]} {rng.choice('+-*')} {parts[i + 1]})"]
    return parts[0]


@pytest.mark.parametrize("split", ["train", "dev"])
def test_any_solution_is_accepted_and_any_other_expression_refused(split):
    rng, verdicts = random.Random(9), []
    for problem in problems.load("logic", 40, seed=9, split=split):
        numbers, target = problem.meta["numbers"], problem.meta["target"]
        for _ in range(40):
            expression = other_expressions(rng, numbers)
            right = is_solution(expression, numbers, target)
            assert rewards.logic(expression, problem.meta, problem.answer)[0] is right
            verdicts.append(right)
    assert 20 < sum(verdicts) < 600
