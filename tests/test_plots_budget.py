"""Do the figure and the slider of the token budget show the numbers and texts they were given?"""

import itertools
import math

import pytest

from r1book import plots, plots_budget
from r1book.intervals import Interval

widgets = pytest.importorskip("r1book.widgets", exc_type=ImportError)

SERIES = {
    "base": {8: Interval(0.1, 0.05, 0.2, 64), 32: Interval(0.2, 0.1, 0.3, 64)},
    "R1-Zero": {8: Interval(0.1, 0.0, 0.3, 64), 32: Interval(0.9, 0.8, 0.95, 64)},
}
TEXTS = {8: ["<think> try", "<think> <b>bold</b>"], 32: ["wait 等等", "</think> <answer> 7"]}
RIGHT = {8: [False, None], 32: [True, False]}


def test_points_and_intervals_are_the_given_ones():
    axes = plots_budget.shares(SERIES, "title", "caption", here=32).axes[0]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["base: 0.20", "R1-Zero: 0.90"]
    lines, _, bars = axes.containers[1]
    assert list(lines.get_ydata()) == [0.1, 0.9]
    ends = [sorted(y for _, y in segment) for segment in bars[0].get_segments()]
    assert ends == [pytest.approx([0.0, 0.3]), pytest.approx([0.8, 0.95])]
    assert list(axes.get_xticks()) == [8, 32]
    assert "32 tokens" in axes.texts[0].get_text()


@pytest.mark.parametrize(("series", "here"), [({}, None), ({"base": {}}, None), (SERIES, 16)])
def test_nothing_to_draw_or_to_mark_is_refused(series, here):
    with pytest.raises(ValueError, match=r"nothing to draw|expected one of \[8, 32\]"):
        plots_budget.shares(series, here=here)


def test_the_axis_ends_where_it_is_told_to_and_hides_nothing():
    assert plots_budget.shares(SERIES).axes[0].get_ylim()[1] == 1.1
    assert plots_budget.shares({"base": SERIES["base"]}, top=0.4).axes[0].get_ylim()[1] == 0.4
    with pytest.raises(ValueError, match=r"top=0.4: there are shares up to 0.95"):
        plots_budget.shares(SERIES, top=0.4)


def test_a_single_model_is_a_point_without_an_interval():
    figure = plots_budget.shares({"one": {2: 0.25, 4: 0.5}}, here=4)
    points, _, bars = figure.axes[0].containers[0]
    assert list(points.get_ydata()) == [0.25, 0.5]
    assert all(a[1] == b[1] for a, b in bars[0].get_segments())
    assert figure.axes[0].get_legend().get_texts()[0].get_text() == "one: 0.50"


def test_what_training_buys_stands_at_its_cost():
    copied = {3e12: Interval(0.4, 0.3, 0.5, 3)}
    rl = {1e12: Interval(0.2, 0.1, 0.3, 3), 2e13: Interval(0.5, 0.4, 0.6, 3)}
    figure = plots_budget.bought({"Qwen": {"RL": rl, "copied": copied}, "Llama": {"RL": rl}})
    left, right = figure.axes
    assert (left.get_title(), right.get_title()) == ("Qwen", "Llama")
    assert left.get_xscale() == "log" and left.get_ylim() == (0, pytest.approx(0.66))
    points, _, bars = left.containers[0]
    assert list(points.get_xdata()) == [1e12, 2e13] and list(points.get_ydata()) == [0.2, 0.5]
    ends = [sorted(y for _, y in segment) for segment in bars[0].get_segments()]
    assert ends == [pytest.approx([0.1, 0.3]), pytest.approx([0.4, 0.6])]
    (key,) = figure.legends
    assert [text.get_text() for text in key.get_texts()] == ["RL", "copied"]
    again = plots_budget.bought({"a": {"copied": copied}, "b": {"RL": rl}, "c": {"copied": copied}})
    looks = [axes.containers[0][0].get_color() for axes in again.axes]
    assert len(looks) == 3 and looks[0] == looks[2] != looks[1]  # by label, whatever the panel
    for wrong in ({}, {"Qwen": {}}, {"Qwen": {"RL": {}}}):
        with pytest.raises(ValueError, match="nothing to draw"):
            plots_budget.bought(wrong)
    with pytest.raises(ValueError, match="a cost of 0: expected more than 0"):
        plots_budget.bought({"Qwen": {"RL": {0: Interval(0.4, 0.3, 0.5, 3)}}})


@pytest.mark.parametrize(
    "costs",
    [
        (2.88e12, 1.74e13),
        (3e12, 1e14),
        (1e12, 2e13),
        (1e9, 1e15),
        (4e12, 8e12),
        (3e12, 3.2e12),
        (1.1e12, 2.9e12),
        (5e12,),
    ],
)
def test_the_labels_of_costs_do_not_run_into_each_other(costs):
    figure = plots_budget.bought({t: {"RL": dict.fromkeys(costs, 0.5)} for t in ("a", "b")})
    figure.draw_without_rendering()
    for axes in figure.axes:
        low, high = axes.get_xlim()
        texts = [text for text in (*axes.get_xticklabels(), *axes.get_xticklabels(minor=True))
                 if text.get_text() and low <= text.get_position()[0] <= high]  # fmt: skip
        places = sorted(text.get_window_extent().extents.tolist() for text in texts)  # pixels
        assert len(places) >= 2
        assert all(a[2] + 8 < b[0] for a, b in itertools.pairwise(places))


def test_points_at_one_cost_stand_side_by_side_within_each_panel():
    rl = {2.9e12: Interval(0.1, 0.0, 0.2, 3), 1.7e13: Interval(0.4, 0.3, 0.5, 3)}
    series = {"RL": rl, "copied": {1.7e13: Interval(0.4, 0.35, 0.45, 3)}}
    figure = plots_budget.bought(dict.fromkeys(("a", "b", "c", "d"), series))
    figure.draw_without_rendering()
    for axes in figure.axes:
        box, drawn = axes.get_window_extent(), []
        for container in axes.containers:
            line, _, (bars,) = container
            seen = line.get_transform().transform(line.get_xydata())
            drawn.append(seen)
            assert all(box.contains(*point) for point in seen)
            for point, bar in zip(seen, bars.get_segments(), strict=True):
                ends = bars.get_transform().transform(bar)
                assert ends[:, 0] == pytest.approx([point[0]] * 2)  # the bar moves with its point
        assert drawn[1][0][0] - drawn[0][-1][0] == pytest.approx(4 * figure.dpi / 72)


def test_a_mean_beside_its_equal_seeds_is_drawn():
    share = 5 / 1600
    off = Interval(math.nextafter(share, 0), share, share, 3)  # as rounding may leave it
    figure = plots_budget.bought({"a": {"RL": {1e12: off, 2e13: off}}})
    figure.draw_without_rendering()
    plots.bars({"a": {"RL": {"x": off}}}).draw_without_rendering()


def slider(**more):
    drawn = []

    def draw(budget):
        drawn.append(budget)
        return plots_budget.shares(SERIES, here=budget)

    view = widgets.token_budget(TEXTS, RIGHT, draw, **more)
    return drawn, *view.children[:-1]  # the last one is the font


def test_the_slider_shows_text_share_and_figure_at_its_budget():
    drawn, tokens, which, said, shown, picture = slider(start=8)
    assert said.value.startswith("8 tokens: 0 of 1 thoughts end right")
    assert "try" in shown.value and bytes(picture.value).startswith(b"\x89PNG")
    tokens.value = 32
    assert said.value.startswith("32 tokens: 1 of 2 thoughts end right; thought 1: ✓ right")
    assert "outline: 1px solid" in shown.value  # a word of reflection
    assert "underline wavy" in shown.value  # the other language than the question's
    which.value = 2
    assert said.value.endswith("thought 2: ✗ wrong")
    assert drawn == [8, 32]  # another thought needs no other figure
    assert bytes(picture.value) == plots_budget.shares(SERIES, here=32)._repr_png_()
    assert all(w.layout.height.endswith("px") for w in (shown, picture))


def test_text_of_a_model_stays_text():
    _, _, which, said, shown, _ = slider(start=8)
    which.value = 2
    assert "<b>" not in shown.value and "&lt;b&gt;" in shown.value
    assert said.value.endswith("no rule can judge")


@pytest.mark.parametrize(
    ("texts", "right"), [({}, {}), (TEXTS, {8: [True, True]}), (TEXTS, {8: [True], 32: [True]})]
)
def test_verdicts_must_fit_the_texts(texts, right):
    with pytest.raises(ValueError, match="verdicts of the same shape"):
        widgets.token_budget(texts, right, lambda budget: None)
