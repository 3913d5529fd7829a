"""How fast are answers sampled here, beside every mode of transformers' `generate`?

    python benchmarks/rollout.py [--model r1-zero] [--rounds 3] [--quick] [--json FILE]

Each contender answers the same questions with the same weights, group size, length limit and
temperature, draws from the whole distribution, and ends an answer at end-of-text. Rounds alternate:
after each of a mode's rounds comes one of ours, so that a machine that slows down slows both. One
round of each mode warms it up and is not counted; its seconds are given, for they are a compiler's
at times. Figures are medians over the rounds, in completion tokens per second; a mode that takes
five times our seconds gets one round. Our seconds hold tokenizing, decoding and log-probabilities,
theirs none of these.

Modes that cannot run here say why, and are in the JSON. Left out are decoding without a cache,
assisted decoding (one answer at a time) and beams (not a sample). The last line is ours over the
fastest mode's, from the rounds that alternated.
"""

import argparse
import gc
import logging
import math
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import transformers
from grpo_step import ceiling, close, contest

from r1book import config, models, prompts, rl, rollout

RL = config.laptop().r1_zero
KINDS = {
    "dynamic cache": {},
    "dynamic cache, num_return_sequences": {"returned": True},
    "dynamic cache, 4 prompts a call": {"returned": True, "prompts": 4},
    "dynamic cache, 1 prompt a call": {"returned": True, "prompts": 1},
    "dynamic cache, eager attention": {"attention": "eager"},
    "dynamic cache, flex attention": {"attention": "flex_attention"},
    "dynamic cache, flash attention": {"attention": "flash_attention_2"},
    "dynamic cache, compiled": {"compiled": True},
    "static cache": {"cache": "static"},
    "static cache, compiled": {"cache": "static", "compiled": True},
    "offloaded cache": {"cache": "offloaded"},
    "offloaded static cache": {"cache": "offloaded_static"},
    "quantized cache, quanto": {"cache": "quantized", "backend": "quanto"},
    "quantized cache, hqq": {"cache": "quantized", "backend": "hqq"},
    "generate_batch": {"at_once": 256},
    "generate_batch, 64 at once": {"at_once": 64},
    "generate_batch, 16 at once": {"at_once": 16},
    "generate_batch, num_return_sequences": {"at_once": 64, "returned": True},
    "generate_batch, eager attention": {"at_once": 64, "attention": "eager"},
    "generate_batch, flash attention": {"at_once": 64, "attention": "flash_attention_2"},
    "generate_batch, compiled": {"at_once": 64, "compiled": True},
}
"""What a mode sets. `returned`: each prompt once with num_return_sequences, else a row for each
answer. `prompts`: in one call (0: all). `at_once`: continuous batching with that many answers."""
MODES = {
    f"{kind}, {dtype}": {**settings, "dtype": dtype}
    for dtype in ("float32", "bfloat16")
    for kind, settings in KINDS.items()
}
QUICK = ("dynamic cache, float32", "static cache, compiled, float32")
PAGE = 32
"""Tokens of a page of continuous batching's cache."""
PATIENCE = 5
"""A mode that takes so many times our seconds gets one round."""


def batches(folder: Path, group: int, limit: int, longest: int, **mode):
    """Return (model, function from token ids of the prompts to lengths of the answers) of a
    mode."""
    compiled, returned = mode.get("compiled", False), mode.get("returned", False)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=mode["dtype"], attn_implementation=mode.get("attention", "sdpa")
    ).eval()
    settings = transformers.GenerationConfig.from_pretrained(
        folder, do_sample=True, temperature=RL.temperature, top_k=0, top_p=1.0,
        max_new_tokens=limit, num_return_sequences=group if returned else 1,
    )  # fmt: skip
    if "at_once" in mode:
        return model, continuous(model, settings, group, longest, mode["at_once"], compiled)
    settings.cache_implementation = mode.get("cache")
    if "backend" in mode:
        settings.cache_config = {"backend": mode["backend"]}
    if compiled and "cache" not in mode:
        model.compile(dynamic=True)  # the cache grows by a column each token
    elif compiled:
        settings.compile_config = transformers.CompileConfig(mode="default")
        settings.compile_config._compile_all_devices = True  # else `generate` leaves out CPUs
        settings.max_cache_len = longest  # one shape in all rounds

    def answer(encoded: list[list[int]]) -> list[int]:
        per, out = mode.get("prompts") or len(encoded), []
        for start in range(0, len(encoded), per):
            rows = [row for row in encoded[start : start + per] for _ in range(copies)]
            N = max(map(len, rows))
            ids = torch.tensor([[*[settings.pad_token_id] * (N - len(r)), *r] for r in rows])
            seen = torch.tensor([[*[0] * (N - len(row)), *[1] * len(row)] for row in rows])
            made = model.generate(ids, attention_mask=seen, generation_config=settings)[:, N:]
            ends = (made == settings.eos_token_id).int()  # (B, T)
            out += torch.where(ends.any(1), ends.argmax(1) + 1, made.shape[1]).tolist()
        return out

    copies = 1 if returned else group
    return model, answer


def continuous(model, settings, group: int, longest: int, at_once: int, compiled: bool):
    """Return a function from token ids of the prompts to lengths of the answers, by continuous
    batching with a cache as large as `at_once` answers need."""
    pages = math.ceil(longest / PAGE) * at_once
    layout = transformers.ContinuousBatchingConfig(
        page_size=PAGE,
        num_blocks=math.ceil(1.25 * pages) + 8,  # 15 % stay free, for the scheduler's margin
        max_batch_tokens=max(512, at_once),
        max_requests_per_batch=at_once,
        default_compile_level=int(compiled),
    )
    copies = 1 if settings.num_return_sequences > 1 else group

    def answer(encoded: list[list[int]]) -> list[int]:
        rows = [row for row in encoded for _ in range(copies)]
        done = model.generate_batch(
            rows,
            generation_config=settings,
            continuous_batching_config=layout,
            persistent_manager=True,  # the cache is made once, not in each round
        ).values()
        failed = [each.error for each in done if each.error is not None]
        if failed or len(done) != len(encoded) * group:
            raise RuntimeError(failed[0] if failed else f"{len(done)} answers came")
        return [len(each.generated_tokens) for each in done]

    return answer


def timed(function, *given) -> tuple[float, list[int]]:
    """Return the seconds of a call and what it returned."""
    begun = time.perf_counter()
    out = function(*given)
    return time.perf_counter() - begun, out


def line(spent: list[tuple[float, list[int]]]) -> dict:
    """Return the medians over (seconds, lengths of the answers) of each round."""
    seconds, lengths = zip(*spent, strict=True)
    return {
        "rounds": len(spent),
        "seconds": round(statistics.median(seconds), 3),
        "answer_tokens": round(statistics.mean(n for each in lengths for n in each), 1),
        "tokens_per_s": round(statistics.median(sum(n) / s for s, n in spent), 1),
    }


def compare(folder: Path, mode: dict, asked: list, encoded: list, ours, options) -> dict:
    """Return the figures of a mode and of ours in the rounds between; the first round warms up."""
    longest = max(len(row) for rows in encoded for row in rows) + options.limit
    model, answer = batches(folder, options.group, options.limit, longest, **mode)
    theirs, mine = [], []
    try:
        with torch.no_grad():
            warm, _ = timed(answer, encoded[0])
            for texts, rows in zip(asked[1:], encoded[1:], strict=True):
                theirs.append(timed(answer, rows))
                mine.append(timed(ours, texts))
                if theirs[-1][0] > PATIENCE * mine[-1][0]:
                    break
    finally:
        model.destroy_cached_continuous_batching_manager()
        del model, answer
        gc.collect()
        torch.compiler.reset()  # each mode compiles the same code anew
    return {**line(theirs), "warm_up_s": round(warm, 2), "ours": line(mine)}


def main() -> None:
    """Time all modes in one run and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="r1-zero", help="a bundled model, or a folder")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds of each mode")
    parser.add_argument("--quick", action="store_true", help=f"only {'; '.join(QUICK)}")
    parser.add_argument("--only", default="", help="only modes whose name holds this")
    parser.add_argument("--prompts", type=int, default=RL.prompts_per_step, help="in a round")
    parser.add_argument("--group", type=int, default=RL.group_size, help="answers to a prompt")
    parser.add_argument("--limit", type=int, default=RL.max_new_tokens, help="tokens of an answer")
    parser.add_argument("--json", type=Path, help="write the result here")
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("ContinuousBatchingLogger").setLevel(logging.CRITICAL)
    named = Path(options.model)
    folder = named if named.is_dir() else models.shipped(options.model)
    mine, tokenizer = models.load(folder)
    rounds = [rl.questions(RL, 0, k)[: options.prompts] for k in range(options.rounds + 1)]
    asked = [[prompts.render(p) for p in each] for each in rounds]
    encoded = [rollout.encode_prompts(mine, tokenizer, each, options.limit) for each in asked]

    def ours(texts: list[str]) -> list[int]:
        made = rollout.sample(
            mine, tokenizer, texts, group_size=options.group, max_new_tokens=options.limit,
            temperature=RL.temperature,
        )  # fmt: skip
        return [len(each.ids) for each in made]

    start_up = {"first_round_s": round(timed(ours, asked[0])[0], 3)}
    chosen = [n for n in MODES if (not options.quick or n in QUICK) and options.only in n]

    def run(name: str) -> dict:
        return compare(folder, MODES[name], asked, encoded, ours, options)

    table, ran = contest(chosen, len(MODES), run)
    best = max(ran, key=lambda name: table[name]["tokens_per_s"])
    ratio = table[best]["ours"]["tokens_per_s"] / table[best]["tokens_per_s"]
    speed = ceiling()
    share = 2e-9 * models.parameters(mine) * table[best]["ours"]["tokens_per_s"] / speed
    print(f"float32 products reach {speed:.0f} GFLOP/s here; ours uses {share:.1%} of it")
    print(f"fastest mode: {best}")
    close(
        "rollout", options.json, ratio,
        f"completion tokens a second of sampling, over those of generate with {best}",
        gflops=round(speed, 1), share_of_gflops=round(share, 3), start_up_s=start_up,
        modes=table, not_asked_for=[name for name in MODES if name not in chosen],
        fastest_mode=best,
    )  # fmt: skip


if __name__ == "__main__":
    main()
