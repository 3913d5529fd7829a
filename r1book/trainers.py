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
    evaluate,
    gates,
    makers,
    models,
    preference,
    problems,
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
from r1book.world import corpus


class Trainer:
    """A model that is trained, with its optimisers."""

    forks_at: int | None = None
    steps: int
    seed: int

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


class Reinforce(Trainer):
    """RL: a policy, an optional reference that is refreshed, AdamW without decay."""

    def __init__(self, config: RLConfig, seed: int, source: Path):
        model, tokenizer = models.load(source)
        super().__init__(config, seed, model, tokenizer, sft.optimizers(model, config.lr))
        self.steps = config.steps
        self.reference = models.load(source)[0].requires_grad_(False) if config.beta else None
        self.judge = rl.score

    def settings(self, number: int):
        """Return the settings of a step."""
        return self.config

    def step(self, number: int):
        """Take a step of GRPO."""
        c = self.config
        if self.reference is not None and number and number % c.reference_refresh == 0:
            self.reference.load_state_dict(self.model.state_dict())
        done = rl.step(
            self.model, self.reference, self.tokenizer, self.optimizers, self.settings(number),
            self.seed, number, self.judge,
        )  # fmt: skip
        keep = number % c.trace_every == 0 or number + 1 == c.steps
        return done.metrics, done.traces if keep else []

    def state(self) -> dict:
        """As Trainer, with the reference."""
        more = {} if self.reference is None else {"reference": self.reference.state_dict()}
        return super().state() | more

    def restore(self, state: dict) -> None:
        """As Trainer, with the reference."""
        super().restore(state)
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


class RewardModels:
    """The reward models of `preference.KINDS`, one after the other, each on a copy of the
    policy."""

    forks_at = None

    def __init__(self, config: SFTConfig, seed: int, source: Path, data: Path):
        self.config, self.seed = config, seed
        self.tokenizer = models.load(source)[1]
        path = data / "pairs.jsonl"
        if not path.is_file():
            raise sets.SetError(f"{data} holds no pairs: pairs.jsonl is missing")
        pairs = preference.from_dicts(list(trace.lines(path)))
        lessons = [preference.lesson(pairs, self.tokenizer, k) for k in preference.KINDS]
        if config.examples > (least := min(len(lesson.train) for lesson in lessons)):
            raise ValueError(f"examples={config.examples}, but a set has {least}: ask for fewer")
        taken = slice(config.examples or None)
        self.lessons = [dataclasses.replace(e, train=e.train[taken]) for e in lessons]
        self.models, self.optimizers, self.plan = [], [], []
        for place, lesson in enumerate(self.lessons):
            model = preference.RewardModel(models.load(source)[0])
            self.models.append(model)
            self.optimizers.append(sft.optimizers(model, config.lr))
            batches = list(sft.epochs(len(lesson.train), config.batch, config.passes, seed))
            self.plan += [(place, at, len(batches), batch) for at, batch in enumerate(batches)]
        self.steps = len(self.plan)

    def parameters(self) -> int:
        """Return the size of one model: a step trains one."""
        return models.parameters(self.models[0])

    def step(self, number: int):
        """Take a step of one of the models."""
        c, started = self.config, time.perf_counter()
        place, at, steps, batch = self.plan[number]
        lesson, model, optimizers = (x[place] for x in (self.lessons, self.models, self.optimizers))
        share = sft.warm_then_fall(at, steps, c.warmup, steps)
        sft.set_rate(optimizers, share)
        value = preference.loss(model, [lesson.train[i] for i in batch], lesson.kind)
        value.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), c.grad_clip)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        rows = preference.rows_of([lesson.train[i] for i in batch], lesson.kind)
        return {
            "step": number, "part": lesson.kind, "loss": value.item(), "grad_norm": norm.item(),
            "lr": c.lr * share, "trained_tokens": sum(map(len, rows)),
            "seconds": round(time.perf_counter() - started, 3),
        }, []  # fmt: skip

    def state(self) -> dict:
        """Return all models and optimisers."""
        return {
            "models": [model.state_dict() for model in self.models],
            "optimizers": [[o.state_dict() for o in each] for each in self.optimizers],
        }

    def restore(self, state: dict) -> None:
        """Take up a state."""
        for model, saved in zip(self.models, state["models"], strict=True):
            model.load_state_dict(saved)
        for each, saved in zip(self.optimizers, state["optimizers"], strict=True):
            for optimizer, one in zip(each, saved, strict=True):
                optimizer.load_state_dict(one)

    def leave(self, out: Path, preset: Preset) -> dict:
        """Write the models, and what they are worth on held-out labels."""
        result = {}
        for lesson, model in zip(self.lessons, self.models, strict=True):
            model.fit_scale(preference.rows_of(lesson.train, lesson.kind))
            preference.save(model, out / "models" / lesson.kind)
            model, _ = preference.load(out / "models" / lesson.kind)  # what others will load
            found = preference.measured(model, lesson.held, lesson.kind)
            result[lesson.kind] = {**found, "trained_on": len(lesson.train)}
        trace.write_json(out / "eval.json", result)
        return {"models": {"sha256": runs.checksum(out / "models")}}


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


def trainer(name: str, config, seed: int, sources: dict[str, Path]):
    """Return the trainer of a stage; `sources` are the folders that it needs, by stage."""
    if isinstance(config, PretrainConfig):
        return Pretrain(name, config, seed, next(iter(sources.values()), None))
    if name == "chat":
        return Chat(config, seed, sources["base"])
    first, *others = sources.values()
    if isinstance(config, ScenarioConfig):
        return Scenario(config, seed, first, *others)
    if isinstance(config, RLConfig):
        return Reinforce(config, seed, first)
    if isinstance(config, CurateConfig):
        return makers.Curate(name, config, seed, first, *others)
    if isinstance(config, MakeConfig):
        return makers.Compare(config, seed, [first, *others])
    if name == "reward-models":
        return RewardModels(config, seed, first, *others)
    pairs = [(row.prompt, row.completion) for row in sets.read(others[0])]
    return FineTune(config, seed, first, pairs)
