"""Is what is kept right and readable, is the toll whole, and does the judge have its say?"""

import dataclasses
import random

import pytest

from r1book import actors, curate, models, rewards, rewrite, words
from r1book.config import CurateConfig

CONFIG = CurateConfig(
    steps=1, prompts_per_step=4, samples=2, max_new_tokens=120, free_form=2, keep=1,
    families={"math": 0.5, "stem": 0.5},
    filters=("form", "mixed language", "repetition", "length"),
)  # fmt: skip


@pytest.fixture(scope="module", name="zero")
def given_zero():
    return models.load(models.shipped("r1-zero"))


@pytest.fixture(name="by_hand")
def given_by_hand(monkeypatch):
    """Let the rule rewrite in chat's place: what is tested is what is done with its work."""

    def rewritten(model, tokenizer, items, seed):
        rng = random.Random(0)
        done = [rewrite.by_hand(text, problem, rng) for problem, text in items]
        cheat = [done[0].replace("=", "= 1 =", 1), *done[1:]]  # one of them changes a step
        return [
            (told, rewrite.faults(told, text, problem))
            for told, (problem, text) in zip(cheat, items, strict=True)
        ]

    monkeypatch.setattr(actors, "rewritten", rewritten)


def test_a_cold_start_keeps_right_readable_traces_with_their_steps(zero, by_hand):
    got = curate.cold_start(*zero, zero, CONFIG, 0, 0)
    assert got == curate.cold_start(*zero, zero, CONFIG, 0, 0)
    assert got.rows != curate.cold_start(*zero, zero, CONFIG, 0, 1).rows
    counts = got.counts
    stops = sum(counts[k] for k in ("wrong", *CONFIG.filters))
    assert counts["sampled"] == 8 == stops + counts["kept"]
    assert counts["rewritten: steps"] == 1 and len(got.rows) == counts["given to chat"] - 1 > 0
    assert len(got.pairs) == counts["given to chat"] and len(got.questions) == len(got.rows)
    fine = {p["rewritten"] for p in got.pairs if not p["faults"]}
    for row, question in zip(got.rows, got.questions, strict=True):
        assert row.completion in fine and question in row.prompt
        assert words.language_share(row.completion, row.lang) == 1


def test_rejection_sampling_adds_general_data_in_proportion(zero, monkeypatch):
    monkeypatch.setattr(actors, "judged", lambda m, t, items, seed: [True] * len(items))

    def written(model, tokenizer, asked, seed):
        return [f"<think> so </think> <answer> {p.answer} </answer>" for p in asked]

    monkeypatch.setattr(actors, "written", written)
    general = reasoning = 0
    for number in range(6):
        got = curate.rejection(*zero, zero, CONFIG, 0, number)
        assert got.counts["sampled"] == 12 and got.counts["general wrong"] == 0
        assert got.counts["free-form answers"] == 4
        sources = [row.source for row in got.rows]
        reasoning += sources.count("reasoning-rl")
        general += sources.count("chat")
        assert max(sources.count("reasoning-rl"), 0) <= 6  # one a prompt
    assert 0.5 < general / reasoning / (curate.GENERAL / curate.REASONING) < 1.6


def test_the_judge_decides_free_form_answers_and_is_held_against_the_rule(monkeypatch):
    from r1book import problems

    p = problems.Problem(
        "p", "general", 1, "en", "what is the colour of the sun?", "the colour of the sun is red.",
        "general:fact:colour:sun", "train", {"kind": "fact", "answer": "red"},
    )  # fmt: skip
    texts = [f"<think> x </think> <answer> {a} </answer>" for a in ("red", "blue", "zebra")]
    seen = [(p, t, rewards.accuracy(t, p).total == 1) for t in (*texts, "<think> red")]
    shown = []

    def judged(model, tokenizer, items, seed):
        shown.extend(items)
        return [False, True]

    monkeypatch.setattr(actors, "judged", judged)
    verdicts, disagree = curate.judge((None, models.tokenizer()), seen, 0)
    assert shown == [("red", "red", "en"), ("red", "blue", "en")]  # neither unknown words nor none
    assert verdicts == [False, True, False, False] and disagree == 2


def test_a_control_keeps_wrong_answers_too(zero, monkeypatch):
    monkeypatch.setattr(actors, "written", lambda m, t, asked, seed: ["?"] * len(asked))
    how = dataclasses.replace(CONFIG, free_form=0, filters=(), keep=2, right=False)
    got = curate.rejection(*zero, zero, how, 0, 0)
    assert got.counts["wrong"] == 0 and got.counts["kept"] == got.counts["sampled"] == 8
    strict = curate.rejection(*zero, zero, dataclasses.replace(how, right=True), 0, 0)
    assert 0 < strict.counts["wrong"] == 8 - strict.counts["kept"]
    assert {r.completion for r in strict.rows} < {r.completion for r in got.rows}
