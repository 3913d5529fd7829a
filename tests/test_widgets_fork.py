"""Does the view of a thought go on from where it is cut, and show what was found?"""

import pytest

pytest.importorskip("ipywidgets")
from r1book import plots_fork
from r1book.fork import Fork as Result
from r1book.intervals import proportion_ci
from r1book.widgets_fork import Fork

TOKENS = ["<think>", " 3", " +", " 4", " =", " 7", " </think>"]
CURVE = {0: proportion_ci(1, 4), 7: proportion_ci(4, 4)}


class Asked:
    """Answers as a model would, and keeps what it was asked."""

    def __init__(self, right=(True, False, True)):
        self.calls, self.right = [], right

    def __call__(self, place, added, forbidden):
        self.calls.append((place, added, forbidden))
        if "frob" in added:
            raise ValueError("<b>'frob' is</b> not in the vocabulary")
        prefix = f"{''.join(TOKENS[:place])} {added}".strip()
        texts = tuple(f"{prefix} answer {i}" for i in range(len(self.right)))
        return Result(place, prefix, texts, self.right)


def test_a_place_cuts_the_thought_and_moves_the_mark():
    view = Fork(TOKENS, CURVE, Asked())
    before = bytes(view.picture.value)
    view.place.value = 2
    kept, rest = view.kept.value.split("✂")
    assert "3" in kept and "7" not in kept and "7" in rest
    assert bytes(view.picture.value) != before
    want = plots_fork.value_curve({"as it was": CURVE}, "Chance of a right answer", marked=2)
    assert bytes(view.picture.value) == want._repr_png_()


def test_going_on_asks_with_words_and_shows_what_came():
    asked = Asked()
    view = Fork(TOKENS, CURVE, asked)
    view.place.value, view.added.value, view.forbidden.value = 3, " wait, ", "check wait"
    view.go.click()
    assert asked.calls == [(3, "wait,", ["check", "wait"])]
    assert "2 of 3 right, 0.67" in view.said.value and "forbidden: check, wait" in view.said.value
    assert "after 3 tokens, “wait,”" in view.said.value
    assert view.which.max == 3 and "answer 0" in view.text.value and "✓" in view.text.value
    view.which.value = 2
    assert "answer 1" in view.text.value and "✗" in view.text.value
    view.go.click()
    assert len(view.found) == 2 and view.which.value == 1


def test_bad_words_are_told_and_nothing_is_lost():
    view = Fork(TOKENS, {}, Asked())
    view.go.click()
    picture = bytes(view.picture.value)
    view.added.value = "frob"
    view.go.click()
    assert "not sampled" in view.said.value and "&lt;b&gt;" in view.said.value
    assert len(view.found) == 1 and bytes(view.picture.value) == picture
    assert not view.go.disabled


def test_all_of_the_thought_or_nothing_can_be_kept():
    asked = Asked((None, None, True))
    view = Fork(TOKENS, CURVE, asked)
    for place in (0, len(TOKENS)):
        view.place.value = place
        view.go.click()
    assert [call[0] for call in asked.calls] == [0, 7]
    assert "? no rule can judge" in view.text.value


def test_no_tokens_are_refused():
    with pytest.raises(ValueError, match="no tokens"):
        Fork([], {}, Asked())


def test_figures_refuse_nothing_and_draw_what_is_given():
    for nothing in ({}, {"a": {}}):
        with pytest.raises(ValueError, match="no curve"):
            plots_fork.value_curve(nothing)
    with pytest.raises(ValueError, match="no way"):
        plots_fork.interventions({})
    figure = plots_fork.value_curve({"a": CURVE, "b": CURVE}, "t", words={3: "等等"})
    axes = figure.axes[0]
    assert [list(line.get_xdata()) for line in axes.lines] == [[0, 7], [0, 7]]
    assert [round(y, 2) for y in axes.lines[0].get_ydata()] == [0.25, 1.0]
    drawn = plots_fork.interventions({"free": CURVE[0], "forced": CURVE[7]}, "t")
    assert [t.get_text() for t in drawn.axes[0].get_yticklabels()] == ["free", "forced"]
