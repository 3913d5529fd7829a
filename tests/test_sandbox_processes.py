"""Are workers and server replaced, ended and buried as they should be?

Run this file alone with `python -m pytest tests/test_sandbox_processes.py`.
"""

import fcntl
import os
import signal
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from r1book.sandbox import Limits, Sandbox, Verdict

ROOT = Path(__file__).resolve().parents[1]
LINUX = sys.platform == "linux"
TESTS = [([1], 2), ([5], 6)]
ORDINARY = "def f(x): return x + 1"
PASSED = Verdict(True, ("pass", "pass"), "all tests passed (2)")


@pytest.fixture(scope="module")
def box():
    """One worker, so that whatever a program breaks the next one meets."""
    with Sandbox(workers=1) as sandbox:
        yield sandbox


LOOP = "def f(x):\n    while True: pass"
CPU = "CPU time limit of 0.2 s exceeded"


def test_a_worker_is_kept_for_ordinary_programs_and_replaced_after_a_kill(box):
    assert box.judge(ORDINARY, TESTS) == PASSED
    first = box.pids
    assert box.judge("def f(x): return x.y + 9 // 0", TESTS).results == ("error", "error")
    assert box.judge("def f(x): return 9 // 0", TESTS).results == ("error", "error")
    assert box.pids == first
    assert box.judge(LOOP, TESTS).reason == CPU
    assert box.pids != first and len(box.pids) == 1
    assert not Path(f"/proc/{first[0]}").exists()
    assert box.judge(ORDINARY, TESTS) == PASSED


def test_a_worker_killed_while_idle_costs_nothing(box):
    box.judge(ORDINARY, TESTS)
    killed = box.pids[0]
    os.kill(killed, signal.SIGKILL)
    state = ["ps", "-o", "stat=", "-p", str(killed)]
    while subprocess.run(state, capture_output=True, text=True).stdout[:1] != "Z":
        time.sleep(0.01)
    assert box.judge(ORDINARY, TESTS) == PASSED


def test_a_worker_that_hangs_without_using_the_cpu_meets_the_clock(box):
    box.judge(ORDINARY, TESTS)
    stopped = box.pids[0]
    os.kill(stopped, signal.SIGSTOP)
    verdict = box.judge(ORDINARY, TESTS, limits=Limits(wall_seconds=0.3))
    assert verdict.reason == "wall-clock limit of 0.3 s exceeded"
    assert stopped not in box.pids
    assert box.judge(ORDINARY, TESTS) == PASSED


@pytest.mark.skipif(not LINUX, reason="writes through /proc")
@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" * 64,
        b"\x00\x00\x00\x03{]}",
        b"\x00\x00\x00\x0217",
        b"\x00\x00\x00\x04[[]]",
        b"\x00\x00\x00\x02[]",
    ],
)
def test_a_worker_that_answers_with_garbage_costs_its_program(garbage):
    with Sandbox(workers=1) as single:
        single.judge(ORDINARY, TESTS)
        stopped = single.pids[0]
        os.kill(stopped, signal.SIGSTOP)
        verdicts = []
        thread = threading.Thread(target=lambda: verdicts.append(single.judge(ORDINARY, TESTS)))
        with Path(f"/proc/{stopped}/fd/0").open("rb", buffering=0) as jobs:
            thread.start()
            while not int.from_bytes(fcntl.ioctl(jobs, termios.FIONREAD, bytes(4)), sys.byteorder):
                time.sleep(0.01)  # until the job waits in the worker's pipe
        with Path(f"/proc/{stopped}/fd/1").open("wb", buffering=0) as pipe:
            pipe.write(garbage)
        thread.join()
        assert verdicts[0].results == ("error", "error")
        assert single.pids != (stopped,)
        assert single.judge(ORDINARY, TESTS) == PASSED


def test_a_lost_server_is_started_again():
    with Sandbox(workers=2) as two:
        assert two.judge(ORDINARY, TESTS) == PASSED
        first = two.pids
        os.killpg(os.getsid(first[0]), signal.SIGKILL)
        assert two.judge(ORDINARY, TESTS) == PASSED
        assert not set(first) & set(two.pids)


def test_a_server_that_cannot_start_says_so(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false" if LINUX else "/usr/bin/false")
    with pytest.raises(RuntimeError, match=r"did not start \(status 1\)"):
        Sandbox().judge(ORDINARY, TESTS)


def alive(pid: int) -> bool:
    """Whether this process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gone(pids, seconds: float = 60.0) -> bool:
    """Whether the processes end in this time."""
    deadline = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(alive, pids))


def test_closing_ends_all_processes_and_leaves_no_zombie():
    sandbox = Sandbox(workers=2)
    sandbox.judge(ORDINARY, TESTS)
    processes = {*sandbox.pids, os.getsid(sandbox.pids[0])}
    assert len(processes) == 3
    sandbox.close()
    assert gone(processes)
    assert sandbox.judge(ORDINARY, TESTS) == PASSED  # it opens again
    processes = {*sandbox.pids, os.getsid(sandbox.pids[0])}
    del sandbox
    assert gone(processes)


CALLER = """
import sys
from r1book.sandbox import shared
shared().judge("def f(): return 1", [([], 1)])
print(*shared().pids, flush=True)
"""


def caller(*lines: str) -> subprocess.Popen:
    """Start a process that has judged a program and says its workers' ids."""
    script = CALLER + "\n".join(lines)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True
    )


def test_the_server_ends_with_its_caller():
    with caller() as process:
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert process.wait(60) == 0
    assert len(pids) == 2 and gone(pids)


def test_the_server_ends_when_its_caller_is_killed_in_the_middle_of_a_program():
    loop = "def f():\\n    while True: pass"
    lines = (
        "from r1book.sandbox import Limits",
        f'shared().judge("{loop}", [([], 1)], limits=Limits(cpu_seconds=600, wall_seconds=600))',
    )
    with caller(*lines) as process:
        pids = [int(pid) for pid in process.stdout.readline().split()]
        time.sleep(0.3)
        process.kill()
        process.wait(60)
    assert len(pids) == 2 and gone(pids)


def test_an_interrupted_judgement_leaves_a_sandbox_that_works():
    loop = "def f():\\n    while True: pass"
    lines = (
        "import signal",  # a caller started in the background would ignore the interrupt
        "signal.signal(signal.SIGINT, signal.default_int_handler)",
        "from r1book.sandbox import Limits",
        "try:",
        "    limits = Limits(cpu_seconds=600, wall_seconds=600)",
        "    print('ready', flush=True)",
        f'    shared().judge("{loop}", [([], 1)], limits=limits)',
        "except KeyboardInterrupt:",
        '    print(shared().judge("def f(): return 1", [([], 1)]).passed)',
    )
    with caller(*lines) as process:
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "True\n"
        assert process.wait(60) == 0
    assert gone(pids)


def test_a_fork_of_the_caller_has_a_server_of_its_own():
    lines = (
        "import os",
        "mine = shared()",
        "child = os.fork()",
        "if child == 0:",
        '    ok = mine.judge("def f(): return 1", [([], 1)]).passed',
        '    ok = ok and shared().judge("def f(): return 1", [([], 1)]).passed',
        "    sys.exit(0 if ok and shared() is not mine else 1)",
        "status = os.waitpid(child, 0)[1]",
        'print(status, mine.judge("def f(): return 1", [([], 1)]).passed, *mine.pids)',
    )
    with caller(*lines) as process:
        first = process.stdout.readline().split()
        assert process.stdout.readline().split() == ["0", "True", *first]
        assert process.wait(60) == 0


@pytest.mark.skipif(not LINUX, reason="reads /proc")
def test_a_worker_has_no_files_and_tight_limits(box):
    box.judge(ORDINARY, TESTS)
    worker = Path(f"/proc/{box.pids[0]}")
    assert sorted(link.name for link in (worker / "fd").iterdir()) == ["0", "1", "2"]
    limits = {line[:25].strip(): line[25:].split()[0] for line in (worker / "limits").open()}
    for name in ("Max processes", "Max open files", "Max file size", "Max core file size"):
        assert limits[name] == "0"
    assert int(limits["Max address space"]) < 2**30
    assert "PATH" not in (worker / "environ").read_text()


def test_the_sandbox_imports_no_torch():
    script = "import sys, r1book.sandbox; sys.exit('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", script], env=environment).returncode == 0


def test_threads_may_share_a_sandbox(box):
    wrong = []

    def work(n: int) -> None:
        for _ in range(20):
            verdict = box.judge(f"def f(x): return x + {n}", [([1], 1 + n)])
            wrong.extend([] if verdict.passed else [verdict])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
