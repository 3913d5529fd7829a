"""Is the table of the stages made of what was measured, and is nothing measured twice?"""

import json

import pytest

from r1book import comparison, models
from r1book.config import EvalConfig

FEW = EvalConfig(problems=2, samples=2, max_new_tokens=24)


def test_a_table_goes_on_and_measures_nothing_twice(tmp_path):
    folders = {"base": models.shipped("base"), "r1-zero": models.shipped("r1-zero")}
    said, out = [], tmp_path / "stages.json"
    names = ("mini-MATH", "mini-Arena")
    comparison.measure({"base": folders["base"]}, out, FEW, names[:1], said.append)
    assert said == ["base: mini-MATH"]
    first = json.loads(out.read_text())["stages"]["base"]["mini-MATH"]
    found = comparison.measure(folders, out, FEW, names, said.append)
    assert said[1:] == ["base: mini-Arena", "r1-zero: mini-MATH", "r1-zero: mini-Arena"]
    assert found["base"]["mini-MATH"] == first and 0 <= found["base"]["mini-Arena"]["harmless"] <= 1
    comparison.measure(folders, out, FEW, names, pytest.fail)
    changed = json.loads(out.read_text())
    changed["stages"]["base"]["sha256"] = "another checkpoint"
    out.write_text(json.dumps(changed))
    comparison.measure(folders, out, FEW, names, said.append)
    assert said[4:] == ["base: mini-MATH", "base: mini-Arena"]
    with pytest.raises(ValueError, match=r"was measured with .*choose another file"):
        comparison.measure(folders, out, EvalConfig(problems=3), names, said.append)


def test_the_table_stands_beside_the_report_s():
    ours = {"pass@1": 0.5, "target_language_share": 0.9, "format": 1.0}
    arena = ours | {"gold": 0.25, "harmless": 0.75}
    one = {"sha256": "", "mini-MATH": ours, "logic": ours, "mini-Arena": arena}
    lines = comparison.table({"base": one, "r1-zero": one}).splitlines()
    assert lines[0] == "| | base | R1-Zero |"
    assert lines[2:7] == [
        "| **mini-MATH** | 50.0 | 50.0 |",
        "| *MATH-500 (pass@1), the report* |  | 95.9 |",
        "| **logic** | 50.0 | 50.0 |",
        "| **mini-Arena (gold quality)** | 25.0 | 25.0 |",
        "| *Arena-Hard (GPT-4-1106), the report* |  | 53.6 |",
    ]
    assert lines[7] == "| harmless responses, mini-Arena | 75.0 | 75.0 |"


def test_the_variants_stand_in_one_table(tmp_path):
    ours = {"pass@1": 0.5, "target_language_share": 0.9}
    names = ("mini-MATH", "logic", "mini-GPQA", "mini-IFEval")
    told = {**dict.fromkeys(names, ours), "mini-Arena": ours | {"gold": 0.25}}
    (tmp_path / "eval.json").write_text(json.dumps(told))
    stages = {"sft-800k": told, "all-scenario-rl": told | {"logic": ours | {"pass@1": 0.6}}}
    lines = comparison.variants({"no-restart": tmp_path}, stages).splitlines()
    head = "| | mini-MATH | logic | mini-GPQA | mini-IFEval | gold quality | language, mini-MATH |"
    assert lines[0] == head
    assert lines[2] == "| Dev3 | 50.0 | 50.0 | 50.0 | 50.0 | 25.0 | 90.0 |"
    assert lines[3] == "| R1 | 50.0 | 60.0 | 50.0 | 50.0 | 25.0 | 90.0 |"
    assert lines[4].startswith("| no restart: the second SFT goes on from Dev2 | 50.0 |")
    (tmp_path / "eval.json").write_text(json.dumps({"mini-MATH": ours}))
    with pytest.raises(ValueError, match="not measured on logic, mini-GPQA, mini-IFEval"):
        comparison.variants({"no-restart": tmp_path}, stages)
