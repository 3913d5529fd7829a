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

from r1book import grpo, problems, prompts, rewards, rollout, scoring, sft, trace
from r1book.config import RLConfig
from r1book.network import LanguageModel
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
    update: Callable | None = None,
) -> Step:
    """Do step `number` of a run: sample, judge, compare, update; the model and optimisers change,
    nothing else does.

    `judge` takes what `score` takes and gives what it gives: another reward, such as a reward
    model's. `update` does the same for `learn` (None): another loss on the same answers.
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
    how = update or learn
    learnt = how(model, reference, optimizers, config, answers, advantages.flatten(), number)
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
    inf = float("inf")
    spread = totals.nan_to_num(nan=-inf).amax(1) - totals.nan_to_num(nan=inf).amin(1)
    out = {
        "reward": _mean([s.total for s in judged]),
        "length": _mean(lengths),
        "length_max": max(lengths),
        "truncated": _mean([a.finish == "length" for a in answers]),
        "tied_groups": float((spread <= 0).float().mean()),
        "advantage_spread": float(advantages.std()),
        "unjudged": len(scores) - len(judged),
        "tokens": sum(lengths),
        "prompt_tokens": sum(map(len, {a.group: a.prompt_ids for a in answers}.values())),
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
        chunk = sorted(order[start : start + size], key=lambda i: len(answers[i].ids))
        whole = torch.zeros(len(chunk), max(len(answers[i].ids) for i in chunk))
        for row, i in enumerate(chunk):
            whole[row, : len(answers[i].ids)] = 1
        over = grpo.denominator(whole, config.aggregation, config.max_new_tokens)
        live = grpo.contributing(advantages[chunk], config.beta).tolist()
        chunk = [i for i, keep in zip(chunk, live, strict=True) if keep]
        shared = scoring.SharedPrompts(model, [answers[i] for i in chunk], dtype) if chunk else None
        value = 0.0
        lengths = [len(answers[i].ids) for i in chunk]
        for part in scoring.micro_batches(lengths, config.micro_tokens):
            rows = chunk[part]
            batch = [answers[i] for i in rows]
            logp, entropy, mask = scoring.logprobs(model, batch, config.temperature, dtype, shared)
            ref = None
            if config.beta:
                with torch.no_grad():
                    ref = scoring.logprobs(reference, batch, config.temperature, dtype)[0]
            width = mask.shape[1]
            before = logp.detach() if old is None else scoring.pad([old[i] for i in rows], width)
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
        norms.append(update(model, optimizers, config.grad_clip))
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


def update(model, optimizers: list, grad_clip: float) -> float:
    """Take an optimiser step on the gathered gradients; return their norm before clipping.

    Raises FloatingPointError where it is not finite; the weights are untouched then."""
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
        for part in scoring.micro_batches(lengths, 2 * config.micro_tokens):
            rows = order[part]
            batch = [answers[i] for i in rows]
            logp, _, _ = scoring.logprobs(model, batch, config.temperature, dtype)
            for row, i in enumerate(rows):
                out[i] = logp[row, : len(answers[i].ids)]
    return out
