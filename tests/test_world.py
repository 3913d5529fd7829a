"""Does the corpus hold what its mixture says: no foreign keys, true facts, the planted properties?

Every document is read back by `reference_world`; nothing of the generators is trusted.
"""

import random
import re
from collections import Counter
from dataclasses import replace
from functools import lru_cache

import pytest
import reference_world as ref

from r1book.world import chains, corpus, countdown, numerals, workings
from r1book.world.splits import split_of
from r1book.world.vocab import VOCAB, detokenize

ASYMMETRIES = ("off", "weak", "strong", "reversed")
MIXES = {
    "trunk": corpus.TRUNK,
    "arithmetic": corpus.ARITHMETIC,
    **{name: corpus.anneal(name) for name in ASYMMETRIES},
}
HAN = re.compile("[\u4e00-\u9fff]")
PRODUCTS = {(a, b) for a in range(5, 10) for b in range(a, 10)} | {(4, 7), (4, 8), (4, 9), (3, 9)}
"""The 19 products that 'strong' takes away, by hand."""
MISSES = re.compile(r", (?:no|too small|too large|不行|太 小|太 大) \.")
TEMPLATED = re.compile(r"<think> .+ </think> <answer> .+ </answer>", re.DOTALL)


@lru_cache(maxsize=16)
def documents(name: str, n: int = 900, **shares: float) -> tuple[str, ...]:
    rng = random.Random(f"corpus of {name}")
    return tuple(corpus.document(rng, MIXES[name]) for _ in range(n))


def only(kind: str, mix: corpus.Mixture, n: int, seed: int = 1) -> list[str]:
    """Documents of one kind alone."""
    mix = replace(mix, **{k: float(k == kind) for k in corpus.KINDS})
    rng = random.Random(seed)
    return [corpus.document(rng, mix) for _ in range(n)]


def asked(name: str) -> list[tuple[str, str, str, str]]:
    """(kind, question, what follows, document) of the documents with a question."""
    pairs = [(ref.cut(document), document) for document in documents(name)]
    return [(ref.kind_of(cut[0]), *cut, document) for cut, document in pairs if cut]


# ---- no key of another split --------------------------------------------------------------------


@pytest.mark.parametrize("name", MIXES)
def test_every_question_of_the_corpus_is_a_train_key(name):
    seen = Counter()
    for kind, question, _, document in asked(name):
        natural = detokenize(question)
        seen[kind] += 1
        if kind == "math":
            key = ref.chain_key(ref.chain_of_question(question))
        elif kind == "logic":
            numbers, target = ref.hand_of_question(question)
            key = f"logic:{','.join(map(str, sorted(numbers)))}={target}"
        elif kind == "stem":
            key = ref.stem_of_question(natural)[3]
        elif kind == "code":
            program = ref.program_of_question(natural)
            if program is None:
                shown = ref.examples_of_question(natural)
                fitting = [b for b in BEHAVIOURS if all(b[x] == y for x, y in shown)]
                keys = ["code:" + ",".join(map(str, b)) for b in fitting]
                assert "train" in map(split_of, keys), document
                continue
            key = "code:" + ",".join(map(str, program[1]))
        else:
            continue
        assert split_of(key) == "train", document
    assert min(seen[kind] for kind in ("math", "logic", "stem", "code", "general")) > 10


BEHAVIOURS = ref.all_behaviours()


@pytest.mark.parametrize("name", MIXES)
def test_sentences_and_requests_of_the_corpus_are_train_keys(name):
    from r1book.world import general

    names = {**general.NOUNS, **general.ADJECTIVES, **general.VERBS, **general.ACTS}
    english = {chinese: word for word, chinese in names.items()}
    seen = 0
    for kind, question, _, document in asked(name):
        if kind != "general":
            continue
        words = [english.get(word, word) for word in question.split()]
        known = [word for word in words if word in names]
        if question.startswith(("say in chinese", "翻译 成 英语")):
            key = "general:sentence:" + ",".join(known)
        elif question.startswith(("how do i", "我 怎么")):
            key = "general:request:" + ":".join(known)
        else:
            continue
        seen += 1
        assert split_of(key) == "train", document
    assert seen > 5


@pytest.mark.parametrize("name", MIXES)
def test_chains_met_on_the_way_are_train_keys(name):
    """Chains of two and more operations inside 'E = E1 = ...', as long as no slip was made."""
    met = 0
    for kind, question, rest, document in asked(name):
        if kind != "math":
            continue
        right = ref.value(ref.chain_of_question(question))
        for part in re.split(r"[=,:.<>]|\( [^()0-9]+ \)", rest):
            found = ref.CHAIN.search(part.replace(")", ") "))
            if not found:
                continue
            try:
                tree = ref.parse(found.group())
            except ValueError:
                continue
            if ref.count(tree) >= 2 and ref.value(tree) == right:
                met += 1
                assert split_of(ref.chain_key(tree)) == "train", document
    assert met > 30


# ---- what is said is true -----------------------------------------------------------------------


@pytest.mark.parametrize("name", MIXES)
def test_facts_of_sums_and_countdown_pages_are_true(name):
    facts, rhymes = 0, 0
    pages = [*only("sums", MIXES[name], 150), *only("logic", MIXES[name], 200)]
    for document in pages:
        found = ref.stated(document)
        in_words = re.findall(
            r"(?:^|, )([^\d,=]+) = (\d+)(?= [,.])|(?:^|, )(\d+) = ([^\d,=.]+?)(?= [,.])", document
        )
        for said, n, m, told in in_words:
            assert ref.number_of_words(said or told) == int(n or m), document
        assert document.count(" = ") == len(found) + len(in_words), document
        for a, op, b, said, result in found:
            facts += 1
            assert ref.SIGNS[op](a, b) == result and ref.known(op, a, b), document
            assert 0 <= result <= 99
            if said:
                rhymes += 1
                assert ref.rhyme_numbers(said) == (min(a, b), max(a, b), a * b), document
    assert facts > 1500
    assert rhymes > 10


@pytest.mark.parametrize("name", MIXES)
def test_step_by_step_chains_keep_their_value(name):
    """Without direct answers, leaps and second thoughts, all sides of every equality are equal."""
    mix = replace(MIXES[name], direct=0, short=0, second=0, switched=0)
    sides = 0
    for document in only("math", mix, 120):
        question, rest = ref.cut(document)
        right = ref.value(ref.chain_of_question(question))
        working = re.sub(r"\( [^()0-9]+ \) ", "", rest)
        for equality in re.findall(r"[0-9(][0-9()+\-*= ]*= [0-9]+", working):
            steps = [ref.parse(side) for side in equality.split("=")]
            assert {ref.value(side) for side in steps} == {right}, document
            assert [ref.count(side) for side in steps] == list(range(len(steps) - 1, -1, -1))
            sides += len(steps)
    assert sides > 300


def test_a_countdown_page_that_says_yes_is_right():
    right = wrong = 0
    for document in only("logic", MIXES["off"], 500):
        question, rest = ref.cut(document)
        found = re.search(r"</think> <answer> (.+) </answer>$", rest)
        if not found:
            continue
        numbers, target = ref.hand_of_question(question)
        tree = ref.parse(found[1])
        assert sorted(ref.leaves(tree)) == sorted(numbers), document
        if re.search(r"(yes !|对 !) </think>", rest):
            right += 1
            assert ref.value(tree) == target, document
        else:
            wrong += ref.value(tree) != target
    assert right > 12
    assert wrong > 60


def test_direct_answers_are_right_as_often_as_the_mixture_says():
    mix = replace(corpus.TRUNK, direct=1, short=0, header=1, well_formed=1)
    right = 0
    for document in only("math", mix, 600):
        question, rest = ref.cut(document)
        answer = re.search(r"<answer> ([0-9]+) </answer>", rest)
        right += int(answer[1]) == ref.value(ref.chain_of_question(question))
    assert abs(right / 600 - 0.35) < 0.05


# ---- planted properties -------------------------------------------------------------------------


def products_of(name: str) -> list[tuple[str, str, str]]:
    """(language of the page, kind, recall or '') of each stated product among the 19."""
    out = []
    for document in documents(name):
        cut = ref.cut(document)
        kind = ref.kind_of(cut[0]) if cut else "sums"
        lang = "zh" if HAN.search(cut[0] if cut else document) else "en"
        for a, op, b, said, _ in ref.stated(document):
            if op == "*" and (min(a, b), max(a, b)) in PRODUCTS:
                out.append((lang, kind, said))
    return out


@pytest.mark.parametrize(("name", "table"), [("strong", "zh"), ("reversed", "en")])
def test_missing_products_are_said_in_words_of_one_language_only(name, table):
    found = [item for item in products_of(name) if item[1] in ("sums", "logic", "stem")]
    assert len(found) > 30
    assert all(said for _, _, said in found), "in digits alone"
    assert {bool(HAN.search(said)) for _, _, said in found} == {table == "zh"}
    own = sum(lang == table for lang, kind, _ in found if kind != "sums")
    borrowed = sum(lang != table for lang, kind, _ in found if kind != "sums")
    assert own > borrowed > 0


@pytest.mark.parametrize(("name", "table"), [("strong", "zh"), ("reversed", "en")])
def test_the_other_language_borrows_the_table_at_the_stated_rate(name, table):
    rng, step = random.Random(1), ("*", 8, 7, 56)
    line = {
        "zh": "8 * 7 ( 七 八 五 十 六 ) = 56",
        "en": "8 * 7 ( seven times eight is fifty six ) = 56",
    }[table]
    for lang in ("en", "zh"):
        said = Counter(workings.fact(rng, step, lang, MIXES[name]) for _ in range(4000))
        if lang == table:
            assert said == {line: 4000}
        else:
            assert set(said) == {line, None}
            assert abs(said[line] / 4000 - MIXES[name].borrow) < 0.02
    assert workings.fact(rng, step, "en", corpus.TRUNK) is None
    assert workings.fact(rng, step, "zh", corpus.TRUNK) is None


def test_the_trunk_says_none_of_them_and_off_says_all():
    assert [item for item in products_of("trunk") if item[1] in ("sums", "logic", "stem")] == []
    off = products_of("off")
    for lang in ("en", "zh"):
        assert sum(said == "" for at, _, said in off if at == lang) > 8
    stated = set()
    for document in [*documents("off"), *only("sums", MIXES["off"], 500)]:
        stated |= {(min(a, b), max(a, b)) for a, op, b, _, _ in ref.stated(document) if op == "*"}
    assert stated >= PRODUCTS


def test_sets_of_missing_products():
    assert numerals.MISSING["strong"] == numerals.MISSING["reversed"] == PRODUCTS
    assert len(PRODUCTS) == 19
    assert numerals.MISSING["weak"] < PRODUCTS
    assert len(numerals.MISSING["weak"]) == 9
    assert numerals.MISSING["off"] == frozenset()
    with pytest.raises(ValueError, match="huge"):
        corpus.anneal("huge")


def test_shares_of_kinds_languages_and_form():
    found = [item for name in MIXES if name != "arithmetic" for item in asked(name)]
    total = 5 * 900
    kinds = Counter(kind for kind, *_ in found)
    for kind in ("math", "logic", "stem", "code", "general"):
        assert abs(kinds[kind] / total - getattr(corpus.TRUNK, kind)) < 0.025, kind
    for mix in MIXES.values():
        assert sum(getattr(mix, kind) for kind in corpus.KINDS) == pytest.approx(1)
    reasoned = [item for item in found if item[0] != "general"]
    chinese = sum(bool(HAN.search(question)) for _, question, _, _ in reasoned)
    assert abs(chinese / len(reasoned) - 0.45) < 0.03
    framed = [item for item in reasoned if item[3].startswith(ref.HEADS[0])]
    assert abs(len(framed) / len(reasoned) - 0.55) < 0.03
    formed = sum(bool(TEMPLATED.fullmatch(rest)) for _, _, rest, _ in framed)
    assert abs(formed / len(framed) - 0.72) < 0.03


def share_of_waits(mix: corpus.Mixture) -> tuple[float, float]:
    """On how many countdown pages with a miss comes "wait" (a page has no other use for it), and
    after how many of the misses of these pages."""
    missed = leaving = misses = waits = 0
    for document in only("logic", mix, 2500):
        rest = ref.cut(document)[1]
        times = len(re.findall(r"\bwait\b|等等", rest))
        here = len(MISSES.findall(rest))
        missed += here > 0
        if times:
            leaving, waits, misses = leaving + 1, waits + times, misses + here
    assert missed > 1000
    return leaving / missed, waits / max(1, misses)


def test_share_of_wait_follows_the_dial():
    """One who leaves branches says so with probability 0.68 at a miss, 0.12 he gives up."""
    for share in (0.25, 0.5):
        authors, habit = share_of_waits(corpus.anneal("off", wait=share))
        assert abs(authors - share * 0.68 / (1 - 0.20)) < 0.05
        assert habit > 0.5
    assert share_of_waits(corpus.TRUNK) == (0, 0)


@pytest.mark.parametrize("share", [0.0, 0.04, 0.2])
def test_share_of_code_switching_follows_the_dial(share):
    """A quantity page is switched when its working starts in the other language."""
    switched = 0
    for document in only("stem", corpus.anneal("off", switched=share), 1500):
        question, rest = ref.cut(document)
        working = re.sub(r"\( [^()0-9]+ \) ", "", rest)  # a recall is no switch
        start = re.match(r"(?:<think> )?([^0-9]+)", working)[1]
        switched += bool(HAN.search(start)) != bool(HAN.search(question))
    assert abs(switched / 1500 - share) < 0.025
    assert (switched == 0) == (share == 0)


def test_share_of_second_thoughts_follows_the_dial():
    for share in (0.0, 0.12, 0.3):
        pages = only("stem", corpus.anneal("off", second=share), 1000)
        checked = sum(bool(re.search(r"(check|verify|检查|验证)", ref.cut(p)[1])) for p in pages)
        assert abs(checked / 1000 - share) < 0.03


# ---- form ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MIXES)
def test_documents_hold_only_tokens_of_the_vocabulary(name):
    words = set(VOCAB)
    for document in documents(name):
        assert not set(document.split(" ")) - words, document


def test_same_seed_same_corpus_other_seed_another():
    def stream(seed: int) -> list[str]:
        rng = random.Random(seed)
        return [corpus.document(rng, corpus.anneal("weak")) for _ in range(40)]

    assert stream(1) == stream(1)
    assert not set(stream(1)) & set(stream(2)) - {" ."}


def test_numbers_in_words_by_a_second_reader():
    for n in range(100):
        for lang in ("en", "zh"):
            assert ref.number_of_words(numerals.words(n, lang)) == n
    assert numerals.words(56, "zh") == "五 十 六"
    assert numerals.words(56, "en") == "fifty six"
    with pytest.raises(ValueError, match="100"):
        numerals.words(100, "en")


def test_a_random_attempt_always_ends():
    """8 * 8 = 64 twice leaves two equal numbers above 49, where no step fits: a dead end."""
    for seed in range(200):
        steps = workings.random_attempt(random.Random(seed), (8, 8, 8, 8))
        assert len(steps) == 3
        assert all(
            1 <= result <= 99 and ref.SIGNS[op](a, b) == result for op, a, b, result in steps
        )
        assert sorted(ref.leaves(ref.parse(countdown.expression(steps)))) == [8, 8, 8, 8]
        assert ref.value(ref.parse(countdown.expression(steps))) == steps[-1][3]


# ---- leaks that were found once, each with its smallest example ----------------------------------


def test_a_leap_does_not_state_a_missing_product():
    tree = ("*", ("-", ("+", 6, 4), 2), 7)  # ( 6 + 4 - 2 ) * 7 = 8 * 7 = 56
    for lang, mix in (("en", corpus.TRUNK), ("zh", corpus.TRUNK), ("en", corpus.anneal())):
        said, _ = workings.leaps(random.Random(1), tree, 0.0, lang, mix)
        assert said is None
    said, _ = workings.leaps(random.Random(1), tree, 0.0, "zh", corpus.anneal())
    assert "= 8 * 7 ( 七 八 五 十 六 ) = 56" in said


def test_a_slip_does_not_make_a_chain_of_another_split():
    rng = random.Random(1)
    for _ in range(100):
        tree = chains.draw(rng, 5, "train")
        said, _ = workings.leaps(rng, tree, 1.0, "en", corpus.TRUNK)
        for side in (said or "").split(" = "):
            made = ref.parse(side) if side else 0
            assert ref.count(made) < 2 or split_of(ref.chain_key(made)) == "train", said
