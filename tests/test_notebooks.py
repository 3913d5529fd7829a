"""Can the notebooks be read without running them? Shape and cleanness; execution: nbmake."""

import ast
import copy
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from clean_notebooks import WIDGET, clean
from notebook_margins import TITLE, Measured, assertions, prune

ROOT = Path(__file__).resolve().parent.parent
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda p: p.name)

MAX_LINE = 79  # characters of a code line
MAX_CELL = 25  # lines of a code cell
# A cosine that must not be 1: over ten seeds 0.71 on average and 0.96 at most, which is no bell.
SKEWED = {"alike < 0.999"}


def read(path: Path) -> dict:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook


def code_cells(path: Path) -> list[dict]:
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]


@each_notebook
def test_code_fits_the_page(path):
    for number, cell in enumerate(code_cells(path), 1):
        lines = cell["source"].splitlines()
        assert len(lines) <= MAX_CELL, f"{path.name}, code cell {number}: {len(lines)} lines"
        for line in lines:
            assert len(line) <= MAX_LINE, f"{path.name}, code cell {number}: {line}"


@each_notebook
def test_outputs_come_from_one_run_from_top_to_bottom(path):
    cells = [cell for cell in code_cells(path) if cell["source"].strip()]
    counts = [cell["execution_count"] for cell in cells]
    assert counts == list(range(1, len(cells) + 1)), f"{path.name}: run `make notebooks`"
    kinds = [output["output_type"] for cell in cells for output in cell["outputs"]]
    assert kinds and "error" not in kinds


@each_notebook
def test_only_the_reader_s_part_is_committed(path):
    notebook = read(path)
    assert clean(copy.deepcopy(notebook)) == notebook, f"{path.name}: run `make notebooks`"


@each_notebook
def test_claims_do_not_fail_by_bad_luck(path):
    known = json.loads((ROOT / "data" / "margins.json").read_text(encoding="utf-8"))[path.name]
    found = known["assertions"]
    hint = f"{path.name}: run `make margins`"
    assert known["seeds"] >= 10 and set(assertions(read(path))) == set(found), hint
    for text, row in found.items():
        held = row["least"] >= 0 if "<=" in text or ">=" in text else row["least"] > 0
        assert held, f"{path.name}: {text} failed with a seed"
        far = row["deviations"] is None or row["deviations"] >= 3 or text in SKEWED
        assert far, f"{path.name}: {text}: {row}"


def test_margins_are_what_is_left_before_an_assertion_fails():
    tree = Measured().visit(
        ast.parse("assert 1 < a <= 3\nfor b in (2, 4):\n    assert b > 1.5 and b != 9, b")
    )
    seen = []
    code = compile(ast.fix_missing_locations(tree), "cell", "exec")
    note = {"a": 2.5, "_margin": lambda text, value: seen.append((text, value))}
    exec(code, note)  # noqa: S102, our own text above
    assert seen == [
        ("1 < a", 1.5), ("a <= 3", 0.5), ("b > 1.5", 0.5), ("b != 9", 1), ("b > 1.5", 2.5),
        ("b != 9", 1),
    ]  # fmt: skip


def test_what_is_no_longer_asserted_is_forgotten(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    cell = nbformat.v4.new_code_cell(f"{TITLE}\nassert a > 1")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "n.ipynb")
    found = {"seeds": 10, "assertions": {"a > 1": {"mean": 2}, "b > 1": {"mean": -1}}}
    (tmp_path / "m.json").write_text(json.dumps({"n.ipynb": found, "other.ipynb": found}))
    prune(tmp_path / "m.json", [tmp_path / "n.ipynb"])
    known = json.loads((tmp_path / "m.json").read_text())
    assert known["n.ipynb"] == {"seeds": 10, "assertions": {"a > 1": {"mean": 2}}}
    assert known["other.ipynb"] == found


def test_cleaning_keeps_pictures_and_drops_bare_widgets():
    text = {"output_type": "stream", "name": "stdout", "text": "12\n"}
    picture = {"image/png": "iVBOR", "text/plain": "<Figure>"}
    bare = {
        "output_type": "display_data",
        "metadata": {},
        "data": {WIDGET: {}, "text/plain": "VBox()"},
    }
    both = {"output_type": "display_data", "metadata": {}, "data": {WIDGET: {}, **picture}}
    cell = {
        "cell_type": "code",
        "execution_count": 1,
        "id": "a",
        "metadata": {"execution": {"iopub.status.busy": "2026"}, "tags": ["raises-exception"]},
        "outputs": [text, bare, both],
        "source": "print(12)",
    }
    notebook = {
        "cells": [cell],
        "metadata": {"widgets": {"state": {}}, "language_info": {"name": "python", "version": "3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    cleaned = clean(copy.deepcopy(notebook))
    assert cleaned["metadata"].keys() == {"kernelspec", "language_info"}
    assert cleaned["metadata"]["language_info"] == {"name": "python"}
    assert cleaned["cells"][0]["metadata"] == {"tags": ["raises-exception"]}
    assert [o.get("data", o.get("text")) for o in cleaned["cells"][0]["outputs"]] == [
        "12\n",
        {"image/png": "iVBOR"},
    ]
    assert clean(copy.deepcopy(cleaned)) == cleaned
