"""Can this world carry the later stages? Each is tried once, crudely, on one seed.

    python benchmarks/pilots.py [--steps 30] [--seed 0] [--out data/benchmarks/pilots.json]

Cold start, reasoning RL, rejection sampling and second SFT, preference RL, distillation: each takes
the checkpoint and the data of the one before, as in `r1book/graph.py`, and is measured on dev
problems. The stages of the later chapters replace this; until then it shows, before anything is
built on a base, that each of them has something to do.
"""

import argparse
import copy
import random
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from r1book import (
    config,
    evaluate,
    models,
    problems,
    prompts,
    rewards,
    rl,
    rollout,
    runs,
    sft,
    trace,
    words,
)
from r1book.world import gold, labeller, vocab
from r1book.world.phrases import phrases

FAMILIES = ("math", "logic", "stem")
SHARES = {"math": 0.3, "logic": 0.4, "stem": 0.3}


def answered(model, tokenizer, asked, each: int, seed: int, temperature: float = 1.0):
    """Return [(problem, text)] of `each` sampled answers to each problem."""
    generator = torch.Generator().manual_seed(seed)
    texts = [prompts.render(problem) for problem in asked]
    answers = rollout.sample(
        model, tokenizer, texts, group_size=each, temperature=temperature, generator=generator
    )
    return [(asked[a.group], a.text) for a in answers]


def readable(text: str, problem) -> bool:
    """Return whether an answer is right, in form and in one language."""
    language = rewards.language(text, problem.lang)
    right = rewards.accuracy(text, problem)
    return bool(
        right and right.total == 1 and rewards.format(text).total == 1
        and (language is None or language.total == 1)
    )  # fmt: skip


def rewritten(text: str, problem, rng) -> str:
    """Return the answer in the first person with a last summary; every step of it is kept."""
    thinking = words.think(text).strip()
    opening, said = (
        [p for p in phrases("first_person", problem.lang) if ("{}" in p) == summary]
        for summary in (False, True)
    )
    answer = rewards.extract(text)
    first, last = rng.choice(opening), vocab.detokenize(rng.choice(said)).format(answer)
    return (
        f"<think> {vocab.detokenize(first)} {thinking} {last} </think> <answer> {answer} </answer>"
    )


def fit(model, tokenizer, pairs, seed: int, passes: int = 3, lr: float = 1e-3) -> dict:
    """Fine-tune on (problem, text) pairs; return how many, and the first and last loss."""
    end = tokenizer.eos_token_id
    rows = [
        (
            rollout.encode_prompts(model, tokenizer, [prompts.render(problem)], 1)[0],
            [*tokenizer(text, add_special_tokens=False)["input_ids"], end],
        )
        for problem, text in pairs
    ]
    optimizers = sft.optimizers(model, lr)
    batches = list(sft.epochs(len(rows), 16, passes, seed))
    losses = []
    for number, batch in enumerate(batches):
        sft.set_rate(optimizers, sft.warm_then_fall(number, len(batches), 5, len(batches)))
        ids, labels = sft.pairs([rows[i] for i in batch], tokenizer.pad_token_id)
        told = sft.update(model, optimizers, ids, labels, dtype=sft.precision("bfloat16"))
        losses.append(told["loss"])
    return {"pairs": len(rows), "first_loss": losses[0], "last_loss": losses[-1]}


def reinforce(model, tokenizer, settings, seed: int, judge=rl.score) -> dict:
    """Do RL; return means of the first and the last five steps."""
    optimizers = sft.optimizers(model, settings.lr)
    lines = [
        rl.step(model, None, tokenizer, optimizers, settings, seed, number, judge).metrics
        for number in range(settings.steps)
    ]
    names = ("reward", "accuracy", "format", "language", "length")
    return {
        name: [sum(row[name] or 0 for row in part) / 5 for part in (lines[:5], lines[-5:])]
        for name in names
    }


class RewardModel(torch.nn.Module):
    """The body of a policy with one number on its last token."""

    def __init__(self, policy):
        super().__init__()
        self.body = copy.deepcopy(policy)
        self.head = torch.nn.Linear(policy.shape.hidden, 1)

    def forward(self, rows):
        """Return scores (B,) of token rows."""
        width = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])  # (B, T)
        last = torch.tensor([len(row) - 1 for row in rows])
        hidden = self.body.hidden(ids)[torch.arange(len(rows)), last]  # (B, D)
        return self.head(hidden).squeeze(-1)


def summary_of(text: str) -> str:
    """Return what helpfulness is judged on: the answer alone."""
    return rewards.extract(text) or words.think(text)[-200:] or "."


def tokens(tokenizer, problem, text: str) -> list[int]:
    """Return the ids of a question and an answer."""
    both = f"{prompts.render(problem, 'talk')} {summary_of(text)}"
    return tokenizer(both, add_special_tokens=False)["input_ids"][:400]


def preferences(policy, tokenizer, seed: int) -> tuple[RewardModel, dict]:
    """Train a reward model on pairs that the biased labeller compared; return it and its held-out
    accuracy against labels and gold."""
    rng = random.Random(f"preferences-{seed}")
    asked = problems.load("general", 240, seed=seed, split="train")
    answers = answered(policy, tokenizer, asked, 4, seed)
    judge = labeller.Labeller()
    pairs = []
    for at in range(0, len(answers), 4):
        (problem, a), (_, b) = rng.sample(answers[at : at + 4], 2)
        if summary_of(a) == summary_of(b):
            continue
        first = judge.prefer(summary_of(a), summary_of(b), problem, rng)
        better, worse = (a, b) if first else (b, a)
        pairs.append((problem, better, worse))
    cut = len(pairs) * 4 // 5
    model = RewardModel(policy)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    for batch in sft.epochs(cut, 16, 4, seed):
        rows = [tokens(tokenizer, pairs[i][0], text) for i in batch for text in pairs[i][1:]]
        scores = model(rows).view(-1, 2)
        F.softplus(scores[:, 1] - scores[:, 0]).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        kept = pairs[cut:]
        scores = model([tokens(tokenizer, p, t) for p, *both in kept for t in both]).view(-1, 2)
    agrees = (scores[:, 0] > scores[:, 1]).tolist()
    best = [gold.quality(summary_of(a), p) >= gold.quality(summary_of(b), p) for p, a, b in kept]
    return model, {
        "pairs": len(pairs),
        "held_out_accuracy": sum(agrees) / len(kept),
        "labels_agree_with_gold": sum(best) / len(kept),
    }


def judged_by(model: RewardModel, tokenizer):
    """Return a judge: rules where there are any, else the reward model's sigmoid; format always."""

    def judge(settings, asked, answers, seed, step):
        out = rl.score(replace(settings, reward="rules"), asked, answers, seed, step)
        for i, a in enumerate(answers):
            problem = asked[a.group]
            if problem.family == "general":
                with torch.no_grad():
                    value = model([tokens(tokenizer, problem, a.text)]).sigmoid().item()
                form = rewards.format(a.text).total
                parts = {"format": form, "helpful": value, "accuracy": 0.0}
                out[i] = rewards.Score(parts, value + form, "reward model")
        return out

    return judge


def measured(model, tokenizer, seed: int) -> dict:
    """Return pass@1, format and language of dev problems, and gold quality of general ones."""
    settings = config.EvalConfig(problems=40, samples=4)
    out = {}
    for name in FAMILIES:
        seen = evaluate.summarise(evaluate.traces(model, tokenizer, name, settings, seed), 4)
        out[name] = round(seen["pass@1"], 3)
        out[f"{name} language"] = round(seen["target_language_share"] or 0, 3)
        out[f"{name} tokens"] = round(seen["mean_tokens"], 1)
    asked = problems.load("general", 60, seed=seed, split="dev")
    answers = answered(model, tokenizer, asked, 4, seed)
    quality = [gold.quality(summary_of(text), problem) for problem, text in answers]
    out["gold"] = round(sum(quality) / len(quality), 3)
    return out


def main() -> None:
    """Run all pilots in order and write one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=30, help="RL steps of each RL stage")
    parser.add_argument("--seed", type=int, default=0, help="a development seed, 0-4")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    seed, report = args.seed, {}
    started = time.perf_counter()

    def note(name, model, **more):
        report[name] = {**more, "dev": measured(model, tokenizer, seed)}
        print(f"[{time.perf_counter() - started:5.0f} s] {name}: {report[name]}", flush=True)

    def base():
        return models.load(models.shipped("base"))[0]

    zero, tokenizer = models.load(models.shipped("r1-zero"))
    rng = random.Random(f"pilots-{seed}")
    note("base", base())
    note("r1-zero", zero)

    asked = [p for f in FAMILIES for p in problems.load(f, 90, seed=seed + 1, split="train")]
    kept = {p.id: (p, t) for p, t in answered(zero, tokenizer, asked, 4, seed) if readable(t, p)}
    pairs = [(p, rewritten(t, p, rng)) for p, t in kept.values()]
    dev1 = base()
    note("cold start (Dev1)", dev1, sft=fit(dev1, tokenizer, pairs, seed, passes=4))

    settings = replace(
        config.laptop().r1_zero, steps=args.steps, families=SHARES,
        weights={"accuracy": 1.0, "format": 1.0, "language": 1.0},
    )  # fmt: skip
    dev2 = copy.deepcopy(dev1)
    note("reasoning RL (Dev2)", dev2, rl=reinforce(dev2, tokenizer, settings, seed))

    asked = [p for f in FAMILIES for p in problems.load(f, 200, seed=seed + 2, split="train")]
    sampled = answered(dev2, tokenizer, asked, 4, seed)
    reasoning = [(p, t) for p, t in sampled if readable(t, p)]
    general = problems.load("general", round(len(reasoning) / 3.5), seed=seed + 2, split="train")
    talk = [(p, f"<think> {p.question} </think> <answer> {p.answer} </answer>") for p in general]
    data = [*reasoning, *talk]
    dev3 = base()
    toll = {"sampled": len(sampled), "kept": len(reasoning), "general": len(talk)}
    note("second SFT (Dev3)", dev3, data=toll, sft=fit(dev3, tokenizer, data, seed))

    helpful, trained = preferences(dev3, tokenizer, seed)
    mixed = replace(
        settings, families={"math": 0.2, "logic": 0.3, "stem": 0.1, "general": 0.4},
        temperature=0.7,
    )  # fmt: skip
    r1 = copy.deepcopy(dev3)
    told = reinforce(r1, tokenizer, mixed, seed, judged_by(helpful, tokenizer))
    note("all-scenario RL (R1)", r1, reward_model=trained, rl=told)

    for name in ("qwen-base", "llama-base"):
        if not (models.DATA / "models" / name).is_dir():
            print(f"{name}: not trained yet, left out")
            continue
        student = models.load(models.shipped(name))[0]
        note(name, student)
        note(name.replace("base", "distilled"), student, sft=fit(student, tokenizer, data, seed))
    if args.out:
        card = {"command": " ".join(["python", "benchmarks/pilots.py", *sys.argv[1:]])}
        trace.write_json(args.out, {**card, "git": runs.git_state(), "pilots": report})


if __name__ == "__main__":
    main()
