"""Does TRL's GRPOTrainer learn what ours learns from the same settings, and in how many minutes?

    python benchmarks/learning.py [--steps 90] [--seeds 0 1 2 3 4] [--stock 0] [--json FILE]

Both train R1-Zero from the shipped base: the same questions at each step, group size, temperature,
length limit, rewards, token-mean loss (TRL's 'dapo'), AdamW with the same rates and clipping. Ours
runs once for each of --seeds, into run folders; TRL (float32, 8 batches) once for each of --stock.
Draws differ, so runs differ as seeds do: the question is whether TRL's curve lies where another
seed of ours would, by the prediction interval of a next seed (Student's t). Windows of the training
curve and the dev split after it are compared. The last line is TRL's seconds over ours (medians
over runs).
"""

import argparse
import dataclasses
import json
import math
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from grpo_step import QUICK, RL, STOCK, close, stock

from r1book import config, evaluate, intervals, models, plots, runs, stages, trace

WINDOW = 15
"""Steps that are averaged to one point of a curve."""


def ours(steps: int, seed: int, out: Path) -> dict:
    """Train ours, or go on with it; return its curve, seconds and what it scores."""
    preset = config.laptop()
    preset = dataclasses.replace(preset, r1_zero=dataclasses.replace(RL, steps=steps))
    folder = stages.run("r1-zero", preset, seed=seed, out=out / f"seed{seed}")
    lines = trace.read_metrics(folder / "metrics.jsonl")
    return told(lines, "seconds", json.loads((folder / "eval.json").read_text(encoding="utf-8")))


def theirs(steps: int, seed: int, out: Path) -> dict:
    """Train TRL's; return the same."""

    def tools(model):
        adam = torch.optim.AdamW(model.parameters(), RL.lr, betas=(0.9, 0.98), weight_decay=0.0)
        rise = torch.optim.lr_scheduler.LambdaLR(adam, lambda n: min(1.0, (n + 1) / RL.warmup))
        return adam, rise

    settings = {**STOCK[QUICK], "loss_type": "dapo", "beta": 0.0, "max_grad_norm": RL.grad_clip}
    with tempfile.TemporaryDirectory() as folder:
        base = models.shipped("base")
        lines = stock(base, settings, steps - 1, lambda at: None, seed, tools, folder)
        model, tokenizer = models.load(trained(Path(folder), base))
        return told(lines, "step", evaluate.evaluate(model, tokenizer, config.laptop().evaluation))


def trained(folder: Path, base: Path) -> Path:
    """Put the base's tokenizer beside weights; return the folder."""
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


def told(lines: list[dict], seconds: str, seen: dict) -> dict:
    """Return one run: points of its curve, seconds, accuracy on the dev split of each benchmark."""
    scores = {name: found["pass@1"] for name, found in seen.items()}
    scores["tokens on logic"] = seen["logic"]["mean_tokens"]
    curve = [line["accuracy"] for line in lines]
    starts = range(0, len(curve) - len(curve) % WINDOW or 1, WINDOW)
    return {
        "curve": [round(statistics.mean(curve[at : at + WINDOW]), 4) for at in starts],
        "seconds": round(sum(line[seconds] for line in lines), 1),
        "tokens": sum(line["tokens"] for line in lines),
        "scores": {name: round(value, 4) for name, value in scores.items()},
    }


def next_seed(values: list[float]) -> tuple[float, float]:
    """Return the 95 % prediction interval of one more value like these."""
    n, spread = len(values), statistics.stdev(values)
    half = intervals.t_quantile(0.975, n - 1) * spread * math.sqrt(1 + 1 / n)
    return statistics.mean(values) - half, statistics.mean(values) + half


def compare(mine: list[dict], other: list[dict]) -> dict:
    """Return, for each point and score, the interval of a next seed of ours and TRL's values."""
    parts = {f"steps up to {WINDOW * (k + 1)}": k for k in range(len(other[0]["curve"]))}
    values = {name: lambda run, k=k: run["curve"][k] for name, k in parts.items()}
    values |= {name: lambda run, n=name: run["scores"][n] for name in other[0]["scores"]}
    out = {}
    for name, of in values.items():
        low, high = next_seed([of(run) for run in mine])
        seen = [of(run) for run in other]
        inside = all(low <= value <= high for value in seen)
        out[name] = {"interval": [round(low, 4), round(high, 4)], "trl": seen, "inside": inside}
        print(f"{name:20s} ours {low:7.3f} to {high:7.3f}   TRL {seen}   inside: {inside}")
    return out


def draw(mine: list[dict], other: list[dict], path: Path) -> None:
    """Write the figure: accuracy in training against steps, and against minutes."""
    figure = plots.Chart(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for at, (name, found) in enumerate((("r1book", mine), ("TRL", other))):
        for k, run in enumerate(found):
            steps = [WINDOW * (i + 1) for i in range(len(run["curve"]))]
            minutes = [run["seconds"] / 60 * (i + 1) / len(steps) for i in range(len(steps))]
            look = {"color": plots.COLOURS[at], "marker": plots.MARKERS[at], "alpha": 0.8}
            left.plot(steps, run["curve"], **look, label=None if k else name)
            right.plot(minutes, run["curve"], **look)
    left.set(xlabel="steps", ylabel="accuracy in training")
    right.set(xlabel="minutes (a run's seconds, spread evenly over its steps)")
    left.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Train all, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=RL.steps)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="of ours")
    parser.add_argument("--stock", type=int, nargs="+", default=[0], help="seeds of TRL's")
    parser.add_argument("--out", type=Path, default=Path("runs/learning"), help="runs of ours")
    parser.add_argument("--json", type=Path, help="write the result here")
    options = parser.parse_args()
    if len(options.seeds) < 2:
        sys.exit("--seeds: expected two or more, for an interval")
    runs_ = {"ours": [], "TRL": []}
    for name, train, seeds in (("ours", ours, options.seeds), ("TRL", theirs, options.stock)):
        for seed in seeds:
            runs_[name].append({"seed": seed, **train(options.steps, seed, options.out)})
            print(f"{name} {runs_[name][-1]}", flush=True)
            if options.json:  # what is done is not lost
                trace.write_json(options.json.with_suffix(".partial"), runs_)
    found = compare(runs_["ours"], runs_["TRL"])
    outside = [name for name, line in found.items() if not line["inside"]]
    print(f"outside the interval of a next seed: {', '.join(outside) or 'nothing'}")
    if options.json:
        draw(runs_["ours"], runs_["TRL"], options.json.with_suffix(".png"))
        options.json.with_suffix(".partial").unlink()
    each = {name: statistics.median(run["seconds"] for run in of) for name, of in runs_.items()}
    close(
        "learning", options.json, each["TRL"] / each["ours"],
        f"seconds of TRL for the same {options.steps} steps of R1-Zero, over ours",
        steps=options.steps, runs=runs_, compared=found, outside=outside,
        peak_rss=runs.peak_rss(),
    )  # fmt: skip


if __name__ == "__main__":
    main()
