"""Do the figures show the numbers they were given, without any global state?"""

import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

from r1book import measure, plots
from r1book.world import vocab


def metrics(n=20, shift=0.0):
    return [
        {
            "step": i,
            "accuracy": i / 40 + shift,
            "accuracy/math": i / 40,
            "accuracy/logic": i / 50,
            "reward": i / 40 + 0.1,
            "format": 0.5,
            "length": 50.0 + i,
            "length_max": 90 + i,
            "entropy": 1.0 / (i + 1),
            "kl": 0.01 * (i + 1),
            "grad_norm": 0.3,
            "loss": -0.01 * i,
            "tied_groups": 0.2,
            "truncated": 0.0,
        }
        for i in range(n)
    ]


def lines(axes):
    """{legend: (x, y)} of the drawn lines; raw points have no legend."""
    return {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
        for line in axes.lines
        if not line.get_label().startswith("_")
    }


def test_examples():
    assert doctest.testmod(plots).failed == 0


def test_smooth_by_hand():
    assert plots.smooth([1.0, 2.0, 6.0, 0.0], 1) == [1.0, 2.0, 6.0, 0.0]
    assert plots.smooth([1.0, math.nan, 3.0], 3) == [1.0, 2.0, 3.0]
    assert math.isnan(plots.smooth([math.nan], 3)[0])
    with pytest.raises(ValueError, match="got 0"):
        plots.smooth([1.0], 0)


@given(st.lists(st.floats(-1e6, 1e6), max_size=30), st.integers(1, 9))
def test_smooth_stays_between_the_extremes(values, window):
    out = plots.smooth(values, window)
    assert len(out) == len(values)
    assert all(min(values) - 1e-6 <= x <= max(values) + 1e-6 for x in out)


def test_training_curves_show_the_numbers():
    figure = plots.training_curves(metrics(), title="R1-Zero", run="demo", seed=3)
    assert isinstance(figure, Figure) and figure.get_suptitle() == "R1-Zero"
    assert "run demo, seed 3" in figure.get_supxlabel()
    accuracy, reward, length, entropy, kl, gradient, ties, loss = figure.axes
    assert list(lines(accuracy)) == ["all", "logic", "math"]
    steps, values = lines(accuracy)["math"]
    assert steps == list(range(20))
    assert values[10] == pytest.approx(10 / 40)  # a moving average of a straight line is the line
    assert list(lines(reward)) == ["reward", "accuracy", "format"]
    assert list(lines(ties)) == ["groups that tie", "answers that are cut"]
    raw = accuracy.lines[0]
    assert list(raw.get_ydata()) == [i / 40 for i in range(20)] and raw.get_linestyle() == "None"
    assert accuracy.get_ylim() == (-0.03, 1.03) and kl.get_yscale() == "log"
    assert (length.get_ylabel(), entropy.get_ylabel()) == ("tokens", "nats a token")
    assert gradient.get_title() == "Gradient norm" and loss.get_title() == "Loss (says little)"


def test_lines_differ_in_more_than_colour():
    accuracy = plots.training_curves(metrics()).axes[0]
    drawn = [line for line in accuracy.lines if not line.get_label().startswith("_")]
    assert len({line.get_marker() for line in drawn}) == len(drawn) == 3
    assert len({str(line.get_linestyle()) for line in drawn}) == 3
    assert len({len(x) for x in (plots.COLOURS, plots.DASHES, plots.MARKERS, plots.HATCHES)}) == 1
    for marks in (plots.COLOURS, plots.DASHES, plots.MARKERS, plots.HATCHES):
        assert len(set(marks)) == len(marks)


def test_missing_and_broken_numbers_are_gaps():
    rows = [{"step": i, "accuracy": None if i == 2 else math.nan if i == 3 else 0.5, "kl": 0.0}
            for i in range(5)]  # fmt: skip
    figure = plots.training_curves(rows)
    raw = list(figure.axes[0].lines[0].get_ydata())
    assert [math.isnan(x) for x in raw] == [False, False, True, True, False]
    assert figure.axes[3].texts[0].get_text() == "not measured"
    assert figure.axes[4].get_yscale() == "linear"  # a logarithmic axis would hide the zeros
    assert figure._repr_png_().startswith(b"\x89PNG")
    for draw in (plots.training_curves, plots.loss_curve):
        with pytest.raises(ValueError, match="no step to draw"):
            draw([])


def test_a_run_is_watched():
    panels = {"share": {"accuracy": "right", "format": "in form"}, "tokens": {"length": "mean"}}
    figure = plots.watch(metrics(4), panels, "R1-Zero", "step 4 of 20")
    share, tokens = figure.axes
    assert lines(share)["right"] == ([0, 1, 2, 3], [i / 40 for i in range(4)])  # too few to smooth
    assert list(lines(share)) == ["right", "in form"] and share.get_title() == "share"
    assert list(tokens.lines[0].get_ydata()) == [50.0, 51.0, 52.0, 53.0]
    assert (figure.get_suptitle(), figure.get_supxlabel()) == ("R1-Zero", "step 4 of 20")
    for rows, chosen, message in (([], panels, "no step"), (metrics(2), {}, "no panel")):
        with pytest.raises(ValueError, match=message):
            plots.watch(rows, chosen)


def test_loss_curve():
    rows = [
        {"step": i, "loss": 4.0 - i} | ({"val_loss": 4.5 - i} if i % 2 else {}) for i in range(4)
    ]
    figure = plots.loss_curve(rows, title="Base", run="base", seed=1)
    (axes,) = figure.axes
    assert lines(axes) == {
        "training": ([0, 1, 2, 3], [4.0, 3.0, 2.0, 1.0]),
        "held-out": ([1, 3], [3.5, 1.5]),
    }
    assert figure.get_supxlabel() == "run base, seed 1, points: steps"


def test_curves_over_seeds():
    runs = {"GRPO": [metrics(20), metrics(20, 0.2), metrics(15, 0.1)], "control": [metrics(5)]}
    figure = plots.curves_over_seeds(runs, run="demo", title="Accuracy")
    (axes,) = figure.axes
    steps, values = lines(axes)["GRPO (3 seeds)"]
    assert steps == list(range(15))  # where all seeds have a value
    assert values[10] == pytest.approx(0.25 + 0.1)
    band = axes.collections[0].get_paths()[0].vertices
    at_ten = sorted(y for x, y in band if x == 10)
    assert (at_ten[0], at_ten[-1]) == pytest.approx((0.25, 0.45))
    assert "lowest to highest" in figure.get_supxlabel() and "demo" in figure.get_supxlabel()
    with pytest.raises(ValueError, match="'x': no step"):
        plots.curves_over_seeds({"x": [metrics(3), [{"step": 7, "accuracy": 0.1}]]})
    with pytest.raises(ValueError, match="no runs"):
        plots.curves_over_seeds({})


def test_names_stand_as_given_and_numbers_in_order():
    (axes,) = plots.bars({"": {"share": {"base": 0.1, "R1": 0.3, "Dev1": 0.2}}}).axes
    assert [t.get_text() for t in axes.get_xticklabels()] == ["base", "R1", "Dev1"]
    assert axes.get_legend() is None  # nothing to tell apart
    names = ("wrong", "form", "mixed language", "long paragraphs", "code blocks", "kept")
    (axes,) = plots.bars({"": {"answers": dict.fromkeys(names, 1)}}).axes
    assert axes.get_xticklabels()[3].get_text() == "long\nparagraphs"  # or it meets its neighbour
    (axes,) = plots.bars({"": {"a": {3: 0.1, 1: 0.3}, "b": {2: 0.2}}}).axes
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "2", "3"]


def test_bars_by_level():
    series = {
        "base": {1: 0.5, 2: 0.25},
        "R1-Zero": {2: measure.Interval(0.75, 0.5, 0.9, 10), 5: 0.1},
    }
    figure = plots.bars_by_level(series, title="By level", caption="seed 0")
    (axes,) = figure.axes
    bars = [patch for container in axes.containers for patch in getattr(container, "patches", [])]
    centres = {(round(b.get_x() + b.get_width() / 2, 3), b.get_height()) for b in bars}
    assert centres == {(-0.2, 0.5), (0.8, 0.25), (1.2, 0.75), (2.2, 0.1)}
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "2", "5"]
    (errors,) = [c for c in axes.containers if not hasattr(c, "patches")]
    segment = errors.lines[2][0].get_segments()[0]
    assert [y for _, y in segment] == pytest.approx([0.5, 0.9])
    assert {b.get_hatch() for b in bars} == {"", "///"}
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["base", "R1-Zero"]
    with pytest.raises(ValueError, match="no bars"):
        plots.bars_by_level({"base": {}})


def test_bars_in_panels():
    panels = {
        "share": {"base": {"direct": 0.5, "step": 0.5}, "R1-Zero": {"step": 1.0}},
        "right": {"base": {"step": 0.75}},
    }
    figure = plots.bars(panels, "style", "share of answers", "seed 0")
    share, right = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["share", "right"]
    assert [b.get_height() for b in share.patches] == [0.5, 0.5, 1.0]
    centres = [round(b.get_x() + b.get_width() / 2, 3) for b in share.patches]
    assert centres == [-0.2, 0.8, 1.2]
    assert [t.get_text() for t in right.get_xticklabels()] == ["step"]
    assert (share.get_xlabel(), right.get_ylabel()) == ("style", "share of answers")
    assert figure.get_supxlabel() == "seed 0"
    for empty in ({}, {"share": {"base": {}}}, {**panels, "none": {}}):
        with pytest.raises(ValueError, match="no bars"):
            plots.bars(empty)


def test_figures_write_chinese(recwarn, caplog):
    words = "".join(token for token in vocab.VOCAB if not token.startswith("<"))
    chart = plots.bars({"等等，不对": {"wait": {"验证": 1.0}}}, "试 24", "全部", words)
    chart.suptitle("中文", fontweight="bold")
    pixels = chart._repr_png_()
    assert pixels.startswith(b"\x89PNG")
    missing = [str(w.message) for w in recwarn if "missing from" in str(w.message)]
    assert not missing and not [r for r in caplog.records if "findfont" in r.message]
    families = {tuple(t.get_fontfamily()) for t in chart.findobj(Text) if t.get_text()}
    assert families and all(f[-1] == plots.HAN for f in families)


def test_a_character_that_no_font_holds_is_noticed(recwarn):
    plots.bars({"\U0002f9d4": {"a": {"b": 1.0}}}, "x", "y")._repr_png_()
    assert any("missing from" in str(w.message) for w in recwarn)


def test_what_was_not_measured_is_no_part_of_an_average():
    assert plots.smooth([1.0, None, 3.0, math.nan], 3) == [1.0, 2.0, 3.0, 3.0]
    assert math.isnan(plots.smooth([None], 3)[0])
