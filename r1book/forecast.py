"""How long will it take on this machine, and how much memory? Measured on a few timed steps.

A step of reinforcement learning takes longer as answers grow: the forecast of a run scales what was
timed with the answer tokens that a recorded run of the same settings had. Left out: what a step
does (`rl.py`, `sft.py`), and other machines.
"""

import copy
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from r1book import models, rl, runs, sft
from r1book.config import PretrainConfig, RLConfig
from r1book.world import corpus


@dataclass(frozen=True)
class Speed:
    """What one step costs here: means over the timed steps."""

    steps: tuple[int, ...]
    """Numbers of the timed steps; the warm-up before them is left out."""
    seconds: float
    """Wall seconds a step."""
    fixed: float
    """Of these, what does not grow with the answers: judging."""
    tokens: float
    """Answer tokens a step (reinforcement learning), or trained tokens (text)."""
    peak_bytes: int
    """Largest resident memory of this process so far."""
    threads: int
    """Threads that torch computed with."""


def rl_steps(model, tokenizer, config: RLConfig, *, steps: int = 2, seed: int = 0) -> Speed:
    """Time `steps` whole steps of a run from this model, after one that warms up.

    They are steps 1 … of the run with this seed: the same questions and draws as in its record.
    The model stays as it is. Raises ValueError for less than one step. Taught in notebook 00.
    """
    _at_least_one(steps)
    policy = copy.deepcopy(model)
    reference = copy.deepcopy(model).requires_grad_(False) if config.beta else None
    optimizers = sft.optimizers(policy, config.lr)
    lines = [
        rl.step(policy, reference, tokenizer, optimizers, config, seed, number).metrics
        for number in range(steps + 1)
    ][1:]
    return Speed(
        steps=tuple(line["step"] for line in lines),
        seconds=_mean(line["seconds"] for line in lines),
        fixed=_mean(line["seconds/judge"] for line in lines),
        tokens=_mean(line["tokens"] for line in lines),
        peak_bytes=runs.peak_rss(),
        threads=torch.get_num_threads(),
    )


def text_steps(config: PretrainConfig, *, steps: int = 2, seed: int = 0) -> Speed:
    """Time `steps` steps of pre-training from scratch, after one that warms up; without compiling.

    Where there is a compiler, training compiles the model and is faster than this. Raises
    ValueError for less than one step. Taught in notebook 00.
    """
    _at_least_one(steps)
    model = models.build(config.model, seed)
    optimizers = sft.optimizers(
        model, config.lr, weight_decay=config.weight_decay, kind=config.optimizer
    )
    count, taken = config.step_tokens // config.row_tokens, []
    for number in range(steps + 1):
        started = time.perf_counter()
        rows = sft.rows(corpus.TRUNK, seed, number, count, config.row_tokens)  # (count, T + 1)
        sft.update(
            model, optimizers, rows[:, :-1], rows[:, 1:], grad_clip=config.grad_clip,
            dtype=sft.precision(config.dtype),
        )  # fmt: skip
        taken.append(time.perf_counter() - started)
    return Speed(
        steps=tuple(range(1, steps + 1)),
        seconds=_mean(taken[1:]),
        fixed=0.0,
        tokens=float(count * config.row_tokens),
        peak_bytes=runs.peak_rss(),
        threads=torch.get_num_threads(),
    )


def run_seconds(speed: Speed, tokens: Iterable[float]) -> float:
    """Return the seconds of a run here, given the answer (or trained) tokens of each of its steps.

    What a step takes beyond judging grows with its tokens. Raises ValueError where no token was
    timed.

    >>> run_seconds(Speed((1,), 3.0, 1.0, 100.0, 0, 2), [100, 200])
    8.0

    Taught in notebook 00.
    """
    if speed.tokens <= 0:
        raise ValueError("the timed steps had no tokens: nothing can be said of others")
    per_token = (speed.seconds - speed.fixed) / speed.tokens
    return float(sum(speed.fixed + per_token * count for count in tokens))


def slowness(speed: Speed, recorded: Sequence[Mapping]) -> float:
    """Return how many times as long a token takes here as on the machine of a recorded run.

    recorded: its lines of metrics.jsonl; the steps that were timed here are looked up in it. Above
    1: this machine is slower. Raises ValueError where the record lacks a step.

    >>> slowness(Speed((1,), 3.0, 1.0, 100.0, 0, 2), [{"step": 1, "seconds": 2.0, "tokens": 200}])
    3.0

    Taught in notebook 00.
    """
    lines = {line["step"]: line for line in recorded}
    if missing := [step for step in speed.steps if step not in lines]:
        raise ValueError(f"the recorded run has no step {missing[0]}: give all of its metrics")
    there = [lines[step] for step in speed.steps]
    return (speed.seconds / speed.tokens) / (
        sum(line["seconds"] for line in there) / sum(line["tokens"] for line in there)
    )


def chapter_minutes(
    names: Iterable[str], timed: Mapping[str, Mapping], slower: float
) -> dict[str, float | None]:
    """Return {chapter: minutes here}; None for a chapter that was not timed yet.

    timed: {chapter: {"seconds": …}}, as measured where the runs were recorded. slower: see
    `slowness`.

    >>> chapter_minutes(["a", "b"], {"a": {"seconds": 60}}, 1.5)
    {'a': 1.5, 'b': None}

    Taught in notebook 00.
    """
    return {name: timed[name]["seconds"] / 60 * slower if name in timed else None for name in names}


def _at_least_one(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"steps: got {steps}; expected at least one step to time")


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)
