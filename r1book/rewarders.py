"""How are reward models trained? One after the other, each on a copy of the policy.

The same interface as `trainers.py`. Leaves out what a reward model is and its loss
(`preference.py`).
"""

import dataclasses
import time
from pathlib import Path

import torch

from r1book import models, preference, runs, sets, sft, trace
from r1book.config import Preset, SFTConfig
from r1book.work import Work


class RewardModels(Work):
    """The reward models of `preference.KINDS`, one after the other, each on a copy of the
    policy."""

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
