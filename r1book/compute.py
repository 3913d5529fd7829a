"""What did a checkpoint cost, alone and with those before it? Tokens and operations.

Read from run cards. A forward pass is counted as 2 operations a parameter and token, forward and
backward as 6. Not counted: attention (a tenth more at these lengths), evaluation, the passes of
reward models, those of chat while a set is made (3 in 100 of what the teacher of notebook 08 cost)
and, with several mini-batches, the pass for the old log-probabilities. Leaves out seconds
(`forecast.py`): they depend on the machine.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from r1book import graph


@dataclass(frozen=True)
class Cost:
    """What was computed; costs can be added."""

    generated: int = 0
    """Tokens that were sampled."""
    trained: int = 0
    """Tokens that were learnt from, each pass over them counted."""
    prompts: int = 0
    """Tokens that were read before them. Cards from before 2026-11-27 do not tell, and their
    operations leave them out: in RL 4 in 100 of the others, in SFT about as many as were learnt."""
    flops: float = 0.0
    """Floating-point operations."""

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.generated + other.generated,
            self.trained + other.trained,
            self.prompts + other.prompts,
            self.flops + other.flops,
        )


def of(card: Mapping) -> Cost:
    """Return the cost of one run. Raises ValueError for a card that does not tell it.

    >>> of({"tokens_generated": 10, "tokens_trained": 8, "flops": 680.0})
    Cost(generated=10, trained=8, prompts=0, flops=680.0)

    Taught in notebook 08.
    """
    names = ("tokens_generated", "tokens_trained", "flops")
    if missing := [name for name in names if card.get(name) is None]:
        raise ValueError(f"a run card without {', '.join(missing)}: it does not tell its cost")
    generated, trained, flops = (card[name] for name in names)
    return Cost(generated, trained, card.get("tokens_prompt", 0), flops)


def total(cards: Iterable[Mapping]) -> Cost:
    """Return the cost of several runs. Taught in notebook 08."""
    return sum(map(of, cards), Cost())


def before(name: str) -> list[str]:
    """Return the stages that had to be trained for a stage, itself and the bases left out: bases
    are there before anyone thinks of R1.

    >>> before("cold-start")
    ['r1-zero', 'chat', 'cold-start-data']

    Taught in notebook 08.
    """
    needed = graph.above(name) - {name}
    return [stage.name for stage in graph.GRAPH if stage.name in needed and stage.needs]


def of_step(line: Mapping, parameters: int, beside: int = 0) -> int:
    """Return the operations of a step of RL, by its metrics: all was sampled, what was learnt was
    passed through forward and backward, and once through what stands beside (a reference).

    >>> of_step({"tokens": 60, "trained_tokens": 30, "prompt_tokens": 5}, 10)
    3400
    """
    sampled, learnt = (line[k] + line["prompt_tokens"] for k in ("tokens", "trained_tokens"))
    return parameters * (2 * sampled + 6 * learnt) + 2 * beside * learnt
