"""How does a run look? Figures from metrics and from measures of traces.

Every function returns a `Figure` and leaves no global state behind. Colours are told apart by
colour-blind eyes (Okabe and Ito 2008) and are never the only mark: lines differ in dashes and
markers, bars in hatches. Left out: what is measured (`measure.py`), interaction (`widgets.py`).
"""

import io
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.text import Text

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 3)), (0, (1, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "++", "oo")


HAN = "r1book CJK"
"""Font for Chinese characters, which those of matplotlib lack; shipped in data/fonts."""
fontManager.addfont(Path(__file__).resolve().parent.parent / "data" / "fonts" / "r1book-cjk.otf")
fontManager.ttflist.append(replace(fontManager.ttflist[-1], weight=700))  # there is no bold one


class Chart(Figure):
    """A matplotlib Figure that notebooks can show although pyplot was never imported, and that
    can write Chinese."""

    def draw(self, renderer) -> None:
        """Draw the figure; any text may hold characters of both languages."""
        for text in self.findobj(Text):
            families = text.get_fontfamily()
            if HAN not in families:
                text.set_fontfamily([*families, HAN])
        super().draw(renderer)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        FigureCanvasAgg(self).print_png(buffer)
        return buffer.getvalue()


def chart(width: float, height: float, caption: str = "") -> Chart:
    """An empty figure of a size in inches, with a caption below. Taught in notebook 01."""
    figure = Chart(figsize=(width, height), layout="constrained")
    if caption:
        figure.supxlabel(caption, fontsize="small")
    return figure


def smooth(values: Sequence[float | None], window: int) -> list[float]:
    """Centred moving average over `window` values (fewer at the ends); None and NaN are left out.

    >>> smooth([0.0, 3.0, 6.0], 3)
    [1.5, 3.0, 4.5]

    Taught in notebook 01.
    """
    if window < 1:
        raise ValueError(f"a window holds at least one value, got {window}")
    half, out = window // 2, []
    for i in range(len(values)):
        near = values[max(0, i - half) : i + half + 1]
        near = [x for x in near if x is not None and math.isfinite(x)]
        out.append(statistics.fmean(near) if near else math.nan)
    return out


def _series(metrics: Sequence[Mapping], name: str) -> tuple[list, list]:
    """Steps and values of a metric; what was not measured is NaN, so that a gap stays a gap."""
    rows = [row for row in metrics if name in row]
    return [row["step"] for row in rows], [
        math.nan if row[name] is None else float(row[name]) for row in rows
    ]


def _window(metrics: Sequence[Mapping]) -> int:
    return max(3, len(metrics) // 40 * 2 + 1) if len(metrics) >= 10 else 1


def _lines(axes, metrics, names: Mapping[str, str], title: str, label: str, log: bool = False):
    """One smoothed line a metric, its raw points behind; names: {metric: text of the legend}."""
    for i, (name, said) in enumerate(names.items()):
        steps, values = _series(metrics, name)
        if not any(map(math.isfinite, values)):
            continue
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(steps, values, ".", color=colour, alpha=0.3, markersize=4)
        axes.plot(
            steps,
            smooth(values, _window(metrics)),
            color=colour,
            linestyle=DASHES[i % len(DASHES)],
            marker=MARKERS[i % len(MARKERS)],
            markevery=max(1, len(steps) // 8),
            markersize=5,
            label=said,
        )
    if not axes.lines:
        axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes)
    elif log and all(y > 0 for line in axes.lines for y in line.get_ydata() if math.isfinite(y)):
        axes.set_yscale("log")
    if len(axes.lines) > 2:  # a line and its points need no legend
        axes.legend(fontsize="small")
    axes.set(title=title, xlabel="step", ylabel=label)
    axes.grid(alpha=0.3)


def _needs(metrics: Sequence[Mapping]) -> None:
    if not metrics:
        raise ValueError("no step to draw: give the lines of metrics.jsonl (trace.read_metrics)")


def training_curves(
    metrics: Sequence[Mapping], title: str = "", run: str = "", seed: int | None = None
) -> Figure:
    """The eight curves to watch while a model learns by RL.

    metrics: lines of metrics.jsonl. run, seed: told in the caption. Points are steps, lines their
    moving average. Raises ValueError for no steps. Taught in notebook 01.
    """
    _needs(metrics)
    said = [f"run {run}"] if run else []
    said += [f"seed {seed}"] if seed is not None else []
    said += [f"points: steps; lines: moving average over {_window(metrics)}"]
    figure = chart(11, 12, ", ".join(said))
    figure.suptitle(title)
    axes = figure.subplots(4, 2).flat
    families = sorted({k for row in metrics for k in row if k.startswith("accuracy/")})
    names = {"accuracy": "all"} | {k: k.removeprefix("accuracy/") for k in families}
    _lines(axes[0], metrics, names, "Accuracy", "share right")
    parts = {k: k for k in ("reward", "accuracy", "format", "language")}
    _lines(axes[1], metrics, parts, "Reward and its parts", "mean")
    _lines(axes[2], metrics, {"length": "mean", "length_max": "longest"}, "Length", "tokens")
    _lines(axes[3], metrics, {"entropy": "entropy"}, "Entropy", "nats a token")
    _lines(axes[4], metrics, {"kl": "KL"}, "KL from the reference", "nats a token", log=True)
    _lines(axes[5], metrics, {"grad_norm": "norm"}, "Gradient norm", "norm", log=True)
    shares = {"tied_groups": "groups that tie", "truncated": "answers that are cut"}
    _lines(axes[6], metrics, shares, "Ties and cuts", "share")
    _lines(axes[7], metrics, {"loss": "loss"}, "Loss (says little)", "loss")
    for i in (0, 6):
        axes[i].set_ylim(-0.03, 1.03)
    return figure


def watch(
    metrics: Sequence[Mapping],
    panels: Mapping[str, Mapping[str, str]],
    title: str = "",
    caption: str = "",
) -> Figure:
    """A few curves of one run, panels side by side, small enough to be redrawn while it goes on.

    panels: {title: {metric: text of the legend}}. Points are steps, lines their moving average.
    Raises ValueError for no steps or no panel. Taught in notebook 01.
    """
    _needs(metrics)
    if not panels:
        raise ValueError("no panel to draw: give {title: {metric: text of the legend}}")
    figure = chart(min(5.5 * len(panels), 13), 3.6, caption)
    figure.suptitle(title)
    drawn = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (name, chosen) in zip(drawn, panels.items(), strict=True):
        _lines(axes, metrics, chosen, name, "")
    return figure


def loss_curve(
    metrics: Sequence[Mapping], title: str = "", run: str = "", seed: int | None = None
) -> Figure:
    """Loss of pre-training or SFT, with the loss on held-out text where `val_loss` was logged.

    Raises ValueError for no steps. Taught in notebook 00.
    """
    _needs(metrics)
    caption = ", ".join(
        [f"run {run}"] * bool(run) + [f"seed {seed}"] * (seed is not None) + ["points: steps"]
    )
    figure = chart(7, 4, caption)
    names = {"loss": "training", "val_loss": "held-out"}
    _lines(figure.subplots(), metrics, names, title or "Loss", "nats a token")
    return figure


def curves_over_seeds(
    runs: Mapping[str, Sequence[Sequence[Mapping]]],
    key: str = "accuracy",
    title: str = "",
    ylabel: str = "",
    run: str = "",
) -> Figure:
    """One metric of several kinds of runs: mean over seeds, in a band from lowest to highest.

    runs: {label: [metrics of one seed, …]}. Only steps that all seeds of a label logged are drawn;
    the values are not smoothed. The band is a range, not an interval: for that see
    `measure.mean_ci`. Raises ValueError when a label has no common step. Taught in notebook 12.
    """
    if not runs:
        raise ValueError("no runs to draw: give {label: [metrics of one seed, …]}")
    said = "line: mean over seeds; band: lowest to highest seed"
    figure = chart(8, 4.5, f"run {run}, {said}" if run else said)
    axes = figure.subplots()
    for i, (label, group) in enumerate(runs.items()):
        tables = [
            {step: x for step, x in zip(*_series(metrics, key), strict=True) if math.isfinite(x)}
            for metrics in group
        ]
        steps = sorted(set.intersection(*map(set, tables))) if tables else []
        if not steps:
            raise ValueError(f"{label!r}: no step at which all {len(group)} seeds logged {key!r}")
        values = [[table[step] for table in tables] for step in steps]
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(
            steps,
            [statistics.fmean(v) for v in values],
            color=colour,
            linestyle=DASHES[i % len(DASHES)],
            marker=MARKERS[i % len(MARKERS)],
            markevery=max(1, len(steps) // 8),
            label=f"{label} ({len(group)} seed{'s' if len(group) != 1 else ''})",
        )
        axes.fill_between(
            steps, *zip(*((min(v), max(v)) for v in values), strict=True), color=colour, alpha=0.2
        )
    axes.set(title=title, xlabel="step", ylabel=ylabel or key)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def bars_by_level(
    series: Mapping[str, Mapping], title: str = "", ylabel: str = "accuracy", caption: str = ""
) -> Figure:
    """Bars side by side for each level (or any other label), with intervals where they are given.

    series: {name: {level: number or measure.Interval}}; a missing level leaves a gap. Raises
    ValueError for nothing to draw. Taught in notebook 03.
    """
    return bars({title: series}, "level", ylabel, caption)


def bars(
    panels: Mapping[str, Mapping[str, Mapping]],
    xlabel: str = "",
    ylabel: str = "",
    caption: str = "",
) -> Figure:
    """Bars side by side for each label, panels beside one another: {title: {name: {label: value}}}.

    A value is a number or a measure.Interval, a missing one leaves a gap. Labels that are numbers
    stand in their order, others as they are given. Raises ValueError for nothing to draw.
    Taught in notebook 01.
    """
    if not panels or any(not any(series.values()) for series in panels.values()):
        raise ValueError("no bars to draw: give {name: {level: value}} with at least one value")
    figure = chart(8 if len(panels) == 1 else 5.5 * len(panels), 4.5, caption)
    drawn = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, series) in zip(drawn, panels.items(), strict=True):
        _bars(axes, series, 80 if len(panels) == 1 else 55)
        axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    return figure


def _bars(axes, series: Mapping[str, Mapping], room: int) -> None:
    levels = list(dict.fromkeys(level for values in series.values() for level in values))
    if all(isinstance(level, int | float) for level in levels):
        levels.sort()
    width = 0.8 / len(series)
    for i, (name, values) in enumerate(series.items()):
        for j, (level, value) in enumerate(values.items()):
            bounded = hasattr(value, "mean")
            height = value.mean if bounded else value
            # a mean of equal numbers may lie beside them, by rounding
            ends = (height - value.low, value.high - height) if bounded else ()
            axes.bar(
                levels.index(level) + (i - (len(series) - 1) / 2) * width,
                height,
                width,
                yerr=[[max(0.0, end)] for end in ends] or None,
                capsize=3,
                color=COLOURS[i % len(COLOURS)],
                hatch=HATCHES[i % len(HATCHES)],
                edgecolor="white",
                ecolor="0.6" if COLOURS[i % len(COLOURS)] == "#000000" else "black",
                label=name if j == 0 else None,
            )
    labels = [str(level) for level in levels]
    if max(map(len, labels)) > room / len(labels):  # characters a bar
        labels = [label.replace(" ", "\n") for label in labels]
    axes.set_xticks(range(len(levels)), labels)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    if len(series) > 1:
        axes.margins(y=0.2)  # room for the legend
        axes.legend()
