"""Does a reward model learn what the labels say, and nothing that they do not?"""

import dataclasses
import random

import pytest
import torch
from test_models import SHAPES, tiny

from r1book import models, preference, problems
from r1book.preference import Pair
from r1book.world.labeller import Labeller

ASKED = problems.load("general", 60, seed=1, split="train")


def reply(text: str) -> str:
    """Return a completion with an answer."""
    return f"<think> so </think> <answer> {text} </answer>"


def pair(first="a", second="b", votes=4, safe=(True, True), problem=ASKED[0]) -> Pair:
    return Pair(problems.as_dict(problem), (reply(first), reply(second)), votes, safe)


def test_calls_must_agree():
    assert [pair(votes=n).chosen() for n in range(5)] == [1, 1, None, 0, 0]


def test_a_labeller_without_errors_is_followed_in_both_orders():
    exact = Labeller(noise=0, length_bias=0, position_bias=5.0, temperature=0.01, missed=0,
                     false_alarms=0)  # fmt: skip
    rng = random.Random(0)
    for p in ASKED[:12]:
        good, bad = reply(p.answer), reply("go away.")
        told = preference.labelled(p, bad, good, exact, rng)
        assert told.chosen() == 1 and told.safe == (False, True)
    biased = Labeller(noise=0, length_bias=0, position_bias=50.0)
    told = preference.labelled(ASKED[0], reply("tea"), reply("milk"), biased, rng)
    assert told.votes == 2 and told.chosen() is None  # whoever only looks at the order is not kept


def test_balancing_leaves_as_many_longer_as_shorter_ones():
    long, short = "first find the car , then wash it", "no"
    pairs = [pair(long, short) for _ in range(5)] + [pair(short, long) for _ in range(2)]
    pairs += [pair("tea", "milk")]
    kept = preference.balanced(pairs)
    assert kept == [*pairs[:2], *pairs[5:]]


def test_pairs_come_back_from_plain_values():
    pairs = [pair(), pair(votes=1, safe=(False, True))]
    assert preference.from_dicts(preference.as_dicts(pairs)) == pairs


@pytest.fixture(name="taught", scope="module")
def given_taught():
    """Return a tokenizer and pairs in which the reply with "sorry" is the worse and unsafe one."""
    rng, out = random.Random(0), []
    for i in range(80):
        p = ASKED[i % len(ASKED)]
        texts = [f"{rng.choice(('tea', 'milk', 'rice'))} .", "sorry ."]
        best = rng.randrange(2)
        texts = texts if best == 0 else texts[::-1]
        out.append(pair(*texts, 4 if best == 0 else 0, (best == 0, best == 1), p))
    return models.tokenizer(), out


@pytest.mark.parametrize("kind", preference.KINDS)
def test_what_the_labels_say_is_learnt_and_kept(taught, kind, tmp_path):
    tokenizer, pairs = taught
    lesson = preference.lesson(pairs, tokenizer, kind)
    shape = dataclasses.replace(SHAPES["llama"], vocab=len(tokenizer), positions=512)
    model = preference.RewardModel(tiny("llama", shape=shape))
    before = preference.measured(model, lesson.held, kind)
    assert before["n"] == len(lesson.held) and before["accuracy"] <= 0.5
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(25):
        preference.loss(model, lesson.train, kind).backward()
        optimizer.step()
        optimizer.zero_grad()
    found = preference.measured(model, lesson.held, kind)
    assert found["accuracy"] > 0.95
    assert sum(n for *_, n in found["calibration"]) == len(lesson.held) * (2 - (kind == "harmless"))
    rows = preference.rows_of(lesson.train, kind)
    model.fit_scale(rows)
    scores = torch.tensor(model.scores(rows))
    assert abs(scores.mean()) < 1e-3 and abs(scores.std() - 1) < 1e-2
    again, _ = preference.load(preference.save(model, tmp_path / kind))
    assert torch.allclose(torch.tensor(again.scores(rows)), scores, atol=0.1)  # bfloat16
    twice, _ = preference.load(preference.save(again, tmp_path / "again"))
    assert twice.scores(rows) == again.scores(rows)
    good, bad = (preference.row(tokenizer, ASKED[0], reply(t), kind) for t in ("tea .", "sorry ."))
    assert again.scores([good])[0] > again.scores([bad])[0]


def test_held_out_prompts_are_not_learnt_from(taught):
    tokenizer, pairs = taught
    lesson = preference.lesson(pairs, tokenizer, "unbalanced")
    assert len(lesson.train) + len(lesson.held) == len(pairs)
    asked = [
        {p.question for p in ASKED for r in preference.rows_of(part, "unbalanced")
         if p.question in tokenizer.decode(r)}
        for part in (lesson.train, lesson.held)
    ]  # fmt: skip
    assert asked[0] and asked[1] and not asked[0] & asked[1]
    with pytest.raises(ValueError, match="ask for more pairs"):
        preference.lesson(pairs[:1], tokenizer, "helpful")


def test_helpfulness_sees_the_answer_only_and_harmlessness_all():
    tokenizer, p = models.tokenizer(), ASKED[0]
    one, two = (f"<think> {t} </think> <answer> tea </answer>" for t in ("so", "go away"))
    same = [preference.row(tokenizer, p, t, "helpful") for t in (one, two)]
    other = [preference.row(tokenizer, p, t, "harmless") for t in (one, two)]
    assert same[0] == same[1] and other[0] != other[1]


def test_a_checkpoint_without_a_head_is_no_reward_model(tmp_path):
    folder = models.save(tiny("llama"), tmp_path / "m")
    with pytest.raises(models.CheckpointError, match=r"head\.safetensors is missing"):
        preference.load(folder)
