"""Which tokens exist, and how do they join into natural text? A closed, word-level vocabulary in
two languages.

Inside the world a text is a space-separated string of tokens; `detokenize` gives the natural text
that people, graders and traces see. The tokenizer made here is an ordinary `tokenizers.Tokenizer`;
it is its exact inverse.
"""

import re

from r1book.world import chains, countdown, general, numerals, programs, quantities
from r1book.world.phrases import PHRASES, TEMPLATES

PAD, BOS, EOS, UNK = "<pad>", "<bos>", "<eos>", "<unk>"
TAGS = (
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
    "<user>",
    "<assistant>",
    "<summary>",
    "</summary>",
)
NUMBERS = tuple(str(n) for n in range(100))
SYMBOLS = (
    *"+ - * = ( ) [ ] , . : ; ? ! % > < -> \n ``` _".split(" "),
    *(f"({letter})" for letter in quantities.LETTERS),
)
"""Signs; an option's letter in brackets is one, so that looking an option up is a single step."""
HAN = "\u4e00-\u9fff"


def _collect() -> tuple[str, ...]:
    """Return every word that a text of the world can contain, in a fixed order."""
    texts: list[str] = []
    for n in range(100):
        texts += [numerals.zh(n), numerals.en(n)]
    texts += ["得 times is"]
    for family in (chains, countdown):
        texts += [line for lang in ("en", "zh") for line in family.ASK[lang]]
    texts += [s for story in quantities.STORIES for s in (story.en, story.zh)]
    texts += list(quantities.LETTERS)
    texts += [shape for level in programs.SHAPES.values() for shape, _ in level]
    texts += [said for lang in ("en", "zh") for said in programs.SAID[lang].values()]
    texts += ["write f for 写 f def f ( x ) : return x y and 和"]
    texts += [
        w
        for table in (general.NOUNS, general.ADJECTIVES, general.VERBS, general.ACTS)
        for pair in table.items()
        for w in pair
    ]
    for table in (general.FACT_SAID, general.FACT_ASKED, general.ASK_INSTRUCT):
        texts += [line for pair in table.values() for line in pair]
    for table in (general.GREETINGS, general.WHO, general.SELF, general.OTHERS, general.RUDE):
        texts += [line for lang in ("en", "zh") for line in table[lang]]
    for table in (general.DECLINE, general.HELP):
        texts += list(table.values())
    texts += ["用 英语 怎么 说 what is in chinese 翻译 成 英语 say in chinese 我 怎么 how do i a"]
    texts += list(TEMPLATES.values()) + [line for lines in PHRASES.values() for line in lines]
    found: dict[str, None] = {}
    for text in texts:
        for token in re.sub(r"\{[^}]*\}", " ", text).split(" "):
            if token and token not in SYMBOLS and token not in NUMBERS and token not in TAGS:
                found[token] = None
    return tuple(found)


WORDS = _collect()
VOCAB = (PAD, BOS, EOS, UNK, *TAGS, *NUMBERS, *SYMBOLS, *WORDS)
IDS = {token: i for i, token in enumerate(VOCAB)}
ZH_WORDS = frozenset(w for w in WORDS if re.search(f"[{HAN}]", w))
EN_WORDS = frozenset(w for w in WORDS if re.fullmatch(r"[a-z][a-z0-9']*", w))

_RULES = (
    (re.compile(r" (?=[,.:;?!)\]])"), ""),
    (re.compile(r"(?<=[(\[]) "), ""),
    (re.compile(f"(?<=[{HAN}]) (?=[{HAN}])"), ""),
    (re.compile(r" ?\n ?"), "\n"),
)


def detokenize(text: str) -> str:
    """Return natural text for a space-separated string of tokens.

    >>> detokenize("试 ( 7 - 1 ) * 4 = 24 , 对 .")
    '试 (7 - 1) * 4 = 24, 对.'
    """
    for pattern, by in _RULES:
        text = pattern.sub(by, text)
    return text


def encode(text: str) -> list[int]:
    """Return token ids of a space-separated string; KeyError on a token outside the vocabulary (a
    bug in the world)."""
    return [IDS[token] for token in text.split(" ") if token]


_HAN_WORDS = sorted((w for w in ZH_WORDS if len(w) > 1), key=lambda w: (-len(w), w))
PATTERN = "|".join(
    [
        r"</?[a-z]+>",
        "->",
        "```",
        r"\([a-d]\)",
        r"[a-z][a-z0-9']*",
        "[0-9]+",
        *map(re.escape, _HAN_WORDS),
        f"[{HAN}]",
        r"\n",
        r"[^\s]",
    ]
)
"""What counts as one token in natural text: tags, words, numbers, Chinese words (longest first),
single signs."""


def split_words(text: str) -> list[str]:
    """Return the tokens of a text, natural or space-separated, in lower case; also those outside
    the vocabulary.

    >>> split_words("等等, try (7 - 1)")
    ['等等', ',', 'try', '(', '7', '-', '1', ')']
    """
    return re.findall(PATTERN, text.lower())


def build_tokenizer():
    """Return the `tokenizers.Tokenizer` of the world: word level, lower-casing, with a decoder that
    gives natural text.

    `decode(encode(t).ids) == t` for every natural text of the world; unknown words become <unk>.
    """
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
    )

    tok = Tokenizer(models.WordLevel({t: i for i, t in enumerate(VOCAB)}, unk_token=UNK))
    tok.normalizer = normalizers.Lowercase()
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.Split(Regex(r"[^\S\n]+"), behavior="removed"),
        ]
    )
    tok.decoder = decoders.Sequence(
        [
            decoders.WordPiece(prefix="@@", cleanup=False),
            decoders.Fuse(),
            *[decoders.Replace(Regex(p.pattern), by) for p, by in _RULES],
        ]
    )
    tok.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t in (PAD, BOS, EOS, UNK)]
    )
    return tok
