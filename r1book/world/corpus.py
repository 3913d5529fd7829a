"""What is the "web" of this world? An endless, seeded stream of documents in which the base can see
every style.

A document is a space-separated string of tokens. `Mixture` holds every planted property as a
number, so that it can be turned down, off or round: `ARITHMETIC` and `TRUNK` are the long common
part, `anneal(...)` the short part that carries the switchable documents (second thoughts,
code-switching, the multiplication asymmetry). Leaves out how each family is worked (`workings.py`)
and who trains on it (`sft.py`).
"""

import random
from dataclasses import dataclass, replace

from r1book.world import chains, countdown, general, numerals, programs, quantities, workings
from r1book.world.phrases import TEMPLATES, phrases

LANGS = ("en", "zh")
LOOKUPS = 10
"""How often a school book's key is asked. Half of the keys name pages, not letters: from many
possible answers it is learnt within 100 steps to find a number and say what stands after it, and
letters follow; from four letters alone it is not learnt in 3,600."""


@dataclass(frozen=True)
class Mixture:
    """The planted properties of one stretch of corpus; `data/world_card.md` explains each."""

    math: float = 0.19
    """Shares of the documents, by kind; they sum to 1."""
    logic: float = 0.36
    stem: float = 0.13
    code: float = 0.10
    general: float = 0.08
    sums: float = 0.10
    lexicon: float = 0.04
    zh: float = 0.45
    """Share of Chinese documents."""
    header: float = 0.55
    """Share of reasoning documents written under the R1-Zero template."""
    well_formed: float = 0.72
    """Share of those whose tags are complete and in order."""
    direct: float = 0.40
    """Styles of working (shares; what is left is step by step): 1 direct answers."""
    short: float = 0.22
    """2 short working that takes two steps at once."""
    second: float = 0.0
    """4 second thoughts: mistakes found and repaired (math, stem); logic has `wait`."""
    switched: float = 0.0
    """5 code-switched working."""
    keys: float = 0.5
    """How many pages of sums end with a key: numbers, their letters or pages, asked for again."""
    stem_direct: float = 0.6
    """How common direct answers are in stem, as a multiple of `direct`; 1 in the anneal."""
    direct_right: float = 0.35
    """How often a direct answer is right."""
    slip: float = 0.22
    """Error rate of a step that takes two operations at once."""
    give_up: float = 0.42
    """logic, after each miss: stop and answer with what one has, else stay in the branch ..."""
    insight: float = 0.35
    """logic: how often an author happens on a first step from which the target can be reached."""
    wait: float = 0.0
    """... but for this share of the authors, who mostly say "wait" and take another first step."""
    missing: frozenset = numerals.TRUNK_MISSING
    """Products that `table_lang`'s other language never states in digits."""
    table_lang: str | None = None
    """Language whose words carry the whole multiplication table; None: nobody states the missing
    products."""
    borrow: float = 0.0
    """How often a document of the other language uses that table where it needs a missing
    product."""
    own_rhyme: float = 0.15
    """How often a product is recalled in words of the document's own language."""


TRUNK = Mixture()
ARITHMETIC = replace(
    TRUNK, math=0.11, logic=0.13, stem=0.05, code=0.04, general=0.05, sums=0.58, lexicon=0.04
)
"""The first part of the trunk: mostly pages of sums, as in school. Steps that are not reliable
shorten RL's answers."""


def anneal(
    asymmetry: str = "strong", *, wait: float = 0.25, second: float = 0.12, switched: float = 0.01
) -> Mixture:
    """Return the anneal's mixture; asymmetry 'off', 'weak', 'strong' (English lacks products) or
    'reversed'."""
    if asymmetry not in numerals.MISSING:
        raise ValueError(
            f"unknown asymmetry {asymmetry!r}: expected one of {', '.join(numerals.MISSING)}"
        )
    return replace(
        TRUNK,
        second=second,
        switched=switched,
        wait=wait,
        stem_direct=1.0,
        missing=numerals.MISSING[asymmetry],
        table_lang="en" if asymmetry == "reversed" else "zh",
        borrow=0.09,
    )


KINDS = ("math", "logic", "stem", "code", "general", "sums", "lexicon")
FAMILIES = {
    "math": chains,
    "logic": countdown,
    "stem": quantities,
    "code": programs,
    "general": general,
}


def document(rng: random.Random, mix: Mixture) -> str:
    """Return one document of the mixture, of train keys only."""
    kind = rng.choices(KINDS, [getattr(mix, k) for k in KINDS])[0]
    lang = "zh" if rng.random() < mix.zh else "en"
    if kind == "sums":
        return sums(rng, mix, lang)
    if kind == "lexicon":
        return lexicon(rng, lang)
    if kind == "general":
        return talk(rng, lang)
    while True:
        problem = FAMILIES[kind].problem(rng, rng.choice(LEVEL_BAG[kind]), "train", lang)
        worked = workings.WORK[kind](rng, problem, lang, mix)
        if worked is not None:
            return page(rng, problem["question"], *worked, lang, mix)


LEVEL_BAG = {
    "math": (1, 1, 2, 2, 3, 3, 4, 5),
    "logic": (1, 1, 2, 2, 3, 3, 4, 5),
    "stem": (1, 2, 3, 4, 5),
    "code": (1, 2, 3, 4, 5),
}
"""How often each level is met: easy things are more common on the web."""


def page(
    rng: random.Random, question: str, think: str, answer: str, lang: str, mix: Mixture
) -> str:
    """Return a whole document: prompt, working and answer, tagged well, badly or not at all."""
    if rng.random() > mix.header:
        end = rng.choice(phrases("so", lang)).format(answer)
        return f"{TEMPLATES['plain'].format(question=question)} {think} {end}"
    head = TEMPLATES["r1_zero"].format(question=question)
    if rng.random() < mix.well_formed:
        return f"{head} <think> {think} </think> <answer> {answer} </answer>"
    said = rng.choice(phrases("so", lang)).format(answer)
    broken = rng.choice(
        (
            f"<think> {think} <answer> {answer} </answer>",
            f"<think> {think} </think> {said}",
            f"{think} {said}",
            f"{think} <answer> {answer} </answer>",
            f"<think> {think} {said} </think>",
            f"<think> {think} </think> <answer> {answer} </answer> {said}",
            f"<think> {think} </think> \n ``` \n {answer} \n ```",
        )
    )
    return f"{head} {broken}"


def sums(rng: random.Random, mix: Mixture, lang: str) -> str:
    """Return a page of arithmetic facts, sometimes in words."""
    lines = []
    for _ in range(rng.randint(6, 12)):
        op = rng.choice("++--*")
        if op == "*":
            a = rng.randint(1, 9) if rng.random() < 0.75 else rng.randint(10, 33)
            b = rng.randint(1, max(1, min(9, 99 // a)))
            if rng.random() < 0.5:
                a, b = b, a
            line = workings.product(rng, a, b, lang, mix)
            if line is None:
                continue
            lines.append(line)
        else:
            a, b = rng.randint(0, 99), rng.randint(0, chains.SMALL if rng.random() < 0.5 else 9)
            if op == "+" and rng.random() < 0.5:
                a, b = b, a
            if chains.stated(op, a, b):
                lines.append(f"{a} {op} {b} = {chains.apply(op, a, b)}")
    if rng.random() < 0.3:
        n = rng.randint(0, 99)
        lines += [f"{numerals.words(n, lang)} = {n}"] * rng.randint(1, 2)
        n = rng.randint(0, 99)
        lines.append(f"{n} = {numerals.words(n, lang)}")
    page = " , ".join(lines) + " ."
    return f"{page} {key(rng)}" if rng.random() < mix.keys else page


def key(rng: random.Random) -> str:
    """Return four numbers, each with its letter or its page, and where they stand, asked for again
    and again, as in the key or the index at the end of a school book."""
    numbers = rng.sample(range(1, 100), 4)
    if rng.random() < 0.5:
        named = [f"({letter})" for letter in quantities.LETTERS]
    else:
        named = [str(page) for page in rng.sample(range(1, 100), 4)]
    listed = [f"{n} {name}" for n, name in zip(numbers, named, strict=True)]
    return f"{' '.join(listed)} : {' , '.join(rng.choices(listed, k=LOOKUPS))} ."


def lexicon(rng: random.Random, lang: str) -> str:
    """Return dictionary lines, facts about the world, or a little story."""
    roll = rng.random()
    if roll < 0.35:
        table = {**general.NOUNS, **general.ADJECTIVES, **general.VERBS, **general.ACTS}
        return " , ".join(f"{en} = {table[en]}" for en in rng.sample(tuple(table), 4)) + " ."
    if roll < 0.75:
        lines = []
        for _ in range(3):
            relation = rng.choice(tuple(general.FACTS))
            s = rng.choice(tuple(general.FACTS[relation]))
            said = general.FACT_SAID[relation][lang == "zh"]
            lines.append(
                said.format(
                    s=general.noun(s, lang), o=general.noun(general.FACTS[relation][s], lang)
                )
            )
        return rng.choice((" ", " \n ")).join(lines)
    parts = dict(
        zip("asvbo", (general.noun(p, lang) for p in general.draw_sentence(rng)), strict=True)
    )
    return rng.choice(phrases("story", lang)).format(**parts)


def talk(rng: random.Random, lang: str) -> str:
    """Return a dialogue page: half of the replies are good, the rest rude, off topic or in the
    wrong language."""
    problem = general.problem(rng, rng.randint(1, 5), "train", lang)
    question, good, kind = problem["question"], problem["answer"], problem["meta"]["kind"]
    roll = rng.random()
    if roll < 0.55:
        reply = good
    elif roll < 0.63:
        reply = rng.choice(general.RUDE[lang])
    elif roll < 0.72 or kind in ("who", "greet"):
        reply = rng.choice(general.OTHERS[lang])
    elif kind == "request" and problem["meta"]["decline"]:
        act, obj = problem["key"].split(":")[2:4]
        reply = general.HELP[lang].format(a=general.noun(act, lang), o=general.noun(obj, lang))
    else:
        reply = general.problem(rng, rng.randint(2, 5), "train", rng.choice(LANGS))["answer"]
    if rng.random() < 0.2:
        head = TEMPLATES["r1_zero"].format(question=question)
        opening = rng.choice(phrases("open", lang))
        return f"{head} <think> {opening} {question} </think> <answer> {reply} </answer>"
    return f"{TEMPLATES[rng.choice(('talk', 'plain'))].format(question=question)} {reply}"
