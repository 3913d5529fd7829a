"""What does a reward model learn from labels? Pairwise helpfulness, point-wise harmlessness.

A reward model is the body of a policy with one number on the last token. It sees what the biased
labeller of this world said of pairs and of single responses, never the gold quality. As in the
report, helpfulness looks at the final answer only and harmlessness at the whole response; labels
are asked for in both orders, and pairs are balanced by length, or not, which shows what balancing
is for (v1 p.11; Nature, Methods). Leaves out the RL that follows (`scenario.py`).

Shapes: B rows, T tokens, D hidden.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from r1book import models, problems, prompts, rewards, rollout
from r1book.problems import Problem
from r1book.world.labeller import Labeller
from r1book.world.vocab import split_words

KINDS = ("helpful", "unbalanced", "harmless")
"""Reward models that are trained: helpfulness on balanced pairs, the same on pairs as they come,
and harmlessness."""
CALLS = 4
"""How often the labeller is asked about a pair, half of them in the other order."""
MARGIN = 3
"""Calls that must agree for a pair to be kept (the report keeps score differences above 1)."""


@dataclass(frozen=True)
class Pair:
    """Two responses to one general prompt, and what the labeller said of them."""

    problem: dict
    """The prompt, as plain values."""
    responses: tuple[str, str]
    """Two whole responses."""
    votes: int
    """How many of `CALLS` calls preferred the first."""
    safe: tuple[bool, bool]
    """The label of each response by itself."""

    def chosen(self) -> int | None:
        """Return 0 or 1, which response is preferred; None where the calls do not agree."""
        if self.votes >= MARGIN:
            return 0
        return 1 if self.votes <= CALLS - MARGIN else None


def labelled(
    problem: Problem, first: str, second: str, labeller: Labeller, rng: random.Random
) -> Pair:
    """Ask the labeller about a pair, in both orders, and about each response by itself."""
    votes = 0
    for call in range(CALLS):
        if call % 2:
            votes += not labeller.prefer(second, first, problem, rng)
        else:
            votes += labeller.prefer(first, second, problem, rng)
    safe = tuple(labeller.safe(text, problem, rng) for text in (first, second))
    return Pair(problems.as_dict(problem), (first, second), votes, safe)


def compared(
    sources: Sequence[tuple], asked: Sequence[Problem], seed: int, *, max_new_tokens: int = 96
) -> list[Pair]:
    """Return one labelled pair for each general prompt: responses of the models in turn.

    `sources` are (model, tokenizer): where there are several, a pair has one response of each of
    two neighbours, so that good and bad ones meet. Pairs of equal answers are left out.
    """
    rng = random.Random(f"preferences-{seed}")
    texts = [prompts.render(problem) for problem in asked]
    said = []
    for i, (model, tokenizer) in enumerate(sources):
        generator = torch.Generator(model.cos.device).manual_seed(
            random.Random(f"{seed}-{i}").getrandbits(63)
        )
        done = rollout.sample(
            model, tokenizer, texts, group_size=2, max_new_tokens=max_new_tokens,
            generator=generator,
        )  # fmt: skip
        said.append([a.text for a in done])
    out = []
    for at, problem in enumerate(asked):
        one, two = at % len(sources), (at + rng.randrange(2)) % len(sources)
        first, second = said[one][2 * at], said[two][2 * at + 1]
        if rng.random() < 0.5:
            first, second = second, first
        if answer(first) != answer(second):
            out.append(labelled(problem, first, second, Labeller(), rng))
    return out


def answer(text: str) -> str:
    """Return what helpfulness looks at: the final answer, '' without one."""
    return rewards.extract(text) or ""


def balanced(pairs: Sequence[Pair]) -> list[Pair]:
    """Return pairs of which as many prefer the longer answer as the shorter one, at each size of
    the difference; pairs of equal length stay. The first ones of the rarer kind are kept."""
    bins: dict[int, tuple[list[int], list[int]]] = {}
    keep = set()
    for i, pair in enumerate(pairs):
        sizes = [len(split_words(answer(text))) for text in pair.responses]
        best = pair.chosen()
        more = sizes[best] - sizes[1 - best]
        if more == 0:
            keep.add(i)
        else:
            bins.setdefault(min(3, abs(more).bit_length()), ([], []))[more > 0].append(i)
    for shorter, longer in bins.values():
        n = min(len(shorter), len(longer))
        keep.update(shorter[:n], longer[:n])
    return [pair for i, pair in enumerate(pairs) if i in keep]


# ---- the model -----------------------------------------------------------------------------------


class RewardModel(torch.nn.Module):
    """The body of a policy with one number on its last token, scaled to mean 0 and deviation 1 on
    the responses it was trained on."""

    def __init__(self, body):
        super().__init__()
        self.body = body
        self.head = torch.nn.Linear(body.shape.hidden, 1)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return raw scores (B,) of token rows."""
        width = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])  # (B, T)
        last = torch.tensor([len(row) - 1 for row in rows])
        hidden = self.body.hidden(ids)[torch.arange(len(rows)), last]  # (B, D)
        return self.head(hidden).squeeze(-1)

    @torch.no_grad()
    def scores(self, rows: Sequence[Sequence[int]], batch: int = 64) -> list[float]:
        """Return scaled scores of token rows, in their order."""
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        out = [0.0] * len(rows)
        for start in range(0, len(order), batch):
            part = order[start : start + batch]
            found = (self([rows[i] for i in part]) - self.mean) / self.scale
            for i, value in zip(part, found.tolist(), strict=True):
                out[i] = value
        return out

    def fit_scale(self, rows: Sequence[Sequence[int]]) -> None:
        """Set mean and deviation from the scores of rows."""
        raw = torch.tensor(self.scores(rows)) * self.scale + self.mean
        self.mean, self.scale = raw.mean(), raw.std().clamp(min=1e-3)


def row(tokenizer, problem: Problem, text: str, kind: str) -> list[int]:
    """Return the token ids that a reward model of a kind sees: the question, and the final answer
    or (harmlessness) the whole response; at most 500."""
    said = text if kind == "harmless" else answer(text)
    both = f"{prompts.render(problem, 'talk')} {said}"
    return tokenizer(both, add_special_tokens=False)["input_ids"][:500]


def save(model: RewardModel, folder) -> Path:
    """Write a reward model: the body as an ordinary checkpoint in bfloat16, and head.safetensors in
    float32."""
    folder = models.save(model.body, folder, torch.bfloat16)
    head = {"weight": model.head.weight, "bias": model.head.bias}
    head |= {"mean": model.mean, "scale": model.scale}
    save_file(
        {k: v.detach().clone().contiguous() for k, v in head.items()}, folder / "head.safetensors"
    )
    return folder


def load(folder) -> tuple[RewardModel, object]:
    """Return (reward model, tokenizer); CheckpointError where it is none."""
    body, tokenizer = models.load(folder)
    path = Path(folder) / "head.safetensors"
    if not path.is_file():
        raise models.CheckpointError(f"{folder} is no reward model: head.safetensors is missing")
    model, head = RewardModel(body), load_file(path)
    model.head.load_state_dict({k: head[k] for k in ("weight", "bias")})
    model.mean, model.scale = head["mean"], head["scale"]
    return model.requires_grad_(False), tokenizer


# ---- its training --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lesson:
    """What a reward model of one kind learns from, and what is held out."""

    kind: str
    """One of `KINDS`."""
    train: list[tuple]
    """Pairwise: (better row, worse row); point-wise: (row, 1.0 for safe)."""
    held: list[tuple]
    """The same, of other prompts."""


def lesson(pairs: Sequence[Pair], tokenizer, kind: str, held: float = 0.2) -> Lesson:
    """Return what a kind learns from; the last share of the prompts is held out, by key.

    Raises ValueError where too few labels are left.
    """
    keys = list(dict.fromkeys(pair.problem["key"] for pair in pairs))
    out = set(keys[int(len(keys) * (1 - held)) :])
    parts: tuple[list, list] = ([], [])
    for is_held in (False, True):
        some = [p for p in pairs if (p.problem["key"] in out) == is_held]
        if kind == "harmless":
            parts[is_held].extend(_points(some, tokenizer))
        else:
            agreed = [p for p in some if p.chosen() is not None]
            kept = balanced(agreed) if kind == "helpful" else agreed
            parts[is_held].extend(_rows(kept, tokenizer, kind))
    if min(map(len, parts)) < 2:
        raise ValueError(
            f"{kind}: {len(parts[0])} labels to learn from and {len(parts[1])} held out, expected "
            "2 or more of each: ask for more pairs"
        )
    return Lesson(kind, *parts)


def _rows(pairs, tokenizer, kind) -> list[tuple]:
    out = []
    for pair in pairs:
        problem, best = problems.from_dict(pair.problem), pair.chosen()
        both = [row(tokenizer, problem, text, kind) for text in pair.responses]
        out.append((both[best], both[1 - best]))
    return out


def _points(pairs, tokenizer) -> list[tuple]:
    out = []
    for pair in pairs:
        problem = problems.from_dict(pair.problem)
        for text, safe in zip(pair.responses, pair.safe, strict=True):
            out.append((row(tokenizer, problem, text, "harmless"), float(safe)))
    return out


def loss(model: RewardModel, batch: Sequence[tuple], kind: str) -> torch.Tensor:
    """Return the mean loss of a batch: -log sigmoid(better - worse) (Bradley and Terry), or
    cross-entropy of safe against unsafe, both classes with equal weight."""
    if kind != "harmless":
        scores = model([r for pair in batch for r in pair]).view(-1, 2)  # (B, 2)
        return F.softplus(scores[:, 1] - scores[:, 0]).mean()
    labels = torch.tensor([label for _, label in batch])
    return F.binary_cross_entropy_with_logits(model([r for r, _ in batch]), labels)


def measured(model: RewardModel, held: Sequence[tuple], kind: str) -> dict:
    """Return {"n", "accuracy", "calibration": [[mean predicted, share right, n], ...]} against held
    -out labels.

    Predictions are sigmoid(better - worse), or of safety; accuracy of harmlessness is the mean of
    both classes'. Ten bins of equal width, empty ones left out; for pairs each is taken in both
    orders, so that the curve is symmetric. Taught in notebook 07.
    """
    raw = [s * float(model.scale) + float(model.mean) for s in model.scores(rows_of(held, kind))]
    if kind == "harmless":
        seen = [(_sigmoid(s), label) for s, (_, label) in zip(raw, held, strict=True)]
        classes = [[p for p, label in seen if label == c] for c in (0.0, 1.0)]
        right = [
            sum((p > 0.5) == c for p in found) / len(found)
            for c, found in zip((False, True), classes, strict=True)
            if found
        ]
        accuracy = sum(right) / len(right)
    else:
        gaps = [_sigmoid(a - b) for a, b in zip(raw[::2], raw[1::2], strict=True)]
        seen = [(p, 1.0) for p in gaps] + [(1 - p, 0.0) for p in gaps]
        accuracy = sum(p > 0.5 for p in gaps) / len(gaps)
    bins: dict[int, list[tuple[float, float]]] = {}
    for p, label in seen:
        bins.setdefault(min(9, int(10 * p)), []).append((p, label))
    curve = [
        [sum(p for p, _ in b) / len(b), sum(y for _, y in b) / len(b), len(b)]
        for _, b in sorted(bins.items())
    ]
    return {"n": len(held), "accuracy": accuracy, "calibration": curve}


def rows_of(examples: Sequence[tuple], kind: str) -> list:
    """Return all token rows of examples, in order."""
    if kind == "harmless":
        return [r for r, _ in examples]
    return [r for pair in examples for r in pair]


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def as_dicts(pairs: Sequence[Pair]) -> list[dict]:
    """Return pairs as plain values."""
    return [asdict(pair) for pair in pairs]


def from_dicts(values: Sequence[dict]) -> list[Pair]:
    """Return the pairs that `as_dicts` wrote."""
    return [Pair(v["problem"], tuple(v["responses"]), v["votes"], tuple(v["safe"])) for v in values]
