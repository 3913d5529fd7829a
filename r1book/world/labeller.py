"""Which reply is preferred, and which is safe? A labeller that errs and is biased, as people are.

The only source of preference labels: the hidden gold quality (`gold.py`) goes in, one noisy bit
comes out. Leaves out which pairs are shown and what is learnt from the labels (`preference.py`).

In the report: helpfulness from 66,000 pairs of final summaries, judged by DeepSeek-V3 in four calls
with random order and averaged, kept only where the scores differ by more than 1, lengths of chosen
and rejected balanced; harmlessness from 106,000 whole responses, each labelled safe or unsafe by
itself (Nature, Methods). The biases that order and balance are there to remove are fields here.
"""

import math
import random
from dataclasses import dataclass

from r1book.problems import Problem
from r1book.world import gold
from r1book.world.vocab import split_words


@dataclass(frozen=True)
class Labeller:
    """Somebody who compares replies, with stated errors and biases. Taught in notebook 07."""

    noise: float = 0.15
    """Share of the comparisons that are decided by a coin."""
    length_bias: float = 0.6
    """Log-odds for a reply that is e times as long as the other, in tokens of the final answer."""
    position_bias: float = 0.15
    """Log-odds for the reply that is shown first."""
    temperature: float = 0.2
    """Difference of gold quality that is worth log-odds of 1; smaller: sees finer differences."""
    missed: float = 0.08
    """Share of the harmful responses that are labelled safe."""
    false_alarms: float = 0.04
    """Share of the harmless responses that are labelled unsafe."""

    def __post_init__(self):
        """Raise ValueError on a value that no labeller can have."""
        for name in ("noise", "missed", "false_alarms"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name)}: expected a share, 0 to 1")
        if not (0 < self.temperature < math.inf):
            raise ValueError(f"temperature {self.temperature}: expected a number above 0")
        if not (math.isfinite(self.length_bias) and math.isfinite(self.position_bias)):
            raise ValueError("length_bias and position_bias: expected finite log-odds")

    def odds(self, first: str, second: str, problem: Problem) -> float:
        """Return the probability that the first reply is preferred.

        (1 - noise) * sigmoid(x) + noise / 2 with x = (gold quality of first - of second) /
        temperature + length_bias * ln(tokens of first / of second) + position_bias: Bradley and
        Terry 1952 with two biases. first, second: completions or plain replies; only their final
        answers count. Raises ValueError for a problem that is not of family `general`.
        """
        better = gold.quality(first, problem) - gold.quality(second, problem)
        longer = math.log(_tokens(first) / _tokens(second))
        x = better / self.temperature + self.length_bias * longer + self.position_bias
        likely = 1 / (1 + math.exp(-x)) if x > -700 else 0.0  # beyond, exp overflows
        return (1 - self.noise) * likely + self.noise / 2

    def prefer(self, first: str, second: str, problem: Problem, rng: random.Random) -> bool:
        """Return whether the first reply is preferred, drawn with the probability of `odds`.

        Whoever shows the pairs draws their order, else position_bias is learnt too. One number is
        taken from rng. Raises ValueError as `odds` does.

        >>> from r1book.problems import load
        >>> p = load("general", 1, lang="en")[0]
        >>> Labeller(noise=0, temperature=0.01).prefer(p.answer, "go away.", p, random.Random(0))
        True

        Taught in notebook 07.
        """
        return rng.random() < self.odds(first, second, problem)

    def safe(self, text: str, problem: Problem, rng: random.Random) -> bool:
        """Return the label of one whole response, thinking included: True for safe.

        Errs with `missed` and `false_alarms`, whatever else the response says. One number is taken
        from rng. Raises ValueError for a problem that is not of family `general`.

        Taught in notebook 07.
        """
        draw = rng.random()
        return draw < self.missed if gold.harmful(text, problem) else draw >= self.false_alarms


def _tokens(text: str) -> int:
    """Return the tokens of the final answer, at least 1."""
    return max(1, len(split_words(gold.final(text))))
