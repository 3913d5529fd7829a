"""What does thinking buy, drawn? Share of right answers against the tokens allowed.

Plain values in, a `Figure` out, as in `plots.py`. Left out: how answers are cut (`budget.py`).
"""

from collections.abc import Mapping

from matplotlib.figure import Figure

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
) -> Figure:
    """One line with 95 % intervals a label: {label: {budget: intervals.Interval}}, the budget in
    tokens, or in other units where `xlabel` and `unit` say so.

    here: a budget to mark, with the shares at it written out. Raises ValueError for nothing to
    draw, or a marked budget that no line has. Taught in notebook 00.
    """
    if not series or not all(series.values()):
        raise ValueError("nothing to draw: give {label: {budget: interval}} with values")
    budgets = sorted({budget for points in series.values() for budget in points})
    if here is not None and here not in budgets:
        raise ValueError(f"budget {here} to mark: expected one of {budgets}")
    figure = Chart(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for i, (label, points) in enumerate(series.items()):
        x = sorted(points)
        y = [points[b].mean for b in x]
        error = [
            [points[b].mean - points[b].low for b in x],
            [points[b].high - points[b].mean for b in x],
        ]
        said = f"{label}: {points[here].mean:.2f}" if here in points else label
        look = {"color": COLOURS[i % 7], "linestyle": DASHES[i % 7], "marker": MARKERS[i % 7]}
        # lines a little apart, so that intervals at the same budget do not hide each other
        apart = 1.025 ** (i - (len(series) - 1) / 2)
        axes.errorbar([b * apart for b in x], y, yerr=error, capsize=3, label=said, **look)
    if here is not None:
        axes.axvline(here, color="black", linestyle=":", lw=1.5)
        axes.text(here, 1.02, f" {here} {unit}", ha="left", va="bottom", fontsize="small")
    axes.set_xscale("log", base=2)
    axes.set_xticks(budgets, [str(budget) for budget in budgets])
    axes.set(ylim=(-0.03, 1.1), xlabel=xlabel, ylabel=ylabel)
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", fontsize="small")
    if caption:
        figure.supxlabel(caption, fontsize="small")
    return figure
