"""Are styles read from the text as the world's authors wrote them?"""

import random
from collections import Counter

import pytest

from r1book import styles, trace
from r1book.world import chains, corpus, workings
from r1book.world.vocab import detokenize


def _trace(family, question, thinking):
    problem = {"family": family, "question": question}
    text = f"<think> {thinking} </think> <answer> 1 </answer>"
    return trace.Trace(0, 0, 0, problem, "", text, "stop", 1, {}, None, 0.0)


@pytest.mark.parametrize(
    ("family", "question", "thinking", "expected"),
    [
        ("math", "what is 3 + 4 * 2?", "the answer is 11.", "direct"),
        ("math", "what is 3 + 4 * 2?", "we have 3 + 4 * 2 = 3 + 8 = 11.", "step"),
        ("math", "what is 3 + 4 * 2?", "we have 3 + 4 * 2 = 11.", "short"),
        ("math", "what is 3 + 4 * 2?", "3 + 4 * 2 = 12. wait, let me check: 4 * 2 = 8.", "second"),
        ("stem", "what do 6 boxes weigh?", "it is b.", "direct"),
        ("stem", "what do 6 boxes weigh?", "let me see: 42 (a).", "short"),
        ("stem", "what do 6 boxes weigh?", "6 * 7 = 42. 42 (a).", "step"),
        ("logic", "make 24", "it is 6 * 4.", "direct"),
        ("logic", "make 24", "try 7 - 1 = 6: 6 * 4 = 24, yes!", "one try"),
        ("logic", "make 24", "try 7 - 1 = 6: 6 + 4 = 10, no. 6 * 4 = 24, yes!", "stay"),
        (
            "logic",
            "make 24",
            "试 7 - 1 = 6: 6 + 4 = 10, 太小. 等等, 试 7 + 4 = 11: 11 * 1 = 11, 不行.",
            "wait",
        ),
        ("code", "write f", "maybe x + 1.", "other"),
    ],
)
def test_each_style_by_hand(family, question, thinking, expected):
    assert styles.style(_trace(family, question, thinking)) == expected


def test_attempts_and_branches_by_hand():
    text = "<think> try 7 - 1 = 6: 6 + 4 = 10, no. 6 * 4 = 24, too large. "
    text += "wait, try 4 * 1 = 4: 4 + 7 = 11, no. </think>"
    assert styles.attempts(text) == 3
    assert styles.branches(text) == 2


def test_a_verdict_in_the_answer_is_no_attempt():
    assert (
        styles.attempts("<think> try 7 - 1 = 6: </think> <answer> 6 * 4 = 24, yes! </answer>") == 0
    )


def test_documents_of_the_world_are_read_as_they_were_written():
    rng, mix = random.Random(0), corpus.anneal()
    seen = Counter()
    for _ in range(400):
        problem = chains.problem(rng, rng.randint(1, 5), "train", "en")
        tree = problem["meta"]["tree"]
        step = workings.equalities(rng, tree, "en", corpus.TRUNK)
        leap, _ = workings.leaps(rng, tree, mix.slip, "zh", mix)
        question = detokenize(problem["question"])
        if step is not None:
            seen[
                "step", styles.style(_trace("math", question, detokenize(f"we have {step} .")))
            ] += 1
        if leap is not None:
            text = detokenize(f"we have {leap} .")
            seen["short", styles.style(_trace("math", question, text))] += 1
    assert set(seen) == {("step", "step"), ("short", "short")}
