"""What of an executed notebook is committed? Sources and outputs; no widgets, no timings.

Use: python tests/clean_notebooks.py notebooks/*.ipynb
Execution counts stay: 1, 2, 3 … shows a reader that the outputs come from one run, top to bottom.
"""

import sys
from pathlib import Path

import nbformat

WIDGET = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
CELL_METADATA = ("tags", "nbmake")  # what nbmake and readers' tools act on


def clean(notebook: dict) -> dict:
    """Return the notebook as it is committed; cleaning twice changes nothing.

    An output that is only a widget is dropped: without its state it renders as an error, and a
    static figure stands before it. An output that has another form too (a picture) keeps that.
    """
    cells = []
    for cell in notebook["cells"]:
        kept = {k: v for k, v in cell["metadata"].items() if k in CELL_METADATA}
        cell = {**cell, "metadata": kept}
        if cell["cell_type"] == "code":
            cell["outputs"] = [o for o in map(_without_widget, cell["outputs"]) if o is not None]
        cells.append(cell)
    return {**notebook, "metadata": METADATA, "cells": cells}


def _without_widget(output: dict) -> dict | None:
    data = output.get("data", {})
    if WIDGET not in data:
        return output
    others = {k: v for k, v in data.items() if k not in (WIDGET, "text/plain")}
    return {**output, "data": others} if others else None


def main(paths: list[str]) -> None:
    for path in map(Path, paths):
        notebook = nbformat.read(path, as_version=4)
        nbformat.write(nbformat.from_dict(clean(notebook)), path)


if __name__ == "__main__":
    main(sys.argv[1:])
