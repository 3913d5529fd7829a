"""What is a training set here? JSON lines that `datasets` reads, with a card that counts them.

Leaves out where the rows come from (`curate.py`) and who trains on them (`trainers.py`).
"""

import dataclasses
import json
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from r1book import problems, trace
from r1book.world.splits import split_of
from r1book.world.vocab import split_words

REPORT = {
    "math": (395_285, 6_094.2),
    "code": (211_129, 7_435.7),
    "stem": (10_124, 4_928.8),
    "logic": (10_395, 2_739.0),
    "general": (177_812, 1_419.8),
}
"""Domain -> (samples, mean tokens) of the report's 804,745 (v2, Table 5): 626,933 of reasoning and
177,812 general ones."""
NGRAM = 10
"""Tokens of the runs that a question may not share with a question of an evaluation set (the
report: 10-grams, v2 D.1)."""


class SetError(ValueError):
    """A folder that holds no training set, or a damaged one."""


@dataclass(frozen=True)
class Row:
    """One example: what is asked and what shall be said."""

    prompt: str
    """The whole prompt, template included."""
    completion: str
    """What is learnt, without end-of-text."""
    domain: str
    """Family of the problem."""
    lang: str
    """Language of the question."""
    level: int
    """Difficulty, 1 to 5."""
    key: str
    """Key of the problem, by which splits are told apart."""
    source: str
    """Who wrote the completion, e.g. 'reasoning-rl', 'chat'."""


def row(problem: problems.Problem, prompt: str, completion: str, source: str) -> Row:
    """Return an example of a problem."""
    return Row(prompt, completion, problem.family, problem.lang, problem.level, problem.key, source)


def write(folder, rows: Sequence[Row], **card) -> Path:
    """Write train.jsonl and card.json into a folder; `card` adds to what is counted (`describe`).

    `datasets.load_dataset("json", data_files=str(folder / "train.jsonl"))` opens it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines = b"".join(trace.encode(dataclasses.asdict(r)) + b"\n" for r in rows)
    trace.write_bytes(folder / "train.jsonl", lines)
    trace.write_json(folder / "card.json", {**describe(rows), **card})
    return folder


def read(folder) -> list[Row]:
    """Return the rows of a set; SetError says which line is not one."""
    path = Path(folder) / "train.jsonl"
    if not path.is_file():
        raise SetError(f"{folder} holds no training set: train.jsonl is missing")
    out = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            out.append(Row(**json.loads(line)))
        except (json.JSONDecodeError, TypeError) as error:
            names = ", ".join(field.name for field in dataclasses.fields(Row))
            raise SetError(
                f"{path}, line {number}: {error}. Expected an object of {names}"
            ) from error
    return out


def describe(rows: Sequence[Row]) -> dict:
    """Return {"rows", "domains": {domain: {"rows", "share", "tokens", "report_rows",
    "report_share", "report_tokens"}}, "languages", "sources", "duplicates"}: counts and mean
    tokens of the completions, beside the report's. Taught in notebook 06."""
    whole = sum(n for n, _ in REPORT.values())
    domains = {}
    for name, (report_rows, report_tokens) in REPORT.items():
        lengths = [len(split_words(r.completion)) for r in rows if r.domain == name]
        domains[name] = {
            "rows": len(lengths),
            "share": len(lengths) / max(1, len(rows)),
            "tokens": statistics.fmean(lengths) if lengths else None,
            "report_rows": report_rows,
            "report_share": report_rows / whole,
            "report_tokens": report_tokens,
        }
    return {
        "rows": len(rows),
        "domains": domains,
        "languages": dict(Counter(r.lang for r in rows)),
        "sources": dict(Counter(r.source for r in rows)),
        "duplicates": len(rows) - len({(r.prompt, r.completion) for r in rows}),
    }


def unthought(completion: str) -> str:
    """Return a completion with nothing between its `<think>` tags; without a thought, as it is.

    >>> unthought("<think> 3 + 4 = 7. </think> <answer> 7 </answer>")
    '<think> </think> <answer> 7 </answer>'
    """
    return re.sub(r"<think>.*?</think>", "<think> </think>", completion, count=1, flags=re.DOTALL)


def distinct(rows: Sequence[Row]) -> list[Row]:
    """Return the rows without those that say the same to the same prompt, first ones kept."""
    out: dict[tuple[str, str], Row] = {}
    for r in rows:
        out.setdefault((r.prompt, r.completion), r)
    return list(out.values())


def decontaminate(
    rows: Sequence[Row], questions: Sequence[str]
) -> tuple[list[Row], dict[str, int]]:
    """Return the rows that share neither key nor 10-gram with what is evaluated on, and how many
    were dropped for which: {"key", "ngram"}. `questions`: those of the rows.

    A run counts when it holds two numbers, which tell a problem from others of its kind; a question
    counts as a whole, too. Greetings and questions who one is are the same in every split, and
    kept. Source: v2 D.1 (10-grams only).
    """
    known = _evaluated()
    out, dropped = [], {"key": 0, "ngram": 0}
    for r, question in zip(rows, questions, strict=True):
        everywhere = r.key in ("general:greet", "general:who")
        if not everywhere and split_of(r.key) != "train":
            dropped["key"] += 1
        elif not everywhere and _runs(question) & known:
            dropped["ngram"] += 1
        else:
            out.append(r)
    return out, dropped


def _runs(text: str) -> set[tuple[str, ...]]:
    tokens = split_words(text)
    runs = {tuple(tokens[i : i + NGRAM]) for i in range(len(tokens) - NGRAM + 1)}
    return {run for run in runs if sum(map(str.isdigit, run)) > 1} | {tuple(tokens)}


@cache
def _evaluated() -> frozenset:
    """Return the runs of the evaluation sets' questions."""
    asked = (
        problem.question
        for name in (*problems.BENCHMARKS, "logic")
        for split in ("dev", "test", "heldout")
        for problem in problems.load(name, 100, split=split)
    )
    return frozenset(run for question in asked for run in _runs(question))
