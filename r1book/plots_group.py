"""How does one group look? Siblings' tokens coloured by advantage, weights by formula, curves.

Plain values in, a `Figure` out, as in `plots.py`, from which colours and marks come. Colour is
never the only mark: what is pushed up has a solid bar below its tokens, what is pushed down a
hatched one, and the numbers stand beside them. Left out: how advantages are computed (`grpo.py`),
interaction (`widgets.py`).
"""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from r1book.plots import COLOURS, DASHES, HATCHES, MARKERS, Chart

UP, DOWN = COLOURS[0], COLOURS[1]
COLUMNS = 84
"""Characters on a line of tokens."""
HEAD = 13
"""Characters to the left of the tokens, for the numbers."""


def group(
    answers: Sequence[Sequence[str]],
    rewards: Sequence[float | None],
    advantages: Sequence[float],
    title: str = "",
    caption: str = "",
) -> Figure:
    """Siblings below one another, every token coloured by its answer's advantage.

    answers: the tokens of each, as text. rewards: one each, None where nobody could judge.
    advantages: one each, or any other weight of a token. The strongest colour is the largest
    absolute value of this group. Raises ValueError for lists of different lengths, or none.
    Taught in notebook 02.
    """
    if not answers or not len(answers) == len(rewards) == len(advantages):
        sizes = f"{len(answers)} answers, {len(rewards)} rewards, {len(advantages)} advantages"
        raise ValueError(f"got {sizes}; expected one reward and one advantage for each answer")
    top = max(map(abs, advantages)) or 1.0
    places = [_wrap(tokens) for tokens in answers]
    heights = [max(2, max(y for _, y in place) + 1) for place in places]
    figure = Chart(figsize=(9.5, 0.33 * sum(heights) + 0.25 * len(answers) + 0.7))
    axes = figure.add_axes((0.01, 0.09 if caption else 0.01, 0.98, 0.8 if title else 0.88))
    bottom = sum(heights) + 0.6 * len(answers)
    axes.set(xlim=(0, HEAD + COLUMNS), ylim=(bottom, 0))
    axes.axis("off")
    y = 0.3
    for tokens, place, height, reward, gain in zip(
        answers, places, heights, rewards, advantages, strict=True
    ):
        said = "no verdict" if reward is None else f"reward {reward:.4g}"
        axes.text(0.3, y + 0.45, said, va="center", fontsize=9)
        axes.text(0.3, y + 1.4, _signed(gain), va="center", fontsize=11, weight="bold")
        for token, (x, line) in zip(tokens, place, strict=True):
            _token(axes, token, HEAD + x, y + line, gain / top)
        y += height + 0.6
    if title:
        figure.suptitle(title, y=0.99, va="top")
    if caption:
        figure.text(0.5, 0.01, caption, ha="center", fontsize="small")
    return figure


def _wrap(tokens: Sequence[str]) -> list[tuple[int, int]]:
    """Column and line of each token; one that is longer than a line gets its own."""
    out, x, y = [], 0, 0
    for token in tokens:
        if x and x + len(token) + 1 > COLUMNS:
            x, y = 0, y + 1
        out.append((x, y))
        x += len(token) + 1
    return out


def _token(axes, token: str, x: float, y: float, strength: float) -> None:
    width, colour = len(token) + 0.7, UP if strength > 0 else DOWN
    if strength:
        alpha = 0.12 + 0.5 * abs(strength)
        axes.add_patch(Rectangle((x, y), width, 0.72, facecolor=colour, alpha=alpha, lw=0))
        bar = {"facecolor": colour} if strength > 0 else {"facecolor": "white", "hatch": "//////"}
        axes.add_patch(Rectangle((x, y + 0.76), width, 0.14, edgecolor=colour, lw=0.6, **bar))
    else:
        edge = {"edgecolor": "0.6", "linestyle": ":", "facecolor": "none"}
        axes.add_patch(Rectangle((x, y), width, 0.72, lw=0.8, **edge))
    axes.text(
        x + width / 2, y + 0.36, token, ha="center", va="center", fontsize=8, family="monospace"
    )


def _signed(value: float) -> str:
    return "0" if value == 0 else f"{value:+.3g}".replace("-", "\N{MINUS SIGN}")


def weights(
    series: Mapping[str, Sequence[float]],
    lengths: Sequence[int],
    names: Sequence[str],
    title: str = "",
    caption: str = "",
) -> Figure:
    """What one token of each answer weighs under each formula, and what the whole answer weighs.

    series: {formula: weight of one token, an answer each}. lengths: tokens of each answer. Each
    formula is scaled so that its largest whole answer is 1, because a constant factor only changes
    the learning rate. Raises ValueError for a series of another length. Taught in notebook 02.
    """
    if not series or any(len(x) != len(lengths) for x in series.values()):
        raise ValueError(f"expected a weight for each of {len(lengths)} answers in every series")
    figure = Chart(figsize=(11, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    width = 0.8 / len(series)
    for i, (formula, each) in enumerate(series.items()):
        whole = [w * n for w, n in zip(each, lengths, strict=True)]
        scale = max(map(abs, whole)) or 1.0
        at = [j + (i - (len(series) - 1) / 2) * width for j in range(len(lengths))]
        look = {"color": COLOURS[i % 7], "hatch": HATCHES[i % 7], "edgecolor": "white"}
        panels[0].bar(at, [w / scale for w in each], width, label=formula, **look)
        panels[1].bar(at, [w / scale for w in whole], width, **look)
    labels = [f"{name}\n{n} tokens" for name, n in zip(names, lengths, strict=True)]
    for axes, said in zip(panels, ("one token", "whole answer"), strict=True):
        axes.set(title=said, ylabel="push on its log-probability")
        axes.set_xticks(range(len(lengths)), labels, fontsize="small")
        axes.axhline(0, color="black", lw=0.8)
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
    panels[0].legend(fontsize="small")
    figure.suptitle(title)
    if caption:
        figure.supxlabel(caption, fontsize="small")
    return figure


def curves(
    x: Sequence[float],
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    xlabel: str = "",
    ylabel: str = "",
    caption: str = "",
    log: bool = False,
) -> Figure:
    """Lines over a common axis, panels side by side: {title: {label: a value for each x}}.

    log: logarithmic vertical axis. NaN leaves a gap. Raises ValueError for a line of another
    length, or nothing to draw. Taught in notebook 02.
    """
    if not panels or any(len(y) != len(x) for lines in panels.values() for y in lines.values()):
        raise ValueError(f"expected {{title: {{label: values}}}} with {len(x)} values each")
    figure = Chart(figsize=(min(5.5 * len(panels) + 1, 13), 3.9), layout="constrained")
    every = max(1, math.ceil(len(x) / 8))
    for axes, (title, lines) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for i, (label, values) in enumerate(lines.items()):
            look = {"color": COLOURS[i % 7], "linestyle": DASHES[i % 7], "marker": MARKERS[i % 7]}
            axes.plot(x, values, label=label, markevery=(i % every, every), markersize=5, **look)
        axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
        axes.grid(alpha=0.3)
        if log:
            axes.set_yscale("log")
        if len(lines) > 1:
            axes.legend(fontsize="small")
    if caption:
        figure.supxlabel(caption, fontsize="small")
    return figure
