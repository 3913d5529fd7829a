"""How does the model answer? Sample a group of answers for each prompt, with a key-value cache.

One code path for Llama- and Qwen2-shaped models: prompts are computed once and shared by their
group, projections are fused, finished answers leave the batch, and the log-probabilities of the
sampled tokens are kept. It does not know what is correct.

Shapes: P prompts, G group size, B = P*G answers, N prompt length (padded on the right), S cache
columns, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from r1book.network import LanguageModel


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
    """A layer's weights as decoding wants them: q, k, v and gate, up each as one matrix (D, ...),
    with the gain of the norm before them; pairs that rotate together lie side by side."""

    def __init__(self, layer, shape):
        a, m = layer.self_attn, layer.mlp
        d, turned = shape.head_size, (shape.heads + shape.kv_heads) * shape.head_size
        order = torch.arange((shape.heads + 2 * shape.kv_heads) * d, device=a.q_proj.weight.device)
        order[:turned] = order[:turned].view(-1, 2, d // 2).transpose(1, 2).flatten()
        scale = shape.hidden**0.5
        qkv = a.weight(layer.input_layernorm.weight)[order]
        self.qkv = qkv.t().contiguous() * scale
        self.qkv_bias = None if a.bias() is None else a.bias()[order]
        self.o, self.down = (w.t().contiguous() for w in (a.o_proj.weight, m.down_proj.weight))
        self.gate_up = m.weight(layer.post_attention_layernorm.weight).t().contiguous() * scale


class _Cache:
    """Keys and values of the answers being written: per layer (B, 2 K, S, d), keys first, filled up
    to `used` columns.

    The first N columns are the prompt's, padded on the right. Room grows with the answers. Small
    batches cost as much as their number of operations, so that here are few: rotation is one
    product of complex numbers, a norm is three.
    """

    BLOCK = 64
    """Columns added when there is no room."""

    def __init__(
        self, model: LanguageModel, encoded: list[list[int]], group_size: int, max_new_tokens: int
    ):
        s = self.shape = model.shape
        device, dtype = model.cos.device, model.cos.dtype
        self.layers = [_Fused(layer, s) for layer in model.model.layers]
        self.table = model.model.embed_tokens.weight
        self.head = self.table.t().contiguous()  # (D, V)
        self.gain = model.model.norm.weight * s.hidden**0.5
        self.small = torch.tensor((s.hidden * s.eps) ** 0.5, device=device)
        half = s.head_size // 2
        self.turns = torch.complex(model.cos[:, :half], model.sin[:, :half])  # (positions, d/2)
        N = max(map(len, encoded))
        ids = torch.tensor([[*row, *[0] * (N - len(row))] for row in encoded], device=device)
        lengths = torch.tensor([len(row) for row in encoded], device=device)  # (P,)
        made = model.prefix(ids, lengths)
        self.used, self.limit = N, N + max_new_tokens
        self.kept = []
        for keys, values in zip(made.kept[::2], made.kept[1::2], strict=True):  # (P, K, N, d)
            keys = keys.unflatten(-1, (2, half)).transpose(-1, -2).flatten(-2)  # as in _Fused
            self.kept.append(torch.cat([keys, values], 1).repeat_interleave(group_size, 0))
        self.last = made.last.repeat_interleave(group_size, 0)  # (B, D)
        self.places = lengths.repeat_interleave(group_size)  # (B,), where the next token stands
        unseen = torch.arange(N, device=device) >= lengths[:, None]  # (P, N)
        hidden = torch.zeros(unseen.shape, dtype=dtype, device=device)
        hidden = hidden.masked_fill(unseen, -torch.inf)
        self.hidden = F.pad(hidden, (0, max_new_tokens)).repeat_interleave(group_size, 0)
        self.hidden = self.hidden[:, None, None]  # (B, 1, 1, N + max_new_tokens)
        self.padded = bool(unseen.any())

    def logits(self):
        """Return next-token logits (B, V) in fp32."""
        return (self.last @ self.head).float()

    def direction(self, x):
        """Return x (B, D) with the norm that its RMS norm has, but for the square root of D."""
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return x / torch.hypot(size, self.small)

    def feed(self, tokens):
        """Append one token to every row; tokens (B,)."""
        s, B, H, K = self.shape, len(tokens), self.shape.heads, self.shape.kv_heads
        if self.used == self.kept[0].shape[2]:
            more = min(self.BLOCK, self.limit - self.used)
            self.kept = [F.pad(x, (0, 0, 0, more)) for x in self.kept]
        end = self.used + 1
        hidden = self.hidden[..., :end] if self.padded else None
        x = self.table[tokens]  # (B, D)
        turns = self.turns[self.places][:, None]  # (B, 1, d/2)
        for w, kept in zip(self.layers, self.kept, strict=True):
            y = self.direction(x)
            qkv = y @ w.qkv if w.qkv_bias is None else torch.addmm(w.qkv_bias, y, w.qkv)
            pairs = torch.view_as_complex(qkv.view(B, H + 2 * K, -1, 2))
            pairs[:, : H + K].mul_(turns)
            qkv = qkv.view(B, H + 2 * K, s.head_size)
            kept[:, :, self.used] = qkv[:, H:]
            out = F.scaled_dot_product_attention(
                qkv[:, :H].unflatten(1, (K, -1)),  # queries that share a key-value head
                kept[:, :K, :end],
                kept[:, K:, :end],
                attn_mask=hidden,
            )  # (B, K, H / K, d)
            x = torch.addmm(x, out.reshape(B, -1), w.o)
            gate, up = (self.direction(x) @ w.gate_up).chunk(2, -1)
            x = torch.addmm(x, F.silu(gate).mul_(up), w.down)
        self.last = self.direction(x).mul_(self.gain)
        self.used, self.places = end, self.places + 1

    def keep(self, running):
        """Drop the rows that `running` (B,) does not name; return the new order (B',) of the rows.

        Rows from the end move into the places that fell free: little is copied.
        """
        left = int(running.sum())
        order = torch.arange(len(running), device=running.device)
        free = (~running[:left]).nonzero().squeeze(1)
        order[free] = movers = running[left:].nonzero().squeeze(1) + left
        for i, x in enumerate(self.kept):
            x[free, :, : self.used] = x[movers, :, : self.used]
            self.kept[i] = x[:left]
        order = order[:left]
        self.places, self.hidden = self.places[order], self.hidden[order]
        return order


def _decode(model, encoded, group_size, max_new_tokens, temperature, top_p, generator, eos):
    """Return [(ids, logprobs)] for the B = P*G answers of one batch."""
    cache = _Cache(model, encoded, group_size, max_new_tokens)
    B = len(encoded) * group_size
    device = cache.places.device
    tokens = torch.zeros(B, max_new_tokens, dtype=torch.long, device=device)
    scores = torch.zeros(B, max_new_tokens, device=device)
    lengths = torch.full((B,), max_new_tokens, device=device)
    alive = torch.arange(B, device=device)  # which answer each cache row belongs to
    running = torch.ones(B, dtype=torch.bool, device=device)  # over cache rows
    for t in range(max_new_tokens):
        chosen, logprob = draw(cache.logits(), temperature, top_p, generator)
        tokens[alive, t], scores[alive, t] = chosen, logprob  # beyond an answer's end: never read
        ended = running & (chosen == eos)
        lengths[alive[ended]] = t + 1
        running &= ~ended
        left = int(running.sum())
        if left == 0 or t + 1 == max_new_tokens:
            break
        if left <= 0.95 * len(running):
            rows = cache.keep(running)
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
    # by the inverse of the cumulative distribution: one uniform number a row, where multinomial
    # takes one a token of the vocabulary
    reached = logprobs.exp().cumsum(-1, dtype=torch.float64)  # (B, V)
    whole = reached[:, -1:]
    at = whole * torch.rand(
        whole.shape, generator=generator, dtype=torch.float64, device=logits.device
    )
    at = torch.minimum(at, whole.nextafter(torch.zeros_like(whole)))  # below the end: p > 0
    token = torch.searchsorted(reached, at, right=True)  # (B, 1)
    return token.squeeze(-1), logprobs.gather(-1, token).squeeze(-1)
