"""What does a running stage show? A bar or plain lines, the time left, an early diagnosis.

Leaves out training: `stages.run` calls it after each step.
"""

import os
import statistics
import sys
import time
from pathlib import Path

from tqdm import tqdm

from r1book import doctor, runs, trace
from r1book.cli.shell import say

EARLY = 5
"""Steps after which the doctor looks for the first time."""
FORECAST = 3
"""Steps of a session after which a forecast is said: the first is no measure, it warms up."""
SHOWN = ("reward", "accuracy", "format", "length")


def duration(seconds: float) -> str:
    """Return seconds in words.

    >>> duration(75), duration(600), duration(7500)
    ('75 s', '10 min', '2 h 05 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


class Watch:
    """Shows each step on stderr: a bar on a terminal, elsewhere about twenty plain lines."""

    def __init__(self, out: Path, stage: str, title: str, limit: int | None):
        self.out, self.stage, self.title, self.limit = out, stage, title, limit
        self.done = self.steps = 0
        """Steps done, those of earlier sessions included, and steps in all."""
        self.taken: list[float] = []
        """Seconds of each step of this session."""
        self.bar: tqdm | None = None
        self._at = 0.0

    def open(self) -> None:
        """Show the bar before the first step."""
        hidden = not sys.stderr.isatty()
        # the bar stands last: on a narrow terminal it is cut, and no number
        form = "{desc} {n_fmt}/{total_fmt}{postfix} |{bar}|"
        wide = 80 if hidden else os.get_terminal_size(sys.stderr.fileno()).columns or 80
        first = "ETA after the first step"
        self.bar = tqdm(
            total=None,
            desc=self.stage,
            bar_format=form,
            ncols=wide,
            postfix=first,
            disable=hidden,
        )

    def close(self) -> None:
        """Leave the bar as it stands, or none where no step was done; twice is harmless."""
        if self.bar is not None:
            self.bar.leave = bool(self.taken)
            self.bar.close()

    def __call__(self, line: dict, steps: int) -> None:
        now = time.perf_counter()
        # a run that ends by its operations learns their number as it goes
        self.steps = self.bar.total = steps
        if not self.taken:  # only now is it known that there is nothing to refuse
            self._say(self.title.format(steps))
        self.taken.append(now - self._at if self._at else line["seconds"])
        self._at, self.done = now, line["step"] + 1
        # the first step warms up and may compile: it counts only until there is a second
        pace = statistics.fmean(self.taken[1:][-10:] or self.taken)
        left = duration(pace * (steps - self.done))
        names = SHOWN if "reward" in line else ("loss",) if "loss" in line else ("rows",)
        seen = ((name, line.get(name)) for name in names)
        values = ", ".join(f"{name} {_short(x)}" for name, x in seen)
        if not self.bar.disable:
            self.bar.n = self.done
            self.bar.set_postfix_str(f"ETA {left}, {values}")
        elif len(self.taken) == 1 or self.done == steps or self.done % max(1, steps // 20) == 0:
            say(f"step {self.done}/{steps}, ETA {left}: {values}")
        if len(self.taken) == FORECAST and self.done < steps:
            self._say(
                f"forecast: {left} for the {steps - self.done} steps left, at {pace:.2g} s a step "
                "as timed here (longer answers take longer), then the evaluation; "
                f"memory so far {runs.peak_rss() / 1e9:.1f} GB"
            )
        if self.done == EARLY < steps and ("reward" in line or "loss" in line):
            metrics = trace.read_metrics(self.out / "metrics.jsonl", live=True)
            found = doctor.diagnose(metrics, length_limit=self.limit)
            self._say(f"the doctor after {EARLY} steps:\n{doctor.report(found)}")
        if self.done == steps:
            self.close()
            say("done; measuring what was made ...")

    def _say(self, text: str) -> None:
        with tqdm.external_write_mode(file=sys.stderr):
            say(text)
