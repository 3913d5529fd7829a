"""How can many traces be touched? An inspector, explorers of length and language, comparers.

Each is a view over functions of the measures and plots rooms; the state is in Python and a static
figure or text stands before it in the notebooks. Traces come from any file of ours
(`trace.read_traces`); completions from elsewhere become traces with `foreign`. Model text is shown
as text, whatever it holds. Left out: sampling (`widgets_fork.py`), drawing (`plots.py`).
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

import ipywidgets

from r1book import measure, plots, viewer
from r1book.trace import Trace
from r1book.widgets import framed, marked
from r1book.words import REFLECTION_PATTERN

PAGE = 12
"""Traces listed at once."""
ALL = "all"
SIGNS = {"right": "✓", "wrong": "✗", "unjudged": "?"}
WIDE = {"width": "auto", "max_width": "64em"}


def foreign(
    completions: Iterable[str],
    question: str = "",
    lang: str = "en",
    right: Sequence[bool | None] | None = None,
) -> list[Trace]:
    """Return completions of any model as traces that the widgets and measures take.

    One group of step 0; tokens are counted as words and signs between blanks, because the tokenizer
    is not known. right: the verdicts, None where there is none. Raises ValueError for another
    number of verdicts than completions.

    >>> foreign(["<think> 2 </think> <answer> 2 </answer>"], "1 + 1?", right=[True])[0].tokens
    6

    Taught in notebook 03.
    """
    texts = list(completions)
    verdicts = [None] * len(texts) if right is None else list(right)
    if len(verdicts) != len(texts):
        raise ValueError(f"{len(texts)} completions and {len(verdicts)} verdicts: expected as many")
    problem = {"id": "elsewhere", "family": "elsewhere", "level": 1, "lang": lang}
    problem |= {"question": question, "answer": ""}
    return [
        Trace(
            step=0, group=0, index=i, problem=problem, prompt=question, completion=text,
            finish="stop", tokens=len(text.split()),
            parts={} if ok is None else {"accuracy": float(ok)},
            total=None if ok is None else float(ok), advantage=0.0,
        )
        for i, (text, ok) in enumerate(zip(texts, verdicts, strict=True))
    ]  # fmt: skip


def _told(trace: Trace, name: str) -> str:
    return str(trace.problem.get(name, ""))


FIELDS: dict[str, Callable[[Trace], str]] = {
    "step": lambda t: str(t.step),
    "family": lambda t: _told(t, "family"),
    "level": lambda t: _told(t, "level"),
    "language": lambda t: _told(t, "lang"),
    "outcome": measure.outcome,
    "end": lambda t: "cut" if t.finish == "length" else "ended",
}
"""What can be filtered by: label -> value of a trace."""
ORDERS: dict[str, Callable[[Trace], float]] = {
    "as recorded": lambda t: 0.0,
    "longest first": lambda t: -t.tokens,
    "shortest first": lambda t: t.tokens,
    "best advantage first": lambda t: -t.advantage,
    "worst advantage first": lambda t: t.advantage,
}


def _sorted(values: Iterable[str]) -> list[str]:
    return sorted(set(values), key=lambda x: (not x.isdigit(), int(x) if x.isdigit() else 0, x))


def detail(trace: Trace) -> str:
    """Return one trace as HTML: problem, reward parts, and the text with its parts marked."""
    rewards = [(name, value) for name, value in trace.parts.items()]
    rewards += [("in all", trace.total), ("advantage", trace.advantage)]
    cells = "".join(
        f"<td style='padding: 0 1em 0 0'>{escape(viewer.visible(str(name)))} "
        f"<b>{escape(viewer.number(value))}</b></td>"
        for name, value in rewards
    )
    head = (
        f"step {trace.step}, group {trace.group}, answer {trace.index}: "
        f"{SIGNS[measure.outcome(trace)]} {measure.outcome(trace)}, {trace.tokens} tokens"
        f"{', cut at the limit' if trace.finish == 'length' else ''}"
    )
    asked = escape(viewer.visible(_told(trace, "question")))
    answer = escape(viewer.visible(_told(trace, "answer")))
    return (
        f"<p style='margin: 0'><b>{escape(head)}</b></p>"
        f"<p style='margin: 0; overflow-wrap: anywhere'><bdi>{asked}</bdi> (expected: "
        f"<bdi>{answer}</bdi>)</p><table><tr>{cells}</tr></table>"
        f"{marked(trace.completion, _told(trace, 'lang'))}"
    )


class Inspector(ipywidgets.VBox):
    """Traces to filter, order, page and read; `found` are those that pass, `shown` the open one.

    Only a page is ever drawn, so that ten thousand traces open at once. Raises ValueError for no
    traces. Taught in notebook 03.
    """

    def __init__(self, traces: Sequence[Trace], page: int = PAGE):
        if not traces:
            raise ValueError("no traces: give those of trace.read_traces, or of foreign")
        self.traces, self.found, self.shown = list(traces), list(traces), traces[0]
        self.page, self._reflective, self._quiet = page, None, False
        narrow = {"layout": {"width": "13em"}, "style": {"description_width": "5em"}}
        self.filters = {
            name: ipywidgets.Dropdown(
                options=[ALL, *_sorted(map(value, traces))], description=name, **narrow
            )
            for name, value in FIELDS.items()
        }
        self.words = ipywidgets.Dropdown(
            options=[ALL, "with one", "without"], description="reflection", **narrow
        )
        self.search = ipywidgets.Text(description="text", continuous_update=False, **narrow)
        self.order = ipywidgets.Dropdown(
            options=list(ORDERS), description="order", layout={"width": "20em"}
        )
        self.back = ipywidgets.Button(description="◀ page", layout={"width": "6em"})
        self.on = ipywidgets.Button(description="page ▶", layout={"width": "6em"})
        self.number = ipywidgets.BoundedIntText(
            value=1, min=1, max=1, description="page", layout={"width": "12em"}
        )
        self.count = ipywidgets.HTML(layout={"width": "18em"})
        self.list = ipywidgets.Select(rows=page, layout={**WIDE, "height": f"{1.5 * page}em"})
        self.text = ipywidgets.HTML(layout={**WIDE, "height": "300px", "overflow": "auto"})
        for control in (*self.filters.values(), self.words, self.search, self.order):
            control.observe(self._filter, names="value")
        self.number.observe(self._list, names="value")
        self.list.observe(self._show, names="value")
        self.back.on_click(lambda _: self._turn(-1))
        self.on.on_click(lambda _: self._turn(1))
        self._filter()
        wrap = {"layout": {"flex_flow": "row wrap"}}
        super().__init__(
            [
                ipywidgets.HBox([*self.filters.values(), self.words, self.search], **wrap),
                ipywidgets.HBox([self.order, self.back, self.number, self.on, self.count], **wrap),
                self.list,
                self.text,
            ]
        )
        framed(self)

    def _reflects(self, i: int) -> bool:
        if self._reflective is None:  # only when it is asked for: it reads every text
            self._reflective = [
                bool(REFLECTION_PATTERN.search(measure.think(t.completion))) for t in self.traces
            ]
        return self._reflective[i]

    def _filter(self, _=None) -> None:
        wanted = [
            (FIELDS[name], box.value) for name, box in self.filters.items() if box.value != ALL
        ]
        words, with_one = self.search.value.lower(), self.words.value
        found = [
            t
            for i, t in enumerate(self.traces)
            if all(value(t) == x for value, x in wanted)
            and (not words or words in f"{t.completion}\n{_told(t, 'question')}".lower())
            and (with_one == ALL or self._reflects(i) == (with_one == "with one"))
        ]
        self.found = sorted(found, key=ORDERS[self.order.value])
        pages = max(1, -(-len(self.found) // self.page))
        self._quiet = True  # one redraw, not three
        self.number.max = pages
        self.number.value = 1
        self._quiet = False
        self._list()

    def _list(self, _=None) -> None:
        if self._quiet:
            return
        start = (self.number.value - 1) * self.page
        rows = self.found[start : start + self.page]
        self.count.value = (
            f"{len(self.found)} of {len(self.traces)} traces, {self.number.max} pages"
        )
        self.back.disabled, self.on.disabled = start == 0, self.number.value == self.number.max
        self._quiet = True
        self.list.options = [(_label(t), start + i) for i, t in enumerate(rows)]
        self.list.index = 0 if rows else None
        self._quiet = False
        self._show()

    def _show(self, _=None) -> None:
        if self._quiet:
            return
        self.shown = None if self.list.value is None else self.found[self.list.value]
        nothing = "<p>No trace passes these filters: choose “all” in one of them.</p>"
        self.text.value = nothing if self.shown is None else detail(self.shown)

    def _turn(self, by: int) -> None:
        self.number.value = min(max(1, self.number.value + by), self.number.max)


def _label(trace: Trace) -> str:
    question = viewer.visible(_told(trace, "question"))
    return (
        f"{SIGNS[measure.outcome(trace)]} step {trace.step}, {trace.group}/{trace.index}, "
        f"{trace.tokens} tokens, {trace.advantage:+.2f}: {question[:60]}"
    )


def _needed(groups: Mapping[object, Sequence[Trace]]) -> None:
    if not groups or not all(groups.values()):
        raise ValueError("expected {name: traces}, each with at least one trace")


LABELS = {"level": measure.level, "outcome": measure.outcome} | {
    name: FIELDS[name] for name in ("family", "language", "end")
}


def length_explorer(groups: Mapping[str, Sequence[Trace]]) -> ipywidgets.VBox:
    """Length of answers by difficulty, outcome, family, language or end, of several checkpoints.

    groups: {name: traces}. The numbers stand as text below the bars. Raises ValueError for nothing
    to show. Taught in notebook 03.
    """
    _needed(groups)
    by = ipywidgets.Dropdown(options=list(LABELS), description="by")
    what = ipywidgets.Dropdown(
        options=["mean", "median", "max", "truncated", "n"], description="value"
    )

    def drawn() -> tuple[plots.Figure, str]:
        found = {name: measure.lengths(traces, LABELS[by.value]) for name, traces in groups.items()}
        series = {
            name: {label: each[what.value] for label, each in table.items()}
            for name, table in found.items()
        }
        unit = {"truncated": "share cut at the limit", "n": "answers"}.get(what.value, "tokens")
        title = f"Length of answers by {by.value}"
        return plots.bars({title: series}, by.value, f"{what.value}, {unit}"), _lines(series)

    return framed(_view([by, what], drawn))


def language_explorer(groups: Mapping[str, Sequence[Trace]]) -> ipywidgets.VBox:
    """Share of the target language in the thinking, and changes of language, by what you choose;
    below, the answers that mix most.

    groups: {name: traces}. Raises ValueError for nothing to show. Taught in notebook 04.
    """
    _needed(groups)
    by = ipywidgets.Dropdown(options=["language", "level", "family", "outcome"], description="by")
    values = {
        "share of the target language": _share,
        "changes of language an answer": lambda ts: measure.switch_rate(ts)["per_answer"],
        "answers with a change": lambda ts: measure.switch_rate(ts)["share"],
    }
    what = ipywidgets.Dropdown(options=list(values), description="value", layout={"width": "24em"})
    who = ipywidgets.Dropdown(options=list(groups), description="read")
    mixed = {
        name: sorted(traces, key=lambda t: -measure.switches(t.completion))
        for name, traces in groups.items()
    }
    rank = ipywidgets.IntSlider(
        value=1, min=1, max=min(50, min(map(len, groups.values()))), description="rank",
        continuous_update=False,
    )  # fmt: skip
    text = ipywidgets.HTML(layout={**WIDE, "height": "220px", "overflow": "auto"})

    def drawn() -> tuple[plots.Figure, str]:
        label = LABELS[by.value]
        series = {}
        for name, traces in groups.items():
            parts: dict[object, list[Trace]] = {}
            for t in traces:
                parts.setdefault(label(t), []).append(t)
            found = {key: values[what.value](each) for key, each in sorted(parts.items())}
            series[name] = {key: x for key, x in found.items() if x is not None}
        return plots.bars({f"By {by.value}": series}, by.value, what.value), _lines(series)

    def read(_=None) -> None:
        text.value = detail(mixed[who.value][rank.value - 1])

    for control in (who, rank):
        control.observe(read, names="value")
    read()
    view = _view([by, what], drawn)
    return framed(ipywidgets.VBox([view, ipywidgets.HBox([who, rank]), text]))


def _share(traces: Sequence[Trace]) -> float | None:
    shares = [measure.language_share(t.completion, _told(t, "lang")) for t in traces]
    told = [share for share in shares if share is not None]
    return statistics.fmean(told) if told else None


def _lines(series: Mapping[str, Mapping]) -> str:
    return "\n".join(
        f"{name}: " + ", ".join(f"{label} {value:.3g}" for label, value in table.items())
        for name, table in series.items()
    )


def _view(controls: list, drawn: Callable[[], tuple[plots.Figure, str]]) -> ipywidgets.VBox:
    """Controls above a picture and its numbers, redrawn when one of them changes."""
    picture = ipywidgets.Image(format="png", layout={"height": "360px", "object_fit": "contain"})
    said = ipywidgets.HTML(layout={**WIDE, "height": "4em", "overflow": "auto"})

    def redraw(_=None) -> None:
        figure, text = drawn()
        picture.value = figure._repr_png_()
        said.value = f"<pre style='margin: 0; white-space: pre-wrap'>{escape(text)}</pre>"

    for control in controls:
        control.observe(redraw, names="value")
    redraw()
    return ipywidgets.VBox([ipywidgets.HBox(controls), picture, said])


def time_slider(answers: Mapping[int, Sequence[Trace]]) -> ipywidgets.VBox:
    """One problem through training: a slider over steps, one over the answers at that step.

    answers: {step: answers of the checkpoint of that step to the same problem}. Raises ValueError
    for nothing to show. Taught in notebook 03.
    """
    _needed(answers)
    slow = {"continuous_update": False, "layout": {"width": "36em"}}
    step = ipywidgets.SelectionSlider(options=sorted(answers), description="step", **slow)
    most = min(map(len, answers.values()))
    which = ipywidgets.IntSlider(value=1, min=1, max=most, description="answer", **slow)
    return _reader([step, which], lambda: [(f"step {step.value}", answers[step.value])], which)


def stage_comparer(stages: Mapping[str, Sequence[Trace]]) -> ipywidgets.VBox:
    """One problem, two checkpoints side by side, chosen among all.

    stages: {name: answers to the same problem}. Raises ValueError for fewer than two. Taught in
    notebook 06.
    """
    _needed(stages)
    if len(stages) < 2:
        raise ValueError(f"expected two checkpoints or more to compare, got {list(stages)}")
    names = list(stages)
    left = ipywidgets.Dropdown(options=names, value=names[0], description="left")
    right = ipywidgets.Dropdown(options=names, value=names[-1], description="right")
    most = min(map(len, stages.values()))
    which = ipywidgets.IntSlider(
        value=1, min=1, max=most, description="answer", continuous_update=False
    )

    def chosen() -> list[tuple[str, Sequence[Trace]]]:
        return [(box.value, stages[box.value]) for box in (left, right)]

    return _reader([left, right, which], chosen, which)


def _reader(controls: list, chosen: Callable, which) -> ipywidgets.VBox:
    """Controls above one column of text for each (name, traces) that is chosen."""
    count = len(chosen())
    heads = [ipywidgets.HTML() for _ in range(count)]
    texts = [ipywidgets.HTML(layout={"height": "320px", "overflow": "auto"}) for _ in range(count)]

    def redraw(_=None) -> None:
        for head, text, (name, traces) in zip(heads, texts, chosen(), strict=True):
            verdicts = [v for v in map(measure.right, traces) if v is not None]
            tokens = statistics.fmean(t.tokens for t in traces)
            head.value = (
                f"<b>{escape(str(name))}</b>: {sum(verdicts)} of {len(verdicts)} right, "
                f"{tokens:.0f} tokens on average"
            )
            text.value = detail(traces[which.value - 1])

    for control in controls:
        control.observe(redraw, names="value")
    redraw()
    share = {"width": f"{100 // count}%", "min_width": "20em", "max_width": "64em"}
    columns = [
        ipywidgets.VBox([head, text], layout=share) for head, text in zip(heads, texts, strict=True)
    ]
    view = ipywidgets.VBox(
        [
            ipywidgets.HBox(controls, layout={"flex_flow": "row wrap"}),
            ipywidgets.HBox(columns, layout={"flex_flow": "row wrap"}),
        ]
    )
    return framed(view)
