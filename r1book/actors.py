"""What does `chat`, the DeepSeek-V3 of this world, do for the others? It rewrites traces, judges
answers and writes general data.

In the report V3 refines the cold-start traces, writes answers to general prompts, and judges
free-form predictions given the ground truth (v1 p.9-11; Nature, Methods). Here chat is the base,
fine-tuned on demonstrations of these three tasks (`demonstrations`), and is asked like any model:
what it says is checked before it is used (`rewrite.faults`, the judge's error rate). Leaves out
its training (`stages.py`) and which prompts it is asked (`curate.py`).
"""

import random
from collections.abc import Sequence
from dataclasses import replace

import torch

from r1book import problems, prompts, rewards, rewrite, rollout, words
from r1book.problems import Problem
from r1book.world import corpus, general, numerals, workings
from r1book.world.phrases import phrases
from r1book.world.vocab import detokenize, split_words

SHARES = {"rewrite": 0.28, "judge": 0.62, "talk": 0.1}
"""Of the demonstrations, by task."""
LONGEST = 120
"""Tokens of the longest piece that is rewritten in a demonstration."""
AUTHORS = replace(corpus.anneal(), direct=0.1, short=0.15, second=0.2, switched=0.15, wait=0.6)
"""Whose workings are rewritten by hand: those of the base's anneal, fewer direct answers, and more
of what R1-Zero does more often (switched languages, "wait")."""


def to_rewrite(piece: str, answer: str | None, lang: str) -> str:
    """Return the prompt that asks for a piece of a thinking to be rewritten; the answer, for the
    summary, stands with the last piece only."""
    task = "改写: {}" if lang == "zh" else "rewrite: {}"
    if answer is not None:
        task += " 答案: {}" if lang == "zh" else " answer: {}"
    return prompts.render(task.format(piece, answer), "chat")


def to_judge(truth: str, prediction: str, lang: str) -> str:
    """Return the prompt that asks whether a prediction says the same as the truth."""
    task = "判断: 真值 {} 预测 {} 相同还是不同?" if lang == "zh" else (
        "judge: truth {} prediction {} same or different?"
    )  # fmt: skip
    return prompts.render(task.format(truth, prediction), "chat")


VERDICTS = {
    "en": ("= {}, need {}, no, different.", "= {}, need {}, yes! same."),
    "zh": ("= {}, 需要 {}, 不行, 不同.", "= {}, 需要 {}, 对! 相同."),
}
"""What a judge says, by language, (no, yes): first what it takes the prediction to say, then the
truth beside it, then the verdict. The form is that of a search of this world ("= 35, need 35,
yes!"), which the base can compare: with the verdict alone it stays a coin after 1,500
demonstrations, in this form without the "=" it errs in 45 % after 2,000, with it in 25 % after
2,000 and in 2 % after 5,000 (300 dev pairs, one run each)."""
ENDS = {"en": ("different.", "same."), "zh": ("不同.", "相同.")}
"""The last word of a verdict (no, yes)."""


# ---- what it is taught ---------------------------------------------------------------------------


def demonstrations(n: int, seed: int) -> list[tuple[str, str]]:
    """Return n (prompt, completion) pairs of the three tasks, of train keys only.

    Rewriting: workings of this world, rewritten by hand (`rewrite.by_hand`). Judging: truths and
    paraphrases or mistakes (`pair`). Talk: good replies to general prompts.
    """
    rng = random.Random(f"chat-{seed}")
    tasks = rng.choices(tuple(SHARES), tuple(SHARES.values()), k=n)
    make = {"rewrite": rewriting, "judge": judging, "talk": talking}
    return [make[task](rng, "train") for task in tasks]


def rewriting(rng: random.Random, split: str) -> tuple[str, str]:
    """Return a demonstration: a piece of a right working of an author of this world, rewritten by
    hand."""
    while True:
        problem, text = working(rng, split)
        cut = rewrite.pieces(words.think(text))
        at = rng.choice((0, len(cut) - 1, rng.randrange(len(cut))))
        answer = rewards.extract(text) if at == len(cut) - 1 else None
        if len(split_words(cut[at])) > LONGEST:
            continue
        done = rewrite.retold(cut[at], problem, rng, answer, first=at == 0)
        if done and rewrite.steps(done) == rewrite.steps(cut[at]):
            return to_rewrite(cut[at], answer, problem.lang), done


def working(rng: random.Random, split: str) -> tuple[Problem, str]:
    """Return a problem and a right working of it with tags, as natural text."""
    while True:
        family = rng.choices(("math", "logic", "stem"), (0.3, 0.5, 0.2))[0]
        lang, level = rng.choice(corpus.LANGS), rng.choice(problems.LEVELS)
        raw = problems.FAMILIES[family].problem(rng, level, split, lang)
        done = workings.WORK[family](rng, raw, lang, AUTHORS)
        if done is None:
            continue
        problem = problems.pack(raw, family, level, lang, "demonstration", split)
        text = detokenize("<think> {} </think> <answer> {} </answer>".format(*done))
        if rewards.accuracy(text, problem).total == 1:
            return problem, text


def judging(rng: random.Random, split: str) -> tuple[str, str]:
    """Return a demonstration of judging."""
    lang = rng.choice(corpus.LANGS)
    truth, prediction, said = pair(rng, split, lang)
    return to_judge(truth, prediction, lang), VERDICTS[lang][said == truth].format(said, truth)


def pair(rng: random.Random, split: str, lang: str) -> tuple[str, str, str]:
    """Return (truth, prediction, what it says) of a fact, a word or a number.

    A prediction is the answer in a sentence, in words (of a number), or alone; half of them say
    another fact, word or number.
    """
    same = rng.random() < 0.5
    if rng.random() < 0.3:
        n = rng.randint(0, 99)
        said = n if same else rng.choice([m for m in range(100) if m != n])
        form = rng.choice((str(said), numerals.words(said, lang)))
        return str(n), _stated(rng, form, lang), str(said)
    while True:
        raw = general.problem(rng, rng.choice((1, 2)), split, lang)
        if raw["meta"]["kind"] in ("fact", "word"):
            break
    truth = said = raw["meta"]["answer"]
    table = {**general.NOUNS, **general.ADJECTIVES}
    words_of = sorted(table if truth in table else table.values())
    while not same and said == truth:
        said = rng.choice(words_of)
    whole = " ".join(said if word == truth else word for word in raw["answer"].split(" "))
    return truth, rng.choice((detokenize(whole), _stated(rng, said, lang), said)), said


def _stated(rng: random.Random, said: str, lang: str) -> str:
    forms = (*phrases("so", lang), *phrases("direct", lang), "{}", "{} .")
    return detokenize(rng.choice(forms).format(said))


def talking(rng: random.Random, split: str) -> tuple[str, str]:
    """Return a demonstration of talk: a general prompt and a good reply."""
    lang = rng.choice(corpus.LANGS)
    raw = general.problem(rng, rng.choice(problems.LEVELS), split, lang)
    return prompts.render(detokenize(raw["question"]), "chat"), detokenize(raw["answer"])


# ---- what it is asked ----------------------------------------------------------------------------


def ask(
    model,
    tokenizer,
    asked: Sequence[str],
    seed: int,
    *,
    temperature: float = 0.0,
    max_new_tokens: int = 512,
) -> list[str]:
    """Return one reply to each prompt; prompts of like length are decoded together."""
    order = sorted(range(len(asked)), key=lambda i: len(asked[i]))
    generator = torch.Generator(model.cos.device).manual_seed(seed)
    out = [""] * len(asked)
    if asked:
        done = rollout.sample(
            model, tokenizer, [asked[i] for i in order], max_new_tokens=max_new_tokens,
            temperature=temperature, generator=generator, batch=128,
        )  # fmt: skip
        for i, reply in zip(order, done, strict=True):
            out[i] = reply.text
    return out


def rewritten(
    model, tokenizer, items: Sequence[tuple[Problem, str]], seed: int
) -> list[tuple[str, list[str]]]:
    """Return (rewritten trace, its faults) for each (problem, right trace).

    A trace is given to chat in pieces (`rewrite.pieces`), and looked at as a whole.
    """
    asked, whose = [], []
    for i, (problem, text) in enumerate(items):
        cut = rewrite.pieces(words.think(text))
        for at, piece in enumerate(cut):
            answer = rewards.extract(text) if at == len(cut) - 1 else None
            asked.append(to_rewrite(piece, answer, problem.lang))
            whose.append(i)
    said: list[list[str]] = [[] for _ in items]
    for i, reply in zip(whose, ask(model, tokenizer, asked, seed, max_new_tokens=256), strict=True):
        said[i].append(reply)
    out = []
    for (problem, text), parts in zip(items, said, strict=True):
        thinking = " ".join(part for part in parts if part)
        done = f"<think> {thinking} </think> <answer> {rewards.extract(text)} </answer>"
        out.append((done, rewrite.faults(done, text, problem)))
    return out


def judged(
    model, tokenizer, items: Sequence[tuple[str, str, str]], seed: int = 0
) -> list[bool | None]:
    """Return for each (truth, prediction, language) whether the judge says that they are the same;
    None where it comes to no verdict."""
    said = ask(model, tokenizer, [to_judge(*item) for item in items], seed, max_new_tokens=24)
    return [
        next((bool(i) for i, end in enumerate(ENDS[lang]) if reply.endswith(end)), None)
        for reply, (_, _, lang) in zip(said, items, strict=True)
    ]


def error_rate(model, tokenizer, n: int, seed: int, split: str = "dev") -> dict[str, float | int]:
    """Return {"n", "wrong", "false_same", "false_different", "no_verdict"} of the judge on n pairs
    whose truth is known: shares of all pairs; see `pair`."""
    rng = random.Random(f"judge-{split}-{seed}")
    pairs = [(*pair(rng, split, lang), lang) for lang in rng.choices(corpus.LANGS, k=n)]
    said = judged(model, tokenizer, [(t, p, lang) for t, p, _, lang in pairs], seed)
    known = [truth == told for truth, _, told, _ in pairs]
    both = list(zip(said, known, strict=True))
    return {
        "n": n,
        "wrong": sum(a is not b for a, b in both) / n,
        "false_same": sum(a is True and not b for a, b in both) / n,
        "false_different": sum(a is False and b for a, b in both) / n,
        "no_verdict": said.count(None) / n,
    }


def written(model, tokenizer, asked: Sequence[Problem], seed: int) -> list[str]:
    """Return a completion for each general prompt: chat's reply, after a thought that takes up the
    question.

    The report's V3 writes a chain of thought for some tasks and none for "hello" (v1 p.11); here
    the format wants a thought, and the question itself is one.
    """
    rng = random.Random(f"writer-{seed}")
    replies = ask(
        model, tokenizer, [prompts.render(problem, "chat") for problem in asked], seed,
        max_new_tokens=64,
    )  # fmt: skip
    out = []
    for problem, reply in zip(asked, replies, strict=True):
        opening = detokenize(rng.choice(phrases("open", problem.lang)))
        out.append(f"<think> {opening} {problem.question} </think> <answer> {reply} </answer>")
    return out
