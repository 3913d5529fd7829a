"""Does the table of notebooks measure, and does one above the limit fail? With real kernels."""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
LIMIT_MB = 300  # 10^6 bytes; a bare kernel holds well under half of it

HUNGRY = """
import subprocess, sys
hold = "import time; held = b'1' * 300_000_000; time.sleep(1)"
assert subprocess.run([sys.executable, "-c", hold]).returncode == 0
"""
MODEST = """
import time
time.sleep(0.5)
"""
OFFLINE = """
import os, socket
assert "inline" in os.environ["MPLBACKEND"]
try:
    socket.create_connection(("192.0.2.1", 80), timeout=1)
except RuntimeError as error:
    assert "offline" in str(error)
else:
    raise AssertionError("connected")
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> subprocess.CompletedProcess:
    folder = tmp_path_factory.mktemp("notebooks")
    for name, source in {"hungry": HUNGRY, "modest": MODEST, "offline": OFFLINE}.items():
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        nbformat.write(notebook, folder / f"{name}.ipynb")
    command = [sys.executable, "-m", "pytest", "-p", "tests.notebook_report", "--nbmake"]
    times = folder / "times.json"
    times.write_text('{"earlier.ipynb": {"seconds": 1.0}, "modest.ipynb": {"seconds": 0.0}}')
    command += [f"--notebook-peak-mb={LIMIT_MB}", f"--notebook-times={times}", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=550)
    done.times = json.loads(times.read_text())
    return done


def row(report: subprocess.CompletedProcess, name: str) -> tuple[str, float, float]:
    """Return verdict, seconds and peak MB of one line of the table."""
    line = re.search(rf"^{name}\.ipynb +(\w+) +([\d.]+) +([\d,]+)$", report.stdout, re.M)
    assert line, report.stdout + report.stderr
    return line[1], float(line[2]), float(line[3].replace(",", ""))


@pytest.mark.slow
@pytest.mark.timeout(600)  # starts three kernels: 13 s on two idle cores, minutes on busy ones
def test_memory_of_a_child_counts_and_the_limit_is_kept(report):
    verdict, seconds, peak = row(report, "hungry")
    assert verdict == "failed"
    assert seconds > 1.0
    assert 320 < peak < 700
    assert f"expected more than 0 and at most {LIMIT_MB}" in report.stdout
    assert report.returncode == 1


@pytest.mark.slow
def test_a_small_notebook_passes(report):
    verdict, seconds, peak = row(report, "modest")
    assert verdict == "passed"
    assert seconds > 0.5
    assert 20 < peak < LIMIT_MB


@pytest.mark.slow
def test_a_kernel_has_no_network_and_draws_inline(report):
    assert row(report, "offline")[0] == "passed"


@pytest.mark.slow
def test_times_of_what_passed_are_kept_and_others_stay(report):
    _, seconds, peak = row(report, "modest")
    assert set(report.times) == {"earlier.ipynb", "modest.ipynb", "offline.ipynb"}
    assert report.times["earlier.ipynb"] == {"seconds": 1.0}
    told = report.times["modest.ipynb"]
    assert told["seconds"] == pytest.approx(seconds, abs=0.06)
    assert told["peak_rss"] == pytest.approx(peak * 1e6, abs=0.51e6)
