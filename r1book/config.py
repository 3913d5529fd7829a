"""What are the settings of a stage, and which preset fixes them? Frozen dataclasses; one dial for
the reader.

A preset is a function that returns a frozen `Preset`. Settings given as text: `settings.py`.
Leaves out the settings of a base (`base_config.py`), and what the values do: the rooms take plain
arguments.
"""

import dataclasses
from dataclasses import dataclass, field

from r1book.base_config import (
    DTYPES,
    LATER,
    ModelConfig,
    PretrainConfig,
    at_least,
    one_of,
    shares,
)


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
    operations: float = field(default=0.0, metadata=LATER)
    """Floating-point operations (as `compute.py` counts them) after which a run ends, be it before
    its last step; 0: they do not end it. For runs of equal cost, whose answers differ in length."""

    def __post_init__(self):
        """Raise ValueError on a value that no run can have, before anything is written."""
        at_least(
            self, 1, "steps", "prompts_per_step", "group_size", "max_new_tokens", "minibatches",
            "micro_tokens", "reference_refresh", "save_every", "trace_every",
        )  # fmt: skip
        at_least(
            self, 0, "warmup", "temperature", "lr", "clip_low", "clip_high", "beta", "operations"
        )
        one_of("reward", self.reward, ("rules", "random", "format_only"))
        one_of("ratio", self.ratio, ("token", "sequence_product", "sequence_mean"))
        one_of(
            "aggregation", self.aggregation, ("token_mean", "answer_mean", "token_sum", "dr_grpo")
        )
        one_of("std", self.std, ("sample", "population", "none"))
        one_of("dtype", self.dtype, DTYPES)
        shares("families", self.families, ("math", "logic", "stem", "code", "general"))
        shares("weights", self.weights, ("accuracy", "format", "language"))
        for level in self.levels or (0,):
            one_of("levels", level, (1, 2, 3, 4, 5))


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
    think: bool = field(default=True, metadata=LATER)
    """Whether the thinking is learnt, too; False: `<think>` is left empty, the answer stays."""

    def __post_init__(self):
        """Raise ValueError on a value that no run can have, before anything is written."""
        at_least(self, 0, "examples", "warmup", "lr")
        at_least(self, 1, "passes", "batch", "save_every")
        one_of("dtype", self.dtype, DTYPES)


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
        at_least(self, 1, "steps", "prompts_per_step", "max_new_tokens", "save_every")


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
    right: bool = field(default=True, metadata=LATER)
    """Whether only right answers are kept; False: wrong ones, too, a control."""

    def __post_init__(self):
        """As MakeConfig."""
        super().__post_init__()
        at_least(self, 1, "samples", "keep")
        at_least(self, 0, "free_form", "temperature")
        shares("families", self.families, ("math", "logic", "stem", "code"))


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
        at_least(self, 0, "general_steps")
        one_of("helpful", self.helpful, ("helpful", "unbalanced"))
        shares(
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

    levels: tuple[int, ...] = field(default=(), metadata=LATER)
    """Levels asked; (): all that the benchmark has."""

    def __post_init__(self):
        """Raise ValueError on a value that no evaluation can have."""
        at_least(self, 1, "problems", "samples", "max_new_tokens")
        at_least(self, 0, "temperature")
        for level in self.levels:
            one_of("levels", level, (1, 2, 3, 4, 5))
        one_of("split", self.split, ("train", "dev", "test", "heldout"))


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
    distillation_data: CurateConfig
    """As rejection sampling, with more batches: its first ones are those of the second SFT."""
    distill_qwen: SFTConfig
    """SFT of the Qwen2-shaped student on them."""
    distill_llama: SFTConfig
    """SFT of the Llama-shaped student on the same."""
    on_policy_distill: RLConfig
    """A student's own answers, graded by a teacher; of the settings, rewards, mini-batches, std,
    clipping, ratio, aggregation and KL have no part in it."""
    evaluation: EvalConfig
    """How each checkpoint is measured."""


def laptop() -> Preset:
    """Return the preset of the book: a miniature world on two CPU cores. Taught in notebook 00."""
    base = PretrainConfig()
    sampling = CurateConfig(
        filters=("form", "mixed language", "long paragraphs", "code blocks"), free_form=8
    )
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
        rejection_sampling=sampling,
        sft_800k=SFTConfig(),
        preferences=MakeConfig(steps=60, prompts_per_step=64, max_new_tokens=96),
        reward_models=SFTConfig(passes=2, lr=3e-4, dtype="float32"),
        all_scenario_rl=ScenarioConfig(
            steps=60,
            families={"math": 0.15, "logic": 0.25, "stem": 0.1, "general": 0.5},
            weights={"accuracy": 1.0, "format": 1.0, "language": 1.0},
            temperature=0.7,
        ),
        distillation_data=dataclasses.replace(sampling, steps=96),
        distill_qwen=SFTConfig(examples=6000),
        distill_llama=SFTConfig(examples=6000),
        on_policy_distill=RLConfig(prompts_per_step=32, group_size=4),
        evaluation=EvalConfig(),
    )


PRESETS = {"laptop": laptop}


def preset(name: str) -> Preset:
    """Return a preset by name; ValueError lists those that exist."""
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}: expected one of {', '.join(PRESETS)}")
    return PRESETS[name]()
