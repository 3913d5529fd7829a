"""Does a predicted probability come true as often as it says? One curve a model.

Leaves out how the points are counted (`preference.measured`).
"""

from collections.abc import Mapping, Sequence

from r1book.plots import COLOURS, MARKERS, Figure, chart


def calibration(
    curves: Mapping[str, Sequence[Sequence[float]]], title: str = "", caption: str = ""
) -> Figure:
    """Draw the share that came true against the predicted probability: {label: [[predicted, share,
    n], ...]}, as `preference.measured` gives it; the area of a point grows with n, and the dashed
    diagonal is a perfect forecast.

    Raises ValueError for nothing to draw. Taught in notebook 07.
    """
    if not curves or not all(curves.values()):
        raise ValueError("nothing to draw: give {label: [[predicted, share, n], ...]} with points")
    figure = chart(6, 5, caption)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], "--", color="black", lw=1, label="as often as predicted")
    most = max(n for points in curves.values() for _, _, n in points)
    for i, (label, points) in enumerate(curves.items()):
        x, y, n = zip(*points, strict=True)
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        axes.plot(x, y, color=colour, lw=1)
        sizes = [20 + 130 * each / most for each in n]
        axes.scatter(x, y, sizes, color=colour, marker=marker, label=label, alpha=0.8)
    axes.set(
        xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), title=title, xlabel="predicted probability",
        ylabel="share that came true",
    )  # fmt: skip
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend(fontsize="small")
    return figure
