"""Which tests does a program written by a model pass? What that is worth, `rewards` decides.

A hostile program costs its answer the reward and nothing else: it is refused by `allowlist` or
ended by `workers`, in processes that know neither the expected values nor the caller. Here are the
caller's side and the comparison.
"""

import contextlib
import keyword
import math
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from r1book.allowlist import BUILTINS, PLAIN
from r1book.workers import Limits, frame, receive, write

DEFAULT = Limits()
"""Ample for programs of a few lines, each of which needs about a millisecond."""

_BATCH = 256  # programs in a frame
_START_SECONDS = 60.0  # a laptop under load may take its time to start an interpreter
_SERVER = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from r1book.workers import serve; serve(int(sys.argv[2]))"
)


@dataclass(frozen=True)
class Verdict:
    """What the tests said about one program. Taught in notebook 09."""

    passed: bool
    """Whether every test passed."""
    results: tuple[str, ...]
    """For each test "pass", "fail" (a wrong value) or "error" (refused, raised, over a limit)."""
    reason: str
    """The first thing that went wrong, in words for the reader."""


def same(left: object, right: object) -> bool:
    """Compare two values strictly by type: True is not 1, 1.0 is not 1, also within lists.

    >>> same([1, [True]], [1, [1]])
    False
    """
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def _is_plain(value: object) -> bool:
    return type(value) in PLAIN or (type(value) is list and all(map(_is_plain, value)))


def _check_tests(tests: Sequence[Sequence], entry: str) -> None:
    """Raise for mistakes of the caller, which must never look like a mistake of the program."""
    if not entry.isidentifier() or keyword.iskeyword(entry) or entry.startswith("__"):
        raise ValueError(f"entry is {entry!r}; give the name of a function")
    if entry in BUILTINS:
        raise ValueError(f"entry is {entry!r}, a built-in of the programs; give another name")
    if not tests:
        raise ValueError("there are no tests, so nothing can be judged; give at least one")
    for test in tests:
        if len(test) != 2 or type(test[0]) is not list or not all(map(_is_plain, test)):
            raise ValueError(
                f"the test {test!r:.200} is no pair of a list of arguments and an expected value; "
                "both hold int, bool, str, float, None and lists of them"
            )


def _text_refusal(program: object, limits: Limits) -> str | None:
    """Say why this cannot even be sent to a worker, or None."""
    if not isinstance(program, str):
        return f"the program is no text but of type {type(program).__name__}"
    if len(program) > limits.program_chars:
        return f"the program is longer than {limits.program_chars} characters"
    if "\0" in program or any("\ud800" <= character <= "\udfff" for character in program):
        return "the program holds a null character or a surrogate"
    return None


def _verdict(tests: Sequence[Sequence], frames: list[list], end: str | None) -> Verdict:
    """Compare what a worker said, a frame for each test it came to, with the expected values."""
    results, reason = [], ""
    for number, (_, expected) in enumerate(tests):
        kind, said = frames[number] if number < len(frames) else ("unjudged", end)
        if kind == "value" and same(said, expected):
            results.append("pass")
            continue
        results.append("fail" if kind in ("value", "fail") else "error")
        if kind == "value":
            said = f"returned {said!r:.60}, expected {expected!r:.60}"
        reason = reason or (str(said) if kind == "unjudged" else f"test {number + 1}: {said}")
    passed = all(result == "pass" for result in results)
    return Verdict(passed, tuple(results), reason or f"all tests passed ({len(results)})")


def _bury(server: subprocess.Popen) -> None:
    """End a server and wait for it. It ends its workers, and they end by themselves without it."""
    server.stdin.close()
    server.stdout.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(2.0)  # returns at once in a fork of the caller: the server is not its child
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


class Sandbox:
    """A server with workers that judges programs; starts with the first of them.

    Args: workers, how many programs run at a time; limits, what each of them may use. Usable from
    several threads, one batch after another, and as a context manager; without one it closes when
    it is dropped or Python ends.

    >>> with Sandbox(workers=1) as box:
    ...     box.judge("def f(x): return x + 1", [([1], 2)]).passed
    True

    Taught in notebook 09.
    """

    def __init__(self, workers: int = 2, limits: Limits = DEFAULT) -> None:
        if type(workers) is not int or not 1 <= workers <= 64:
            raise ValueError(f"workers is {workers!r}; give a number from 1 to 64")
        self.workers, self.limits = workers, limits
        self.pids: tuple[int, ...] = ()
        """The worker processes after the latest batch."""
        self._lock = threading.Lock()
        self._server: subprocess.Popen | None = None
        self._end = None

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End server and workers; a later program starts new ones."""
        if self._end is not None:
            self._end()
        self._server, self._end, self.pids = None, None, ()

    def _start(self) -> subprocess.Popen:
        if self._server is not None and self._server.poll() is None:
            return self._server
        self.close()
        # A fresh interpreter: forking the caller would copy its memory and lose its threads' locks.
        # -I and -S keep the reader's environment and site-packages out; the package folder comes
        # last, behind the standard library.
        command = [sys.executable, "-I", "-S", "-W", "ignore", "-c", _SERVER]
        command += [str(Path(__file__).resolve().parents[1]), str(self.workers)]
        kept = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # some interpreters need them to start
        server = subprocess.Popen(
            command,
            bufsize=0,
            cwd="/",
            env={name: os.environ[name] for name in kept if name in os.environ},
            start_new_session=True,  # Ctrl-C is for the caller
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._server = server
        self._end = weakref.finalize(self, _bury, server)
        hello = receive(server.stdout.fileno(), time.monotonic() + _START_SECONDS)
        if hello is None:
            raise RuntimeError(
                f"the sandbox server did not start (status {server.wait()}); to see why, run "
                f"{sys.executable} -c 'import r1book.workers'"
            )
        self.pids = tuple(hello["pids"])
        return server

    def _exchange(self, jobs: list[dict], seconds: float) -> list[dict]:
        """Send a batch and return the answers; start over once when the server is lost."""
        data = frame(jobs)  # outside: what JSON refuses is the caller's mistake
        for _ in range(2):
            try:
                server = self._start()
                write(server.stdin.fileno(), data)
                reply = receive(server.stdout.fileno(), time.monotonic() + seconds)
            except (OSError, ValueError):
                reply = None
            except BaseException:  # an interrupt would leave half a frame in the pipe
                self.close()
                raise
            if reply is not None:
                self.pids = tuple(reply["pids"])
                return reply["answers"]
            self.close()
        raise RuntimeError("the sandbox server was lost twice; is the machine out of memory?")

    def judge(
        self,
        program: str,
        tests: Sequence[tuple[list, object]],
        *,
        entry: str = "f",
        limits: Limits | None = None,
    ) -> Verdict:
        """Judge one program; see `judge_many`."""
        return self.judge_many([(program, tests)], entry=entry, limits=limits)[0]

    def judge_many(
        self,
        jobs: Sequence[tuple[str, Sequence[tuple[list, object]]]],
        *,
        entry: str = "f",
        limits: Limits | None = None,
    ) -> list[Verdict]:
        """Judge programs, several at a time, and return their verdicts in order.

        Args: jobs, pairs of a program and its tests, each a pair of a list of arguments and the
        expected value; entry, the name of the function; limits, in place of the sandbox's own.
        Whatever the programs do ends in a verdict; ValueError is for tests that are none,
        RuntimeError for a machine that cannot run the server.
        """
        limits = limits or self.limits
        for _, tests in jobs:
            _check_tests(tests, entry)
        verdicts: dict[int, Verdict] = {}
        todo = []
        for number, (program, tests) in enumerate(jobs):
            if refused := _text_refusal(program, limits):
                verdicts[number] = _verdict(tests, [], refused)
            else:
                todo.append(number)
        with self._lock:
            for first in range(0, len(todo), _BATCH):
                batch = todo[first : first + _BATCH]
                sent = [
                    {
                        "program": jobs[number][0],
                        "entry": entry,
                        "arguments": [arguments for arguments, _ in jobs[number][1]],
                        "limits": asdict(limits),
                    }
                    for number in batch
                ]
                rounds = math.ceil(len(batch) / self.workers)
                answers = self._exchange(sent, 30.0 + rounds * (limits.wall_seconds + 1.0))
                for number, answer in zip(batch, answers, strict=True):
                    verdicts[number] = _verdict(jobs[number][1], answer["frames"], answer["end"])
        return [verdicts[number] for number in range(len(jobs))]


_SHARED: dict[int, Sandbox] = {}  # process -> sandbox: a fork must not talk to its parent's server


def shared() -> Sandbox:
    """Return the sandbox of this process, which all callers without one of their own use."""
    return _SHARED.setdefault(os.getpid(), Sandbox())


def judge(
    program: str,
    tests: Sequence[tuple[list, object]],
    *,
    entry: str = "f",
    limits: Limits = DEFAULT,
) -> Verdict:
    """Judge one program against hidden tests in the shared sandbox.

    Args: program, text that should define the function `entry`; tests, pairs of a list of arguments
    and the expected value (int, bool, str, float, None and lists of them), compared strictly by
    type; limits, what the program may use. ValueError is for tests that are none, RuntimeError for
    a machine that cannot run the server.

    >>> judge("def f(x): return x.__class__", [([1], 2)]).reason
    'attribute access is not allowed: __class__'

    Taught in notebook 09.
    """
    return shared().judge(program, tests, entry=entry, limits=limits)
