"""What does a thinking do, whatever its words? Steps of arithmetic, and acts of reflection.

"Wait" proves nothing: who says it and goes on as before has not reflected, and who leaves a dead
branch in silence has. So acts are read from what is computed:

    check    a claim is computed again: after "check", "verify", 检查, 验证 (in a search: the last
             candidate), or, outside a search, as the same computation or its inverse
    repair   a false step is written again and is true, or a check finds another, true result
    abandon  a search leaves its branch (all steps but the last) for another one
    stay     a search tries another last step in the same branch
    repeat   a search tries what it tried before, or what was checked is copied once more

The first three are reflection, the others what there is instead. Left out: guesses of programs,
whether the answer is right (`rewards.py`), what an act is worth (only an intervention can tell).
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from r1book import rewards, words
from r1book.trace import Trace
from r1book.world import chains

REFLECTIVE = ("check", "repair", "abandon")
KINDS = (*REFLECTIVE, "stay", "repeat")


@dataclass(frozen=True)
class Step:
    """One equality that is claimed; 'E = F = 7' makes two of them."""

    start: int
    """First character in the completion; `end` is the one after the last."""
    end: int
    expression: str
    """What stands left of the sign; `claim` is what it is said to be."""
    claim: str
    true: bool | None
    """Whether it is so; None where that cannot be computed (see `rewards.parse`)."""


@dataclass(frozen=True)
class Act:
    """One act, with the place of the steps that carry it."""

    kind: str
    """One of `KINDS`."""
    start: int
    """First character in the completion; `end` is the one after the last."""
    end: int
    worded: bool
    """Whether a reflection word goes with it: between the step before and its first, or, for a
    check or repair, between its last and the next (the verdict)."""


@dataclass(frozen=True)
class Reading:
    """What was read from one completion, in the order of the text."""

    steps: tuple[Step, ...]
    acts: tuple[Act, ...]
    words: tuple[tuple[str, bool], ...]
    """Each reflection word, and whether an act of reflection goes with it (see `Act.worded`)."""
    tries: int
    """Candidates that a search brought to an end."""


@dataclass(frozen=True)
class Contingency:
    """Do words and acts of reflection come together? `words[False]`: words that are only said."""

    answers: Counter[tuple[bool, bool]]
    """Answers by (holds a reflection word, holds an act), not necessarily together."""
    words: Counter[bool]
    """Words by whether an act goes with them (see `Act.worded`)."""
    acts: Counter[bool]
    """Acts by whether a word goes with them."""


def read(text: str) -> Reading:
    """Steps, acts and reflection words in the thinking of any completion, in linear time.

    >>> text = "try 7 - 1 = 6: 6 + 4 = 10, too small. wait, try 7 + 4 = 11: 11 - 1 = 10, no."
    >>> [act.kind for act in read(text).acts]
    ['abandon']

    Taught in notebook 03.
    """
    span = words.think_span(text)
    plain = _RECALL.sub(lambda match: " " * len(match.group()), text)
    reader = _Reader()
    for token in _TOKEN.finditer(plain, *span):
        if token.lastgroup == "run":
            reader.compute(token)
        else:
            reader.close(token.lastgroup)
    reader.close("end")
    return reader.reading(words.REFLECTION_PATTERN.finditer(text, *span))


def count(traces: Sequence[Trace]) -> dict[str, dict[str, float]]:
    """How often each kind of act is done.

    {kind: {"per_answer", "per_token" (of all completion tokens), "share" (of answers with one)}}
    for `KINDS`, "any" (act of reflection), "step" and "false" (steps that are not so). Raises
    ValueError for no traces. Taught in notebook 03.
    """
    if not traces:
        raise ValueError("acts need at least one trace, got none")
    tables = []
    for reading in (read(t.completion) for t in traces):
        tables.append(table := Counter(act.kind for act in reading.acts))
        table["any"] = sum(table[kind] for kind in REFLECTIVE)
        table["step"] = len(reading.steps)
        table["false"] = sum(step.true is False for step in reading.steps)
    answers, tokens = len(traces), sum(t.tokens for t in traces)
    out = {}
    for kind in (*KINDS, "any", "step", "false"):
        total, some = sum(t[kind] for t in tables), sum(t[kind] > 0 for t in tables)
        per_token = total / tokens if tokens else 0.0
        out[kind] = {"per_answer": total / answers, "per_token": per_token, "share": some / answers}
    return out


def contingency(traces: Sequence[Trace]) -> Contingency:
    """Words without acts and acts without words, told apart; leave out traces of code.

    Taught in notebook 03.
    """
    readings = [read(t.completion) for t in traces]
    acts = [[a.worded for a in r.acts if a.kind in REFLECTIVE] for r in readings]
    return Contingency(
        Counter((bool(r.words), bool(done)) for r, done in zip(readings, acts, strict=True)),
        Counter(act for r in readings for _, act in r.words),
        Counter(worded for done in acts for worded in done),
    )


_RECALL = re.compile(
    r"\([^()0-9=.,:!?]*\)"
)  # a line of the table in words, the letter of an option
_SIDE = r"(?:[-+*=]\s*+)?(?:\(\s*+){0,30}[0-9]++(?:\s*+\))*+"
_TOKEN = re.compile(
    rf"""(?P<run>(?<![\w.]){_SIDE}(?:\s*+[-+*=]\s*+{_SIDE})*+(?:\s*+[-+*=])?+)
    | (?P<colon>(?<=[0-9)])\s*+[:：]) | (?P<stop>[.!?;。！？；\n])
    | (?P<check>\b(?:check|verify)\b|检查|验证) | (?P<try>\b(?:re)?try\b|重?试)
    | (?P<turn>\b(?:wait|but|however)\b|等等|等一下|但是|不过|然而)
    | (?P<need>\b(?:need|too)\b|需要|太) | (?P<yes>\byes\b|(?<!不)对) | (?P<no>\bno\b|不行|不对)""",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)


@lru_cache(maxsize=10_000)
def _value(expression: str) -> int | None:
    try:
        return chains.value(rewards.parse(expression))
    except ValueError:
        return None


def _key(expression: str) -> str:
    """A name for a computation: without spaces, the operands of a lone + or * in order."""
    key = "".join(expression.split())
    lone = re.fullmatch(r"([0-9]+)([+*])([0-9]+)", key)
    return f"{min(lone[1], lone[3])}{lone[2]}{max(lone[1], lone[3])}" if lone else key


class _Reader:
    """Takes runs of arithmetic and marks one by one, and knows where the thinking stands."""

    def __init__(self):
        self.steps: list[Step] = []
        self.keys: list[str] = []  # the computation of each step
        self.acts: list[tuple[str, int, int]] = []  # kind, first step, last step
        self.open = self.colon = 0  # first step that no mark has closed; first one after a colon
        self.sentence = self.tries = 0
        self.search = self.cue = False  # cue: "try" or "wait" was said since the last candidate
        self.claim = self.checked = None  # (true value or None, value said): latest, under check
        self.known: dict[str, tuple] = {}  # computation -> its sentence, whether it was true
        self.verified: set[str] = set()
        self.names: dict[tuple, int] = {}  # branches, numbered: a number is hashed in no time
        self.tried: set[tuple] = set()
        self.branch = self.left = -1  # where the search is; where its last candidate was
        self.here, self.leaf = set(), set()  # computations of that branch, of the last step tried

    def compute(self, run: re.Match) -> None:
        """Note the steps of a run 'E = F = ...', or the result that a lone number claims."""
        sides = list(re.finditer(r"[^=\s](?:[^=]*[^=\s])?", run.group()))
        values = [_value(side.group()) for side in sides]
        for (a, b), *pair in zip(pairwise(sides), values, values[1:], strict=False):
            left, right = a.group(), b.group()
            if not (left.isdigit() and right.isdigit()):
                true = None if None in pair else pair[0] == pair[1]
                start, end = run.start() + a.start(), run.start() + b.end()
                self.steps.append(Step(start, end, left, right, true))
                self.keys.append(_key(right if left.isdigit() else left))
        if len(sides) > 1:
            self.claim = (values[0], values[-1])
        elif sides[0].group().isdigit() and not self.search:  # there, it is the target
            self.claim = (None, values[-1])

    def close(self, mark: str) -> None:
        """End a statement at a mark: read the acts in its steps, then what the mark begins."""
        if mark == "colon":
            self.colon = len(self.steps)  # steps before it are a branch, unless they are a check
            return
        first, self.open = self.open, len(self.steps)
        keys = self.keys[first:]
        again = all(key in self.here or key in self.leaf for key in keys)
        if keys and self.checked and (again or not self.search):
            self._check(first, keys)
        elif keys and (self.search or mark == "need" or self.colon > first):
            self._candidate(first, keys, mark)
        else:
            self._plain(first, keys)
        if keys or mark in ("check", "try", "stop"):
            self.checked = self.claim if mark == "check" else None
        self.search = (self.search or mark == "try") and mark != "yes"
        self.cue = self.cue or mark in ("try", "turn", "check")
        self.sentence += 1

    def _note(self, i: int, key: str) -> bool:
        """Remember a step; return whether it is true and was false when it was last written."""
        true = self.steps[i].true
        repaired = bool(true) and self.known.get(key, (0, None))[1] is False
        self.known[key] = (self.sentence, true)
        lone = re.fullmatch(r"([0-9]+)([-+])([0-9]+)", key)
        if lone and true is not None:
            (a, sign, b), c = lone.groups(), _value(self.steps[i].claim)
            for inverse in (f"{c}-{a}", f"{c}-{b}") if sign == "+" else (f"{b}+{c}", f"{a}-{c}"):
                self.known.setdefault(_key(inverse), (self.sentence, None))
        return repaired

    def _check(self, first: int, keys: list[str]) -> None:
        """Steps after "check": one check of the claim before it, and what that repairs."""
        true, said = self.checked
        last, result = len(self.steps) - 1, _value(self.steps[-1].claim)
        right = result == true if true is not None else all(s.true for s in self.steps[first:])
        found = right and None not in (said, result) and said != result
        repairs = sum(self._note(i, key) for i, key in enumerate(keys, first))
        kind = "repeat" if self.verified.issuperset(keys) else "check"
        self.verified.update(keys)
        self.acts += [(kind, first, last)] + [("repair", first, last)] * (repairs or found)

    def _plain(self, first: int, keys: list[str]) -> None:
        """Steps outside a search: a check where they compute again what an earlier sentence did."""
        for i, key in enumerate(keys, first):
            if key in self.known and self.known[key][0] < self.sentence:
                self.acts.append(("repeat" if key in self.verified else "check", i, i))
                self.verified.add(key)
            self.acts += [("repair", i, i)] * self._note(i, key)

    def _candidate(self, first: int, keys: list[str], mark: str) -> None:
        """Steps of a search: a branch, a last step in the branch where it is, or both."""
        after = first + len(keys)
        # without a colon, what was begun by "try" or "wait" ends in a last step
        leaf = self.colon if self.colon > first else after - 1 if self.cue else first
        if leaf > first:
            name = tuple(sorted(keys[: leaf - first]))
            self.here, self.leaf = set(name), set()
            branch = self.names.setdefault(name, len(self.names))
            if self.branch not in (-1, branch):
                self.acts.append(("abandon", first, leaf - 1))
            self.branch = branch
        for i, key in enumerate(keys, first):
            self.acts += [("repair", i, i)] * self._note(i, key)
        self.search, self.cue = True, False
        if leaf < after and mark != "end":  # the last one may be cut
            candidate = (self.branch, *keys[leaf - first :])
            self.leaf = set(candidate[1:])
            if candidate in self.tried:
                self.acts.append(("repeat", leaf, after - 1))
            elif self.tries and self.left == self.branch:
                self.acts.append(("stay", leaf, after - 1))
            self.tried.add(candidate)
            self.left, self.tries = self.branch, self.tries + 1

    def reading(self, found: Iterable[re.Match]) -> Reading:
        """Put words and acts beside each other: gap i lies before step i."""
        starts = [step.start for step in self.steps]
        said = [(m.group().lower(), bisect_right(starts, m.start())) for m in found]
        spoken, busy, acts = {gap for _, gap in said}, set(), []
        for kind, first, last in sorted(self.acts, key=lambda act: act[1]):
            gaps = {first, last + 1} if kind in ("check", "repair") else {first}
            busy |= gaps if kind in REFLECTIVE else set()
            worded = not gaps.isdisjoint(spoken)
            acts.append(Act(kind, starts[first], self.steps[last].end, worded))
        told = tuple((word, gap in busy) for word, gap in said)
        return Reading(tuple(self.steps), tuple(acts), told, self.tries)
