"""Do the recorded runs show what the project says of R1-Zero? Read from data/, nothing is run."""

import json
from pathlib import Path

import pytest

from r1book import claims, comparison, config, measure, runs, trace
from r1book.base_config import identity
from r1book.cli import ledger
from r1book.graph import STAGES

ROOT = Path(__file__).resolve().parent.parent
RUNS, MODELS = ROOT / "data" / "runs", ROOT / "data" / "models"
SEEDS = (0, 1, 2)
CONTROLS = ("random", "format_only")
each_seed = pytest.mark.parametrize("seed", SEEDS)
each_control = pytest.mark.parametrize("control", CONTROLS)


def read(folder: Path, name: str) -> dict:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def base(benchmark: str) -> dict:
    return read(MODELS / "base", "eval.json")[benchmark]


def gain(folder: Path, benchmark: str) -> float:
    """Return the gain in pass@1 over the base, on the same questions."""
    after, before = read(folder, "eval.json")[benchmark], base(benchmark)
    assert (after["n"], after["samples"]) == (before["n"], before["samples"])
    return after["pass@1"] - before["pass@1"]


def growth(folder: Path, benchmark: str) -> float:
    """Return the mean length of answers over that of the base."""
    after = read(folder, "eval.json")[benchmark]
    return after["mean_tokens"] / base(benchmark)["mean_tokens"]


@pytest.mark.parametrize("name", [f"seed{s}" for s in SEEDS] + list(CONTROLS))
def test_a_record_is_of_the_preset_from_the_shipped_base(name):
    card = read(RUNS / f"r1_zero-{name}", "run_card.json")
    settings = json.loads(json.dumps(card["preset"]["r1_zero"]))
    settings["reward"] = "rules"
    wanted = config.laptop().r1_zero
    assert settings == json.loads(trace.encode(identity(wanted)))
    assert card["upstream"]["base"]["sha256"] == runs.checksum(MODELS / "base")
    assert card["git"]["commit"] and not card["git"]["dirty"]
    lines = trace.read_metrics(RUNS / f"r1_zero-{name}" / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(wanted.steps))


@each_seed
def test_a_seed_takes_at_most_four_minutes_on_two_cores(seed):
    card = read(RUNS / f"r1_zero-seed{seed}", "run_card.json")
    assert card["cores"] == card["threads"] == 2 and card["seed"] == seed
    assert card["wall_seconds"] <= 240  # of training; its evaluation takes half a minute more
    assert card["peak_rss"] < 1.2e9


@each_seed
@pytest.mark.parametrize("benchmark", ["mini-MATH", "logic"])
def test_reward_alone_teaches_to_reason(seed, benchmark):
    assert gain(RUNS / f"r1_zero-seed{seed}", benchmark) >= 0.25


@each_seed
def test_part_of_the_gain_in_logic_is_within_a_style(seed):
    after = read(RUNS / f"r1_zero-seed{seed}", "eval.json")["logic"]
    split = measure.style_split(base("logic")["styles"], after["styles"])
    assert split.gain == pytest.approx(after["pass@1"] - base("logic")["pass@1"])
    assert split.within > 0


@each_seed
def test_answers_in_logic_double_in_length_without_a_reward_for_it(seed):
    folder = RUNS / f"r1_zero-seed{seed}"
    assert growth(folder, "logic") >= 2
    assert set(read(folder, "run_card.json")["preset"]["r1_zero"]["weights"]) == {
        "accuracy",
        "format",
    }


@each_seed
def test_a_vote_beats_a_single_answer(seed):
    score = read(RUNS / f"r1_zero-seed{seed}", "eval.json")["mini-MATH"]
    assert score["maj@16"] > score["pass@1"]


@each_control
@pytest.mark.parametrize("benchmark", ["mini-MATH", "logic"])
def test_controls_do_not_learn_to_reason(control, benchmark):
    folder = RUNS / f"r1_zero-{control}"
    assert read(folder, "run_card.json")["preset"]["r1_zero"]["reward"] == control
    least = min(gain(RUNS / f"r1_zero-seed{seed}", benchmark) for seed in SEEDS)
    assert gain(folder, benchmark) < min(0.1, least / 3)
    assert growth(folder, benchmark) < 1.5


# ---- the chain after R1-Zero ---------------------------------------------------------------------

CHAIN = ("chat", "cold-start-data", "cold-start", "reasoning-rl", "rejection-sampling", "sft-800k",
         "preferences", "reward-models", "all-scenario-rl",
         "distillation-data", "distill-qwen", "distill-llama")  # fmt: skip


def bundled(stage: str) -> Path:
    return ROOT / "data" / ("sets" if STAGES[stage].gives == "data" else "models") / stage


def table(stage: str, benchmark: str, name: str = "pass@1") -> float:
    return read(ROOT / "data", "stages.json")["stages"][stage][benchmark][name]


@pytest.mark.parametrize("stage", CHAIN)
def test_a_bundled_stage_is_of_the_preset_and_comes_from_the_bundled_ones_before(stage):
    card = read(bundled(stage), "run_card.json")
    name = stage.replace("-", "_")
    wanted = json.loads(trace.encode(identity(getattr(config.laptop(), name))))
    assert card["config"] == wanted
    assert card["stage"] == stage and not card["git"]["dirty"]
    assert set(card["upstream"]) == set(STAGES[stage].needs) and "rewired" not in card
    given = STAGES[stage].gives
    for need, told in card["upstream"].items():
        assert told["sha256"] == runs.checksum(bundled(need)), f"{stage}: another {need}"
    assert card[given]["sha256"]
    sums = (bundled(stage) / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    for line in sums:
        digest, file = line.split("  ")
        assert runs.checksum(bundled(stage) / file) == digest, file


def test_the_stage_table_is_of_the_bundled_checkpoints():
    found = read(ROOT / "data", "stages.json")["stages"]
    assert list(found) == list(comparison.STAGES)
    for stage, told in found.items():
        assert told["sha256"] == runs.checksum(bundled(stage))


def test_r1_keeps_the_language_and_is_more_pleasant_than_r1_zero():
    assert table("all-scenario-rl", "mini-MATH", "target_language_share") >= 0.98
    for benchmark, name in (
        ("mini-IFEval", "pass@1"), ("mini-Arena", "gold"), ("mini-Arena", "harmless"),
    ):  # fmt: skip
        assert table("all-scenario-rl", benchmark, name) > table("r1-zero", benchmark, name)


@pytest.mark.parametrize("benchmark", ["mini-MATH", "logic", "mini-GPQA"])
def test_r1_reasons_no_worse_than_dev2(benchmark):
    assert table("all-scenario-rl", benchmark) > table("reasoning-rl", benchmark) - 0.03


def test_the_variants_are_rewired_as_they_say():
    cards = {name: read(ROOT / "data" / "variants" / name, "run_card.json")
             for name in comparison.VARIANTS}  # fmt: skip
    ends = {name: (card["stage"], card.get("rewired")) for name, card in cards.items()}
    assert ends == {
        "popular": ("r1-zero", {"base": "sft-800k"}),
        "no-cold-start": ("sft-800k", None),  # rewired before: its data come from another Dev2
        "no-restart": ("sft-800k", {"base": "reasoning-rl"}),
        "language-first": ("sft-800k", None),
    }
    assert not any(card["git"]["dirty"] for card in cards.values())
    ours = runs.checksum(bundled("rejection-sampling"))
    for name in ("no-cold-start", "language-first"):
        assert cards[name]["upstream"]["rejection-sampling"]["sha256"] != ours
    assert cards["no-restart"]["upstream"]["rejection-sampling"]["sha256"] == ours


# ---- the ledger of claims ------------------------------------------------------------------------


def test_the_recorded_verdicts_follow_from_the_recorded_evaluations(tmp_path):
    record = read(ROOT / "data" / "claims", "exploratory.json")
    book = claims.load(ROOT / "data" / "claims" / "claims.yaml")
    assert record["world"] == runs.checksum(ROOT / "r1book" / "world")
    assert not book.frozen and record["seeds"] == list(book.seeds) == list(SEEDS)
    shipped = ROOT / "data" / "claims" / "runs"
    queue = ledger.Queue(book, config.laptop(), tmp_path, shipped)
    seen = claims.read(book, queue.found)
    found = claims.judge(book, seen, seen["eval", "base"][0])
    assert [claim["id"] for claim in record["claims"]] == [claim.id for claim in book.claims]
    for claim in record["claims"]:
        assert claim["verdict"] == claims.verdict(found[claim["id"]]), claim["id"]
        for told, finding in zip(claim["tests"], found[claim["id"]], strict=True):
            assert told["test"]["name"] == finding.test.name
            assert told["effects"] == pytest.approx(finding.effects)
