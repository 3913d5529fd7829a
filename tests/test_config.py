"""Are settings refused before anything is written, and do messages say what was expected?"""

import pytest

from r1book import base_config, config, settings


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("reward=rnadom", "expected one of rules, random, format_only"),
        ("ratio=tokens", "expected one of token, sequence_product"),
        ("aggregation=mean", "expected one of token_mean"),
        ("std=bessel", "expected one of sample, population, none"),
        ("dtype=float16", "expected one of float32, bfloat16"),
        ("steps=0", "expected at least 1"),
        ("group_size=0", "expected at least 1"),
        ("lr=-1.0", "expected at least 0"),
        ('families={"chess": 1.0}', "expected one of math, logic"),
        ('families={"math": 0.0}', "at least one positive number"),
        ('weights={"accuracy": -1.0}', "expected 0 or more"),
        ("levels=[6]", "expected one of 1, 2, 3, 4, 5"),
        ("stesp=3", "RLConfig has steps, prompts_per_step"),
        ("steps=many", "expected int, such as 90"),
        ("steps=1.5", "expected int"),
        ("steps", "expected field=value"),
    ],
)
def test_a_setting_that_no_run_can_have_is_refused(setting, told):
    with pytest.raises(ValueError, match=told):
        settings.override(config.RLConfig(), [setting])


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("asymmetry=full", "expected one of off, weak, strong, reversed"),
        ("step_tokens=0", "expected at least 1"),
        ("model.depth=2", "ModelConfig has family, hidden"),
        ("model=big", "give one of its fields"),
        ("lr.peak=1", "has no fields of its own"),
    ],
)
def test_pretraining_settings_too(setting, told):
    with pytest.raises(ValueError, match=told):
        settings.override(config.PretrainConfig(), [setting])


def test_settings_apply_in_order_and_leave_the_original():
    before = config.RLConfig()
    after = settings.override(before, ["steps=7", "lr=1", "levels=[1,2]", "steps=8"])
    assert (after.steps, after.lr, after.levels) == (8, 1.0, (1, 2))
    assert before == config.RLConfig()
    deep = settings.override(config.PretrainConfig(), ["model.layers=2"])
    assert deep.model.layers == 2 and config.PretrainConfig().model.layers == 4


def test_presets_by_name():
    assert config.preset("laptop") == config.laptop()
    with pytest.raises(ValueError, match="unknown preset 'desktop': expected one of laptop"):
        config.preset("desktop")


def test_a_setting_that_came_later_makes_no_old_run_another_one():
    plain = base_config.identity(config.SFTConfig())
    assert "think" not in plain and plain["passes"] == 3
    assert base_config.identity(config.SFTConfig(think=False)) == {**plain, "think": False}
    nested = base_config.identity(config.PretrainConfig())
    assert nested["model"]["layers"] == 4 and "oracle" not in nested


def test_an_evaluation_of_some_levels_asks_no_others():
    with pytest.raises(ValueError, match="levels=6: expected one of 1, 2, 3, 4, 5"):
        config.EvalConfig(levels=(5, 6))
