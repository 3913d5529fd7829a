"""How long does each notebook take, and how much memory? A pytest plugin for runs with --nbmake.

Prints a table and fails a notebook whose kernel, with the processes it starts, holds more resident
memory than a free Binder pod leaves it. Seconds are shown and not judged: machines differ.
Use: python -m pytest -p tests.notebook_report --nbmake notebooks/
"""

import json
import os
import threading
import time
from pathlib import Path

import psutil
import pytest

# Offline and thread counts; notebooks/ has no conftest of its own.
import tests.conftest  # noqa: F401

# Kernels choose matplotlib's inline backend only where none is set; Agg would show no figure.
os.environ.pop("MPLBACKEND", None)

PERIOD = 0.1  # seconds between two looks at the memory
ROWS = pytest.StashKey[list]()


class PeakMemory(threading.Thread):
    """Largest sum of resident bytes over the processes below this one, while `with` lasts."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak = 0
        self._done = threading.Event()

    def run(self) -> None:
        this = psutil.Process()
        while not self._done.is_set():
            self.peak = max(self.peak, sum(map(resident, this.children(recursive=True))))
            self._done.wait(PERIOD)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc) -> None:
        self._done.set()
        self.join()


def resident(process: psutil.Process) -> int:
    """Return the resident bytes of a process, 0 if it has just ended."""
    try:
        return process.memory_info().rss
    except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
        return 0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--notebook-peak-mb",
        type=float,
        default=1500.0,
        help="fail a notebook that holds more resident memory than this, in MB (10^6 bytes)",
    )
    parser.addoption(
        "--notebook-times",
        type=Path,
        help="also keep seconds and peak memory (bytes) of the notebooks that passed in this JSON "
        "file, from which README and notebook 00 are made; what it says of others stays",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item):
    if not getattr(item, "nbmake", False):
        return (yield)
    started = time.monotonic()
    with PeakMemory() as memory:
        try:
            return (yield)
        finally:
            item.user_properties += [
                ("seconds", time.monotonic() - started),
                ("peak_mb", memory.peak / 1e6),
            ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = yield
    if call.when != "call" or not getattr(item, "nbmake", False):
        return report
    measured, limit = dict(item.user_properties), item.config.getoption("notebook_peak_mb")
    if report.passed and not 0 < measured["peak_mb"] <= limit:
        report.outcome = "failed"
        report.longrepr = (
            f"{Path(item.filename).name}: kernel and children held {measured['peak_mb']:,.0f} MB, "
            f"expected more than 0 and at most {limit:,.0f}. Load fewer or smaller things at once."
        )
    item.config.stash[ROWS].append((Path(item.filename).name, report.outcome, measured))
    return report


def keep(path: Path, rows: list) -> None:
    """Write what passed into the JSON file: {notebook: {"seconds", "peak_rss", "cores"}}."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name, outcome, measured in rows:
        if outcome == "passed":
            known[name] = {
                "seconds": round(measured["seconds"], 1),
                "peak_rss": round(measured["peak_mb"] * 1e6),
                "cores": os.cpu_count(),
            }
    path.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    rows = config.stash[ROWS]
    if not rows:
        return
    kept = config.getoption("notebook_times")
    if kept is not None:
        keep(kept, rows)
    width = max(len("notebook"), *(len(name) for name, _, _ in rows))
    terminalreporter.section("notebooks")
    terminalreporter.line(f"{'notebook':<{width}}  {'result':<7}  {'seconds':>8}  {'peak MB':>8}")
    total = sum(measured["seconds"] for _, _, measured in rows)
    highest = max(measured["peak_mb"] for _, _, measured in rows)
    for name, outcome, measured in [*rows, ("all", "", {"seconds": total, "peak_mb": highest})]:
        numbers = f"{measured['seconds']:8.1f}  {measured['peak_mb']:8,.0f}"
        terminalreporter.line(f"{name:<{width}}  {outcome:<7}  {numbers}")
    terminalreporter.line(
        f"peak: resident memory of kernel and children, looked at every {PERIOD} s, "
        f"limit {config.getoption('notebook_peak_mb'):,.0f} MB"
    )
