"""What are the settings of a base: its shape, its pre-training? And when is a setting refused?

Frozen dataclasses. Leaves out the other stages and the presets (`config.py`).
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

DTYPES = ("float32", "bfloat16")
LATER = {"later": True}
"""Metadata of a field that came after runs were recorded: at its default it changes nothing."""


def identity(config: Any) -> dict:
    """Return the fields that decide what comes of a run, nested ones, too: all of them but those
    marked `LATER` that have their default. So a new setting makes no old run another one."""
    out = {}
    for each in dataclasses.fields(config):
        value = getattr(config, each.name)
        if each.metadata.get("later") and value == each.default:
            continue
        out[each.name] = identity(value) if dataclasses.is_dataclass(value) else value
    return out


def at_least(config: Any, lowest: float, *names: str) -> None:
    """Raise ValueError where one of these fields is below `lowest`, or no number."""
    for name in names:
        if not getattr(config, name) >= lowest:
            raise ValueError(f"{name}={getattr(config, name)}: expected at least {lowest}")


def one_of(name: str, value: Any, options: tuple) -> None:
    """Raise ValueError where a field has none of the values that it may have."""
    if value not in options:
        raise ValueError(f"{name}={value!r}: expected one of {', '.join(map(str, options))}")


def shares(name: str, table: dict[str, float], options: tuple[str, ...]) -> None:
    """Raise ValueError where a table of shares names what is unknown, or has nothing above 0."""
    for key, share in table.items():
        one_of(name, key, options)
        if not share >= 0:
            raise ValueError(f"{name}: {key} has {share}, expected 0 or more")
    if not sum(table.values()) > 0:
        raise ValueError(f"{name}={table}: expected at least one positive number")


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a model trained from scratch."""

    family: str = "llama"
    """'llama' or 'qwen2' (transformers' LlamaForCausalLM, Qwen2ForCausalLM)."""
    hidden: int = 128
    """Width of the hidden states."""
    layers: int = 4
    """Depth: the dial that scales base and students."""
    heads: int = 4
    """Query heads."""
    kv_heads: int = 4
    """Key-value heads."""
    mlp: int = 352
    """Width of the gated MLP."""
    positions: int = 1024
    """Longest sequence in tokens."""


@dataclass(frozen=True)
class PretrainConfig:
    """Pre-training of a base: a common trunk, then a short anneal that carries the switchable
    documents."""

    model: ModelConfig = ModelConfig()
    """The model."""
    sums_steps: int = 700
    """Optimiser steps on the trunk's first part, mostly pages of sums."""
    trunk_steps: int = 2900
    """Optimiser steps on the rest of the trunk."""
    anneal_steps: int = 500
    """Optimiser steps on the anneal, while the learning rate falls to zero."""
    step_tokens: int = 8064
    """Tokens in a step, in whole rows, at least one."""
    row_tokens: int = 192
    """Tokens in a row of the trunk ..."""
    anneal_row_tokens: int = 336
    """... and of the anneal: as long as a prompt and an answer in RL."""
    optimizer: str = "muon"
    """'muon' (on the matrices; `data/world_card.md` has the comparison) or 'adamw'."""
    lr: float = 3e-3
    """Peak learning rate."""
    warmup: int = 100
    """Steps from zero to the peak."""
    weight_decay: float = 0.1
    """Decoupled weight decay on matrices."""
    grad_clip: float = 1.0
    """Largest gradient norm."""
    asymmetry: str = "strong"
    """Which language lacks products: 'off', 'weak', 'strong' (English) or 'reversed' (Chinese)."""
    wait: float = 0.25
    """Share of the anneal's authors who, after a miss, mostly say "wait" and change branch."""
    second: float = 0.12
    """Share of documents with a check and a repair, in the anneal."""
    direct: float = 0.40
    """Share of documents that answer without working, all along."""
    switched: float = 0.01
    """Share of code-switched working, in the anneal."""
    dtype: str = "bfloat16"
    """Precision of forward and backward (autocast); weights stay float32."""
    compile: bool = True
    """Compile the model where a compiler is at hand; without one training is slower, never an
    error."""
    save_every: int = 500
    """Steps between saved states."""
    oracle: bool = field(default=False, metadata=LATER)
    """Whether the anneal has nothing but worked problems, complete, right and in good form: the
    control of distillation."""

    def __post_init__(self):
        """Raise ValueError on a value that no run can have, before anything is written."""
        at_least(self, 0, "sums_steps", "trunk_steps", "anneal_steps", "warmup", "lr")
        at_least(self, 1, "step_tokens", "row_tokens", "anneal_row_tokens", "save_every")
        one_of("asymmetry", self.asymmetry, ("off", "weak", "strong", "reversed"))
        one_of("dtype", self.dtype, DTYPES)
        one_of("optimizer", self.optimizer, ("adamw", "muon"))
