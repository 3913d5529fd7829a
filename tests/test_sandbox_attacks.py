"""Does a hostile program cost its answer the reward and nothing else? A table of attacks.

Each is judged by the same single worker, or its replacement, and so is the ordinary program after
it. Run this file alone with `python -m pytest tests/test_sandbox_attacks.py`.
"""

import sys
import time

import pytest

from r1book.sandbox import Sandbox, Verdict

LINUX = sys.platform == "linux"
TESTS = [([1], 2), ([5], 6)]
ORDINARY = "def f(x): return x + 1"
PASSED = Verdict(True, ("pass", "pass"), "all tests passed (2)")


@pytest.fixture(scope="module")
def box():
    """One worker, so that whatever a program breaks the next one meets."""
    with Sandbox(workers=1) as sandbox:
        yield sandbox


def body(*lines: str) -> str:
    """Return a function of these lines."""
    return "def f(x):\n" + "".join(f"    {line}\n" for line in lines)


CPU, MEMORY = "CPU time limit of 0.2 s exceeded", "memory limit of 64 MiB exceeded"
BITS, ITEMS = "an integer of more than 4096 bits", "more than 100000 elements"
OUTPUT, ATTRIBUTE = "output limit of 10000 characters", "attribute access is not allowed: "
NO_CALL, PARSE = "calling this function is not allowed: ", "not a Python program: "

ATTACKS = {
    # time
    "infinite loop": (body("while True: pass"), CPU),
    "infinite loop that works": (body("while True: x += 1"), CPU),
    "infinite loop over a growing list": (
        body("xs = [1]", "for y in xs: xs += [y]"),
        (CPU, MEMORY, ITEMS),
    ),
    "long loop inside one built-in": (body("return sum(range(10 ** 18))"), CPU),
    "endless search": (body("return any(y < 0 for y in range(10 ** 18))"), CPU),
    "exponential recursion": (body("return f(x - 1) + f(x - 2) if x > -60 else 1"), CPU),
    "exponential comparison": (
        body("a = [1]", "b = [1]", "for i in range(60):", "    a = [a, a]", "    b = [b, b]")
        + "    return a == b\n",
        CPU,
    ),
    "quadratic sum of lists": (
        body("return len(sum([[y] * 99 for y in range(9999)], []))"),
        (CPU, MEMORY),
    ),
    # memory and size
    "tower of powers": ("def f(x): return 9 ** 9 ** 9", BITS),
    "power of an argument": ("def f(x): return (x + 9) ** (10 ** 9)", BITS),
    "power in place": (body("x += 9", "x **= 10 ** 9", "return x"), BITS),
    "repeated squaring": (body("x += 1", "while True: x = x * x"), BITS),
    "repeated squaring of an element": (body("xs = [x + 1]", "while True: xs[0] *= xs[0]"), BITS),
    "huge shift": ("def f(x): return 1 << 10 ** 12", BITS),
    "long text by multiplication": ("def f(x): return 'a' * 10 ** 10", ITEMS),
    "long list by multiplication": ("def f(x): return 10 ** 10 * [x]", ITEMS),
    "long text by doubling": (body("s = 'a'", "while True: s += s"), ITEMS),
    "long list by doubling": (body("s = [x]", "while True: s = s + s"), ITEMS),
    "wide text by formatting": ("def f(x): return '%9999999999d' % x", "formatting text with %"),
    "many digits": ("def f(x): return int('9' * 50000)", "ValueError"),
    "deep recursion": ("def f(x): return f(x + 1)", "recursion limit of 100 frames"),
    "recursion through sorted": ("def f(x): return sorted([x], key=f)", "recursion limit"),
    "deeply nested list": (body("for i in range(9999): x = [x]", "return x"), OUTPUT),
    # output
    "huge output": ("def f(x): return [x] * 99999", OUTPUT),
    "huge text output": ("def f(x): return 'a' * 99999", OUTPUT),
    "exponential output": (body("for i in range(39): x = [x, x]", "return x"), OUTPUT),
    "cyclic output": (body("xs = [x]", "xs[0] = xs", "return xs"), OUTPUT),
    "output of many digits": ("def f(x): return int('9' * 4200)", BITS),
    "function as output": ("def f(x): return f", "returned a function"),
    "type as output": ("def f(x): return int", "returned a type"),
    "generator as output": ("def f(x): return (y for y in [x])", "returned a generator"),
    # ways to the built-ins
    "class of a number": ("def f(x): return x.__class__", ATTRIBUTE + "__class__"),
    "subclasses of object": (
        "def f(x): return ().__class__.__base__.__subclasses__()",
        "only a function called by its plain name",
    ),
    "globals of the function": ("def f(x): return f.__globals__", ATTRIBUTE + "__globals__"),
    "frame of a generator": ("def f(x): return (y for y in [x]).gi_frame", ATTRIBUTE + "gi_frame"),
    "attribute as a target": (body("f.x = 1", "return 2"), ATTRIBUTE + "x"),
    "attribute in full-width letters": ("def f(x): return x.__ｃlass__", ATTRIBUTE + "__class__"),
    "name __builtins__": ("def f(x): return __builtins__", "two underscores"),
    "name __import__": ("def f(x): return __import__('os')", NO_CALL + "__import__"),
    "eval": ("def f(x): return eval('x + 1')", NO_CALL + "eval"),
    "exec": ("def f(x): return exec('x = 1')", NO_CALL + "exec"),
    "getattr": ("def f(x): return getattr(x, 'real')", NO_CALL + "getattr"),
    "type": ("def f(x): return type('A', (), {})", NO_CALL + "type"),
    "forbidden function as a value": ("def f(x): return [eval][0]", "NameError"),
    "forbidden function as a key": ("def f(x): return max([x], key=eval)", "NameError"),
    "alias of a function": (body("g = eval", "return g('1')"), NO_CALL + "g"),
    "call of a subscript": ("def f(x): return [int][0](x)", "plain name"),
    "format method": (
        "def f(x): return '{0.__class__}'.format(x)",
        "only a function called by its plain name",
    ),
    "f-string": ("def f(x): return f'{x.__class__}'", "an f-string is not allowed"),
    "lambda": ("def f(x): return (lambda: x)()", "plain name"),
    "class": (body("class A: pass", "return 2"), "class is not allowed"),
    "class pattern": (body("match x:", "    case int(real=y): return y"), "match is not allowed"),
    "exception handler": (body("try:", "    return x + 1", "except: pass"), "try is not allowed"),
    "walrus": ("def f(x): return [y := x, y + 1][1]", "the operator := is not allowed"),
    "global": (body("global f", "f = 1", "return x + 1"), "global is not allowed"),
    "nested function": (
        body("def g(): return x", "return g() + 1"),
        "a function inside a function",
    ),
    "decorator": ("@int\ndef f(x): return x + 1", "a decorator is not allowed"),
    "default value": ("def f(x, y=[]): return x + 1", "without default values"),
    "annotation": ("def f(x: print('run')): return x + 1", "an annotation is not allowed"),
    "star parameter": ("def f(*x): return 2", "only plain parameters"),
    "star argument": ("def f(x): return max(*[x, x + 1])", "a starred expression is not allowed"),
    "star star argument": ("def f(x): return max([x], **{})", "argument is not allowed: **"),
    "built-in replaced by its name": (body("len = x", "return len([1])"), "TypeError"),
    # files, network, processes, signals
    "import": ("import os\ndef f(x): return x + 1", "import is not allowed"),
    "import inside": (body("import os", "return x + 1"), "import is not allowed"),
    "import from": (body("from os import fork", "return x + 1"), "import is not allowed"),
    "fork bomb": (body("import os", "while True: os.fork()"), "import is not allowed"),
    "fork bomb without import": (body("while True: fork()"), "value is dropped is not allowed"),
    "file": ("def f(x): return open('/etc/passwd')", NO_CALL + "open"),
    "with": (body("with open('/tmp/x') as y: return 1"), "with is not allowed"),
    "socket": ("def f(x): return socket()", NO_CALL + "socket"),
    "signal": (body("from signal import alarm", "alarm(0)", "return 2"), "import is not allowed"),
    "kill": ("def f(x): return kill(0, 9)", NO_CALL + "kill"),
    "exit": ("def f(x): return exit(0)", NO_CALL + "exit"),
    "input": ("def f(x): return input()", NO_CALL + "input"),
    "print": (body("print('{}')", "return x + 1"), "value is dropped is not allowed"),
    # the parser
    "three hundred brackets": ("def f(x): return " + "(" * 300 + "x" + ")" * 300, PARSE),
    "nine hundred signs": ("def f(x): return " + "-" * 900 + "x", ("40 levels deep", PARSE)),
    "deep subscripts": ("def f(x): return " + "[" * 60 + "x" + "]" * 60, "40 levels deep"),
    "too long": (ORDINARY + " " * 2000, "longer than 2000 characters"),
    "a sign for every character": (
        "def f(x): return " + "-" * 1900 + "x",
        ("40 levels deep", PARSE),
    ),
    "too many nodes": ("def f(x): return [" + "1," * 600 + "]", "500 syntax nodes"),
    "null character": (ORDINARY + "\0", "null character or a surrogate"),
    "surrogate": ("def f(x): return '\udcff'", "null character or a surrogate"),
    "other encoding": ("# coding: utf-7\ndef f(x): return +AGEAYgBj-", PARSE),
    "no program": ("x + 1", "value is dropped is not allowed"),
    "empty": ("", "exactly one function"),
    "other function": ("def g(x): return x + 1", "exactly one function, def f(...)"),
    "code beside the function": (ORDINARY + "\nx = 1", "exactly one function"),
    "async": ("async def f(x): return x + 1", "async is not allowed"),
    "generator function": (body("return (yield x)"), "yield is not allowed"),
    "break outside a loop": (body("break"), PARSE),
    "bytes": ("def f(x): return b'a'", "a constant of type bytes"),
    "no text": (None, "the program is no text but of type NoneType"),
    "bytes for text": (b"def f(x): return x + 1", "of type bytes"),
}


def test_there_are_more_attacks_than_asked_for():
    assert len({program for program, _ in ATTACKS.values()}) == len(ATTACKS) >= 30


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_costs_its_own_verdict_and_nothing_else(box, name):
    program, reasons = ATTACKS[name]
    verdict = box.judge(program, TESTS)
    assert not verdict.passed
    assert "pass" not in verdict.results and len(verdict.results) == 2
    assert any(part in verdict.reason for part in ([reasons] if type(reasons) is str else reasons))
    start = time.monotonic()
    assert box.judge(ORDINARY, TESTS) == PASSED
    assert time.monotonic() - start < 25  # a millisecond; a lost worker would cost 30 seconds


@pytest.mark.skipif(not LINUX, reason="macOS does not enforce RLIMIT_AS")
@pytest.mark.parametrize("call", ["list(range(10 ** 9))", "sorted(range(10 ** 9))"])
def test_memory_is_bounded(box, call):
    before = box.pids
    verdict = box.judge(f"def f(x): return {call}", TESTS)
    assert verdict == Verdict(False, ("error", "error"), f"test 1: {MEMORY}")
    assert box.pids != before
    assert box.judge(ORDINARY, TESTS) == PASSED


@pytest.mark.skipif(not LINUX, reason="macOS does not enforce RLIMIT_AS")
def test_what_one_program_leaves_does_not_fill_the_memory_of_the_next(box):
    leave = body("for i in range(50):", "    y = [0] * 99999", "    y[0] = y", "return x + 1")
    need = body("return x + len([[0] * 99999 for i in range(50)]) - 49")  # 40 MB, as much again
    for _ in range(3):
        assert box.judge(leave, [([1], 2)]).passed
        assert box.judge(need, [([1], 2)]).passed
