"""Is grpo.py the algorithm it names? Hand-computed numbers, and exact enumeration of tiny policies.

The tiny policy has three words, word 0 ending the answer, and at most two or three tokens an
answer, so that every answer can be listed and every expectation is a finite sum in float64.
"""

import doctest
import inspect
import itertools
import math

import pytest
import torch

from r1book import grpo

NAN = float("nan")


def close(got, want, rtol=0.0, atol=1e-12):
    torch.testing.assert_close(torch.as_tensor(got), torch.as_tensor(want), rtol=rtol, atol=atol)


def rows(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_one_right_of_four_under_each_std():
    rewards = rows([1.0, 0.0, 0.0, 0.0])  # mean 1/4; squares sum to 3/4
    close(grpo.advantages(rewards, eps=0.0), rows([1.5, -0.5, -0.5, -0.5]))
    root = math.sqrt(3.0)
    population = grpo.advantages(rewards, std="population", eps=0.0)
    close(population, rows([root, -root / 3, -root / 3, -root / 3]))
    close(grpo.advantages(rewards, std="none"), rows([0.75, -0.25, -0.25, -0.25]))
    close(grpo.advantages(rewards), rows([0.75, -0.25, -0.25, -0.25]) / 0.5001)  # 0.5 + eps


def test_unjudged_answers_are_left_out_and_one_judged_alone_learns_nothing():
    rewards = rows([1.0, 0.0, NAN, NAN], [NAN, NAN, NAN, NAN], [NAN, 5.0, NAN, NAN])
    half = math.sqrt(0.5)  # of (1, 0): deviations 1/2, sample std sqrt(1/2)
    close(grpo.advantages(rewards, eps=0.0), rows([half, -half, 0, 0], [0] * 4, [0] * 4))
    judged = torch.tensor([[True, True, False, False]])
    masked = grpo.advantages(rows([1.0, 0.0, 7.0, 8.0]), eps=0.0, mask=judged)
    close(masked, rows([half, -half, 0, 0]))
    assert grpo.advantages(torch.tensor([[1.0], [0.0]])).tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize("std", ["sample", "population", "none"])
@pytest.mark.parametrize("scale", ["group", "batch"])
def test_a_tied_group_is_exactly_zero_whatever_the_rounding(std, scale):
    tied = torch.full((1, 8), 0.1)
    assert (tied - tied.mean()).abs().max() > 0  # in float32 the mean of eight 0.1 is not 0.1
    rewards = torch.cat([tied, torch.tensor([[0.0] * 4 + [1.0] * 4])])
    got = grpo.advantages(rewards, std=std, scale=scale, eps=0.0)
    assert got[0].tolist() == [0.0] * 8 and got[1, 7] > 0.4
    assert grpo.advantages(tied, std=std, scale=scale, eps=0.0).tolist() == [[0.0] * 8]


def test_batch_scale_divides_by_one_std_and_keeps_group_means():
    rewards = rows([1.0, 0.0], [0.0, 0.0])  # group means 1/2, 0; of all four: squares 3/4
    close(grpo.advantages(rewards, scale="batch", eps=0.0), rows([1.0, -1.0], [0.0, 0.0]))


def test_advantages_refuse():
    zero = torch.zeros(1, 4)
    for rewards in (torch.zeros(4), zero.long(), zero + math.inf):
        with pytest.raises(ValueError, match=r"got torch.*pass finite floats \(P, G\)"):
            grpo.advantages(rewards)
    for wrong in ({"std": "unbiased"}, {"scale": "none"}):
        with pytest.raises(ValueError, match=r"got '.*; use one of"):
            grpo.advantages(zero, **wrong)


def test_token_logprobs_at_temperatures_and_at_large_logits():
    logits = torch.tensor([[[0.0, math.log(3.0)], [0.0, 0.0]]])  # p = (1/4, 3/4), (1/2, 1/2)
    ids = torch.tensor([[1, 0]])
    want = torch.tensor([[math.log(0.75), math.log(0.5)]])
    close(grpo.token_logprobs(logits, ids), want, atol=1e-7)
    halved = torch.tensor([[math.log(9 / 10), math.log(0.5)]])  # T = 1/2 squares the odds
    close(grpo.token_logprobs(logits, ids, temperature=0.5), halved, atol=1e-7)
    big = torch.tensor([[[10000.0, 10001.0]]])  # float32 has steps of 0.001 there
    exact = -math.log1p(math.exp(-1.0))
    close(grpo.token_logprobs(big, torch.tensor([[1]])), torch.tensor([[exact]]), atol=1e-7)
    assert abs(float(big[0, 0, 1] - big.logsumexp(-1)) - exact) > 1e-5  # the cheaper way
    assert grpo.token_logprobs(logits.bfloat16(), ids).dtype == torch.float32


def test_entropy_of_known_distributions():
    logits = torch.tensor([[[0.0, math.log(3.0)], [0.0, 0.0], [0.0, -math.inf]]])
    quarter = 0.25 * math.log(4.0) + 0.75 * math.log(4.0 / 3.0)
    close(grpo.entropy(logits), torch.tensor([[quarter, math.log(2.0), 0.0]]), atol=1e-7)
    tenth = 0.1 * math.log(10.0) + 0.9 * math.log(10.0 / 9.0)
    close(grpo.entropy(logits, temperature=0.5)[0, 0], torch.tensor(tenth), atol=1e-7)


def test_k3_by_hand_and_beyond_the_guard():
    close(grpo.kl_k3(rows(0.5).log(), rows(0.25).log()), rows(0.5 + math.log(2.0) - 1.0))
    close(grpo.kl_k3(rows(0.25).log(), rows(0.5).log()), rows(2.0 - math.log(2.0) - 1.0))
    tiny = grpo.kl_k3(torch.tensor([0.0]), torch.tensor([1e-3]))  # float32; d^2 / 2 to first order
    close(tiny, torch.tensor([5.001667e-7]), atol=1e-10)
    logp = torch.tensor([-500.0], requires_grad=True)
    far = grpo.kl_k3(logp, torch.tensor([0.0]))
    far.backward()
    assert far.isfinite() and logp.grad.isfinite()
    assert logp.grad < -1e8  # still pulls the policy back; a plain clamp would give 0


class Tiny:
    """Every answer of a policy over three words, with free logits after each prefix."""

    def __init__(self, longest):
        words = [w for n in range(1, longest + 1) for w in itertools.product(range(3), repeat=n)]
        ended = [w for w in words if w[-1] == 0 or len(w) == longest]  # "stop" or "length"
        self.answers = [w for w in ended if 0 not in w[:-1]]
        prefixes = sorted({w[:t] for w in self.answers for t in range(len(w))})
        self.lengths = rows(*map(len, self.answers))  # (B,)
        self.shape = (len(prefixes), 3)
        self.mask = torch.arange(longest) < self.lengths.unsqueeze(1)  # (B, T)
        self.where = torch.zeros(len(self.answers), longest, dtype=torch.long)
        self.ids = torch.zeros_like(self.where)
        for i, answer in enumerate(self.answers):
            for t, token in enumerate(answer):
                self.where[i, t], self.ids[i, t] = prefixes.index(answer[:t]), token

    def theta(self, seed, scale=1.0):
        generator = torch.Generator().manual_seed(seed)
        theta = torch.randn(self.shape, dtype=torch.float64, generator=generator)
        return (theta * scale).requires_grad_()

    def logp(self, theta):
        return grpo.token_logprobs(theta[self.where], self.ids)  # (B, T); padding is not 0 here

    def log_probs(self, theta):
        return (self.logp(theta) * self.mask).sum(1)  # (B,) of whole answers


def gradient(value, theta):
    return torch.autograd.grad(value, theta, retain_graph=True)[0]


@pytest.fixture(params=[2, 3])
def tiny(request):
    return Tiny(request.param)


def reward_of(tiny):
    return rows(*range(-3, len(tiny.answers) - 3)).roll(2) / 4  # (B,); of both signs, all distinct


def test_the_enumeration_is_complete(tiny):
    assert len(tiny.answers) == {2: 7, 3: 15}[tiny.mask.shape[1]]
    close(tiny.log_probs(tiny.theta(0)).exp().sum(), rows(1.0)[0])


def test_the_mean_of_k3_is_the_kl_and_its_gradient_that_of_the_other_kl(tiny):
    theta, ref = tiny.theta(1), tiny.theta(2).detach()
    log_p, log_r = tiny.log_probs(theta), tiny.log_probs(ref)  # (B,) each
    p, r = log_p.exp(), log_r.exp()
    kl, reverse = (p * (log_p - log_r)).sum(), (r * (log_r - log_p)).sum()
    k3 = grpo.kl_k3(log_p, log_r)  # (B,)
    assert (k3 >= 0).all() and abs(kl - reverse) > 0.01
    close((p * k3).sum(), kl)  # KL(policy || reference): not the reverse, and not minus it
    as_loss = gradient((p.detach() * k3).sum(), theta)
    close(as_loss, gradient(reverse, theta))
    assert (as_loss - gradient(kl, theta)).abs().max() > 0.01
    per_token = grpo.kl_k3(tiny.logp(theta), tiny.logp(ref)) * tiny.mask  # (B, T)
    close((p * per_token.sum(1)).sum(), kl)  # the chain rule: summed over tokens, the same mean


def weights(tiny, theta):
    """Return probability times advantage, (B,), which makes a sum over answers an expectation."""
    p = tiny.log_probs(theta).exp().detach()
    reward = reward_of(tiny)
    return p * (reward - (p * reward).sum())


def test_token_sum_at_ratio_one_is_the_gradient_of_expected_reward(tiny):
    theta = tiny.theta(3)
    logp = tiny.logp(theta)
    true = gradient((tiny.log_probs(theta).exp() * reward_of(tiny)).sum(), theta)
    args = (logp, logp.detach(), weights(tiny, theta), tiny.mask)
    for options in ({"aggregation": "token_sum"}, grpo.FORMULAS["r1_report"]):
        got = grpo.loss(*args, denominator=1.0, **options)
        close(gradient(-got.value, theta), true)
        assert got.metrics["ratio"] == pytest.approx(1.0) and got.metrics["clip_fraction"] == 0.0


def test_what_each_aggregation_has_for_gradient_at_ratio_one(tiny):
    theta = tiny.theta(4)
    logp, weight = tiny.logp(theta), weights(tiny, theta)
    each = torch.stack([gradient(x, theta) for x in tiny.log_probs(theta)])  # (B, prefixes, 3)
    n, tokens, lengths = len(tiny.answers), tiny.lengths.sum(), tiny.lengths
    want = {
        "token_sum": weight / n,
        "answer_mean": weight / lengths / n,  # 1 / |o|: each token of a long answer weighs less
        "token_mean": weight / tokens,
        "dr_grpo": weight / (n * 50),
    }
    for aggregation, factor in want.items():
        options = {"aggregation": aggregation, "max_length": 50}
        got = grpo.loss(logp, logp.detach(), weight, tiny.mask, **options)
        close(gradient(-got.value, theta), torch.einsum("b,bpv->pv", factor, each))
        close(-got.value, (factor * lengths).sum())  # value at ratio 1: the factor, once a token
    true = gradient((tiny.log_probs(theta).exp() * reward_of(tiny)).sum(), theta)
    by_answer = torch.einsum("b,bpv->pv", weight / lengths, each)
    assert torch.cosine_similarity(by_answer.flatten(), true.flatten(), dim=0) < 0.999
    by_token = torch.einsum("b,bpv->pv", weight / tokens, each)
    assert torch.cosine_similarity(by_token.flatten(), true.flatten(), dim=0) > 1 - 1e-12


def moved(tiny):
    """Return the trained and the sampling policy's logits, far enough apart to clip."""
    return tiny.theta(5, 2.0), tiny.theta(6, 1.0).detach()


def test_the_product_ratio_is_unbiased_and_the_token_ratio_is_not(tiny):
    theta, old = moved(tiny)
    p, q = tiny.log_probs(theta).exp(), tiny.log_probs(old).exp()  # (B,) each
    reward = reward_of(tiny)
    args = (tiny.logp(theta), tiny.logp(old), q * reward, tiny.mask)
    unclipped = {"denominator": 1.0, "clip_low": 1e9}
    product = -grpo.loss(*args, **unclipped, **grpo.FORMULAS["r1_report"]).value
    token = -grpo.loss(*args, **unclipped, ratio="token", aggregation="token_sum").value
    close(product, (p * reward).sum())  # E_old[rho * r] = E_new[r]
    wanted = gradient((p * reward).sum(), theta)
    close(gradient(product, theta), wanted)
    assert (gradient(token, theta) - wanted).abs().max() > 0.01


@pytest.mark.parametrize(("low", "high"), [(0.2, None), (0.2, 0.28), (10.0, 10.0)])
def test_the_report_formula_term_by_term(tiny, low, high):
    theta, old = moved(tiny)
    ref, beta = tiny.theta(7).detach(), 0.3
    log_p, log_q, log_r = (tiny.log_probs(x) for x in (theta, old, ref))  # (B,) each
    advantage = reward_of(tiny)
    top = 1 + (low if high is None else high)
    value, slope, cut = 0.0, [], []
    for a, p, q, r in torch.stack([advantage, log_p, log_q, log_r], 1).tolist():
        rho, back = math.exp(p) / math.exp(q), math.exp(r) / math.exp(p)
        limited = min(max(rho, 1 - low), top)
        value += min(rho * a, limited * a) - beta * (back - math.log(back) - 1)
        cut.append((a > 0 and rho > top) or (a < 0 and rho < 1 - low))
        slope.append((0.0 if cut[-1] else rho * a) - beta * (1 - back))  # d term / d log p
    n = len(tiny.answers)
    args = (tiny.logp(theta), tiny.logp(old), advantage, tiny.mask)
    options = {"clip_low": low, "clip_high": high, **grpo.FORMULAS["r1_report"]}
    got = grpo.loss(*args, ref_logp=tiny.logp(ref), beta=beta, **options)
    close(got.value, rows(-value / n)[0], rtol=1e-12)
    want = gradient((rows(*slope) * log_p).sum() / n, theta)
    close(gradient(-got.value, theta), want, rtol=1e-12)
    assert got.metrics["clip_fraction"] == pytest.approx(sum(cut) / n)
    assert got.metrics["ratio"] == pytest.approx((log_p - log_q).exp().mean().item())
    signs = {a > 0 for a, c in zip(advantage.tolist(), cut, strict=True) if c}
    assert signs == {True, False} or low > 1  # both directions were really cut


def one(ratios, advantage, **options):
    """Return loss and gradient for one answer with these token ratios, at old log-probability 0."""
    logp = rows(ratios).log().requires_grad_()  # (1, T)
    got = grpo.loss(logp, torch.zeros_like(logp), rows(advantage), logp.detach() == logp, **options)
    return got, torch.autograd.grad(got.value, logp)[0][0]


def test_ppo_clip_in_its_four_cases():
    got, slope = one([0.5, 1.5], 2.0)  # gain: the low ratio passes, the high one is held at 1.2
    close(got.value, rows(-(0.5 * 2 + 1.2 * 2) / 2)[0])
    close(slope, rows(-0.5 * 2 / 2, 0.0))
    means = {"clip_fraction": 0.5, "ratio": pytest.approx(1.0), "guarded": 0.0}
    assert got.metrics == {**means, "tokens": 2.0, "answers": 1.0}
    got, slope = one([0.5, 1.5], -2.0)  # loss: the low ratio is held at 0.8, the high one passes
    close(torch.stack([got.value, *slope]), rows((0.8 * 2 + 1.5 * 2) / 2, 0.0, 1.5 * 2 / 2))
    got, slope = one([1.25, 1.3], 1.0, **grpo.FORMULAS["dapo"])  # clip-higher: 1.28
    close(torch.stack([got.value, *slope]), rows(-(1.25 + 1.28) / 2, -1.25 / 2, 0.0))


def test_epsilon_ten_never_clips_from_below_and_from_above_only_beyond_eleven():
    r1 = {"clip_low": 10.0, **grpo.FORMULAS["r1_report"]}
    for ratios, advantage, value, slope in [
        ([0.01, 0.01], -1.0, 1e-4, 1e-4),  # 1 - 10 < 0 is below every ratio
        ([2.0, 5.4], 1.0, -10.8, -10.8),
        ([2.0, 5.6], 1.0, -11.0, 0.0),  # the product, 11.2, is above 1 + 10
        ([2.0, 50.0], -1.0, 100.0, 100.0),  # a bad answer grown likely is never protected
    ]:
        got, slopes = one(ratios, advantage, **r1)
        close(torch.stack([got.value, *slopes]), rows(value, slope, slope))
        assert got.metrics["clip_fraction"] == float(slope == 0.0)


def test_the_three_ratios_of_one_answer():
    want = {"token": 3.0, "sequence_product": 8.0, "sequence_mean": math.sqrt(8.0)}
    for ratio, value in want.items():
        got, _ = one([2.0, 4.0], 1.0, ratio=ratio, aggregation="answer_mean", clip_low=100.0)
        close(got.value, rows(-value)[0])


def test_kl_of_tokens_and_of_whole_answers():
    zero, ref = torch.zeros(1, 2, dtype=torch.float64), rows([math.log(2.0), math.log(3.0)])
    k3 = [x - math.log(x) - 1 for x in (2.0, 3.0, 6.0)]
    args = (zero, zero, rows(0.0), zero == 0)
    close(grpo.loss(*args, ref_logp=ref, beta=0.5).value, rows(0.5 * (k3[0] + k3[1]) / 2)[0])
    whole = grpo.loss(*args, ref_logp=ref, beta=0.5, **grpo.FORMULAS["r1_report"])
    close(whole.value, rows(0.5 * k3[2])[0])
    measured = grpo.loss(*args, ref_logp=ref)
    assert measured.value == 0 and measured.metrics["kl"] == pytest.approx((k3[0] + k3[1]) / 2)
    assert grpo.loss(*args, ref_logp=ref - math.inf).value == 0  # measured only: nothing leaks
    leaf = ref.requires_grad_()  # as old and as reference: neither gets a gradient
    got = grpo.loss(zero, leaf, rows(1.0), zero == 0, ref_logp=leaf, beta=1.0)
    assert not got.value.requires_grad


def test_aggregations_by_hand_and_padding_of_any_value():
    mask = torch.tensor([[True, True, True], [True, False, False]])
    logp, gains = torch.zeros(2, 3).masked_fill(~mask, NAN), torch.tensor([1.0, -4.0])
    want = {"token_mean": -3 * 1 + 1 * 4, "answer_mean": -1 + 4, "token_sum": -3 + 4, "dr_grpo": 1}
    over = {"token_mean": 4.0, "answer_mean": 2.0, "token_sum": 2.0, "dr_grpo": 20.0}
    for aggregation, total in want.items():
        got = grpo.loss(logp, logp, gains, mask, aggregation=aggregation, max_length=10)
        assert grpo.denominator(mask, aggregation, max_length=10) == over[aggregation]
        assert got.value == pytest.approx(total / over[aggregation])


def test_a_product_of_many_tokens_neither_overflows_nor_stops_pushing():
    logp = torch.zeros(1, 400, requires_grad=True)
    old, mask = torch.full((1, 400), -1.0), torch.ones(1, 400)  # ratio exp(400), float32
    got = grpo.loss(logp, old, torch.tensor([-1.0]), mask, **grpo.FORMULAS["r1_report"])
    got.value.backward()
    assert got.value.isfinite() and got.metrics["guarded"] == 1.0
    close(logp.grad[0, 0], torch.tensor(math.exp(grpo.GUARD)), rtol=1e-5)
    assert logp.grad.norm().isfinite()


@pytest.mark.parametrize("name", sorted(grpo.FORMULAS))
@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_micro_batches_and_skipped_ties_give_the_gradient_of_the_whole_step(name, beta):
    tiny = Tiny(3)
    theta, old = moved(tiny)
    ref = tiny.theta(7).detach()
    rewards = reward_of(tiny)[:12].reshape(3, 4).clone()
    rewards[1] = 0.1  # a tied group in the middle
    gains = grpo.advantages(rewards).reshape(12)
    aggregation = grpo.FORMULAS[name]["aggregation"]

    def total(parts, size):
        value = 0.0
        for part in parts:
            logp, old_logp, ref_logp = (tiny.logp(x)[part] for x in (theta, old, ref))
            args = (logp, old_logp, gains[part], tiny.mask[part])
            options = {"denominator": size, "max_length": 20, **grpo.FORMULAS[name]}
            value = value + grpo.loss(*args, ref_logp=ref_logp, beta=beta, **options).value
        return gradient(value, theta)

    everything = torch.arange(12)
    whole = total([everything], None)
    assert whole.abs().max() > 1e-4
    parts = everything.split(5)
    size = sum(grpo.denominator(tiny.mask[p], aggregation, max_length=20) for p in parts)
    close(total(parts, size), whole)  # unequal micro-batches, one denominator
    kept = everything[grpo.contributing(gains, beta)]
    assert len(kept) == (8 if beta == 0 else 12)
    close(total(kept.split(3), size), whole)  # skipping is free
    untied = torch.tensor([0, 1, 2, 3, 8, 9, 10, 11])
    # Not when they leave the denominator too; and with a KL term ties have a gradient of their own.
    assert (total([untied], None if beta == 0 else size) - whole).abs().max() > 1e-6


def test_answers_without_a_token_count_as_answers_and_add_nothing():
    mask = torch.tensor([[True, True], [False, False]])
    logp = torch.zeros(2, 2, requires_grad=True)
    for name, want, ratio in [("token_mean", -2, 2), ("gspo", -1, 2), ("r1_report", -2, 4)]:
        options = {**grpo.FORMULAS[name], "clip_low": 10.0}
        got = grpo.loss(logp, logp - math.log(2.0), torch.ones(2), mask, **options)
        assert (got.value.item(), got.metrics["ratio"]) == pytest.approx((want, ratio))
    none = grpo.loss(logp, torch.zeros(2, 2), torch.ones(2), torch.zeros(2, 2))
    none.value.backward()
    assert none.value == 0 and logp.grad.abs().max() == 0


def test_defaults_are_the_default_formula_and_examples_run():
    signature = inspect.signature(grpo.loss).parameters
    default = grpo.FORMULAS[grpo.DEFAULT]
    assert {k: signature[k].default for k in default} == default
    assert doctest.testmod(grpo).failed == 0


def test_loss_refuses():
    zero = torch.zeros(2, 3)
    given = {"logp": zero, "old_logp": zero, "advantages": torch.ones(2), "mask": zero == 0}
    for wrong, message in [
        ({"ratio": "sequence"}, "ratio: got 'sequence'"),
        ({"aggregation": "mean", "denominator": 4.0}, "got 'mean'; use one of"),
        ({"ratio": "sequence_product", "aggregation": "token_sum"}, "use one of 'answer_mean'"),
        ({"aggregation": "dr_grpo"}, "max_length: got None"),
        ({"beta": 0.1}, "beta is 0.1 and ref_logp None"),
        ({"ref_logp": torch.zeros(2, 4)}, r"got .*\(2, 4\)"),
        ({"mask": torch.ones(3)}, r"got .*\(3,\)"),
        ({"advantages": torch.ones(2, 3)}, r"got \(2, 3\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            grpo.loss(**{**given, **wrong})
