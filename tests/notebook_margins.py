"""How far are a chapter's closing assertions from failing, over seeds? Ten executions a notebook.

Use: python tests/notebook_margins.py --out data/margins.json notebooks/01_r1_zero.ipynb ...
(`make margins` does all.) Each execution has another SEED; in the last cell with assertions, each
comparison is written down instead of asserted: its margin is how much is left before it fails. A
margin of less than three standard deviations is a chapter that will one day be red for no reason.
"""

import argparse
import ast
import json
import math
import statistics
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ORDERED = {ast.Lt: 1, ast.LtE: 1, ast.Gt: -1, ast.GtE: -1}
"""Comparisons that have a margin, and the sign of right minus left in it."""
TITLE = "# What this chapter claimed"
"""First words of the cell with the closing assertions."""
KEEP = """
def _margin(text, value):
    _margins.setdefault(text, []).append(float(value))
_margins = {}
"""


class Measured(ast.NodeTransformer):
    """Turns `assert a < b` into a note of b - a, and other assertions into a note of 1 or -1."""

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        """Return the notes in place of an assertion."""
        return [note for test in _parts(node.test) for note in _notes(test)]


def _parts(test: ast.expr) -> list[ast.expr]:
    both = isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And)
    return test.values if both else [test]


def _notes(test: ast.expr) -> list[ast.stmt]:
    if not (isinstance(test, ast.Compare) and all(type(op) in ORDERED for op in test.ops)):
        text = ast.unparse(test)
        return ast.parse(f"_margin({text!r}, 1 if ({text}) else -1)").body
    out, left = [], test.left
    for op, right in zip(test.ops, test.comparators, strict=True):
        sign, text = ORDERED[type(op)], ast.unparse(ast.Compare(left, [op], [right]))
        a, b = ast.unparse(left), ast.unparse(right)
        out += ast.parse(f"_margin({text!r}, {sign} * (({b}) - ({a})))").body
        left = right
    return out


def assertions(notebook: dict) -> list[str]:
    """Return the closing comparisons of a notebook as `data/margins.json` names them."""
    tree = Measured().visit(ast.parse(_closing(notebook)["source"]))
    calls = (n for n in ast.walk(tree) if isinstance(n, ast.Call))
    found = (c.args[0].value for c in calls if getattr(c.func, "id", "") == "_margin")
    return list(dict.fromkeys(found))


def _closing(notebook: dict) -> dict:
    return next(c for c in notebook["cells"] if c["source"].startswith(TITLE))


def seeded(notebook: dict, seed: int, out: Path) -> dict:
    """Return the notebook with another SEED, writing its margins to `out` in place of asserting."""
    notebook = nbformat.from_dict(json.loads(json.dumps(notebook)))
    first = next(
        c for c in notebook["cells"] if c["cell_type"] == "code" and "SEED" in _assigned(c)
    )
    first["source"] += f"\nSEED = {seed}"
    cell = _closing(notebook)
    tree = Measured().visit(ast.parse(cell["source"]))
    text = ast.unparse(ast.fix_missing_locations(tree))
    write = f"\nimport json, pathlib\npathlib.Path({str(out)!r}).write_text(json.dumps(_margins))"
    cell["source"] = KEEP + text + write
    return notebook


def _assigned(cell: dict) -> set[str]:
    try:
        tree = ast.parse(cell["source"])
    except SyntaxError:
        return set()
    stores = (n for n in ast.walk(tree) if isinstance(n, ast.Name))
    return {n.id for n in stores if isinstance(n.ctx, ast.Store)}


def measure(path: Path, seeds: range) -> dict:
    """Return {comparison: {"mean", "sd", "least", "deviations"}} of a notebook over the seeds.

    A comparison in a loop counts by its smallest margin in each execution; "deviations" is the
    mean in standard deviations, None where nothing varied.
    """
    notebook = nbformat.read(path, as_version=4)
    table: dict[str, list[float]] = {}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "margins.json"
            where = {"metadata": {"path": str(path.resolve().parent)}}
            NotebookClient(seeded(notebook, seed, out), timeout=600, resources=where).execute()
            for text, values in json.loads(out.read_text()).items():
                table.setdefault(text, []).append(min(values))
        lowest = min((values[-1], text) for text, values in table.items())
        print(f"{path.name}, seed {seed}: smallest margin {lowest[0]:.3g}, {lowest[1]}", flush=True)
    return {text: _summary(values) for text, values in table.items()}


def _summary(values: list[float]) -> dict:
    mean = statistics.fmean(values)
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    far = None if spread == 0 or not math.isfinite(spread) else round(mean / spread, 2)
    sizes = {"mean": mean, "sd": spread, "least": min(values)}
    return {**{k: float(f"{x:.4g}") for k, x in sizes.items()}, "deviations": far}


def prune(out: Path, notebooks: list[Path]) -> None:
    """Leave out of a file what notebooks no longer assert; the others were measured beside it."""
    known = json.loads(out.read_text())
    for path in notebooks:
        now = assertions(nbformat.read(path, as_version=4))
        found = known[path.name]["assertions"]
        known[path.name]["assertions"] = {text: found[text] for text in now if text in found}
    _write(out, known)


def _write(out: Path, known: dict) -> None:
    text = json.dumps(known, indent=1, sort_keys=True, ensure_ascii=False)
    out.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Measure the notebooks named, keep what the file says of others."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=10, help="executions, with seeds 0, 1, ...")
    parser.add_argument("--out", type=Path, help="JSON file to update")
    parser.add_argument(
        "--prune", action="store_true", help="execute nothing, forget assertions that are no more"
    )
    options = parser.parse_args()
    if options.prune:
        prune(options.out, options.notebooks)
        return
    for path in options.notebooks:
        found = measure(path, range(options.seeds))
        for text, row in found.items():
            print(f"{row['deviations'] or float('nan'):8.1f} sd  {row['mean']:9.3g}  {text}")
        if options.out:
            known = json.loads(options.out.read_text()) if options.out.is_file() else {}
            known[path.name] = {
                "command": f"python tests/notebook_margins.py --seeds {options.seeds} {path}",
                "seeds": options.seeds,
                "assertions": found,
            }
            _write(options.out, known)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
