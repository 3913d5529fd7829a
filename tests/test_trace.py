"""Is a run written down so that nothing is lost, doubled or broken?"""

import dataclasses
import gzip
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1book import trace
from r1book.trace import Log, Trace, TraceError


def make(step=0, group=0, index=0, completion="<think> 7 </think>", **more):
    values = {
        "problem": {"id": "p1", "family": "math", "level": 2, "lang": "en", "question": "3 + 4"},
        "prompt": "user : 3 + 4",
        "finish": "stop",
        "tokens": 5,
        "parts": {"accuracy": 1.0, "format": 0.1},
        "total": 1.1,
        "advantage": 0.5,
    }
    return Trace(step=step, group=group, index=index, completion=completion, **(values | more))


def test_a_trace_is_one_line_of_the_contract():
    assert json.loads(trace.encode(make())) == {
        "v": 1,
        "step": 0,
        "group": 0,
        "index": 0,
        "problem": {"id": "p1", "family": "math", "level": 2, "lang": "en", "question": "3 + 4"},
        "prompt": "user : 3 + 4",
        "completion": "<think> 7 </think>",
        "finish": "stop",
        "tokens": 5,
        "parts": {"accuracy": 1.0, "format": 0.1},
        "total": 1.1,
        "advantage": 0.5,
    }


def test_of_takes_problem_rollout_and_score():
    @dataclasses.dataclass(frozen=True)
    class Problem:
        id: str
        meta: dict

    @dataclasses.dataclass(frozen=True)
    class Rollout:
        group: int
        index: int
        ids: list
        logprobs: list
        text: str
        finish: str

    @dataclasses.dataclass(frozen=True)
    class Score:
        parts: dict
        total: float

    rollout = Rollout(3, 1, [5, 6], [-0.1, -0.2], "seven", "length")
    made = trace.of(9, Problem("p", {"n": [1]}), "say", rollout, Score({"accuracy": 0.0}, 0.0), -1)
    assert (made.step, made.group, made.index, made.tokens, made.advantage) == (9, 3, 1, 2, -1.0)
    assert made.problem == {"id": "p", "meta": {"n": [1]}} and made.ids is None
    unjudged = trace.of(9, {"id": "p"}, "say", rollout, None, 0.0, arrays=True)
    assert unjudged.total is None and unjudged.parts == {} and unjudged.ids == [5, 6]


@given(
    completion=st.text(alphabet=st.characters()),
    total=st.none() | st.floats(),
    logprobs=st.none() | st.lists(st.floats(max_value=0), min_size=1, max_size=3),
)
def test_what_is_written_is_read(tmp_path_factory, completion, total, logprobs):
    path = tmp_path_factory.mktemp("t") / "traces.jsonl"
    before = [make(completion=completion, total=total, logprobs=logprobs), make(index=1)]
    trace.write(path, before)
    assert path.read_bytes().count(b"\n") == 2
    assert repr(trace.read(path)) == repr(before)  # repr: nan is not equal to itself


def test_text_that_says_nan_stays_text_and_numbers_stay_numbers(tmp_path):
    trace.write(tmp_path / "t.jsonl", [make(completion="NaN", advantage=math.inf)])
    assert b"Infinity" in (tmp_path / "t.jsonl").read_bytes()
    (back,) = trace.read(tmp_path / "t.jsonl")
    assert back.completion == "NaN" and back.advantage == math.inf
    trace.append(tmp_path / "m.jsonl", [{"step": 0, "loss": math.nan, "kl": None}])
    json.loads((tmp_path / "m.jsonl").read_text(), parse_constant=lambda x: pytest.fail(x))
    (row,) = trace.read_metrics(tmp_path / "m.jsonl")
    assert math.isnan(row["loss"]) and row["kl"] is None


def test_half_of_a_surrogate_pair_survives(tmp_path):
    trace.write(tmp_path / "t.jsonl", [make(completion="a\ud83d\u2028b\r")])
    assert trace.read(tmp_path / "t.jsonl")[0].completion == "a\ud83d\u2028b\r"


def test_gzip_is_read_and_is_the_same_bytes_each_time(tmp_path):
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        trace.write(tmp_path / name, [make(), make(index=1)])
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    assert (tmp_path / "a.jsonl.gz").read_bytes()[4:8] == bytes(4)  # no time in the header
    assert [t.index for t in trace.read(tmp_path / "a.jsonl.gz")] == [0, 1]


# ---- files that are not as they should be --------------------------------------------------------


def test_missing_file_and_folder_say_what_to_give(tmp_path):
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(FileNotFoundError, match="of a run folder"):
            trace.read(path)


def test_a_half_line_is_named_and_left_out_of_a_live_run(tmp_path):
    path = tmp_path / "t.jsonl"
    trace.write(path, [make(), make(index=1)])
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(TraceError, match=r"line 2 is half a line.*Resume"):
        trace.read(path)
    assert [t.index for t in trace.read(path, live=True)] == [0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{oops\n", "line 2 is broken"),
        (b"[1]\n", "line 2 is broken.*expected an object"),
        (b"\xff\xfe\n", "line 2 is broken"),
        (b'{"v": 2}\n', "line 2: trace version 2 is unknown.*reads version 1"),
        (b'{"step": 2}\n', "line 2: expected a trace with its version"),
        (b'{"v": 1, "colour": 3}\n', r"line 2: .*missing \['advantage'.*unknown \['colour'\]"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, said):
    path = tmp_path / "t.jsonl"
    path.write_bytes(trace.encode(make()) + b"\n" + line)
    with pytest.raises(TraceError, match=said):
        trace.read(path)


def test_a_cut_gzip_file_is_told(tmp_path):
    path = tmp_path / "t.jsonl.gz"
    whole = gzip.compress(trace.encode(make()) + b"\n", mtime=0)
    for data in (whole[:-9], b"no gzip at all\n"):
        path.write_bytes(data)
        with pytest.raises(TraceError, match="no whole gzip file"):
            trace.read(path)


# ---- growing files -------------------------------------------------------------------------------


def test_resume_leaves_no_double_and_no_partial_line(tmp_path):
    path = tmp_path / "t.jsonl"
    with Log(path) as log:
        log.append(make(0), make(0, index=1))
        log.sync()
        saved = log.offset
        log.append(make(1))
        assert len(trace.read(path)) == 3  # readable while the run goes on
    with path.open("ab") as file:
        file.write(b'{"v": 1, "st')  # killed here
    with pytest.raises(TraceError, match="ends in half a line"):
        Log(path)
    with Log(path, offset=saved) as log:
        assert log.offset == saved == path.stat().st_size
        log.append(make(1), make(2))
    assert [(t.step, t.index) for t in trace.read(path)] == [(0, 0), (0, 1), (1, 0), (2, 0)]


@pytest.mark.parametrize("wrong", [-1, 1, 10**6])
def test_an_offset_of_another_run_is_refused(tmp_path, wrong):
    path = tmp_path / "t.jsonl"
    trace.append(path, [make()])
    before = path.read_bytes()
    with Log(path) as log, pytest.raises(TraceError, match="not of one run"):
        log.truncate_to(wrong)
    assert path.read_bytes() == before
    with Log(path) as log:
        log.truncate_to(0)
    assert path.read_bytes() == b""


def test_a_log_does_not_grow_inside_gzip(tmp_path):
    with pytest.raises(TraceError, match="gzip"):
        Log(tmp_path / "t.jsonl.gz")


KILLED = """
import os, sys
from r1book.trace import Log
log = Log(sys.argv[1])
log.append({"step": 0}); log.append({"step": 1})
os._exit(9)
"""


def test_a_killed_process_loses_no_line(tmp_path):
    path = tmp_path / "m.jsonl"
    assert subprocess.run([sys.executable, "-c", KILLED, path]).returncode == 9
    assert trace.read_metrics(path) == [{"step": 0}, {"step": 1}]


# ---- whole files ---------------------------------------------------------------------------------


def test_write_json_replaces_at_once(tmp_path):
    path = tmp_path / "deep" / "eval.json"
    trace.write_json(path, {"a": 1, "题": math.nan})
    with path.open() as reader:
        trace.write_json(path, {"a": 2})
        assert json.load(reader)["a"] == 1  # who was reading goes on reading the old file
    assert json.loads(path.read_text()) == {"a": 2}
    assert os.listdir(path.parent) == ["eval.json"]


def test_a_value_that_is_no_json_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "card.json"
    trace.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        trace.write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1} and os.listdir(tmp_path) == ["card.json"]


# The kernel refuses to let a file grow beyond the limit, as a full disk does.
FULL = """
import resource, sys
from r1book import trace
folder = sys.argv[1]
trace.write_json(folder + "/card.json", {"a": 1})
log = trace.Log(folder + "/m.jsonl")
log.append({"step": 0})
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for work in (lambda: trace.write_json(folder + "/card.json", {"a": "x" * 5000}),
             lambda: log.append({"step": 1, "text": "x" * 5000})):
    try:
        work()
    except OSError as error:
        print(error)
log.append({"step": 2})
"""


def test_a_full_disk_is_told_and_leaves_what_was_there(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True)
    card, log = done.stdout.splitlines()
    assert "could not write" in card and "earlier file" in card and "make room" in card
    assert "everything before this line is intact" in log
    assert json.loads((tmp_path / "card.json").read_text()) == {"a": 1}
    assert trace.read_metrics(tmp_path / "m.jsonl") == [{"step": 0}, {"step": 2}]
    assert sorted(os.listdir(tmp_path)) == ["card.json", "m.jsonl"]


def test_no_torch_is_imported():
    code = (
        "import sys, r1book.trace, r1book.runs, r1book.measure, r1book.doctor, r1book.viewer, "
        "r1book.plots; print('torch' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    assert Path(trace.__file__).is_file()
