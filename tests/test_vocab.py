"""Is the tokenizer the inverse of the natural text, and is the vocabulary closed and small?"""

import random
import re

import pytest

from r1book import problems, prompts
from r1book.world import corpus, countdown, general, numerals, programs, quantities, vocab
from r1book.world.phrases import PHRASES, TEMPLATES


@pytest.fixture(scope="module")
def tokenizer():
    return vocab.build_tokenizer()


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """A few thousand documents of all mixtures, as tokens."""
    rng = random.Random(11)
    mixes = [corpus.TRUNK, *(corpus.anneal(a) for a in ("off", "weak", "strong", "reversed"))]
    return [corpus.document(rng, mixes[i % 5]) for i in range(2500)]


def test_decode_inverts_encode_on_documents(tokenizer, texts):
    natural = [vocab.detokenize(text) for text in texts]
    encoded = tokenizer.encode_batch(natural, add_special_tokens=False)
    for text, told, tokens in zip(texts, natural, encoded, strict=True):
        assert tokens.ids == vocab.encode(text), text
        assert tokenizer.decode(tokens.ids, skip_special_tokens=False) == told
        assert vocab.split_words(told.replace("\n", " \n ")) == text.split(" ") or not text.strip()
        assert vocab.UNK not in tokens.tokens


def test_documents_read_as_natural_text(texts):
    natural = [vocab.detokenize(text) for text in texts]
    for text in natural:
        assert not re.search(r" [,.;:?!)]", text)
        assert "( " not in text
        assert not re.search("[\u4e00-\u9fff] [\u4e00-\u9fff]", text)
        assert "  " not in text.strip()
    assert sum("\n" in text for text in natural) > 35


TORN = "这 不行 , 因为"


def stock() -> list[str]:
    """Every stock phrase, also those that no document uses yet."""
    # "tasks" also holds lists of single words, which never stand beside each other in a text
    lines = [line for kind, lines in PHRASES.items() if kind != "tasks" for line in lines]
    lines += [line for line in PHRASES["tasks"] if "{}" in line]
    lines = [line.replace("{}", "7") for line in lines]
    lines += [line.format(question="what is 3 + 4 ?") for line in TEMPLATES.values()]
    for lang in ("en", "zh"):
        lines += [numerals.words(n, lang) for n in range(100)]
        lines += [numerals.rhyme(a, b, lang) for a in range(1, 10) for b in range(a, 10)]
        lines += [text.format(a=3, b=4, c=5) for text in programs.SAID[lang].values()]
        lines += [text.format("1 , 2", 3) for text in countdown.ASK[lang]]
        lines += [*general.GREETINGS[lang], *general.WHO[lang], *general.SELF[lang]]
        lines += [*general.OTHERS[lang], *general.RUDE[lang], general.DECLINE[lang]]
    for story in quantities.STORIES:
        lines += [text.format(x=3, y=4, z=5) for text in (story.en, story.zh)]
    return [re.sub(r"\{[a-z]*\}", "3", line) for line in lines]


def test_every_stock_phrase_survives(tokenizer):
    lost = []
    for line in stock():
        ids = tokenizer.encode(vocab.detokenize(line), add_special_tokens=False).ids
        if ids != vocab.encode(line):
            lost.append(line)
        assert tokenizer.decode(ids) == vocab.detokenize(line)
    assert lost == []


def test_the_phrase_that_is_torn_survives(tokenizer):
    assert tokenizer.encode(vocab.detokenize(TORN)).ids == vocab.encode(TORN)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_sentence_of_five_words_survives(tokenizer, lang):
    rng = random.Random(2)
    for _ in range(1500):
        text = general.sentence(general.draw_sentence(rng), lang)
        assert vocab.split_words(vocab.detokenize(text)) == text.split()
        assert tokenizer.encode(vocab.detokenize(text)).ids == vocab.encode(text)


def test_detokenize_and_split_words_by_hand():
    assert vocab.detokenize("试 ( 7 - 1 ) * 4 = 24 , 对 .") == "试 (7 - 1) * 4 = 24, 对."
    assert vocab.detokenize("a \n ``` \n 7 \n ```") == "a\n```\n7\n```"
    assert vocab.detokenize("hello , how are you ?") == "hello, how are you?"
    assert vocab.detokenize("def f ( x ) : return x + 3") == "def f (x): return x + 3"
    assert vocab.split_words("4 -> 9, (a) 12") == ["4", "->", "9", ",", "(a)", "12"]
    assert vocab.split_words("<think> Wait </think>") == ["<think>", "wait", "</think>"]
    assert vocab.split_words("老老师") == ["老", "老师"]
    assert vocab.split_words("五十六") == ["五", "十", "六"]
    assert vocab.split_words("") == []


def test_the_vocabulary_is_small_closed_and_without_duplicates(tokenizer):
    assert len(vocab.VOCAB) == len(set(vocab.VOCAB)) == len(vocab.IDS) <= 700
    assert tokenizer.get_vocab_size() == len(vocab.VOCAB)
    for i, token in enumerate(vocab.VOCAB):
        assert tokenizer.token_to_id(token) == i == vocab.IDS[token]
    assert vocab.VOCAB[:4] == ("<pad>", "<bos>", "<eos>", "<unk>")
    assert all(str(n) in vocab.IDS for n in range(100))
    assert not any(" " in token for token in vocab.VOCAB)


def test_languages_of_the_words():
    assert not vocab.ZH_WORDS & vocab.EN_WORDS
    assert {"等等", "七", "对不起"} <= vocab.ZH_WORDS
    assert {"wait", "seven", "sorry", "r1"} <= vocab.EN_WORDS


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("zebra", ["<unk>"]),
        ("what is 100 ?", ["what", "is", "<unk>", "?"]),
        ("WAIT", ["wait"]),
        ("猫和象", ["猫", "和", "<unk>"]),
        ("7*8=56", ["7", "*", "8", "=", "56"]),
        ("3 ÷ 4", ["3", "<unk>", "4"]),
        ("<think>7</think>", ["<think>", "7", "</think>"]),
        ("a\n\nb", ["a", "\n", "\n", "b"]),
        ("   ", []),
    ],
)
def test_foreign_text_becomes_unk(tokenizer, text, tokens):
    assert tokenizer.encode(text, add_special_tokens=False).tokens == tokens


def test_encode_refuses_what_the_world_does_not_know():
    with pytest.raises(KeyError):
        vocab.encode("the zebra")


@pytest.mark.parametrize("template", [*TEMPLATES, "report"])
def test_prompts_hold_the_question_and_known_tokens(tokenizer, template):
    for family in ("math", "logic", "stem", "code", "general"):
        for problem in problems.load(family, 20, seed=4, split="dev"):
            prompt = prompts.render(problem, template)
            assert problem.question.rstrip(".?") in prompt
            if template != "report":
                ids = tokenizer.encode(prompt, add_special_tokens=False).ids
                assert vocab.IDS["<unk>"] not in ids
                assert tokenizer.decode(ids, skip_special_tokens=False) == prompt


def test_prompts_by_hand():
    question = "what is 3 + 4 - 2?"
    assert prompts.render(question) == (
        "the assistant thinks in <think> </think> and answers in <answer> </answer>."
        " user: what is 3 + 4 - 2? assistant:"
    )
    assert prompts.render(question, "plain") == "question: what is 3 + 4 - 2? answer:"
    assert prompts.render(question, "talk") == "user: what is 3 + 4 - 2? assistant:"
    assert prompts.render(question, "chat") == "<user> what is 3 + 4 - 2? <assistant>"
    assert prompts.render(question, "report").endswith("User: what is 3 + 4 - 2. Assistant:")
    assert prompts.render("{x} {question}", "plain") == "question: {x} {question} answer:"
    with pytest.raises(ValueError, match="r1_one"):
        prompts.render(question, "r1_one")


def test_a_prompt_is_the_beginning_of_the_documents_it_asks_for(texts):
    heads = [prompts.render("#", t).partition("#")[0] for t in ("r1_zero", "plain", "talk")]
    natural = [vocab.detokenize(text) for text in texts]
    for head in heads:
        assert sum(text.startswith(head) for text in natural) > 50
