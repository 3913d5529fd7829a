"""What is the language model, as arithmetic? One decoder for Llama- and Qwen2-shaped weights.

Parameter names and mathematics are those of transformers' LlamaForCausalLM and Qwen2ForCausalLM, so
a state dict moves between them unchanged (`tests/test_models.py` compares the log-probabilities).
Leaves out files (`models.py`) and sampling (`rollout.py`).

Shapes: B answers, T tokens, D hidden, H query heads, K key-value heads, d head size, V vocabulary.
"""

import os
from dataclasses import dataclass

# oneDNN, which does torch's products in bfloat16 on a CPU, keeps the compiled kernels of the last
# 1,024 shapes. Here nearly every batch has a shape of its own: a run of R1-Zero with its evaluation
# takes 1.21 GB with 32 and 1.19 with 16, and some 0.7 GB more with all; 147 and 155 seconds of
# training. Read at the first product.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")

import torch
from torch import nn
from torch.nn import functional as F

from r1book import fused


@dataclass(frozen=True)
class Shape:
    """The size and family of a model."""

    family: str = "llama"
    """'llama' (no attention bias) or 'qwen2' (bias on q, k, v)."""
    vocab: int = 0
    """V, tokens in the vocabulary."""
    hidden: int = 128
    """D."""
    layers: int = 4
    """Decoder layers: the depth dial."""
    heads: int = 4
    """H, query heads."""
    kv_heads: int = 4
    """K, key-value heads; fewer than H means grouped-query attention."""
    mlp: int = 352
    """Width of the gated MLP."""
    positions: int = 1024
    """Longest sequence (prompt and answer) the model accepts, in tokens."""
    rope_theta: float = 10000.0
    """Base of the rotary embedding."""
    eps: float = 1e-6
    """Epsilon of the RMS norms."""

    @property
    def head_size(self) -> int:
        """Return d."""
        return self.hidden // self.heads


class Norm(nn.Module):
    """RMS norm with a learnt gain."""

    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):  # (B, T, D) -> (B, T, D)
        return fused.norm(x, self.eps) * self.weight


class Attention(nn.Module):
    """Causal self-attention with rotary positions and grouped key-value heads."""

    def __init__(self, shape: Shape):
        super().__init__()
        D, d, bias = shape.hidden, shape.head_size, shape.family == "qwen2"
        self.shape = shape
        self.q_proj = nn.Linear(D, shape.heads * d, bias=bias)
        self.k_proj = nn.Linear(D, shape.kv_heads * d, bias=bias)
        self.v_proj = nn.Linear(D, shape.kv_heads * d, bias=bias)
        self.o_proj = nn.Linear(shape.heads * d, D, bias=False)

    def forward(self, x, gain, cos, sin, past=None, seen=None):
        """Return (out (B, T, D), keys and values of x (B, K, T, d) each).

        x (B, T, D) normed but for its gain (D,), which goes into the matrices; cos and sin
        (T, 1, d) or (B, T, 1, d). `past` are keys and values (B, K, N, d) that x attends to as
        well; `seen` (B, 1, T, N + T), 0 or -inf, is then added to the scores; None is causal.
        """
        B, T, _ = x.shape
        qkv = F.linear(x, self.weight(gain), self.bias())
        q, k, v = fused.heads(qkv.view(B, T, -1, self.shape.head_size), cos, sin, self.shape.heads)
        if past is None:
            out = attend(q, k, v)
        else:
            k_all, v_all = (torch.cat([old, new], 2) for old, new in zip(past, (k, v), strict=True))
            out = attend(q, k_all, v_all, seen)
        return self.o_proj(out.transpose(1, 2).reshape(B, T, -1)), (k, v)

    def weight(self, gain):
        """Return the matrices of q, k and v as one, ((H + 2 K) d, D), times the gain."""
        return torch.cat([self.q_proj.weight, self.k_proj.weight, self.v_proj.weight]) * gain

    def bias(self):
        """Return the biases of q, k and v as one, or None."""
        if self.q_proj.bias is None:
            return None
        return torch.cat([self.q_proj.bias, self.k_proj.bias, self.v_proj.bias])


def attend(q, k, v, seen=None):
    """Return attention (B, H, T, d) of q (B, H, T, d) over k, v (B, K, S, d): causal with S = T, or
    with `seen` (B, 1, T, S), 0 or -inf, added to the scores.

    Short sequences in bfloat16 on a CPU go through plain matrix products, which a compiler can
    fuse; `benchmarks/attention.py` measures both ways.
    """
    T, d = q.shape[-2:]
    if v.device.type != "cpu" or v.dtype != torch.bfloat16 or k.shape[-2] > 512:
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=seen, is_causal=seen is None, enable_gqa=q.shape[1] != k.shape[1]
        )
    if q.shape[1] != k.shape[1]:
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    scores = (q @ k.transpose(-1, -2)) * d**-0.5  # (B, H, T, S)
    if seen is None:
        later = torch.ones(T, T, dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(later, torch.finfo(scores.dtype).min)
    else:
        scores = scores + seen.to(scores.dtype)
    return scores.softmax(-1) @ v


class Mlp(nn.Module):
    """Gated MLP with SiLU."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden, shape.mlp, bias=False)
        self.up_proj = nn.Linear(shape.hidden, shape.mlp, bias=False)
        self.down_proj = nn.Linear(shape.mlp, shape.hidden, bias=False)

    def forward(self, x, gain):
        """Return (B, T, D) of x (B, T, D), normed but for its gain (D,)."""
        return self.down_proj(fused.gated(F.linear(x, self.weight(gain))))

    def weight(self, gain):
        """Return the matrices of gate and up as one, (2 W, D), times the gain."""
        return torch.cat([self.gate_proj.weight, self.up_proj.weight]) * gain


class Layer(nn.Module):
    """One decoder layer: attention and MLP, each behind a norm and added back."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.self_attn = Attention(shape)
        self.mlp = Mlp(shape)
        self.input_layernorm = Norm(shape.hidden, shape.eps)
        self.post_attention_layernorm = Norm(shape.hidden, shape.eps)

    def forward(self, x, cos, sin, past=None, seen=None):
        """Return (hidden states (B, T, D), keys and values (B, K, T, d) each); `past` and `seen` as
        in Attention."""
        first, second = self.input_layernorm, self.post_attention_layernorm
        out, kept = self.self_attn(fused.norm(x, first.eps), first.weight, cos, sin, past, seen)
        x = x + out
        return x + self.mlp(fused.norm(x, second.eps), second.weight), kept


class Decoder(nn.Module):
    """The stack between token ids and the last norm; the attribute `model` of transformers'
    classes."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.hidden, shape.eps)


@dataclass(frozen=True)
class Prefix:
    """What answers need of their prompts."""

    last: torch.Tensor
    """Normed hidden states (P, D) of each prompt's last token: they predict the first of an
    answer."""
    kept: list
    """Keys, then values (P, K, N, d) of each layer in turn, padded on the right."""
    lengths: torch.Tensor
    """Tokens of each prompt, (P,)."""


class LanguageModel(nn.Module):
    """A decoder with tied input and output embeddings.

    >>> LanguageModel(Shape(vocab=10)).logits(torch.zeros(1, 3, dtype=torch.long)).shape
    torch.Size([1, 3, 10])
    """

    def __init__(self, shape: Shape):
        super().__init__()
        if shape.family not in ("llama", "qwen2"):
            raise ValueError(f"unknown model family {shape.family!r}: expected 'llama' or 'qwen2'")
        self.shape = shape
        self.model = Decoder(shape)
        cos, sin = rotary(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def hidden(self, ids):
        """Return the normed hidden states (B, T, D) of ids (B, T); pad on the right, causality does
        the rest."""
        T = ids.shape[1]
        if self.shape.positions < T:
            raise ValueError(
                f"{T} tokens, but this model accepts at most {self.shape.positions}: "
                "shorten the prompt or the limit"
            )
        x = self.model.embed_tokens(ids)
        cos, sin = self.cos[:T, None].to(x.dtype), self.sin[:T, None].to(x.dtype)
        for layer in self.model.layers:
            x, _ = layer(x, cos, sin)
        return self.model.norm(x)

    def prefix(self, ids, lengths) -> Prefix:
        """Pass prompts through the model once, for many answers: ids (P, N) padded on the right,
        lengths (P,) in tokens."""
        N = ids.shape[1]
        x = self.model.embed_tokens(ids)
        cos, sin = self.cos[:N, None].to(x.dtype), self.sin[:N, None].to(x.dtype)
        kept = []
        for layer in self.model.layers:
            x, pair = layer(x, cos, sin)
            kept.extend(pair)
        last = x[torch.arange(len(ids), device=ids.device), lengths - 1]  # (P, D)
        return Prefix(self.model.norm(last), kept, lengths)

    def after(self, prefix: Prefix, rows, ids):
        """Return normed hidden states (B, T, D) of ids (B, T), each row the continuation of prompt
        rows[b] of the prefix; pad on the right.

        `hidden` of prompt and continuation in one gives the same, and computes each prompt anew.
        """
        T, N = ids.shape[1], prefix.kept[0].shape[2]
        lengths = prefix.lengths[rows]  # (B,)
        x = self.model.embed_tokens(ids)
        seen = x.new_zeros(len(ids), 1, T, N + T)
        asked = torch.arange(N, device=ids.device) < lengths[:, None]  # (B, N)
        seen[..., :N].masked_fill_(~asked[:, None, None], -torch.inf)
        later = torch.ones(T, T, dtype=torch.bool, device=ids.device).triu(1)
        seen[..., N:].masked_fill_(later, -torch.inf)
        places = lengths[:, None] + torch.arange(T, device=ids.device)  # (B, T)
        cos, sin = (table[places][:, :, None].to(x.dtype) for table in (self.cos, self.sin))
        for i, layer in enumerate(self.model.layers):
            past = [kept.index_select(0, rows) for kept in prefix.kept[2 * i : 2 * i + 2]]
            x, _ = layer(x, cos, sin, past, seen)
        return self.model.norm(x)

    def logits(self, ids):
        """Return next-token logits (B, T, V)."""
        return F.linear(self.hidden(ids), self.model.embed_tokens.weight)

    forward = logits


def rotary(shape: Shape):
    """Return cos and sin tables (positions, d), halves repeated as in transformers."""
    d = shape.head_size
    rates = 1.0 / shape.rope_theta ** (torch.arange(0, d, 2, dtype=torch.float32) / d)  # (d/2,)
    angles = torch.outer(
        torch.arange(shape.positions, dtype=torch.float32), rates
    )  # (positions, d/2)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def initialise(model: LanguageModel, seed: int) -> LanguageModel:
    """Draw all weights from N(0, 0.02), output projections scaled down by depth; return the
    model."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        if p.ndim < 2:
            p.data.fill_(0.0 if name.endswith("bias") else 1.0)
            continue
        std = 0.02
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            std /= (2 * model.shape.layers) ** 0.5
        p.data.normal_(0.0, std, generator=generator)
    return model
