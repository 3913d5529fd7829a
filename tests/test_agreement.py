"""Do grpo.py and TRL's GRPOTrainer compute the same advantages, loss, metrics and gradients?

The trainer gets fixed answers through its `rollout_func` and trains a tiny model on them for two
optimiser steps, so that in the second one ratios differ from 1 and clipping is real. A plain loop,
an answer at a time and without padding, computes the same from grpo.py at the trainer's weights of
each step. Leaves out sampling, the optimiser's own update, and the R1 report's product ratio, which
TRL does not have: test_grpo.py enumerates that one.
"""

import os
from types import SimpleNamespace

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from r1book import grpo

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read once, when transformers is imported
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
# The formulas named below are those of this release; earlier ones normalise differently.
trl = pytest.importorskip("trl", minversion="1.16")

from datasets import Dataset  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    TrainerCallback,
)

EOS, LIMIT, G = 1, 8, 4  # LIMIT: the most tokens an answer may have
PROMPTS = [[5, 6], [7, 8, 9, 10, 11], [12, 13, 14], [15]]
LENGTHS = [[3, 8, 1, 5], [2, 8, 4, 6], [8, 3, 5, 2], [4, 7, 6, 8]]  # 8: cut off, no end-of-text
REWARDS = [[1.0, 0.0, 0.0, 0.0], [0.1] * G, [1.0, 1.0, 0.0, None], [1.1, 0.1, 0.0, 0.1]]


def make_rollouts():
    """Return the sixteen answers, in the trainer's order: unequal lengths, one group tied."""
    generator = torch.Generator().manual_seed(0)
    rollouts = []
    for prompt, lengths, rewards in zip(PROMPTS, LENGTHS, REWARDS, strict=True):
        for length, reward in zip(lengths, rewards, strict=True):
            ids = torch.randint(2, 40, (length,), generator=generator).tolist()
            ids = ids if length == LIMIT else [*ids[:-1], EOS]
            rollouts.append(SimpleNamespace(prompt=prompt, ids=ids, reward=reward))
    return rollouts


ROLLOUTS = make_rollouts()


def save_model(folder, family):
    """Write a two-layer model of random weights and its word-level tokenizer into folder."""
    words = ["<pad>", "<eos>", *(f"w{i}" for i in range(2, 40))]
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<eos>", padding_side="left"
    )
    config = {"qwen2": Qwen2Config, "llama": LlamaConfig}[family](
        vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, pad_token_id=0,
        eos_token_id=EOS, bos_token_id=None, initializer_range=0.2,
        tie_word_embeddings=family == "qwen2",
    )  # fmt: skip
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return tokenizer


def load_model(folder, shift=0.0):
    """Return the saved model, its weights moved by noise of size shift."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * shift)
    return model.eval()


@pytest.fixture(autouse=True)
def quiet_corner(tmp_path, monkeypatch):
    """Work in an empty folder, on one thread: a model this small only loses time on two."""
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Recording(trl.GRPOTrainer):
    """Keeps what each micro-batch was given and what loss it returned."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        value = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        self.seen.append((inputs, value.item()))
        return value


class BeforeUpdate(TrainerCallback):
    """Keeps weights and gradients of every optimiser step, just before the update."""

    def __init__(self):
        self.weights, self.gradients = [], []

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.weights.append({n: p.detach().clone() for n, p in model.named_parameters()})
        self.gradients.append({n: p.grad.clone() for n, p in model.named_parameters()})


def run_trl(folder, tokenizer, out, **options):
    """Return the trainer, with its micro-batches and log, and each step's weights and gradients."""

    def rollout_func(prompts, trainer):
        assert len(prompts) == len(ROLLOUTS)
        return {
            "prompt_ids": [r.prompt for r in ROLLOUTS],
            "completion_ids": [r.ids for r in ROLLOUTS],
            "logprobs": None,  # used with vLLM only: otherwise the trainer computes its own
            "given": [r.reward for r in ROLLOUTS],  # extra fields reach the reward function
        }

    def reward(completions, given, **kwargs):
        return given

    before = BeforeUpdate()
    settings = {
        "per_device_train_batch_size": 8, "gradient_accumulation_steps": 2, "num_iterations": 2,
        "num_generations": G, "max_completion_length": LIMIT, "max_steps": 2, "beta": 0.2,
        "use_bias_correction_kl": False, "learning_rate": 3e-3, "lr_scheduler_type": "constant",
        "optim": "adamw_torch", "weight_decay": 0.0, "max_grad_norm": 0.0, "logging_steps": 1,
        "shuffle_dataset": False, "bf16": False, "gradient_checkpointing": False, "use_cpu": True,
        "report_to": "none", "save_strategy": "no", "disable_tqdm": True, **options,
    }  # fmt: skip
    trainer = Recording(
        model=load_model(folder, shift=0.02),  # the reference is the folder's model, unmoved
        reward_funcs=reward,
        args=trl.GRPOConfig(output_dir=str(out), **settings),
        train_dataset=Dataset.from_dict({"prompt": [f"w{p[0]}" for p in PROMPTS]}),
        processing_class=tokenizer,
        callbacks=[before],
        rollout_func=rollout_func,
    )
    trainer.seen = []
    trainer.train()
    return trainer, before.weights, before.gradients


def logprobs(model):
    """Return (B, T) log-probabilities and mask of all answers, each run through the model alone."""
    logits = []
    for r in ROLLOUTS:
        everything = torch.tensor([[*r.prompt, *r.ids]])  # (1, S)
        logits.append(model(everything).logits[0, len(r.prompt) - 1 : -1])  # (T_i, V)
    ids = [torch.tensor(r.ids) for r in ROLLOUTS]  # (T_i,) each
    mask = pad_sequence([x > 0 for x in ids], batch_first=True)  # (B, T); no answer holds token 0
    logits, ids = pad_sequence(logits, batch_first=True), pad_sequence(ids, batch_first=True)
    return grpo.token_logprobs(logits, ids), mask


def rows_of(inputs):
    """Return which answers a micro-batch of the trainer holds, in its shuffled order."""
    held = [
        [token for token in answer if token > 0] for answer in inputs["completion_ids"].tolist()
    ]
    return [[r.ids for r in ROLLOUTS].index(ids) for ids in held]


def run_ours(
    folder, trainer, weights, formula, *, std="sample", scale="group", size=None, drop=False
):
    """Return, for each step, micro-batch losses, their mean metrics, gradients; check advantages.

    weights: the trainer's at each step. drop: leave out answers that were cut off.
    size(mask of the micro-batch, mask of all answers): a denominator other than the step's own.
    """
    rewards = torch.tensor([torch.nan if r.reward is None else r.reward for r in ROLLOUTS])
    gains = grpo.advantages(rewards.view(-1, G), std=std, scale=scale).flatten()  # (B,)
    policy, results, old_logp = load_model(folder), [], None
    ref_logp = logprobs(load_model(folder))[0].detach()  # (B, T)
    for step, values in enumerate(weights):
        with torch.no_grad():
            for name, parameter in policy.named_parameters():
                parameter.copy_(values[name])
        logp, mask = logprobs(policy)  # (B, T) each
        old_logp = logp.detach() if old_logp is None else old_logp
        if drop:
            mask = mask & torch.tensor([[r.ids[-1] == EOS] for r in ROLLOUTS])
        seen = [inputs for inputs, _ in trainer.seen[2 * step : 2 * step + 2]]
        batches = [rows_of(inputs) for inputs in seen]
        for rows, inputs in zip(batches, seen, strict=True):
            torch.testing.assert_close(gains[rows], inputs["advantages"], rtol=1e-6, atol=1e-7)
        whole = sum(grpo.denominator(mask[r], formula["aggregation"], LIMIT) for r in batches)
        losses = []
        for rows in batches:
            parts = (logp[rows], old_logp[rows], gains[rows], mask[rows])
            options = {"denominator": size(mask[rows], mask) if size else whole, **formula}
            options |= {"ref_logp": ref_logp[rows], "beta": trainer.args.beta}
            losses.append(grpo.loss(*parts, **options))
        sum(x.value for x in losses).backward()
        gradients = {name: p.grad.clone() for name, p in policy.named_parameters()}
        policy.zero_grad()
        metrics = {k: sum(x.metrics[k] for x in losses) / 2 for k in losses[0].metrics}
        results.append(([x.value.item() for x in losses], metrics, gradients))
    return results


def distance(ours, theirs):
    """Return the largest difference of any gradient entry, over the largest entry of its tensor."""
    assert ours.keys() == theirs.keys()
    return max(float((ours[n] - theirs[n]).abs().max() / theirs[n].abs().max()) for n in theirs)


FORMULAS = grpo.FORMULAS
SEQUENCE = {"importance_sampling_level": "sequence", "epsilon": 0.03}
TWO_STEPS = {"num_iterations": 1, "steps_per_generation": 4, "per_device_train_batch_size": 4}

# name: model, what TRL is told, formula and options of `run_ours`
CASES = {
    "dapo is token_mean": ("qwen2", {"loss_type": "dapo"}, FORMULAS["token_mean"], {}),
    "the same for a llama": ("llama", {"loss_type": "dapo"}, FORMULAS["token_mean"], {}),
    "dapo with clip-higher": (
        "qwen2", {"loss_type": "dapo", "epsilon_high": 0.28, "scale_rewards": "batch"},
        FORMULAS["dapo"], {"scale": "batch"},
    ),
    "grpo is deepseekmath": ("qwen2", {"loss_type": "grpo"}, FORMULAS["deepseekmath"], {}),
    "grpo without the KL": (
        "qwen2", {"loss_type": "grpo", "beta": 0.0}, FORMULAS["deepseekmath"], {},
    ),
    "dr_grpo": (
        "qwen2", {"loss_type": "dr_grpo", "scale_rewards": "none"},
        FORMULAS["dr_grpo"], {"std": "none"},
    ),
    "bnpo is token_mean of each micro-batch": (
        "qwen2", {"loss_type": "bnpo"}, FORMULAS["token_mean"],
        {"size": lambda mask, everything: 2 * grpo.denominator(mask, "token_mean")},
    ),
    "grpo on sequences is gspo": (
        "qwen2", {"loss_type": "grpo", **SEQUENCE}, {**FORMULAS["gspo"], "clip_low": 0.03}, {},
    ),
    "dapo on sequences": (
        "qwen2", {"loss_type": "dapo", **SEQUENCE},
        {"ratio": "sequence_mean", "aggregation": "token_mean", "clip_low": 0.03}, {},
    ),
    "dapo without cut-off answers": (
        "qwen2", {"loss_type": "dapo", "mask_truncated_completions": True},
        FORMULAS["token_mean"], {"drop": True},
    ),
    "grpo without cut-off answers": (
        "qwen2", {"loss_type": "grpo", "mask_truncated_completions": True},
        FORMULAS["deepseekmath"], {"drop": True},
    ),
    "dapo, one generation for two steps": (
        "qwen2", {"loss_type": "dapo", **TWO_STEPS}, FORMULAS["token_mean"],
        {"size": lambda mask, everything: grpo.denominator(everything, "token_mean") / 2},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_same_advantages_loss_metrics_and_gradients(name, tmp_path):
    family, told, formula, options = CASES[name]
    tokenizer = save_model(tmp_path / "model", family)
    trainer, weights, wanted = run_trl(tmp_path / "model", tokenizer, tmp_path / "out", **told)
    ours = run_ours(tmp_path / "model", trainer, weights, formula, **options)
    assert len(ours) == len(wanted) == 2
    for step, (losses, metrics, gradients) in enumerate(ours):
        values = [value for _, value in trainer.seen[2 * step : 2 * step + 2]]
        assert losses == pytest.approx(values, rel=1e-5, abs=1e-6)
        assert distance(gradients, wanted[step]) < 2e-5
        log = trainer.state.log_history[step]
        assert metrics["clip_fraction"] == pytest.approx(log["clip_ratio/region_mean"], rel=1e-5)
        assert metrics["kl"] > 0.05  # the reference is another model from the start
        if told.get("beta") != 0.0:
            assert metrics["kl"] == pytest.approx(log["kl"], rel=1e-5)
    before, after = ours[0][1], ours[1][1]
    assert before["clip_fraction"] == 0.0 and before["ratio"] == pytest.approx(1.0, abs=1e-5)
    assert 0.1 < after["clip_fraction"] < 0.9 and abs(after["ratio"] - 1) > 0.01


def test_the_comparison_tells_the_formulas_apart(tmp_path):
    tokenizer = save_model(tmp_path / "model", "qwen2")
    trainer, weights, wanted = run_trl(tmp_path / "model", tokenizer, tmp_path / "out")
    for name in sorted(FORMULAS.keys() - {"token_mean"}):
        formula = {**FORMULAS[name], "max_length": LIMIT}
        _, _, gradients = run_ours(tmp_path / "model", trainer, weights, formula)[1]
        assert distance(gradients, wanted[1]) > 0.02, name


def test_the_kl_of_trl_as_it_comes_is_not_the_papers(tmp_path):
    tokenizer = save_model(tmp_path / "model", "qwen2")
    as_it_comes = {"use_bias_correction_kl": True}
    trainer, weights, wanted = run_trl(
        tmp_path / "model", tokenizer, tmp_path / "out", **as_it_comes
    )
    ours = run_ours(tmp_path / "model", trainer, weights, FORMULAS["token_mean"])
    for step in (0, 1):  # at ratio 1 the values agree, the gradients never do
        assert distance(ours[step][2], wanted[step]) > 0.02
    assert ours[0][0] == pytest.approx([value for _, value in trainer.seen[:2]], rel=1e-5)
