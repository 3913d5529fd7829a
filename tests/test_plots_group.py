"""Do the figures of one group show the numbers they were given, and not by colour alone?"""

import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from r1book import plots_group

TOKENS = [["try", "7", "*", "2"], ["no"], ["14", "."]]


def patches(figure, hatched):
    return [
        p
        for p in figure.axes[0].patches
        if isinstance(p, Rectangle) and bool(p.get_hatch()) is hatched
    ]


def texts(axes):
    return [t.get_text() for t in axes.texts]


def test_every_token_stands_once_with_its_answer_s_numbers():
    figure = plots_group.group(TOKENS, [2.0, 0.0, None], [1.5, -0.5, 0.0], "a title", "a caption")
    assert isinstance(figure, Figure)
    shown = texts(figure.axes[0])
    words = [word for tokens in TOKENS for word in tokens]
    assert [t for t in shown if t in words] == words
    assert "+1.5" in shown and "\N{MINUS SIGN}0.5" in shown and "0" in shown
    assert "reward 2" in shown and "no verdict" in shown
    assert figure.get_suptitle() == "a title"


def test_the_sign_is_told_without_colour():
    up = plots_group.group(TOKENS, [1.0] * 3, [1.0, 1.0, 1.0])
    down = plots_group.group(TOKENS, [1.0] * 3, [-1.0, -1.0, -1.0])
    none = plots_group.group(TOKENS, [1.0] * 3, [0.0, 0.0, 0.0])
    assert (len(patches(up, True)), len(patches(up, False))) == (0, 14)  # a box and a bar a token
    assert (len(patches(down, True)), len(patches(down, False))) == (7, 7)
    assert len(patches(none, True)) == 0
    assert {p.get_linestyle() for p in patches(none, False)} == {":"}


def test_strength_follows_the_advantage():
    figure = plots_group.group(TOKENS[:2], [1.0, 1.0], [2.0, 1.0])
    alphas = {p.get_alpha() for p in patches(figure, False)} - {None}
    assert alphas == {0.12 + 0.5, 0.12 + 0.25}


def test_long_answers_wrap_and_stay_on_the_page():
    words = [f"w{i:03d}" for i in range(100)]
    axes = plots_group.group([words], [1.0], [1.0]).axes[0]
    places = [t.get_position() for t in axes.texts if t.get_text() in words]
    assert len({round(y, 3) for _, y in places}) == 7  # 5 columns a word: 16 a line
    assert max(x for x, _ in places) < axes.get_xlim()[1]
    assert max(y for _, y in places) < axes.get_ylim()[0]


def test_a_group_must_fit():
    for given in ((TOKENS, [1.0], [1.0]), ([], [], [])):
        with pytest.raises(ValueError, match="expected one reward and one advantage"):
            plots_group.group(*given)


def test_weights_are_scaled_to_the_largest_answer():
    figure = plots_group.weights({"a": [0.5, -0.1], "b": [3.0, -3.0]}, [2, 20], ["short", "long"])
    token, whole = figure.axes
    heights = [round(p.get_height(), 6) for p in token.patches]
    assert heights == [0.25, -0.05, 0.05, -0.05]  # a: largest whole 2.0; b: 60
    assert [round(p.get_height(), 6) for p in whole.patches] == [0.5, -1.0, 0.1, -1.0]
    assert [t.get_text() for t in token.get_legend().get_texts()] == ["a", "b"]
    assert len({p.get_hatch() for p in token.patches}) == 2
    with pytest.raises(ValueError, match="each of 2 answers"):
        plots_group.weights({"a": [1.0]}, [2, 20], ["short", "long"])


def test_curves_draw_what_they_are_given():
    panels = {"left": {"a": [1.0, 2.0], "b": [3.0, 4.0]}, "right": {"a": [5.0, 6.0]}}
    left, right = plots_group.curves([0, 1], panels, "x", "y", log=True).axes
    assert [list(line.get_ydata()) for line in left.lines] == [[1.0, 2.0], [3.0, 4.0]]
    assert left.lines[0].get_linestyle() != left.lines[1].get_linestyle()
    assert left.lines[0].get_marker() != left.lines[1].get_marker()
    assert left.get_legend() and right.get_legend() is None
    assert right.get_title() == "right" and right.get_yscale() == "log"
    for wrong in ({}, {"left": {"a": [1.0]}}):
        with pytest.raises(ValueError, match="with 2 values each"):
            plots_group.curves([0, 1], wrong)
