"""Does the sandbox judge ordinary programs rightly?

What hostile ones do is tested in `test_sandbox_attacks.py`, what becomes of processes in
`test_sandbox_processes.py`; how fast it is, `benchmarks/sandbox.py` measures. Run this file alone
with `python -m pytest tests/test_sandbox.py`.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1book.allowlist import CALLABLE, OverLimit, Refused, compile_program, guards
from r1book.sandbox import Limits, Sandbox, Verdict, judge, same, shared

TESTS = [([1], 2), ([5], 6)]
ORDINARY = "def f(x): return x + 1"
PASSED = Verdict(True, ("pass", "pass"), "all tests passed (2)")


@pytest.fixture(scope="module")
def box():
    """One worker, so that whatever one program leaves the next one meets."""
    with Sandbox(workers=1) as sandbox:
        yield sandbox


def body(*lines: str) -> str:
    """Return a function of these lines."""
    return "def f(x):\n" + "".join(f"    {line}\n" for line in lines)


PROGRAMS = {
    "expression": ("def f(x, y): return (x - y) * 2 // 3 % 5", [([9, 2], 4), ([2, 9], 0)]),
    "spaces": ("def f ( x ) : return x * x + 3", [([2], 7)]),
    "branch": (body("if x > 3:", "    return 1", "elif x < 0: return -1", "return 0"), [([4], 1)]),
    "conditional": ("def f(x): return 'big' if x > 3 else 'small'", [([4], "big"), ([1], "small")]),
    "for": (body("s = 0", "for i in range(x): s += i", "return s"), [([5], 10), ([0], 0)]),
    "for else": (
        body("for i in x:", "    if i < 0: break", "else: return True", "return False"),
        [([[1, 2]], True), ([[1, -2]], False)],
    ),
    "while": (
        body("n = 0", "while x != 1:")[:-1] + " x, n = (x // 2, n + 1)\n    return n",
        [([8], 3)],
    ),
    "gcd": ("def f(a, b):\n    while b: a, b = b, a % b\n    return a", [([12, 18], 6)]),
    "recursion": ("def f(n): return n * f(n - 1) if n > 1 else 1", [([5], 120), ([0], 1)]),
    "comprehension": ("def f(xs): return [x * x for x in xs if x % 2]", [([[1, 2, 3]], [1, 9])]),
    "nested comprehension": (
        "def f(n): return [[i * j for i in range(n)] for j in range(n)]",
        [([2], [[0, 0], [0, 1]])],
    ),
    "generator": ("def f(xs): return any(x > 3 for x in xs)", [([[1, 4]], True), ([[]], False)]),
    "slices": ("def f(s): return s[::-1] + s[1:3] + s[-1]", [(["abc"], "cbabcc")]),
    "assignment to elements": (
        body("x[0], x[-1] = x[-1], x[0]", "x[1:2] = []", "return x"),
        [([[1, 2, 3]], [3, 1])],
    ),
    "in place": (
        body("y = x", "y += [4]", "x[0] += 5", "x[0] *= 2", "x[1] **= 3", "x[2] <<= 1", "return x"),
        [([[1, 2, 3]], [12, 8, 6, 4])],
    ),
    "not in place": (body("y = x", "y = y + [4]", "return x"), [([[1]], [1])]),
    "index evaluated once": (
        body("z = zip(x, x)", "x[len(list(z)) - 2] += 1", "return x"),
        [([[5, 5]], [6, 5])],
    ),
    "sorting": (
        "def f(xs): return sorted(xs, key=len, reverse=True) + [max(xs, key=len)]",
        [([["a", "bcd", "ef"]], ["bcd", "ef", "a", "bcd"])],
    ),
    "built-ins": (
        "def f(xs): return [abs(-2), min(xs), max(xs), sum(xs), len(xs), int('7'), bool(xs)]",
        [([[3, 1]], [2, 1, 3, 4, 2, 7, True])],
    ),
    "iterators": (
        "def f(xs): return [i + x * y for i, (x, y) in enumerate(zip(xs, reversed(xs)))]",
        [([[1, 2, 3]], [3, 5, 5])],
    ),
    "logic": ("def f(a, b): return a and not b or a is None", [([True, False], True)]),
    "chained comparison": ("def f(x): return 0 < x <= 9 and x in [1, 2]", [([2], True)]),
    "bits": ("def f(x): return (x << 3 | 1) ^ 3 & ~4", [([1], 10)]),
    "powers": (
        "def f(x): return [x ** 10, 2 ** -1, 1 ** 10 ** 9, -1 ** 3]",
        [([2], [1024, 0.5, 1, -1])],
    ),
    "division": ("def f(x): return x / 2", [([3], 1.5)]),
    "docstring": (body('"""Add one."""', "return x + 1  # comment"), [([1], 2)]),
    "no return": (body("pass"), [([1], None)]),
    "underscore": (body("for _ in range(3): x += 1", "return x"), [([1], 4)]),
    "Chinese text": ("def f(x): return x + '中文😀'", [(["a"], "a中文😀")]),
    "names of other alphabets": ("def f(é): 数 = é; return 数 + ｅ́ if 0 else 数", [([1], 1)]),
    "what Python warns of": (r"def f(x): return '\d' if x is 1 else x is 2", [([3], False)]),
    "no argument": ("def f(): return 1", [([], 1)]),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_ordinary_program_passes(box, name):
    program, tests = PROGRAMS[name]
    assert box.judge(program, tests).reason == f"all tests passed ({len(tests)})"


def test_reasons_and_results_of_single_tests(box):
    program = "def f(x): return 6 // (x - 2)"
    verdict = box.judge(program, [([5], 2), ([2], 0), ([4], 4)])
    assert verdict == Verdict(
        False,
        ("pass", "error", "fail"),
        "test 2: ZeroDivisionError: integer division or modulo by zero",
    )
    assert box.judge(program, [([4], 4)]).reason == "test 1: returned 3, expected 4"
    assert box.judge(program, [([1, 2], 4)]).results == ("error",)


def test_tests_before_the_endless_one_keep_their_results(box):
    program = body("while x > 2: x += 1", "return x")
    verdict = box.judge(program, [([1], 1), ([2], 0), ([3], 3), ([1], 1)])
    assert verdict == Verdict(
        False, ("pass", "fail", "error", "error"), "test 2: returned 2, expected 0"
    )


@pytest.mark.parametrize(
    ("returned", "expected", "equal"),
    [
        ("True", True, True),
        ("True", 1, False),
        ("1", True, False),
        ("1.0", 1, False),
        ("1", 1.0, False),
        ("[1, [True]]", [1, [True]], True),
        ("[1, [True]]", [1, [1]], False),
        ("[1]", [1, 1], False),
        ("(1, 2)", [1, 2], False),
        ("range(2)", [0, 1], False),
        ("'1'", 1, False),
        ("None", None, True),
        ("None", False, False),
        ("9 ** 400", 9**400, True),
        ("'a\\ud800'", "a\ud800", True),
        ("0.1 + 0.2", 0.1 + 0.2, True),
        ("(10.0 ** 300) * (10.0 ** 300)", float("inf"), True),
    ],
)
def test_comparison_is_strict_about_types(box, returned, expected, equal):
    verdict = box.judge(f"def f(): return {returned}", [([], expected)])
    assert verdict.results == ("pass" if equal else "fail",)


def test_same_by_hand():
    assert same([1, ["a", None]], [1, ["a", None]])
    assert not same([1, ["a", None]], [True, ["a", None]])
    assert not same(float("nan"), float("nan"))


def test_no_state_goes_from_one_test_or_program_to_another(box):
    grow = body("x += [0]", "return len(x)")
    tests = [([[1]], 2), ([[1]], 2)]
    assert [box.judge(grow, tests).passed for _ in range(2)] == [True, True]
    assert tests == [([[1]], 2), ([[1]], 2)]
    shared_argument = [1]
    assert box.judge(grow, [([shared_argument], 2), ([shared_argument], 2)]).passed
    assert box.judge("def len(x): return 7", [([[1]], 7)]).reason.startswith("the program must be")
    assert box.judge(grow, tests).passed


def test_entry_has_the_asked_name(box):
    program = "def solve(x): return x + 1 if x > 3 else solve(x + 1)"
    assert box.judge(program, [([1], 5)], entry="solve").passed
    assert box.judge(program, [([1], 5)]).reason == "calling this function is not allowed: solve"


@pytest.mark.parametrize("tests", [[], [([1], 2, 3)], [((1,), 2)], [([{}], 2)], [([1], (2,))]])
def test_mistakes_of_the_caller_are_errors(box, tests):
    with pytest.raises(ValueError, match="test"):
        box.judge(ORDINARY, tests)


@pytest.mark.parametrize("entry", ["", "1f", "def", "__class__", "len"])
def test_impossible_entries_are_errors(box, entry):
    with pytest.raises(ValueError, match="entry"):
        box.judge(ORDINARY, TESTS, entry=entry)


def test_limits_are_checked_and_used(box):
    for wrong in (0, -1, True, "1", None, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="cpu_seconds"):
            Limits(cpu_seconds=wrong)
    with pytest.raises(ValueError, match="workers"):
        Sandbox(workers=0)
    tight = Limits(program_chars=9, cpu_seconds=0.05)
    assert (
        box.judge(ORDINARY, TESTS, limits=tight).reason == "the program is longer than 9 characters"
    )
    tight = Limits(cpu_seconds=0.05, recursion=5, integer_bits=8)
    assert "limit of 0.05 s" in box.judge(body("while x: pass"), TESTS, limits=tight).reason
    deep = "def f(x): return f(x - 1) if x > 0 else 0"
    assert box.judge(deep, [([3], 0), ([20], 0)], limits=tight).results == ("pass", "error")
    assert box.judge("def f(x): return x * x", [([15], 225)], limits=tight).passed
    assert (
        "more than 8 bits" in box.judge("def f(x): return x * x", [([99], 1)], limits=tight).reason
    )


def test_guards_by_hand():
    guard = guards(integer_bits=8, sequence_items=4)
    assert guard["<Mult>"](15, 15) == 225  # 4 bits and 4 bits
    assert guard["<Pow>"](2, 4) == 16  # 2 bits, 4 times
    assert guard["<LShift>"](1, 7) == 128
    assert guard["<Add>"]([1, 2], [3, 4]) == [1, 2, 3, 4]
    assert guard["<Add=>"]([1], [2]) == [2]
    for name, left, right in [
        ("<Mult>", 16, 15),
        ("<Pow>", 2, 5),
        ("<LShift>", 1, 8),
        ("<Add>", "abc", "de"),
        ("<Add=>", [1], range(10**9)),
        ("<Mult>", [1, 2], 3),
        ("<Mult=>", 3, "ab"),
        ("<Mod>", "%d", 1),
    ]:
        with pytest.raises(OverLimit):
            guard[name](left, right)


def test_no_callable_of_a_program_can_be_climbed():
    names = {function.__name__ for function in CALLABLE}
    assert names == set(
        "abs all any bool enumerate int len list max min range reversed sorted sum zip".split()
    )
    for name in ("x.y", "print()", "[*x]", "{1}", "{1: 2}", "lambda: 1", "await x", "1j", "..."):
        with pytest.raises(Refused):
            compile_program(f"def f(x): return {name}", "f", nodes=50, depth=10)


def test_256_programs_are_judged_in_order():
    jobs = [(f"def f(x): return x * {n} + 1", [([2], 2 * n + 1), ([n], 9)]) for n in range(256)]
    verdicts = shared().judge_many(jobs)
    # n * n + 1 is never 9, since 8 is no square.
    assert [verdict.results for verdict in verdicts] == [("pass", "fail")] * 256
    assert [verdict.reason for verdict in verdicts[3:5]] == [
        "test 2: returned 10, expected 9",
        "test 2: returned 17, expected 9",
    ]


def test_one_batch_of_good_and_bad(box):
    loop = body("while True: pass")
    programs = [ORDINARY, loop, ORDINARY, "nonsense !", None, "def f(x): return x", ORDINARY]
    with Sandbox(workers=2) as two:
        verdicts = two.judge_many([(program, TESTS) for program in programs])
        assert two.judge_many([]) == []
    assert [verdict.passed for verdict in verdicts] == [
        True,
        False,
        True,
        False,
        False,
        False,
        True,
    ]
    assert [verdict.results[0] for verdict in verdicts[1:6]] == [
        *("error", "pass", "error", "error", "fail")
    ]
    assert verdicts == box.judge_many([(program, TESTS) for program in programs])


def test_more_programs_than_a_batch_holds(box):
    jobs = [(f"def f(): return {n}", [([], n)]) for n in range(600)]
    assert all(verdict.passed for verdict in box.judge_many(jobs))


# Fuzzing.

FUZZ = settings(
    max_examples=150,
    deadline=None,
)
TOKENS = (
    "def f ( x ) : return x + 1 * ** [ ] , - for in if else while range 0 9 . __class__ \n '%s'"
)


def check(verdict: Verdict) -> None:
    """A verdict of two tests that agrees with itself."""
    assert len(verdict.results) == 2
    assert set(verdict.results) <= {"pass", "fail", "error"}
    assert verdict.passed == (verdict.results == ("pass", "pass"))
    assert verdict.reason


@FUZZ
@given(program=st.text(st.characters(codec=None), max_size=60))
def test_random_text_gets_a_verdict(program):
    check(judge(program, TESTS))


@FUZZ
@given(words=st.lists(st.sampled_from(TOKENS.split(" ")), max_size=25))
def test_random_programs_get_a_verdict(words):
    check(judge("def f(x): return " + " ".join(words), TESTS, limits=Limits(cpu_seconds=0.05)))
    assert judge(ORDINARY, TESTS) == PASSED


@settings(FUZZ, max_examples=60)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers(-999, 2**80) | st.text(max_size=9), st.lists
    )
)
def test_values_come_back_as_they_went(value):
    assert judge("def f(x): return x", [([value], value), ([[value]], [value])]).passed


def test_judge_takes_all_its_arguments():
    verdict = judge("def g(x): return x * 2", [([4], 8)], entry="g", limits=Limits(recursion=3))
    assert verdict == Verdict(True, ("pass",), "all tests passed (1)")
