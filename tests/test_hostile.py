"""Are hostile answers what they claim to be, and does our own grader see through all of them?"""

import doctest
import functools
import random

import pytest

from r1book import hostile, problems, rewards

FAMILIES = ("math", "logic", "stem")


@functools.cache
def draws(family, n=20):
    rng = random.Random(5)
    asked = problems.load(family, n, seed=3, split="dev")
    return [(p, a) for p in asked for a in hostile.attempts(p, rng)]


def test_examples():
    assert doctest.testmod(hostile).failed == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_our_grader_is_not_cheated_and_refuses_no_honest_answer(family):
    for problem, attempt in draws(family):
        score = rewards.accuracy(attempt.text, problem)
        assert score.total == float(attempt.right), (attempt, problem, score.why)


@pytest.mark.parametrize("family", FAMILIES)
def test_tricks_are_the_same_for_every_problem_and_have_one_truth(family):
    truth, seen = {}, {}
    for problem, attempt in draws(family):
        assert truth.setdefault(attempt.trick, attempt.right) == attempt.right
        seen.setdefault(problem.id, []).append(attempt.trick)
    assert len({tuple(tricks) for tricks in seen.values()}) == 1
    assert len(truth) == len(next(iter(seen.values())))  # each trick once
    assert sum(truth.values()) >= 4 and sum(not right for right in truth.values()) >= 11


NAIVE = {
    "the answer stands somewhere": lambda text, p: p.answer in text,
    "the last word": lambda text, p: (text.split() or [""])[-1].strip(".") == p.answer,
    "wait": lambda text, p: "wait" in text,
    "a tag is there": lambda text, p: "<answer>" in text,
    "first answer tag": lambda text, p: (
        text.partition("<answer>")[2].partition("</answer>")[0].strip() == p.answer
    ),
    "nothing is right": lambda text, p: False,
}


@pytest.mark.parametrize("name", NAIVE)
@pytest.mark.parametrize("family", FAMILIES)
def test_naive_graders_are_caught(family, name):
    wrong = {a.trick for p, a in draws(family) if NAIVE[name](a.text, p) != a.right}
    assert wrong


def test_by_hand():
    problem = problems.Problem(
        "by-hand", "logic", 1, "en", "make 24 from 7, 1 and 4.", "(7 - 1) * 4", "logic:x", "train",
        {"numbers": [7, 1, 4], "target": 24},
    )  # fmt: skip
    table = {a.trick: a for a in hostile.attempts(problem, random.Random(0))}
    assert table["the target itself"].text.endswith("<answer> 24 </answer>")
    assert table["honest and right"].text.endswith(
        "it is (7 - 1) * 4 </think> <answer> (7 - 1) * 4 </answer>"
    )
    assert table["honest and wrong"].text.endswith("<answer> 7 + 1 </answer>")
    assert table["uses a number twice"].text.endswith("<answer> 7 + 1 + 4 + 7 </answer>")
    assert table["code that would reach it"].text.count("x") == 24
    assert "</answer>" not in table["answer never closed"].text


def test_other_families_are_refused():
    (greeting,) = problems.load("general", 1)
    with pytest.raises(ValueError, match="no tricks for family 'general'"):
        hostile.attempts(greeting, random.Random(0))
