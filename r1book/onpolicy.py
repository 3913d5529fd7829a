"""What is on-policy distillation? The student answers, the teacher grades each token, the student
learns.

Off-policy distillation copies the teacher's answers (`sft.py`); here the student is corrected where
it goes itself. Student and teacher share a tokenizer. Source: On-Policy Distillation, Thinking
Machines, October 2025, which grades each token by reverse KL; ours is over the whole vocabulary,
which a small one allows. Leaves out rewards: nobody asks whether an answer is right.

Shapes: M tokens of answers, V vocabulary.
"""

import torch
from torch import Tensor

from r1book import rl, scoring, sft
from r1book.config import RLConfig


def reverse_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """Return KL(student || teacher) in nats of each next-token distribution, (M,), for logits
    (M, V).

    The student's samples say where it is taken; at each place it is exact, over the whole
    vocabulary, not estimated from the token that was sampled. The gradient is the student's. Raises
    ValueError for shapes that differ. Taught in notebook 08.

    >>> two = torch.tensor([[0.5, 0.5], [0.9, 0.1]]).log()
    >>> reverse_kl(two, two.flip(0))
    tensor([0.5108, 0.3681])
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"logits {tuple(student.shape)} of the student, {tuple(teacher.shape)} of the teacher: "
            "expected (M, V) twice"
        )
    own, other = student.float().log_softmax(-1), teacher.float().log_softmax(-1)  # (M, V)
    return (own.exp() * (own - other)).sum(-1)  # (M,)


def step(
    student, teacher, tokenizer, optimizers: list, config: RLConfig, seed: int, number: int
) -> rl.Step:
    """Do step `number`: questions and answers as in `rl.step`, graded by the teacher token by
    token; the student and its optimisers change.

    Metrics have "reverse_kl", in nats a token, and rewards and advantages, which teach nothing
    here. Raises ValueError where the two differ in vocabulary, or the temperature is 0, at which
    no distributions can be compared. Taught in notebook 08.
    """
    if not config.temperature > 0:
        raise ValueError(f"temperature={config.temperature}: expected more than 0, e.g. 1.0")
    if student.shape.vocab != teacher.shape.vocab:
        raise ValueError(
            f"vocabularies of {student.shape.vocab} (student) and {teacher.shape.vocab} (teacher) "
            "tokens: a teacher can grade tokens of its own vocabulary only"
        )
    return rl.step(student, teacher, tokenizer, optimizers, config, seed, number, update=learn)


def learn(
    student, teacher, optimizers: list, config: RLConfig, answers, advantages, number: int
) -> dict:
    """Take one optimiser step on a batch of the student's answers; return what it was like.

    In place of `rl.learn`: the teacher stands for the reference, advantages are not asked.
    """
    share = min(1.0, (number + 1) / max(1, config.warmup))
    sft.set_rate(optimizers, share)
    dtype = sft.precision(config.dtype)
    chosen = sorted(answers, key=lambda a: len(a.ids))
    tokens, apart = sum(len(a.ids) for a in answers), 0.0
    asked = scoring.SharedPrompts(student, chosen, dtype)
    with torch.no_grad():
        asked_too = scoring.SharedPrompts(teacher, chosen, dtype)
    for part in scoring.micro_batches([len(a.ids) for a in chosen], config.micro_tokens):
        own = logits(student, chosen[part], config.temperature, dtype, asked)  # (M, V)
        with torch.no_grad():
            other = logits(teacher, chosen[part], config.temperature, dtype, asked_too)  # (M, V)
        value = reverse_kl(own, other).sum() / tokens
        value.backward()
        apart += value.item()
    asked.backward()
    return {
        "reverse_kl": apart,
        "grad_norm": rl.update(student, optimizers, config.grad_clip),
        "lr": config.lr * share,
        "trained_tokens": tokens,
    }


def logits(
    model, answers, temperature: float, dtype, shared: scoring.SharedPrompts | None = None
) -> Tensor:
    """Return the logits (M, V) of each token of some answers, one answer after the other; `shared`
    as for `scoring.states`."""
    found = scoring.states(model, answers, dtype, shared)
    with scoring.autocast(model, dtype):
        return found.states @ model.model.embed_tokens.weight.T / temperature
