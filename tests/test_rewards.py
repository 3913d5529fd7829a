"""Do the graders judge hostile answers as written down here, by hand, for accuracy and format?

Free-form problems are in test_rewards_general.py, random text in test_rewards_fuzz.py.
"""

import pytest

from r1book import rewards
from r1book.problems import Problem
from r1book.rewards import Score


def problem(family: str, answer: str, **meta) -> Problem:
    return Problem("by-hand", family, 1, "en", "?", answer, f"{family}:x", "train", meta)


MATH = problem("math", "24")
LOGIC = problem("logic", "(7 - 1) * 4", numbers=[7, 1, 4], target=24)
TWINS = problem("logic", "8 - 8 + 3", numbers=[8, 8, 3], target=3)
STEM = problem("stem", "b")
CODE = problem("code", "def f (x): return x + 3", tests=[[[x], x + 3] for x in range(10)])

LONG = "9" * 100_000
WHOLE = [
    # text, accuracy of an answer that should be 24, format
    ("<think> a </think> <answer> 24 </answer>", 1, 1),
    ("<think>a</think><answer>24</answer>", 1, 1),
    ("\n <think>\n a\n</think>\n\n<answer>\n24\n</answer> \n", 1, 1),
    ("so <think> a </think> <answer> 24 </answer>", 1, 0),
    ("<think> a </think> so <answer> 24 </answer>", 1, 0),
    ("<think> a </think> <answer> 24 </answer> .", 1, 0),
    ("<think> a </think> <answer> 24 </answer> <answer> 24 </answer>", 0, 0),
    ("<think> a </think> <answer> 23 </answer> <answer> 24 </answer>", 0, 0),
    ("<think> a </think> <answer> <answer> 24 </answer> </answer>", 0, 0),
    ("<think> a </think> <answer> 24 </answer> </answer>", 0, 0),
    ("<think> a </think> <answer> 24", 0, 0),
    ("<think> a </think> 24 </answer>", 0, 0),
    ("<think> a </think> </answer> 24 <answer>", 0, 0),
    ("<think> a </think> the answer is 24 .", 0, 0),
    ("24", 0, 0),
    ("", 0, 0),
    ("   ", 0, 0),
    ("<think> a </think> <answer> </answer>", 0, 0),
    ("<think> a </think> <answer></answer>", 0, 0),
    ("<think> </think> <answer> 24 </answer>", 1, 0),
    ("<think></think><answer>24</answer>", 1, 0),
    ("<answer> 24 </answer>", 1, 0),
    ("<answer> 24 </answer> <think> a </think>", 0, 0),
    ("<think> a <answer> 24 </answer> </think>", 0, 0),
    ("<think> a <answer> 24 </answer> </think> <answer> 23 </answer>", 0, 0),
    ("<think> a <answer> 24 </answer> </think> the answer is 24", 0, 0),
    ("</think> <think> a <answer> 24 </answer> </think>", 0, 0),
    ("a <answer> 24 </answer> </think>", 0, 0),
    ("<think> a </think> <think> <answer> 24 </answer> </think>", 0, 0),
    ("<think> a <think> b </think> <answer> 24 </answer> </think>", 0, 0),
    ("<think> a <answer> 24 </answer>", 1, 0),
    ("a </think> <answer> 24 </answer>", 1, 0),
    ("<think> a </think> b </think> <answer> 24 </answer>", 1, 0),
    ("<think> a <think> b </think> <answer> 24 </answer>", 1, 0),
    ("<think> a </think> <answer> 24 <think> b </think> </answer>", 0, 0),
    ("<think> a </think> <answer> 24 </think> </answer>", 0, 0),
    ("<THINK> a </THINK> <ANSWER> 24 </ANSWER>", 0, 0),
    ("< think > a < / think > < answer > 24 < / answer >", 0, 0),
    ("<think> a </think> <answer > 24 </answer >", 0, 0),
    ("<think> a </think> <answer/> 24", 0, 0),
    ("&lt;answer&gt; 24 &lt;/answer&gt;", 0, 0),
    ("<think> a </think> ``` <answer> 24 </answer> ```", 1, 0),
    ("<think> 等等 </think> <answer> 24 </answer>", 1, 1),
    ("<think> a \x00 \x1b[2J </think> <answer> 24 </answer>", 1, 1),
    (f"<think> {LONG} </think> <answer> 24 </answer>", 1, 1),
    (f"<think> a </think> <answer> {LONG} </answer>", 0, 1),
    (LONG, 0, 0),
    ("<answer>" * 500 + "24" + "</answer>" * 500, 0, 0),
]


@pytest.mark.parametrize(("text", "right", "form"), WHOLE)
def test_whole_completions(text, right, form):
    assert rewards.accuracy(text, MATH).total == right
    assert rewards.format(text).total == form


ANSWERS = {
    "math": [
        *(("24", 1), ("24.", 1), ("24 .", 1), ("+24", 1), ("24.0", 1), ("24.000.", 1), ("024", 1)),
        *(("\n\t24\n", 1), ("\u00a024\u3000", 1)),
        *(("-24", 0), ("- 24", 0), ("--24", 0), ("23", 0), ("240", 0), ("2 4", 0), ("2\n4", 0)),
        *(("24 = 24", 0), ("24 24", 0), ("24, 25", 0), ("24 or 25", 0), ("2,4", 0), ("24,000", 0)),
        *(("24.5", 0), ("24.01", 0), ("2.4e1", 0), ("0x18", 0), ("0b11000", 0), ("2_4", 0)),
        *(("２４", 0), ("٢٤", 0), ("²⁴", 0), ("二十四", 0), ("twenty four", 0), ("XXIV", 0)),
        *(("20 + 4", 0), ("48 / 2", 0), ("(24)", 0), ("[24]", 0), ("$24$", 0), ("\\boxed{24}", 0)),
        *(("24!", 0), ("the answer is 24", 0), ("24 kg", 0), ("24\x00", 0), ("24\u200b", 0)),
        *(("int('24')", 0), ("__import__('os')", 0), ("None", 0), ("nan", 0), ("inf", 0)),
        *((".", 0), ("+", 0), ("24..", 0), ("9" * 350, 0), ("1" + "0" * 8 + "24", 0)),
    ],
    "logic": [
        *(("(7 - 1) * 4", 1), ("(7-1)*4", 1), ("4 * (7 - 1)", 1), ("((7 - 1)) * (4)", 1)),
        *((" ( 7 -\n1 )\t* 4 ", 1), ("4*7 - 4*1", 0), ("(7 - 1) * 4 = 24", 0), ("24", 0)),
        *(("24 = 24", 0), ("(7 - 1) * 4 == 24", 0), ("7 < 24 < 25", 0), ("7 * 4 - 1", 0)),
        *(("7 - 1 * 4", 0), ("(7 - 1) * 4 + 0", 0), ("(7 - 1) * 4 * 1", 0), ("(7 - 1) * (4", 0)),
        *(("(7 - 1) * 4)", 0), ("(7 - 1) 4", 0), ("(7 - 1)(4)", 0), ("7 - 1", 0), ("4 * 6", 0)),
        *(("-(1 - 7) * 4", 0), ("(7 + -1) * 4", 0), ("+7", 0), ("(7 - 1) ** 4", 0)),
        *(("(7 - 1) * * 4", 0), ("9 ** 9 ** 9", 0), ("(7 - 1) / 4", 0), ("(7 - 1) // 4", 0)),
        *(("(7 - 1) % 4", 0), ("(7.0 - 1) * 4", 0), ("(07 - 1) * 4", 0), ("(7 - 1) × 4", 0)),
        *(("(７ - 1) * 4", 0), ("(7 − 1) * 4", 0), ("7 - 1, 4", 0), ("(7 - 1) * 4, 24", 0)),
        *(("(7 - 1) * 4.", 0), ("[(7 - 1) * 4]", 0), ("(7 - 1) * 4 # 24", 0), ("lambda: 24", 0)),
        *(("eval('24')", 0), ("__import__('os').system('x')", 0), ("print(24)", 0), ("7 if 1", 0)),
        *(("(7 - 1) * 4; 24", 0), ("(7 - 1) * 4\n(7 - 1) * 4", 0), ("x = 24", 0), ("", 0)),
        *(("(" * 60 + "7" + ")" * 60, 0), ("1+" * 59 + "1", 0), ("(" * 200, 0), ("()", 0)),
        *(("9" * 110, 0), ("9" * 399, 0), ("7 - 1 * 4\x00", 0), ("(7 & 1) * 4", 0), ("*", 0)),
    ],
    "stem": [
        *(("b", 1), ("B", 1), ("(b)", 1), ("( b )", 1), ("b.", 1), ("(B).", 1), ("b)", 1)),
        *(("a", 0), ("e", 0), ("a b", 0), ("ab", 0), ("bb", 0), ("b b", 0), ("a, b", 0)),
        *(("b or c", 0), ("(a) (b)", 0), ("not a", 0), ("option b", 0), ("b 24", 0), ("24", 0)),
        *(("ｂ", 0), ("б", 0), ("в", 0), ("2", 0), ("", 0), ("()", 0), ("[b]", 0), ("b?", 0)),
        *(("a|b|c|d", 0), ("b\x00", 0), ("b" * 399, 0), ("chr(98)", 0), ("乙", 0)),
    ],
    "code": [
        *(("def f (x): return x + 3", 1), ("def f(x):\n    return 3 + x", 1)),
        *(("def f(y):\n  z = y\n  z += 3\n  return z", 1), ("```\ndef f(x): return x + 3\n```", 1)),
        *(("```python\ndef f(x): return x + 3\n```", 1), ("``` def f(x): return x + 3 ```", 1)),
        *(("def f(x): return x + 4", 0), ("def g(x): return x + 3", 0), ("x + 3", 0), ("", 0)),
        *(("return x + 3", 0), ("def f(x): x + 3", 0), ("def f(x): print(x + 3)", 0)),
        *(("def f(x): return x + 3\nprint(1)", 0), ("f = lambda x: x + 3", 0), ("def f(", 0)),
        *(("def f(x): return x + 3.0", 0), ("def f(x): return str(x + 3)", 0)),
        *(("def f(): return 3", 0), ("def f(x): return f(x)", 0), ("import os", 0)),
        *(("def f(x):\n while True: pass", 0), ("def f(x): return 9**9**9", 0)),
        *(("def f(x): return eval('x+3')", 0), ("def f(x): return x.real + 3", 0)),
        *(("def f(x): return True", 0), ("class f: pass", 0), ("def f(x): return x + 3\x00", 0)),
        *(("``` def f(x): return x + 3", 0), ("ｄｅｆ f(x): return x + 3", 0)),
    ],
}
PROBLEMS = {"math": MATH, "logic": LOGIC, "stem": STEM, "code": CODE}


@pytest.mark.parametrize(
    ("family", "answer", "right"),
    [(family, *row) for family in ("math", "logic", "stem") for row in ANSWERS[family]],
)
def test_answers_of_a_family(family, answer, right):
    text = f"<think> a </think> <answer> {answer} </answer>"
    assert rewards.accuracy(text, PROBLEMS[family]).total == right
    assert rewards.format(text).total == bool(answer.strip())


def test_programs_are_judged_together_and_in_order():
    pairs = [(f"<think> a </think> <answer> {a} </answer>", CODE) for a, _ in ANSWERS["code"]]
    pairs.insert(3, ("<think> a </think> <answer> 24 </answer>", MATH))
    got = [score.total for score in rewards.accuracies(pairs)]
    expected = [right for _, right in ANSWERS["code"]]
    expected.insert(3, 1)
    wrong = [pairs[i][0] for i in range(len(got)) if got[i] != expected[i]]
    assert wrong == []
    assert rewards.accuracy(pairs[0][0], CODE).total == 1
    answer = "def f (x): return x + 3"
    assert rewards.code(answer, CODE.meta, CODE.answer)[0] is True


def test_a_number_given_twice_is_used_twice():
    for answer, right in [
        ("8 - 8 + 3", 1),
        ("3 + 8 - 8", 1),
        ("3", 0),
        ("8 - 3 - 2", 0),
        ("3 * 1", 0),
    ]:
        assert rewards.logic(answer, TWINS.meta, TWINS.answer)[0] is bool(right)


def test_scores_say_why():
    score = rewards.accuracy("<think> a </think> <answer> 23 </answer>", MATH)
    assert score.parts == {"accuracy": 0.0}
    assert score.why == "23 against 24"
    assert "2 times" in rewards.format("<think> <think> a </think> <answer> b </answer>").why
    assert (
        "numbers" in rewards.logic("7 + 4", LOGIC.meta, "")[1]
        or "uses" in rewards.logic("7 + 4", LOGIC.meta, "")[1]
    )


def test_an_unknown_family_is_refused():
    poem = problem("poetry", "x")
    for grade in (rewards.accuracy, rewards.canonical):
        with pytest.raises(ValueError, match="poetry"):
            grade("<answer> x </answer>", poem)


@pytest.mark.parametrize(
    ("family", "answer", "form"),
    [
        *(("math", "24", "24"), ("math", "024.0", "24"), ("math", "+24 .", "24")),
        *(("math", "-3", "-3"), ("math", "-0", "0"), ("math", "20 + 4", None)),
        *(("stem", "(B).", "b"), ("stem", "b", "b"), ("stem", "a b", None)),
        *(("logic", "(7 - 1) * 4", "((7-1)*4)"), ("logic", "4*(7-1)", "((7-1)*4)")),
        *(("logic", "1 - 7 * 4", "(1-(4*7))"), ("logic", "7 + 1 + 4", "((1+7)+4)")),
        *(("logic", "5", "5"), ("logic", "(7 - 1) * 4 = 24", None), ("logic", "2 ** 3", None)),
        *(
            ("code", "```\ndef f(x): return x\n```", "def f(x): return x"),
            ("code", "```\n\n```", None),
        ),
        *(
            ("code", "def f(x): return x", "def f(x): return x"),
            ("general", " hello . ", "hello ."),
        ),
        *(("general", "", None), ("math", "", None), ("math", "9" * 500, None)),
    ],
)
def test_canonical_forms(family, answer, form):
    given = PROBLEMS.get(family, problem("general", "", kind="greet"))
    assert rewards.canonical(f"<think> a </think> <answer> {answer} </answer>", given) == form


@pytest.mark.parametrize(
    "text",
    ["24", "<think> <answer> 24 </answer> </think>", "<answer> 24 </answer> <answer> 24 </answer>"],
)
def test_canonical_needs_one_answer_after_the_thinking(text):
    assert rewards.canonical(text, MATH) is None


def test_equal_votes_are_equal_forms():
    votes = ["(7 - 1) * 4", "4 * (7 - 1)", "4*((7-1))", "7 * 4 - 1"]
    forms = [rewards.canonical(f"<think> a </think> <answer> {v} </answer>", LOGIC) for v in votes]
    assert forms[0] == forms[1] == forms[2] != forms[3]


def one(name: str, value: float) -> Score:
    return Score({name: value}, value, f"{name} {value}")


def test_total_is_the_weighted_sum():
    parts = {"accuracy": one("accuracy", 1.0), "format": one("format", 0.0)}
    both = rewards.total(parts, {"accuracy": 1.0, "format": 0.5})
    assert both.total == 1.0
    assert both.parts == {"accuracy": 1.0, "format": 0.0}
    parts = {"accuracy": one("accuracy", 1.0), "format": one("format", 1.0)}
    assert rewards.total(parts, {"accuracy": 1.0, "format": 0.5}).total == 1.5
    assert rewards.total(parts, {"format": 0.25}).total == 0.25
    assert rewards.total(parts, {}).total == 0
    assert "accuracy 1.0" in rewards.total(parts, {}).why


def test_total_cannot_judge_without_a_weighted_part():
    parts = {"accuracy": None, "format": one("format", 1.0)}
    assert rewards.total(parts, {"accuracy": 1.0, "format": 1.0}) is None
    unweighted = rewards.total(parts, {"format": 1.0})
    assert unweighted.total == 1.0
    assert unweighted.parts == {"format": 1.0}
    assert rewards.total(parts, {"accuracy": 0.0, "format": 1.0}).total == 1.0


def test_total_takes_a_thinking_without_words_as_consistent():
    parts = {"accuracy": one("accuracy", 0.0), "language": None}
    assert rewards.total(parts, {"accuracy": 1.0, "language": 0.5}).total == 0.5
    assert rewards.total(parts, {"accuracy": 1.0}).parts == {"accuracy": 0.0, "language": 1.0}


def test_total_refuses_a_weight_without_a_part():
    with pytest.raises(ValueError, match="language"):
        rewards.total({"accuracy": one("accuracy", 1.0)}, {"accuracy": 1.0, "language": 1.0})


@pytest.mark.parametrize(
    ("thinking", "target", "share"),
    [
        ("so 3 * 4 是 12", "en", 0.5),
        ("so 3 * 4 是 12", "zh", 0.5),
        ("try 7 - 1", "en", 1.0),
        ("七 八 五 十 六", "en", 0.0),
        ("7 - 1 = 6", "en", None),
    ],
)
def test_language_is_the_share_of_words(thinking, target, share):
    score = rewards.language(f"<think> {thinking} </think> <answer> wait </answer>", target)
    assert (score and score.total) == share
