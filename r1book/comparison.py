"""How do the stages compare, here and in the report? One table, computed from checkpoints.

Leaves out what is counted of an answer (`evaluate.py`) and who trained the stages (`stages.py`).
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from r1book import evaluate, models, runs, trace
from r1book.config import EvalConfig

STAGES = {
    "base": "base",
    "r1-zero": "R1-Zero",
    "cold-start": "Dev1",
    "reasoning-rl": "Dev2",
    "sft-800k": "Dev3",
    "all-scenario-rl": "R1",
}
"""Stage -> its name in the report; the columns of the table."""
REPORT = {
    "mini-MATH": ("MATH-500 (pass@1)", (95.9, 94.2, 95.9, 95.4, 97.3)),
    "mini-AIME": ("AIME 2024 (pass@1)", (77.9, 59.0, 74.0, 78.1, 79.8)),
    "mini-GPQA": ("GPQA Diamond (pass@1)", (75.8, 66.1, 70.7, 71.2, 71.5)),
    "mini-LiveCodeBench": ("LiveCodeBench (pass@1-CoT)", (50.0, 57.5, 63.5, 64.6, 65.9)),
    "mini-IFEval": ("IF-Eval (prompt strict)", (46.6, 71.7, 72.0, 78.1, 83.3)),
    "mini-Arena": ("Arena-Hard (GPT-4-1106)", (53.6, 77.0, 73.2, 75.6, 92.3)),
}
"""Benchmark of this world -> the report's it stands for and the figures of R1-Zero, Dev1, Dev2,
Dev3 and R1 there, in per cent (Nature, Table 2; v2, Table 3)."""
BENCHMARKS = ("mini-MATH", "mini-AIME", "logic", "mini-GPQA", "mini-LiveCodeBench", "mini-IFEval",
              "mini-Arena")  # fmt: skip


def measure(
    folders: Mapping[str, Path],
    out,
    config: EvalConfig,
    benchmarks: tuple[str, ...] = BENCHMARKS,
    said: Callable[[str], None] = print,
) -> dict:
    """Return {stage: {"sha256", benchmark: summary}} of checkpoint folders by stage, kept in the
    JSON file `out`.

    What is there of the same checkpoint is not measured again, so that a stopped table goes on.
    Raises ValueError where the file was made with other settings.
    """
    out = Path(out)
    how = {"problems": config.problems, "samples": config.samples, "split": config.split,
           "temperature": config.temperature, "top_p": config.top_p}  # fmt: skip
    found = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {"how": how}
    if found["how"] != how:
        raise ValueError(
            f"{out} was measured with {found['how']}, asked is {how}: choose another file"
        )
    stages = found.setdefault("stages", {})
    for stage, folder in folders.items():
        sha = runs.checksum(folder)
        if stages.get(stage, {}).get("sha256") != sha:
            stages[stage] = {"sha256": sha}
        left = [name for name in benchmarks if name not in stages[stage]]
        if left:
            model, tokenizer = models.load(folder)
        for name in left:
            said(f"{stage}: {name}")
            seen = evaluate.traces(model, tokenizer, name, config)
            told = evaluate.summarise(seen, config.samples)
            stages[stage][name] = told | (evaluate.arena(seen) if name == "mini-Arena" else {})
            trace.write_json(out, found)
    return {stage: found["stages"][stage] for stage in folders}


def value(summary: Mapping, name: str) -> float | None:
    """Return what the table shows of a benchmark: gold quality of mini-Arena, else pass@1."""
    return summary["gold"] if name == "mini-Arena" else summary["pass@1"]


def table(measured: Mapping[str, Mapping]) -> str:
    """Return the table as markdown: a benchmark a row, ours in per cent, the report's below."""
    stages = [stage for stage in STAGES if stage in measured]
    lines = [
        "| | " + " | ".join(STAGES[s] for s in stages) + " |",
        "|---" * (len(stages) + 1) + "|",
    ]
    names = [n for n in BENCHMARKS if all(n in measured[s] for s in stages)]
    for name in names:
        ours = [_percent(value(measured[s][name], name)) for s in stages]
        label = f"{name} (gold quality)" if name == "mini-Arena" else name
        lines.append(f"| **{label}** | " + " | ".join(ours) + " |")
        if name in REPORT:
            theirs, figures = REPORT[name]
            by = dict(zip(list(STAGES)[1:], figures, strict=True))
            cells = [f"{by[s]:.1f}" if s in by else "" for s in stages]
            lines.append(f"| *{theirs}, the report* | " + " | ".join(cells) + " |")
    more = (
        ("harmless responses, mini-Arena", lambda m: m["mini-Arena"].get("harmless")),
        ("target language, mini-MATH", lambda m: m["mini-MATH"]["target_language_share"]),
        ("in form, mini-MATH", lambda m: m["mini-MATH"]["format"]),
    )
    for label, take in more:
        if all(n in names for n in ("mini-MATH", "mini-Arena")):
            lines.append(
                f"| {label} | " + " | ".join(_percent(take(measured[s])) for s in stages) + " |"
            )
    return "\n".join(lines)


VARIANTS = {
    "popular": "R1-Zero's RL on Dev3, as the popular order of stages ends",
    "no-cold-start": "no cold start: reasoning RL from the base, then as R1, up to Dev3",
    "no-restart": "no restart: the second SFT goes on from Dev2",
    "language-first": "language reward from the start, in R1-Zero, then as R1, up to Dev3",
}
"""Variant of the stage graph -> what is different; `make variants` trains and records them."""


def variants(folders: Mapping[str, Path], stages: Mapping[str, Mapping]) -> str:
    """Return one table as markdown: Dev3 and R1 of the book (`measure`), and the last checkpoint of
    each variant (run folders or excerpts), in per cent.

    Raises ValueError where a variant was not measured on one of the benchmarks.
    """
    shown = ("mini-MATH", "logic", "mini-GPQA", "mini-IFEval", "mini-Arena")
    rows = {STAGES[stage]: stages[stage] for stage in ("sft-800k", "all-scenario-rl")}
    for name, folder in folders.items():
        told = json.loads((Path(folder) / "eval.json").read_text(encoding="utf-8"))
        if missing := [on for on in shown if on not in told]:
            raise ValueError(f"{folder}: not measured on {', '.join(missing)}; run `make variants`")
        rows[VARIANTS[name]] = told
    head = [*shown[:-1], "gold quality", "language, mini-MATH"]
    lines = ["| | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for name, told in rows.items():
        cells = [_percent(value(told[on], on)) for on in shown]
        cells.append(_percent(told["mini-MATH"]["target_language_share"]))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
