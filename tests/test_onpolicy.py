"""Does on-policy distillation bring a student to its teacher, token by token, and nothing else?"""

import copy
import dataclasses
import doctest

import pytest
import torch

from r1book import models, onpolicy, rollout, scoring, sft
from r1book.base_config import ModelConfig
from r1book.config import laptop

CONFIG = dataclasses.replace(
    laptop().on_policy_distill, prompts_per_step=4, group_size=4, max_new_tokens=12, lr=3e-3,
    dtype="float32", warmup=1, families={"math": 1.0}, levels=(1,),
)  # fmt: skip
SMALL = ModelConfig(hidden=32, layers=1, heads=2, kv_heads=2, mlp=64)


def test_examples():
    assert doctest.testmod(onpolicy).failed == 0


def test_the_loss_is_the_mean_over_samples_of_the_gap_in_log_probability():
    torch.manual_seed(0)
    own, other = torch.randn(1, 5), torch.randn(1, 5)
    gap = own.log_softmax(-1) - other.log_softmax(-1)
    drawn = torch.multinomial(own.softmax(-1)[0], 200_000, replacement=True)
    assert onpolicy.reverse_kl(own, other).item() == pytest.approx(
        gap[0, drawn].mean().item(), abs=0.01
    )
    assert onpolicy.reverse_kl(own, own + 3.0).item() == pytest.approx(0.0, abs=1e-6)


def test_logits_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 5\) of the student, \(2, 6\) of the teacher"):
        onpolicy.reverse_kl(torch.zeros(2, 5), torch.zeros(2, 6))


def test_logits_are_those_that_answers_are_scored_with():
    model, tokenizer = models.load(models.shipped("qwen-base"))
    asked = ["what is 3 + 4?", "what is 3 + 4 * 2?"]
    answers = rollout.sample(model, tokenizer, asked, group_size=2, max_new_tokens=9)
    logp, _, mask = scoring.logprobs(model, answers, 0.7, torch.float32)
    found = onpolicy.logits(model, answers, 0.7, torch.float32).log_softmax(-1)
    told = torch.tensor([token for a in answers for token in a.ids])
    mine = found.gather(-1, told[:, None]).squeeze(-1)
    assert torch.allclose(mine, logp[mask.bool()], atol=1e-5)


def test_a_student_comes_nearer_to_its_teacher_where_it_goes_itself():
    teacher, tokenizer = models.load(models.shipped("reasoning-rl"))
    student, _ = models.load(models.shipped("qwen-base"))
    before = copy.deepcopy(teacher.state_dict())
    answers = rollout.sample(
        student, tokenizer, ["what is 3 + 4?", "what is 3 + 4 * 2?"], group_size=8,
        max_new_tokens=24, generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    config = dataclasses.replace(CONFIG, lr=3e-4)
    optimizers = sft.optimizers(student, config.lr)
    kl = [
        onpolicy.learn(student, teacher, optimizers, config, answers, None, n)["reverse_kl"]
        for n in range(20)
    ]
    assert 0 < kl[-1] < 0.6 * kl[0]
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())


def test_micro_batches_change_nothing():
    tokenizer = models.load(models.shipped("base"))[1]
    teacher, grads = models.build(SMALL, 1), {}
    for tokens in (16, 4096):
        student = models.build(SMALL, 2)
        config = dataclasses.replace(CONFIG, micro_tokens=tokens, lr=0.0)
        done = onpolicy.step(
            student, teacher, tokenizer, sft.optimizers(student, 0.0), config, 0, 0
        )
        grads[tokens] = done.metrics["grad_norm"], done.metrics["reverse_kl"]
    assert grads[16] == pytest.approx(grads[4096], rel=1e-4)


def test_a_step_leaves_a_line_and_traces():
    tokenizer = models.load(models.shipped("base"))[1]
    student = models.build(SMALL, 2)
    done = onpolicy.step(
        student, models.build(SMALL, 1), tokenizer, sft.optimizers(student, 1e-3), CONFIG, 0, 0
    )
    line = done.metrics
    assert len(done.traces) == 16 and {t.advantage for t in done.traces} == {0.0}
    assert line["trained_tokens"] == line["tokens"] == sum(t.tokens for t in done.traces)
    assert {"reward", "accuracy", "length", "prompt_tokens", "reverse_kl"} <= set(line)


def test_each_prompt_is_passed_once_as_costs_are_counted(monkeypatch):
    tokenizer, passed = models.load(models.shipped("base"))[1], []
    student, teacher = models.build(SMALL, 2), models.build(SMALL, 1)
    for model in (student, teacher):
        prefix = model.prefix

        def counted(ids, lengths, prefix=prefix):
            passed.append(int(lengths.sum()))
            return prefix(ids, lengths)

        monkeypatch.setattr(model, "prefix", counted)
    config = dataclasses.replace(CONFIG, micro_tokens=16)
    tools = sft.optimizers(student, 1e-3)
    done = onpolicy.step(student, teacher, tokenizer, tools, config, 0, 0)
    once = done.metrics["prompt_tokens"]
    assert passed[-2:] == [once, once] and len(passed) <= 3  # sampled, learnt, graded


def test_a_temperature_of_0_compares_nothing():
    with pytest.raises(ValueError, match=r"temperature=0.0: expected more than 0"):
        cold = dataclasses.replace(CONFIG, temperature=0.0)
        onpolicy.step(models.build(SMALL, 2), models.build(SMALL, 1), None, [], cold, 0, 0)


def test_another_vocabulary_is_refused():
    class Other:
        shape = dataclasses.replace(models.build(SMALL, 1).shape, vocab=7)

    with pytest.raises(ValueError, match=r"\(student\) and 7 \(teacher\)"):
        onpolicy.step(models.build(SMALL, 2), Other(), None, [], CONFIG, 0, 0)
