"""Which reward is for which prompt? Rules for reasoning, reward models for general prompts.

Source: Nature, Eq. 8-10: Reward = Reward_reasoning + Reward_general + Reward_language, with
Reward_general = Reward_model + Reward_format. Helpfulness looks at the final answer, harmlessness
at the whole response. Leaves out how reward models are trained (`preference.py`), and the step
(`rl.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from r1book import preference, rewards, rl
from r1book.config import ScenarioConfig
from r1book.problems import Problem
from r1book.rollout import Rollout


def settings(config: ScenarioConfig, number: int) -> ScenarioConfig:
    """Return the settings of a step: general prompts are asked in the last `general_steps` only
    (the report: the last 400 of 1,700)."""
    families = dict(config.families)
    if number < config.steps - config.general_steps:
        families.pop("general", None)
    return replace(config, families=families)


def judge(helpful: preference.RewardModel, harmless: preference.RewardModel, tokenizer) -> Callable:
    """Return what `rl.step` takes as its judge: `rl.score` for reasoning, for general prompts the
    weighted sum of both reward models' scores, format and language."""

    def scored(
        config: ScenarioConfig, asked: Sequence[Problem], answers: Sequence[Rollout], seed, step
    ) -> list[rewards.Score | None]:
        out = rl.score(config, asked, answers, seed, step)
        places = [i for i, a in enumerate(answers) if asked[a.group].family == "general"]
        items = [(asked[answers[i].group], answers[i].text) for i in places]
        rows = {
            kind: [preference.row(tokenizer, problem, text, kind) for problem, text in items]
            for kind in ("helpful", "harmless")
        }
        found = zip(
            places, items, helpful.scores(rows["helpful"]), harmless.scores(rows["harmless"]),
            strict=True,
        )  # fmt: skip
        for i, (problem, text), liked, safe in found:
            parts = {
                "helpful": _score("helpful", liked),
                "harmless": _score("harmless", safe),
                "format": rewards.format(text),
                "language": rewards.language(text, problem.lang),
            }
            out[i] = rewards.total(parts, config.general_weights)
        return out

    return scored


def _score(name: str, value: float) -> rewards.Score:
    return rewards.Score({name: value}, value, f"{name} {value:+.2f} deviations from the mean")
