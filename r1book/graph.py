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
    built: bool = True
    """Whether this version of the book runs it."""
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
        "distill-qwen",
        ("qwen-base", "rejection-sampling"),
        "SFT of the Qwen student on the same data",
        "v1 2.4",
        False,
    ),
    Stage(
        "distill-llama",
        ("llama-base", "rejection-sampling"),
        "SFT of the Llama student on the same data",
        "v1 2.4",
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
    """Return the graph as text, one stage a line; stages still to be written are marked."""
    width = max(len(s.name) for s in GRAPH)
    froms = [" + ".join(s.needs) for s in GRAPH]
    room = max(map(len, froms))
    return "\n".join(
        f"{start:>{room}} --> {s.name:<{width}}  {s.does}{'' if s.built else ' (a later chapter)'}"
        for s, start in zip(GRAPH, froms, strict=True)
    )
