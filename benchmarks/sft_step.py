"""How long does a training step on text take here, beside TRL's SFTTrainer on the same machine?

    python benchmarks/sft_step.py [--rounds 20] [--quick] [--json FILE]

Each contender goes on training the base with the trunk's documents: the same weights, the same
documents, whole rows of `row_tokens` up to `step_tokens` in a step, loss on every token. Ours is
the base stage itself, with its compiler and its optimiser (Muon on the matrices). TRL packs the
documents by its strategies: 'wrapped' makes our rows, 'bfd' keeps documents apart. It has AdamW, no
gradient checkpointing but in its defaults, float32 or bfloat16, with and without a compiler, and
several ways to split a step into batches. Steps alternate: after each of TRL's comes one of ours.

Figures are medians over the steps but the first, which warms up and is given apart (`warm_up_s`:
a compiler's, mostly); tokens are those that carry loss, never padding. A contender that takes five
times our seconds is stopped after three steps. Making rows and packing lie outside the time of
both. The last line is ours over the fastest of TRL's, from the steps that alternated.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from grpo_step import ceiling, close, contest
from rollout import PATIENCE

from r1book import config, models, settings, sft, trainers
from r1book.world import vocab

PACKED = {
    "TRL, defaults": {"gradient_checkpointing": True, "bf16": True, "rows": 7},
    "TRL, wrapped": {"packing_strategy": "wrapped"},
    "TRL, wrapped, 2 batches": {"packing_strategy": "wrapped", "rows": 21},
    "TRL, wrapped, 6 batches": {"packing_strategy": "wrapped", "rows": 7},
    "TRL, wrapped, compiled": {"packing_strategy": "wrapped", "torch_compile": True},
    "TRL, bfd, 1 row a batch": {"rows": 1},
    "TRL, bfd, 3 rows a batch": {"rows": 3},
    "TRL, bfd, 7 rows a batch": {"rows": 7},
    "TRL, bfd, 3 rows a batch, compiled": {"rows": 3, "torch_compile": True},
    "TRL, bfd, flash attention": {"attn_implementation": "flash_attention_2"},
}
"""Settings of SFTConfig; `rows` pass together (default: a whole step); 'bfd' is TRL's strategy."""
STOCK = {"TRL, defaults": PACKED["TRL, defaults"]} | {
    f"{name}, {dtype}": {**settings, "bf16": dtype == "bfloat16"}
    for dtype in ("float32", "bfloat16")
    for name, settings in PACKED.items()
    if name != "TRL, defaults"
}
QUICK = ("TRL, wrapped, float32", "TRL, wrapped, compiled, float32")


def documents(rows: torch.Tensor) -> list[list[int]]:
    """Return the documents of packed rows; those that a row's end cut stay cut."""
    out: list[list[int]] = []
    for token in rows.flatten().tolist():
        if token == vocab.IDS[vocab.BOS]:
            out.append([])
        out[-1].append(token)
    return out


def stock(folder: Path, settings: dict, texts: list, shape: tuple, rounds: int, after) -> list:
    """Do rounds + 1 steps of TRL's SFTTrainer, each followed by after(step), which does and returns
    ours; return their seconds and tokens. `shape` is (rows of a step, tokens of a row)."""
    import trl
    from datasets import Dataset, disable_progress_bars
    from transformers import AutoTokenizer, TrainerCallback

    disable_progress_bars()
    settings, (count, length) = dict(settings), shape
    attention = settings.pop("attn_implementation", "sdpa")
    rows = min(count, settings.pop("rows", count))
    seen: list[dict] = []

    class Clock(TrainerCallback):
        """Times whole steps; what happens between them is not counted."""

        def on_step_begin(self, args, state, control, **_):
            self.begun, trainer.trained = time.perf_counter(), 0

        def on_step_end(self, args, state, control, **_):
            spent = time.perf_counter() - self.begun
            seen.append({"step": spent, "tokens": trainer.trained})
            other = after(state.global_step)
            if len(seen) > 3 and spent > PATIENCE * other["step"]:
                control.should_training_stop = True

    class Counted(trl.SFTTrainer):
        """Counts the tokens that carry loss."""

        trained = 0

        def compute_loss(self, model, inputs, *rest, **named):
            self.trained += int((inputs["labels"][:, 1:] != sft.IGNORE).sum())
            return super().compute_loss(model, inputs, *rest, **named)

    with tempfile.TemporaryDirectory() as out, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = {
            "output_dir": out, "use_cpu": True, "max_steps": rounds + 1, "learning_rate": 1e-5,
            "packing": True, "max_length": length + 1, "shuffle_dataset": False,
            "per_device_train_batch_size": rows, "gradient_accumulation_steps": count // rows,
            "report_to": "none", "save_strategy": "no", "logging_strategy": "no",
            "disable_tqdm": True, "gradient_checkpointing": False, "dataloader_pin_memory": False,
            "model_init_kwargs": {"dtype": "float32", "attn_implementation": attention},
        }  # fmt: skip
        try:
            trainer = Counted(
                model=str(folder),
                args=trl.SFTConfig(**{**base, **settings}),
                train_dataset=Dataset.from_dict({"input_ids": texts}),
                processing_class=AutoTokenizer.from_pretrained(folder),
                callbacks=[Clock()],
            )
            with contextlib.redirect_stdout(sys.stderr):
                trainer.train()
        finally:  # TRL asks for a compiler through these, and would in the next contender too
            for name in [name for name in os.environ if name.startswith("ACCELERATE_DYNAMO_")]:
                del os.environ[name]
    return seen


def summary(lines: list[dict]) -> dict:
    """Return the medians over steps, the first left out."""
    warm, *lines = lines
    return {
        "step_s": round(statistics.median(line["step"] for line in lines), 4),
        "tokens": round(statistics.median(line["tokens"] for line in lines)),
        "tokens_per_s": round(statistics.median(x["tokens"] / x["step"] for x in lines), 1),
        "warm_up_s": round(warm["step"], 2),
    }


def main() -> None:
    """Time all contenders in one run and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="timed steps of each of TRL's")
    parser.add_argument("--quick", action="store_true", help=f"only {'; '.join(QUICK)}")
    parser.add_argument("--only", default="", help="only contenders whose name holds this")
    parser.add_argument("--set", action="append", default=[], help="e.g. step_tokens=384")
    parser.add_argument("--json", type=Path, help="write the result here")
    options = parser.parse_args()
    c = settings.override(config.laptop().base, options.set)
    folder = models.shipped("base")
    begun = time.perf_counter()
    work = trainers.Pretrain("base", c, 0, folder)  # from the shipped weights on, at the trunk

    def ours(number: int) -> dict:
        line = work.step(c.sums_steps + number % c.trunk_steps)[0]
        return {"step": line["seconds"], "tokens": line["trained_tokens"]}

    def beside(at: int) -> dict:
        mine.append(ours(at - 1))
        return mine[-1]

    first, mine = ours(0), []
    start_up = {"first_step": first["step"], "all": round(time.perf_counter() - begun, 2)}
    print(f"ours: first step {first['step']:.1f} s, of which most is the compiler's if it has one")
    shape = (max(1, c.step_tokens // c.row_tokens), c.row_tokens)
    begun = time.perf_counter()
    made = [
        sft.rows(work.mixtures[1], 0, c.sums_steps + k, *shape) for k in range(options.rounds + 1)
    ]
    rows_s = (time.perf_counter() - begun) / len(made)
    texts = documents(torch.cat(made))
    chosen = [n for n in STOCK if (not options.quick or n in QUICK) and options.only in n]

    def run(name: str) -> dict:
        mine.clear()
        lines = stock(folder, STOCK[name], texts, shape, options.rounds, beside)
        return {**summary(lines), "ours": summary(mine)}

    table, ran = contest(chosen, len(STOCK), run)
    best = max(ran, key=lambda name: table[name]["tokens_per_s"])
    figure = table[best]["ours"]["tokens_per_s"]
    ratio = figure / table[best]["tokens_per_s"]
    speed = ceiling()
    share = 6e-9 * models.parameters(work.model) * figure / speed  # attention not counted
    print(f"float32 products reach {speed:.0f} GFLOP/s here; ours uses {share:.1%} of it")
    print(f"making the rows of a step takes {rows_s:.3f} s more; fastest of TRL: {best}")
    close(
        "sft_step", options.json, ratio,
        f"trained tokens a second of a step on text, over those of {best}",
        gflops=round(speed, 1),
        share_of_gflops=round(share, 3), start_up_s=start_up, rows_s=round(rows_s, 4),
        dtype=str(work.dtype), compiled=work.forward is not None, shape=shape, steps=table,
        not_asked_for=[name for name in STOCK if name not in chosen], fastest_of_trl=best,
    )  # fmt: skip


if __name__ == "__main__":
    main()
