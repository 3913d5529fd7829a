"""Is a cost what the cards say, and does a budget become as many steps as it pays for?"""

import doctest

import pytest

from r1book import compute
from r1book.graph import STAGES


def test_examples():
    assert doctest.testmod(compute).failed == 0


def test_costs_add_up():
    card = {"tokens_generated": 10, "tokens_trained": 8, "tokens_prompt": 4, "flops": 680.0}
    twice = compute.total([card, card])
    assert twice == compute.Cost(20, 16, 8, 1360.0)
    assert compute.total([]) == compute.Cost()


def test_a_card_without_a_cost_is_refused():
    with pytest.raises(ValueError, match="without tokens_trained, flops"):
        compute.of({"tokens_generated": 1, "flops": None})


def test_a_distilled_model_costs_its_teacher_too():
    stages = compute.before("distill-qwen")
    assert {"r1-zero", "reasoning-rl", "distillation-data"} <= set(stages)
    assert not {"base", "qwen-base", "distill-qwen", "sft-800k"} & set(stages)
    assert all(STAGES[name].needs for name in stages)


def test_a_step_counts_what_was_sampled_learnt_and_read_beside_it():
    line = {"tokens": 100, "trained_tokens": 80, "prompt_tokens": 20}
    assert compute.of_step(line, 10) == 10 * (2 * 120 + 6 * 100)
    assert compute.of_step(line, 10, beside=7) == 10 * (2 * 120 + 6 * 100) + 2 * 7 * 100
