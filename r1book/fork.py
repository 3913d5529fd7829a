"""What would it have thought instead? A thinking is cut at a place and gone on with, many times.

`value_curve` asks how likely a right answer is after each part of a trace: where the curve jumps,
the answer was decided. `intervene` asks what a word is worth: at one place the same thinking goes
on freely, with words forced on it, with as many neutral ones, and with words forbidden. That a
word is followed by success proves nothing; that success changes when it is added or taken away,
does.

Left out: where to cut (the caller knows what is of interest), averages over traces, drawing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from r1book import prompts, rewards, rollout
from r1book.intervals import Interval, proportion_ci
from r1book.problems import Problem
from r1book.words import REFLECTION

CUTS = 20
SAMPLES = 64
FORCED = {"en": "wait,", "zh": "等等,"}
"""What `intervene` adds unless told otherwise."""
NEUTRAL = {"en": "okay,", "zh": "好,"}
"""As many tokens that say nothing: what is left of an effect when the word is not the point."""


@dataclass(frozen=True)
class Fork:
    """What became of one thinking after one prefix."""

    place: int
    """Tokens of the completion that were kept."""
    prefix: str
    """The text it went on from: what was kept and what was added."""
    texts: tuple[str, ...]
    """Whole completions, prefix included, one a continuation."""
    right: tuple[bool | None, ...]
    """The grader's verdict on each; None where no rule can judge."""

    @property
    def value(self) -> Interval:
        """P(right | prefix) with its 95 % Wilson interval; the unit is the continuation.

        Raises ValueError where no rule can judge.
        """
        judged = [verdict for verdict in self.right if verdict is not None]
        return proportion_ci(sum(judged), len(judged))


def prefixes(tokenizer, completion: str) -> list[str]:
    """Return the completion's first 0, 1, 2, … tokens as text; the last one is all of it.

    The text is cut where a token ends, so that what was written stays as it was written.
    """
    found = tokenizer(completion, add_special_tokens=False, return_offsets_mapping=True)
    ends = [end for _, end in found["offset_mapping"]]
    return ["", *(completion[:end] for end in ends)]


def value_curve(
    model,
    tokenizer,
    problem: Problem,
    completion: str,
    *,
    cuts: int | Sequence[int] = CUTS,
    samples: int = SAMPLES,
    seed: int = 0,
    temperature: float = 1.0,
    max_new_tokens: int = 384,
    template: str = "r1_zero",
) -> list[Fork]:
    """Return P(right | prefix) along a completion, by `samples` continuations of each prefix.

    cuts: how many places, evenly spread from nothing to the whole text; or the places themselves,
    in tokens. Places that fall together are asked once. Continuations have up to `max_new_tokens`
    more tokens. Monte Carlo values of a prefix, as in Math-Shepherd (arXiv:2312.08935, Section
    3.3.1). Raises ValueError for places outside the completion and fewer than one cut.

    Taught in notebook 03.
    """
    texts = prefixes(tokenizer, completion)
    last = len(texts) - 1
    if isinstance(cuts, int):
        if cuts < 1:
            raise ValueError(f"cuts={cuts}: expected at least one place")
        cuts = [round(i * last / max(1, cuts - 1)) for i in range(cuts)]
    places = sorted({int(place) for place in cuts})
    if not places or places[0] < 0 or places[-1] > last:
        raise ValueError(f"cuts {list(cuts)}: expected places from 0 to {last}, the whole text")
    found = _continued(
        model, tokenizer, problem, [texts[place] for place in places], samples, template,
        temperature=temperature, max_new_tokens=max_new_tokens,
        generator=torch.Generator(model.cos.device).manual_seed(seed),
    )  # fmt: skip
    return [Fork(place, *each) for place, each in zip(places, found, strict=True)]


def intervene(
    model,
    tokenizer,
    problem: Problem,
    completion: str,
    place: int,
    *,
    ways: Mapping[str, str] | None = None,
    forbidden: Sequence[str] | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    temperature: float = 1.0,
    max_new_tokens: int = 384,
    template: str = "r1_zero",
) -> dict[str, Fork]:
    """Return {"free", one entry a way, "forbidden"}: what becomes of the same prefix.

    place: tokens of the completion that are kept. ways: {name: words added after them}; by default
    "forced" (`FORCED`) and "neutral" (`NEUTRAL`, equally many tokens) in the problem's language.
    forbidden: words that are never drawn in its continuations; by default those of reflection
    (`words.REFLECTION`) that the tokenizer has as one token. No two continuations share draws.
    Raises ValueError for a place outside the completion, a way named "free" or "forbidden", and
    forbidden words that are no single tokens.

    Taught in notebook 03.
    """
    texts = prefixes(tokenizer, completion)
    if not 0 <= place < len(texts):
        raise ValueError(f"place {place}: expected 0 to {len(texts) - 1}, the whole text")
    if ways is None:
        ways = {"forced": FORCED[problem.lang], "neutral": NEUTRAL[problem.lang]}
    if clash := {"free", "forbidden"} & set(ways):
        raise ValueError(f"{sorted(clash)}: these names are taken, call the way otherwise")
    banned = _single_tokens(tokenizer, forbidden)
    kept, how = texts[place], {"temperature": temperature, "max_new_tokens": max_new_tokens}
    how["generator"] = torch.Generator(model.cos.device).manual_seed(seed)
    starts = [f"{kept} {added}".strip() for added in ("", *ways.values())]
    found = _continued(model, tokenizer, problem, starts, samples, template, **how)
    found += _continued(
        model, tokenizer, problem, [kept], samples, template, forbidden=banned, **how
    )
    names = ("free", *ways, "forbidden")
    return {name: Fork(place, *each) for name, each in zip(names, found, strict=True)}


def _single_tokens(tokenizer, words: Sequence[str] | None) -> list[int]:
    """Return the ids of words; of the default list those that are one token here."""
    given = [w for each in REFLECTION.values() for w in each] if words is None else words
    ids = {w: tokenizer(w, add_special_tokens=False)["input_ids"] for w in given}
    single = {w: i[0] for w, i in ids.items() if len(i) == 1 and i[0] != tokenizer.unk_token_id}
    if words is not None and (several := sorted(set(words) - set(single))):
        raise ValueError(f"{several}: expected words that are one token of this tokenizer each")
    return sorted(set(single.values()))


def _continued(model, tokenizer, problem, starts, samples, template, **how) -> list[tuple]:
    """Return (prefix, completions, verdicts) of each start."""
    found = rollout.sample(
        model, tokenizer, [prompts.render(problem, template)] * len(starts), prefixes=starts,
        group_size=samples, **how,
    )  # fmt: skip
    texts = [f"{starts[answer.group]} {answer.text}".strip() for answer in found]
    verdicts = [
        None if score is None else score.total == 1
        for score in rewards.accuracies([(text, problem) for text in texts])
    ]
    return [
        (start, tuple(texts[at : at + samples]), tuple(verdicts[at : at + samples]))
        for start, at in zip(starts, range(0, len(texts), samples), strict=True)
    ]
