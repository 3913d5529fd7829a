"""What does a stage do in a step? Pre-training, fine-tuning, reinforcement, reward models.

A trainer has `steps`, `step(number) -> (metrics line, traces)`, `state()` and `restore(state)`,
from which a killed run goes on to the same end, `leave(out, preset)`, which writes what the stage
gives into its folder and returns entries of its card, and `forks_at`, the step after which others
may branch off. Leaves out the run folder (`stages.py`) and the making of data (`makers.py`).
"""

import dataclasses
import json
import time
from pathlib import Path

import torch

from r1book import (
    actors,
    compute,
    evaluate,
    gates,
    makers,
    models,
    onpolicy,
    preference,
    problems,
    rewarders,
    rl,
    rollout,
    runs,
    scenario,
    sets,
    sft,
    trace,
)
from r1book.config import (
    CurateConfig,
    EvalConfig,
    MakeConfig,
    Preset,
    PretrainConfig,
    RLConfig,
    ScenarioConfig,
    SFTConfig,
)
from r1book.work import Work
from r1book.world import corpus


class Trainer(Work):
    """A model that is trained, with its optimisers."""

    def __init__(self, config, seed: int, model, tokenizer, optimizers: list):
        self.config, self.seed = config, seed
        self.model, self.tokenizer, self.optimizers = model, tokenizer, optimizers

    def state(self) -> dict:
        """Return all that decides how the run goes on."""
        return {
            "model": self.model.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
        }

    def restore(self, state: dict) -> None:
        """Take up a state."""
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)

    def parameters(self) -> int:
        """Return the size of the model."""
        return models.parameters(self.model)

    def leave(self, out: Path, preset: Preset) -> dict:
        """Write checkpoint and evaluation; return checksum and size."""
        models.save(self.model, out / "checkpoint", torch.bfloat16)
        model, tokenizer = models.load(out / "checkpoint")
        # the same questions for every run, so that runs can be compared problem by problem
        result = evaluate.evaluate(model, tokenizer, preset.evaluation)
        trace.write_json(out / "eval.json", result)
        return self.told(out) | self.report(model, tokenizer, out)

    def told(self, out: Path) -> dict:
        """Return the entry of the card that names the checkpoint."""
        told = {
            "sha256": runs.checksum(out / "checkpoint"),
            "parameters": models.parameters(self.model),
        }
        return {"checkpoint": told}

    def report(self, model, tokenizer, out: Path) -> dict:
        """Measure what belongs to this kind of stage alone; return entries of the card."""
        return {}


class Pretrain(Trainer):
    """Base training: rows of documents from (seed, step), the anneal's mixture after the
    trunk's."""

    def __init__(self, name: str, config: PretrainConfig, seed: int, source: Path | None = None):
        model = models.build(config.model, seed) if source is None else models.load(source)[0]
        optimizers = sft.optimizers(
            model, config.lr, weight_decay=config.weight_decay, kind=config.optimizer
        )
        super().__init__(config, seed, model, None, optimizers)
        self.limits = gates.LIMITS if name == "base" else gates.STUDENT_LIMITS
        self.trunk = config.sums_steps + config.trunk_steps
        self.steps = self.trunk + config.anneal_steps
        self.forks_at = self.trunk if source is None and config.anneal_steps else None
        anneal = corpus.anneal(
            config.asymmetry, wait=config.wait, second=config.second, switched=config.switched
        )
        self.mixtures = [
            dataclasses.replace(mixture, direct=config.direct)
            for mixture in (corpus.ARITHMETIC, corpus.TRUNK, anneal)
        ]
        if config.oracle:
            self.mixtures[2] = dataclasses.replace(anneal, **ORACLE)
        self.dtype = sft.precision(config.dtype)
        self.forward = sft.compiled(self.model) if config.compile else None

    def step(self, number: int):
        """Take a step on documents."""
        c = self.config
        trunk = number < self.trunk
        mixture = self.mixtures[0 if number < c.sums_steps else 1 if trunk else 2]
        length = c.row_tokens if trunk else c.anneal_row_tokens
        count = max(1, c.step_tokens // length)
        rows = sft.rows(mixture, self.seed, number, count, length)
        share = sft.warm_then_fall(
            number, self.steps, c.warmup, max(c.anneal_steps, self.steps // 4)
        )
        sft.set_rate(self.optimizers, share)
        started = time.perf_counter()
        got = sft.update(
            self.model,
            self.optimizers,
            rows[:, :-1],
            rows[:, 1:],
            grad_clip=c.grad_clip,
            dtype=self.dtype,
            forward=self.forward,
        )
        return {
            "step": number,
            **got,
            "lr": c.lr * share,
            "trained_tokens": count * length,
            "part": "trunk" if trunk else "anneal",
            "seconds": round(time.perf_counter() - started, 3),
        }, []

    def report(self, model, tokenizer, out: Path) -> dict:
        """Measure the gates of a base, or of a student base; write them beside the run card."""
        found = gates.measure(model, tokenizer, limits=self.limits)
        trace.write_json(out / "gates.json", found)
        return {"gates_passed": found["passed"]}


ORACLE = {
    "math": 0.35, "logic": 0.4, "stem": 0.25, "code": 0.0, "general": 0.0, "sums": 0.0,
    "lexicon": 0.0, "header": 1.0, "well_formed": 1.0, "direct": 0.0, "short": 0.0,
    "give_up": 0.0, "wait": 1.0, "switched": 0.0, "borrow": 0.0,
}  # fmt: skip
"""The mixture of `PretrainConfig.oracle`: families as in rejection sampling, authors that go on
until they have it."""


class Reinforce(Trainer):
    """RL: a policy, an optional reference that is refreshed, AdamW without decay."""

    def __init__(self, config: RLConfig, seed: int, source: Path):
        model, tokenizer = models.load(source)
        super().__init__(config, seed, model, tokenizer, sft.optimizers(model, config.lr))
        self.steps = config.steps
        self.reference = models.load(source)[0].requires_grad_(False) if config.beta else None
        self.judge = rl.score
        self.spent = 0.0

    def settings(self, number: int):
        """Return the settings of a step."""
        return self.config

    def step(self, number: int):
        """Take a step of GRPO."""
        c = self.config
        if self.reference is not None and number and number % c.reference_refresh == 0:
            self.reference.load_state_dict(self.model.state_dict())
        done = self.take(number)
        self.spent += compute.of_step(done.metrics, self.parameters(), self.beside())
        keep = number % c.trace_every == 0 or number + 1 == c.steps or self.ended()
        return done.metrics, done.traces if keep else []

    def take(self, number: int) -> rl.Step:
        """Sample, judge and update."""
        return rl.step(
            self.model, self.reference, self.tokenizer, self.optimizers, self.settings(number),
            self.seed, number, self.judge,
        )  # fmt: skip

    def beside(self) -> int:
        """As Trainer: the reference, where there is one."""
        return 0 if self.reference is None else models.parameters(self.reference)

    def ended(self) -> bool:
        """As Trainer: when its operations are spent."""
        return 0 < self.config.operations <= self.spent

    def expected(self, done: int) -> int:
        """As Trainer: as many as the operations allow at the cost of a step so far."""
        allowed = self.config.operations * done / self.spent if self.spent else 0
        return min(self.steps, max(done + 1, round(allowed))) if allowed else self.steps

    def state(self) -> dict:
        """As Trainer, with the reference and what is spent."""
        more = {} if self.reference is None else {"reference": self.reference.state_dict()}
        return super().state() | more | {"spent": self.spent}

    def restore(self, state: dict) -> None:
        """As Trainer, with the reference and what is spent."""
        super().restore(state)
        self.spent = state.get("spent", 0.0)
        if self.reference is not None:
            self.reference.load_state_dict(state["reference"])


class FineTune(Trainer):
    """SFT of a checkpoint on (prompt, completion) pairs, loss on the completions only."""

    def __init__(self, config: SFTConfig, seed: int, source: Path, pairs: list[tuple[str, str]]):
        model, tokenizer = models.load(source)
        super().__init__(config, seed, model, tokenizer, sft.optimizers(model, config.lr))
        if max(1, config.examples) > len(pairs):
            raise ValueError(
                f"examples={config.examples}, but the set has {len(pairs)}: ask for fewer, or make "
                "a larger set (more steps of its stage)"
            )
        pairs = pairs[: config.examples or None]
        self.examples = len(pairs)
        prompts = rollout.encode_prompts(model, tokenizer, [prompt for prompt, _ in pairs], 1)
        told = tokenizer([text for _, text in pairs], add_special_tokens=False)["input_ids"]
        ends = [[*ids, tokenizer.eos_token_id] for ids in told]
        self.rows = list(zip(prompts, ends, strict=True))
        lengths = [len(p) + len(a) for p, a in self.rows]
        if max(lengths) > model.shape.positions + 1:
            raise ValueError(
                f"an example of {max(lengths)} tokens, but this model accepts at most "
                f"{model.shape.positions}: leave such examples out of the set"
            )
        self.batches = list(sft.alike(lengths, config.batch, config.passes, seed))
        self.steps = len(self.batches)
        self.dtype = sft.precision(config.dtype)

    def step(self, number: int):
        """Take a step on a batch of pairs."""
        c = self.config
        share = sft.warm_then_fall(number, self.steps, c.warmup, self.steps)
        sft.set_rate(self.optimizers, share)
        started = time.perf_counter()
        rows = [self.rows[i] for i in self.batches[number]]
        ids, labels = sft.pairs(rows, self.tokenizer.pad_token_id)
        got = sft.update(
            self.model, self.optimizers, ids, labels, grad_clip=c.grad_clip, dtype=self.dtype
        )
        return {
            "step": number,
            **got,
            "lr": c.lr * share,
            "trained_tokens": sum(len(answer) for _, answer in rows),
            "prompt_tokens": sum(len(prompt) for prompt, _ in rows),
            "seconds": round(time.perf_counter() - started, 3),
        }, []

    def report(self, model, tokenizer, out: Path) -> dict:
        """Return how many examples were learnt from."""
        return {"examples": self.examples}


class Chat(FineTune):
    """SFT of the base on what the chat model is asked later."""

    def __init__(self, config: SFTConfig, seed: int, source: Path):
        super().__init__(config, seed, source, actors.demonstrations(config.examples, seed))

    def leave(self, out: Path, preset: Preset) -> dict:
        """Write checkpoint and what it is good at: general prompts under its own template, and
        judging; it is not asked to reason."""
        models.save(self.model, out / "checkpoint", torch.bfloat16)
        model, tokenizer = models.load(out / "checkpoint")
        how = preset.evaluation
        seen = evaluate.traces(model, tokenizer, "mini-Arena", how, template="chat")
        judge = actors.error_rate(model, tokenizer, 4 * how.problems, self.seed)
        result = {"mini-Arena": {"n": how.problems, **evaluate.arena(seen)}, "judge": judge}
        trace.write_json(out / "eval.json", result)
        return self.told(out) | self.report(model, tokenizer, out)


class Scenario(Reinforce):
    """RL for all scenarios, judged by rules and reward models."""

    def __init__(self, config: ScenarioConfig, seed: int, source: Path, rewarders: Path):
        super().__init__(config, seed, source)
        (helpful, _), (harmless, _) = (
            preference.load(rewarders / kind) for kind in (config.helpful, "harmless")
        )
        self.helpful = helpful
        self.judge = scenario.judge(helpful, harmless, self.tokenizer)

    def report(self, model, tokenizer, out: Path) -> dict:
        """Measure general prompts once more with what was optimised, the reward model: a proxy that
        may rise while the gold quality falls. The evaluation keeps both, of the same answers."""
        path = out / "eval.json"
        how = EvalConfig(problems=60, samples=4)
        seen = evaluate.traces(model, tokenizer, "mini-Arena", how)
        rows = [
            preference.row(tokenizer, problems.from_dict(t.problem), t.completion, "helpful")
            for t in seen
        ]
        scores = self.helpful.scores(rows)
        told = evaluate.arena(seen) | {"helpful": sum(scores) / len(scores)}
        result = json.loads(path.read_text(encoding="utf-8")) | {"mini-Arena": told}
        trace.write_json(path, result)
        return {}

    def settings(self, number: int):
        """As `scenario.settings`."""
        return scenario.settings(self.config, number)


class OnPolicy(Reinforce):
    """On-policy distillation: a teacher in place of rewards."""

    def __init__(self, config: RLConfig, seed: int, source: Path, teacher: Path):
        super().__init__(config, seed, source)
        self.teacher = models.load(teacher)[0].requires_grad_(False)

    def take(self, number: int) -> rl.Step:
        """Let the student answer, the teacher grade, and update the student."""
        return onpolicy.step(
            self.model, self.teacher, self.tokenizer, self.optimizers, self.config, self.seed,
            number,
        )  # fmt: skip

    def beside(self) -> int:
        """As Trainer: the teacher."""
        return models.parameters(self.teacher)


def trainer(name: str, config, seed: int, sources: dict[str, Path]):
    """Return the trainer of a stage; `sources` are the folders that it needs, by stage."""
    if isinstance(config, PretrainConfig):
        return Pretrain(name, config, seed, next(iter(sources.values()), None))
    if name == "chat":
        return Chat(config, seed, sources["base"])
    first, *others = sources.values()
    if isinstance(config, ScenarioConfig):
        return Scenario(config, seed, first, *others)
    if name == "on-policy-distill":
        return OnPolicy(config, seed, first, *others)
    if isinstance(config, RLConfig):
        return Reinforce(config, seed, first)
    if isinstance(config, CurateConfig):
        return makers.Curate(name, config, seed, first, *others)
    if isinstance(config, MakeConfig):
        return makers.Compare(config, seed, [first, *others])
    if name == "reward-models":
        return rewarders.RewardModels(config, seed, first, *others)
    said = str if config.think else sets.unthought
    pairs = [(row.prompt, said(row.completion)) for row in sets.read(others[0])]
    return FineTune(config, seed, first, pairs)
