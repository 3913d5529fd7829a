"""What does thinking buy, and what training? Shares of right answers against tokens, operations.

Plain values in, a `Figure` out, as in `plots.py`. Left out: how answers are cut (`budget.py`).
"""

import math
from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

from r1book.plots import COLOURS, DASHES, MARKERS, Chart


def shares(
    series: Mapping[str, Mapping[int, object]],
    title: str = "",
    caption: str = "",
    here: int | None = None,
    *,
    xlabel: str = "tokens of thinking allowed",
    ylabel: str = "share right",
    unit: str = "tokens",
    top: float = 1.1,
) -> Figure:
    """One line with 95 % intervals a label: {label: {budget: intervals.Interval}}, the budget in
    tokens, or in other units where `xlabel` and `unit` say so. A number instead of an interval, of
    a single model say, is a point without one.

    here: a budget to mark, with the shares at it written out. top: where the axis of shares ends.
    Raises ValueError for nothing to draw, a marked budget that no line has, or a share above the
    top. Taught in notebook 00.
    """
    if not series or not all(series.values()):
        raise ValueError("nothing to draw: give {label: {budget: interval}} with values")
    budgets = sorted({budget for points in series.values() for budget in points})
    if here is not None and here not in budgets:
        raise ValueError(f"budget {here} to mark: expected one of {budgets}")
    highest = max(_ends(point)[2] for points in series.values() for point in points.values())
    if highest > top:
        raise ValueError(f"top={top}: there are shares up to {highest:.3g}")
    figure = Chart(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for i, (label, points) in enumerate(series.items()):
        said = f"{label}: {_ends(points[here])[0]:.2f}" if here in points else label
        # lines a little apart, so that intervals at the same budget do not hide each other
        _line(axes, points, i, said, apart=1.025 ** (i - (len(series) - 1) / 2))
    if here is not None:
        axes.axvline(here, color="black", linestyle=":", lw=1.5)
        axes.text(here, 1.02, f" {here} {unit}", ha="left", va="bottom", fontsize="small")
    axes.set_xscale("log", base=2)
    axes.set_xticks(budgets, [str(budget) for budget in budgets])
    axes.set(ylim=(-0.03, top), xlabel=xlabel, ylabel=ylabel)
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", fontsize="small")
    if caption:
        figure.supxlabel(caption, fontsize="small")
    return figure


def bought(
    panels: Mapping[str, Mapping[str, Mapping[float, object]]],
    xlabel: str = "operations",
    ylabel: str = "share right",
    caption: str = "",
) -> Figure:
    """What training buys: {title: {label: {cost: number or intervals.Interval}}}, panels two in a
    row, costs on a logarithmic axis. Points of a label are joined, and look alike in all panels;
    labels stand 4 pt apart, so that points at one cost do not hide each other.

    Raises ValueError for nothing to draw, or a cost that is not above 0. Taught in notebook 08.
    """
    lines = [points for series in panels.values() for points in series.values()]
    if not lines or not all(lines) or not all(panels.values()):
        raise ValueError("nothing to draw: give {title: {label: {cost: interval}}} with values")
    costs = [cost for points in lines for cost in points]
    if odd := [cost for cost in costs if not cost > 0]:
        raise ValueError(f"a cost of {odd[0]}: expected more than 0, the axis is logarithmic")
    columns, rows = min(2, len(panels)), math.ceil(len(panels) / 2)
    labels = list(dict.fromkeys(label for series in panels.values() for label in series))
    figure = Chart(figsize=(1 + 4.2 * columns, 1 + 3.2 * rows), layout="constrained")
    top = 1.1 * max(_ends(point)[2] for points in lines for point in points.values())
    grid, keys = figure.subplots(rows, columns, squeeze=False).flat, {}
    for axes, (title, series) in zip(grid, panels.items(), strict=False):
        for label, points in series.items():
            i = labels.index(label)
            keys[label] = _line(axes, points, i, label)
            # points of different labels at the same cost, side by side: 4 pt of the page; moved
            # once they are drawn, as matplotlib finds no limits for data that is moved before
            aside = ScaledTranslation((i - (len(labels) - 1) / 2) / 18, 0, figure.dpi_scale_trans)
            for part in keys[label].get_children():
                part.set_transform(part.get_transform() + aside)
        axes.set(title=title, xlabel=xlabel, ylabel=ylabel, xscale="log", ylim=(0, min(top, 1.1)))
        own = [cost for points in series.values() for cost in points]
        if max(own) < 100 * min(own):  # matplotlib's own labels run into each other
            if len(_ticks(min(own), max(own))) < 2:  # and with one of ours it falls back to them
                middle = math.sqrt(min(own) * max(own))
                axes.set_xlim(middle / math.sqrt(12), middle * math.sqrt(12))
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
            axes.xaxis.set_major_formatter(LogFormatterSciNotation(minor_thresholds=(9, 9)))
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3)
    for axes in grid[len(panels) :]:
        axes.remove()
    figure.legend(keys.values(), keys, loc="outside upper center", ncols=2, fontsize="small")
    if caption:
        figure.supxlabel(caption, fontsize="small")
    return figure


def _ticks(low: float, high: float) -> list[float]:
    """1 and 3 times the powers of ten between two costs."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [t for power in powers for t in (10.0**power, 3 * 10.0**power) if low <= t <= high]


def _line(axes, points: Mapping[float, object], i: int, label: str, apart: float = 1.0):
    x = sorted(points)
    mean, low, high = zip(*(_ends(points[b]) for b in x), strict=True)
    # a mean of equal numbers may lie beside them, by rounding; matplotlib takes no bar below 0
    error = [[max(0.0, m - end) for m, end in zip(mean, low, strict=True)],
             [max(0.0, end - m) for m, end in zip(mean, high, strict=True)]]  # fmt: skip
    look = {"color": COLOURS[i % 7], "linestyle": DASHES[i % 7], "marker": MARKERS[i % 7]}
    return axes.errorbar([b * apart for b in x], mean, yerr=error, capsize=3, label=label, **look)


def _ends(value) -> tuple[float, float, float]:
    """Mean, lower and upper end of an interval; of a number, itself."""
    return (value.mean, value.low, value.high) if hasattr(value, "mean") else (value,) * 3
