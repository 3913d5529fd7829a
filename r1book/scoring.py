"""How likely does a model find given answers, token by token? Log-probabilities, each prompt passed
through once.

Leaves out sampling (`rollout.py`) and what is learnt from it (`rl.py`, `onpolicy.py`).

Shapes: B answers, T answer tokens, M tokens of all answers, D hidden, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from r1book import fused
from r1book.network import Prefix
from r1book.rollout import Rollout


def micro_batches(lengths: list[int], tokens: int) -> list[slice]:
    """Cut rising `lengths` into runs of at most `tokens` tokens, padding counted, or of one row.

    Long answers pass through the model few at a time and short ones many, so that little is padded
    and what is in work stays as large.

    >>> micro_batches([2, 2, 3, 9], 6)
    [slice(3, 4, None), slice(1, 3, None), slice(0, 1, None)]
    """
    out, end = [], len(lengths)
    while end:
        start = max(0, end - max(1, tokens // max(1, lengths[end - 1])))
        out.append(slice(start, end))
        end = start
    return out


def pad(rows: list[torch.Tensor], width: int) -> torch.Tensor:
    """Return rows of different lengths as (B, width), zeros at the end."""
    return torch.stack([F.pad(row, (0, width - len(row))) for row in rows])


class SharedPrompts:
    """The distinct prompts of some answers, passed through the model once.

    Micro-batches read copies (`copies`), where their gradients gather; `backward` then passes the
    sum through the prompts once.
    """

    def __init__(self, model, answers: list[Rollout], dtype):
        device = model.cos.device
        rows: dict[tuple[int, ...], int] = {}
        for a in answers:
            rows.setdefault(tuple(a.prompt_ids), len(rows))
        self.rows = rows
        lengths = torch.tensor([len(ids) for ids in rows], device=device)  # (P,)
        width = max(map(len, rows))
        ids = torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in rows], device=device)
        with autocast(model, dtype):
            self.made = model.prefix(ids, lengths)
        copies = [x.detach().requires_grad_(x.requires_grad) for x in self._tensors(self.made)]
        self.copies = Prefix(copies[0], copies[1:], lengths)

    @staticmethod
    def _tensors(prefix: Prefix) -> list[torch.Tensor]:
        return [prefix.last, *prefix.kept]

    def of(self, answers: list[Rollout]) -> torch.Tensor:
        """Return the row (B,) of each answer's prompt."""
        rows = [self.rows[tuple(a.prompt_ids)] for a in answers]
        return torch.tensor(rows, device=self.made.lengths.device)

    def backward(self) -> None:
        """Pass the gradients of the copies on to the weights."""
        pairs = zip(self._tensors(self.made), self._tensors(self.copies), strict=True)
        gathered = [(made, copy.grad) for made, copy in pairs if copy.grad is not None]
        if gathered:
            torch.autograd.backward(*map(list, zip(*gathered, strict=True)))


def logprobs(
    model, answers: list[Rollout], temperature: float, dtype, shared: SharedPrompts | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return log-probabilities (B, T), entropies (B, T, no gradient) and mask (B, T) of answers, in
    one forward pass; logits are computed for their own tokens only.
    """
    found = states(model, answers, dtype, shared)
    B, T = found.mask.shape
    table = model.model.embed_tokens.weight  # (V, D)
    with autocast(model, dtype):
        logp, entropy = fused.scores(found.states, table, found.tokens, temperature)  # (M,)

    def spread(values):  # (M,) -> (B, T)
        return values.new_zeros(B * T).index_copy(0, found.places, values).view(B, T)

    return spread(logp), spread(entropy), found.mask


@dataclass(frozen=True)
class States:
    """What a model has come to before each token of some answers."""

    states: Tensor
    """(M, D), after the last norm, M tokens of answers one after the other."""
    tokens: Tensor
    """(M,), the tokens that follow them."""
    places: Tensor
    """(M,), where they stand in the flattened mask."""
    mask: Tensor
    """(B, T), 1 on answers, 0 on padding."""


def states(model, answers: list[Rollout], dtype, shared: SharedPrompts | None = None) -> States:
    """Return the hidden states before each token of the answers, in one forward pass.

    Each prompt is computed once for all of its answers, here or, for several micro-batches,
    before (`shared`). Answers are padded on the right.
    """
    device = model.cos.device
    B, T = len(answers), max(len(a.ids) for a in answers)
    ids = torch.zeros(B, T, dtype=torch.long)
    mask = torch.zeros(B, T)
    for b, a in enumerate(answers):
        ids[b, : len(a.ids)] = torch.tensor(a.ids)
        mask[b, : len(a.ids)] = 1
    places = mask.flatten().nonzero().squeeze(1).to(device)  # (M,), M tokens of answers
    ids, mask = ids.to(device), mask.to(device)
    given = SharedPrompts(model, answers, dtype) if shared is None else shared
    prefix, rows = given.made if shared is None else given.copies, given.of(answers)
    with autocast(model, dtype):
        before = prefix.last.index_select(0, rows)[:, None]  # (B, 1, D)
        if T > 1:
            before = torch.cat([before, model.after(prefix, rows, ids[:, :-1])], 1)  # (B, T, D)
    before = before.flatten(0, 1).index_select(0, places)  # (M, D)
    return States(before, ids.flatten()[places], places, mask)


def autocast(model, dtype):
    """Return the context in which a forward pass is computed in `dtype`."""
    kind = model.cos.device.type
    return torch.autocast(kind, dtype=dtype, enabled=dtype != torch.float32)
