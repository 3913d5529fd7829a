"""How does the chance of success run along a thought, drawn? Value curves and interventions.

Left out: how the values were made (`fork.py`), interaction (`widgets_fork.py`).
"""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from r1book.intervals import Interval
from r1book.plots import COLOURS, DASHES, MARKERS, chart


def value_curve(
    curves: Mapping[str, Mapping[int, Interval]],
    title: str = "",
    caption: str = "",
    marked: int | None = None,
    words: Mapping[int, str] | None = None,
) -> Figure:
    """P(right | prefix) against the place of the cut, one line a thought, in its interval.

    curves: {name: {place in tokens: value}}. marked: a place to point out. words: {place: a word
    that stands there}, written at the top. Raises ValueError for nothing to draw. Taught in
    notebook 03.
    """
    if not curves or not all(curves.values()):
        raise ValueError("no curve to draw: give {name: {place: value}}, see fork.value_curve")
    figure = chart(9, 4, caption)
    axes = figure.subplots()
    for i, (name, curve) in enumerate(curves.items()):
        places = sorted(curve)
        means = [curve[place].mean for place in places]
        look = {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)]}
        axes.plot(places, means, marker=MARKERS[i % len(MARKERS)], label=name, **look)
        axes.fill_between(
            places, [curve[p].low for p in places], [curve[p].high for p in places],
            color=look["color"], alpha=0.15,
        )  # fmt: skip
    if marked is not None:
        axes.axvline(marked, color="black", linestyle=":", linewidth=2)
        axes.annotate("here", (marked, 0.02), xytext=(4, 0), textcoords="offset points")
    for place, word in (words or {}).items():
        axes.annotate(
            word, (place, 1.0), rotation=90, ha="center", va="top", fontsize="small", alpha=0.8
        )
    axes.set(title=title, xlabel="tokens that are kept", ylabel="share right when it goes on")
    axes.set_ylim(-0.03, 1.03)
    axes.grid(alpha=0.3)
    axes.legend(loc="best")
    return figure


def interventions(
    found: Mapping[str, Interval], title: str = "", caption: str = "", order: Sequence[str] = ()
) -> Figure:
    """What each way to go on is worth: points with intervals, one a way.

    order: names from top to bottom, by default that of found. Raises ValueError for nothing to
    draw. Taught in notebook 03.
    """
    names = list(order or found)
    if not names:
        raise ValueError("no way to draw: give {way: value}, see fork.intervene")
    figure = chart(8, 1.2 + 0.5 * len(names), caption)
    axes = figure.subplots()
    for i, name in enumerate(names):
        value = found[name]
        axes.errorbar(
            value.mean, i, xerr=[[value.mean - value.low], [value.high - value.mean]], capsize=4,
            color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)],
        )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(title=title, xlabel="share right", xlim=(-0.03, 1.03))
    axes.grid(axis="x", alpha=0.3)
    return figure
