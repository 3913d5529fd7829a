"""Does the figure of the stages show the graph it was given?"""

import doctest

import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from r1book import plots_stages
from r1book.graph import GRAPH
from r1book.plots import COLOURS

ROWS = [(s.name, s.needs, s.source, s.report) for s in GRAPH]


def patches(figure, kind):
    return [p for p in figure.axes[0].patches if isinstance(p, kind)]


def test_examples():
    assert doctest.testmod(plots_stages).failed == 0


def test_places_of_a_small_graph_by_hand():
    """Two origins; of the three that take a's weights, the first stays beside it."""
    graph = [("a", ()), ("z", ()), ("b", ("a",)), ("c", ("a", "b")), ("d", ("z", "c")), ("e", "a")]
    assert plots_stages.places(graph) == {
        "a": (0, 0), "b": (1, 0), "c": (2, 1), "e": (1, 2), "z": (0, 3), "d": (3, 3),
    }  # fmt: skip
    with pytest.raises(ValueError, match="b needs 'x'"):
        plots_stages.places([("b", ("x",))])


def test_no_two_stages_share_a_place_and_needs_stand_to_the_left():
    at = plots_stages.places([(s.name, s.needs) for s in GRAPH])
    assert len(set(at.values())) == len(GRAPH)
    assert all(at[need][0] < at[s.name][0] for s in GRAPH for need in s.needs)


def test_every_stage_is_a_box_and_every_need_an_arrow():
    figure = plots_stages.stage_graph(ROWS, ("base", "sft-800k"), "title", "caption")
    boxes, arrows = patches(figure, FancyBboxPatch), patches(figure, FancyArrowPatch)
    assert len(boxes) == len(GRAPH)
    assert len(arrows) == sum(len(s.needs) for s in GRAPH)
    texts = {t.get_text() for t in figure.axes[0].texts}
    assert {s.name for s in GRAPH} <= texts
    dashed = [b.get_linestyle() == "--" for b in boxes]
    assert dashed == [not s.report for s in GRAPH]
    thick = [a for a in arrows if a.get_linewidth() > 3]
    assert len(thick) == 1 and to_hex(thick[0].get_edgecolor()) == COLOURS[1].lower()
    data = sum(a.get_linestyle() not in ("-", "solid") for a in arrows)
    assert data == sum(max(0, len(s.needs) - 1) for s in GRAPH)
    writes = [s.name for s in GRAPH if s.gives == "data"]
    arrows = patches(plots_stages.stage_graph(ROWS, writes=writes), FancyArrowPatch)
    data = sum(a.get_linestyle() not in ("-", "solid") for a in arrows)
    assert data == sum(len(s.needs) - (s.gives != "data" and bool(s.needs)) for s in GRAPH)
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_an_arrow_to_stress_must_exist():
    with pytest.raises(ValueError, match="no arrow from 'r1-zero' to 'sft-800k'"):
        plots_stages.stage_graph(ROWS, ("r1-zero", "sft-800k"))
