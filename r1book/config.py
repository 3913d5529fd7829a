"""What are the settings of a stage, and which preset fixes them? Frozen dataclasses; one dial for
the reader.

A preset is a function that returns a frozen `Preset`. Settings given as text: `settings.py`.
Leaves out what the values do: the rooms take plain arguments.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any


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

    def __post_init__(self):
        """Raise ValueError on a value that no run can have, before anything is written."""
        _at_least(self, 0, "sums_steps", "trunk_steps", "anneal_steps", "warmup", "lr")
        _at_least(self, 1, "step_tokens", "row_tokens", "anneal_row_tokens", "save_every")
        _one_of("asymmetry", self.asymmetry, ("off", "weak", "strong", "reversed"))
        _one_of("dtype", self.dtype, DTYPES)
        _one_of("optimizer", self.optimizer, ("adamw", "muon"))


@dataclass(frozen=True)
class RLConfig:
    """Group-relative policy optimisation with rule rewards."""

    steps: int = 90
    """Rollout steps."""
    prompts_per_step: int = 8
    """Questions in a step (the report: 32; more steps of 8 learn more in the same minutes than
    fewer of 16, see the log of `data/world_card.md`)."""
    group_size: int = 16
    """Answers to each question (the report: 16)."""
    max_new_tokens: int = 384
    """Length limit of an answer, in tokens (the report: 32,768, later 65,536)."""
    temperature: float = 1.0
    """Of the rollouts (the report: 1)."""
    families: dict[str, float] = field(
        default_factory=lambda: {"math": 0.25, "logic": 0.6, "stem": 0.15}
    )
    """Share of each problem family among the questions."""
    levels: tuple[int, ...] = (1, 2, 3, 4, 5)
    """Levels asked, with equal shares."""
    weights: dict[str, float] = field(default_factory=lambda: {"accuracy": 1.0, "format": 1.0})
    """Reward parts and their weights (the report: accuracy and format with equal weight, Nature Eq.
    4)."""
    reward: str = "rules"
    """'rules', or a control: 'random' (a fair coin), 'format_only'."""
    lr: float = 1e-4
    """Learning rate (the report: 3e-6, for 671 billion parameters; at 3e-4 learning stands still
    here after 45 steps, see the log of `data/world_card.md`)."""
    warmup: int = 5
    """Steps from zero to the learning rate."""
    minibatches: int = 1
    """Optimiser steps on each batch of rollouts (the report: 16)."""
    micro_tokens: int = 1024
    """Answer tokens, padding counted, that pass through the model together in the update; changes
    memory and speed, not the result."""
    clip_low: float = 0.2
    """Lower clip of the ratio, 1 - clip_low."""
    clip_high: float = 0.2
    """Upper clip, 1 + clip_high (the report gives 10 for R1's first RL stage only)."""
    ratio: str = "token"
    """'token', 'sequence_product' (as the report prints it) or 'sequence_mean'."""
    aggregation: str = "token_mean"
    """'token_mean', 'answer_mean' (1/|o|), 'token_sum' or 'dr_grpo'."""
    std: str = "sample"
    """Deviation that advantages are divided by: 'sample', 'population' or 'none'."""
    beta: float = 0.0
    """KL coefficient (the report: 0.001)."""
    reference_refresh: int = 400
    """Steps after which the reference becomes a copy of the policy (the report: 400)."""
    grad_clip: float = 1.0
    """Largest gradient norm."""
    dtype: str = "bfloat16"
    """Precision of the update's forward and backward where the processor has it; rollouts are
    float32."""
    save_every: int = 10
    """Steps between saved states."""
    trace_every: int = 10
    """Every how many steps the rollouts are written as traces (the first and last always are)."""

    def __post_init__(self):
        """Raise ValueError on a value that no run can have, before anything is written."""
        _at_least(
            self, 1, "steps", "prompts_per_step", "group_size", "max_new_tokens", "minibatches",
            "micro_tokens", "reference_refresh", "save_every", "trace_every",
        )  # fmt: skip
        _at_least(self, 0, "warmup", "temperature", "lr", "clip_low", "clip_high", "beta")
        _one_of("reward", self.reward, ("rules", "random", "format_only"))
        _one_of("ratio", self.ratio, ("token", "sequence_product", "sequence_mean"))
        _one_of(
            "aggregation", self.aggregation, ("token_mean", "answer_mean", "token_sum", "dr_grpo")
        )
        _one_of("std", self.std, ("sample", "population", "none"))
        _one_of("dtype", self.dtype, DTYPES)
        _shares("families", self.families, ("math", "logic", "stem", "code", "general"))
        _shares("weights", self.weights, ("accuracy", "format", "language"))
        for level in self.levels or (0,):
            _one_of("levels", level, (1, 2, 3, 4, 5))


@dataclass(frozen=True)
class SFTConfig:
    """Supervised fine-tuning on (prompt, completion) pairs."""

    examples: int = 0
    """Examples that are taken of the set, the first ones; 0: all."""
    passes: int = 3
    """How often each is seen (the report: 2, or 2 to 3, v1 p.11 and v2 B.4.2)."""
    batch: int = 16
    """Examples in a step (the report: 128)."""
    lr: float = 1e-3
    """Peak learning rate, falling to zero (the report: 5e-5 to 5e-6)."""
    warmup: int = 10
    """Steps from zero to the peak."""
    grad_clip: float = 1.0
    """Largest gradient norm."""
    dtype: str = "bfloat16"
    """Precision of forward and backward where the processor has it."""
    save_every: int = 100
    """Steps between saved states."""

    def __post_init__(self):
        """Raise ValueError on a value that no run can have, before anything is written."""
        _at_least(self, 0, "examples", "warmup", "lr")
        _at_least(self, 1, "passes", "batch", "save_every")
        _one_of("dtype", self.dtype, DTYPES)


@dataclass(frozen=True)
class MakeConfig:
    """Making data of models' answers, batch by batch."""

    steps: int = 24
    """Batches of prompts."""
    prompts_per_step: int = 48
    """Questions in a batch."""
    max_new_tokens: int = 384
    """Length limit of an answer, in tokens."""
    save_every: int = 4
    """Batches between saved states."""

    def __post_init__(self):
        """Raise ValueError on a value that no run can have, before anything is written."""
        _at_least(self, 1, "steps", "prompts_per_step", "max_new_tokens", "save_every")


@dataclass(frozen=True)
class CurateConfig(MakeConfig):
    """Making a training set of a model's own answers."""

    samples: int = 4
    """Answers to each question."""
    keep: int = 2
    """Most answers to one question that are kept (the cold start: one)."""
    free_form: int = 0
    """Further questions of each batch whose answers are sentences, for the judge."""
    families: dict[str, float] = field(
        default_factory=lambda: {"math": 0.35, "logic": 0.4, "stem": 0.25}
    )
    """Share of each problem family among the questions."""
    levels: tuple[int, ...] = (1, 2, 3, 4, 5)
    """Levels asked, with equal shares."""
    filters: tuple[str, ...] = ()
    """Names in `filters.FILTERS`, in order."""
    temperature: float = 1.0
    """Of the samples (the report's cold start: 1)."""

    def __post_init__(self):
        """As MakeConfig."""
        super().__post_init__()
        _at_least(self, 1, "samples", "keep")
        _at_least(self, 0, "free_form", "temperature")
        _shares("families", self.families, ("math", "logic", "stem", "code"))


DTYPES = ("float32", "bfloat16")


def _at_least(config: Any, lowest: float, *names: str) -> None:
    for name in names:
        if not getattr(config, name) >= lowest:
            raise ValueError(f"{name}={getattr(config, name)}: expected at least {lowest}")


def _one_of(name: str, value: Any, options: tuple) -> None:
    if value not in options:
        raise ValueError(f"{name}={value!r}: expected one of {', '.join(map(str, options))}")


def _shares(name: str, table: dict[str, float], options: tuple[str, ...]) -> None:
    for key, share in table.items():
        _one_of(name, key, options)
        if not share >= 0:
            raise ValueError(f"{name}: {key} has {share}, expected 0 or more")
    if not sum(table.values()) > 0:
        raise ValueError(f"{name}={table}: expected at least one positive number")


@dataclass(frozen=True)
class ScenarioConfig(RLConfig):
    """RL for all scenarios: rules for reasoning, reward models for general prompts."""

    general_steps: int = 20
    """Steps at the end that ask general prompts, too (the report: 400 of 1,700)."""
    general_weights: dict[str, float] = field(
        default_factory=lambda: {"helpful": 1.0, "harmless": 1.0, "format": 1.0, "language": 1.0}
    )
    """Reward parts of general prompts and their weights (Nature Eq. 9, 10)."""
    helpful: str = "helpful"
    """Which reward model of helpfulness: 'helpful', or 'unbalanced' (no balancing by length)."""

    def __post_init__(self):
        """As RLConfig."""
        super().__post_init__()
        _at_least(self, 0, "general_steps")
        _one_of("helpful", self.helpful, ("helpful", "unbalanced"))
        _shares(
            "general_weights", self.general_weights, ("helpful", "harmless", "format", "language")
        )


@dataclass(frozen=True)
class EvalConfig:
    """How a checkpoint is measured."""

    benchmarks: tuple[str, ...] = ("mini-MATH", "logic", "mini-GPQA")
    """Sets of `problems.load`."""
    problems: int = 100
    """Problems from each."""
    samples: int = 16
    """Answers to each problem."""
    split: str = "dev"
    """Split of the keys; test and held-out are for recorded results."""
    temperature: float = 1.0
    """Of the samples. The report evaluates at 0.6 (v1 p.12); 1 shows the distribution that RL
    trained."""
    top_p: float = 1.0
    """Nucleus of the samples (the report: 0.95)."""
    max_new_tokens: int = 384
    """Length limit."""

    def __post_init__(self):
        """Raise ValueError on a value that no evaluation can have."""
        _at_least(self, 1, "problems", "samples", "max_new_tokens")
        _at_least(self, 0, "temperature")
        _one_of("split", self.split, ("train", "dev", "test", "heldout"))


@dataclass(frozen=True)
class Preset:
    """Everything a run needs to know, by stage."""

    name: str
    """The dial."""
    base: PretrainConfig
    """Pre-training of the base."""
    qwen_base: PretrainConfig
    """Pre-training of the Qwen2-shaped student base."""
    llama_base: PretrainConfig
    """Pre-training of the Llama-shaped student base."""
    r1_zero: RLConfig
    """RL on the base with rule rewards."""
    chat: SFTConfig
    """SFT of the base on demonstrations: the V3 of this world."""
    cold_start_data: CurateConfig
    """R1-Zero's answers, filtered and rewritten."""
    cold_start: SFTConfig
    """SFT of the base on them: Dev1."""
    reasoning_rl: RLConfig
    """RL on Dev1 with a language reward: Dev2."""
    rejection_sampling: CurateConfig
    """Dev2's right and readable answers, and general data."""
    sft_800k: SFTConfig
    """SFT of the base on them: Dev3."""
    preferences: MakeConfig
    """Pairs of responses with labels, one for each prompt (the report: 66,000)."""
    reward_models: SFTConfig
    """Training of the reward models (the report: one pass at 6e-6)."""
    all_scenario_rl: ScenarioConfig
    """RL on Dev3 with rules and reward models: R1."""
    evaluation: EvalConfig
    """How each checkpoint is measured."""


def laptop() -> Preset:
    """Return the preset of the book: a miniature world on two CPU cores. Taught in notebook 00."""
    base = PretrainConfig()
    student = {"direct": 0.60, "sums_steps": 400, "trunk_steps": 1000, "anneal_steps": 250}
    return Preset(
        name="laptop",
        base=base,
        qwen_base=dataclasses.replace(
            base,
            model=ModelConfig("qwen2", hidden=96, layers=3, heads=3, kv_heads=3, mlp=256),
            **student,
        ),
        llama_base=dataclasses.replace(
            base,
            model=ModelConfig("llama", hidden=96, layers=3, heads=3, kv_heads=1, mlp=256),
            **student,
        ),
        r1_zero=RLConfig(),
        chat=SFTConfig(examples=7000, passes=2),
        cold_start_data=CurateConfig(
            steps=32, filters=("form", "mixed language", "repetition", "length"), keep=1
        ),
        cold_start=SFTConfig(examples=600),
        reasoning_rl=RLConfig(steps=60, weights={"accuracy": 1.0, "format": 1.0, "language": 1.0}),
        rejection_sampling=CurateConfig(
            filters=("form", "mixed language", "long paragraphs", "code blocks"), free_form=8
        ),
        sft_800k=SFTConfig(),
        preferences=MakeConfig(steps=60, prompts_per_step=64, max_new_tokens=96),
        reward_models=SFTConfig(passes=2, lr=3e-4, dtype="float32"),
        all_scenario_rl=ScenarioConfig(
            steps=60,
            families={"math": 0.15, "logic": 0.25, "stem": 0.1, "general": 0.5},
            weights={"accuracy": 1.0, "format": 1.0, "language": 1.0},
            temperature=0.7,
        ),
        evaluation=EvalConfig(),
    )


PRESETS = {"laptop": laptop}


def preset(name: str) -> Preset:
    """Return a preset by name; ValueError lists those that exist."""
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}: expected one of {', '.join(PRESETS)}")
    return PRESETS[name]()
