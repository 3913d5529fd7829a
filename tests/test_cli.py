"""Do the commands keep their word? Output, exit codes, and what is left on disk."""

import doctest
import json
import math
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from r1book import cli, problems, trace
from r1book.cli import read, shell, train, watch
from r1book.config import laptop

ROOT = Path(__file__).resolve().parent.parent
TINY = (
    "prompts_per_step=2 group_size=4 max_new_tokens=16 save_every=2 dtype=float32 "
    "evaluation.problems=2 evaluation.samples=2 evaluation.max_new_tokens=16"
).split()


def call(*words, stdin=None):
    """Run a command in this process; its own errors surface as exit codes, bugs as exceptions."""
    result = CliRunner().invoke(cli.app, [str(w) for w in words], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def refused(*words, stdin=None) -> str:
    """Return the one line of a command that must find its input bad."""
    result = call(*words, stdin=stdin)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    line, end = result.stderr.rstrip("\n"), result.stderr[-1:]
    assert line.startswith("error: ") and "\n" not in line and end == "\n", result.stderr
    return line


def train_words(tiny, out, steps=2, stage="r1-zero", prefix=""):
    changes = [c if c.startswith("evaluation") else prefix + c for c in [*TINY, f"steps={steps}"]]
    sets = [word for change in changes for word in ("--set", change)]
    return ["run", stage, "--from", str(tiny), "--out", str(out), *sets]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A checkpoint of 1 layer that knows nothing."""
    from r1book import models
    from r1book.config import ModelConfig

    model = models.build(ModelConfig(hidden=32, layers=1, heads=2, kv_heads=2, mlp=64), seed=0)
    return models.save(model, tmp_path_factory.mktemp("tiny") / "checkpoint")


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    """A run of two steps, and what its command printed."""
    out = tmp_path_factory.mktemp("runs") / "r1-zero"
    return out, call(*train_words(tiny, out))


def test_examples_in_docstrings_hold():
    for module, least in ((shell, 1), (watch, 1), (read, 1)):
        found = doctest.testmod(module)
        assert found.failed == 0 and found.attempted >= least


# ---- help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [[], *([name] for name in cli.COMMANDS)], ids="-".join)
def test_every_command_answers_help(command):
    result = call(*command, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ") and "--help" in result.stdout
    listed = cli.COMMANDS if not command else {}
    assert all(f"\n  {name} " in result.stdout for name in listed)


def test_help_loads_no_torch_and_names_the_module():
    code = (
        "import sys; sys.argv = ['r1book', 'run', '--help']\n"
        "from r1book.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0 False", done.stderr
    assert done.stdout.startswith("Usage: python -m r1book run ")


def test_the_module_runs_and_bad_usage_is_bad_input():
    command = [sys.executable, "-m", "r1book", "run", "--nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--nonsense" in done.stderr and "Traceback" not in done.stderr and done.stdout == ""


# ---- run -----------------------------------------------------------------------------------------


def test_a_run_leaves_its_folder_and_says_what_happened(finished):
    out, result = finished
    assert result.exit_code == 0
    assert result.stdout.endswith(f"finished: {out}\n") and "pass@1" in result.stdout
    assert "2 steps of 2 x 4 answers" in result.stderr
    assert "step 1/2, ETA " in result.stderr and "step 2/2, ETA 0 s" in result.stderr
    assert "the doctor at the end:\n[note] too_early" in result.stderr
    names = {"run_card.json", "metrics.jsonl", "traces.jsonl", "eval.json", "checkpoint", "state"}
    assert {p.name for p in out.iterdir()} == names
    assert json.loads((out / "run_card.json").read_text())["config"]["group_size"] == 4
    assert [m["step"] for m in trace.read_metrics(out / "metrics.jsonl")] == [0, 1]
    assert len(trace.read(out / "traces.jsonl")) == 2 * 2 * 4


def test_a_second_call_finds_nothing_to_do(tiny, finished):
    out, _ = finished
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    result = call(*train_words(tiny, out))
    assert result.exit_code == 0
    assert result.stdout == f"nothing to do: {out} holds this run, finished\n"
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before


def test_another_run_is_not_written_over(tiny, finished):
    out, _ = finished
    line = refused(*train_words(tiny, out, steps=3))
    assert "holds another run" in line and "steps 2 there, 3 asked" in line and "--out" in line
    assert "seed: 0 there, 7 asked" in refused(*train_words(tiny, out), "--seed", 7)


def test_a_folder_of_something_else_is_left_alone(tiny, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    assert "no run of this book" in refused(*train_words(tiny, tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


def test_a_stopped_run_is_continued_to_the_same_end(tiny, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert call(*train_words(tiny, whole, steps=7)).exit_code == 0
    first = call(*train_words(tiny, parts, steps=7), "--stop-after", 3)
    assert first.exit_code == 0
    assert first.stdout == "stopped after step 3 of 7, as asked: the same command goes on\n"
    assert not (parts / "run_card.json").exists()
    assert "forecast: " in first.stderr and "4 steps left" in first.stderr
    assert "the doctor" not in first.stderr
    assert "no checkpoint yet" in refused("eval", parts)
    second = call(*train_words(tiny, parts, steps=7))
    assert second.exit_code == 0 and "step 4/7" in second.stderr and "step 3/7" not in second.stderr
    assert second.stderr.count("the doctor after 5 steps:") == 1
    for name in ("traces.jsonl", "eval.json", "checkpoint/model.safetensors"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes(), name


def test_control_c_keeps_what_was_saved_and_a_terminal_sees_a_bar(tiny, tmp_path):
    out = tmp_path / "run"
    words = train_words(tiny, out, steps=2000)
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    process = subprocess.Popen(
        [sys.executable, "-m", "r1book", *words],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        # a shell that starts jobs in the background has them ignore Control-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(theirs)
    metrics, deadline = out / "metrics.jsonl", time.monotonic() + 200
    seen, sent = b"", False
    while time.monotonic() < deadline:  # a terminal that nobody reads makes its writer wait
        if not sent and metrics.is_file() and metrics.read_bytes().count(b"\n") >= 7:
            process.send_signal(signal.SIGINT)
            sent = True
        if select.select([ours], [], [], 0.05)[0]:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux: the other end is closed
                break
            if not piece:  # macOS: the same
                break
            seen += piece
    try:
        assert process.wait(20) == 130 and sent, seen.decode()
    finally:
        process.kill()
    os.close(ours)
    shown = seen.decode()
    assert "Traceback" not in shown and "same command continues" in shown
    assert "r1-zero 0/2000, ETA after the first step |" in shown
    assert re.search(r"r1-zero 1/2000, ETA [0-9hmins ]+, reward \d\.\d\d, accuracy ", shown)
    assert "\nthe doctor after 5 steps" in shown.replace("\r", "\n")
    assert shown.splitlines()[-1].startswith("stopped after step ")
    again = call(*words, "--stop-after", 1)
    step = int(again.stdout.removeprefix("stopped after step ").split()[0])
    assert again.exit_code == 0 and step >= 7 and step % 2 == 1  # saved every two steps
    assert [m["step"] for m in trace.read_metrics(metrics)] == list(range(step))


def test_the_pipeline_trains_each_stage_once(tiny, tmp_path):
    words = (*train_words(tiny, tmp_path, stage="all", prefix="r1-zero."), "--to", "r1-zero")
    paused = call(*words, "--stop-after", 1)
    assert paused.exit_code == 0 and "stopped after step 1 of 2" in paused.stdout
    first = call(*words)
    assert first.exit_code == 0 and "stages are finished: r1-zero" in first.stdout
    assert (tmp_path / "r1-zero" / "run_card.json").is_file()
    second = call(*words)
    assert second.exit_code == 0 and f"nothing to do in {tmp_path}: " in second.stdout
    assert second.stderr == ""


def test_a_base_is_trained_from_nothing_and_counts_all_its_steps(tmp_path):
    small = (
        "sums_steps=1 trunk_steps=1 anneal_steps=1 step_tokens=64 row_tokens=32 compile=false "
        "model.hidden=32 model.layers=1 model.heads=2 model.kv_heads=2 model.mlp=64"
    ).split()
    sets = [word for change in small for word in ("--set", change)]
    result = call("run", "base", "--out", tmp_path / "base", "--stop-after", 1, *sets)
    assert result.exit_code == 0 and "base: 3 steps\nstep 1/3, ETA " in result.stderr
    assert result.stdout == "stopped after step 1 of 3, as asked: the same command goes on\n"
    (line,) = trace.read_metrics(tmp_path / "base" / "metrics.jsonl")
    assert f": loss {line['loss']:.2f}\n" in result.stderr


def test_unknown_stages_presets_and_settings_are_named(tiny, tmp_path):
    out = tmp_path / "run"
    start = ["run", "r1-zero", "--from", str(tiny), "--out", str(out)]
    assert "'r1-two' is unknown: expected all or one of base" in refused("run", "r1-two")
    assert "unknown preset 'desktop': expected one of laptop" in refused(*start, "--preset=desktop")
    line = refused(*start, "--set", "stepz=2")
    assert "unknown setting 'stepz'" in line and "prompts_per_step" in line
    line = refused(*start, "--set", "evaluation.problem=2")
    assert "unknown setting 'problem'" in line and "benchmarks" in line
    assert "expected int, such as 90" in refused(*start, "--set", "steps=many")
    assert "expected int, such as 90" in refused(*start, "--set", "steps=2.5")
    assert "expected field=value" in refused(*start, "--set", "steps")
    assert "unknown problem set 'MATH'" in refused(
        *start, "--set", 'evaluation.benchmarks=["MATH"]'
    )
    assert "unknown setting 'r1_one.steps'" in refused("run", "all", "--set", "r1-one.steps=2")
    assert "--retrain-base belongs to `run all`" in refused(*start, "--retrain-base")
    assert not out.exists()


def test_a_folder_is_of_the_need_that_is_named(tmp_path):
    data, run = tmp_path / "made" / "data", tmp_path / "dev2" / "checkpoint"
    data.mkdir(parents=True)
    run.mkdir(parents=True)
    found, rewired = train.given("cold-start", [str(tmp_path / "dev2")])
    assert found == {"base": run} and rewired == ()  # the first need, and no edge is rewired
    found, rewired = train.given("cold-start", [f"cold-start-data={tmp_path / 'made'}"])
    assert found == {"cold-start-data": data} and rewired == ("cold-start-data",)
    assert train.given("cold-start", []) == (None, ())
    odd = tmp_path / "a=b"
    (odd / "checkpoint").mkdir(parents=True)
    assert train.given("r1-zero", [str(odd)])[0] == {"base": odd / "checkpoint"}
    with pytest.raises(ValueError, match="--from base was given twice"):
        train.given("cold-start", [str(tmp_path / "dev2"), f"base={tmp_path / 'dev2'}"])


def test_the_end_of_the_pipeline_is_a_stage_of_it(tmp_path):
    assert "--to r1-zero: it belongs to `run all`" in refused("run", "r1-zero", "--to", "r1-zero")
    for other in ("sft-900k", "on-policy-distill"):  # the second one is no part of `run all`
        assert "takes one of base" in refused("run", "all", "--to", other)


def test_settings_reach_the_config_they_name():
    changed = train.adjusted(laptop(), "r1-zero", ["lr=1", "evaluation.samples=4"])
    assert (changed.r1_zero.lr, changed.evaluation.samples) == (1.0, 4)
    assert changed.base == laptop().base and changed.r1_zero.steps == 90
    changed = train.adjusted(laptop(), None, ["base.trunk_steps=9", "base.model.layers=2"])
    assert (changed.base.trunk_steps, changed.base.model.layers) == (9, 2)
    assert changed.qwen_base == laptop().qwen_base


@pytest.mark.parametrize(
    ("lr", "told"),
    [("1e30", "not finite"), ("1e10", "weights have diverged")],  # sampling or update sees it first
)
def test_a_diverged_run_fails_and_keeps_what_is_there(tiny, tmp_path, lr, told):
    out = tmp_path / "run"
    words = train_words(tiny, out, steps=4)
    for change in ("reward=random", "warmup=1", f"lr={lr}"):
        words += ["--set", change]
    result = call(*words)
    assert result.exit_code == 1, result.output
    last = result.stderr.splitlines()[-1]
    assert last.startswith("failed: ") and told in last and "lower lr" in last.lower()
    done = trace.read_metrics(out / "metrics.jsonl")
    assert 1 <= len(done) < 4 and not (out / "run_card.json").exists()


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs Unix limits on file sizes")
def test_a_full_disk_fails_and_can_be_continued(tiny, tmp_path):
    words = train_words(tiny, tmp_path / "run", steps=2)
    limit = (  # the state of the optimizer is larger than 100,000 bytes, the records are smaller
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        f"sys.argv = ['r1book', *{words!r}]\n"
        "from r1book.cli import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", limit], cwd=ROOT, capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1, done.stderr
    assert last.startswith("failed: ") and "room on the disk" in last and "intact" in last
    assert call(*words).exit_code == 0


# ---- checkpoints ---------------------------------------------------------------------------------


def test_eval_prints_the_object_of_the_run(finished):
    out, _ = finished
    wanted = ["--samples", 2, "--problems", 2, "--max-new-tokens", 16, "--json"]
    result = call("eval", out, *wanted)
    assert result.exit_code == 0 and result.stderr == ""
    assert json.loads(result.stdout) == json.loads((out / "eval.json").read_text())
    one = json.loads(call("eval", out / "checkpoint", "--on", "logic", *wanted).stdout)
    assert one == {"logic": json.loads(result.stdout)["logic"]}
    assert {"n", "pass@1", "ci95", "maj@2", "mean_tokens", "format", "target_language_share"} <= {
        *one["logic"]
    }


def test_eval_names_what_it_does_not_know(tiny):
    assert "unknown problem set 'MATH'" in refused("eval", tiny, "--on", "MATH")
    assert "unknown split 'final'" in refused("eval", tiny, "--split", "final")
    assert "names no set" in refused("eval", tiny, "--on", ",")
    assert call("eval", tiny, "--samples", 0).exit_code == 2


def test_a_missing_or_damaged_checkpoint_is_told(tiny, tmp_path):
    for command in (["eval"], ["sample"], ["run", "r1-zero", "--out", tmp_path / "run", "--from"]):
        more = ["what is 3 + 4?"] if command == ["sample"] else []
        assert "no such folder" in refused(*command, "nothing-here", *more)
        assert "no checkpoint folder" in refused(*command, tmp_path / "absent", *more)
        damaged = tmp_path / f"damaged-{command[0]}"
        damaged.mkdir()
        for file in tiny.iterdir():
            (damaged / file.name).write_bytes(file.read_bytes())
        weights = damaged / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
        assert "damaged" in refused(*command, damaged, *more)
        weights.unlink()
        assert "model.safetensors is missing" in refused(*command, damaged, *more)
    assert not (tmp_path / "run").exists()


def test_sample_prints_answers_that_its_seed_decides(tiny):
    words = ["sample", tiny, "what is 3 + 4 * 2?", "-n", 3, "--max-new-tokens", 12]
    one, same, other = call(*words), call(*words), call(*words, "--seed", 1)
    assert one.exit_code == 0 and one.stdout == same.stdout != other.stdout
    heads = [line for line in one.stdout.splitlines() if line.startswith("--- answer ")]
    assert len(heads) == 3 and heads[2].startswith("--- answer 3 of 3: ")
    greedy = call(*words, "--temperature", 0).stdout.split("--- answer ")[1:]
    assert len({text.partition("\n")[2] for text in greedy}) == 1


def test_sample_names_prompts_that_cannot_be_asked(tiny):
    line = refused("sample", tiny, "what is the frobnication of 3?")
    assert "'frobnication' is not in the vocabulary" in line
    line = refused("sample", tiny, "what is " + "3 + " * 500 + "3?")
    assert "the model has 1024" in line and "shorten the prompt" in line
    assert "an empty question" in refused("sample", tiny, " ")
    assert "unknown template 'poem'" in refused("sample", tiny, "what is 3?", "--template", "poem")


# ---- judging and reading -------------------------------------------------------------------------

RIGHT = "<think> let me see: (7 - 1) * 4 = 24. </think> <answer> (7 - 1) * 4 </answer>"
LOGIC = ["--family", "logic", "--numbers", "1,4,7", "--target", "24"]


def test_grade_says_each_verdict_and_why():
    shown = call("grade", RIGHT, *LOGIC)
    assert shown.exit_code == 0
    lines = [line.split(maxsplit=2) for line in shown.stdout.splitlines()]
    assert [line[:2] for line in lines] == [
        ["accuracy", "1"], ["format", "1"], ["language", "1"], ["reward", "2"]
    ]  # fmt: skip
    assert lines[0][2] == "gives 24, the target is 24"
    piped = json.loads(
        call("grade", "-", *LOGIC, "--json", stdin="<answer> 7 + 4 </answer>").stdout
    )
    assert piped["parts"]["accuracy"]["score"] == 0 and "[1, 4, 7]" in str(piped["parts"])
    assert piped["parts"]["format"]["score"] == 0 and piped["reward"] == 0
    assert piped["parts"]["language"] is None


def test_grade_takes_problems_of_sets_files_and_traces(finished, tmp_path):
    asked = problems.load("mini-MATH", 3, seed=5, split="dev")[2]
    answer = f"<think> {asked.answer} </think> <answer> {asked.answer} </answer>"
    words = ["--set", "mini-MATH", "--index", 2, "--seed", 5, "--json"]
    found = json.loads(call("grade", answer, *words).stdout)
    assert found["problem"]["id"] == asked.id and found["reward"] == 2
    file = tmp_path / "problem.json"
    file.write_text(json.dumps(problems.as_dict(asked)))
    assert json.loads(call("grade", answer, "--problem", file, "--json").stdout) == found
    line = (finished[0] / "traces.jsonl").read_text().splitlines()[0]
    file.write_text(line)
    told = json.loads(call("grade", "-", "--problem", file, "--json", stdin="so").stdout)
    assert told["problem"] == json.loads(line)["problem"] and told["reward"] == 0
    wrong = ["grade", "<answer> 8 </answer>", "--family", "math", "--target", "7", "--json"]
    assert json.loads(call(*wrong).stdout)["parts"]["accuracy"]["why"] == "8 against 7"


def test_grade_asks_for_one_whole_question(tmp_path):
    assert "which question?" in refused("grade", RIGHT)
    assert "which question?" in refused("grade", RIGHT, *LOGIC, "--set", "logic")
    assert "needs --numbers 1,4,7 --target 24" in refused("grade", RIGHT, *LOGIC[:4])
    assert "expected integers" in refused("grade", RIGHT, *LOGIC[:5], "many")
    assert "expected math, logic or stem" in refused("grade", RIGHT, "--family", "code")
    assert "--lang fr" in refused("grade", RIGHT, *LOGIC, "--lang", "fr")
    file = tmp_path / "problem.json"
    assert f"{file}: No such file" in refused("grade", RIGHT, "--problem", file)
    for text in ("{", "[1]", '{"family": "logic"}'):
        file.write_text(text)
        assert "expected one problem as a JSON object" in refused("grade", RIGHT, "--problem", file)
    asked = problems.as_dict(problems.load("logic", 1, split="dev")[0]) | {"meta": {}}
    file.write_text(json.dumps(asked))
    assert "not those of a problem of family logic" in refused("grade", RIGHT, "--problem", file)


def test_traces_are_filtered_shown_and_put_on_a_page(finished, tmp_path):
    out, _ = finished
    seen = trace.read(out / "traces.jsonl")
    shown = call("traces", out, "--step", 1, "--limit", 3)
    assert shown.exit_code == 0
    assert shown.stdout.count("step 1, group ") == 3 and "step 0, group" not in shown.stdout
    assert shown.stdout.endswith("3 of 8 shown; --limit 8 takes all\n")
    right = sum(t.parts["accuracy"] == 1 for t in seen)
    for flag, number in (("--right", right), ("--wrong", 16 - right)):
        assert f" of {number} shown" in call("traces", out / "traces.jsonl", flag).stdout
    family = seen[0].problem["family"]
    number = sum(t.problem["family"] == family for t in seen)
    assert f"{min(5, number)} of {number} shown" in call("traces", out, "--family", family).stdout
    page = tmp_path / "page.html"
    assert call("traces", out, "--html", page).stdout == f"16 of 16 in {page}\n"
    text = page.read_text()
    assert text.startswith("<!doctype html>") and "Traces of r1-zero" in text
    assert '"grad_norm"' in text and "http" not in text.replace("http-equiv", "")


def test_traces_that_are_not_there_are_told(finished, tmp_path):
    out, _ = finished
    assert "steps: 0, 1" in refused("traces", out, "--step", 9)
    assert "families: " in refused("traces", out, "--family", "poetry")
    assert "no traces.jsonl" in refused("traces", tmp_path)
    assert "no such file or folder" in refused("traces", tmp_path / "absent")
    half = tmp_path / "traces.jsonl"
    half.write_text('{"v": 1}\n')
    assert f"{half}, line 1" in refused("traces", half)


def a_run(folder, rows, **more):
    trace.write(folder / "metrics.jsonl", rows)
    trace.write_json(folder / "run_card.json", {"config": {"max_new_tokens": 100}} | more)
    return folder


def test_the_doctor_ends_with_1_only_when_going_on_is_a_waste(tmp_path):
    well = {"accuracy": 0.5, "reward": 1.2, "format": 0.7, "tied_groups": 0.3, "length": 50.0}
    dead = well | {"accuracy": 0.0, "reward": 0.0, "tied_groups": 1.0}
    rows = [{"step": i, **(well if i < 5 else dead)} for i in range(9)]
    run = a_run(tmp_path / "dies", rows)
    late, early = call("doctor", run), call("doctor", run, "--early")
    assert late.exit_code == 1 and late.stdout.startswith("[stop] flat_zero (steps 6-8)")
    assert early.exit_code == 0 and early.stdout.startswith("[ok] healthy (steps 0-4)")
    full = a_run(tmp_path / "full", [{"step": i, **well, "length": 90.0} for i in range(5)])
    warned = call("doctor", full)
    assert warned.exit_code == 0 and warned.stdout.startswith("[warn] truncation")
    assert "90 tokens of 100" in warned.stdout
    lost = a_run(tmp_path / "lost", [{"step": i, **well, "loss": math.nan} for i in range(5)])
    assert call("doctor", lost / "metrics.jsonl").exit_code == 1


def test_the_doctor_needs_a_run(tmp_path):
    assert "no metrics.jsonl" in refused("doctor", tmp_path)
    assert "no such file or folder" in refused("doctor", tmp_path / "absent")


def test_the_graph_is_that_of_the_code():
    from r1book.graph import drawn

    assert call("graph").stdout == drawn() + "\n"


# ---- record --------------------------------------------------------------------------------------


def test_what_a_stage_gives_is_bundled_with_its_card(finished, tmp_path):
    run, _ = finished
    made = tmp_path / "made"
    (made / "data").mkdir(parents=True)
    (made / "data" / "train.jsonl").write_text("")
    (made / "run_card.json").write_text('{"stage": "cold-start-data"}')
    assert call("record", made, "--data", tmp_path / "set").exit_code == 0
    assert call("record", run, "--model", tmp_path / "model").exit_code == 0
    for folder, names in (("set", {"train.jsonl"}), ("model", {"config.json", "eval.json"})):
        sums = (tmp_path / folder / "SHA256SUMS").read_text()
        have = {path.name for path in (tmp_path / folder).iterdir()} - {"SHA256SUMS"}
        assert names | {"run_card.json"} <= have == {x.split("  ")[1] for x in sums.splitlines()}
    assert "has no models to bundle" in refused("record", made, "--model", tmp_path / "no")
    assert "nothing to keep" in refused("record", made)
