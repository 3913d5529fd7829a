"""How fast does the sandbox judge? It prints seconds; what the programs mean is not measured.

    python benchmarks/sandbox.py [--workers 2] [--repeats 5] [--json FILE]

The 256 ordinary programs are five shapes in turn, four tests each. Medians over the repeats. The
last line is how many times longer it takes to start a fresh interpreter for each of them, as many
at a time: the plain way to keep one program from another.
"""

import argparse
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from grpo_step import close

from r1book.sandbox import Sandbox

SHAPES = (
    ("def f ( x ) : return x * {c} + 3", lambda x, c: x * c + 3),
    ("def f(x): return x * 2 if x > {c} else x + 1", lambda x, c: x * 2 if x > c else x + 1),
    (
        "def f(x):\n    s = 0\n    for i in range(x + {c}):\n        s += i\n    return s",
        lambda x, c: sum(range(x + c)),
    ),
    (
        "def f(x): return [i * i for i in range(x)][::-1]",
        lambda x, c: [i * i for i in range(x)][::-1],
    ),
    (
        "def f(x):\n    while x >= {c}:\n        x = x - {c}\n    return x",
        lambda x, c: x % c,
    ),
)


def ordinary(count: int) -> list[tuple[str, list]]:
    """Return programs with four tests each that they pass."""
    jobs = []
    for number in range(count):
        (text, function), c = SHAPES[number % len(SHAPES)], 2 + number % 7
        jobs.append((text.format(c=c), [([x], function(x, c)) for x in (1, 4, 9, 16)]))
    return jobs


def seconds(work, repeats: int) -> float:
    """Return the median time of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def interpreters(jobs: list[tuple[str, list]], workers: int) -> float:
    """Return the seconds that judging takes with a fresh interpreter for each program."""

    def judge(job: tuple[str, list]) -> int:
        text, tests = job
        checks = "\n".join(f"assert f(*{given!r}) == {wanted!r}" for given, wanted in tests)
        command = [sys.executable, "-I", "-S", "-c", f"{text}\n{checks}"]
        return subprocess.run(command, capture_output=True, check=False).returncode

    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        if any(pool.map(judge, jobs)):
            raise RuntimeError("an ordinary program did not pass in a fresh interpreter")
    return time.perf_counter() - start


def measure(workers: int, repeats: int) -> dict[str, float]:
    """Return the figures that `main` prints."""
    jobs, loop = ordinary(256), "def f(x):\n    while True: x = 1"
    mixed = [
        (loop, tests) if i % 32 == 0 else (text, tests) for i, (text, tests) in enumerate(jobs)
    ]
    with Sandbox(workers) as box:
        start = time.perf_counter()
        box.judge(*jobs[0])
        figures = {"first_program_seconds": time.perf_counter() - start}
        wrong = [verdict.reason for verdict in box.judge_many(jobs) if not verdict.passed]
        if wrong:
            raise RuntimeError(
                f"{len(wrong)} ordinary programs did not pass, the first: {wrong[0]}"
            )
        figures["programs_256_seconds"] = seconds(lambda: box.judge_many(jobs), repeats)
        figures["one_program_seconds"] = seconds(lambda: box.judge(*jobs[0]), 20 * repeats)
        figures["endless_loop_seconds"] = seconds(lambda: box.judge(loop, jobs[0][1]), repeats)
        figures["programs_256_with_8_endless_seconds"] = seconds(
            lambda: box.judge_many(mixed), repeats
        )
    figures["programs_256_in_fresh_interpreters_seconds"] = interpreters(jobs, workers)
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, help="programs judged at a time")
    parser.add_argument("--repeats", type=int, default=5, help="calls behind each median")
    parser.add_argument("--json", type=Path, help="write the result here")
    options = parser.parse_args()
    figures = measure(options.workers, options.repeats)
    for name, value in figures.items():
        print(f"{name.removesuffix('_seconds').replace('_', ' '):40} {value:8.4f} s")
    plain = figures["programs_256_in_fresh_interpreters_seconds"]
    says = "programs judged in the sandbox a second, over those in a fresh interpreter each"
    ratio = plain / figures["programs_256_seconds"]
    close("sandbox", options.json, ratio, says, workers=options.workers, seconds=figures)


if __name__ == "__main__":
    main()
