"""How long does a GRPO step take here, beside stock TRL on the same machine?

    python benchmarks/grpo_step.py [--model r1-zero] [--rounds 3] [--quick] [--json FILE]

Each contender gets the same weights, questions, group size, temperature, length limit and rewards,
and does one optimiser step on its own answers. Steps alternate: after each of TRL's steps comes
one of ours on the same questions, so that a machine that slows down slows both. TRL runs with its
defaults and with the settings that could be its fastest (no gradient checkpointing; float32 or
bfloat16; the update in 1 to 16 batches, since tensors above 32 MB are mapped anew each time;
dynamic or static cache, continuous batching). Completion tokens per second go through the whole
step: sampling, judging, update; of TRL's "rollout" judging is a part. The last line is ours over
the fastest of TRL's, by the steps that alternated with it.
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
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

STARTED = time.perf_counter()

import torch  # noqa: E402

from r1book import config, models, prompts, rewards, rl, runs, sft, trace  # noqa: E402

RL = config.laptop().r1_zero
STOCK = {
    "TRL, defaults": {"gradient_checkpointing": True, "bf16": True},
    "TRL, float32": {"bf16": False},
    "TRL, float32, 4 batches": {"bf16": False, "split": 4},
    "TRL, float32, 8 batches": {"bf16": False, "split": 8},
    "TRL, float32, 16 batches": {"bf16": False, "split": 16},
    "TRL, bfloat16, 8 batches": {"bf16": True, "split": 8},
    "TRL, static cache, 8 batches": {"bf16": False, "split": 8, "cache_implementation": "static"},
    "TRL, continuous, 8 batches": {
        "bf16": False, "split": 8, "use_transformers_continuous_batching": True,
    },
}  # fmt: skip
QUICK = "TRL, float32, 8 batches"
"""Settings of GRPOConfig; `split` is in how many batches the update passes."""


def ours(folder: Path):
    """Return a function that does our step `number` and returns its seconds, by part, and
    tokens."""
    model, tokenizer = models.load(folder)
    optimizers = sft.optimizers(model, 1e-6)

    def step(number: int) -> dict:
        line = rl.step(model, None, tokenizer, optimizers, RL, 0, number).metrics
        parts = {k.partition("/")[2] or "step": v for k, v in line.items() if "seconds" in k}
        return {**parts, "tokens": line["tokens"]}

    return step


def judge(completions, number, **_):
    """Return our rewards of TRL's completions; `number` is a column of its data set."""
    pairs = [(text, ASKED[n]) for text, n in zip(completions, number, strict=True)]
    right = [score.total for score in rewards.accuracies(pairs)]
    RIGHT[:] = right
    return [a + rewards.format(text).total for a, (text, _) in zip(right, pairs, strict=True)]


ASKED: list = []
"""The questions of all steps, in order."""
RIGHT: list = []
"""The accuracy of each answer that was judged last."""


def stock(
    folder: Path, settings: dict, rounds: int, after, seed: int = 0, optimizers=None, save=None
) -> list[dict]:
    """Do rounds + 1 steps of TRL's GRPOTrainer, each but the first followed by after(number);
    return all, the first, which warms up, too.

    `seed` draws questions and answers; `optimizers(model)` returns another optimiser and its
    schedule than TRL's; the model is written to the folder `save` at the end, if given.
    """
    import trl
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

    settings = dict(settings)
    rows = RL.prompts_per_step * RL.group_size
    split = settings.pop("split", 1)
    ASKED[:] = [p for step in range(rounds + 1) for p in rl.questions(RL, seed, step)]
    # TRL adds no begin-of-text to a plain prompt; the models here have seen it everywhere
    data = Dataset.from_dict(
        {
            "prompt": [f"<bos> {prompts.render(p)}" for p in ASKED],
            "number": list(range(len(ASKED))),
        }
    )
    seen: list[dict] = []

    class Clock(TrainerCallback):
        """Times whole steps; what happens between them is not counted."""

        def on_step_begin(self, args, state, control, **_):
            self.begun = time.perf_counter()

        def on_step_end(self, args, state, control, **_):
            seen.append({"step": time.perf_counter() - self.begun, **trainer.told})
            if state.global_step > 1:  # the first one warms up
                after(state.global_step - 1)

    class Timed(trl.GRPOTrainer):
        """Keeps how long sampling and judging took, and how many tokens came out."""

        def _generate_and_score_completions(self, inputs):
            begun = time.perf_counter()
            out = super()._generate_and_score_completions(inputs)
            tokens = int(out["completion_mask"].sum())
            self.told = {"rollout": time.perf_counter() - begun, "tokens": tokens}
            self.told["accuracy"] = statistics.mean(RIGHT)
            return out

    with tempfile.TemporaryDirectory() as out, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = {
            "output_dir": out, "use_cpu": True, "max_steps": rounds + 1, "learning_rate": 1e-6,
            "num_generations": RL.group_size, "max_completion_length": RL.max_new_tokens,
            "per_device_train_batch_size": rows // split, "gradient_accumulation_steps": split,
            "shuffle_dataset": False, "report_to": "none", "save_strategy": "no",
            "logging_strategy": "no", "disable_tqdm": True, "gradient_checkpointing": False,
            "seed": seed,
        }  # fmt: skip
        model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
        trainer = Timed(
            model=model,
            optimizers=optimizers(model) if optimizers else (None, None),
            reward_funcs=judge,
            args=trl.GRPOConfig(**{**base, **settings}),
            train_dataset=data,
            processing_class=AutoTokenizer.from_pretrained(folder, padding_side="left"),
            callbacks=[Clock()],
        )
        with contextlib.redirect_stdout(sys.stderr):
            trainer.train()
        if save:
            model.save_pretrained(save)
    return seen


def ceiling(seconds: float = 0.5, dtype: torch.dtype = torch.float32) -> float:
    """Return the GFLOP/s of a large matrix product here."""
    a, b = torch.randn(2, 1024, 1024).to(dtype)
    a @ b
    count, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        a @ b
        count += 1
    return count * 2 * 1024**3 / (time.perf_counter() - begun) / 1e9


def summary(lines: list[dict]) -> dict:
    """Return medians of the steps, and completion tokens per second over all of them."""
    out = {
        f"{part}_s": round(statistics.median(line[part] for line in lines), 3)
        for part in ("step", "rollout", "judge", "update")
        if part in lines[0]
    }
    tokens, spent = (sum(line[key] for line in lines) for key in ("tokens", "step"))
    return {**out, "tokens": tokens // len(lines), "tokens_per_s": round(tokens / spent, 1)}


REFUSALS = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, MemoryError, OSError,
    RuntimeError, TypeError, ValueError,
)  # fmt: skip
"""What a library may raise where it does not support a machine."""


def reason(error: Exception) -> str:
    """Return the kind of an error and the first line of what it says."""
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])[:200]


def contest(chosen: list[str], everyone: int, run) -> tuple[dict, list[str]]:
    """Return {contender: what run(name) says, or why it does not run} and the names that ran."""
    table = {}
    for name in chosen:
        try:
            table[name] = run(name)
            print(f"{name:48s} {table[name]}", flush=True)
        except REFUSALS as error:
            table[name] = {"does_not_run": reason(error)}
            print(f"{name:48s} does not run here: {reason(error)}", flush=True)
    if len(chosen) < everyone:
        print(f"not asked for: {everyone - len(chosen)} of {everyone}")
    ran = [name for name in chosen if "does_not_run" not in table[name]]
    if not ran:
        sys.exit("none of them ran here: nothing to compare with")
    return table, ran


def close(script: str, path: Path | None, ratio: float, says: str, **more) -> None:
    """Write the card of a benchmark, if a path is given, and print its last line.

    `says` is what the ratio is of, for README's table.
    """
    if path:
        card = {
            "command": " ".join(["python", f"benchmarks/{script}.py", *sys.argv[1:]]),
            "git": runs.git_state(), **runs.machine(), "threads": torch.get_num_threads(),
            "bfloat16": sft.fast_bfloat16(), **more, "says": says, "ratio": round(ratio, 3),
        }  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        trace.write_json(path, card)
    print(f"ratio: {ratio:.2f}")


def main() -> None:
    """Time all contenders in one run and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="r1-zero", help="a bundled model, or a folder")
    parser.add_argument("--rounds", type=int, default=3, help="timed steps of each of TRL's")
    parser.add_argument("--quick", action="store_true", help="TRL in float32, 8 batches, only")
    parser.add_argument("--json", type=Path, help="write the result here")
    options = parser.parse_args()
    named = Path(options.model)
    folder = named if named.is_dir() else models.shipped(options.model)
    step, mine = ours(folder), {}
    begun = time.perf_counter()
    step(0)
    start_up = {"ours": time.perf_counter() - STARTED, "first_step": time.perf_counter() - begun}
    speed = ceiling()

    def run(name: str) -> dict:
        pairs = mine.setdefault(name, [])
        lines = stock(folder, STOCK[name], options.rounds, lambda at: pairs.append(step(at)))[1:]
        return {**summary(lines), "ours": summary(pairs)}

    chosen = [name for name in STOCK if not options.quick or name == QUICK]
    table, ran = contest(chosen, len(STOCK), run)
    best = max(ran, key=lambda n: table[n]["tokens_per_s"])
    ratio = table[best]["ours"]["tokens_per_s"] / table[best]["tokens_per_s"]
    table["r1book"] = summary([line for name in ran for line in mine[name]])
    print(f"{'r1book':48s} {table['r1book']}")
    weights = models.parameters(models.load(folder)[0])
    flops = {"rollout": 2 * weights, "update": 6 * weights}  # of a token; attention not counted
    share = {
        part: round(
            each * table["r1book"]["tokens"] / table["r1book"][f"{part}_s"] / speed / 1e9, 3
        )
        for part, each in flops.items()
    }
    half = ceiling(dtype=torch.bfloat16)
    print(f"float32 products reach {speed:.0f} GFLOP/s here; share of it: {share}")
    print(f"bfloat16 products, those of the update where this is fast: {half:.0f} GFLOP/s")
    print(f"start-up: {start_up['ours']:.1f} s to the end of the first step")
    close(
        "grpo_step", options.json, ratio,
        f"completion tokens a second through a GRPO step, over those of {best}",
        gflops=round(speed, 1), gflops_bfloat16=round(half, 1),
        share_of_gflops=share, start_up_s=start_up, steps=table, fastest_of_trl=best,
    )  # fmt: skip


if __name__ == "__main__":
    main()
