"""Do the views of traces filter, order, page and compare, whatever the traces hold?"""

import doctest
import html

import pytest

pytest.importorskip("ipywidgets")
from test_trace import make
from test_viewer import HOSTILE

from r1book import measure, plots, viewer, widgets_traces
from r1book.widgets_traces import Inspector


def trace(i: int = 0, text: str = "<think> 1 + 1 = 2 </think> <answer> 2 </answer>", **more):
    problem = {
        "id": f"p{i}", "family": ("math", "logic")[i % 2], "level": 1 + i % 5,
        "lang": ("en", "zh")[i % 2], "question": f"question {i}", "answer": "2",
    } | more.pop("problem", {})  # fmt: skip
    given = {
        "step": i // 10, "group": i % 10, "index": i, "problem": problem, "completion": text,
        "tokens": 5 + i, "finish": "stop", "parts": {"accuracy": float(i % 3 == 0)},
        "advantage": (-1) ** i * i / 10,
    }  # fmt: skip
    return make(**{**given, **more})


TRACES = [trace(i) for i in range(40)]


def test_examples():
    assert doctest.testmod(widgets_traces).failed == 0


# ---- inspector -----------------------------------------------------------------------------------


def test_the_first_trace_is_open_and_a_page_is_listed():
    view = Inspector(TRACES, page=12)
    assert view.shown == TRACES[0] and view.found == TRACES
    assert len(view.list.options) == 12 and view.number.max == 4
    assert "40 of 40" in view.count.value and "question 0" in view.text.value
    assert view.back.disabled and not view.on.disabled


def test_filters_are_joined_and_undone():
    view = Inspector(TRACES)
    view.filters["outcome"].value = "right"
    assert view.found == [t for t in TRACES if measure.outcome(t) == "right"]
    view.filters["family"].value = "logic"
    assert view.found == [t for t in TRACES if t.index % 3 == 0 and t.index % 2]
    view.search.value = "QUESTION 9"
    assert [t.index for t in view.found] == [9] and view.shown.index == 9
    view.search.value = "nowhere"
    assert view.found == [] and view.shown is None and "No trace passes" in view.text.value
    assert view.back.disabled and view.on.disabled and len(view.list.options) == 0
    view.search.value = ""
    for box in view.filters.values():
        box.value = "all"
    assert view.found == TRACES and view.shown == TRACES[0]


def test_levels_and_steps_stand_in_the_order_of_numbers():
    many = [trace(i, step=i) for i in range(12)]
    assert Inspector(many).filters["step"].options == ("all", *map(str, range(12)))


@pytest.mark.parametrize("order", list(widgets_traces.ORDERS))
def test_orders(order):
    view = Inspector(TRACES)
    view.order.value = order
    assert view.found == sorted(TRACES, key=widgets_traces.ORDERS[order])
    assert view.shown == view.found[0]


def test_words_of_reflection_can_be_asked_for():
    texts = ["<think> wait, no </think>", "<think> ok </think> wait", "<think> 不对 </think>"]
    view = Inspector([trace(i, text) for i, text in enumerate(texts)])
    view.words.value = "with one"
    assert [t.index for t in view.found] == [0, 2]  # in the thinking only
    view.words.value = "without"
    assert [t.index for t in view.found] == [1]


def test_pages_are_turned_and_end_where_traces_end():
    view = Inspector(TRACES, page=12)
    view.on.click()
    assert view.number.value == 2 and view.shown == TRACES[12]
    view.number.value = 4
    assert len(view.list.options) == 4 and view.on.disabled
    view.on.click()
    assert view.number.value == 4
    view.back.click()
    assert view.shown == TRACES[24]
    view.list.index = 3
    assert view.shown == TRACES[27] and "question 27" in view.text.value
    view.filters["outcome"].value = "wrong"
    assert view.number.value == 1  # never on a page that is not there


def test_text_that_a_model_wrote_is_text():
    for text in (*HOSTILE, "x" * 100_000, "<think> 😀 " * 50):
        view = Inspector([trace(0, text, problem={"question": text, "answer": text})])
        shown = view.text.value
        for tag in ("<script", "<img", "<style"):
            assert tag not in shown.lower()
        for piece in viewer.visible(text).split():
            assert html.escape(piece) in shown.replace("</span>", "") or "<" in text
        assert "\x1b" not in shown and "\u202e" not in shown
        assert "\u202e" not in view.list.options[0][0]


def test_of_many_traces_only_those_are_drawn_that_are_read(monkeypatch):
    drawn, detail = [], widgets_traces.detail
    monkeypatch.setattr(widgets_traces, "detail", lambda t: drawn.append(t.index) or detail(t))
    view = Inspector([trace(i) for i in range(10_000)])
    view.on.click()
    assert drawn == [0, widgets_traces.PAGE]
    assert len(view.list.options) == widgets_traces.PAGE


def test_no_traces_are_refused():
    with pytest.raises(ValueError, match="no traces"):
        Inspector([])


# ---- explorers -----------------------------------------------------------------------------------


def test_lengths_are_those_of_the_measure_by_what_is_chosen():
    groups = {"base": TRACES[:20], "R1-Zero": TRACES[20:]}
    by, what, picture, said = _parts(widgets_traces.length_explorer(groups))
    for label in by.options:
        by.value = label
        for value in what.options:
            what.value = value
            for name, traces in groups.items():
                for key, row in measure.lengths(traces, widgets_traces.LABELS[label]).items():
                    assert f"{key} {row[value]:.3g}" in html.unescape(said.value), name
    want = plots.bars(
        {f"Length of answers by {by.value}": {
            name: {k: row[what.value] for k, row in measure.lengths(
                traces, widgets_traces.LABELS[by.value]).items()}
            for name, traces in groups.items()
        }}, by.value, "n, answers",
    )  # fmt: skip
    assert bytes(picture.value) == want._repr_png_()


def test_languages_are_those_of_the_measure_and_the_most_mixed_comes_first():
    texts = ["<think> so it is 3 </think>", "<think> so 是 it 是 3 </think>", "<think> 3 </think>"]
    groups = {"base": [trace(2 * i, text) for i, text in enumerate(texts)]}
    view = widgets_traces.language_explorer(groups)
    inner, (who, rank), text = view.children[0], view.children[1].children, view.children[2]
    _, what, _, said = _parts(inner)
    assert "base: en 0.75" in said.value  # (1 + 2/4) / 2; the third has no words
    assert "question 2" in text.value and who.value == "base"
    rank.value = 2
    assert "question 0" in text.value
    what.value = "changes of language an answer"
    assert "base: en 1<" in said.value  # 0, 3 and 0


def test_explorers_refuse_nothing():
    for view in (widgets_traces.length_explorer, widgets_traces.language_explorer):
        for nothing in ({}, {"base": []}):
            with pytest.raises(ValueError, match="at least one trace"):
                view(nothing)


# ---- comparers -----------------------------------------------------------------------------------


def test_the_time_slider_shows_the_answers_of_its_step():
    view = widgets_traces.time_slider({0: TRACES[:3], 40: TRACES[3:8]})
    (step, which), ((head, text),) = _columns(view)
    assert step.options == (0, 40) and which.max == 3
    assert "1 of 3 right" in head.value and "question 0" in text.value
    step.value = 40
    assert "2 of 5 right" in head.value and "question 3" in text.value
    which.value = 2
    assert "question 4" in text.value


def test_the_stage_comparer_holds_two_checkpoints_side_by_side():
    stages = {"base": TRACES[:3], "R1-Zero": TRACES[3:6], "R1": TRACES[6:9]}
    view = widgets_traces.stage_comparer(stages)
    (left, _, which), ((first, a), (second, b)) = _columns(view)
    assert "base" in first.value and "R1</b>" in second.value
    assert "question 0" in a.value and "question 6" in b.value
    left.value = "R1-Zero"
    which.value = 3
    assert "question 5" in a.value and "question 8" in b.value
    with pytest.raises(ValueError, match="two checkpoints"):
        widgets_traces.stage_comparer({"base": TRACES[:3]})


# ---- completions from elsewhere ------------------------------------------------------------------


def test_foreign_completions_become_traces_of_every_view():
    found = widgets_traces.foreign(["<think> a </think>", "b"], "why?", "en", [True, None])
    assert [measure.outcome(t) for t in found] == ["right", "unjudged"]
    assert Inspector(found).shown.completion == "<think> a </think>"
    widgets_traces.length_explorer({"theirs": found})
    with pytest.raises(ValueError, match="2 completions and 1 verdicts"):
        widgets_traces.foreign(["a", "b"], right=[True])


def _parts(view):
    controls, picture, said, *_ = view.children
    return (*controls.children, picture, said)


def _columns(view):
    controls, columns, _ = view.children
    return controls.children, [column.children for column in columns.children]
