"""How does a hostile program run without harm? Whether it passes is the business of `sandbox`.

A server, started afresh by the caller, forks workers ahead of time. A worker judges one program
after another and is replaced when it was killed. Three walls stand around it:

1. *The allow-list*: nothing in the language that is left leads out of it.
2. *Kernel limits*: the process can open no file or socket, start no process, and has bounded
   memory. CPU time is counted by ITIMER_PROF, whose signal has no handler: the kernel ends the
   process whatever it is doing. (RLIMIT_CPU counts whole seconds over the life of a process, so it
   cannot bound one program; a Python signal handler has to wait for the end of a long operation.) A
   deadline on the clock stands behind it.
3. *Nothing to find*: the server never saw the caller's memory, the expected values stay with the
   caller, and namespace and arguments are fresh for each test.

    caller  <-- pipes, a frame per batch -->  server  <-- pipes, a frame per test -->  workers

Linux and macOS. macOS does not enforce RLIMIT_AS: there, guards and CPU time alone bound the
memory.
"""

import contextlib
import gc
import json
import os
import resource
import select
import signal
import sys
import time
import types
import unicodedata  # noqa: F401  the parser loads it for names like `é`: too late in a worker
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from r1book.allowlist import BUILTINS, PLAIN, OverLimit, Refused, compile_program, guards

_RETIRE_SECONDS = 10.0  # CPU time after which a worker is replaced although nothing happened


@dataclass(frozen=True)
class Limits:
    """What one program, over all its tests, may use. Taught in notebook 09."""

    cpu_seconds: float = 0.2
    """CPU time for reading the program and running all its tests."""
    wall_seconds: float = 30.0
    """Time on the clock: the backstop for a worker that hangs without using the CPU. Wide, because
    a busy machine may take long to give a program its CPU time."""
    memory_mb: int = 64
    """Address space beyond that of an idle worker, in MiB (Linux)."""
    output_chars: int = 10_000
    """Size of a returned value: characters of text and digits, plus one for each element."""
    program_chars: int = 2_000
    """Length of the program."""
    program_nodes: int = 500
    """Nodes of its syntax tree."""
    depth: int = 40
    """Levels of its syntax tree, and of lists within lists in a returned value."""
    recursion: int = 100
    """Frames of nested calls."""
    integer_bits: int = 4_096
    """Size of an integer that `*`, `**` or `<<` may build."""
    sequence_items: int = 100_000
    """Length of a string or list that `+` or `*` may build."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) not in (int, float) or not 0 < value < float("inf"):
                raise ValueError(f"limit {field.name} is {value!r}; give a positive number")


# Frames: four bytes of length, then JSON.


def frame(message: object) -> bytes:
    """Pack a message."""
    body = json.dumps(message).encode()
    return len(body).to_bytes(4, "big") + body


def write(fd: int, data: bytes) -> None:
    """Write all of it to a pipe, which takes a part at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _ready(descriptors: Sequence[int], seconds: float) -> set[int]:
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poller.poll(max(0.0, seconds) * 1000)}


def receive(fd: int, deadline: float | None = None, most: int = 2**31) -> object:
    """Read a frame; None when the pipe is closed, ValueError for garbage, TimeoutError if late."""

    def read(count: int) -> bytes | None:
        data = bytearray()
        while len(data) < count:
            # A worker passes no deadline: poll fails where no file may be opened.
            if deadline is not None and not _ready([fd], deadline - time.monotonic()):
                raise TimeoutError("no answer before the deadline")
            chunk = os.read(fd, min(count - len(data), 2**16))
            if not chunk:
                return None
            data += chunk
        return bytes(data)

    head = read(4)
    size = int.from_bytes(head or b"", "big")
    if size > most:
        raise ValueError(f"a frame of {size} bytes came; at most {most} were expected")
    body = None if head is None else read(size)
    return None if body is None else json.loads(body)


# The worker: one job after another from descriptor 0, a frame for each test to descriptor 1.


def _unfit(value: object, limits: Limits) -> tuple[str, str] | None:
    """Say why a value is no answer; walk no further than the limit: lists can be cyclic."""
    todo, size = [(value, 0)], 0
    while todo:
        item, level = todo.pop()
        if type(item) is not list and type(item) not in PLAIN:
            return "fail", f"returned a {type(item).__name__}, which is no int, bool, str or list"
        if type(item) is int and item.bit_length() > limits.integer_bits:
            return "error", f"an integer of more than {limits.integer_bits} bits is not allowed"
        size += 1 + (len(item) if type(item) in (str, list) else 0)
        size += item.bit_length() // 3 if type(item) is int else 0
        if size > limits.output_chars or level > limits.depth:
            return "error", f"output limit of {limits.output_chars} characters exceeded"
        todo += [(part, level + 1) for part in item] if type(item) is list else []
    return None


def _run(code: types.CodeType, entry: str, arguments: list, limits: Limits) -> list:
    """Call the program once, in a fresh namespace, and return the frame that says what came out."""
    namespace = {"__builtins__": {}, **BUILTINS}
    namespace.update(guards(limits.integer_bits, limits.sequence_items))
    namespace[entry] = function = types.FunctionType(code, namespace)
    usual = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(limits.recursion + 10)  # the worker's own frames are fewer than 10
        value = function(*arguments)
    except MemoryError:
        return ["memory", f"memory limit of {limits.memory_mb} MiB exceeded"]
    except RecursionError:
        return ["error", f"recursion limit of {limits.recursion} frames exceeded"]
    except OverLimit as error:
        return ["error", str(error)]
    except Exception as error:  # noqa: BLE001  the border to model text: it may raise anything
        return ["error", f"{type(error).__name__}: {error}"[:200]]
    finally:
        sys.setrecursionlimit(usual)
    return list(_unfit(value, limits) or ("value", value))


def _limit(name: str, value: int) -> None:
    with contextlib.suppress(ValueError, OSError):  # some systems refuse some of them
        kind = getattr(resource, name)
        resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))


def _work(idle_bytes: int) -> None:
    """Judge jobs until the pipe closes."""
    for name in ("RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_NPROC"):
        _limit(name, 0)
    gc.freeze()  # so that the collection after a program looks at nothing but its objects
    while (job := receive(0)) is not None:
        limits, code, refused, retire = Limits(**job["limits"]), None, None, False
        _limit("RLIMIT_AS", idle_bytes + int(limits.memory_mb * 2**20))
        signal.setitimer(signal.ITIMER_PROF, limits.cpu_seconds)
        try:
            bounds = {"nodes": limits.program_nodes, "depth": limits.depth}
            code = compile_program(job["program"], job["entry"], **bounds)
        except Refused as error:
            refused = str(error)
        for arguments in job["arguments"] if code else ():
            kind, said = _run(code, job["entry"], arguments, limits)
            retire = retire or kind == "memory"
            write(1, frame(["error" if kind == "memory" else kind, said]))
        arguments = said = None
        gc.collect()  # cyclic lists of this program must not fill the memory of the next one
        signal.setitimer(signal.ITIMER_PROF, 0)
        write(1, frame(["end", refused, retire or time.process_time() > _RETIRE_SECONDS]))


# The server: forks workers, hands out jobs, replaces the dead.


@dataclass(frozen=True)
class _Worker:
    pid: int
    """Its process."""
    jobs: int
    """The server's end of the pipe that it reads."""
    answers: int
    """The server's end of the pipe that it writes."""

    @classmethod
    def fork(cls, idle_bytes: int) -> "_Worker":
        jobs, answers = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.dup2(jobs[0], 0)
                os.dup2(answers[1], 1)
                os.closerange(3, 256)  # with its siblings' pipes open it would hide their end
                _work(idle_bytes)
            finally:
                os._exit(1)
        os.close(jobs[0])
        os.close(answers[1])
        return cls(pid, jobs[1], answers[0])

    def end(self) -> int:
        """Kill it, if it still lives, and bury it; return the signal that it died of."""
        os.kill(self.pid, signal.SIGKILL)
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.jobs)
        os.close(self.answers)
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def _take(worker: _Worker, answer: dict, deadline: float, limits: dict) -> str:
    """Read one frame into the answer; return "busy", "idle" or "dead"."""
    try:
        said = receive(worker.answers, deadline, most=4096 + 12 * int(limits["output_chars"]))
        if said is None:
            answer["end"] = "the worker was lost while it ran the program"
            if worker.end() == signal.SIGPROF:
                answer["end"] = f"CPU time limit of {limits['cpu_seconds']:g} s exceeded"
            return "dead"
        if said[0] != "end":
            answer["frames"].append([str(said[0]), said[1]])
            return "busy"
        answer["end"] = said[1]
        if not said[2]:
            return "idle"
    except TimeoutError:
        answer["end"] = f"wall-clock limit of {limits['wall_seconds']:g} s exceeded"
    except (ValueError, TypeError, LookupError, RecursionError):
        answer["end"] = "the worker answered with garbage"
    worker.end()
    return "dead"


def _judge(pool: list[_Worker], jobs: list[dict], idle_bytes: int) -> list[dict] | None:
    """Return an answer for each job, or None when the caller has gone."""
    answers: list[dict] = [{"frames": [], "end": None} for _ in jobs]
    waiting, busy = deque(range(len(jobs))), {}  # busy: place in the pool -> (job, deadline)
    while waiting or busy:
        for place in [place for place in range(len(pool)) if place not in busy]:
            if not waiting:
                break
            if _ready([pool[place].answers], 0):  # an idle worker has nothing to say: it is dead
                pool[place].end()
                pool[place] = _Worker.fork(idle_bytes)
            number = waiting.popleft()
            busy[place] = number, time.monotonic() + jobs[number]["limits"]["wall_seconds"]
            with contextlib.suppress(BrokenPipeError):  # its end is read below
                write(pool[place].jobs, frame(jobs[number]))
        next_deadline = min(deadline for _, deadline in busy.values())
        open_pipes = [0, *(pool[place].answers for place in busy)]
        ready = _ready(open_pipes, next_deadline - time.monotonic())
        if 0 in ready:  # in the middle of a batch the caller says nothing: it has gone
            return None
        for place, (number, deadline) in list(busy.items()):
            if pool[place].answers in ready or time.monotonic() >= deadline:
                state = _take(pool[place], answers[number], deadline, jobs[number]["limits"])
                if state != "busy":
                    del busy[place]
                if state == "dead":
                    pool[place] = _Worker.fork(idle_bytes)
    return answers


def serve(workers: int) -> None:
    """Judge the batches that come on descriptor 0 until it closes; the body of the server process.

    Args: workers, how many to keep. It says first, and with every batch, which processes they are.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the caller may have blocked or ignored it
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    statm = Path("/proc/self/statm")  # absent on macOS, where the limit means nothing anyway
    pages = int(statm.read_text().split()[0]) if statm.exists() else 0
    idle_bytes = pages * resource.getpagesize()
    pool = [_Worker.fork(idle_bytes) for _ in range(workers)]
    try:
        write(1, frame({"pids": [worker.pid for worker in pool]}))
        while (jobs := receive(0)) is not None:
            answers = _judge(pool, jobs, idle_bytes)
            if answers is None:
                break
            write(1, frame({"answers": answers, "pids": [worker.pid for worker in pool]}))
    finally:
        for worker in pool:
            worker.end()
