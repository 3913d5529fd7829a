"""How can a reader change a thought? Choose a token, add or forbid words, go on many times.

What computes comes in as functions of plain values, so that the view knows no model. Left out:
sampling (`fork.py`), drawing (`plots_fork.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Protocol

import ipywidgets

from r1book import plots_fork, viewer
from r1book.intervals import Interval
from r1book.widgets import framed, marked


class Found(Protocol):
    """What went on from a prefix; `fork.Fork` is one."""

    place: int
    prefix: str
    texts: Sequence[str]
    right: Sequence[bool | None]
    value: Interval


class Fork(ipywidgets.VBox):
    """A thought token by token; at any place another one can begin.

    tokens: the completion, cut into its tokens (their text, blanks included). curve: values along
    it that are known already, {place: value}, drawn first (`fork.value_curve`). resample(place,
    added, forbidden): goes on from the first `place` tokens and the text `added`, never saying a
    word of the list `forbidden`; an error of bad input (ValueError) is shown, not raised. lang: of
    the question. `found` holds what was sampled, the latest last. Raises ValueError for no tokens.

    Taught in notebook 03.
    """

    def __init__(
        self,
        tokens: Sequence[str],
        curve: Mapping[int, Interval],
        resample: Callable[[int, str, list[str]], Found],
        *,
        lang: str = "en",
    ):
        if not tokens:
            raise ValueError("no tokens: give the completion, cut into the text of its tokens")
        self.tokens, self.curve, self.resample, self.lang = (
            list(tokens),
            dict(curve),
            resample,
            lang,
        )
        self.found: list[Found] = []
        wide = {"width": "auto", "max_width": "64em"}
        self.place = ipywidgets.IntSlider(
            value=len(tokens) // 2, min=0, max=len(tokens), description="keep",
            continuous_update=False, layout={"width": "40em"},
        )  # fmt: skip
        self.added = ipywidgets.Text(
            description="add", placeholder="words to insert, or nothing", continuous_update=False
        )
        self.forbidden = ipywidgets.Text(
            description="forbid", placeholder="wait check", continuous_update=False
        )
        self.go = ipywidgets.Button(description="go on from here", button_style="primary")
        self.kept = ipywidgets.HTML(layout={**wide, "height": "120px", "overflow": "auto"})
        self.said = ipywidgets.HTML(layout={**wide, "height": "3em", "overflow": "auto"})
        self.picture = ipywidgets.Image(
            format="png", layout={"height": "320px", "object_fit": "contain"}
        )
        self.which = ipywidgets.BoundedIntText(
            value=1, min=1, max=1, description="read", layout={"width": "12em"}
        )
        self.text = ipywidgets.HTML(layout={**wide, "height": "160px", "overflow": "auto"})
        self.place.observe(self._moved, names="value")
        self.which.observe(self._read, names="value")
        self.go.on_click(lambda _: self._go())
        self._moved()
        super().__init__(
            [
                self.place,
                self.kept,
                ipywidgets.HBox([self.added, self.forbidden, self.go]),
                self.said,
                self.picture,
                self.which,
                self.text,
            ]
        )
        framed(self)

    def _moved(self, _=None) -> None:
        at = self.place.value
        kept, rest = "".join(self.tokens[:at]), "".join(self.tokens[at:])
        self.kept.value = (
            f"{marked(kept, self.lang)}<span aria-label='cut here'>✂</span> "
            f"<del style='opacity: 0.6'>{escape(viewer.visible(rest))}</del>"
        )
        self._draw()

    def _draw(self) -> None:
        curves = {"as it was": self.curve} if self.curve else {}
        for each in self.found[-3:]:
            curves[f"{len(curves)}: {self._named(each)}"] = {each.place: each.value}
        if curves:
            figure = plots_fork.value_curve(
                curves, "Chance of a right answer", marked=self.place.value
            )
            self.picture.value = figure._repr_png_()

    def _named(self, found: Found) -> str:
        added = found.prefix[len("".join(self.tokens[: found.place]).rstrip()) :].strip()
        return f"after {found.place} tokens" + (f", “{added}”" if added else "")

    def _go(self) -> None:
        self.go.disabled = True
        try:
            words = self.forbidden.value.split()
            self.found.append(self.resample(self.place.value, self.added.value.strip(), words))
        except ValueError as error:
            self.said.value = f"<b>not sampled:</b> {escape(viewer.visible(str(error)))}"
            return
        finally:
            self.go.disabled = False
        last = self.found[-1]
        value = last.value
        self.said.value = escape(
            f"{self._named(last)}: {sum(map(bool, last.right))} of {len(last.texts)} right, "
            f"{value.mean:.2f} ({value.low:.2f} to {value.high:.2f})"
            + (f"; forbidden: {', '.join(words)}" if words else "")
        )
        self.which.max = len(last.texts)
        self.which.value = 1
        self._read()
        self._draw()

    def _read(self, _=None) -> None:
        if not self.found:
            return
        last, i = self.found[-1], self.which.value - 1
        verdict = {True: "✓ right", False: "✗ wrong", None: "? no rule can judge"}[last.right[i]]
        self.text.value = f"<b>{verdict}</b> {marked(last.texts[i], self.lang)}"
