"""Is a thought cut where it should be, does it answer, and is the share that of the answers?"""

import doctest
import re

import pytest
import torch
from test_models import tiny
from test_rollout import talker

from r1book import budget, models, prompts, rollout
from r1book.intervals import proportion_ci
from r1book.problems import load
from r1book.rewards import accuracies

ASKED = load("math", 2, split="dev", levels=(1,), lang="en")


@pytest.fixture(scope="module")
def tokenizer():
    return models.tokenizer()


def test_examples():
    assert doctest.testmod(budget).failed == 0


def test_a_thought_is_the_same_under_every_budget(tokenizer):
    found = budget.answers(
        talker(), tokenizer, ASKED, (2, 5, 9), samples=6, seed=3, answer_tokens=4
    )
    order = [(a.budget, a.problem, a.index) for a in found]
    assert order == [(b, p, i) for b in (2, 5, 9) for p in range(2) for i in range(6)]
    thoughts = rollout.sample(
        talker(), tokenizer, [prompts.render(p) for p in ASKED], group_size=6, max_new_tokens=13,
        generator=torch.Generator().manual_seed(3),
    )  # fmt: skip
    ends = {tokenizer.eos_token_id, *tokenizer.convert_tokens_to_ids(["</think>", "<answer>"])}
    for a in found:
        thought = thoughts[6 * a.problem + a.index]
        assert a.cut == ends.isdisjoint(thought.ids[: a.budget])
        if a.cut:
            head = tokenizer.decode(thought.ids[: a.budget]).replace("<unk>", "").strip()
            assert a.text.startswith(f"{head} </think> <answer> ")
            rest = a.text.removeprefix(f"{head} </think> <answer> ")
            assert len(tokenizer(rest, add_special_tokens=False)["input_ids"]) <= 4
        else:
            assert a.text == thought.text
    assert {a.cut for a in found} == {True, False}
    verdicts = accuracies([(a.text, ASKED[a.problem]) for a in found])
    assert [a.right for a in found] == [v.total == 1 for v in verdicts]


def test_the_same_seed_gives_the_same_answers(tokenizer):
    draws = [
        budget.answers(tiny(), tokenizer, ASKED, (3,), samples=4, seed=seed, answer_tokens=3)
        for seed in (0, 0, 1)
    ]
    assert draws[0] == draws[1] != draws[2]


def test_written_thoughts_by_hand(tokenizer, monkeypatch):
    """Three written thoughts about one problem; what is cut says 0, which is wrong."""
    right = ASKED[0].answer
    assert right != "0"
    written = [
        f"<think> {right} </think> <answer> {right} </answer>",
        f"<think> we have {right} . yes ! </think> <answer> {right} </answer>",
        f"<answer> {right} </answer>",
    ]

    def sample(model, tokenizer, asked, *, group_size=1, prefixes=None, **_):
        texts = ["0 </answer>"] * len(asked) if prefixes else written
        for number, text in enumerate(texts):
            ids = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
            place = (number, 0) if prefixes else (0, number)
            yield rollout.Rollout(*place, [], ids, [], text, "stop")

    monkeypatch.setattr(rollout, "sample", lambda *a, **k: list(sample(*a, **k)))
    found = budget.answers(tiny(), tokenizer, ASKED[:1], (1, 3, 6), samples=3)
    assert [(a.cut, a.right) for a in found] == [
        *[(True, False), (True, False), (False, True)],
        *[(False, True), (True, False), (False, True)],
        *[(False, True), (True, False), (False, True)],
    ]
    assert found[1].text == "<think> </think> <answer> 0 </answer>"
    assert found[4].text == "<think> we have </think> <answer> 0 </answer>"
    got = budget.shares(found)
    assert [got[b].mean for b in (1, 3, 6)] == [1 / 3, 2 / 3, 2 / 3]
    assert got[3] == proportion_ci(2, 3)


def test_several_problems_count_once_each():
    """Problem 0: 2 of 2, problem 1: 0 of 2; t interval of 1 and 0 is cut at 0 and 1."""
    rows = [(0, 0, True), (0, 1, True), (1, 0, False), (1, 1, False), (1, 2, None)]
    found = [budget.Answer(p, i, 8, "", True, right) for p, i, right in rows]
    got = budget.shares(found)[8]
    assert (got.mean, got.low, got.high, got.n) == (0.5, 0.0, 1.0, 2)


@pytest.mark.parametrize(
    ("asked", "budgets", "message"),
    [
        ([], (8,), "0 problems"),
        (ASKED, (), "expected at least one problem"),
        (ASKED, (16, 8), re.escape("budgets [16, 8]")),
        (ASKED, (8, 8), "rise"),
        (ASKED, (0, 8), "at least 1"),
    ],
)
def test_what_cannot_be_asked_is_refused(tokenizer, asked, budgets, message):
    with pytest.raises(ValueError, match=message):
        budget.answers(None, tokenizer, asked, budgets)


def test_no_answers_have_no_share():
    with pytest.raises(ValueError, match="no answers"):
        budget.shares([])
