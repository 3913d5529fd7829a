"""How does the model answer? Sample a group of answers for each prompt, with a key-value cache.

One code path for Llama- and Qwen2-shaped models: prompts are computed once and shared by their
group, projections are fused, finished answers leave the batch, and the log-probabilities of the
sampled tokens are kept. It does not know what is correct.

Shapes: P prompts, G group size, B = P*G answers, N prompt length (padded on the left), S cache
columns, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from r1book.network import LanguageModel, rotate


@dataclass(frozen=True)
class Rollout:
    """One sampled answer."""

    group: int
    """Index of its prompt among the prompts given: answers of one prompt share it."""
    index: int
    """Its place in the group, 0 .. G-1."""
    prompt_ids: list[int]
    """Token ids of the prompt."""
    ids: list[int]
    """Token ids of the answer, end-of-text included when it was emitted."""
    logprobs: list[float]
    """Log-probability (nats) of each sampled token under the distribution it was drawn from."""
    text: str
    """The decoded answer, without end-of-text."""
    finish: str
    """'stop' when end-of-text was emitted, 'length' when the limit cut the answer off."""


def encode_prompts(
    model: LanguageModel, tokenizer, prompts: Sequence[str], max_new_tokens: int
) -> list[list[int]]:
    """Return token ids for each prompt, begin-of-text first.

    Raises ValueError, before anything is computed, on an empty prompt, a word outside the
    vocabulary, or a prompt that leaves no room for `max_new_tokens` within the model's positions.
    """
    out = []
    for prompt in prompts:
        ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        if not ids:
            raise ValueError("an empty prompt: expected text of this world, e.g. 'what is 3 + 4?'")
        if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids:
            raise ValueError(
                f"{unknown_words(tokenizer, prompt)} not in the vocabulary: "
                f"reword the prompt {prompt[:200]!r}"
            )
        if tokenizer.bos_token_id is not None:
            ids = [tokenizer.bos_token_id, *ids]
        if len(ids) + max_new_tokens > model.shape.positions:
            raise ValueError(
                f"a prompt of {len(ids)} tokens and an answer of up to {max_new_tokens} need "
                f"{len(ids) + max_new_tokens} positions, the model has {model.shape.positions}: "
                "shorten the prompt or lower max_new_tokens"
            )
        out.append(ids)
    return out


def unknown_words(tokenizer, text: str) -> str:
    """Return the words of `text` that the tokenizer maps to <unk>, quoted."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    pairs = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    found = dict.fromkeys(text[a:b] for token, (a, b) in pairs if token == tokenizer.unk_token_id)
    words = ", ".join(repr(word) for word in list(found)[:5])
    return f"{words} {'is' if len(found) == 1 else 'are'}"


@torch.no_grad()
def sample(
    model: LanguageModel,
    tokenizer,
    prompts: Sequence[str],
    *,
    group_size: int = 1,
    max_new_tokens: int = 256,
    temperature: float = 1.0,
    top_p: float = 1.0,
    generator: torch.Generator | None = None,
    batch: int = 512,
    prefixes: Sequence[str] | None = None,
) -> list[Rollout]:
    """Sample `group_size` answers for each prompt; rollouts come in order of prompt, then place in
    the group.

    `temperature` 0 is greedy. With `top_p` < 1 only the smallest set of tokens whose probability
    reaches it is drawn from. `prefixes` are texts that each prompt's answers must start with (they
    become part of the prompt ids). `batch` bounds the answers that are decoded together. Raises
    ValueError on prompts that do not fit (`encode_prompts`) and on a temperature, top_p or group
    size out of range. Evaluation of the report: temperature 0.6, top-p 0.95 (v1 p.12); its RL:
    temperature 1.

    Taught in notebook 01.
    """
    if temperature < 0 or not 0 < top_p <= 1 or group_size < 1 or max_new_tokens < 1:
        raise ValueError(
            f"temperature {temperature}, top_p {top_p}, group_size {group_size}, "
            f"max_new_tokens {max_new_tokens}: "
            "expected temperature >= 0, 0 < top_p <= 1, group_size >= 1, max_new_tokens >= 1"
        )
    texts = (
        list(prompts)
        if prefixes is None
        else [f"{p} {x}" for p, x in zip(prompts, prefixes, strict=True)]
    )
    encoded = encode_prompts(model, tokenizer, texts, max_new_tokens)
    per = max(1, batch // group_size)
    out: list[Rollout] = []
    for start in range(0, len(encoded), per):
        part = encoded[start : start + per]
        answers = _decode(
            model,
            part,
            group_size,
            max_new_tokens,
            temperature,
            top_p,
            generator,
            tokenizer.eos_token_id,
        )
        for row, (ids, logprobs) in enumerate(answers):
            done = bool(ids) and ids[-1] == tokenizer.eos_token_id
            text = tokenizer.decode(ids[:-1] if done else ids)
            prompt = row // group_size
            out.append(
                Rollout(
                    start + prompt,
                    row % group_size,
                    part[prompt],
                    ids,
                    logprobs,
                    text,
                    "stop" if done else "length",
                )
            )
    return out


class _Fused:
    """A layer's weights, with q, k, v and gate, up each as one matrix."""

    def __init__(self, layer):
        a, m = layer.self_attn, layer.mlp
        self.norm1, self.norm2 = layer.input_layernorm, layer.post_attention_layernorm
        self.qkv = torch.cat([a.q_proj.weight, a.k_proj.weight, a.v_proj.weight])
        self.qkv_bias = (
            None
            if a.q_proj.bias is None
            else torch.cat([a.q_proj.bias, a.k_proj.bias, a.v_proj.bias])
        )
        self.o, self.down = a.o_proj.weight, m.down_proj.weight
        self.gate_up = torch.cat([m.gate_proj.weight, m.up_proj.weight])


class _Cache:
    """Keys and values of the alive rows: per layer (B, K, S, d), filled up to `used` columns."""

    def __init__(
        self, model: LanguageModel, encoded: list[list[int]], group_size: int, max_new_tokens: int
    ):
        s = model.shape
        self.shape = s
        self.layers = [_Fused(layer) for layer in model.model.layers]
        self.model = model
        device, dtype = (
            model.model.embed_tokens.weight.device,
            model.model.embed_tokens.weight.dtype,
        )
        P, N = len(encoded), max(map(len, encoded))
        self.used = N
        self.pads = torch.tensor([N - len(ids) for ids in encoded], device=device)  # (P,)
        self.keys = [
            torch.zeros(P, s.kv_heads, N, s.head_size, device=device, dtype=dtype)
            for _ in self.layers
        ]
        self.values = [torch.zeros_like(k) for k in self.keys]
        ids = torch.tensor([[0] * (N - len(row)) + row for row in encoded], device=device)  # (P, N)
        columns = torch.arange(N, device=device)
        seen = columns[None, :] >= self.pads[:, None]  # (P, N)
        mask = (
            seen[:, None, None, :] & (columns[None, :] <= columns[:, None])[None, None]
        )  # (P, 1, N, N)
        mask = mask | torch.eye(
            N, dtype=torch.bool, device=device
        )  # a pad sees itself: no empty row, no NaN
        positions = (columns[None, :] - self.pads[:, None]).clamp(min=0)  # (P, N)
        self.last = self._forward(ids, positions, mask, 0)[:, -1]  # (P, D)
        room = N + max_new_tokens
        grow = lambda x: F.pad(x, (0, 0, 0, room - N)).repeat_interleave(group_size, 0)  # noqa: E731
        self.keys, self.values = [grow(k) for k in self.keys], [grow(v) for v in self.values]
        self.pads = self.pads.repeat_interleave(group_size)  # (B,)
        self.last = self.last.repeat_interleave(group_size, 0)  # (B, D)

    def _forward(self, ids, positions, mask, start):
        """Run tokens (B, n) at cache columns start .. start+n; return normed hidden states (B, n,
        D)."""
        s, model = self.shape, self.model
        B, n = ids.shape
        x = model.model.embed_tokens(ids)
        cos, sin = (
            model.cos[positions][:, None].to(x.dtype),
            model.sin[positions][:, None].to(x.dtype),
        )  # (B, 1, n, d)
        sizes = [s.heads * s.head_size, s.kv_heads * s.head_size, s.kv_heads * s.head_size]
        end = start + n
        for i, w in enumerate(self.layers):
            q, k, v = F.linear(w.norm1(x), w.qkv, w.qkv_bias).split(sizes, dim=-1)
            q = rotate(q.view(B, n, s.heads, s.head_size).transpose(1, 2), cos, sin)  # (B, H, n, d)
            self.keys[i][:, :, start:end] = rotate(
                k.view(B, n, s.kv_heads, s.head_size).transpose(1, 2), cos, sin
            )
            self.values[i][:, :, start:end] = v.view(B, n, s.kv_heads, s.head_size).transpose(1, 2)
            out = F.scaled_dot_product_attention(
                q,
                self.keys[i][:, :, :end],
                self.values[i][:, :, :end],
                attn_mask=mask,
                enable_gqa=s.heads != s.kv_heads,
            )
            x = x + F.linear(out.transpose(1, 2).reshape(B, n, -1), w.o)
            gate, up = F.linear(w.norm2(x), w.gate_up).chunk(2, dim=-1)
            x = x + F.linear(F.silu(gate) * up, w.down)
        return model.model.norm(x)

    def logits(self):
        """Return next-token logits (B, V) in fp32."""
        return F.linear(self.last, self.model.model.embed_tokens.weight).float()

    def feed(self, tokens):
        """Append one token to every alive row; tokens (B,)."""
        columns = torch.arange(self.used + 1, device=tokens.device)
        mask = (columns[None, :] >= self.pads[:, None])[:, None, None, :]  # (B, 1, 1, S)
        positions = (self.used - self.pads)[:, None]  # (B, 1)
        self.last = self._forward(tokens[:, None], positions, mask, self.used)[:, -1]
        self.used += 1

    def keep(self, rows):
        """Drop all rows but `rows` (indices)."""
        self.keys, self.values = [k[rows] for k in self.keys], [v[rows] for v in self.values]
        self.pads, self.last = self.pads[rows], self.last[rows]


def _decode(model, encoded, group_size, max_new_tokens, temperature, top_p, generator, eos):
    """Return [(ids, logprobs)] for the B = P*G answers of one batch."""
    cache = _Cache(model, encoded, group_size, max_new_tokens)
    B = len(encoded) * group_size
    device = cache.pads.device
    tokens = torch.zeros(B, max_new_tokens, dtype=torch.long, device=device)
    scores = torch.zeros(B, max_new_tokens, device=device)
    lengths = torch.full((B,), max_new_tokens, device=device)
    alive = torch.arange(B, device=device)  # which answer each cache row belongs to
    running = torch.ones(B, dtype=torch.bool, device=device)  # over cache rows
    for t in range(max_new_tokens):
        chosen, logprob = draw(cache.logits(), temperature, top_p, generator)
        tokens[alive, t] = torch.where(running, chosen, tokens[alive, t])
        scores[alive, t] = torch.where(running, logprob, scores[alive, t])
        ended = running & (chosen == eos)
        lengths[alive[ended]] = t + 1
        running &= ~ended
        left = int(running.sum())
        if left == 0 or t + 1 == max_new_tokens:
            break
        if left <= 0.85 * len(running):
            rows = running.nonzero().squeeze(1)
            cache.keep(rows)
            alive, chosen, running = alive[rows], chosen[rows], running[rows]
        cache.feed(chosen)
    lengths, tokens, scores = lengths.tolist(), tokens.tolist(), scores.tolist()
    return [(tokens[b][: lengths[b]], scores[b][: lengths[b]]) for b in range(B)]


def draw(logits, temperature: float, top_p: float, generator=None):
    """Draw one token for each row of logits (B, V); return tokens (B,) and their log-probabilities
    (B,).

    The log-probability is of the distribution drawn from: after temperature and, below 1, top-p. At
    temperature 0, where nothing is drawn, it is the model's own.
    """
    if not torch.isfinite(logits.sum()):
        raise FloatingPointError(
            "the model's logits are not finite: its weights have diverged. Go back to an earlier "
            "checkpoint and lower lr"
        )
    if temperature == 0:
        logprobs = logits.log_softmax(-1)
        token = logits.argmax(-1)
        return token, logprobs.gather(-1, token[:, None]).squeeze(-1)
    logprobs = (logits / temperature).log_softmax(-1)
    if top_p < 1:
        ordered, order = logprobs.sort(-1, descending=True)
        before = ordered.exp().cumsum(-1) - ordered.exp()
        ordered = ordered.masked_fill(before >= top_p, -torch.inf).log_softmax(-1)
        logprobs = torch.empty_like(logprobs).scatter_(-1, order, ordered)
    token = torch.multinomial(logprobs.exp(), 1, generator=generator)  # (B, 1)
    return token.squeeze(-1), logprobs.gather(-1, token).squeeze(-1)
