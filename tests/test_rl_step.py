"""What is asked and paid in a step of R1-Zero, what does it leave, and does the reward rise?"""

import dataclasses
import json
import math
import random
from collections import Counter

import pytest
import torch
from test_models import tiny
from test_rl import TINY

from r1book import grpo, models, problems, prompts, rl, rollout, sft, trace
from r1book.config import RLConfig, laptop
from r1book.network import LanguageModel, Shape, initialise
from r1book.rollout import Rollout
from r1book.world.vocab import EOS, IDS, VOCAB, encode


@pytest.fixture(scope="module")
def tokenizer():
    return models.tokenizer()


# ---- questions and rewards -----------------------------------------------------------------------


def test_questions_are_decided_by_seed_and_step():
    config = dataclasses.replace(
        TINY, prompts_per_step=200, families={"math": 0.25, "stem": 0.75}, levels=(2, 3)
    )
    asked = rl.questions(config, 1, 5)
    assert asked == rl.questions(config, 1, 5)
    assert asked != rl.questions(config, 1, 6) and asked != rl.questions(config, 2, 5)
    assert {p.split for p in asked} == {"train"}
    assert {p.level for p in asked} == {2, 3} and {p.lang for p in asked} == {"en", "zh"}
    assert sum(p.family == "math" for p in asked) == 50
    assert {p.family for p in asked} == {"math", "stem"}
    assert len({p.id for p in asked}) == 200


def asked_and_said():
    """Return two problems and four answers: right and in form, right, in form, neither."""
    asked = problems.load("math", 1, seed=0, split="train", lang="en")
    asked += problems.load("math", 1, seed=1, split="train", lang="en")
    right = [p.answer for p in asked]
    texts = [
        (0, f"<think> so {right[0]} </think> <answer> {right[0]} </answer>"),
        (0, f"so <answer> {right[0]} </answer>"),
        (1, f"<think> so {right[1]} </think> <answer> 1000 </answer>"),
        (1, "so"),
    ]
    said = [Rollout(g, i % 2, [1], [5], [0.0], text, "stop") for i, (g, text) in enumerate(texts)]
    return asked, said


def test_each_step_has_its_share_of_every_family_and_level():
    """16 questions at .25, .6, .15, 0 are 4, 9 or 10, 2 or 3, none; means over steps are exact."""
    shares = {"math": 0.25, "logic": 0.6, "stem": 0.15, "code": 0.0}
    config = RLConfig(prompts_per_step=16, families=shares)
    counts = []
    for step in range(60):
        asked = rl.questions(config, 0, step)
        counts.append(Counter(p.family for p in asked))
        levels = Counter(p.level for p in asked)
        assert set(levels) == {1, 2, 3, 4, 5} and set(levels.values()) <= {3, 4}
    assert all(c["math"] == 4 and c["logic"] in (9, 10) and c["stem"] in (2, 3) for c in counts)
    assert all(c["code"] == 0 for c in counts)
    assert sum(c["logic"] for c in counts) / 60 == pytest.approx(9.6, abs=0.2)


def test_rewards_are_accuracy_and_format():
    asked, said = asked_and_said()
    scores = rl.score(TINY, asked, said, 0, 0)
    parts = [(s.parts["accuracy"], s.parts["format"]) for s in scores]
    assert parts == [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)]
    assert [s.total for s in scores] == [2.0, 1.0, 1.0, 0.0]
    weighted = dataclasses.replace(TINY, weights={"accuracy": 3.0, "format": 0.5, "language": 1.0})
    assert [s.total for s in rl.score(weighted, asked, said, 0, 0)] == [4.5, 4.0, 1.5, 1.0]


def test_control_format_only_leaves_accuracy_in_the_record():
    asked, said = asked_and_said()
    scores = rl.score(dataclasses.replace(TINY, reward="format_only"), asked, said, 0, 0)
    assert [s.total for s in scores] == [1.0, 0.0, 1.0, 0.0]
    assert [s.parts["accuracy"] for s in scores] == [1.0, 1.0, 0.0, 0.0]


def test_control_random_is_a_fair_coin_for_each_answer():
    asked, said = asked_and_said()
    config = dataclasses.replace(TINY, reward="random")

    def totals(seed, step):
        return [s.total for s in rl.score(config, asked, said * 50, seed, step)]

    one = totals(0, 0)
    assert set(one) == {0.0, 1.0} and 72 <= sum(one) <= 128  # of 200: four deviations of 7.1
    assert one == totals(0, 0) and one != totals(0, 1) and one != totals(1, 0)
    right = [t for t, a in zip(one, said * 50, strict=True) if a.group == 0]
    assert 30 <= sum(right) <= 70  # right answers are paid no better
    parts = [s.parts["accuracy"] for s in rl.score(config, asked, said, 0, 0)]
    assert parts == [1.0, 1.0, 0.0, 0.0]


def test_what_nobody_can_judge_is_none():
    free = [
        p
        for p in problems.load("general", 60, seed=0, split="train")
        if p.meta["kind"] in ("greet", "who")
    ][:1]
    said = [Rollout(0, i, [1], [5], [0.0], "<answer> hello </answer>", "stop") for i in (0, 1)]
    assert rl.score(TINY, free, said, 0, 0) == [None, None]
    formatted = rl.score(dataclasses.replace(TINY, reward="format_only"), free, said, 0, 0)
    assert [s.total for s in formatted] == [0.0, 0.0]
    nan = torch.full((1, 2), math.nan)
    seen = rl.summary(free, said, [None, None], nan, grpo.advantages(nan))
    assert (seen["unjudged"], seen["reward"], seen["accuracy/general"]) == (2, None, None)
    assert seen["tied_groups"] == 1.0 and seen["advantage_spread"] == 0.0
    zero = torch.zeros(1, 2)
    seen = rl.summary(free, said, formatted, zero, zero)
    assert seen["accuracy/general"] is None and seen["format"] == 0.0  # not judged is not wrong


def test_summary_by_hand():
    asked, said = asked_and_said()
    asked[1] = dataclasses.replace(asked[1], family="stem")
    said[1] = dataclasses.replace(said[1], ids=[5, 6, 7], finish="length")
    scores = rl.score(TINY, [asked[0], asked[0]], said, 0, 0)  # group 1: answers of another problem
    totals = torch.tensor([[2.0, 1.0], [1.0, 0.0]])
    advantages = grpo.advantages(totals, std="none")
    seen = rl.summary(asked, said, scores, totals, advantages)
    assert seen["reward"] == sum(s.total for s in scores) / 4
    assert (seen["length"], seen["length_max"], seen["tokens"]) == (1.5, 3, 6)
    assert (seen["truncated"], seen["unjudged"], seen["tied_groups"]) == (0.25, 0, 0.0)
    assert seen["advantage_spread"] == pytest.approx(math.sqrt(4 * 0.25 / 3))
    assert (seen["accuracy"], seen["format"]) == (0.5, 0.5)
    assert (seen["accuracy/math"], seen["accuracy/stem"]) == (1.0, 0.0)
    assert (seen["length/math"], seen["length/stem"]) == (2.0, 1.0)
    tied = rl.summary(asked, said, scores, torch.tensor([[1.0, 1.0], [1.0, 0.0]]), advantages)
    assert tied["tied_groups"] == 0.5


# ---- a whole step --------------------------------------------------------------------------------

METRICS = set(
    "step reward accuracy format length length_max entropy kl grad_norm loss clip_fraction "
    "tied_groups truncated advantage_spread lr unjudged tokens seconds trained_tokens".split()
)


def test_a_step_leaves_one_line_and_one_trace_an_answer(tokenizer):
    model = tiny()
    config = dataclasses.replace(TINY, reward="random", warmup=4)
    done = rl.step(model, None, tokenizer, sft.optimizers(model, 1e-3), config, 0, 1)
    line = json.loads(trace.encode(done.metrics))
    families = {p.family for p in rl.questions(config, 0, 1)}
    assert METRICS | {f"accuracy/{f}" for f in families} <= set(line)
    assert line["step"] == 1 and line["lr"] == pytest.approx(1e-3 * 2 / 4)
    assert all(isinstance(x, int | float | None) for x in line.values())
    assert all(math.isfinite(x) for x in line.values() if x is not None)
    assert len(done.traces) == 12
    assert line["tokens"] == sum(t.tokens for t in done.traces)  # all that was written
    assert line["length"] == line["tokens"] / 12 and 0 < line["trained_tokens"] <= line["tokens"]
    assert line["reward"] == sum(t.total for t in done.traces) / 12
    assert 0 < line["entropy"] < math.log(len(VOCAB))
    for g in range(3):
        mine = [t for t in done.traces if t.group == g]
        want = grpo.advantages(torch.tensor([[t.total for t in mine]]))[0].tolist()
        assert [t.advantage for t in mine] == pytest.approx(want)
        assert [t.index for t in mine] == [0, 1, 2, 3] and {t.step for t in mine} == {1}
        problem = problems.from_dict(mine[0].problem)
        assert {t.prompt for t in mine} == {prompts.render(problem)}


def test_a_step_is_decided_by_seed_and_number(tokenizer):
    def weights(seed, number):
        model = tiny()
        config = dataclasses.replace(TINY, reward="random")
        done = rl.step(model, None, tokenizer, sft.optimizers(model, 1e-3), config, seed, number)
        return [t.completion for t in done.traces], model.model.embed_tokens.weight.detach()

    (texts, one), (again, two), (other, _), (seeded, _) = (
        weights(*pair) for pair in ((0, 1), (0, 1), (0, 2), (1, 1))
    )
    assert texts == again and torch.equal(one, two)
    assert texts != other and texts != seeded


def half_in_form(seed: int = 0):
    """Return a small model taught to answer half in form, half without tags, and always wrongly."""
    model = initialise(LanguageModel(Shape("llama", len(VOCAB), 48, 1, 4, 2, 96, 128)), seed)
    rng, tokenizer = random.Random(seed), models.tokenizer()
    optimizers = sft.optimizers(model, 5e-3)
    endings = ["<think> so 7 </think> <answer> 7 </answer>", "so 7"]
    config = dataclasses.replace(TINY, prompts_per_step=16)
    for step in range(100):
        items = []
        for p in rl.questions(config, seed, 1000 + step):
            text = tokenizer(prompts.render(p), add_special_tokens=False)["input_ids"]
            items.append(([IDS["<bos>"], *text], [*encode(rng.choice(endings)), IDS[EOS]]))
        ids, labels = sft.pairs(items, 0)
        sft.update(model, optimizers, ids, labels)
    return model


PARTS = (slice(3), slice(-3, None))


@pytest.mark.slow
def test_a_run_raises_its_reward_and_a_fair_coin_does_not(tokenizer):
    start = half_in_form()
    formats = {}
    for reward in ("format_only", "random"):
        model = LanguageModel(start.shape)
        model.load_state_dict(start.state_dict())
        config = dataclasses.replace(
            TINY, prompts_per_step=6, group_size=8, max_new_tokens=12, micro_tokens=768, lr=2e-3,
            warmup=1, reward=reward,
        )  # fmt: skip
        optimizers = sft.optimizers(model, config.lr)
        lines = [
            rl.step(model, None, tokenizer, optimizers, config, 0, n).metrics for n in range(14)
        ]
        formats[reward] = [line["format"] for line in lines]
    first, last = ({r: sum(f[part]) / 3 for r, f in formats.items()} for part in PARTS)
    assert formats["format_only"][0] == formats["random"][0]  # the same first answers
    assert 0.2 <= formats["format_only"][0] <= 0.7  # of both kinds
    assert last["format_only"] > 0.85 and last["format_only"] > first["format_only"] + 0.2
    assert last["random"] < 0.65


# ---- precision -----------------------------------------------------------------------------------


def test_an_update_in_bfloat16_points_where_that_in_float32_does(tokenizer, monkeypatch):
    """The shipped R1-Zero on its own answers, in the preset's setting: cosine of the whole
    gradients above 0.99, norms within 5 %, loss and entropy within 0.01."""
    config = dataclasses.replace(laptop().r1_zero, prompts_per_step=4, group_size=4)
    model, _ = models.load(models.shipped("r1-zero"))
    asked = [prompts.render(p) for p in rl.questions(config, 0, 0)]
    answers = rollout.sample(
        model, tokenizer, asked, group_size=4, max_new_tokens=128,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    advantages = torch.tensor([1.0, -0.5, 0.5, -1.0]).repeat(4)
    monkeypatch.setattr(sft, "fast_bfloat16", lambda: True)  # where it is emulated, too
    found = {}
    for dtype in ("float32", "bfloat16"):

        def kept(model, optimizers, grad_clip, dtype=dtype):
            found[dtype] = torch.cat([p.grad.flatten() for p in model.parameters()])
            model.zero_grad()
            return float(found[dtype].norm())

        monkeypatch.setattr(rl, "update", kept)
        chosen = dataclasses.replace(config, dtype=dtype)
        found[dtype, "told"] = rl.learn(model, None, [], chosen, answers, advantages, 9)
    one, half = found["float32"], found["bfloat16"]
    assert not torch.equal(one, half)
    assert torch.cosine_similarity(one, half, dim=0) > 0.99
    assert float(half.norm()) == pytest.approx(float(one.norm()), rel=0.05)
    for key in ("loss", "entropy"):
        values = [found[dtype, "told"][key] for dtype in ("float32", "bfloat16")]
        assert values[1] == pytest.approx(values[0], abs=0.01)
