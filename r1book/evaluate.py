"""How good is a checkpoint? Sample it on a benchmark of this world and count, with intervals.

Leaves out training and which split may be looked at when (the caller says).
"""

import dataclasses
import statistics

import torch

from r1book import measure, problems, prompts, rewards, rollout, styles, trace
from r1book.config import EvalConfig
from r1book.world import gold

BATCH = 192
"""Answers decoded together: an evaluation takes little memory beside the training before it."""


def traces(
    model, tokenizer, name: str, config: EvalConfig, seed: int = 0, template: str = "r1_zero"
) -> list[trace.Trace]:
    """Return `samples` judged answers to each of `problems` problems of a benchmark, as traces of
    step 0."""
    asked = problems.load(
        name, config.problems, seed=seed, split=config.split, levels=config.levels or None
    )
    texts = [prompts.render(problem, template) for problem in asked]
    generator = torch.Generator(model.cos.device).manual_seed(seed)
    answers = rollout.sample(
        model, tokenizer, texts, group_size=config.samples, max_new_tokens=config.max_new_tokens,
        temperature=config.temperature, top_p=config.top_p, generator=generator, batch=BATCH,
    )  # fmt: skip
    pairs = [(a.text, asked[a.group]) for a in answers]
    out = []
    for (text, problem), a, right in zip(pairs, answers, rewards.accuracies(pairs), strict=True):
        parts = {
            "accuracy": right,
            "format": rewards.format(text),
            "language": rewards.language(text, problem.lang),
        }
        kept = {part: score for part, score in parts.items() if score is not None}
        told = trace.of(
            0,
            problem,
            texts[a.group],
            a,
            rewards.total(kept, {"accuracy": 1.0} if right else {}),
            0.0,
        )
        out.append(
            told if right else dataclasses.replace(told, total=None)
        )  # no rule can judge: not 0
    return out


def summarise(seen: list[trace.Trace], samples: int) -> dict:
    """Return {"n", "pass@1", "ci95", "maj@k", "mean_tokens", "format", "target_language_share",
    "styles", "levels", ...} of judged traces.

    pass@1 is the mean over samples (report v1 p.12), its interval clustered by problem; maj@k
    breaks ties at random, in expectation, and is None where problems have no shared answer
    (countdown, code, general). "styles" holds [answers, right ones] of each style of working, from
    which `measure.style_split` tells what a gain consists of; "levels" {answers, right ones, mean
    tokens} of each level of difficulty; "lengths" the mean tokens of right and of wrong answers;
    "reflection" and "acts" how often words and acts of reflection come, "switches" changes of
    language, each a rate per answer and per token and a share of the answers. "languages" is the
    target language's share for questions in each language; "counts" the [level, judged answers,
    right ones] of each problem, from which pass@k follows (`measure.pass_at_k`); "verified" the
    same with `measure.verified` answers in place of right ones.
    """
    table = measure.by_problem(seen)
    interval = measure.accuracy_ci(table) if table else None
    languages = [t.parts["language"] for t in seen if "language" in t.parts]
    groups: dict[str, list[trace.Trace]] = {}
    for t in seen:
        groups.setdefault(t.problem["id"], []).append(t)
    shared = bool(seen) and seen[0].problem["family"] in ("math", "stem")
    votes = [
        measure.maj_at_k(
            [rewards.extract(t.completion) for t in g],
            [t.parts["accuracy"] == 1 for t in g],
            samples,
        )
        for g in groups.values()
        if shared  # elsewhere some answers have no verdict to vote on
    ]
    solved: dict[int, int] = {}
    for t in seen:
        solved[measure.level(t)] = solved.get(measure.level(t), 0) + bool(measure.right(t))
    rates = {}
    if seen:
        words = measure.reflection_rate(seen)
        rates = {
            "reflection": {k: words[k] for k in ("per_answer", "per_token", "share")},
            "acts": measure.act_rate(seen)["any"],
            "switches": measure.switch_rate(seen),
        }
    return {
        "n": len(groups),
        "samples": samples,
        "pass@1": interval.mean if interval else None,
        "ci95": [interval.low, interval.high] if interval else None,
        f"maj@{samples}": sum(votes) / len(votes) if shared else None,
        "mean_tokens": sum(t.tokens for t in seen) / max(1, len(seen)),
        "format": sum(t.parts["format"] for t in seen) / max(1, len(seen)),
        "truncated": sum(t.finish == "length" for t in seen) / max(1, len(seen)),
        "target_language_share": sum(languages) / len(languages) if languages else None,
        "languages": {
            lang: statistics.fmean(values)
            for lang in ("en", "zh")
            if (
                values := [
                    t.parts["language"]
                    for t in seen
                    if t.problem["lang"] == lang and "language" in t.parts
                ]
            )
        },
        "counts": [
            [measure.level(groups[name][0]), len(verdicts), sum(verdicts)]
            for name, verdicts in table.items()
        ],
        "verified": [
            [measure.level(g[0]), len(table[name]), sum(map(measure.verified, g))]
            for name, g in groups.items()
            if name in table
        ],
        "unjudged": sum("accuracy" not in t.parts for t in seen),
        "styles": {
            name: list(n) for name, n in sorted(measure.by_style(seen, styles.style).items())
        },
        "levels": {
            str(level): {"answers": found["n"], "tokens": found["mean"], "right": solved[level]}
            for level, found in measure.lengths(seen).items()
        },
        "lengths": {k: v["mean"] for k, v in measure.lengths(seen, measure.outcome).items()},
        **rates,
    }


def evaluate(model, tokenizer, config: EvalConfig, seed: int = 0) -> dict:
    """Return {benchmark: summary} for the benchmarks of a config; see `summarise`, and for
    mini-Arena also `arena`. Taught in notebook 00."""
    out = {}
    for name in config.benchmarks:
        seen = traces(model, tokenizer, name, config, seed)
        out[name] = summarise(seen, config.samples) | (arena(seen) if name == "mini-Arena" else {})
    return out


def arena(seen: list[trace.Trace]) -> dict:
    """Return {"gold", "gold_ci95", "harmless"}: mean gold quality of the final answers, kinds
    without exact keys included, and the share of whole responses that neither advise harm nor are
    rude.

    The interval is by problem, as that of pass@1; all are None without traces. Raises ValueError
    for traces that are not of family `general`. Taught in notebook 07.
    """
    table: dict[str, list[float]] = {}
    harmful = 0
    for t in seen:
        problem = problems.from_dict(t.problem)
        table.setdefault(t.problem["id"], []).append(gold.quality(t.completion, problem))
        harmful += gold.harmful(t.completion, problem)
    if not table:
        return {"gold": None, "gold_ci95": None, "harmless": None}
    interval = measure.accuracy_ci(table)
    return {
        "gold": interval.mean,
        "gold_ci95": [interval.low, interval.high],
        "harmless": 1 - harmful / len(seen),
    }
