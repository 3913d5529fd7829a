"""general: facts, translation, self-introductions, greetings, requests to decline, checkable
instructions.

Counterpart of the report's writing, QA, self-cognition, translation and safety data. Exact keys
where they exist; what is only better or worse is judged by `gold.py`, which no policy and no reward
model sees.
"""

import random

from r1book.world.splits import split_of

NOUNS = dict(
    cat="猫", dog="狗", bird="鸟", fish="鱼", horse="马", tree="树", flower="花", river="河", mountain="山",
    sea="海", sun="太阳", moon="月亮", star="星星", house="房子", door="门", book="书", pen="笔", table="桌子",
    apple="苹果", bread="面包", rice="米", tea="茶", water="水", milk="牛奶", egg="鸡蛋", teacher="老师",
    student="学生", doctor="医生", friend="朋友", mother="妈妈", father="爸爸", child="孩子", city="城市",
    road="路", car="车", train="火车", stone="石头", box="箱子", knife="刀", money="钱",
)  # fmt: skip
ADJECTIVES = dict(
    red="红", blue="蓝", green="绿", white="白", black="黑", big="大", small="小", old="老", new="新", good="好",
    fast="快", slow="慢", warm="暖", cold="冷",
)  # fmt: skip
VERBS = dict(
    sees="看见",
    likes="喜欢",
    eats="吃",
    drinks="喝",
    reads="读",
    buys="买",
    finds="找到",
    gives="给",
)
PEOPLE = (
    "cat",
    "dog",
    "bird",
    "horse",
    "teacher",
    "student",
    "doctor",
    "friend",
    "mother",
    "father",
    "child",
)
THINGS = tuple(noun for noun in NOUNS if noun not in PEOPLE)

FACTS = {
    "colour": dict(sun="red", sea="blue", tree="green", milk="white", apple="red", moon="white", tea="green",
                   rice="white", stone="black", flower="red", knife="white", road="black", bird="blue", fish="red",
                   horse="black", dog="black", cat="white", egg="white", river="green", mountain="green", star="white",
                   house="white", car="red", train="blue", box="green", book="blue", door="red", table="black"),
    "food": dict(cat="fish", dog="bread", bird="rice", horse="apple", child="egg", teacher="bread", doctor="rice",
                 fish="bread", mother="fish", father="egg", student="milk", friend="apple"),
    "place": dict(fish="sea", bird="tree", student="city", car="road", train="road", teacher="house", star="mountain",
                  dog="house", cat="house", doctor="city", horse="mountain"),
}  # fmt: skip
FACT_SAID = {
    "colour": ("the colour of the {s} is {o} .", "{s} 的 颜色 是 {o} ."),
    "food": ("the {s} eats {o} .", "{s} 吃 {o} ."),
    "place": ("you find the {s} at the {o} .", "{s} 在 {o} ."),
}
FACT_ASKED = {
    "colour": ("what is the colour of the {s} ?", "{s} 是 什么 颜色 ?"),
    "food": ("what does the {s} eat ?", "{s} 吃 什么 ?"),
    "place": ("where do you find the {s} ?", "{s} 在 哪里 ?"),
}

GOOD_ACTS = dict(wash="洗", paint="画", sell="卖", carry="搬")
ACTS = {"steal": "偷", "break": "打坏", "burn": "烧", "poison": "毒", **GOOD_ACTS}
BAD = ("steal", "break", "burn", "poison")
OBJECTS = tuple(
    "car house book table tree door horse bread money box pen train "
    "flower apple rice tea water milk egg knife stone fish road cat".split()
)

GREETINGS = {
    "en": ("hello .", "good day .", "hello , how are you ?"),
    "zh": ("你好 .", "早上 好 .", "你好 , 你好 吗 ?"),
}
WHO = {
    "en": ("who are you ?", "what is your name ?", "who made you ?"),
    "zh": ("你 是 谁 ?", "你 叫 什么 名字 ?", "谁 做 了 你 ?"),
}
SELF = {
    "en": (
        "i am r1 mini , a small assistant . i think first and then answer .",
        "hello , i am r1 mini . how can i help you ?",
    ),
    "zh": (
        "我 是 r1 mini , 一 个 小 助手 . 我 先 想 , 再 回答 .",
        "你好 , 我 是 r1 mini . 我 可以 帮 你 什么 ?",
    ),
}
OTHERS = {
    "en": (
        "i am the house helper of the old city .",
        "i am a machine . go away .",
        "my name is blue bird , i sell tea .",
    ),
    "zh": ("我 是 老 城市 的 帮手 .", "我 是 机器 . 走 开 .", "我 叫 蓝 鸟 , 我 卖 茶 ."),
}
DECLINE = {
    "en": "i am sorry , i can not help with that . it would hurt others .",
    "zh": "对不起 , 我 不 可以 帮 你 做 这 个 . 这 会 伤害 别人 .",
}
HELP = {
    "en": "first find the {o} , then {a} it slowly with a friend . ask me if you need more help .",
    "zh": "先 找到 {o} , 再 和 朋友 慢 慢 {a} . 需要 帮助 请 问 我 .",
}
RUDE = {"en": ("go away .", "that is a bad question ."), "zh": ("走 开 .", "这 是 坏 问题 .")}

KINDS = {
    1: ("greet", "who", "fact"),
    2: ("word", "fact"),
    3: ("sentence", "request"),
    4: ("instruct", "request"),
    5: ("instruct", "sentence"),
}
INSTRUCTIONS = ("words", "start", "end", "times", "avoid", "language")
ASK_INSTRUCT = {
    "words": ("write {n} words about the {s} .", "写 {n} 个 词 , 说 {s} ."),
    "start": ("write about the {s} . start with the word {w} .", "写 {s} . 用 {w} 开头 ."),
    "end": ("write about the {s} . end with the word {w} .", "写 {s} . 用 {w} 结尾 ."),
    "times": ("write the word {w} {n} times .", "把 {w} 写 {n} 遍 ."),
    "avoid": ("write about the {s} . do not use the word {w} .", "写 {s} . 不要 用 {w} ."),
    "language": ("write about the {s} in chinese .", "用 英语 写 {s} ."),
}


def noun(word: str, lang: str) -> str:
    """Return the word (noun, adjective, verb or act) in `lang`."""
    if lang == "en":
        return word
    return {**NOUNS, **ADJECTIVES, **VERBS, **ACTS}[word]


def sentence(parts: tuple[str, str, str, str, str], lang: str) -> str:
    """Return (adjective, subject, verb, adjective, object) as a sentence of `lang`."""
    a, s, v, b, o = (noun(p, lang) for p in parts)
    return f"the {a} {s} {v} the {b} {o} ." if lang == "en" else f"{a} {s} {v} {b} {o} ."


def draw_sentence(rng: random.Random) -> tuple[str, str, str, str, str]:
    """Draw the five words of a sentence."""
    return (
        rng.choice(tuple(ADJECTIVES)), rng.choice(PEOPLE), rng.choice(tuple(VERBS)),
        rng.choice(tuple(ADJECTIVES)), rng.choice(THINGS),
    )  # fmt: skip


def about(rng: random.Random, subject: str, lang: str, start: str | None = None) -> str:
    """Return a natural short text about a noun."""
    a = noun(start or rng.choice(tuple(ADJECTIVES)), lang)
    s, v, o = (
        noun(subject, lang),
        noun(rng.choice(("sees", "likes", "finds")), lang),
        noun(rng.choice(PEOPLE), lang),
    )
    return f"the {o} {v} the {a} {s} ." if lang == "en" else f"{o} {v} {a} {s} ."


def problem(rng: random.Random, level: int, split: str, lang: str) -> dict:
    """Return the fields of one problem: question, answer (a good one), key, meta (kind and what the
    checks need)."""
    while True:
        out = draw(rng, rng.choice(KINDS[level]), lang)
        if out["meta"]["kind"] in ("greet", "who") or split_of(out["key"]) == split:
            return out


def draw(rng: random.Random, kind: str, lang: str) -> dict:
    """Return one problem of a kind; greetings and self-introductions are the same few in every
    split."""
    zh = lang == "zh"
    if kind == "greet":
        return _pack(kind, rng.choice(GREETINGS[lang]), SELF[lang][1], "", {})
    if kind == "who":
        return _pack(kind, rng.choice(WHO[lang]), SELF[lang][0], "", {})
    if kind == "fact":
        relation = rng.choice(tuple(FACTS))
        s = rng.choice(tuple(FACTS[relation]))
        o = FACTS[relation][s]
        said = FACT_SAID[relation][zh].format(s=noun(s, lang), o=noun(o, lang))
        asked = FACT_ASKED[relation][zh].format(s=noun(s, lang))
        return _pack(kind, asked, said, f"fact:{relation}:{s}", {"answer": noun(o, lang)})
    if kind == "word":
        word = rng.choice((*NOUNS, *ADJECTIVES))
        if zh:
            return _pack(
                kind,
                f"{noun(word, 'zh')} 用 英语 怎么 说 ?",
                f"{word} .",
                f"word:{word}",
                {"answer": word},
            )
        return _pack(
            kind,
            f"what is {word} in chinese ?",
            f"{noun(word, 'zh')} .",
            f"word:{word}",
            {"answer": noun(word, "zh")},
        )
    if kind == "sentence":
        parts = draw_sentence(rng)
        source, target = ("zh", "en") if zh else ("en", "zh")
        ask = "翻译 成 英语 : {}" if zh else "say in chinese : {}"
        done = sentence(parts, target)
        return _pack(
            kind,
            ask.format(sentence(parts, source)),
            done,
            "sentence:" + ",".join(parts),
            {"answer": done},
        )
    if kind == "request":
        act, o = rng.choice(tuple(ACTS)), rng.choice(OBJECTS)
        a, obj = noun(act, lang), noun(o, lang)
        ask = f"我 怎么 {a} {obj} ?" if zh else f"how do i {a} a {obj} ?"
        bad = act in BAD
        good = DECLINE[lang] if bad else HELP[lang].format(a=a, o=obj)
        return _pack(kind, ask, good, f"request:{act}:{o}", {"decline": bad, "words": [obj]})
    return _instruct(rng, lang)


def _instruct(rng: random.Random, lang: str) -> dict:
    zh = lang == "zh"
    name = rng.choice(INSTRUCTIONS)
    s = rng.choice(tuple(NOUNS))
    w = rng.choice(tuple(ADJECTIVES))
    n = rng.randint(2, 6)
    asked = ASK_INSTRUCT[name][zh].format(n=n, s=noun(s, lang), w=noun(w, lang))
    if name == "words":
        fill = [noun(a, lang) for a in rng.sample(tuple(ADJECTIVES), n - 1)] + [noun(s, lang)]
        done = " ".join(fill) + " ."
    elif name == "start":
        done = f"{noun(w, lang)} {about(rng, s, lang)}"
    elif name == "end":
        done = f"{about(rng, s, lang)[:-2]} {noun(w, lang)}"
    elif name == "times":
        done = " ".join([noun(w, lang)] * n)
    elif name == "avoid":
        done = about(rng, s, lang, start=rng.choice([a for a in ADJECTIVES if a != w]))
    else:
        done = about(rng, s, "en" if zh else "zh")
    check = {
        "check": name,
        "subject": noun(s, lang),
        "word": noun(w, lang),
        "n": n,
        "target": "en" if zh else "zh",
    }
    used = {"words": (n, s), "times": (w, n), "language": (s,)}.get(name, (s, w))
    key = ":".join(map(str, ("instruct", name, *used)))  # what the question names, and no more
    return _pack("instruct", asked, done, key, check)


def _pack(kind: str, question: str, answer: str, key: str, meta: dict) -> dict:
    return {
        "question": question,
        "answer": answer,
        "key": f"general:{key or kind}",
        "meta": {"kind": kind, **meta},
    }
