"""What does a run leave, can it be continued, and which folders does it refuse?"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import random
import re
from pathlib import Path

import pytest
import torch
from test_models import tiny

from r1book import (
    compute,
    gates,
    graph,
    models,
    problems,
    prompts,
    runs,
    sets,
    stages,
    trace,
    trainers,
)
from r1book.base_config import identity
from r1book.config import (
    EvalConfig,
    MakeConfig,
    ModelConfig,
    PretrainConfig,
    RLConfig,
    ScenarioConfig,
    SFTConfig,
    laptop,
)
from r1book.world import corpus

EVALUATION = EvalConfig(benchmarks=("mini-MATH", "logic"), problems=2, samples=2, max_new_tokens=8)
TINY = dataclasses.replace(
    laptop(),
    name="tiny",
    base=PretrainConfig(
        model=ModelConfig(hidden=16, layers=1, heads=2, kv_heads=1, mlp=24, positions=500),
        sums_steps=1, trunk_steps=2, anneal_steps=2, step_tokens=128, row_tokens=32,
        anneal_row_tokens=64, warmup=1, dtype="float32", compile=False, save_every=2,
    ),
    r1_zero=RLConfig(
        steps=5, prompts_per_step=2, group_size=2, max_new_tokens=6, dtype="float32", save_every=2,
        trace_every=2, reward="random", warmup=2, lr=1e-3, beta=0.05, reference_refresh=2,
        levels=(1,),
    ),
    evaluation=EVALUATION,
    cold_start=SFTConfig(examples=5, passes=2, batch=2, dtype="float32", save_every=2),
    preferences=MakeConfig(steps=3, prompts_per_step=40, max_new_tokens=40, save_every=1),
    reward_models=SFTConfig(passes=1, batch=4, dtype="float32", save_every=5),
    all_scenario_rl=ScenarioConfig(
        steps=2, general_steps=1, prompts_per_step=2, group_size=2, max_new_tokens=6,
        families={"math": 0.5, "general": 0.5}, dtype="float32", trace_every=1, levels=(1,),
    ),
)  # fmt: skip
STEPS = {"r1-zero": 5, "base": 5}
KEPT = {"run_card.json", "metrics.jsonl", "traces.jsonl", "eval.json", "checkpoint", "state"}


@pytest.fixture(autouse=True, name="small_gates")
def given_small_gates(monkeypatch):
    """Measure the gates of a base on a few answers, and sum in one order."""
    monkeypatch.setattr(gates, "measure", functools.partial(GATES, problems_each=1, samples=1))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


GATES = gates.measure


@pytest.fixture(scope="module", name="upstream")
def given_upstream(tmp_path_factory):
    return models.save(tiny("llama"), tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module", name="straight")
def given_straight(tmp_path_factory, upstream):
    """Return the folders of runs that nothing happened to, by stage."""
    place = tmp_path_factory.mktemp("straight")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gates, "measure", functools.partial(GATES, problems_each=1, samples=1))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        for name in STEPS:
            stages.run(name, TINY, out=place / name, upstream=upstream if name != "base" else None)
        torch.set_num_threads(threads)
    return place


def result(out: Path) -> dict:
    """Return what must be equal, however often a run was stopped; its logs must be whole."""
    lines = trace.read_metrics(out / "metrics.jsonl")
    steps = [line["step"] for line in lines]
    assert steps == list(range(len(steps))), "a line is there twice, or missing"
    timeless = [{k: v for k, v in line.items() if "seconds" not in k} for line in lines]
    traces = trace.read(out / "traces.jsonl") if (out / "traces.jsonl").stat().st_size else []
    places = [(t.step, t.group, t.index) for t in traces]
    assert places == sorted(set(places))
    return {
        "checkpoint": runs.checksum(out / "checkpoint"),
        "metrics": timeless,
        "traces": hashlib.sha256((out / "traces.jsonl").read_bytes()).hexdigest(),
        "eval": (out / "eval.json").read_bytes(),
    }


def names(out: Path) -> set[str]:
    return {p.relative_to(out).as_posix() for p in out.rglob("*")}


# ---- a run nothing happens to --------------------------------------------------------------------


def test_the_folder_of_a_run(straight, upstream):
    out = straight / "r1-zero"
    assert {p.name for p in out.iterdir()} == KEPT
    assert names(out / "state") == {"identity.json"}  # what resume needed is gone
    assert len(trace.read_metrics(out / "metrics.jsonl")) == 5
    steps = [t.step for t in trace.read(out / "traces.jsonl")]
    assert steps == [0] * 4 + [2] * 4 + [4] * 4  # every second, the first and the last
    found = json.loads((out / "eval.json").read_text())
    assert set(found) == {"mini-MATH", "logic"}
    for each in found.values():
        assert set(each) >= set(
            "n pass@1 ci95 maj@2 mean_tokens format target_language_share".split()
        )
        assert each["n"] == 2 and each["samples"] == 2
    model, _ = models.load(out / "checkpoint")
    start, _ = models.load(upstream)
    assert not torch.equal(model.model.embed_tokens.weight, start.model.embed_tokens.weight)
    assert {p.name for p in (straight / "base").iterdir()} == KEPT | {"gates.json"}


def test_the_card_has_all_that_is_needed_to_run_again(straight, upstream):
    out = straight / "r1-zero"
    card = json.loads((out / "run_card.json").read_text())
    lines = trace.read_metrics(out / "metrics.jsonl")
    assert (card["stage"], card["seed"], card["dtype"]) == ("r1-zero", 0, "float32")
    assert card["preset"] == json.loads(json.dumps(dataclasses.asdict(TINY)))  # every value
    assert card["config"] == json.loads(trace.encode(identity(TINY.r1_zero)))
    assert card["upstream"] == {"base": {"path": "base", "sha256": runs.checksum(upstream)}}
    assert card["checkpoint"]["sha256"] == runs.checksum(out / "checkpoint")
    assert card["checkpoint"]["parameters"] == models.parameters(tiny())
    assert {"python", "torch", "transformers", "r1book"} <= set(card["versions"])
    assert card["threads"] == 1 and set(card["git"]) == {"commit", "dirty"}
    assert card["wall_seconds"] > 0 and card["eval_seconds"] >= 0
    assert card["peak_rss"] > 50_000_000
    generated = sum(line["tokens"] for line in lines)
    trained = sum(line["trained_tokens"] for line in lines)
    assert card["tokens_generated"] == generated > 5 * 4
    assert card["tokens_trained"] == trained > 0
    asked = sum(line["prompt_tokens"] for line in lines)
    assert card["tokens_prompt"] == asked > 0
    # the reference of the KL penalty reads, too, what is learnt
    assert card["config"]["beta"] > 0
    every = 6 * trained + 2 * generated + (6 + 2) * asked + 2 * (trained + asked)
    assert card["flops"] == models.parameters(tiny()) * every
    base = json.loads((straight / "base" / "run_card.json").read_text())
    assert base["upstream"] == {} and base["stage"] == "base"
    assert base["tokens_trained"] == 5 * 128 and base["tokens_generated"] == 0
    gated = json.loads((straight / "base" / "gates.json").read_text())
    assert base["gates_passed"] is gated["passed"] is False  # after five steps
    assert set(gated["values"]) == set(gated["limits"]) == set(gates.LIMITS)


def test_a_run_ends_when_its_operations_are_spent(tmp_path, straight, upstream):
    lines = trace.read_metrics(straight / "r1-zero" / "metrics.jsonl")
    size = models.parameters(tiny())
    each = [compute.of_step(line, size, size) for line in lines]  # beside it, the reference
    card = json.loads((straight / "r1-zero" / "run_card.json").read_text())
    assert sum(each) == card["flops"]
    config = dataclasses.replace(TINY.r1_zero, operations=sum(each[:3]) - 1)
    preset = dataclasses.replace(TINY, r1_zero=config)
    told = []
    out = stages.run(
        "r1-zero", preset, out=tmp_path / "run", upstream=upstream,
        on_step=lambda line, steps: told.append((line["step"] + 1, steps)),
    )  # fmt: skip
    assert [done for done, _ in told] == [1, 2, 3] and told[-1] == (3, 3)
    assert all(done < steps <= 5 for done, steps in told[:-1])
    seen = trace.read_metrics(out / "metrics.jsonl")
    assert [line["accuracy"] for line in seen] == [line["accuracy"] for line in lines[:3]]
    assert {t.step for t in trace.read(out / "traces.jsonl")} == {0, 2}  # the last one's, too
    found = json.loads((out / "run_card.json").read_text())
    assert found["flops"] == sum(each[:3]) >= config.operations > sum(each[:2])
    again = tmp_path / "again"
    for _ in range(3):  # a step a session
        stages.run("r1-zero", preset, out=again, upstream=upstream, stop_after=1)
    assert runs.checksum(again / "checkpoint") == runs.checksum(out / "checkpoint")
    with pytest.raises(ValueError, match="operations=-1: expected at least 0"):
        dataclasses.replace(config, operations=-1)


def test_a_card_names_the_precision_that_was_computed_in(tmp_path, upstream, monkeypatch):
    monkeypatch.setattr(stages.sft, "fast_bfloat16", lambda: False)
    config = dataclasses.replace(TINY.r1_zero, steps=1, dtype="bfloat16", beta=0.0)
    preset = dataclasses.replace(TINY, r1_zero=config)
    out = stages.run("r1-zero", preset, out=tmp_path / "run", upstream=upstream)
    card = json.loads((out / "run_card.json").read_text())
    assert (card["dtype"], card["config"]["dtype"]) == ("float32", "bfloat16")


def test_a_finished_run_is_left_as_it_is(straight, upstream):
    for name in STEPS:
        out = straight / name
        before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in out.rglob("*")}
        checksum = runs.checksum(out)
        source = upstream if name != "base" else None
        assert stages.run(name, TINY, out=out, upstream=source, on_step=pytest.fail) == out
        assert {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in out.rglob("*")} == before
        assert runs.checksum(out) == checksum


def test_the_graph_is_whole():
    names = [s.name for s in graph.GRAPH]
    assert len(set(names)) == len(names)
    for i, stage in enumerate(graph.GRAPH):
        assert set(stage.needs) <= set(names[:i]), stage.name  # a stage needs only earlier ones
        assert hasattr(laptop(), stage.name.replace("-", "_"))
    assert graph.STAGES["sft-800k"].needs[0] == "base"  # the second SFT restarts from the base
    drawn = graph.drawn().splitlines()
    assert len(drawn) == len(names)
    assert all(
        ("not in the report" in line) != s.report
        for line, s in zip(drawn, graph.GRAPH, strict=True)
    )


# ---- stopped and continued -----------------------------------------------------------------------


@pytest.mark.parametrize("name", STEPS)
def test_sessions_of_any_length_give_the_same_run(tmp_path, straight, upstream, name):
    source, seen = upstream if name != "base" else None, []
    for sessions, length in ((3, 2), (5, 1)):
        out = tmp_path / str(length)
        for session in range(sessions):
            told = []
            stages.run(
                name, TINY, out=out, upstream=source, stop_after=length,
                on_step=lambda line, steps, told=told: told.append((line["step"], steps)),
            )  # fmt: skip
            first = session * length
            assert told == [(n, 5) for n in range(first, min(first + length, 5))]
            assert (out / "run_card.json").exists() == (session + 1 == sessions)
        seen.append(result(out))
        assert names(out) == names(straight / name)
    assert seen[0] == seen[1] == result(straight / name)


# ---- folders that are not this run's -------------------------------------------------------------


def begun(tmp_path, upstream) -> Path:
    return stages.run("r1-zero", TINY, out=tmp_path / "run", upstream=upstream, stop_after=2)


def test_a_folder_of_another_run_is_refused_and_says_what_differs(tmp_path, upstream):
    out = begun(tmp_path, upstream)
    before = runs.checksum(out)
    other = models.save(tiny(seed=9), tmp_path / "other")
    faster = dataclasses.replace(TINY, r1_zero=dataclasses.replace(TINY.r1_zero, lr=0.5))
    named = dataclasses.replace(TINY, name="node")
    for changes, told in (
        ({"seed": 3}, r"seed: 0 there, 3 asked"),
        ({"preset": named}, r"preset: tiny there, node asked"),
        ({"preset": faster}, r"config: lr 0.001 there, 0.5 asked"),
        ({"upstream": other}, rf"upstream: {runs.checksum(upstream)[:10]}\w* there, \w+ asked"),
    ):
        asked = {"preset": TINY, "upstream": upstream, "seed": 0} | changes
        with pytest.raises(stages.RunError, match=rf"run holds another run \({told}\): choose"):
            stages.run("r1-zero", asked.pop("preset"), out=out, **asked)
    with pytest.raises(stages.RunError, match=r"stage: r1-zero there, base asked"):
        stages.run("base", TINY, out=out)
    assert runs.checksum(out) == before


def test_a_folder_of_something_else_is_refused(tmp_path, upstream):
    home = tmp_path / "home"
    (home / "state").mkdir(parents=True)
    (home / "thesis.txt").write_text("years of work")
    for out in (home, home / "thesis.txt"):
        with pytest.raises(stages.RunError, match=r"no run of this book: choose another --out"):
            stages.run("r1-zero", TINY, out=out, upstream=upstream)
    assert names(home) == {"state", "thesis.txt"}
    (tmp_path / "empty").mkdir()
    stages.run("r1-zero", TINY, out=tmp_path / "empty", upstream=upstream, stop_after=1)
    assert (tmp_path / "empty" / "state" / "state.pt").exists()


@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "other"])
def test_a_damaged_state_is_told(tmp_path, upstream, damage):
    out = begun(tmp_path, upstream)
    file = out / "state" / "state.pt"
    data = file.read_bytes()
    if damage == "other":
        torch.save({"step": 2}, file)
    else:
        file.write_bytes(
            {"cut": data[: len(data) // 2], "noise": b"\xff" * 999, "empty": b""}[damage]
        )
    with pytest.raises(stages.RunError, match=r"state.pt is damaged .*remove .*start anew"):
        stages.run("r1-zero", TINY, out=out, upstream=upstream)
    assert len(trace.read_metrics(out / "metrics.jsonl")) == 2  # nothing was thrown away


def test_without_its_upstream_a_run_makes_no_folder(tmp_path, monkeypatch):
    with pytest.raises(models.CheckpointError, match=r"nowhere: no checkpoint folder"):
        stages.run("r1-zero", TINY, out=tmp_path / "run", upstream=tmp_path / "nowhere")
    monkeypatch.setattr(models, "DATA", tmp_path)
    with pytest.raises(models.CheckpointError, match="no bundled model 'base'"):
        stages.run("r1-zero", TINY, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_unknown_stage_is_told(tmp_path):
    name = "r2-zero"
    with pytest.raises(stages.RunError, match=rf"no stage '{name}' to run: expected one of base, "):
        stages.run(name, TINY, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_that_diverges_keeps_what_it_has(tmp_path, upstream, monkeypatch):
    step, out = trainers.rl.step, tmp_path / "run"

    def diverging(*args):
        if args[-2] == 3:
            raise FloatingPointError("gradient norm nan")
        return step(*args)

    with monkeypatch.context() as patch:
        patch.setattr(trainers.rl, "step", diverging)
        with contextlib.suppress(FloatingPointError):
            stages.run("r1-zero", TINY, out=out, upstream=upstream)
            pytest.fail("the error must reach the caller")
    assert [line["step"] for line in trace.read_metrics(out / "metrics.jsonl")] == [0, 1, 2]
    assert torch.load(out / "state" / "state.pt", weights_only=True)["step"] == 2
    assert not (out / "run_card.json").exists() and not (out / "checkpoint").exists()


def test_the_reference_is_refreshed_and_survives_a_stop(tmp_path, upstream):
    config = dataclasses.replace(TINY.r1_zero, reference_refresh=3)
    preset = dataclasses.replace(TINY, r1_zero=config)
    out = stages.run("r1-zero", preset, out=tmp_path / "run", upstream=upstream, stop_after=3)
    work = torch.load(out / "state" / "state.pt", weights_only=True)["work"]
    name, (start, _) = "model.embed_tokens.weight", models.load(upstream)
    assert torch.equal(work["reference"][name], start.state_dict()[name])  # up to step 2: the start
    assert not torch.equal(work["model"][name], work["reference"][name])
    stages.run("r1-zero", preset, out=out, upstream=upstream)
    kl = [line["kl"] for line in trace.read_metrics(out / "metrics.jsonl")]
    assert kl[0] == kl[3] == pytest.approx(0.0, abs=1e-6)  # before any step, and just refreshed
    assert min(kl[1], kl[2], kl[4]) > 1e-6


# ---- stages that need several others -------------------------------------------------------------


def rows(n: int) -> list[sets.Row]:
    asked = problems.load("math", n, split="train")
    return [sets.row(p, prompts.render(p), f"<think> {p.answer} </think>", "test") for p in asked]


@pytest.fixture(name="parts")
def given_parts(tmp_path, upstream):
    """Return a base and a set, in folders with cards as runs leave them."""
    data = sets.write(tmp_path / "cold-start-data" / "data", rows(6))
    trace.write_json(data.parent / "run_card.json", {"stage": "cold-start-data"})
    return {"base": upstream, "cold-start-data": data}


def test_fine_tuning_goes_on_to_the_same_end(parts, tmp_path):
    whole = stages.run("cold-start", TINY, out=tmp_path / "whole", upstream=parts)
    card = json.loads((whole / "run_card.json").read_text())
    assert card["examples"] == 5 and set(card["upstream"]) == set(parts)
    assert card["upstream"]["cold-start-data"]["sha256"] == runs.checksum(parts["cold-start-data"])
    assert "rewired" not in card and card["flops"] > 0
    out = tmp_path / "parted"
    for _ in range(6):  # 2 passes of 3 batches
        stages.run("cold-start", TINY, out=out, upstream=parts, stop_after=1)
    assert result(out) == result(whole)
    other = sets.write(tmp_path / "other", rows(7))
    with pytest.raises(stages.RunError, match="holds another run"):  # other data, another run
        stages.run("cold-start", TINY, out=out, upstream=parts | {"cold-start-data": other})


def test_the_wrong_stage_is_refused_unless_its_edge_is_named(parts, tmp_path):
    card = parts["cold-start-data"].parent / "run_card.json"
    trace.write_json(card, {"stage": "rejection-sampling"})
    with pytest.raises(stages.RunError, match=r"is of stage rejection-sampling.*--from cold-start"):
        stages.run("cold-start", TINY, out=tmp_path / "run", upstream=parts)
    assert not (tmp_path / "run").exists()
    stages.run(
        "cold-start", TINY, out=tmp_path / "run", upstream=parts, rewired=("cold-start-data",)
    )
    told = json.loads((tmp_path / "run" / "run_card.json").read_text())
    assert told["rewired"] == {"cold-start-data": "rejection-sampling"}


def test_what_a_stage_does_not_need_or_does_not_find_is_told(parts, tmp_path, monkeypatch):
    out = tmp_path / "run"
    with pytest.raises(stages.RunError, match="takes nothing from chat: it needs base, cold-start"):
        stages.run("cold-start", TINY, out=out, upstream=parts | {"chat": parts["base"]})
    monkeypatch.setattr(models, "DATA", tmp_path)
    with pytest.raises(stages.RunError, match="no bundled data of cold-start-data: make it first"):
        stages.run("cold-start", TINY, out=out, upstream={"base": parts["base"]})
    few = dataclasses.replace(TINY, cold_start=SFTConfig(examples=9))
    with pytest.raises(ValueError, match=r"examples=9, but the set has 6"):
        stages.run("cold-start", few, out=out, upstream=parts)
    with pytest.raises(sets.SetError, match=r"train\.jsonl is missing"):
        stages.run("cold-start", TINY, out=out, upstream=parts | {"cold-start-data": tmp_path})
    assert not out.exists()


def test_data_is_made_to_the_same_end_in_any_sessions(upstream, tmp_path, monkeypatch):
    """Pairs with labels, and reward models from them: real ones, on a few prompts."""
    base = models.shipped("base")
    need = {"sft-800k": base, "base": base}
    rewired = ("sft-800k",)
    whole = stages.run("preferences", TINY, out=tmp_path / "whole", upstream=need, rewired=rewired)
    for _ in range(3):
        out = stages.run(
            "preferences", TINY, out=tmp_path / "parted", upstream=need, rewired=rewired,
            stop_after=1,
        )  # fmt: skip
    assert runs.checksum(out / "data") == runs.checksum(whole / "data")
    card = json.loads((whole / "data" / "card.json").read_text())
    assert card["pairs"] >= card["agreed"] >= card["balanced"] > 0
    need = {"sft-800k": upstream, "preferences": whole / "data"}
    more = dataclasses.replace(TINY, reward_models=SFTConfig(examples=10_000))
    with pytest.raises(ValueError, match=r"examples=10000, but a set has \d+: ask for fewer"):
        stages.run("reward-models", more, out=tmp_path / "more", upstream=need)
    one = stages.run("reward-models", TINY, out=tmp_path / "rm", upstream=need)
    two = tmp_path / "rm-parted"
    while not (two / "run_card.json").is_file():
        stages.run("reward-models", TINY, out=two, upstream=need, stop_after=7)
    assert runs.checksum(one / "models") == runs.checksum(two / "models")
    found = json.loads((one / "eval.json").read_text())
    assert set(found) == {"helpful", "unbalanced", "harmless"}
    need = {"sft-800k": upstream, "reward-models": one / "models"}
    r1 = stages.run("all-scenario-rl", TINY, out=tmp_path / "r1", upstream=need)
    lines = trace.read_metrics(r1 / "metrics.jsonl")
    assert ["accuracy/general" in line or "length/general" in line for line in lines] == [
        False, True,
    ]  # fmt: skip
    last = [t for t in trace.read(r1 / "traces.jsonl") if t.problem["family"] == "general"]
    assert last and all({"helpful", "harmless", "format"} <= set(t.parts) for t in last)


# ---- a base that shares its trunk ----------------------------------------------------------------


def changed(**settings):
    return dataclasses.replace(TINY, base=dataclasses.replace(TINY.base, **settings))


def test_a_branch_ends_as_if_it_had_trained_the_trunk(straight, tmp_path):
    other = changed(asymmetry="reversed", anneal_row_tokens=32)
    whole = stages.run("base", other, out=tmp_path / "whole")
    branch = stages.branch("base", other, straight / "base", tmp_path / "branch")
    assert stages.branch("base", other, straight / "base", branch) == branch  # begun: left alone
    stages.run("base", other, out=branch)
    assert result(branch) == result(whole) != result(straight / "base")


def test_a_branch_needs_the_same_trunk(straight, tmp_path, upstream):
    for settings, told in (({"lr": 1e-4}, "lr"), ({"direct": 0.5, "asymmetry": "off"}, "direct")):
        with pytest.raises(stages.RunError, match=f"differs in {told}"):
            stages.branch("base", changed(**settings), straight / "base", tmp_path / "no")
    with pytest.raises(stages.RunError, match="differs in seed"):
        stages.branch("base", TINY, straight / "base", tmp_path / "no", seed=1)
    with pytest.raises(stages.RunError, match=r"differs in .*stage"):
        stages.branch("base", TINY, straight / "r1-zero", tmp_path / "no")
    with pytest.raises(stages.RunError, match="holds no run"):
        stages.branch("base", TINY, upstream, tmp_path / "no")
    early = stages.run("base", TINY, out=tmp_path / "early", stop_after=2)
    with pytest.raises(stages.RunError, match="not come to its anneal"):
        stages.branch("base", TINY, early, tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_answers_can_be_learnt_without_their_thinking():
    folders = {"base": models.shipped("base"), "cold-start-data": stages.shipped("cold-start-data")}
    config = dataclasses.replace(TINY.cold_start, examples=2)
    told = {}
    for think in (True, False):
        one = dataclasses.replace(config, think=think)
        work = trainers.trainer("cold-start", one, 0, folders)
        told[think] = [work.tokenizer.decode(answer[:-1]) for _, answer in work.rows]
    for whole, short in zip(told[True], told[False], strict=True):
        assert short == sets.unthought(whole) != whole
        assert "<think> </think> <answer>" in short


def test_oracle_documents_are_worked_problems_to_the_end():
    config = dataclasses.replace(laptop().qwen_base, oracle=True)
    work = trainers.Pretrain("qwen-base", config, 0)
    rng = random.Random(0)
    pages = [corpus.document(rng, work.mixtures[2]) for _ in range(60)]
    assert all(re.search("<think> .+ </think> <answer> .+ </answer>$", page) for page in pages)
    assert work.mixtures[:2] == trainers.Pretrain("qwen-base", laptop().qwen_base, 0).mixtures[:2]
