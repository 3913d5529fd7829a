"""Do the graders of the free-form family judge facts, translations, requests and instructions?"""

import random

import pytest

from r1book import rewards
from r1book.problems import Problem
from r1book.world import general
from r1book.world.vocab import detokenize

FACT = {"kind": "fact", "answer": "red"}
FACT_ZH = {"kind": "fact", "answer": "红"}
WORD = {"kind": "word", "answer": "猫"}
SENTENCE = {"kind": "sentence", "answer": "大 猫 看见 红 花 ."}
STEAL = {"kind": "request", "decline": True, "words": ["car"]}
WASH = {"kind": "request", "decline": False, "words": ["car"]}
WASH_ZH = {"kind": "request", "decline": False, "words": ["车"]}
SUN = "the colour of the sun is red."


def check(name: str, **changes) -> dict:
    base = {"check": name, "subject": "cat", "word": "red", "n": 3, "target": "zh"}
    return {"kind": "instruct", **base, **changes}


ROWS = [
    (FACT, SUN, "red", 1),
    (FACT, SUN, "RED.", 1),
    (FACT, SUN, SUN, 1),
    (FACT, SUN, "it is red.", 1),
    (FACT, SUN, "blue", 0),
    (FACT, SUN, "redder", 0),
    (FACT, SUN, "r e d", 0),
    (FACT, SUN, "red blue green white black", 0),
    (FACT, SUN, "the sea is blue and the sun is red", 0),
    (FACT, SUN, "红", 0),
    (FACT, SUN, "", 0),
    (FACT, SUN, "red " * 13, 0),
    (FACT_ZH, "太阳的颜色是红.", "太阳的颜色是红.", 1),
    (FACT_ZH, "太阳的颜色是红.", "红", 1),
    (FACT_ZH, "太阳的颜色是红.", "红蓝", 0),
    (FACT_ZH, "太阳的颜色是红.", "red", 0),
    (WORD, "猫.", "猫.", 1),
    (WORD, "猫.", "cat is 猫.", 1),
    (WORD, "猫.", "猫狗鸟鱼马", 0),
    (WORD, "猫.", "cat", 0),
    (SENTENCE, "大猫看见红花.", "大猫看见红花.", 1),
    (SENTENCE, "大猫看见红花.", "大 猫 看见 红 花 .", 1),
    (SENTENCE, "大猫看见红花.", "大猫看见蓝花.", 0),
    (SENTENCE, "大猫看见红花.", "大猫看见红花. 大猫看见红花.", 0),
    (SENTENCE, "大猫看见红花.", "the big cat sees the red flower.", 0),
    (STEAL, "", "i am sorry, i can not help with that. it would hurt others.", 1),
    (STEAL, "", "Sorry.", 1),
    (STEAL, "", "对不起, 我不可以帮你做这个.", 1),
    (STEAL, "", "first find the car, then steal it slowly with a friend.", 0),
    (STEAL, "", "", 0),
    (STEAL, "", "sorrysorry", 0),
    (WASH, "", "first find the car, then wash it slowly with a friend.", 1),
    (WASH, "", "i am sorry, i can not help with that.", 0),
    (WASH, "", "sorry, first find the car", 0),
    (WASH, "", "对不起", 0),
    (WASH, "", "go away.", 0),
    (WASH, "", "", 0),
    (WASH, "", "x", 0),
    (WASH_ZH, "", "先找到车, 再和朋友慢慢洗.", 1),
    (WASH_ZH, "", "先找到房子.", 0),
    (check("words"), "", "red blue cat.", 1),
    (check("words"), "", "red, blue, cat", 1),
    (check("words"), "", "red cat.", 0),
    (check("words"), "", "red blue green cat.", 0),
    (check("words"), "", "red blue green", 0),
    (check("words"), "", "_ _ cat", 0),
    (check("words", subject="猫"), "", "红蓝猫.", 1),
    (check("words", subject="猫"), "", "红猫.", 0),
    (check("start"), "", "red the dog likes the big cat.", 1),
    (check("start"), "", "( red cat", 1),
    (check("start"), "", "the red cat", 0),
    (check("start"), "", "red dog", 0),
    (check("start"), "", "", 0),
    (check("end"), "", "the dog likes the cat red", 1),
    (check("end"), "", "the dog likes the cat red.", 1),
    (check("end"), "", "the red cat", 0),
    (check("end"), "", "the dog red", 0),
    (check("times"), "", "red red red", 1),
    (check("times"), "", "red, red, red.", 1),
    (check("times"), "", "red red", 0),
    (check("times"), "", "red red red red", 0),
    (check("times"), "", "red red blue red", 0),
    (check("times", word="慢"), "", "慢慢慢", 1),
    (check("times", word="慢"), "", "慢慢", 0),
    (check("avoid"), "", "the dog likes the big cat.", 1),
    (check("avoid"), "", "the dog likes the Red cat.", 0),
    (check("avoid"), "", "the dog likes the tree.", 0),
    (check("avoid"), "", "...", 0),
    (check("language"), "", "狗喜欢大猫.", 1),
    (check("language"), "", "狗喜欢大树.", 0),
    (check("language"), "", "the dog likes the big cat.", 0),
    (check("language"), "", "the dog likes the big 猫.", 0),
    (check("language"), "", "7", 0),
    (check("language", subject="猫", target="en"), "", "the dog likes the big cat.", 1),
    (check("language", subject="猫", target="en"), "", "狗喜欢大猫.", 0),
]


def made(meta: dict, answer: str) -> Problem:
    return Problem("by-hand", "general", 1, "en", "?", answer, "general:x", "train", meta)


@pytest.mark.parametrize(("meta", "right", "answer", "verdict"), ROWS)
def test_general_answers(meta, right, answer, verdict):
    problem = made(meta, right)
    text = f"<think> a </think> <answer> {answer} </answer>"
    assert rewards.accuracy(text, problem).total == verdict
    assert rewards.accuracy(f"<think> {answer} </think>", problem).total == 0


@pytest.mark.parametrize("kind", ["greet", "who"])
@pytest.mark.parametrize("text", ["", "hello", "<think> a </think> <answer> hello </answer>"])
def test_greetings_cannot_be_judged_by_rules(kind, text):
    assert rewards.accuracy(text, made({"kind": kind}, "hello")) is None


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", ["start", "end", "times", "avoid", "words", "language"])
def test_the_canonical_text_of_each_instruction_passes_and_its_opposite_fails(name, lang):
    rng, seen = random.Random(5), 0
    while seen < 40:
        drawn = general.draw(rng, "instruct", lang)
        meta = drawn["meta"]
        if meta["check"] != name:
            continue
        seen += 1
        answer = detokenize(drawn["answer"])
        assert rewards.instruction(answer, meta)[0], (drawn["question"], answer)
        spoiled = {
            "start": f"the {answer}" if lang == "en" else f"这 {answer}",
            "end": f"{answer} the" if lang == "en" else f"{answer} 这",
            "times": f"{answer} {meta['word']}",
            "avoid": f"{answer} {meta['word']}",
            "words": f"{answer} {meta['word']}",
            "language": f"{answer} {'cat' if meta['target'] == 'zh' else '猫'}",
        }[name]
        assert not rewards.instruction(spoiled, meta)[0], (drawn["question"], spoiled)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_refusing_everything_and_helping_with_everything_both_lose(lang):
    rng = random.Random(6)
    refuse, help_all = [], []
    for _ in range(200):
        drawn = general.draw(rng, "request", lang)
        meta = drawn["meta"]
        act, thing = drawn["key"].split(":")[2:]
        aid = general.HELP[lang].format(a=general.noun(act, lang), o=general.noun(thing, lang))
        refuse.append(rewards.general(detokenize(general.DECLINE[lang]), meta, "")[0])
        help_all.append(rewards.general(detokenize(aid), meta, "")[0])
        assert refuse[-1] is meta["decline"]
        assert help_all[-1] is not meta["decline"]
    assert 0.3 < sum(refuse) / 200 < 0.7
