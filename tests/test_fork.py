"""Is a thinking cut where it should be, and is what follows drawn from the model as asked?"""

import math

import pytest
import torch
from test_models import tiny
from test_rollout import PROMPTS, talker

from r1book import fork, models, rewards, rollout
from r1book.problems import load

ASKED = load("math", 4, split="dev", levels=(1,))
TEXT = "<think> first, 3 + 4 = 7.\n  等等, 7 - 2 = 5. </think> <answer> 5 </answer>"


@pytest.fixture(scope="module")
def tokenizer():
    return models.tokenizer()


@pytest.fixture(scope="module")
def base():
    return models.load(models.shipped("base"))[0]


# ---- prefixes ------------------------------------------------------------------------------------


def test_prefixes_end_where_tokens_end_and_keep_the_text(tokenizer):
    found = fork.prefixes(tokenizer, TEXT)
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    assert len(found) == len(ids) + 1 and found[0] == "" and found[-1] == TEXT
    for place, text in enumerate(found):
        assert TEXT.startswith(text)
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == ids[:place]


def test_an_empty_completion_has_one_prefix(tokenizer):
    assert fork.prefixes(tokenizer, "") == [""]


@pytest.mark.parametrize(
    ("cuts", "places"), [(1, [0]), (2, [0, 22]), (4, [0, 7, 15, 22]), ((3, 3, 1), [1, 3])]
)
def test_places_are_spread_over_the_completion(cuts, places, tokenizer):
    assert len(fork.prefixes(tokenizer, TEXT)) == 23
    found = fork.value_curve(
        tiny(), tokenizer, ASKED[0], TEXT, cuts=cuts, samples=2, max_new_tokens=3
    )
    assert [each.place for each in found] == places
    texts = fork.prefixes(tokenizer, TEXT)
    for each in found:
        assert each.prefix == texts[each.place]
        assert len(each.texts) == len(each.right) == 2
        assert all(text.startswith(each.prefix) for text in each.texts)


@pytest.mark.parametrize("cuts", [0, -1, (), (0, 23), (-1,)])
def test_places_outside_the_completion_are_refused(cuts, tokenizer):
    with pytest.raises(ValueError, match="expected"):
        fork.value_curve(tiny(), tokenizer, ASKED[0], TEXT, cuts=cuts, samples=1)


# ---- values --------------------------------------------------------------------------------------


def test_a_value_is_the_share_of_right_continuations(tokenizer):
    texts = ("<think> a </think> <answer> 1 </answer>", "no")
    seen = fork.Fork(0, "", texts, (True, False))
    assert (seen.value.mean, seen.value.n) == (0.5, 2)
    with pytest.raises(ValueError, match="n >= 1"):
        _ = fork.Fork(0, "", texts, (None, None)).value


def test_what_is_decided_has_a_value_near_one_or_nought(base, tokenizer):
    for problem in ASKED:
        for answer, low, high in ((problem.answer, 0.9, 1.0), ("3", 0.0, 0.1)):
            text = f"<think> it is {answer}. </think> <answer> {answer} </answer>"
            if answer == "3" == problem.answer:
                continue
            *_, last = fork.value_curve(base, tokenizer, problem, text, cuts=2, samples=32)
            assert low <= last.value.mean <= high, (problem.question, last.texts[:3])


def test_verdicts_are_those_of_the_grader(base, tokenizer):
    start, *_ = fork.value_curve(base, tokenizer, ASKED[1], "", cuts=1, samples=64)
    marks = rewards.accuracies([(text, ASKED[1]) for text in start.texts])
    assert [mark.total == 1 for mark in marks] == list(start.right)
    assert {True, False} == set(start.right)


def test_the_same_seed_gives_the_same_curve(tokenizer):
    curves = [
        fork.value_curve(
            tiny(), tokenizer, ASKED[0], TEXT, cuts=3, samples=3, seed=seed, max_new_tokens=5
        )
        for seed in (0, 0, 1)
    ]
    assert curves[0] == curves[1] != curves[2]


# ---- interventions -------------------------------------------------------------------------------


def test_ways_add_their_words_and_nothing_else(tokenizer):
    problem = next(p for p in ASKED if p.lang == "en")
    found = fork.intervene(
        tiny(), tokenizer, problem, TEXT, 9, ways={"said": "wait, try"}, samples=3,
        max_new_tokens=4,
    )  # fmt: skip
    kept = fork.prefixes(tokenizer, TEXT)[9]
    assert list(found) == ["free", "said", "forbidden"]
    assert found["free"].prefix == found["forbidden"].prefix == kept
    assert found["said"].prefix == f"{kept} wait, try"
    assert {each.place for each in found.values()} == {9}
    assert len(set().union(*(each.texts for each in found.values()))) == 9  # own numbers each


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_forced_and_neutral_words_are_equally_long_and_known(lang, tokenizer):
    ids = [
        tokenizer(text, add_special_tokens=False)["input_ids"]
        for text in (fork.FORCED[lang], fork.NEUTRAL[lang])
    ]
    assert len(ids[0]) == len(ids[1])
    assert tokenizer.unk_token_id not in {*ids[0], *ids[1]}


def test_forbidden_words_are_not_said(tokenizer):
    model = talker()
    plain = fork.intervene(model, tokenizer, ASKED[0], "", 0, samples=64, max_new_tokens=24)
    often = max(
        {w for text in plain["free"].texts for w in text.split() if w.isascii() and w.isalpha()},
        key=lambda word: sum(word in text.split() for text in plain["free"].texts),
    )
    found = fork.intervene(
        model, tokenizer, ASKED[0], "", 0, forbidden=[often], samples=64, max_new_tokens=24
    )
    assert found["free"] == plain["free"]
    assert not any(often in text.split() for text in found["forbidden"].texts)


def test_bad_interventions_are_refused(tokenizer):
    def tried(place=0, **how):
        return fork.intervene(tiny(), tokenizer, ASKED[0], TEXT, place, samples=1, **how)

    with pytest.raises(ValueError, match="place 23: expected 0 to 22"):
        tried(23)
    with pytest.raises(ValueError, match=r"free.*taken"):
        tried(ways={"free": "wait,"})
    with pytest.raises(ValueError, match="one token"):
        tried(forbidden=["wait", "let me check"])
    with pytest.raises(ValueError, match="not in the vocabulary"):
        tried(ways={"said": "frobnicate"})


def test_forbidden_tokens_leave_the_others_their_proportions(tokenizer):
    model, never = tiny(), list(range(5, 300))
    answers = rollout.sample(
        model, tokenizer, PROMPTS, group_size=4, max_new_tokens=8, forbidden=never,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    for a in answers:
        ids = torch.tensor([[*a.prompt_ids, *a.ids]])
        with torch.no_grad():
            logits = model.logits(ids)[0]
        logits[:, never] = -math.inf
        want = logits.log_softmax(-1)[len(a.prompt_ids) - 1 : -1]
        got = want.gather(1, torch.tensor(a.ids)[:, None]).squeeze(1)
        assert set(a.ids).isdisjoint(never)
        assert torch.allclose(torch.tensor(a.logprobs), got, atol=1e-4)
