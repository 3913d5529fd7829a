"""How do time and memory of a GRPO step grow with group size, length limit and depth?

    python benchmarks/scaling.py [--rounds 3] [--quick] [--json FILE] [--figure PNG]

Each point is a process of its own, so that its peak of resident memory is its own: a model, one
step to warm up, then the median of the timed ones. Models are freshly drawn and hardly ever end an
answer, so that work is as long as the limit says; the line "stops early" is the shipped R1-Zero,
whose answers end by themselves. The last line is the largest growth of seconds a step, over the
growth of its tokens (of its layers, for depth): 1 is linear.
"""

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

BASIS = {"group_size": 16, "max_new_tokens": 128, "layers": 4}
"""What is not varied; 4 questions a step."""
VARIED = {
    "group_size": (4, 8, 16, 32, 64),
    "max_new_tokens": (64, 128, 256, 512, 1024),
    "layers": (2, 4, 8, 16),
}
TITLES = {
    "group_size": "answers to a question",
    "max_new_tokens": "length limit, tokens",
    "layers": "depth, layers",
}
EARLY = "stops early"


def point(settings: dict, rounds: int, shipped: bool) -> dict:
    """Return {"seconds", "tokens", "peak_rss"} of one setting, measured in this process."""
    from r1book import config, models, rl, runs, sft

    preset = config.laptop()
    layers = settings.pop("layers")
    cfg = dataclasses.replace(preset.r1_zero, prompts_per_step=4, **settings)
    if shipped:
        found, tokenizer = models.load(models.shipped("r1-zero"))
        model = models.build(dataclasses.replace(found.shape, positions=2048), 0)
        model.load_state_dict(found.state_dict())  # the same, with room for the longest limit
    else:
        shape = dataclasses.replace(preset.base.model, layers=layers, positions=2048)
        model, tokenizer = models.build(shape, 0), models.tokenizer()
    tools = sft.optimizers(model, 1e-6)
    # a fresh model earns nothing: all groups would tie and the update be skipped
    lines = [
        rl.step(model, None, tokenizer, tools, cfg, 0, n, judge=_any_reward).metrics
        for n in range(rounds + 1)
    ]
    return {
        "seconds": statistics.median(line["seconds"] for line in lines[1:]),
        "tokens": statistics.median(line["tokens"] for line in lines[1:]),
        "peak_rss": runs.peak_rss(),
    }


def _any_reward(config, asked, answers, seed, step):
    from r1book.rewards import Score

    return [Score({"accuracy": float(a.index % 2)}, float(a.index % 2), "in turn") for a in answers]


def measure(settings: dict, rounds: int, shipped: bool = False) -> dict:
    """Return what `point` says in a fresh process."""
    asked = json.dumps({"settings": settings, "rounds": rounds, "shipped": shipped})
    command = [sys.executable, __file__, "--point", asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{settings}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def growth(rows: list[dict], name: str) -> float:
    """Return the growth of seconds over the growth of work, from the first to the last row."""
    first, last = rows[0], rows[-1]
    work = (lambda row: row["value"]) if name == "layers" else (lambda row: row["tokens"])
    return (last["seconds"] / first["seconds"]) / (work(last) / work(first))


def draw(table: dict, path: Path) -> None:
    """Write the figure: seconds and memory against each setting, on logarithmic axes."""
    from r1book import plots

    figure = plots.Chart(figsize=(11, 5.5), layout="constrained")
    axes = figure.subplots(2, 3, sharey="row", sharex="col")
    for column, name in enumerate(VARIED):
        for i, (line, rows) in enumerate(table[name].items()):
            look = {"color": plots.COLOURS[i], "marker": plots.MARKERS[i], "label": line}
            values = [row["value"] for row in rows]
            for row_of, key, unit in ((0, "seconds", 1), (1, "peak_rss", 1e9)):
                axes[row_of, column].plot(values, [row[key] / unit for row in rows], **look)
        axes[0, column].set(xscale="log", yscale="log")
        axes[0, column].set_xticks(VARIED[name], [str(v) for v in VARIED[name]], minor=False)
        axes[0, column].minorticks_off()
        axes[1, column].set_xlabel(TITLES[name])
    # shared by the columns, so set once all of them are drawn
    every = [row for lines in table.values() for rows in lines.values() for row in rows]
    axes[1, 0].set_ylim(0, 1.1 * max(row["peak_rss"] for row in every) / 1e9)
    axes[0, 0].set_yticks([0.2, 0.5, 1, 2, 5], ["0.2", "0.5", "1", "2", "5"])
    axes[0, 0].set_ylabel("seconds a step")
    axes[1, 0].set_ylabel("peak memory, GB")
    axes[0, 1].legend()
    held = ", ".join(f"{TITLES[name]}: {value}" for name, value in BASIS.items())
    figure.supxlabel(f"4 questions a step; where not varied, {held}", fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure all points and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="timed steps a point")
    parser.add_argument("--quick", action="store_true", help="first and last point of each only")
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--figure", type=Path, help="draw it here (else beside the JSON)")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.point:
        print(json.dumps(point(**json.loads(options.point))))
        return
    table: dict[str, dict[str, list]] = {}
    for name, values in VARIED.items():
        lines = {"": False, EARLY: True} if name == "max_new_tokens" else {"": False}
        for line, shipped in lines.items():
            rows = table.setdefault(name, {}).setdefault(line or "as long as the limit", [])
            for value in (values[0], values[-1]) if options.quick else values:
                found = measure({**BASIS, name: value}, options.rounds, shipped)
                rows.append({"value": value, **found})
                told = f"{found['seconds']:7.2f} s {found['tokens']:8.0f} tokens"
                print(f"{name:15s} {value:5d} {line:12s} {told} {found['peak_rss'] / 1e9:6.2f} GB")
    full = {name: growth(rows["as long as the limit"], name) for name, rows in table.items()}
    early = table["max_new_tokens"][EARLY]
    print(f"growth of time over growth of work: { {k: round(v, 2) for k, v in full.items()} }")
    print(f"{EARLY}: {early[-1]['seconds'] / early[0]['seconds']:.2f} times, first to last limit")
    if options.figure or options.json:
        draw(table, options.figure or options.json.with_suffix(".png"))
    from grpo_step import close

    says = "largest growth of a GRPO step's seconds over the growth of its work (1: linear)"
    close("scaling", options.json, max(full.values()), says, rows=table, growth=full)


if __name__ == "__main__":
    main()
