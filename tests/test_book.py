"""Does the README say what code and disk say? And what the book ships, is it what a run made?"""

import json

import pytest
from typer.testing import CliRunner

from r1book import book, runs
from r1book.cli import app
from r1book.graph import GRAPH


def test_readme_is_generated_from_the_code():
    readme = (book.ROOT / "README.md").read_text(encoding="utf-8")
    assert book.fill(readme, book.parts()) == readme, "run `python -m r1book readme`"


def test_the_graph_in_the_readme_names_every_stage_and_the_second_restart():
    text = book.parts()["graph"]
    assert all(stage.name in text for stage in GRAPH)
    line = next(line for line in text.splitlines() if "--> sft-800k" in line)
    assert line.split("-->")[0].split() == ["base", "+", "rejection-sampling"]


def test_fill_replaces_only_between_markers():
    text = "a <!-- begin x -->\nold\n<!-- end x --> b"
    assert book.fill(text, {"x": "new"}) == "a <!-- begin x -->\nnew\n<!-- end x --> b"
    with pytest.raises(ValueError, match="no markers <!-- begin y -->"):
        book.fill(text, {"y": "new"})


def test_benchmarks_are_those_with_a_ratio_and_their_figures(tmp_path):
    assert "No benchmark" in book.benchmarks(tmp_path)
    place = tmp_path / "data" / "benchmarks"
    place.mkdir(parents=True)
    for name in ("fast", "slow"):
        card = {"ratio": 2.345, "says": f"how {name}", "command": f"python {name}.py"}
        (place / f"{name}.json").write_text(json.dumps(card))
    (place / "pilot.json").write_text("{}")
    (place / "slow.png").write_bytes(b"")
    text = book.benchmarks(tmp_path)
    assert "| 2.35 | how fast | `python fast.py` |" in text and "pilot" not in text
    assert text.count("![") == 1 and "![how slow](data/benchmarks/slow.png)" in text


def test_claims_have_verdicts_and_what_lacks_runs_is_named(tmp_path):
    assert "No claim" in book.claims(tmp_path)
    (tmp_path / "data" / "claims").mkdir(parents=True)
    interval = {"mean": 0.1, "low": -0.02, "high": 0.22}
    tests = [
        {"test": {"name": "more right"}, "verdict": "not shown", "interval": interval},
        {"test": {"name": "longer"}, "verdict": "runs missing", "interval": None},
    ]
    judged = [
        {"id": "C01", "statement": "It learns.", "verdict": "not shown", "tests": tests},
        {"id": "C02", "statement": "It talks.", "verdict": "runs missing", "tests": tests[1:]},
    ]
    record = {"claims": judged, "seeds": [0, 1], "command": "python -m r1book claims"}
    (tmp_path / "data" / "claims" / "exploratory.json").write_text(json.dumps(record))
    text = book.claims(tmp_path)
    row = "| C01: It learns. | **not shown** | more right: not shown, +0.1 (-0.02 to +0.22); "
    assert f"{row}longer: runs missing |" in text and "It talks" not in text
    assert "Exploratory, seeds 0, 1" in text and text.endswith("runs are missing: C02.)")


def test_question_is_the_first_sentence_of_the_docstring(tmp_path):
    file = tmp_path / "m.py"
    file.write_text('"""What is a room? A file with\none question. More."""\n')
    assert book.question(file) == "What is a room?"


def test_record_refuses_an_unfinished_run_and_bundles_a_finished_one(tmp_path):
    run, out, model = tmp_path / "run", tmp_path / "kept", tmp_path / "model"
    (run / "checkpoint").mkdir(parents=True)
    (run / "checkpoint" / "config.json").write_text("{}")
    (run / "metrics.jsonl").write_text('{"step":0}\n')
    (run / "traces.jsonl").write_text("")
    call = ["record", str(run), str(out), "--model", str(model)]
    refused = CliRunner().invoke(app, call)
    assert refused.exit_code == 2 and "no finished run" in refused.output
    (run / "run_card.json").write_text('{"stage":"r1-zero"}')
    (run / "eval.json").write_text("{}")
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    assert json.loads((out / "run_card.json").read_text())["stage"] == "r1-zero"
    lines = (model / "SHA256SUMS").read_text().splitlines()
    sums = dict(reversed(line.split("  ")) for line in lines)
    assert sums["config.json"] == runs.checksum(run / "checkpoint" / "config.json")
    assert {"run_card.json", "metrics.jsonl", "eval.json", "config.json"} == set(sums)


def test_record_bundles_no_base_that_fails_a_gate(tmp_path):
    run, model = tmp_path / "run", tmp_path / "model"
    (run / "checkpoint").mkdir(parents=True)
    for name in ("run_card.json", "metrics.jsonl", "eval.json", "checkpoint/config.json"):
        (run / name).write_text("{}\n")
    call = ["record", str(run), "--model", str(model)]
    (run / "gates.json").write_text('{"failed": ["pass@1 stem"], "passed": false}')
    refused = CliRunner().invoke(app, call)
    assert refused.exit_code == 2 and "pass@1 stem" in refused.output and not model.exists()
    (run / "gates.json").write_text('{"failed": [], "passed": true}')
    assert CliRunner().invoke(app, call).exit_code == 0 and (model / "gates.json").is_file()
