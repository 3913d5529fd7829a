"""What can the README say by itself? Its graph, chapters and tree, written from the code and the
disk.

`python -m r1book readme` rewrites the parts between markers; a test fails when README and code
differ.
"""

import ast
import json
import subprocess
import tomllib
from pathlib import Path

from r1book import graph
from r1book.claims import in_cell

ROOT = Path(__file__).resolve().parent.parent
SMOOTH = 9
"""Steps that the README figure averages."""

TOP = {
    "notebooks": "the chapters, with their executed outputs",
    "r1book": "the helper library: each file answers one question",
    "data": "what the book ships: models, sets, recorded runs, tables",
    "tests": "the library, the command line, the notebooks and what is recorded",
    "benchmarks": "timings, as ratios measured in one run",
    ".ci/run": "what CI runs on a clean machine",
    "Makefile": "the commands",
    "environment.yml": "conda and Binder",
    "pyproject.toml": "ranges and extras",
    "constraints.txt": "the pinned environment",
    "CITATION.cff": "how to cite",
    "CONTRIBUTING.md": "how to work on the book",
    "TROUBLESHOOTING.md": "when something goes wrong",
    "LICENSE": "Apache-2.0, for the code",
    "LICENSE-text": "CC BY 4.0, for text and data",
}


def parts(root: Path = ROOT) -> dict[str, str]:
    """Return {marker: text} of everything in README that is generated."""
    return {
        "graph": f"```text\n{graph.drawn()}\n```",
        "chapters": chapters(root),
        "stages": stages(root),
        "claims": claims(root),
        "benchmarks": benchmarks(root),
        "tree": tree(root),
        "figure": figure(root),
    }


def fill(readme: str, texts: dict[str, str]) -> str:
    """Return README with the text between '<!-- begin x -->' and '<!-- end x -->' replaced, for
    each x.

    Raises ValueError when a marker is missing.
    """
    for name, text in texts.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        if begin not in readme or end not in readme:
            raise ValueError(
                f"README.md has no markers {begin} and {end}: put them where the {name} belongs"
            )
        head, rest = readme.split(begin, 1)
        readme = f"{head}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}"
    return readme


def repository(root: Path = ROOT) -> str:
    """Return owner/name of the one project URL in pyproject.toml, from which all badges are
    made."""
    urls = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    return next(iter(urls.values())).rstrip("/").removeprefix("https://github.com/")


def badges(notebook: str, root: Path = ROOT) -> str:
    """Return the Colab and Binder badges of a notebook, as Markdown."""
    where = repository(root)
    colab = f"https://colab.research.google.com/github/{where}/blob/main/notebooks/{notebook}"
    binder = f"https://mybinder.org/v2/gh/{where}/main?labpath=notebooks%2F{notebook}"
    return (
        f"[![Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab}) "
        f"[![Binder](https://mybinder.org/badge_logo.svg)]({binder})"
    )


def chapters(root: Path = ROOT) -> str:
    """Return the table of the notebooks on disk: title, measured minutes and memory
    (data/notebooks.json), badges."""
    timed = root / "data" / "notebooks.json"
    times = json.loads(timed.read_text(encoding="utf-8")) if timed.is_file() else {}
    rows = ["| notebook | question | minutes, 2 cores | memory | open |", "|---|---|---|---|---|"]
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        title = next(
            (
                line.lstrip("# ")
                for c in cells
                for line in "".join(c["source"]).splitlines()
                if line.startswith("# ")
            ),
            path.stem,
        )
        seen = times.get(path.name, {})
        minutes = f"{seen['seconds'] / 60:.1f}" if seen else "not timed"
        memory = f"{seen['peak_rss'] / 1e9:.1f} GB" if seen else "not measured"
        name = f"[{path.stem}](notebooks/{path.name})"
        rows.append(f"| {name} | {title} | {minutes} | {memory} | {badges(path.name, root)} |")
    return "\n".join(rows)


def stages(root: Path = ROOT) -> str:
    """Return the table of all bundled stages beside the report's (data/stages.json), and how it was
    measured; or a line that there is none yet."""
    path = root / "data" / "stages.json"
    if not path.is_file():
        return "_The stages are not measured yet._"
    from r1book import comparison

    found = json.loads(path.read_text(encoding="utf-8"))
    how = found["how"]
    told = (
        f"{how['split']} split, {how['problems']} problems x {how['samples']} answers, temperature "
        f"{how['temperature']:g}, one seed: "
        "`python -m r1book compare data/models --out stages.json`"
    )
    return f"{comparison.table(found['stages'])}\n\n({told}.)"


def claims(root: Path = ROOT) -> str:
    """Return the table of the claims that have been judged (data/claims/*.json), each with its
    verdict and what its tests found; or a line that there is none yet."""
    kinds = ("confirmatory", "exploratory")
    paths = (root / "data" / "claims" / f"{kind}.json" for kind in kinds)
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return "_No claim is judged yet._"
    found = json.loads(path.read_text(encoding="utf-8"))
    rows, missing = ["| claim | verdict | tests: effect (interval) |", "|---|---|---|"], []
    for claim in found["claims"]:
        if claim["verdict"] == "runs missing":
            missing.append(claim["id"])
            continue
        tests = "; ".join(f"{e['test']['name']}: {e['verdict']}{_found(e)}" for e in claim["tests"])
        cells = f"{claim['id']}: {claim['statement']}", f"**{claim['verdict']}**", tests
        rows.append(f"| {' | '.join(map(in_cell, cells))} |")
    seeds = ", ".join(map(str, found["seeds"]))
    told = f"({path.stem.capitalize()}, seeds {seeds}: `{found['command']}`."
    if missing:
        told += f" Not judged, since runs are missing: {', '.join(missing)}."
    return "\n".join(rows) + f"\n\n{told})"


def _found(finding: dict) -> str:
    i = finding["interval"]
    return "" if i is None else f", {i['mean']:+.3g} ({i['low']:+.3g} to {i['high']:+.3g})"


def benchmarks(root: Path = ROOT) -> str:
    """Return the table of recorded benchmarks (data/benchmarks/*.json with a ratio) and their
    figures, or a line that there is none yet."""
    rows = ["| ratio | of what | command |", "|---|---|---|"]
    figures = []
    for path in sorted((root / "data" / "benchmarks").glob("*.json")):
        card = json.loads(path.read_text(encoding="utf-8"))
        if "ratio" in card:
            rows.append(f"| {card['ratio']:.2f} | {card['says']} | `{card['command']}` |")
            if path.with_suffix(".png").is_file():
                figures += ["", f"![{card['says']}](data/benchmarks/{path.stem}.png)"]
    return "\n".join(rows + figures) if len(rows) > 2 else "_No benchmark is recorded yet._"


def figure(root: Path = ROOT) -> str:
    """Return the figure of the recorded R1-Zero run, or a line that there is none yet."""
    path = root / "data" / "figures" / "r1_zero.png"
    if not path.is_file():
        return "_No run is recorded yet._"
    return "![R1-Zero in the miniature world, recorded runs](data/figures/r1_zero.png)"


def draw(root: Path = ROOT) -> Path | None:
    """Draw the README's figure from the recorded R1-Zero runs; return its path, None without
    runs."""
    from r1book import plots, trace

    recorded = sorted((root / "data" / "runs").glob("r1_zero-seed*"))
    if not recorded:
        return None
    kinds = {"R1-Zero: right or wrong, and form": recorded}
    for name, told in (("random", "control: a coin"), ("format_only", "control: form only")):
        kinds[told] = sorted((root / "data" / "runs").glob(f"r1_zero-{name}"))

    def smoothed(folder: Path) -> list[dict]:
        lines = trace.read_metrics(folder / "metrics.jsonl")
        values = plots.smooth([line["accuracy"] for line in lines], SMOOTH)
        return [
            {"step": line["step"], "accuracy": v} for line, v in zip(lines, values, strict=True)
        ]

    drawn = plots.curves_over_seeds(
        {told: [smoothed(f) for f in folders] for told, folders in kinds.items() if folders},
        key="accuracy",
        title="A base learns to reason from 0/1 rewards, on two CPU cores",
        ylabel=f"share right in training (mean of {SMOOTH} steps)",
        run="data/runs/r1_zero-*",
    )
    path = root / "data" / "figures" / "r1_zero.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path, dpi=120)
    return path


def question(path: Path) -> str:
    """Return the first sentence of a module's docstring."""
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first = doc.replace("\n", " ").strip()
    for stop in ("? ", ". ", ": "):
        if stop in first:
            first = first.split(stop)[0] + stop.strip()
            break
    return first.rstrip(".:")


def tracked(root: Path = ROOT) -> list[str]:
    """Return the files that git tracks (or would: untracked and not ignored), sorted."""
    command = ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    return sorted(f for f in found if f and (root / f).exists())


def tree(root: Path = ROOT) -> str:
    """Return the annotated tree: top level, rooms of the library and notebooks."""
    files = tracked(root)
    lines = []
    for name, clause in TOP.items():
        folder = (root / name).is_dir()
        if not any(f == name or f.startswith(f"{name}/") for f in files):
            continue
        lines.append((f"{name}/" if folder else name, clause))
        if name == "r1book":
            lines += _rooms(root, files)
        if name in ("notebooks", "data"):
            inside = sorted(
                {
                    f.split("/")[1] + ("/" if f.count("/") > 1 else "")
                    for f in files
                    if f.startswith(f"{name}/")
                }
            )
            lines += [(f"  {each}", "") for each in inside]
    width = max(len(path) for path, _ in lines) + 2
    return (
        "```text\n"
        + "\n".join(f"{path:<{width}}{clause}".rstrip() for path, clause in lines)
        + "\n```"
    )


def _rooms(root: Path, files: list[str]) -> list[tuple[str, str]]:
    out = []
    shown = set()
    for f in files:
        if not f.startswith("r1book/") or not f.endswith(".py"):
            continue
        at = f.split("/")[1:]
        if len(at) > 1 and at[0] not in shown:
            shown.add(at[0])
            out.append((f"  {at[0]}/", question(root / "r1book" / at[0] / "__init__.py")))
        if len(at) > 1 and at[1] == "__init__.py":
            continue
        out.append(("  " * len(at) + at[-1], question(root / f)))
    return out
