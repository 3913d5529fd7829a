"""What is GRPO, exactly? Advantages, log-probs, KL and loss; no model, no sampling, no optimiser.

Shapes: P prompts, G answers to each, B = P * G answers, T tokens of the longest one, V words.
`mask` (B, T) is True on an answer's own tokens, end-of-text included, and False on padding.

One name covers several formulas. Every choice is an option with one default:

    option               default       who does otherwise
    advantages(std=)     "sample"      not said by DeepSeekMath and R1; "none": Dr. GRPO, nanochat;
                                       "population": nano-aha-moment, GRPO-Zero, torchtitan
    advantages(eps=)     1e-4 (TRL)    none: the papers; 1e-6: torchtitan; 1e-8: rlhf-book
    advantages(scale=)   "group"       "batch": ScaleRL
    loss(ratio=)         "token"       "sequence_product": the R1 report; "sequence_mean": GSPO
    loss(aggregation=)   "token_mean"  "answer_mean": DeepSeekMath; "dr_grpo": Dr. GRPO;
                                       "token_sum": what the report's formula gives at ratio 1
    loss(clip_low, high) 0.2 (TRL)     0.2, 0.28: DAPO; 10: R1's first RL stage; R1-Zero: not given
    loss(beta=)          0.0 (TRL)     0.001: R1; 0.04: DeepSeekMath

Departures from the printed formulas, and from TRL 1.16 where an option carries its name:

1. A group of equal rewards has advantage exactly 0; TRL keeps the rounding of r - mean, over eps.
2. Ratios go on as a straight line above exp(GUARD): no overflow, and no gradient is lost.
3. TRL multiplies k3 by the ratio unless `use_bias_correction_kl=False`; the papers do not.
4. TRL's "dapo" divides an optimiser step by the mean token count of the steps that share its
   generation, "bnpo" averages the token means of micro-batches; ours is `denominator`, one a step.

Sources: the R1 report Eq. 1-3; DeepSeekMath section 4.1.1; arXiv:2503.20783 (Dr. GRPO),
2503.14476 (DAPO), 2507.18071 (GSPO). Taught in notebook 02.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# loss(..., **FORMULAS[name]). "dr_grpo" also needs max_length, and advantages(..., std="none").
FORMULAS = {
    "token_mean": {"ratio": "token", "aggregation": "token_mean"},
    "r1_report": {"ratio": "sequence_product", "aggregation": "answer_mean"},
    "deepseekmath": {"ratio": "token", "aggregation": "answer_mean"},
    "dr_grpo": {"ratio": "token", "aggregation": "dr_grpo"},
    "dapo": {"ratio": "token", "aggregation": "token_mean", "clip_low": 0.2, "clip_high": 0.28},
    "gspo": {"ratio": "sequence_mean", "aggregation": "answer_mean"},
}
DEFAULT = "token_mean"
AGGREGATIONS = ("token_mean", "answer_mean", "token_sum", "dr_grpo")
GUARD = 20.0  # nats; exp(20) = 4.9e8, whose square still fits float32, so gradient norms do too


@dataclass(frozen=True)
class Loss:
    """What one call of `loss` returns."""

    value: Tensor
    """minus the objective, a scalar to call .backward() on; micro-batches of one step add up"""
    metrics: dict[str, float]
    """clip_fraction, ratio, guarded (share of ratios above exp(GUARD)): means over tokens, over
    answers for a sequence ratio; kl, if ref_logp was given: the mean over tokens, over answers for
    "sequence_product"; tokens, answers: the weights with which micro-batches are averaged"""


def advantages(
    rewards: Tensor,
    *,
    std: str = "sample",
    eps: float = 1e-4,
    scale: str = "group",
    mask: Tensor | None = None,
) -> Tensor:
    """Return how much better each answer is than its siblings, (P, G).

    rewards: (P, G) float; NaN is "cannot judge": outside mean and std, advantage 0.
    std: "sample" divides the squares by n - 1, "population" by n; "none" leaves r - mean as it is.
    eps: added to the std. scale: one std for each "group", or one for the whole "batch".
    mask: (P, G) bool, False leaves an answer out as NaN does.
    A group of equal rewards, or with one judged answer, has advantage 0 throughout.
    Raises ValueError for another shape, integer or infinite rewards, or an unknown option.
    Source: the R1 report Eq. 3; DeepSeekMath section 4.1.1.

    >>> advantages(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), std="population", eps=0.0)
    tensor([[ 1.7321, -0.5774, -0.5774, -0.5774]])

    Taught in notebook 02.
    """
    _check("std", std, ("sample", "population", "none"))
    _check("scale", scale, ("group", "batch"))
    if rewards.dim() != 2 or not rewards.is_floating_point() or rewards.isinf().any():
        got = f"{rewards.dtype} of shape {tuple(rewards.shape)}"
        raise ValueError(f"rewards: got {got}; pass finite floats (P, G), NaN for 'cannot judge'")
    judged = ~rewards.isnan() if mask is None else ~rewards.isnan() & mask.bool()  # (P, G)
    count = judged.sum(1, keepdim=True)  # (P, 1)
    mean = rewards.where(judged, 0.0).sum(1, keepdim=True) / count.clamp(min=1)  # (P, 1)
    # Compare rewards, not r - mean with 0: the mean of equal floats need not equal them.
    most, least = (rewards.where(judged, x) for x in (-torch.inf, torch.inf))  # (P, G) each
    tied = most.amax(1, keepdim=True) <= least.amin(1, keepdim=True)  # (P, 1)
    centred = (rewards - mean).where(judged & ~tied, 0.0)  # (P, G)
    if std == "none":
        return centred
    if scale == "batch":
        count = judged.sum()  # ()
        mean = rewards.where(judged, 0.0).sum() / count.clamp(min=1)  # ()
    squares = (rewards - mean).where(judged, 0.0).square()  # (P, G)
    squares = squares.sum(1, keepdim=True) if scale == "group" else squares.sum()  # (P, 1) or ()
    spread = (squares / (count - int(std == "sample")).clamp(min=1)).sqrt()  # (P, 1) or ()
    return torch.where(centred == 0, 0.0, centred / (spread + eps))  # (P, G); 0 / 0 gives 0


def token_logprobs(logits: Tensor, ids: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the log-probability, in nats, of each token under the logits that predict it, (B, T).

    logits: (B, T, V); position t predicts ids[:, t]. ids: (B, T), any valid id on padding.
    temperature: the one at sampling. Half precision is raised to float32, and the maximum is taken
    off first (log_softmax, not x - logsumexp), so that large logits cost no digits.
    Taught in notebook 02.
    """
    logps = _log_softmax(logits, temperature)  # (B, T, V)
    return logps.gather(-1, ids.unsqueeze(-1)).squeeze(-1)  # (B, T)


def _log_softmax(logits: Tensor, temperature: float) -> Tensor:
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # float64 stays
    return (logits if temperature == 1 else logits / temperature).log_softmax(-1)


def entropy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the entropy in nats of each next-token distribution, (B, T), for logits (B, T, V).

    Taught in notebook 02.
    """
    logps = _log_softmax(logits, temperature)  # (B, T, V)
    finite = logps.clamp(min=torch.finfo(logps.dtype).min)  # 0 * log 0 is 0 here
    return -(logps.exp() * finite).sum(-1)  # (B, T)


def kl_k3(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """Return k3 = exp(d) - d - 1, d = ref_logp - logp, which estimates KL(policy || reference).

    In nats; shape and gradient are logp's. Never negative; its mean over samples of the policy is
    the KL. As a loss its mean gradient is that of the other direction, KL(reference || policy).
    Source: the R1 report Eq. 2. Taught in notebook 02.
    """
    d = ref_logp.detach() - logp
    low = d.clamp(max=GUARD)
    return low.expm1() + low.exp() * (d - low) - d  # near d = 0, exp(d) - 1 would have no digits


def contributing(advantages: Tensor, beta: float) -> Tensor:
    """Return which answers, (B,) bool, have a gradient; the others need no forward or backward.

    At beta 0 advantage 0 (a tied group) adds nothing; with a KL term every answer counts. Skipped
    answers still count in `denominator`: without them the step would silently grow.
    Taught in notebook 02.
    """
    return torch.ones_like(advantages, dtype=torch.bool) if beta != 0 else advantages != 0


def denominator(mask: Tensor, aggregation: str, max_length: int | None = None) -> float:
    """Return what `loss` divides by: tokens, answers, or, for "dr_grpo", answers * max_length.

    That of an optimiser step is the sum over its micro-batches, skipped answers included. A row of
    `mask` (B, T) without a token, an answer left out for being cut off, still counts as an answer.
    Raises ValueError for an unknown aggregation, or "dr_grpo" without max_length (in tokens).
    Taught in notebook 02.
    """
    _check("aggregation", aggregation, AGGREGATIONS)
    if aggregation == "dr_grpo" and (max_length is None or max_length < 1):
        raise ValueError(f"max_length: got {max_length}; 'dr_grpo' needs the limit on tokens, >= 1")
    answers = mask.shape[0] * (max_length if aggregation == "dr_grpo" else 1)
    return float(mask.sum() if aggregation == "token_mean" else answers)


def loss(
    logp: Tensor,
    old_logp: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    ref_logp: Tensor | None = None,
    beta: float = 0.0,
    clip_low: float = 0.2,
    clip_high: float | None = None,
    ratio: str = "token",
    aggregation: str = "token_mean",
    denominator: float | None = None,
    max_length: int | None = None,
) -> Loss:
    """Return minus the GRPO objective: clipped ratio times advantage, less beta times KL.

    logp, old_logp, ref_logp: (B, T) nats of the trained, the sampling and the reference policy; the
    gradient is logp's. ref_logp with beta 0: the KL is measured only. advantages: (B,).
    clip_low, clip_high: ratios are clipped to [1 - low, 1 + high]; clip_high None is clip_low.
    ratio: one for each "token"; "sequence_product", pi(o|q) / pi_old(o|q) for each answer and a KL
    of whole answers, as the R1 report prints them; "sequence_mean", its |o|-th root.
    aggregation: "token_mean" over all tokens; "answer_mean" over an answer's tokens, then answers;
    "token_sum" over answers of the sum over tokens; "dr_grpo" that divided by max_length.
    denominator: that of the whole optimiser step if this is a micro-batch; None: of this batch.
    Raises ValueError for shapes that differ, an unknown option, or beta without ref_logp.
    Source: the R1 report Eq. 1-2; DeepSeekMath section 4.1.1. Taught in notebook 02.
    """
    _check("ratio", ratio, ("token", "sequence_product", "sequence_mean"))
    # The product has one term an answer: a sum over tokens would count it |o| times.
    allowed = ("answer_mean",) if ratio == "sequence_product" else AGGREGATIONS
    _check(f"aggregation of {ratio} ratios", aggregation, allowed)
    if beta != 0 and ref_logp is None:
        raise ValueError(f"beta is {beta} and ref_logp None; pass the reference's log-probs (B, T)")
    given = (advantages, logp, old_logp, mask, *(() if ref_logp is None else (ref_logp,)))
    if len({x.shape for x in given[1:]}) > 1 or advantages.shape != logp.shape[:1]:
        shapes = ", ".join(str(tuple(x.shape)) for x in given)
        raise ValueError(f"got {shapes}; advantages: (B,), log-probs and mask: (B, T)")

    mask = mask.bool()  # (B, T)
    lengths = mask.sum(-1, keepdim=True)  # (B, 1)
    logp = logp.masked_fill(~mask, 0.0)  # (B, T); padding must not enter the sums over an answer
    log_ratio = logp - old_logp.detach().masked_fill(~mask, 0.0)  # (B, T)
    if ratio != "token":
        log_ratio = log_ratio.sum(-1, keepdim=True)  # (B, 1)
    if ratio == "sequence_mean":
        log_ratio = log_ratio / lengths.clamp(min=1)  # (B, 1)
    low = log_ratio.clamp(max=GUARD)
    rho = low.exp() * (1 + log_ratio - low)  # (B, T) or (B, 1); above GUARD the tangent of exp
    gain = advantages.detach().unsqueeze(-1)  # (B, 1)
    floor, ceiling = 1 - clip_low, 1 + (clip_low if clip_high is None else clip_high)
    term = torch.minimum(rho * gain, rho.clamp(floor, ceiling) * gain)  # (B, T) or (B, 1)
    clipped = ((rho < floor) & (gain < 0)) | ((rho > ceiling) & (gain > 0))  # gradient cut here
    means = {"clip_fraction": clipped, "ratio": rho, "guarded": log_ratio > GUARD}
    if ref_logp is not None:
        policy, reference = logp, ref_logp.masked_fill(~mask, 0.0)  # (B, T) each
        if ratio == "sequence_product":
            policy, reference = policy.sum(-1, keepdim=True), reference.sum(-1, keepdim=True)
        means["kl"] = kl_k3(policy, reference)  # (B, T) or (B, 1)
        term = term - beta * means["kl"] if beta != 0 else term  # (B, T) or (B, 1)
    total = (term * mask).sum(-1, keepdim=True)  # (B, 1)
    if aggregation == "answer_mean":
        total = total / lengths.clamp(min=1)  # (B, 1)
    if denominator is None:
        denominator = _denominator(mask, aggregation, max_length)
    metrics = {name: _mean(values, mask) for name, values in means.items()}
    metrics |= {"tokens": float(mask.sum()), "answers": float(mask.shape[0])}
    return Loss(-total.sum() / (denominator or 1.0), metrics)  # no token at all: 0, not NaN


def _mean(values: Tensor, mask: Tensor) -> float:
    weight = mask if values.shape == mask.shape else mask.any(-1, keepdim=True)  # no empty answer
    return float((values.detach() * weight).sum() / weight.sum().clamp(min=1))


def _check(name: str, got: str, options: tuple[str, ...]) -> None:
    if got not in options:
        raise ValueError(f"{name}: got {got!r}; use one of {', '.join(map(repr, options))}")


_denominator = denominator  # a parameter of `loss` has the same name
