"""Are the bundled students the real architectures, and did they learn from what they copied?"""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from r1book import compute, models, scoring, sets, stages
from r1book.graph import STAGES
from r1book.rollout import Rollout

ROOT = Path(__file__).resolve().parent.parent
STUDENTS = {"distill-qwen": "Qwen2ForCausalLM", "distill-llama": "LlamaForCausalLM"}
each_student = pytest.mark.parametrize("name", STUDENTS)


@pytest.fixture(scope="module")
def rows():
    return sets.read(ROOT / "data" / "sets" / "distillation-data")


def told(name: str, file: str = "eval.json") -> dict:
    return json.loads((stages.shipped(name) / file).read_text(encoding="utf-8"))


@each_student
def test_transformers_opens_a_student_and_finds_the_same_log_probabilities(name, rows):
    folder = models.shipped(name)
    # kept as bfloat16, computed with in float32: transformers would compute in bfloat16, too
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    words = PreTrainedTokenizerFast.from_pretrained(folder)
    ours, tokenizer = models.load(folder)
    assert type(theirs).__name__ == STUDENTS[name]
    assert theirs.num_parameters() == models.parameters(ours)
    for row in rows[::900]:
        prompt, answer = (tokenizer.encode(s) for s in (row.prompt, row.completion))
        assert words.encode(row.prompt + row.completion) == prompt + answer
        prompt.insert(0, tokenizer.bos_token_id)
        asked = Rollout(0, 0, prompt, answer, [], "stop", row.completion)
        with torch.no_grad():
            mine = scoring.logprobs(ours, [asked], 1.0, torch.float32)[0][0]
            logits = theirs(torch.tensor([prompt + answer])).logits.float()
        found = logits.log_softmax(-1)[0, len(prompt) - 1 : -1]
        found = found.gather(-1, torch.tensor(answer)[:, None])[:, 0]
        torch.testing.assert_close(mine, found, rtol=0, atol=2e-5)


@each_student
@pytest.mark.parametrize("benchmark", ["mini-MATH", "logic", "mini-GPQA"])
def test_a_student_is_right_more_often_than_its_base(name, benchmark):
    after, before = told(name)[benchmark], told(STAGES[name].needs[0])[benchmark]
    assert (after["n"], after["samples"]) == (before["n"], before["samples"])
    assert after["ci95"][0] > before["ci95"][1]


def test_the_students_copy_right_and_readable_answers_of_all_domains(rows):
    card = told("distillation-data", "run_card.json")
    assert len(rows) == card["data"]["rows"] >= 6000
    assert {row.domain for row in rows} >= {"math", "logic", "stem", "general"}
    assert {row.lang for row in rows} == {"en", "zh"}


@each_student
def test_the_teacher_costs_more_than_the_student(name):
    teacher = compute.total(told(stage, "run_card.json") for stage in compute.before(name))
    assert teacher.flops > compute.of(told(name, "run_card.json")).flops
