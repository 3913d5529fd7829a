"""How quickly do the widgets answer? Many traces opened and turned, and a thought forked.

    python benchmarks/widgets.py [--traces 10000] [--json FILE]

10,000 traces of 500 tokens are opened in the inspector, filtered by words of reflection (which
reads every text), and paged; medians over 20 pages. A thought of the shipped R1-Zero is forked at
20 places with 64 continuations each. The goals are 2 s to open, 0.2 s a page, 10 s a fork; the last
line is how many times faster than its goal the slowest of the three is.
"""

import argparse
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from grpo_step import close

from r1book import evaluate, fork, models, problems
from r1book.config import EvalConfig
from r1book.widgets_traces import Inspector

GOALS = {"open_s": 2.0, "page_s": 0.2, "fork_s": 10.0}


def seconds(function) -> tuple[float, object]:
    """Return how long a call takes, and what it returns."""
    begun = time.perf_counter()
    out = function()
    return time.perf_counter() - begun, out


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traces", type=int, default=10_000, help="how many to open")
    parser.add_argument("--json", type=Path, help="write the result here")
    options = parser.parse_args()
    model, tokenizer = models.load(models.shipped("r1-zero"))
    few = EvalConfig(problems=20, samples=4)
    seen = sorted(
        evaluate.traces(model, tokenizer, "logic", few), key=lambda t: t.tokens, reverse=True
    )
    longest = seen[0].completion
    text = (longest + " ") * (500 // max(1, seen[0].tokens) + 1)
    text = fork.prefixes(tokenizer, text)[500]
    many = [
        replace(seen[i % len(seen)], index=i, completion=text, tokens=500)
        for i in range(options.traces)
    ]
    figures = {}
    figures["open_s"], view = seconds(lambda: Inspector(many))
    pages = []
    for _ in range(20):
        pages.append(seconds(view.on.click)[0])
    figures["page_s"] = statistics.median(pages)

    def reflecting() -> None:
        view.words.value = "with one"

    figures["first_reflection_filter_s"], _ = seconds(reflecting)
    trace = seen[len(seen) // 2]
    figures["fork_s"], curve = seconds(
        lambda: fork.value_curve(
            model, tokenizer, problems.from_dict(trace.problem), trace.completion
        )
    )
    answers = sum(len(each.texts) for each in curve)
    for name, value in figures.items():
        goal = f" (goal {GOALS[name]:g})" if name in GOALS else ""
        print(f"{name.removesuffix('_s').replace('_', ' '):26} {value:8.3f} s{goal}")
    print(f"{answers} continuations of a thought of {trace.tokens} tokens")
    ratio = min(goal / figures[name] for name, goal in GOALS.items())
    says = "time that a widget may take over what it takes, the slowest of open, page and fork"
    close(
        "widgets", options.json, ratio, says, seconds=figures, traces=options.traces,
        continuations=answers,
    )  # fmt: skip


if __name__ == "__main__":
    main()
