"""What does a stage do that makes data? Sampling, batch by batch, into rows that later stages learn
from.

The same interface as `trainers.py`. Leaves out what is sampled and kept (`curate.py`,
`preference.py`).
"""

import dataclasses
import json
import random
import time
from collections import Counter
from pathlib import Path

from r1book import curate, models, preference, problems, runs, sets, trace
from r1book.config import CurateConfig, MakeConfig, Preset
from r1book.work import Work


class Maker(Work):
    """What makes data, batch by batch: plain values that grow. `parameters()` is the size of the
    model that is sampled."""

    def __init__(self, config, seed: int):
        self.config, self.seed, self.steps = config, seed, config.steps
        self.made: list[dict] = []

    def state(self) -> dict:
        """Return what was made so far."""
        return {"made": json.dumps(self.made)}

    def restore(self, state: dict) -> None:
        """Go on after what was made."""
        self.made = json.loads(state["made"])


class Curate(Maker):
    """Data of a model's own answers: `cold-start-data` or `rejection-sampling`."""

    def __init__(self, name: str, config: CurateConfig, seed: int, source: Path, chat: Path):
        super().__init__(config, seed)
        self.model, self.tokenizer = models.load(source)
        self.chat = models.load(chat)
        self.made_by = curate.cold_start if name == "cold-start-data" else curate.rejection

    def parameters(self) -> int:
        """As Maker."""
        return models.parameters(self.model)

    def step(self, number: int):
        """Make one batch."""
        started = time.perf_counter()
        got = self.made_by(self.model, self.tokenizer, self.chat, self.config, self.seed, number)
        self.made.append(dataclasses.asdict(got))
        return {
            "step": number,
            **got.counts,
            "rows": len(got.rows),
            "seconds": round(time.perf_counter() - started, 3),
        }, []

    def leave(self, out: Path, preset: Preset) -> dict:
        """Write the set without duplicates and without what is evaluated on, its card, and the
        rewritten pairs; return its checksum."""
        rows = [sets.Row(**row) for batch in self.made for row in batch["rows"]]
        questions = [question for batch in self.made for question in batch["questions"]]
        clean, dropped = sets.decontaminate(rows, questions)
        rows = sets.distinct(clean)
        counts: Counter[str] = Counter()
        for batch in self.made:
            counts.update(batch["counts"])
        toll = {k: v for k, v in counts.items() if k not in ("tokens", "prompt_tokens")}
        sets.write(
            out / "data", rows, toll=toll,
            decontaminated=dropped, duplicates_removed=len(clean) - len(rows),
        )  # fmt: skip
        pairs = [pair for batch in self.made for pair in batch["pairs"]]
        if pairs:
            told = b"".join(trace.encode(pair) + b"\n" for pair in pairs)
            trace.write_bytes(out / "rewritten.jsonl", told)
        return {"data": {"sha256": runs.checksum(out / "data"), "rows": len(rows)}}


class Compare(Maker):
    """Pairs of responses to general prompts, with the labels of the biased labeller."""

    def __init__(self, config: MakeConfig, seed: int, sources: list[Path]):
        super().__init__(config, seed)
        self.models = [models.load(folder) for folder in sources]

    def parameters(self) -> int:
        """As Maker."""
        return models.parameters(self.models[0][0])

    def step(self, number: int):
        """Make one batch of pairs."""
        c, started = self.config, time.perf_counter()
        name = f"{self.seed}-{number}"
        rng = random.Random(f"general-{name}")
        asked = [
            problems.make(
                rng, "general", rng.choice(problems.LEVELS), "train", rng.choice(("en", "zh")),
                f"preferences-{name}-{i}",
            )
            for i in range(c.prompts_per_step)
        ]  # fmt: skip
        pairs = preference.compared(self.models, asked, name, max_new_tokens=c.max_new_tokens)
        self.made += preference.as_dicts(pairs)
        return {
            "step": number, "rows": len(pairs),
            "agreed": sum(pair.chosen() is not None for pair in pairs),
            "unsafe": sum(not safe for pair in pairs for safe in pair.safe),
            "seconds": round(time.perf_counter() - started, 3),
        }, []  # fmt: skip

    def leave(self, out: Path, preset: Preset) -> dict:
        """Write pairs.jsonl and a card of counts."""
        pairs = preference.from_dicts(self.made)
        agreed = [pair for pair in pairs if pair.chosen() is not None]
        counts = {
            "pairs": len(pairs), "agreed": len(agreed),
            "balanced": len(preference.balanced(agreed)),
            "unsafe": sum(not safe for pair in pairs for safe in pair.safe),
            "report": {"pairs": 66_000, "responses": 106_000},
        }  # fmt: skip
        trace.write_bytes(
            out / "data" / "pairs.jsonl", b"".join(trace.encode(v) + b"\n" for v in self.made)
        )
        trace.write_json(out / "data" / "card.json", counts)
        return {"data": {"sha256": runs.checksum(out / "data"), "rows": len(pairs)}}
