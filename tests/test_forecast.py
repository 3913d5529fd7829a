"""Are steps timed as they are in a run, and do forecasts follow from them by arithmetic?"""

import copy
import doctest
import time

import pytest
import torch
from test_models import tiny

from r1book import forecast, models, rl, sft
from r1book.config import ModelConfig, PretrainConfig, RLConfig
from r1book.forecast import Speed

RL = RLConfig(
    steps=5, prompts_per_step=2, group_size=2, max_new_tokens=6, dtype="float32", levels=(1,),
    reward="random", lr=1e-3, warmup=2,
)  # fmt: skip
TEXT = PretrainConfig(
    model=ModelConfig(hidden=16, layers=1, heads=2, kv_heads=1, mlp=24, positions=64),
    step_tokens=128, row_tokens=30, dtype="float32", compile=False,
)  # fmt: skip


def test_examples():
    assert doctest.testmod(forecast).failed == 0


def test_the_timed_steps_are_those_of_the_run():
    model, tokenizer = tiny(), models.tokenizer()
    before = copy.deepcopy(model.state_dict())
    started = time.perf_counter()
    got = forecast.rl_steps(model, tokenizer, RL, steps=2, seed=4)
    whole = time.perf_counter() - started
    optimizers = sft.optimizers(other := copy.deepcopy(model), RL.lr)
    lines = [rl.step(other, None, tokenizer, optimizers, RL, 4, n).metrics for n in range(3)]
    assert got.steps == (1, 2)
    assert got.tokens == (lines[1]["tokens"] + lines[2]["tokens"]) / 2
    assert 0 <= got.fixed < got.seconds < whole
    assert got.threads == torch.get_num_threads()
    assert 50e6 < got.peak_bytes < 50e9
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_reference_is_timed_where_the_run_has_one():
    settings = RLConfig(**{**RL.__dict__, "beta": 0.1})
    got = forecast.rl_steps(tiny(), models.tokenizer(), settings, steps=1)
    assert got.steps == (1,) and got.seconds > 0


def test_text_is_timed_over_whole_rows():
    got = forecast.text_steps(TEXT, steps=2)
    assert got.steps == (1, 2) and got.tokens == 4 * 30  # 128 tokens hold four rows of 30
    assert got.seconds > 0 and got.fixed == 0


def test_growing_answers_take_longer_by_hand():
    """4 s a step, of which 1 judges, at 300 tokens: 0.01 s a token."""
    speed = Speed((1, 2), 4.0, 1.0, 300.0, 0, 2)
    assert forecast.run_seconds(speed, []) == 0
    assert forecast.run_seconds(speed, [300]) == pytest.approx(4.0)
    assert forecast.run_seconds(speed, [300, 600, 0]) == pytest.approx(4 + 7 + 1)
    with pytest.raises(ValueError, match="no tokens"):
        forecast.run_seconds(Speed((1,), 1.0, 0.0, 0.0, 0, 2), [1])


def test_slowness_compares_the_same_steps_by_token():
    """Here 4 s for 300 tokens; there 3 s for 450 in all: 2 times as long a token."""
    speed = Speed((1, 2), 4.0, 1.0, 300.0, 0, 2)
    recorded = [
        {"step": 0, "seconds": 99.0, "tokens": 1},
        {"step": 1, "seconds": 1.0, "tokens": 150},
        {"step": 2, "seconds": 2.0, "tokens": 300},
    ]
    assert forecast.slowness(speed, recorded) == pytest.approx(2.0)
    with pytest.raises(ValueError, match="no step 2"):
        forecast.slowness(speed, recorded[:2])


def test_chapters_scale_and_what_was_not_timed_is_unknown():
    timed = {"a.ipynb": {"seconds": 90.0, "peak_rss": 1}}
    got = forecast.chapter_minutes(["a.ipynb", "b.ipynb"], timed, 2.0)
    assert got == {"a.ipynb": 3.0, "b.ipynb": None}


@pytest.mark.parametrize("steps", [0, -1])
def test_no_step_is_no_measurement(steps):
    with pytest.raises(ValueError, match="at least one step"):
        forecast.rl_steps(None, None, RL, steps=steps)
    with pytest.raises(ValueError, match="at least one step"):
        forecast.text_steps(TEXT, steps=steps)
