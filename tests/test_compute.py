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


def test_a_budget_of_one_step_is_one_step_whatever_it_costs():
    line = {"tokens": 100, "trained_tokens": 100, "prompt_tokens": 0}
    assert compute.steps_for(800.0, [line], 1) == 1
    assert compute.steps_for(8_000.0, [line], 1) == 10
    assert compute.steps_for(1.0, [line], 1) == 1
    with pytest.raises(ValueError, match="no steps"):
        compute.steps_for(1.0, [], 1)
