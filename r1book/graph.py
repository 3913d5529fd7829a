"""Which stages lead from a base to R1? The graph as data; README and notebook 00 draw it from here.

Leaves out how a stage is run (`stages.py`).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One stop of the pipeline."""

    name: str
    """As on the command line."""
    needs: tuple[str, ...]
    """Stages whose checkpoint or data it consumes."""
    does: str
    """What happens, in words."""
    source: str
    """Where the report describes it."""
    report: bool = True
    """Whether the report has it; else it is ours, for comparison, and no part of `run all`."""
    gives: str = "checkpoint"
    """What it leaves in its folder: 'checkpoint', 'data' or (reward) 'models'."""


GRAPH = (
    Stage(
        "base",
        (),
        "pre-training on the world's documents: trunk, then anneal",
        "stands for DeepSeek-V3-Base",
    ),
    Stage(
        "qwen-base", (), "the same for a smaller Qwen2-shaped student", "Qwen2.5 bases, v1 Table 5"
    ),
    Stage(
        "llama-base", (), "the same for a smaller Llama-shaped student", "Llama 3 bases, v1 Table 5"
    ),
    Stage("r1-zero", ("base",), "GRPO with accuracy and format reward, no SFT", "v1 2.2"),
    Stage(
        "chat",
        ("base",),
        "SFT on demonstrations: it rewrites, judges and writes for the stages below",
        "stands for DeepSeek-V3, v1 2.3",
    ),
    Stage(
        "cold-start-data",
        ("r1-zero", "chat"),
        "R1-Zero's right and readable traces, rewritten by chat",
        "v1 2.3.1; v2 B.3.2",
        gives="data",
    ),
    Stage("cold-start", ("base", "cold-start-data"), "SFT of the base on them: Dev1", "v1 2.3.1"),
    Stage(
        "reasoning-rl",
        ("cold-start",),
        "GRPO with accuracy, format and language reward: Dev2",
        "v1 2.3.2",
    ),
    Stage(
        "rejection-sampling",
        ("reasoning-rl", "chat"),
        "right and readable answers of Dev2, and general data by chat",
        "v1 2.3.3",
        gives="data",
    ),
    Stage("sft-800k", ("base", "rejection-sampling"), "SFT of the base again: Dev3", "v1 2.3.3"),
    Stage(
        "preferences",
        ("sft-800k", "base"),
        "pairs of responses of Dev3 and the base, compared by the biased labeller",
        "v1 2.3.4; Nature, Methods",
        gives="data",
    ),
    Stage(
        "reward-models",
        ("sft-800k", "preferences"),
        "helpfulness on final answers, harmlessness on whole responses",
        "v1 2.3.4; Nature, Methods",
        gives="models",
    ),
    Stage(
        "all-scenario-rl",
        ("sft-800k", "reward-models"),
        "GRPO with rules and reward models: R1",
        "v1 2.3.4",
    ),
    Stage(
        "distillation-data",
        ("reasoning-rl", "chat"),
        "made like the set of the second SFT, four times as much: small students need more",
        "v1 2.3.3, 2.4",
        gives="data",
    ),
    Stage(
        "distill-qwen",
        ("qwen-base", "distillation-data"),
        "SFT of the Qwen student on them: R1-Distill-Qwen-mini",
        "v1 2.4",
    ),
    Stage(
        "distill-llama",
        ("llama-base", "distillation-data"),
        "SFT of the Llama student on them: R1-Distill-Llama-mini",
        "v1 2.4",
    ),
    Stage(
        "on-policy-distill",
        ("qwen-base", "reasoning-rl"),
        "the student answers, the teacher grades each of its tokens",
        "Thinking Machines, 2025",
        False,
    ),
)
"""The stage graph. README and notebook 00 draw it from here; the second SFT restarts from the
base."""

STAGES = {stage.name: stage for stage in GRAPH}


def above(name: str) -> set[str]:
    """Return a stage and all that it needs, by way of others too."""
    return {name}.union(*(above(need) for need in STAGES[name].needs))


def drawn() -> str:
    """Return the graph as text, one stage a line; what the report does not have is marked."""
    width = max(len(s.name) for s in GRAPH)
    froms = [" + ".join(s.needs) for s in GRAPH]
    room = max(map(len, froms))
    marks = ["" if s.report else " (not in the report)" for s in GRAPH]
    return "\n".join(
        f"{start:>{room}} --> {s.name:<{width}}  {s.does}{mark}"
        for s, start, mark in zip(GRAPH, froms, marks, strict=True)
    )
