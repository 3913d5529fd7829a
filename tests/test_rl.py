"""Is the update of R1-Zero the formula of GRPO, however its answers are cut into batches?"""

import dataclasses
import math
import random

import pytest
import torch
from test_models import tiny

from r1book import grpo, rl, scoring, sft
from r1book.config import RLConfig
from r1book.rollout import Rollout
from r1book.world.vocab import VOCAB

TINY = RLConfig(
    steps=3, prompts_per_step=3, group_size=4, max_new_tokens=12, micro_tokens=48, dtype="float32",
    lr=1e-3, warmup=1, levels=(1, 2),
)  # fmt: skip


def answers(n: int, group_size: int = 2, seed: int = 0) -> list[Rollout]:
    """Return answers of many lengths, with any token in them."""
    rng = random.Random(seed)
    out = []
    for i in range(n):
        prompt = [rng.randrange(4, len(VOCAB)) for _ in range(rng.choice([2, 5, 9]))]
        ids = [rng.randrange(4, len(VOCAB)) for _ in range(rng.randint(1, 9))]
        group, index = divmod(i, group_size)
        out.append(Rollout(group, index, prompt, ids, [0.0] * len(ids), "", "length"))
    return out


class Caught:
    """Stands where an optimiser does, keeps the gradients and changes no weight."""

    def __init__(self, model):
        self.model, self.param_groups, self.seen = model, [{"peak": 1.0, "lr": 1.0}], []

    def step(self):
        self.seen.append(
            {n: p.grad.clone() for n, p in self.model.named_parameters() if p.grad is not None}
        )

    def zero_grad(self, set_to_none=True):
        self.model.zero_grad(set_to_none=set_to_none)


def gradients(model, config, batch, advantages, reference=None):
    """Return (what `learn` tells, gradient by name) in double precision, unclipped."""
    caught = Caught(model)
    free = dataclasses.replace(config, grad_clip=1e12)
    told = rl.learn(model, reference, [caught], free, batch, advantages, 0)
    return told, caught.seen[-1]


def same(one: dict, two: dict, tolerance: float = 1e-6) -> bool:
    """Return whether two sets of gradients agree, relative to the largest."""
    scale = max(g.abs().max() for g in one.values())
    return one.keys() == two.keys() and all(
        (one[n] - two[n]).abs().max() <= tolerance * scale for n in one
    )


# ---- log-probabilities ---------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_log_probabilities_of_a_batch_are_those_of_each_answer(family):
    model, batch = tiny(family), answers(7)
    logp, entropy, mask = scoring.logprobs(model, batch, 0.7, torch.float32)
    assert logp.shape == entropy.shape == mask.shape == (7, max(len(a.ids) for a in batch))
    assert not entropy.requires_grad and logp.requires_grad
    for row, a in enumerate(batch):
        with torch.no_grad():
            logits = model.logits(torch.tensor([[*a.prompt_ids, *a.ids]]))[0] / 0.7  # (N + T, V)
        for t, token in enumerate(a.ids):
            p = logits[len(a.prompt_ids) - 1 + t].softmax(-1)
            assert logp[row, t].item() == pytest.approx(p[token].log().item(), abs=1e-4)
            want = -(p * p.clamp(min=1e-30).log()).sum().item()
            assert entropy[row, t].item() == pytest.approx(want, abs=1e-4)
        n = len(a.ids)
        assert mask[row].tolist() == [1.0] * n + [0.0] * (mask.shape[1] - n)
        assert logp[row, n:].abs().sum() == 0


def test_prompts_computed_once_give_the_gradient_of_each_answer_alone():
    batch = answers(6)
    asked = batch[0].prompt_ids, batch[3].prompt_ids
    batch = [dataclasses.replace(a, prompt_ids=asked[i % 2]) for i, a in enumerate(batch)]
    batch.append(dataclasses.replace(batch[0], ids=batch[0].ids[:1]))  # an answer of one token
    weights = torch.linspace(-1, 1, 7).double()
    model = tiny("qwen2").double()
    for a, w in zip(batch, weights, strict=True):
        ids = torch.tensor([[*a.prompt_ids, *a.ids]])
        logps = model.logits(ids)[0, len(a.prompt_ids) - 1 : -1].log_softmax(-1)  # (T, V)
        (w * logps.gather(-1, torch.tensor(a.ids)[:, None]).sum()).backward()
    want = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()
    shared = scoring.SharedPrompts(model, batch, torch.float32)
    assert len(shared.rows) == 2
    for rows in ([0, 3], [6], [1, 2, 4, 5]):
        logp, _, _ = scoring.logprobs(model, [batch[i] for i in rows], 1.0, torch.float32, shared)
        (weights[rows, None] * logp).sum().backward()
    assert not same(want, {n: p.grad for n, p in model.named_parameters()}, 1e-3)  # not yet all
    shared.backward()
    assert same(want, {n: p.grad for n, p in model.named_parameters()}, 1e-9)


def test_old_log_probabilities_come_back_in_order():
    model, batch = tiny(), answers(9)
    old = rl.old_logprobs(model, batch, dataclasses.replace(TINY, micro_tokens=12), torch.float32)
    for a, got in zip(batch, old, strict=True):
        want = scoring.logprobs(model, [a], 1.0, torch.float32)[0][0]
        assert got.shape == want.shape and torch.allclose(got, want, atol=1e-5)
        assert not got.requires_grad


# ---- what changes memory and speed must not change the result ------------------------------------


@pytest.mark.parametrize("beta", [0.0, 0.1])
@pytest.mark.parametrize("aggregation", grpo.AGGREGATIONS)
def test_micro_batches_do_not_change_the_step(aggregation, beta):
    model, reference = tiny().double(), tiny(seed=5).double()
    batch = answers(16)
    advantages = torch.tensor([1.0, -1.0, 0.0, 0.0, 0.3, -0.3, 2.0, -2.0] * 2)
    config = dataclasses.replace(TINY, aggregation=aggregation, beta=beta)
    seen = [
        gradients(model, dataclasses.replace(config, micro_tokens=n), batch, advantages, reference)
        for n in (1, 30, 999)
    ]
    order = random.Random(1).sample(range(16), 16)
    seen.append(gradients(model, config, [batch[i] for i in order], advantages[order], reference))
    (told, gradient), *others = seen
    assert max(g.abs().max() for g in gradient.values()) > 1e-3
    for other, its in others:
        assert same(gradient, its)
        for name in ("loss", "grad_norm", "entropy", "kl", "ratio", "clip_fraction"):
            assert other[name] == pytest.approx(told[name], rel=1e-6, abs=1e-9), name
        assert other["trained_tokens"] == told["trained_tokens"]


def whole(model, batch, advantages, reference=None, **options):
    """Return the gradient of the loss of all answers at once, nothing left out."""
    logp, _, mask = scoring.logprobs(model, batch, 1.0, torch.float32)
    ref = None
    if reference is not None:
        with torch.no_grad():
            ref = scoring.logprobs(reference, batch, 1.0, torch.float32)[0]
    got = grpo.loss(logp, logp.detach(), advantages, mask, ref_logp=ref, max_length=12, **options)
    got.value.backward()
    gradient = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    return got.value.item(), gradient


@pytest.mark.parametrize("aggregation", grpo.AGGREGATIONS)
def test_leaving_out_tied_groups_changes_nothing(aggregation):
    model, batch = tiny().double(), answers(8)
    advantages = torch.tensor([1.0, -1.0, 0.0, 0.0, 0.5, -0.5, 0.0, 0.0])
    told, gradient = gradients(
        model, dataclasses.replace(TINY, aggregation=aggregation), batch, advantages
    )
    value, want = whole(model, batch, advantages, aggregation=aggregation)
    assert same(want, gradient)
    assert told["loss"] == pytest.approx(value, rel=1e-9)
    assert told["trained_tokens"] == sum(len(batch[i].ids) for i in (0, 1, 4, 5))
    assert told["kl"] == 0.0


def test_with_a_kl_term_tied_groups_take_part():
    model, reference, batch = tiny().double(), tiny(seed=5).double(), answers(8)
    advantages = torch.tensor([1.0, -1.0, 0.0, 0.0, 0.5, -0.5, 0.0, 0.0])
    config = dataclasses.replace(TINY, beta=0.1)
    told, gradient = gradients(model, config, batch, advantages, reference)
    value, want = whole(model, batch, advantages, reference, beta=0.1)
    assert same(want, gradient)
    assert told["loss"] == pytest.approx(value, rel=1e-9)
    assert told["trained_tokens"] == sum(len(a.ids) for a in batch)
    assert told["kl"] > 0.01
    _, tied = gradients(model, config, batch, torch.zeros(8), reference)
    assert max(g.abs().max() for g in tied.values()) > 1e-4
    _, without = gradients(model, TINY, batch, advantages)
    assert not same(want, without, 1e-3)


def test_when_all_groups_are_tied_nothing_moves():
    model, batch = tiny(), answers(4)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    told = rl.learn(model, None, sft.optimizers(model, 0.1), TINY, batch, torch.zeros(4), 0)
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
    assert (told["loss"], told["grad_norm"], told["trained_tokens"]) == (0.0, 0.0, 0)
    assert told["entropy"] is None  # not measured: no answer passed through the model
    assert told["clip_fraction"] == told["kl"] == 0.0


def test_only_the_first_mini_batch_is_on_policy():
    batch, advantages = answers(8), torch.tensor([1.0, -1.0] * 4)
    ratios = {}
    for n in (1, 2, 4):
        model = tiny()
        config = dataclasses.replace(TINY, minibatches=n, lr=3e-2)
        told = rl.learn(model, None, sft.optimizers(model, 3e-2), config, batch, advantages, 0)
        ratios[n] = told["ratio"]
        assert (told["clip_fraction"] > 0) == (n > 1)
    assert ratios[1] == 1.0
    assert abs(ratios[2] - 1) > 1e-3 and abs(ratios[4] - 1) > 1e-3


def test_mini_batches_are_steps_from_the_same_old_policy():
    batch, advantages = answers(8), torch.tensor([1.0, -1.0, 0.5, -0.5] * 2).double()
    config = dataclasses.replace(TINY, minibatches=2, lr=0.1, grad_clip=1e12)
    model = tiny().double()
    sgd = torch.optim.SGD(model.parameters(), 0.1)
    sgd.param_groups[0]["peak"] = 0.1
    rl.learn(model, None, [sgd], config, batch, advantages, 3)
    # the same by hand: two halves of the shuffled answers, old log-probs from before the first
    other = tiny().double()
    order = list(range(8))
    random.Random("minibatch-3").shuffle(order)
    old = {i: scoring.logprobs(other, [batch[i]], 1.0, torch.float32)[0][0].detach() for i in order}
    for half in (order[:4], order[4:]):
        logp, _, mask = scoring.logprobs(other, [batch[i] for i in half], 1.0, torch.float32)
        before = scoring.pad([old[i] for i in half], mask.shape[1])
        grpo.loss(logp, before, advantages[half], mask).value.backward()
        for p in other.parameters():
            p.data -= 0.1 * p.grad
            p.grad = None
    moved = 0.0
    for p, q, start in zip(
        model.parameters(), other.parameters(), tiny().double().parameters(), strict=True
    ):
        assert torch.allclose(p, q, rtol=1e-6, atol=1e-9)
        moved = max(moved, (p - start).abs().max().item())
    assert moved > 1e-3


@pytest.mark.parametrize(
    ("ratio", "aggregation"),
    [("token", a) for a in grpo.AGGREGATIONS]
    + [("sequence_mean", a) for a in grpo.AGGREGATIONS]
    + [("sequence_product", "answer_mean")],
)
def test_every_formula_learns(ratio, aggregation):
    model = tiny()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    config = dataclasses.replace(TINY, ratio=ratio, aggregation=aggregation, minibatches=2)
    batch, advantages = answers(8), torch.tensor([1.0, -1.0] * 4)
    told = rl.learn(model, None, sft.optimizers(model, 1e-3), config, batch, advantages, 0)
    assert told["grad_norm"] > 0 and math.isfinite(told["loss"]) and told["ratio"] != 1.0
    assert any(not torch.equal(p, before[n]) for n, p in model.named_parameters())


def test_a_bad_number_stops_before_it_reaches_the_weights():
    model = tiny()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizers = sft.optimizers(model, 0.1)
    for bad in (math.nan, math.inf):
        advantages = torch.tensor([1.0, -1.0, bad, 1.0])
        with pytest.raises(FloatingPointError, match=r"not finite.*untouched.*Lower lr"):
            rl.learn(model, None, optimizers, TINY, answers(4), advantages, 0)
        assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
        assert all(p.grad is None for p in model.parameters())
        assert optimizers[0].state == {}
    told = rl.learn(model, None, optimizers, TINY, answers(4), torch.tensor([1.0, -1, 1, -1]), 0)
    assert told["grad_norm"] > 0  # and can go on
