"""What is one step of R1-Zero? Questions, rollouts, rewards, advantages, update, trace: the stream
in order.

The formulas are in `grpo.py`; what a run folder holds is in `stages.py`. Everything random is drawn
from (seed, step), so that a run can be continued at any step.

Shapes: P prompts, G group size, B = P*G answers, T answer tokens, V vocabulary.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from r1book import fused, grpo, problems, prompts, rewards, rollout, sft, trace
from r1book.config import RLConfig
from r1book.network import LanguageModel, Prefix
from r1book.problems import Problem
from r1book.rollout import Rollout

PER_RATIO = ("clip_fraction", "ratio", "guarded")
"""Metrics with one value for each ratio: a token's, or an answer's."""


@dataclass(frozen=True)
class Step:
    """What one step leaves behind."""

    metrics: dict
    """One line of metrics.jsonl."""
    traces: list[trace.Trace]
    """One for each answer."""


def questions(config: RLConfig, seed: int, step: int) -> list[Problem]:
    """Return the P train problems of a step: families by their shares, levels in turn, languages at
    random.

    Systematic sampling: a step has each family's share of P, rounded up or down at random, so that
    steps can be compared and the curve shows the policy, not the luck of the draw.
    """
    rng = random.Random(f"questions-{seed}-{step}")
    names, shares = list(config.families), list(config.families.values())
    reach = [sum(shares[: i + 1]) / sum(shares) for i in range(len(shares))]
    offset, turn = rng.random(), rng.randrange(len(config.levels))
    out = []
    for i in range(config.prompts_per_step):
        at = (offset + i) / config.prompts_per_step
        family = next((name for name, end in zip(names, reach, strict=True) if at < end), names[-1])
        lang = "zh" if rng.random() < 0.5 else "en"
        out.append(
            problems.make(
                rng,
                family,
                config.levels[(turn + i) % len(config.levels)],
                "train",
                lang,
                f"{family}-train-{seed}-{step}-{i}",
            )
        )
    return out


def score(
    config: RLConfig, asked: list[Problem], answers: list[Rollout], seed: int, step: int
) -> list[rewards.Score | None]:
    """Return the score of each answer; None where no rule can judge.

    The controls keep all parts in the record and change the total: 'random' is a fair coin for each
    answer, 'format_only' leaves accuracy out.
    """
    pairs = [(a.text, asked[a.group]) for a in answers]
    coin = random.Random(f"coin-{seed}-{step}")
    out = []
    for (text, problem), right in zip(pairs, rewards.accuracies(pairs), strict=True):
        parts = {
            "accuracy": right,
            "format": rewards.format(text),
            "language": rewards.language(text, problem.lang),
        }
        if config.reward == "random":
            seen = rewards.total(parts, {})
            out.append(rewards.Score(seen.parts, float(coin.random() < 0.5), "a fair coin"))
        elif config.reward == "format_only":
            out.append(rewards.total(parts, {"format": 1.0}))
        else:
            out.append(rewards.total(parts, config.weights))
    return out


def step(
    model: LanguageModel,
    reference: LanguageModel | None,
    tokenizer,
    optimizers: list,
    config: RLConfig,
    seed: int,
    number: int,
    judge: Callable = score,
) -> Step:
    """Do step `number` of a run: sample, judge, compare, update; the model and optimisers change,
    nothing else does.

    `judge` takes what `score` takes and gives what it gives: another reward, such as a reward
    model's.
    """
    started = time.perf_counter()
    asked = questions(config, seed, number)
    texts = [prompts.render(problem) for problem in asked]
    generator = torch.Generator(model.cos.device).manual_seed(hash_of(seed, number))
    answers = rollout.sample(
        model,
        tokenizer,
        texts,
        group_size=config.group_size,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        generator=generator,
    )
    sampled = time.perf_counter()
    scores = judge(config, asked, answers, seed, number)
    totals = torch.tensor([float("nan") if s is None else s.total for s in scores]).view(
        -1, config.group_size
    )  # (P, G)
    advantages = grpo.advantages(totals, std=config.std)  # (P, G)
    judged = time.perf_counter()
    learnt = learn(model, reference, optimizers, config, answers, advantages.flatten(), number)
    ended = time.perf_counter()
    metrics = {
        "step": number,
        **summary(asked, answers, scores, totals, advantages),
        **learnt,
        "seconds": round(ended - started, 3),
        "seconds/rollout": round(sampled - started, 3),
        "seconds/judge": round(judged - sampled, 3),
        "seconds/update": round(ended - judged, 3),
    }
    rows = zip(answers, scores, advantages.flatten().tolist(), strict=True)
    return Step(
        metrics, [trace.of(number, asked[a.group], texts[a.group], a, s, adv) for a, s, adv in rows]
    )


def hash_of(seed: int, number: int) -> int:
    """Return a generator seed for (run seed, step) that differs for all pairs in use."""
    return random.Random(f"rollout-{seed}-{number}").getrandbits(63)


def summary(asked, answers, scores, totals, advantages) -> dict:
    """Return what the answers of a step look like, before any update."""
    lengths = [len(a.ids) for a in answers]
    judged = [s for s in scores if s is not None]
    spread = totals.nan_to_num(nan=float("-inf")).amax(1) - totals.nan_to_num(
        nan=float("inf")
    ).amin(1)
    out = {
        "reward": _mean([s.total for s in judged]),
        "length": _mean(lengths),
        "length_max": max(lengths),
        "truncated": _mean([a.finish == "length" for a in answers]),
        "tied_groups": float((spread <= 0).float().mean()),
        "advantage_spread": float(advantages.std()),
        "unjudged": len(scores) - len(judged),
        "tokens": sum(lengths),
    }
    for part in ("accuracy", "format", "language"):
        out[part] = _mean([s.parts[part] for s in judged if part in s.parts])
    for family in sorted({p.family for p in asked}):
        rows = [
            (a, s)
            for a, s in zip(answers, scores, strict=True)
            if s is not None and asked[a.group].family == family
        ]
        out[f"accuracy/{family}"] = _mean(
            [s.parts["accuracy"] for _, s in rows if "accuracy" in s.parts]
        )
        out[f"length/{family}"] = _mean([len(a.ids) for a, _ in rows])
    return out


def _mean(values) -> float | None:
    return sum(values) / len(values) if values else None


def learn(
    model, reference, optimizers, config: RLConfig, answers: list[Rollout], advantages, number: int
) -> dict:
    """Do the optimiser steps on one batch of rollouts; advantages (B,). Return loss, entropy, KL,
    clip share, gradient norm.

    Answers whose advantage is 0 pass no gradient and are left out when beta is 0; they still count
    in the denominators. With more than one mini-batch the old log-probabilities are computed once,
    before the first step.
    """
    share = min(1.0, (number + 1) / max(1, config.warmup))
    sft.set_rate(optimizers, share)
    dtype = sft.precision(config.dtype)
    order = list(range(len(answers)))
    random.Random(f"minibatch-{number}").shuffle(order)
    size = -(-len(order) // config.minibatches)
    means: dict[str, list[tuple[float, float]]] = {
        "entropy": [],
        "clip_fraction": [],
        "kl": [],
    }  # (value, weight)
    trained = 0
    norms, values = [], []
    old = old_logprobs(model, answers, config, dtype) if config.minibatches > 1 else None
    for start in range(0, len(order), size):
        chunk = sorted(
            order[start : start + size],
            key=lambda i: len(answers[i].ids),
        )
        whole = torch.zeros(len(chunk), max(len(answers[i].ids) for i in chunk))
        for row, i in enumerate(chunk):
            whole[row, : len(answers[i].ids)] = 1
        over = grpo.denominator(whole, config.aggregation, config.max_new_tokens)
        live = grpo.contributing(advantages[chunk], config.beta).tolist()
        chunk = [i for i, keep in zip(chunk, live, strict=True) if keep]
        shared = SharedPrompts(model, [answers[i] for i in chunk], dtype) if chunk else None
        value = 0.0
        for part in micro_batches([len(answers[i].ids) for i in chunk], config.micro_tokens):
            rows = chunk[part]
            logp, entropy, mask = logprobs(
                model, [answers[i] for i in rows], config.temperature, dtype, shared
            )
            with torch.no_grad():
                ref = (
                    logprobs(reference, [answers[i] for i in rows], config.temperature, dtype)[0]
                    if config.beta
                    else None
                )
            before = logp.detach() if old is None else pad([old[i] for i in rows], mask.shape[1])
            got = grpo.loss(
                logp,
                before,
                advantages[rows].to(mask.device),
                mask,
                ref_logp=ref,
                beta=config.beta,
                clip_low=config.clip_low,
                clip_high=config.clip_high,
                ratio=config.ratio,
                aggregation=config.aggregation,
                denominator=over,
                max_length=config.max_new_tokens,
            )
            got.value.backward()
            value += got.value.item()
            seen = dict(got.metrics)
            n, answered = seen.pop("tokens"), seen.pop("answers")
            trained += int(n)
            by_answer = {"token": (), "sequence_product": (*PER_RATIO, "kl")}.get(
                config.ratio, PER_RATIO
            )
            for name, each in {**seen, "entropy": float((entropy * mask).sum() / n)}.items():
                means.setdefault(name, []).append((each, answered if name in by_answer else n))
        if shared is not None:
            shared.backward()
        norms.append(_step(model, optimizers, config.grad_clip))
        values.append(value)
    out = {
        name: sum(v * w for v, w in seen) / max(1.0, sum(w for _, w in seen))
        for name, seen in means.items()
    }
    if not trained:
        out["entropy"] = None  # all groups are tied: nothing passed through the model
    return {
        "loss": _mean(values),
        "grad_norm": _mean(norms),
        "lr": config.lr * share,
        "trained_tokens": trained,
        **out,
    }


def _step(model, optimizers, grad_clip: float) -> float:
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
    if torch.isfinite(norm):
        for optimizer in optimizers:
            optimizer.step()
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    if not torch.isfinite(norm):
        raise FloatingPointError(
            f"gradient norm {norm.item()}: not finite, the weights are untouched. "
            "Lower lr, or set dtype=float32"
        )
    return norm.item()


def old_logprobs(model, answers: list[Rollout], config: RLConfig, dtype) -> list[torch.Tensor]:
    """Return the log-probabilities (each answer's length) under the policy before its update."""
    out: list[torch.Tensor | None] = [None] * len(answers)
    order = sorted(range(len(answers)), key=lambda i: len(answers[i].ids))
    with torch.no_grad():
        lengths = [len(answers[i].ids) for i in order]
        for part in micro_batches(lengths, 2 * config.micro_tokens):
            rows = order[part]
            logp, _, _ = logprobs(model, [answers[i] for i in rows], config.temperature, dtype)
            for row, i in enumerate(rows):
                out[i] = logp[row, : len(answers[i].ids)]
    return out


def micro_batches(lengths: list[int], tokens: int) -> list[slice]:
    """Cut rising `lengths` into runs of at most `tokens` tokens, padding counted, or of one row.

    Long answers pass through the model few at a time and short ones many, so that little is padded
    and what is in work stays as large.

    >>> micro_batches([2, 2, 3, 9], 6)
    [slice(3, 4, None), slice(1, 3, None), slice(0, 1, None)]
    """
    out, end = [], len(lengths)
    while end:
        start = max(0, end - max(1, tokens // max(1, lengths[end - 1])))
        out.append(slice(start, end))
        end = start
    return out


def pad(rows: list[torch.Tensor], width: int) -> torch.Tensor:
    """Return rows of different lengths as (B, width), zeros at the end."""
    return torch.stack([F.pad(row, (0, width - len(row))) for row in rows])


class SharedPrompts:
    """The distinct prompts of some answers, passed through the model once.

    Micro-batches read copies (`copies`), where their gradients gather; `backward` then passes the
    sum through the prompts once.
    """

    def __init__(self, model, answers: list[Rollout], dtype):
        device = model.cos.device
        rows: dict[tuple[int, ...], int] = {}
        for a in answers:
            rows.setdefault(tuple(a.prompt_ids), len(rows))
        self.rows = rows
        lengths = torch.tensor([len(ids) for ids in rows], device=device)  # (P,)
        width = max(map(len, rows))
        ids = torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in rows], device=device)
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            self.made = model.prefix(ids, lengths)
        copies = [x.detach().requires_grad_(x.requires_grad) for x in self._tensors(self.made)]
        self.copies = Prefix(copies[0], copies[1:], lengths)

    @staticmethod
    def _tensors(prefix: Prefix) -> list[torch.Tensor]:
        return [prefix.last, *prefix.kept]

    def of(self, answers: list[Rollout]) -> torch.Tensor:
        """Return the row (B,) of each answer's prompt."""
        rows = [self.rows[tuple(a.prompt_ids)] for a in answers]
        return torch.tensor(rows, device=self.made.lengths.device)

    def backward(self) -> None:
        """Pass the gradients of the copies on to the weights."""
        pairs = zip(self._tensors(self.made), self._tensors(self.copies), strict=True)
        gathered = [(made, copy.grad) for made, copy in pairs if copy.grad is not None]
        if gathered:
            torch.autograd.backward(*map(list, zip(*gathered, strict=True)))


def logprobs(
    model, answers: list[Rollout], temperature: float, dtype, shared: SharedPrompts | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return log-probabilities (B, T), entropies (B, T, no gradient) and mask (B, T) of answers, in
    one forward pass.

    Each prompt is computed once for all of its answers, here or, for several micro-batches,
    before (`shared`). Answers are padded on the right, logits computed for their tokens only.
    """
    device = model.cos.device
    B, T = len(answers), max(len(a.ids) for a in answers)
    ids = torch.zeros(B, T, dtype=torch.long)
    mask = torch.zeros(B, T)
    for b, a in enumerate(answers):
        ids[b, : len(a.ids)] = torch.tensor(a.ids)
        mask[b, : len(a.ids)] = 1
    places = mask.flatten().nonzero().squeeze(1).to(device)  # (M,), M tokens of answers
    ids, mask = ids.to(device), mask.to(device)
    given = SharedPrompts(model, answers, dtype) if shared is None else shared
    prefix, rows = given.made if shared is None else given.copies, given.of(answers)
    with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
        states = prefix.last.index_select(0, rows)[:, None]  # (B, 1, D)
        if T > 1:
            states = torch.cat([states, model.after(prefix, rows, ids[:, :-1])], 1)  # (B, T, D)
        states = states.flatten(0, 1).index_select(0, places)  # (M, D)
        table = model.model.embed_tokens.weight  # (V, D)
        logp, entropy = fused.scores(states, table, ids.flatten()[places], temperature)  # (M,)

    def spread(values):  # (M,) -> (B, T)
        return values.new_zeros(B * T).index_copy(0, places, values).view(B, T)

    return spread(logp), spread(entropy), mask
