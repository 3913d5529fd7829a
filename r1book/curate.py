"""How are training sets made of a model's own answers? Sample, judge, filter; or rewrite.

One call is one batch; what it says is decided by (seed, batch), so that a stopped stage goes on.
Leaves out the filters (`filters.py`), what chat does (`actors.py`), and the run folder
(`stages.py`).
"""

import random
from collections import Counter
from dataclasses import dataclass, field

import torch

from r1book import actors, filters, problems, prompts, rewards, rl, rollout, sets
from r1book.config import CurateConfig
from r1book.problems import Problem

REASONING, GENERAL = 626_933, 177_812
"""Rows of the report's second SFT (v2, Table 5): for 3.5 of reasoning there is one general one."""


@dataclass(frozen=True)
class Batch:
    """What came of a batch of prompts."""

    rows: list[sets.Row]
    """Examples that were kept."""
    questions: list[str]
    """Their questions, for decontamination."""
    counts: dict[str, int]
    """Toll of each filter, 'tokens' sampled, 'prompt_tokens' read, and what else was counted."""
    pairs: list[dict] = field(default_factory=list)
    """Of the cold start: {"problem", "trace", "rewritten", "faults"} of each trace that chat was
    given."""


def cold_start(model, tokenizer, chat, config: CurateConfig, seed: int, number: int) -> Batch:
    """Sample R1-Zero, keep what is right and readable, let chat rewrite it, keep what still has its
    steps.

    One trace a prompt is rewritten, the first that passes. Source: v2 B.3.2 (T = 1, exact check,
    filters for repetition and mixed language, rewriting in the question's language, a second
    check).
    """
    asked = rl.questions(config, f"cold-start-{seed}", number)
    seen = sampled(model, tokenizer, asked, config, f"cold-start-{seed}-{number}")
    stopped, chosen = [], {}
    for problem, text, right in seen:
        why = filters.stopped_by(text, problem, config.filters) if right else "wrong"
        stopped.append(why)
        if why is None:
            chosen.setdefault(problem.id, (problem, text))
    items = list(chosen.values())
    done = actors.rewritten(*chat, items, seed)
    rows, questions, pairs = [], [], []
    for (problem, text), (told, wrong) in zip(items, done, strict=True):
        pairs.append(
            {
                "problem": problems.as_dict(problem), "trace": text, "rewritten": told,
                "faults": wrong,
            }
        )  # fmt: skip
        if not wrong:
            rows.append(sets.row(problem, prompts.render(problem), told, "r1-zero, chat"))
            questions.append(problem.question)
    first = Counter(wrong[0] for _, wrong in done if wrong)
    counts = _counts(stopped, seen, config, tokenizer)
    counts |= {"given to chat": len(items)}
    counts |= {f"rewritten: {fault}": first[fault] for fault in FAULTS}
    return Batch(rows, questions, counts, pairs)


FAULTS = ("steps", "answer", "format", "language", "summary")
"""See `rewrite.faults`; a rewritten trace counts under its first."""


def rejection(model, tokenizer, chat, config: CurateConfig, seed: int, number: int) -> Batch:
    """Sample several answers to each prompt, keep the right and readable ones, and add general data
    in the report's proportion.

    Answers of families with exact graders are judged by rules; those of facts and words, which come
    in whole sentences, by chat, given truth and prediction. How often the judge and the rule
    disagree is counted. At most `keep` answers a prompt. Source: v1 p.11; the proportion, v2
    Table 5.
    """
    name = f"rejection-{seed}-{number}"
    asked = rl.questions(config, f"rejection-{seed}", number)
    rng = random.Random(name)
    free = [
        problems.make(
            rng, "general", 2, "train", rng.choice(("en", "zh")),
            f"{name}-free{i}", rng.choice(("fact", "word")),
        )
        for i in range(config.free_form)
    ]  # fmt: skip
    seen = sampled(model, tokenizer, [*asked, *free], config, name)
    judged, disagree = judge(chat, seen, seed)
    stopped, rows, questions, kept = [], [], [], Counter()
    for (problem, text, _), right in zip(seen, judged, strict=True):
        wrong = config.right and not right
        why = "wrong" if wrong else filters.stopped_by(text, problem, config.filters)
        stopped.append(why)
        if why is None and kept[problem.id] < config.keep:
            kept[problem.id] += 1
            rows.append(sets.row(problem, prompts.render(problem), text, "reasoning-rl"))
            questions.append(problem.question)
    wanted = len(rows) * GENERAL / REASONING
    talk = [
        problems.make(
            rng, "general", 1 + i % 5, "train", rng.choice(("en", "zh")), f"{name}-talk{i}"
        )
        for i in range(int(wanted) + (rng.random() < wanted % 1))
    ]
    told = actors.written(*chat, talk, seed)
    good = [rewards.accuracy(text, problem) for text, problem in zip(told, talk, strict=True)]
    fine = [score is None or score.total == 1 for score in good]
    for problem, text, ok in zip(talk, told, fine, strict=True):
        if ok:
            rows.append(sets.row(problem, prompts.render(problem), text, "chat"))
            questions.append(problem.question)
    counts = _counts(stopped, seen, config, tokenizer)
    counts |= {
        "free-form answers": sum(p.family == "general" for p, _, _ in seen),
        "judge against rule": disagree, "general written": len(told),
        "general wrong": len(told) - sum(fine),
    }  # fmt: skip
    return Batch(rows, questions, counts)


def sampled(
    model, tokenizer, asked: list[Problem], config: CurateConfig, name: str
) -> list[tuple[Problem, str, bool]]:
    """Return (problem, answer, right by the rules) of `samples` answers to each problem."""
    generator = torch.Generator(model.cos.device).manual_seed(random.Random(name).getrandbits(63))
    answers = rollout.sample(
        model, tokenizer, [prompts.render(problem) for problem in asked],
        group_size=config.samples, max_new_tokens=config.max_new_tokens,
        temperature=config.temperature, generator=generator,
    )  # fmt: skip
    pairs = [(a.text, asked[a.group]) for a in answers]
    verdicts = rewards.accuracies(pairs)
    return [
        (problem, text, score is not None and score.total == 1)
        for (text, problem), score in zip(pairs, verdicts, strict=True)
    ]


def judge(chat, seen: list[tuple[Problem, str, bool]], seed: int) -> tuple[list[bool], int]:
    """Return whether each answer is right, general ones by chat's word, and how many of those the
    rule sees otherwise."""
    out = [right for _, _, right in seen]
    free = [i for i, (problem, _, _) in enumerate(seen) if problem.family == "general"]
    said = [rewards.extract(seen[i][1]) for i in free]
    known = _shown(chat[1], said)
    items = [
        (seen[i][0].meta["answer"], text, seen[i][0].lang)
        for i, text, ok in zip(free, said, known, strict=True)
        if ok
    ]
    verdicts = iter(actors.judged(*chat, items, seed))
    disagree = 0
    for i, ok in zip(free, known, strict=True):
        same = bool(next(verdicts)) if ok else False
        disagree += same != out[i]
        out[i] = same
    return out, disagree


def _shown(tokenizer, said: list[str | None]) -> list[bool]:
    """Return which predictions can be shown to a judge: not empty, short, of known words."""
    out = []
    for text in said:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        out.append(0 < len(ids) <= 60 and tokenizer.unk_token_id not in ids)
    return out


def _counts(stopped, seen, config: CurateConfig, tokenizer) -> dict[str, int]:
    texts = [text for _, text, _ in seen]
    tokens = sum(map(len, tokenizer(texts, add_special_tokens=False)["input_ids"])) + len(texts)
    asked = [prompts.render(problem) for problem in {p.id: p for p, _, _ in seen}.values()]
    read = sum(map(len, tokenizer(asked, add_special_tokens=False)["input_ids"])) + len(asked)
    return {**filters.toll(stopped, config.filters), "tokens": tokens, "prompt_tokens": read}
