"""How can a reader touch it? Views in ipywidgets over figures of the plots rooms.

The state is in Python and the figure is drawn from it; a static figure stands before each widget
in the notebooks. What has to compute (advantages, samples) comes in as a function of plain values.
Left out: how figures are drawn (`plots.py`, `plots_group.py`), how the values were made.
"""

import html
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from html import escape

import ipywidgets

from r1book import plots_group, viewer


@cache
def _style() -> str:
    """CSS by which any machine can show the Chinese words of this world."""
    rules = ".r1book, .r1book select, .r1book input, .r1book textarea, .r1book .widget-html-content"
    return (
        f"<style>{viewer.font_face()}\n{rules} "
        "{ font-family: var(--jp-ui-font-family, sans-serif), 'r1book CJK' !important; }\n"
        ".r1book pre { font-family: var(--jp-code-font-family, monospace), 'r1book CJK' "
        "!important; }</style>"
    )


def framed(box: ipywidgets.Box) -> ipywidgets.Box:
    """Give a view the font of the book, at its end; return it. Taught in notebook 00."""
    style = ipywidgets.HTML(_style(), layout={"display": "none"})
    box.children = (*box.children, style)
    box.add_class("r1book")
    return box


def group_microscope(
    answers: Sequence[Sequence[str]],
    rewards: Sequence[float],
    ways: Mapping[str, Callable[[list[float]], Sequence[float]]],
    *,
    highest: float = 2.0,
    step: float = 0.5,
) -> ipywidgets.VBox:
    """Sliders for the rewards of siblings; moving one redraws every token of the whole group.

    answers: the tokens of each sibling. rewards: where the sliders start, within 0 … highest, at
    multiples of step. ways: {name: rewards in, one value an answer out}, the reader's choice. The
    numbers also stand as text below, for readers who do not see the picture. Raises ValueError for
    no way, rewards outside the sliders, or another number of rewards than answers.

    Taught in notebook 02.
    """
    if not ways or len(answers) != len(rewards) or not answers:
        given = f"{len(answers)} answers, {len(rewards)} rewards, {len(ways)} ways"
        raise ValueError(f"got {given}; expected one reward an answer, and at least one way")
    if not all(0 <= r <= highest for r in rewards):
        raise ValueError(f"rewards {list(rewards)}: expected values from 0 to {highest}")
    sliders = [
        ipywidgets.FloatSlider(
            value=reward, min=0.0, max=highest, step=step, description=f"answer {i}",
            readout_format=".1f", layout={"width": "22em"},
        )
        for i, reward in enumerate(rewards, 1)
    ]  # fmt: skip
    way = ipywidgets.Dropdown(options=list(ways), description="colour by", layout={"width": "32em"})
    picture = ipywidgets.Image(format="png", layout={"height": "420px", "object_fit": "contain"})
    said = ipywidgets.HTML(layout={"height": "2em"})

    def redraw(_=None) -> None:
        now = [slider.value for slider in sliders]
        values = [float(x) for x in ways[way.value](now)]
        picture.value = plots_group.group(answers, now, values, way.value)._repr_png_()
        said.value = "; ".join(f"answer {i}: {x:+.3g}" for i, x in enumerate(values, 1))

    for control in (*sliders, way):
        control.observe(redraw, names="value")
    redraw()
    pairs = [ipywidgets.HBox(sliders[i : i + 2]) for i in range(0, len(sliders), 2)]
    return framed(ipywidgets.VBox([*pairs, way, picture, said]))


def token_budget(
    texts: Mapping[int, Sequence[str]],
    right: Mapping[int, Sequence[bool | None]],
    draw: Callable[[int], object],
    *,
    lang: str = "en",
    start: int | None = None,
) -> ipywidgets.VBox:
    """A slider over token budgets: the same thought under each, and the share of right answers.

    texts, right: {budget: one entry a thought}, the same thought at the same place. draw: a budget
    in, the figure that marks it out. lang: of the question; words of the other one are underlined.
    Raises ValueError for no budget, or lists of different lengths.

    Taught in notebook 00.
    """
    sizes = {len(each) for table in (texts, right) for each in table.values()}
    if not texts or texts.keys() != right.keys() or len(sizes) != 1 or 0 in sizes:
        raise ValueError("expected {budget: one text a thought} and verdicts of the same shape")
    budgets = sorted(texts)
    wide, slow = {"width": "36em"}, {"continuous_update": False, "layout": {"width": "36em"}}
    tokens = ipywidgets.SelectionSlider(
        options=budgets, value=budgets[0] if start is None else start, description="tokens", **slow
    )
    which = ipywidgets.IntSlider(value=1, min=1, max=sizes.pop(), description="thought", **slow)
    said = ipywidgets.HTML(layout={"height": "2em"})
    shown = ipywidgets.HTML(layout={"height": "180px", "overflow": "auto", **wide})
    picture = ipywidgets.Image(format="png", layout={"height": "320px", "object_fit": "contain"})

    def redraw(_=None) -> None:
        budget, place = tokens.value, which.value - 1
        verdicts = [v for v in right[budget] if v is not None]
        verdict = {True: "✓ right", False: "✗ wrong", None: "no rule can judge"}
        said.value = (
            f"{budget} tokens: {sum(verdicts)} of {len(verdicts)} thoughts end right; "
            f"thought {which.value}: {verdict[right[budget][place]]}"
        )
        shown.value = marked(texts[budget][place], lang)

    def repaint(_=None) -> None:
        picture.value = draw(tokens.value)._repr_png_()
        redraw()

    tokens.observe(repaint, names="value")
    which.observe(redraw, names="value")
    repaint()
    return framed(ipywidgets.VBox([tokens, which, said, shown, picture]))


def bet(offers: Mapping[str, Mapping[str, float]], *, most: int = 10) -> ipywidgets.VBox:
    """Stakes on comparisons that were measured: hidden until the button closes all of them.

    offers: {question: {one side: its share right, the other: its share}}. A chip on a side wins the
    points (100 times the share) by which that side leads, and loses them where it trails; most:
    chips that a question takes. Raises ValueError for no question, one that has not two sides, or a
    share outside 0 … 1.

    Taught in notebook 08.
    """
    if not offers:
        raise ValueError("nothing to bet on: give {question: {side: share right}}")
    for question, sides in offers.items():
        if len(sides) != 2 or not all(0 <= share <= 1 for share in sides.values()):
            raise ValueError(f"{question}: got {dict(sides)}; expected two sides, shares in 0 … 1")
    sliders, rows = {}, []
    height = {"height": f"{30 * (len(offers) + 1)}px", "overflow": "auto"}
    said = ipywidgets.HTML(layout=height)
    for question, (left, right) in offers.items():
        sliders[question] = ipywidgets.IntSlider(
            min=-most, max=most, readout=False, layout={"width": "24em"}
        )
        label = ipywidgets.HTML(escape(question), layout={"width": "26em"})
        ends = [ipywidgets.HTML(escape(side)) for side in (left, right)]
        rows.append(ipywidgets.HBox([label, ends[0], sliders[question], ends[1]]))

    def staked(question: str) -> tuple[int, str, str]:
        (left, right), chips = offers[question], sliders[question].value
        return (abs(chips), left, right) if chips < 0 else (chips, right, left)

    def told(_=None) -> None:
        each = [staked(question) for question in offers]
        chips = [f"{count} on {side}" if count else "none" for count, side, _ in each]
        said.value = escape("Chips: " + "; ".join(chips))

    def reveal(_) -> None:
        lines, total = [], 0.0
        for question, shares in offers.items():
            chips, mine, other = staked(question)
            won = 100 * chips * (shares[mine] - shares[other])
            total += won
            sides = ", ".join(f"{side} {share:.3f}" for side, share in shares.items())
            stake = f"{chips} on {mine}: {won:+.0f}" if chips else "no chips: 0"
            lines.append(f"{question}: {sides}; {stake}")
        lines.append(f"In all {total:+.0f}.")
        said.value = "<br>".join(map(escape, lines))
        for control in (*sliders.values(), button):
            control.disabled = True

    button = ipywidgets.Button(description="Bets are closed: reveal", layout={"width": "16em"})
    button.on_click(reveal)
    for slider in sliders.values():
        slider.observe(told, names="value")
    told()
    return framed(ipywidgets.VBox([*rows, button, said]))


_LOOK = {
    "t": "font-style: italic",
    "a": "font-weight: bold; border-bottom: 2px solid",
    "g": "font-size: 0.8em; border: 1px solid; border-radius: 3px; padding: 0 0.2em",
    "o": "",
    "r": "background: #f0e442; color: #000; outline: 1px solid #000",
    "l": "text-decoration: underline wavy #d55e00",
}
"""As in the pages of `viewer.py`: thinking, answer, tag, outside, reflection, other language."""


def marked(text: str, lang: str) -> str:
    """Return a completion as HTML with its parts marked; the text itself cannot add any.

    Taught in notebook 00.
    """
    pieces = (
        f'<span style="{"; ".join(_LOOK[m] for m in marks)}">{escape(viewer.visible(piece))}</span>'
        for marks, piece in viewer.segments(text, lang)
    )
    look = "white-space: pre-wrap; line-height: 1.6; overflow-wrap: anywhere; unicode-bidi: isolate"
    return f'<div style="{look}">{"".join(pieces)}</div>'


def reward_playground(
    texts: Mapping[str, str],
    judge: Callable[[str], Sequence[tuple[str, float | None, str]]],
) -> ipywidgets.VBox:
    """A text to edit, and what every grader says about it and why.

    texts: {name: a text to start from}, choosing one replaces what was edited. judge: a text in,
    (grader, verdict, why) of each grader out; verdict None is "cannot judge". The verdicts stand as
    text. Raises ValueError for no text.

    Taught in notebook 01.
    """
    if not texts:
        raise ValueError("got no text; give {name: a text to start from}")
    start = ipywidgets.Dropdown(options=list(texts), description="start from")
    area = ipywidgets.Textarea(layout={"width": "auto", "height": "6em"})
    table = ipywidgets.HTML(layout={"height": "8em", "overflow": "auto"})

    def judged(_=None) -> None:
        rows = []
        for name, value, why in judge(area.value):
            said = "cannot judge" if value is None else f"{value:.4g}"
            cells = (f"<td>{html.escape(x)}</td>" for x in (name, said, why))
            rows.append(f"<tr>{''.join(cells)}</tr>")
        head = "<tr><th>grader</th><th>reward</th><th>why</th></tr>"
        table.value = f"<table>{head}{''.join(rows)}</table>"

    def begin(_=None) -> None:
        area.value = texts[start.value]

    area.observe(judged, names="value")
    start.observe(begin, names="value")
    begin()
    judged()  # an empty text is what the area started with: nothing was observed
    return framed(ipywidgets.VBox([start, area, table]))
