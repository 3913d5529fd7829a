"""Does the engine for large models compute what the book computes? TRL's trainer beside grpo.py.

A two-layer model of random weights gets sixteen written rollouts through GRPOTrainer's public
`rollout_func` and does two optimiser steps on them, so that in the second one ratios differ from 1
and clipping is real. grpo.py then computes loss and gradient at the trainer's weights of each step,
an answer at a time and without padding. Left out: the R1 report's product ratio, which TRL does not
have. TRL is in the extra `lab`; it is imported when asked for.
"""

import contextlib
import logging
import os
import random
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from r1book import grpo

TOLD = {
    "token_mean": {"loss_type": "dapo"},
    "deepseekmath": {"loss_type": "grpo"},
    "dr_grpo": {"loss_type": "dr_grpo", "scale_rewards": "none"},
    "dapo": {"loss_type": "dapo", "epsilon_high": 0.28},
    "gspo": {"loss_type": "grpo", "importance_sampling_level": "sequence"},
}
"""What GRPOConfig is told so that TRL computes a formula of `grpo.FORMULAS`."""
WORDS, EOS, GROUP, LIMIT = 40, 1, 4, 8  # LIMIT: the most tokens of an answer
LENGTHS = ((3, 8, 1, 5), (2, 8, 4, 6), (8, 3, 5, 2), (4, 7, 6, 8))  # 8: cut off, no end-of-text
REWARDS = ((1.0, 0.0, 0.0, 0.0), (0.1,) * GROUP, (1.0, 1.0, 0.0, None), (1.1, 0.1, 0.0, 0.1))


@dataclass(frozen=True)
class Agreement:
    """One optimiser step, computed twice."""

    step: int
    """0: the rollouts are the policy's own, all ratios 1; 1: they are one update old."""
    loss: tuple[float, float]
    """Ours, TRL's."""
    advantage_gap: float
    """Largest difference of an advantage."""
    gradient_gap: float
    """Largest difference of a gradient entry, over the largest entry of TRL's gradient."""
    gradients: tuple[Tensor, Tensor]
    """Ours, TRL's; all parameters in one row."""
    metrics: dict[str, float]
    """Ours: ratio, clip_fraction, kl and the other metrics of `grpo.loss`."""


def agreement_with_trl(formula: str = grpo.DEFAULT, beta: float = 0.1) -> list[Agreement]:
    """Return loss and gradient of two optimiser steps from TRL's trainer and from grpo.py.

    formula: a name of `TOLD`. beta: KL coefficient against a reference that differs from the start,
    with the papers' k3 (use_bias_correction_kl=False). Runs offline in a temporary folder.
    Raises ValueError for a formula that TRL does not have. Taught in notebook 02.
    """
    if formula not in TOLD:
        have = ", ".join(TOLD)
        raise ValueError(f"formula {formula!r}: TRL has no such option; use one of {have}")
    with tempfile.TemporaryDirectory() as folder:
        rollouts = _rollouts()
        with _quiet():
            reference, policy = _models(Path(folder))
            seen = _train(Path(folder), policy, rollouts, TOLD[formula], beta)
    std = "none" if formula == "dr_grpo" else "sample"
    rewards = torch.tensor([torch.nan if r is None else r for _, _, r in rollouts])  # (B,)
    gains = grpo.advantages(rewards.view(-1, GROUP), std=std).flatten()  # (B,)
    with torch.no_grad():
        ref_logp, mask = _logprobs(reference, rollouts)  # (B, T) each
    out, old_logp = [], None
    for step, (weights, theirs, loss, advantages) in enumerate(seen):
        policy.load_state_dict(weights)
        policy.zero_grad()
        logp, _ = _logprobs(policy, rollouts)  # (B, T)
        old_logp = logp.detach() if old_logp is None else old_logp
        options = {"ref_logp": ref_logp, "beta": beta, "max_length": LIMIT}
        ours = grpo.loss(logp, old_logp, gains, mask, **options, **grpo.FORMULAS[formula])
        ours.value.backward()
        flat = torch.cat([p.grad.flatten() for p in policy.parameters()])
        out.append(
            Agreement(
                step=step,
                loss=(ours.value.item(), loss),
                # The trainer shuffles the rows: compare the sorted values.
                advantage_gap=float((gains.sort().values - advantages.sort().values).abs().max()),
                gradient_gap=float((flat - theirs).abs().max() / theirs.abs().max()),
                gradients=(flat, theirs),
                metrics=ours.metrics,
            )
        )
    return out


def _rollouts() -> list[tuple[list[int], list[int], float | None]]:
    """Prompt ids, answer ids and reward of sixteen answers: unequal lengths, one group tied."""
    rng = random.Random(0)
    prompts = [[5, 6], [7, 8, 9, 10, 11], [12, 13, 14], [15]]
    out = []
    for prompt, lengths, rewards in zip(prompts, LENGTHS, REWARDS, strict=True):
        for length, reward in zip(lengths, rewards, strict=True):
            ids = [rng.randrange(2, WORDS) for _ in range(length)]
            out.append((prompt, ids if length == LIMIT else [*ids[:-1], EOS], reward))
    return out


def _models(folder: Path):
    """A two-layer Qwen2 of fixed random weights, and the same loaded from folder and moved a bit.

    TRL takes as reference the folder that the policy names as its origin.
    """
    from transformers import AutoModelForCausalLM, Qwen2Config

    config = Qwen2Config(
        vocab_size=WORDS, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, pad_token_id=0,
        eos_token_id=EOS, bos_token_id=None, initializer_range=0.2, tie_word_embeddings=True,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        reference = AutoModelForCausalLM.from_config(config)
    reference.save_pretrained(folder / "model")
    policy = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.02)
    return reference.eval(), policy.eval()


@contextlib.contextmanager
def _quiet():
    """Hide progress bars, and warnings that concern TRL's own code or an answer without verdict."""
    from transformers.utils import logging as bars

    shown, logger = bars.is_progress_bar_enabled(), logging.getLogger("trl")
    level = logger.level
    bars.disable_progress_bar()
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        try:
            yield
        finally:
            logger.setLevel(level)
            if shown:
                bars.enable_progress_bar()


def _tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<eos>", *(f"w{i}" for i in range(2, WORDS))]
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<eos>", padding_side="left"
    )


def _train(folder: Path, policy, rollouts, told: dict, beta: float) -> list[tuple]:
    """Let TRL do two steps; return the weights, gradient, loss and advantages of each."""
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # `rollout_func` is marked experimental
    import trl
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback

    weights, gradients, values = [], [], []

    class Recording(trl.GRPOTrainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            value = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            values.append((value.item(), inputs["advantages"].detach().clone()))
            return value

    class BeforeUpdate(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            weights.append({n: p.detach().clone() for n, p in model.state_dict().items()})
            gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))

    def rollout_func(prompts, trainer):
        return {
            "prompt_ids": [prompt for prompt, _, _ in rollouts],
            "completion_ids": [ids for _, ids, _ in rollouts],
            "logprobs": None,  # used with vLLM only: otherwise the trainer computes its own
            "given": [reward for _, _, reward in rollouts],  # reaches the reward function
        }

    args = trl.GRPOConfig(
        output_dir=str(folder / "out"), per_device_train_batch_size=len(rollouts), beta=beta,
        num_iterations=2, max_steps=2, num_generations=GROUP, max_completion_length=LIMIT,
        use_bias_correction_kl=False, learning_rate=3e-3, lr_scheduler_type="constant",
        optim="adamw_torch", weight_decay=0.0, max_grad_norm=0.0, shuffle_dataset=False, bf16=False,
        gradient_checkpointing=False, use_cpu=True, report_to="none", save_strategy="no",
        disable_tqdm=True, logging_strategy="no", seed=0, **told,
    )  # fmt: skip
    trainer = Recording(
        model=policy,
        reward_funcs=lambda completions, given, **kwargs: given,
        args=args,
        train_dataset=Dataset.from_dict({"prompt": [f"w{p[0]}" for p, _, _ in rollouts[::GROUP]]}),
        processing_class=_tokenizer(),
        callbacks=[BeforeUpdate()],
        rollout_func=rollout_func,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    rows = zip(weights, gradients, values, strict=True)
    return [(w, g, loss, gains) for w, g, (loss, gains) in rows]


def _logprobs(model, rollouts) -> tuple[Tensor, Tensor]:
    """Log-probabilities and mask (B, T) of all answers, each run through the model alone."""
    logits, ids = [], []
    for prompt, answer, _ in rollouts:
        everything = torch.tensor([[*prompt, *answer]])  # (1, S)
        logits.append(model(everything).logits[0, len(prompt) - 1 : -1])  # (T_i, V)
        ids.append(torch.tensor(answer))  # (T_i,)
    mask = pad_sequence([x > 0 for x in ids], batch_first=True)  # (B, T); no answer holds token 0
    logits, ids = pad_sequence(logits, batch_first=True), pad_sequence(ids, batch_first=True)
    return grpo.token_logprobs(logits, ids), mask
