"""Are acts of reflection read as the world's authors did them, and told from words?"""

import doctest
import random
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_trace import make

from r1book import acts, measure, styles, words
from r1book.world import chains, corpus, vocab, workings
from r1book.world.vocab import detokenize


def test_examples():
    result = doctest.testmod(acts)
    assert result.failed == 0 and result.attempted > 0


# ---- steps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("we have 3 + 4 * 2 = 3 + 8 = 11.", [("3 + 4 * 2", "3 + 8", True), ("3 + 8", "11", True)]),
        ("先看 (7 - 1) * 4 = 6 * 4 = 25", [("(7 - 1) * 4", "6 * 4", True), ("6 * 4", "25", False)]),
        ("4 * 5 (四五二十) = 20, 20 + 1 = 22", [("4 * 5", "20", True), ("20 + 1", "22", False)]),
        ("7 * 8 (seven times eight is fifty six) = 56", [("7 * 8", "56", True)]),
        ("6 * 7 = 42. 42 (a).", [("6 * 7", "42", True)]),
        ("24 = 6 * 4", [("24", "6 * 4", True)]),
        ("7-1=6", [("7-1", "6", True)]),
        ("1 + 1 = 2 3 + 3 = 6", [("1 + 1", "2", True), ("3 + 3", "6", True)]),  # side by side
        ("seven = 7, 7 = 7, need 7, so it is 7.", []),  # no operation
        ("14 - 15 = think 14 - 3 = 11", [("14 - 3", "11", True)]),  # a claim that never came
        ("(8 - 2)) * 3 = 18", [("(8 - 2)) * 3", "18", None)]),  # cannot be computed
        ("x * 3 = 9, 4 + = 4", [("* 3", "9", None), ("4 +", "4", None)]),
        ("3 - 5 = - 2", [("3 - 5", "- 2", None)]),  # no negative numbers in this world
        ("9999999 + 1 = 10000000", [("9999999 + 1", "10000000", None)]),  # beyond `rewards.parse`
        ("试 22 + 5 = 27: 27 + 7 = 64", [("22 + 5", "27", True), ("27 + 7", "64", False)]),
    ],
)  # fmt: skip
def test_steps_by_hand(text, expected):
    reading = acts.read(text)
    assert [(s.expression, s.claim, s.true) for s in reading.steps] == expected
    for step in reading.steps:
        assert text[step.start : step.end].startswith(step.expression)
        assert text[step.start : step.end].endswith(step.claim)


def test_only_the_thinking_is_read_and_places_are_those_of_the_completion():
    text = "1 + 1 = 2 <think> 2 + 2 = 5 </think> <answer> 3 + 3 = 6 </answer>"
    (step,) = acts.read(text).steps
    assert text[step.start : step.end] == "2 + 2 = 5" and step.true is False


# ---- acts ----------------------------------------------------------------------------------------

CHECKED = "3 + 4 * 2 = 14. wait, let me check: 4 * 2 = 8, 3 + 8 = 11. no, that is wrong."
CHECK, LEFT, STAYED = "4 * 2 = 8, 3 + 8 = 11", "7 + 4 = 11", "6 * 4 = 24"


@pytest.mark.parametrize(
    ("text", "expected"),  # expected: (kind, text of its steps, whether a word goes with it)
    [
        # checks after a phrase: what contradicts a false claim repairs it
        (CHECKED, [("check", CHECK, True), ("repair", CHECK, True)]),
        (CHECKED.replace("14", "11"), [("check", CHECK, True)]),
        ("我想 5 + 9 = 14. 等等, 检查一下: 5 + 9 = 14. 对, 没有错误.",
         [("check", "5 + 9 = 14", True)]),
        ("i think 37 (a). wait, i verify: 22 + 13 = 35. 35 (b). no, a mistake.",
         [("check", "22 + 13 = 35", True), ("repair", "22 + 13 = 35", True)]),
        ("先看 82 (d). 我验证: 4 * 18 = 72, 72 + 10 = 82. 82 (d).",
         [("check", "4 * 18 = 72, 72 + 10 = 82", True)]),
        # a false check repairs nothing; a phrase with no computation or no claim is no check
        ("3 + 4 * 2 = 11. let me check: 4 * 2 = 9, 3 + 9 = 12. no.",
         [("check", "4 * 2 = 9, 3 + 9 = 12", True)]),
        ("3 + 4 = 8. wait, let me check. yes, right.", []),
        ("let me check: 3 + 4 = 7.", []),
        # two steps that are corrected are two repairs
        ("2 * 3 = 5, 5 + 1 = 7. check: 2 * 3 = 6, 5 + 1 = 6.",
         [("check", "2 * 3 = 6, 5 + 1 = 6", True), ("repair", "2 * 3 = 6, 5 + 1 = 6", True),
          ("repair", "2 * 3 = 6, 5 + 1 = 6", True)]),
        # unannounced: the same computation, or its inverse, in a later sentence
        ("7 + 5 = 12. 5 + 7 = 12.", [("check", "5 + 7 = 12", False)]),
        ("7 + 5 = 11, wait, 7 + 5 = 12.",
         [("check", "7 + 5 = 12", True), ("repair", "7 + 5 = 12", True)]),
        ("7 + 5 = 12. 12 - 5 = 7.", [("check", "12 - 5 = 7", False)]),
        ("12 - 5 = 7. 等等, 7 + 5 = 12.", [("check", "7 + 5 = 12", True)]),
        ("12 - 5 = 7. 12 - 7 = 5.", [("check", "12 - 7 = 5", False)]),
        ("7 + 5 = 12, 7 + 5 = 12, 12 - 5 = 7.", []),  # one sentence: each may have its own use
        ("7 + 5 = 12. 7 + 5 = 12. 7 + 5 = 12.",
         [("check", "7 + 5 = 12", False), ("repeat", "7 + 5 = 12", False)]),
        ("7 + 5 = 12. 12 + 5 = 17. 6 * 2 = 12.", []),
        # a search: branches left, with a word, with another word, in silence
        ("try 7 - 1 = 6: 6 + 4 = 10, need 24, too small. wait, try 7 + 4 = 11: 11 - 1 = 10, no.",
         [("abandon", LEFT, True)]),
        ("试 7 - 1 = 6: 6 + 4 = 10, 需要 24, 太小. 但是 7 + 4 = 11: 11 - 1 = 10, 不行.",
         [("abandon", LEFT, True)]),
        ("try 7 - 1 = 6: 6 + 4 = 10, need 24, no 7 + 4 = 11: 11 - 1 = 10, need 24, no.",
         [("abandon", LEFT, False)]),
        ("try 7 - 1 = 6, 6 + 4 = 10, no. try 7 + 4 = 11, 11 - 1 = 10, no.",
         [("abandon", LEFT, False)]),
        ("try 9 - 3 = 6, 6 - 1 = 5: 6 + 5 = 11, no. 试 6 - 1 = 5, 9 - 3 = 6: 6 * 5 = 30, no.",
         [("stay", "6 * 5 = 30", False)]),  # the same two steps in another order
        ("try 7 - 1 = 6: wait, try 7 + 4 = 11: </think>", [("abandon", LEFT, True)]),  # is cut
        # the branch is named again, whatever is said: nothing was left
        ("try 7 - 1 = 6: 6 + 4 = 10, no. wait, try 7 - 1 = 6: 6 * 4 = 24, yes!",
         [("stay", STAYED, False)]),
        ("试 7 - 1 = 6: 6 + 4 = 10, 不行. 6 * 4 = 24, 对!", [("stay", STAYED, False)]),
        ("try 7 - 1 = 6: 6 + 4 = 10, no. wait, retry: 7 - 1 = 6: 4 + 6 = 10, no.",
         [("repeat", "4 + 6 = 10", False)]),
        ("try 1 + 1 = 2: 2 + 4 = 6, no. wait, try 4 - 1 = 3: 3 + 1 = 4, no. "
         "等等, 试 1 + 1 = 2: 2 + 4 = 6, no.",
         [("abandon", "4 - 1 = 3", True), ("abandon", "1 + 1 = 2", True),
          ("repeat", "2 + 4 = 6", False)]),
        # "check" before a new branch is only a word; before the same candidate it is a check
        ("try 7 - 1 = 6: 6 + 4 = 10, no. wait, check: 7 + 4 = 11: 11 - 1 = 10, no.",
         [("abandon", LEFT, True)]),
        ("try 7 - 1 = 6: 6 * 4 = 24, need 24, yes! check: 7 - 1 = 6, 6 * 4 = 24.",
         [("check", "7 - 1 = 6, 6 * 4 = 24", True)]),
        ("try 7 - 1 = 6: 6 * 4 = 25, no. wait, check 6 * 4 = 24, need 24, yes!",
         [("check", "6 * 4 = 24", True), ("repair", "6 * 4 = 24", True)]),
        ("try 7 - 1 = 6: 6 + 4 = 10, need 24, no. but me check: 7 - 1 = 6: 6 + 4 = 10, no.",
         [("check", "7 - 1 = 6: 6 + 4 = 10", True)]),  # the target is no claim: nothing was wrong
        ("try 7 - 1 = 6: 6 + 4 = 10, no. check: 6 + 4 = 10, no. check: 6 + 4 = 10, no.",
         [("check", "6 + 4 = 10", True), ("repeat", "6 + 4 = 10", True)]),
        ("试 1 + 1 = 2: 2 + 4 = 6, 不行. 试 4 - 1 = 3: 3 + 1 = 4, 不行. "
         "检查: 1 + 1 = 2: 2 + 4 = 6, 不行.",
         [("abandon", "4 - 1 = 3", False), ("abandon", "1 + 1 = 2", True),
          ("repeat", "2 + 4 = 6", False)]),  # not the last candidate
        # a mistake in a search, seen by nobody but the one who writes it again
        ("试 9 + 4 = 15: 15 + 3 = 18, 太大. 等等: 9 + 4 = 13: 13 + 3 = 16, 对!",
         [("repair", "9 + 4 = 13", True), ("stay", "13 + 3 = 16", False)]),
        ("try 9 + 4 = 13: 13 + 3 = 16, no. 9 + 4 = 15: 15 + 3 = 18, no.",
         [("stay", "15 + 3 = 18", False)]),
        # last steps in a search come back without being checks, and sums of steps are no inverse
        ("try 9 - 6 = 3: 6 + 3 = 9, need 9, yes!", []),
        # words only
        ("wait, wait. 等等, 检查. however the answer is wrong.", []),
        ("", []),
    ],
)  # fmt: skip
def test_acts_by_hand(text, expected):
    found = acts.read(text).acts
    assert [(a.kind, text[a.start : a.end], a.worded) for a in found] == expected


def test_candidates_and_words_of_a_trace_of_rl_by_hand():
    text = (
        "<think> try 17 - 5 = 12: 12 - 3 = 9, need 2, too large. wait wait 重试: 17 - 3 = 14: "
        "14 - 5 = 9, need 2, no 17 - 5 = 12: 12 - 3 = 9, need 2, too large. but wait: 17 - 5 = 12: "
        "12 * 3 = 36, need 2, too large. wait! </think> <answer> 17 - 5 - 3 </answer>"
    )
    reading = acts.read(text)
    assert reading.tries == 4
    assert [(a.kind, a.worded) for a in reading.acts] == [
        ("abandon", True),
        ("abandon", False),
        ("repeat", False),
        ("stay", False),  # a word was said, but the branch is the same
    ]
    assert reading.words == (
        ("wait", True),
        ("wait", True),
        ("重试", True),
        ("but", False),
        ("wait", False),
        ("wait", False),
    )


# ---- rates and the table -------------------------------------------------------------------------

TRACES = [
    make(completion=CHECKED, tokens=30),  # 3 words (wait, check, wrong), 2 acts, 1 of 3 steps false
    make(completion="wait, wait. 7 + 5 = 12.", tokens=10),  # 2 words
    make(completion="7 + 5 = 12. 12 - 5 = 7.", tokens=16),  # an act
    make(completion="it is 7.", tokens=4),
]


def test_rates_by_hand():
    found = measure.act_rate(TRACES)
    assert set(found) == {*acts.KINDS, "any", "step", "false"}
    assert found["check"] == {"per_answer": 2 / 4, "per_token": 2 / 60, "share": 2 / 4}
    assert found["repair"] == {"per_answer": 1 / 4, "per_token": 1 / 60, "share": 1 / 4}
    assert found["any"] == {"per_answer": 3 / 4, "per_token": 3 / 60, "share": 2 / 4}
    assert found["abandon"] == {"per_answer": 0.0, "per_token": 0.0, "share": 0.0}
    assert found["step"] == {"per_answer": 6 / 4, "per_token": 6 / 60, "share": 3 / 4}
    assert found["false"] == {"per_answer": 1 / 4, "per_token": 1 / 60, "share": 1 / 4}
    with pytest.raises(ValueError, match="at least one trace"):
        acts.count([])


def test_contingency_by_hand():
    table = measure.contingency(TRACES)
    assert table.answers == {(True, True): 1, (True, False): 1, (False, True): 1, (False, False): 1}
    assert table.words == {True: 3, False: 2}
    assert table.acts == {True: 2, False: 1}
    assert acts.contingency([]) == acts.Contingency(Counter(), Counter(), Counter())


def test_what_there_is_instead_of_reflection_is_no_act():
    stays = "try 7 - 1 = 6: 6 + 4 = 10, no. wait, 6 * 4 = 24, no. wait, 6 * 4 = 24, no."
    assert [a.kind for a in acts.read(stays).acts] == ["stay", "repeat"]
    table = acts.contingency([make(completion=stays)])
    assert table.answers == {(True, False): 1} and table.words == {False: 2} and not table.acts
    assert acts.count([make(completion=stays)])["any"]["share"] == 0.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think> so we get 12 </think>", 0),
        ("<think> so 是 12, 对 yes </think>", 2),
        ("<think> 等等 3 * 4 = 12 wait </think> 是", 1),
        ("<think> 是 x = 3, A 是 </think>", 0),  # lone letters are neutral
        ("<think> 是 3 (a) 对 </think>", 0),  # an option is no English word
        ("", 0),
    ],
)
def test_switches_by_hand(text, expected):
    assert words.switches(text) == expected


@pytest.mark.parametrize(
    ("text", "lang", "expected"),
    [
        ("<think> so 7 * 8 (七八五十六) = 56 </think> 对", "en", {"own": 1, "table": 5}),
        ("<think> 但是 wait, 7 * 8 (seven times eight) = 56 </think>", "zh",
         {"own": 2, "table": 3, "other": 1}),
        ("<think> so (等等) 8 (c) 对 </think>", "en", {"own": 1, "other": 3}),
        ("<think> 7 * 8 = 56 </think>", "en", {}),
    ],
)  # fmt: skip
def test_foreign_words_by_hand(text, lang, expected):
    assert words.foreign(text, lang) == expected


def test_foreign_words_need_a_target():
    with pytest.raises(ValueError, match='"en" or "zh"'):
        words.foreign("so", "de")


def test_switch_rate_by_hand():
    traces = [
        make(completion="<think> so 是 12, 对 yes </think>", tokens=12),
        make(completion="<think> so </think>", tokens=8),
    ]
    assert measure.switch_rate(traces) == {"per_answer": 1.0, "per_token": 0.1, "share": 0.5}
    with pytest.raises(ValueError, match="at least one trace"):
        measure.switch_rate([])


# ---- the truth: what the world's authors did -----------------------------------------------------


@pytest.fixture
def author(monkeypatch):
    """Watch an author at work: his phrases by kind, branches and last steps, chains shown."""
    seen = {"phrases": [], "search": [], "trees": []}
    pick, fact, branch, show = workings.pick, workings.fact, workings.new_branch, chains.show
    inside = []

    def seen_pick(rng, kind, lang):
        seen["phrases"].append(kind)
        return pick(rng, kind, lang)

    def seen_branch(*args):
        inside.append(True)
        out = branch(*args)
        inside.clear()
        seen["search"].append(("branch", tuple(out[0])))
        return out

    def seen_fact(rng, step, lang, mix):
        said = fact(rng, step, lang, mix)
        if said is not None and not inside:
            seen["search"].append(("leaf", step))
        return said

    def seen_show(tree, parent=0, right=False):
        if not parent:
            seen["trees"].append(tree)
        return show(tree, parent, right)

    monkeypatch.setattr(workings, "pick", seen_pick)
    monkeypatch.setattr(workings, "new_branch", seen_branch)
    monkeypatch.setattr(workings, "fact", seen_fact)
    monkeypatch.setattr(chains, "show", seen_show)
    return seen


def written(author, kind, mix, n, seed=0):
    """Yield the natural texts of n workings; `author` then holds what was seen of the last."""
    rng = random.Random(seed)
    for _ in range(n):
        lang = rng.choice(corpus.LANGS)
        problem = corpus.FAMILIES[kind].problem(rng, rng.randint(1, 5), "train", lang)
        for seen in author.values():
            seen.clear()
        worked = workings.WORK[kind](rng, problem, lang, mix)
        if worked is not None:
            think, answer = worked
            yield detokenize(f"<think> {think} </think> <answer> {answer} </answer>")


MIXES = {
    "as in the anneal": corpus.anneal(),
    "second thoughts": corpus.anneal(second=0.5, wait=1.0),
    "no reflection": corpus.anneal(second=0.0, wait=0.0),
    "switched": corpus.anneal(switched=0.25),
    "leaps": replace(corpus.anneal(), direct=0.1, short=0.7, slip=0.5),
}


def searched(seen):
    """What an author did in a search, counted from his steps: independent of any text."""
    truth, branch, left, tried = Counter(), None, None, set()
    for kind, what in seen:
        if kind == "branch":
            new = tuple(sorted((op, *sorted((a, b))) for op, a, b, _ in what))
            truth["abandon"] += branch not in (None, new)
            truth["drawn again"] += branch == new
            branch = new
        else:
            op, a, b, _ = what
            candidate = (branch, op, *sorted((a, b)))
            if candidate in tried:
                truth["repeat"] += 1
            else:
                truth["stay"] += left == branch
            tried.add(candidate)
            left = branch
            truth["tries"] += 1
    return truth


@pytest.mark.parametrize("name", MIXES)
def test_every_act_of_a_search_is_found_and_no_other(author, name):
    total = Counter()
    for text in written(author, "logic", MIXES[name], 250):
        reading, truth = acts.read(text), searched(author["search"])
        found = Counter(act.kind for act in reading.acts)
        found["tries"] = reading.tries
        assert {k: found[k] for k in (*acts.KINDS, "tries")} == {
            k: truth[k] for k in (*acts.KINDS, "tries")
        }, text
        assert reading.tries == styles.attempts(text)
        steps = [
            step
            for kind, what in author["search"]
            for step in (what if kind == "branch" else [what])
        ]
        assert [(s.expression, s.claim) for s in reading.steps] == [
            (f"{a} {op} {b}", str(result)) for op, a, b, result in steps
        ], text
        assert all(step.true for step in reading.steps)
        said = Counter(author["phrases"])
        # each branch after the first is begun with "wait" or, where that word is off, with "try"
        begun = said["wait"] + max(0, said["try"] - 1)
        assert found["abandon"] + truth["drawn again"] == begun
        total.update(a.worded for a in reading.acts if a.kind == "abandon")
    assert total[name != "no reflection"] > 0 == total[name == "no reflection"]


@pytest.mark.parametrize("kind", ["math", "stem"])
@pytest.mark.parametrize("name", MIXES)
def test_every_check_and_repair_is_found_and_no_other(author, kind, name):
    total = Counter()
    for text in written(author, kind, MIXES[name], 250):
        reading, phrases = acts.read(text), Counter(author["phrases"])
        found = Counter(act.kind for act in reading.acts)
        # a check is announced by a phrase, and found wrong exactly where a slip was made
        assert found == +Counter(check=phrases["check"], repair=phrases["wrong"]), text
        assert all(act.worded for act in reading.acts)
        total += found
    assert bool(total) == (MIXES[name].second > 0)


@pytest.mark.parametrize("name", MIXES)
def test_every_slip_is_found_and_no_other(author, name):
    total = Counter()
    for text in written(author, "math", MIXES[name], 250):
        values = [chains.value(tree) for tree in author["trees"]]
        slips = sum(a != b for a, b in pairwise(values))
        found = Counter(step.true for step in acts.read(text).steps)
        assert (found[False], found[None]) == (slips, 0), text
        total["slips"] += slips
        total["true"] += found[True]
    assert total["slips"] > 0 and total["true"] > 0


# ---- any text ------------------------------------------------------------------------------------

SHARDS = st.lists(
    st.sampled_from([*vocab.SYMBOLS, *vocab.TAGS])
    | st.sampled_from("wait 等等 check 检查 try 试 need 需要 no 对 12 3 x ０ ٣".split())
    | st.sampled_from(["7 - 1 = 6", "6 * 4 = 24", "7 + 5 = 12", "(二三得六)"]),
    max_size=60,
)


@settings(deadline=None, max_examples=60)
@given(st.one_of(st.text(), SHARDS.map(" ".join), SHARDS.map("".join)))
def test_any_text_is_read(text):
    reading = acts.read(text)
    start, end = words.think_span(text)
    for step in reading.steps:
        assert start <= step.start < step.end <= end
        assert text[step.start : step.end].startswith(step.expression.split(" ")[0])
    assert all(a.start < b.start and a.end < b.end for a, b in pairwise(reading.steps))
    edges = {s.start for s in reading.steps}, {s.end for s in reading.steps}
    for act in reading.acts:
        assert act.kind in acts.KINDS and act.start in edges[0] and act.end in edges[1]
    assert Counter(word for word, _ in reading.words) == words.reflection(words.think(text))
    table = acts.contingency([make(completion=text)])
    assert table.answers.total() == 1 and table.words.total() == len(reading.words)
    # where no word was said none goes with an act, and where no act was done no act with a word
    assert bool(table.words[True]) == bool(table.acts[True])


LONG = [
    "1 + 1 = 2, ",
    "try 7 - 1 = 6: 6 + 4 = 10, need 5, too small. wait, ",
    "1+1=2, 2+2=4: 3+3=6 no ",
    "3+4=7. check: 3+4=7 ",
    "1 + ",
    "1 = ",
    "( ",
    "(a ",
    "1 + (((",
    "((1 + 2) ",
    "9",
    " ",
    ": ",
    "等",
]


@pytest.mark.parametrize("unit", LONG)
def test_time_is_linear_in_the_length(unit):
    def seconds(size):
        text = (unit * (size // len(unit) + 1))[:size]
        start = time.process_time()  # of this process: other load on the machine does not count
        acts.read(text)
        return time.process_time() - start

    # eight times the length: eight times the time; were it quadratic, 64 times
    ratios = (seconds(64_000) / max(seconds(8_000), 0.002) for _ in range(3))
    assert any(ratio < 24 for ratio in ratios)
