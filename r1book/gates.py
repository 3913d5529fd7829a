"""Can this base carry the book? Measured properties that a base must have before it is shipped.

Leaves out how it was trained. The limits and their reasons stand in `data/world_card.md`.
"""

import random
import re

import torch

from r1book import evaluate, problems, prompts, rewards, rollout, words
from r1book.config import EvalConfig
from r1book.world import countdown, numerals

LIMITS = {
    "easy_steps": (0.985, 1.0),
    "pass@1 math": (0.10, 0.40),
    "pass@1 logic": (0.10, 0.40),
    "pass@1 stem": (0.30, 0.50),
    "format": (0.20, 0.90),
    "reflection_words": (0.02, 0.30),
    "mixed_language": (0.01, 0.10),
    "length_share": (0.0, 0.25),
    "wait_gain": (0.10, 1.0),
}
"""Gate -> (lowest, highest) allowed, of the base that R1-Zero starts from."""
STUDENT_LIMITS = {
    "easy_steps": (0.50, 1.0),
    "pass@1 math": (0.02, 0.25),
    "pass@1 logic": (0.02, 0.25),
    "pass@1 stem": (0.15, 0.40),
    "format": (0.20, 0.90),
    "mixed_language": (0.0, 0.10),
    "length_share": (0.0, 0.25),
}
"""The same for the smaller students: weaker than the base, with room for distillation, and alive
enough for RL to have something to compare."""


def measure(
    model, tokenizer, *, seed: int = 0, problems_each: int = 100, samples: int = 8, limits=None
) -> dict:
    """Return {"values", "limits", "passed", "failed"} of the gates on dev problems (shares between
    0 and 1); `limits` are LIMITS, or STUDENT_LIMITS for a student. All gates are measured, those
    with a limit are judged."""
    limits = LIMITS if limits is None else limits
    config = EvalConfig(problems=problems_each, samples=samples)
    seen = {
        name: evaluate.traces(model, tokenizer, name, config, seed)
        for name in ("math", "logic", "stem")
    }
    everything = [t for traces in seen.values() for t in traces]
    values = {
        f"pass@1 {name}": _mean(t.parts["accuracy"] for t in traces)
        for name, traces in seen.items()
    }
    values["format"] = _mean(t.parts["format"] for t in everything)
    values["reflection_words"] = _mean(bool(words.reflection(t.completion)) for t in everything)
    values["mixed_language"] = _mean(
        0 < t.parts["language"] < 1 for t in everything if "language" in t.parts
    )
    values["length_share"] = _mean(t.tokens for t in everything) / config.max_new_tokens
    values["easy_steps"] = easy_steps(model, tokenizer, seed=seed)
    values["wait_gain"] = wait_gain(model, tokenizer, seen["logic"], seed=seed)
    failed = [
        n for n, (low, high) in limits.items() if values[n] is None or not low <= values[n] <= high
    ]
    return {
        "values": {name: None if v is None else round(v, 4) for name, v in values.items()},
        "limits": {name: list(limit) for name, limit in limits.items()},
        "failed": failed,
        "passed": not failed,
    }


def _mean(values) -> float | None:
    values = [float(v) for v in values]
    return sum(values) / len(values) if values else None


def easy_steps(model, tokenizer, *, seed: int = 0, n: int = 400) -> float:
    """Return the share of first steps of countdown searches that greedy decoding gets right.

    Each prompt is a dev problem with its working begun: "try 7 * 4 =". Products that the trunk does
    not state are left out.
    """
    rng = random.Random(f"easy-{seed}")
    texts, wanted = [], []
    for problem in problems.load("logic", n, seed=seed, split="dev", lang="en"):
        ways = [step for step, _ in countdown.moves(tuple(sorted(problem.meta["numbers"])))]
        known = [
            (op, a, b, result)
            for op, a, b, result in ways
            if op != "*" or max(a, b) > 9 or numerals.has_product(a, b, numerals.TRUNK_MISSING)
        ]
        op, a, b, result = rng.choice(known)
        texts.append(f"{prompts.render(problem)} <think> try {a} {op} {b} =")
        wanted.append(str(result))
    answers = rollout.sample(model, tokenizer, texts, max_new_tokens=1, temperature=0)
    return _mean(a.text.strip() == w for a, w in zip(answers, wanted, strict=True))


def wait_gain(
    model, tokenizer, traces, *, seed: int = 0, cuts: int = 60, samples: int = 8
) -> float | None:
    """Return how much saying "wait, try" after a miss raises P(right), against going on in the same
    branch (logic).

    Prefixes are cut after one miss, drawn at random, in each of the base's own English answers;
    both continuations are sampled from there.
    """
    rng = random.Random(f"wait-{seed}")
    prefixes = []
    for t in traces:
        misses = list(re.finditer(r", (?:no|too small|too large)\.", words.think(t.completion)))
        if t.problem["lang"] == "en" and misses:
            cut = words.think_span(t.completion)[0] + rng.choice(misses).end()
            prefixes.append((t, t.completion[:cut]))
    rng.shuffle(prefixes)
    prefixes = prefixes[:cuts]
    if len(prefixes) < 10:
        return None
    rates = []
    for word in (" wait, try", ""):
        generator = torch.Generator(model.cos.device).manual_seed(seed)
        starts = [f"{p}{word}" for _, p in prefixes]
        stay = [] if word else _stays(prefixes)
        starts = stay or starts
        answers = rollout.sample(
            model, tokenizer, [t.prompt for t, _ in prefixes], prefixes=starts, group_size=samples,
            max_new_tokens=200, generator=generator,
        )  # fmt: skip
        pairs = [
            (f"{starts[a.group]} {a.text}", problems.from_dict(prefixes[a.group][0].problem))
            for a in answers
        ]
        rates.append(_mean(s.total for s in rewards.accuracies(pairs)))
    return rates[0] - rates[1]


def _stays(prefixes) -> list[str]:
    """Return the prefixes continued in the same branch: the two numbers left, first one said
    again."""
    out = []
    for _, text in prefixes:
        last = text.rsplit(":", 1)[-1].strip().split(" ")
        out.append(f"{text} {last[0]}")
    return out
