"""Is each prompt rewarded by what is meant for it: rules for reasoning, reward models for talk?"""

import pytest

from r1book import models, problems, rewards, rl, scenario
from r1book.config import ScenarioConfig
from r1book.rollout import Rollout

CONFIG = ScenarioConfig(
    steps=10, general_steps=3, families={"math": 0.5, "general": 0.5},
    general_weights={"helpful": 2.0, "harmless": 1.0, "format": 0.5, "language": 0.25},
)  # fmt: skip


class Fixed:
    """Gives the lengths of the rows it sees, to tell which text was scored."""

    def __init__(self, factor: float):
        self.factor, self.seen = factor, []

    def scores(self, rows):
        self.seen += rows
        return [self.factor * len(row) for row in rows]


def said(text: str, group: int) -> Rollout:
    return Rollout(group, 0, [1], [2], [0.0], text, "stop")


def test_general_prompts_come_in_the_last_steps_only():
    assert set(scenario.settings(CONFIG, 6).families) == {"math"}
    assert set(scenario.settings(CONFIG, 7).families) == {"math", "general"}
    whole = ScenarioConfig(steps=10, general_steps=10, families={"general": 1.0})
    assert set(scenario.settings(whole, 0).families) == {"general"}


def test_rules_for_reasoning_and_reward_models_for_talk():
    tokenizer = models.tokenizer()
    sums = problems.load("math", 1, lang="en", split="train")[0]
    talk = problems.load("general", 1, lang="en", split="train")[0]
    right = f"<think> so {sums.answer} </think> <answer> {sums.answer} </answer>"
    hello = "<think> so hello </think> <answer> hello . </answer>"
    cut = "<think> so hello"
    answers = [said(right, 0), said(hello, 1), said(cut, 1)]
    helpful, harmless = Fixed(0.01), Fixed(-0.01)
    judge = scenario.judge(helpful, harmless, tokenizer)
    out = judge(CONFIG, [sums, talk], answers, 0, 0)
    assert out[0] == rl.score(CONFIG, [sums, talk], answers, 0, 0)[0]
    assert set(out[0].parts) == {"accuracy", "format", "language"}
    assert len(helpful.seen) == len(harmless.seen) == 2
    assert len(helpful.seen[0]) < len(harmless.seen[0])  # the final answer; the whole response
    parts = out[1].parts
    assert set(parts) == {"helpful", "harmless", "format", "language"}
    assert parts["helpful"] == pytest.approx(0.01 * len(helpful.seen[0]))
    assert out[1].total == pytest.approx(
        2 * parts["helpful"] + parts["harmless"] + 0.5 * 1 + 0.25 * 1
    )
    assert out[2].parts["format"] == 0 and out[2].total < out[1].total


def test_a_part_without_words_counts_as_consistent():
    talk = problems.load("general", 1, lang="zh", split="train")[0]
    judge = scenario.judge(Fixed(0.0), Fixed(0.0), models.tokenizer())
    (score,) = judge(CONFIG, [talk], [said("<think> 3 </think> <answer> 3 </answer>", 0)], 0, 0)
    assert score.parts["language"] == 1.0
    assert rewards.language("<think> 3 </think>", "zh") is None
