"""Are the steps of a trace kept, is it readable afterwards, and is a cheat found out?"""

import doctest
import gzip
import json
import random

import pytest

from r1book import models, problems, rewards, rewrite, words

EN = problems.Problem(
    "p", "logic", 1, "en", "make 18 from 9, 3 and 9.", "9 + 9 * 1", "logic:3,9,9=18", "train",
    {"numbers": [9, 3, 9], "target": 18},
)  # fmt: skip
ZH = problems.Problem("q", "math", 1, "zh", "求 6 * 7.", "42", "math:(6*7)", "train", {})
TRACE = (
    "<think> try 9 + 3 = 12: 12 + 9 = 21, need 18, too large. wait, retry 一下: 9 * 3 (三九二十七) "
    "= 27: 27 - 9 = 18, need 18, yes! </think> <answer> 9 * 3 - 9 </answer>"
)


def recorded() -> list[tuple[problems.Problem, str]]:
    """Return right, well-formed traces of the recorded runs of R1-Zero."""
    out = []
    for path in sorted((models.DATA / "runs").glob("r1_zero-seed*/traces.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            seen = [json.loads(line) for line in lines]
        out += [
            (problems.from_dict(t["problem"]), t["completion"])
            for t in seen
            if t["parts"].get("accuracy") == 1 and t["parts"]["format"] == 1
        ]
    assert len(out) > 500
    return out


def test_examples_in_docstrings_hold():
    found = doctest.testmod(rewrite)
    assert found.failed == 0 and found.attempted >= 2


def test_a_trace_rewritten_by_hand_reads_in_one_language():
    told = rewrite.by_hand(TRACE, EN, random.Random(1))
    assert rewrite.steps(told) == rewrite.steps(TRACE) == [
        ("9+3", "12"), ("12+9", "21"), ("9*3", "27"), ("27-9", "18"),
    ]  # fmt: skip
    assert (
        "一下" not in told and "三九" not in told and "(three times nine is twenty seven)" in told
    )
    assert words.language_share(told, "en") == 1 > words.language_share(TRACE, "en")
    assert told.endswith("in short, the answer is 9 * 3 - 9. </think> <answer> 9 * 3 - 9 </answer>")
    assert " i try 9 + 3 = 12" in told and "i need 18" in told and "wait, " in told
    assert rewrite.faults(told, TRACE, EN) == []


def test_recorded_traces_keep_their_steps():
    """What R1-Zero computed is what is told; of garbled traces at most one in a hundred is lost,
    and then the second look sees it."""
    rng, lost = random.Random(0), []
    traces = recorded()
    for problem, text in traces:
        told = rewrite.by_hand(text, problem, rng)
        assert rewards.accuracy(told, problem).total == 1
        lost += rewrite.faults(told, text, problem)
    assert len(lost) <= 0.01 * len(traces), lost


def test_a_canonical_solution_is_no_rewriting():
    fake = (
        "<think> first, i try 9 * 3 = 27: 27 - 9 = 18, i need 18, yes. in short, the answer is "
        "9 * 3 - 9. </think> <answer> 9 * 3 - 9 </answer>"
    )
    assert rewards.accuracy(fake, EN).total == 1 and rewrite.faults(fake, TRACE, EN) == ["steps"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("27 - 9 = 18", "27 - 9 = 17"), "steps"),
        (("<answer> 9 * 3 - 9", "<answer> 9 + 9"), "answer"),
        (("</think>", "", ), "format"),
        (("wait", "等等"), "language"),
        (("in short, the answer is 9 * 3 - 9.", "in short, the answer is 18."), "summary"),
    ],
)  # fmt: skip
def test_each_fault_is_named(change, fault):
    told = rewrite.by_hand(TRACE, EN, random.Random(1))
    assert fault in rewrite.faults(told.replace(*change, 1), TRACE, EN)


def test_lines_of_the_table_change_their_language_and_nonsense_in_brackets_goes():
    text = (
        "<think> so 6 * 7 (six times seven is forty two) = 42 (wait). </think> "
        "<answer> 42 </answer>"
    )
    told = rewrite.by_hand(text, ZH, random.Random(0))
    assert "6 * 7 (六七四十二) = 42" in told and "wait" not in told
    wrong = text.replace("forty two", "forty")
    assert "6 * 7 = 42" in rewrite.by_hand(wrong, ZH, random.Random(0))


def test_a_trace_without_an_answer_is_refused():
    with pytest.raises(ValueError, match="without one <answer>"):
        rewrite.by_hand("<think> so 6 * 7 = 42 </think>", ZH, random.Random(0))


@pytest.mark.parametrize(
    ("run", "what"),
    [
        ("let me see", "open"), ("we have", "open"), ("so the answer is", "answer"),
        ("this is easy . it is", "answer"), ("wait , let me check", "check"), ("我 验证", "check"),
        ("yes , that is right", "right"), ("对 , 没有 错误", "right"), ("an error", "wrong"),
        ("不对 , 错 了", "wrong"), ("等等 , 重试", "turn"), ("wait , try", "turn"), ("试", "try"),
        ("i give up", "stop"), ("我 不 知道", "stop"), ("不行", "no"), ("对", "yes"), ("kg", None),
    ],
)  # fmt: skip
def test_what_a_run_of_words_does(run, what):
    assert rewrite.purpose(run) == what
