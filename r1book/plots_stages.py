"""How do the stages hang together, drawn? Boxes for stages, arrows for weights and for data.

Plain values in, a `Figure` out, as in `plots.py`. A stage's first need is where its weights come
from (a solid arrow), every further one is data for it (a dashed arrow); what a stage that writes
data needs, weights do not leave. Left out: what the stages do (`stages.py`).
"""

import textwrap
from collections.abc import Collection, Sequence

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from r1book.plots import COLOURS, Chart

WIDTH, HEIGHT = 0.8, 0.58
"""Of a box; columns and lanes are 1 apart."""


def places(graph: Sequence[tuple[str, Sequence[str]]]) -> dict[str, tuple[int, int]]:
    """Return {stage: (column, lane)} for (name, needs) in an order in which needs come first.

    A stage stands one column right of the last thing it needs. It stays in the lane of the stage
    that gave its weights if it is the first to take them, and opens a new lane if it is not; lanes
    whose weights have one origin lie together. Raises ValueError for a need that is no stage
    before it.

    >>> places([("a", ()), ("b", ("a",)), ("c", ("a", "b"))])
    {'a': (0, 0), 'b': (1, 0), 'c': (2, 1)}

    Taught in notebook 00.
    """
    column: dict[str, int] = {}
    lane: dict[str, int] = {}
    origins: list[int] = []  # for each lane, the lane in which its weights begin
    taken: set[str] = set()
    for name, needs in graph:
        if unknown := [need for need in needs if need not in column]:
            raise ValueError(f"{name} needs {unknown[0]!r}, which is no stage before it")
        column[name] = 1 + max((column[need] for need in needs), default=-1)
        if needs and needs[0] not in taken:
            taken.add(needs[0])
            lane[name] = lane[needs[0]]
        else:
            lane[name] = len(origins)
            origins.append(origins[lane[needs[0]]] if needs else len(origins))
    order = sorted(range(len(origins)), key=lambda i: (origins[i], i))
    return {name: (column[name], order.index(lane[name])) for name in column}


def stage_graph(
    graph: Sequence[tuple[str, Sequence[str], str, bool]],
    thick: tuple[str, str] | None = None,
    title: str = "",
    caption: str = "",
    writes: Collection[str] = (),
) -> Figure:
    """The stages as boxes: (name, needs, a few words, whether it is the report's), needs first.

    thick: an arrow (from, to) to stress. writes: stages that make data and no weights; every arrow
    into them is dashed. What the report does not have has a dashed border. Raises ValueError for an
    unknown need or an arrow that the graph does not have.
    Taught in notebook 00.
    """
    at = places([(name, needs) for name, needs, _, _ in graph])
    arrows = {
        (need, name): i == 0 and name not in writes
        for name, needs, *_ in graph
        for i, need in enumerate(needs)
    }
    if thick is not None and thick not in arrows:
        raise ValueError(f"no arrow from {thick[0]!r} to {thick[1]!r} in this graph")
    columns, lanes = (1 + max(place[i] for place in at.values()) for i in (0, 1))
    figure = Chart(figsize=(1.75 * columns, 1.05 * lanes + 0.8), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(-0.05, columns - 0.15), ylim=(lanes - 0.35, -0.15))
    axes.axis("off")
    for name, _, said, told in graph:
        x, y = at[name]
        border = {"linestyle": "-" if told else "--", "edgecolor": "black", "linewidth": 1.1}
        shape = "round,pad=0,rounding_size=0.06"
        axes.add_patch(
            FancyBboxPatch(
                (x, y), WIDTH, HEIGHT, boxstyle=shape, facecolor="#f4f4f4", zorder=2, **border
            )
        )
        words = "\n".join(textwrap.wrap(said, 21)[:2])
        middle = x + WIDTH / 2
        axes.text(middle, y + 0.17, name, ha="center", va="center", fontsize=8.5, weight="bold")
        axes.text(middle, y + 0.41, words, ha="center", va="center", fontsize=7)
    for (start, end), weights in arrows.items():
        stressed = (start, end) == thick
        look = {
            "color": COLOURS[1] if stressed else COLOURS[0] if weights else COLOURS[2],
            "linestyle": "-" if weights else (0, (4, 2)),
            "linewidth": 3.2 if stressed else 1.5,
        }
        axes.add_patch(
            FancyArrowPatch(
                *_ends(at[start], at[end], weights), arrowstyle="-|>", mutation_scale=12,
                connectionstyle=_bend(at[start], at[end]), shrinkA=0, shrinkB=0, zorder=1, **look,
            )
        )  # fmt: skip
    key = (("weights", COLOURS[0], "-"), ("data", COLOURS[2], (0, (4, 2))))
    for label, colour, dashes in key:
        axes.plot([], [], color=colour, linestyle=dashes, label=label)
    axes.legend(loc="upper right", fontsize="small", frameon=False)
    if title:
        figure.suptitle(title)
    if caption:
        figure.supxlabel(caption, fontsize="small")
    return figure


def _ends(start, end, weights: bool):
    """Return both points; into another lane, weights leave at the left and data at the right."""
    (x0, y0), (x1, y1) = start, end
    enters = (x1, y1 + HEIGHT * (0.5 if weights else 0.75))
    if y0 == y1:
        return (x0 + WIDTH, enters[1]), enters
    return (x0 + (0.1 if weights else WIDTH - 0.15), y0 + HEIGHT * (y1 > y0)), enters


def _bend(start, end) -> str:
    """Return a straight path within a lane, a right-angled one into another."""
    if start[1] == end[1]:
        return "arc3,rad=0"
    return f"angle,angleA={-90 if end[1] > start[1] else 90},angleB=180,rad=5"
