"""Does a moved slider redraw what it should, from the numbers in Python?"""

import pytest

pytest.importorskip("ipywidgets")
import ipywidgets

from r1book import plots_group, widgets

TOKENS = [["<think>", "7", "*", "2", "</think>"], ["14"]]


def centred(rewards):
    mean = sum(rewards) / len(rewards)
    return [r - mean for r in rewards]


def parts(view):
    """Return the sliders, the drop-down list, the picture and the text of a group microscope."""
    found = {kind: [] for kind in ("FloatSlider", "Dropdown", "Image", "HTML")}

    def walk(widget):
        found.get(type(widget).__name__, []).append(widget)
        for child in getattr(widget, "children", ()):
            walk(child)

    walk(view)
    return found["FloatSlider"], found["Dropdown"][0], found["Image"][0], found["HTML"][0]


def test_one_slider_changes_every_sibling():
    view = widgets.group_microscope(TOKENS, [2.0, 1.0], {"centred": centred})
    assert isinstance(view, ipywidgets.VBox)
    sliders, _, picture, said = parts(view)
    assert said.value == "answer 1: +0.5; answer 2: -0.5"
    before = bytes(picture.value)
    assert before.startswith(b"\x89PNG")
    sliders[1].value = 0.0
    assert said.value == "answer 1: +1; answer 2: -1"
    assert bytes(picture.value) != before
    sliders[0].value = 0.0
    assert said.value == "answer 1: +0; answer 2: +0"


def test_the_picture_is_that_of_the_plots_function():
    view = widgets.group_microscope(TOKENS, [2.0, 1.0], {"centred": centred})
    sliders, _, picture, _ = parts(view)
    sliders[1].value = 0.5
    same = plots_group.group(TOKENS, [2.0, 0.5], [0.75, -0.75], "centred")
    assert bytes(picture.value) == same._repr_png_()


def test_another_way_is_used_at_once_and_the_height_is_fixed():
    ways = {"centred": centred, "plain": lambda rewards: rewards}
    _, way, picture, said = parts(widgets.group_microscope(TOKENS, [2.0, 1.0], ways))
    height = picture.layout.height
    way.value = "plain"
    assert said.value == "answer 1: +2; answer 2: +1" and picture.layout.height == height
    assert height.endswith("px")


@pytest.mark.parametrize(
    ("rewards", "ways", "message"),
    [
        ([1.0], {"centred": centred}, "2 answers, 1 rewards"),
        ([1.0, 1.0], {}, "0 ways"),
        ([1.0, 3.0], {"centred": centred}, "expected values from 0 to 2"),
    ],
)
def test_what_does_not_fit_is_refused(rewards, ways, message):
    with pytest.raises(ValueError, match=message):
        widgets.group_microscope(TOKENS, rewards, ways)


def test_the_playground_judges_every_edit():
    asked = []

    def judge(text):
        asked.append(text)
        return [("accuracy", float(text == "7"), f"<b>{text}</b>"), ("greeting", None, "no rule")]

    view = widgets.reward_playground({"right": "7", "wrong": "8"}, judge)
    start, area, table, _ = view.children
    assert area.value == "7" and "<td>1</td>" in table.value and "cannot judge" in table.value
    assert "&lt;b&gt;7&lt;/b&gt;" in table.value  # the reader's text is text
    start.value = "wrong"
    assert area.value == "8" and "<td>0</td>" in table.value
    area.value = "7"
    assert "<td>1</td>" in table.value and asked[-1] == "7"
    with pytest.raises(ValueError, match="got no text"):
        widgets.reward_playground({}, judge)


def test_the_playground_judges_an_empty_text_too():
    view = widgets.reward_playground({"empty": ""}, lambda text: [("format", 0.0, "no tags")])
    assert "no tags" in view.children[2].value


OFFERS = {"sums": {"RL": 0.2, "copying": 0.25}, "puzzles": {"RL": 0.5, "copying": 0.4}}


def opened(view):
    """Return the sliders, the button and the text of a bet."""
    *rows, button, said, _ = view.children
    return [row.children[2] for row in rows], button, said


def test_a_bet_hides_what_was_measured_until_it_is_closed():
    (sums, puzzles), button, said = opened(widgets.bet(OFFERS))
    assert said.value == "Chips: none; none"
    sums.value, puzzles.value = -3, 10
    assert said.value == "Chips: 3 on RL; 10 on copying"
    button.click()
    lines = said.value.split("<br>")
    assert lines[0] == "sums: RL 0.200, copying 0.250; 3 on RL: -15"
    assert lines[1] == "puzzles: RL 0.500, copying 0.400; 10 on copying: -100"
    assert lines[2] == "In all -115." and sums.disabled and button.disabled


def test_a_bet_on_the_leading_side_wins_and_none_wins_nothing():
    (sums, _), button, said = opened(widgets.bet(OFFERS))
    sums.value = 4
    button.click()
    assert "4 on copying: +20" in said.value and "no chips: 0" in said.value
    assert said.value.endswith("In all +20.")


@pytest.mark.parametrize(
    ("offers", "says"),
    [
        ({}, "nothing to bet on"),
        ({"one": {"RL": 0.2}}, "two sides"),
        ({"odd": {"RL": 20, "copying": 0.3}}, "shares in 0"),
    ],
)
def test_what_cannot_be_bet_on_is_said(offers, says):
    with pytest.raises(ValueError, match=says):
        widgets.bet(offers)
