"""How does a model learn from text? Next-token cross-entropy: pre-training rows, or (prompt,
answer) pairs.

Leaves out where rows come from and what a
run folder holds (`stages.py`).

Shapes: B rows, T tokens, V vocabulary.
"""

import random
import shutil
from collections.abc import Callable, Iterator, Sequence

import torch
from torch.nn import functional as F

from r1book.network import LanguageModel
from r1book.world import corpus, vocab

IGNORE = -100
"""Label of positions that carry no loss."""
OPTIMIZERS = ("adamw", "muon")
"""Kinds of `optimizers`."""


def optimizers(
    model: LanguageModel, lr: float, *, weight_decay: float = 0.0, kind: str = "adamw"
) -> list:
    """Return [AdamW], or for kind 'muon' [Muon, AdamW]; each group remembers its peak rate as
    `peak` for `set_rate`.

    Muon (orthogonalised momentum) and the decay apply to the matrices of the layers, AdamW to
    embeddings, norms and biases. Raises ValueError on another kind.
    """
    if kind not in OPTIMIZERS:
        raise ValueError(f"optimizer {kind!r}: expected one of {', '.join(OPTIMIZERS)}")
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    groups = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    out = []
    if kind == "muon":
        decayed = groups.pop(0)
        out.append(
            torch.optim.Muon(
                decayed["params"], lr=lr, weight_decay=weight_decay,
                adjust_lr_fn="match_rms_adamw",  # so that AdamW's rates and decay can be used
            )
        )  # fmt: skip
    out.append(torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), fused=True))
    for optimizer in out:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return out


def set_rate(optimizers_: list, share: float) -> None:
    """Set every learning rate to `share` of its peak."""
    for optimizer in optimizers_:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * share


def warm_then_fall(step: int, steps: int, warmup: int, fall: int) -> float:
    """Return the share of the peak rate at `step`: linear warm-up, constant, linear fall over the
    last `fall` steps."""
    return min(1.0, (step + 1) / max(1, warmup), (steps - step) / max(1, fall))


def rows(mixture: corpus.Mixture, seed: int, step: int, count: int, length: int) -> torch.Tensor:
    """Return `count` rows (count, length + 1) of packed documents; the same step gives the same
    rows, without state.

    Each row starts with a whole document; the last one is cut at the row's end.
    """
    rng = random.Random(f"corpus-{seed}-{step}")
    bos, eos = vocab.IDS[vocab.BOS], vocab.IDS[vocab.EOS]
    out = []
    for _ in range(count):
        row: list[int] = []
        while len(row) <= length:
            row += [bos, *vocab.encode(corpus.document(rng, mixture)), eos]
        out.append(row[: length + 1])
    return torch.tensor(out)


def pairs(
    items: Sequence[tuple[list[int], list[int]]], pad: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (ids (B, T), labels (B, T)) of (prompt ids, answer ids): loss on the answer only,
    padding ignored.

    >>> ids, labels = pairs([([1, 5], [6, 2])], pad=0)
    >>> labels.tolist()
    [[-100, 6, 2]]

    Raises ValueError on an empty prompt or answer: the first token has nothing to be predicted
    from.
    """
    if not items or not all(p and a for p, a in items):
        raise ValueError("expected at least one pair, each with one or more prompt and answer ids")
    width = max(len(p) + len(a) for p, a in items)
    ids = torch.full((len(items), width - 1), pad)
    labels = torch.full((len(items), width - 1), IGNORE)
    for i, (prompt, answer) in enumerate(items):
        whole = torch.tensor([*prompt, *answer])
        ids[i, : len(whole) - 1] = whole[:-1]
        labels[i, len(prompt) - 1 : len(whole) - 1] = whole[len(prompt) :]
    return ids, labels


def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy (nats per token) of logits (B, T, V) against labels (B, T),
    IGNORE left out."""
    return F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORE)


def update(
    model: LanguageModel,
    optimizers_: list,
    ids: torch.Tensor,
    labels: torch.Tensor,
    *,
    grad_clip: float = 1.0,
    dtype: torch.dtype = torch.float32,
    forward: Callable | None = None,
) -> dict[str, float]:
    """Do one optimiser step on ids and labels (B, T); return loss (nats per token) and gradient
    norm.

    Raises FloatingPointError when loss or gradient is not finite; the weights are then untouched.
    """
    device = ids.device.type
    with torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32):
        logits = (forward or model.logits)(ids)
    value = loss(logits, labels)
    value.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
    if not torch.isfinite(norm):
        for optimizer in optimizers_:
            optimizer.zero_grad()
        raise FloatingPointError(
            f"loss {value.item()}, gradient norm {norm.item()}: not finite. Lower the learning rate"
        )
    for optimizer in optimizers_:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return {"loss": value.item(), "grad_norm": norm.item()}


def epochs(n: int, batch: int, passes: int, seed: int) -> Iterator[list[int]]:
    """Yield batches of indices below `n`, shuffled anew in each pass; the last batch of a pass may
    be smaller."""
    for each in range(passes):
        order = list(range(n))
        random.Random(f"epoch-{seed}-{each}").shuffle(order)
        for start in range(0, n, batch):
            yield order[start : start + batch]


def alike(lengths: Sequence[int], batch: int, passes: int, seed: int) -> Iterator[list[int]]:
    """Yield batches of indices as `epochs` does, of rows of like length, so that little is padded.

    In each pass the order is drawn anew, cut into pools of 16 batches, sorted within each pool, and
    the batches are shuffled (the field's "group by length").
    """
    for each in range(passes):
        rng = random.Random(f"alike-{seed}-{each}")
        order = rng.sample(range(len(lengths)), len(lengths))
        cut = []
        for start in range(0, len(order), 16 * batch):
            pool = sorted(order[start : start + 16 * batch], key=lengths.__getitem__)
            cut += [pool[at : at + batch] for at in range(0, len(pool), batch)]
        rng.shuffle(cut)
        yield from cut


def precision(name: str) -> torch.dtype:
    """Return the torch dtype for 'float32' or 'bfloat16'; bfloat16 becomes float32 where the
    processor lacks it.

    Raises ValueError on another name.
    """
    if name not in ("float32", "bfloat16"):
        raise ValueError(f"unknown precision {name!r}: expected 'float32' or 'bfloat16'")
    if name == "bfloat16" and not fast_bfloat16():
        return torch.float32
    return getattr(torch, name)


def fast_bfloat16() -> bool:
    """Return whether this machine multiplies bfloat16 in hardware.

    oneDNN says it supports bfloat16 wherever there is AVX-512, and emulates it: a step then takes
    twice as long as in float32.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = getattr(torch.cpu, "get_capabilities", dict)()  # torch of today; else float32
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def compiled(model: LanguageModel) -> Callable | None:
    """Return the compiled forward of a model, or None (with a printed reason) where there is no
    working compiler."""
    if not (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")):
        print("no C++ compiler found: training runs uncompiled, more slowly")
        return None
    try:  # a compiler may lack its headers or its linker: find out now, not hours later
        torch.compile(lambda x: x.sin() + 1)(torch.zeros(8))
    except (RuntimeError, OSError, ImportError) as error:
        print(
            f"the C++ compiler does not work ({type(error).__name__}): "
            "training runs uncompiled, more slowly"
        )
        return None
    return torch.compile(model.logits)
