"""What does a step compute in one go? Norm, rotation, gated unit and head, with their derivatives.

On a CPU most of an eager step is not matrix products but passes over memory, one for every
operation and every tensor kept for the backward pass. Each function here is one node of autograd
with its derivative written out, and gives what the plain form gives (`tests/test_fused.py`, in
float64 against autograd and finite differences). A compiler fuses by itself and gets the plain
form. Leaves out where the weights are (`network.py`).

Shapes: B answers, T tokens, D hidden, H query heads, K key-value heads, d head size, V vocabulary,
M tokens of answers, one after the other.
"""

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

HEAD_ROWS = 512
"""Tokens whose logits are in work at once: a block of them stays in a core's cache."""


# ---- RMS norm ------------------------------------------------------------------------------------


def norm(x, eps: float):
    """Return x (..., D) over its root mean square, without a gain: that belongs into the matrix
    that follows."""
    return F.rms_norm(x, x.shape[-1:], None, eps) if _plain() else _Norm.apply(x, eps)


def unit(x, eps: float):
    """Return (x over its root mean square, in x's type, and the factor (..., 1))."""
    size = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=_exact(x))  # (..., 1)
    factor = size.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
    return (x * factor).to(x.dtype), factor


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, eps):
        y, factor = unit(x, eps)
        ctx.save_for_backward(y, factor)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        y, factor = ctx.saved_tensors
        out = g * y
        along = out.mean(-1, keepdim=True)
        torch.addcmul(g, y, along, value=-1, out=out)
        return out.mul_(factor.to(out.dtype)), None


# ---- rotary positions ----------------------------------------------------------------------------


def heads(qkv, cos, sin, queries: int):
    """Split qkv (B, T, H + 2 K, d) into q (B, H, T, d) and k, both turned by their position, and v
    (B, K, T, d).

    cos and sin: (T, 1, d) or (B, T, 1, d), halves repeated. queries: H.
    """
    pairs = (qkv.shape[2] - queries) // 2
    if _plain():
        q, k, v = qkv.split([queries, pairs, pairs], 2)
        q, k = (x * cos + _swapped(x) * sin for x in (q, k))
        return tuple(x.transpose(1, 2) for x in (q, k, v))
    return _Heads.apply(qkv, cos, sin, queries, pairs)


def turn(x, cos, sin, out=None, sign: float = 1.0):
    """Return x (..., d) turned by its position, or back with sign -1; cos and sin broadcast to it.

    No gradient passes through (`heads` has one).
    """
    half = x.shape[-1] // 2
    out = torch.mul(x, cos, out=out)
    out[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-sign)
    out[..., half:].addcmul_(x[..., :half], sin[..., half:], value=sign)
    return out


def _swapped(x):
    half = x.shape[-1] // 2
    return torch.cat([-x[..., half:], x[..., :half]], dim=-1)


class _Heads(torch.autograd.Function):
    @staticmethod
    def forward(ctx, qkv, cos, sin, queries, pairs):
        ctx.save_for_backward(cos, sin)
        ctx.sizes, ctx.dtype = (queries, pairs, pairs), qkv.dtype
        q, k, v = qkv.to(cos.dtype).split(ctx.sizes, 2)
        q, k = (turn(x, cos, sin) for x in (q, k))
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2).to(qkv.dtype, copy=True)

    @staticmethod
    @once_differentiable
    def backward(ctx, gq, gk, gv):
        cos, sin = ctx.saved_tensors
        B, _, T, d = gq.shape
        out = gq.new_empty(B, T, sum(ctx.sizes), d)
        q, k, v = out.split(ctx.sizes, 2)
        for to, g in ((q, gq), (k, gk)):
            turn(g.transpose(1, 2), cos, sin, out=to, sign=-1.0)
        v.copy_(gv.transpose(1, 2))
        return out.to(ctx.dtype), None, None, None, None


# ---- gated unit ----------------------------------------------------------------------------------


def gated(gate_up):
    """Return silu(gate) * up of gate_up (..., 2 W), as (..., W)."""
    if _plain():
        gate, up = gate_up.chunk(2, -1)
        return F.silu(gate) * up
    return _Gated.apply(gate_up)


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gate_up):
        ctx.save_for_backward(gate_up)
        gate, up = gate_up.chunk(2, -1)
        return F.silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        (gate_up,) = ctx.saved_tensors
        gate, up = gate_up.chunk(2, -1)
        out = torch.empty_like(gate_up)
        to_gate, to_up = out.chunk(2, -1)
        torch.mul(F.silu(gate), g, out=to_up)
        to_gate.copy_(torch.ops.aten.silu_backward(g * up, gate))
        return out


# ---- head ----------------------------------------------------------------------------------------


def scores(states, embeddings, ids, temperature: float = 1.0):
    """Return log-probabilities (M,) of ids (M,) and entropies (M,), in nats, given normed states
    (M, D) and the embeddings (V, D).

    What `grpo.token_logprobs` and `grpo.entropy` give for the logits states @ embeddings.T, which
    are computed by blocks; only the log-probabilities have a gradient. Under autocast the products
    are in its type.
    """
    return _Scores.apply(states, embeddings, ids, temperature)


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(ctx, states, embeddings, ids, temperature):
        ctx.types = states.dtype, embeddings.dtype
        device = states.device.type
        half = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if half else states.dtype
        states, embeddings = states.to(dtype), embeddings.to(dtype)
        exact = _exact(states)
        shares = states.new_empty(len(ids), len(embeddings), dtype=exact)  # (M, V)
        logps, entropies = shares.new_empty(len(ids)), shares.new_empty(len(ids))
        with torch.autocast(device, enabled=False):
            for at in range(0, len(ids), HEAD_ROWS):
                part = slice(at, at + HEAD_ROWS)
                logits = (states[part] @ embeddings.t()).to(exact)
                if temperature != 1:
                    logits /= temperature
                logits -= logits.amax(-1, keepdim=True)
                share = torch.exp(logits, out=shares[part])
                whole = share.sum(-1, keepdim=True)
                share /= whole
                log_whole = whole.log_().squeeze(-1)
                told = logits.gather(-1, ids[part, None]).squeeze(-1)
                logps[part] = told - log_whole
                low = torch.finfo(exact).min  # 0 * log 0 is 0 here
                logits.clamp_(min=low).mul_(share)
                entropies[part] = log_whole - logits.sum(-1)
        ctx.save_for_backward(states, embeddings, ids)
        ctx.shares, ctx.temperature = shares, temperature
        ctx.mark_non_differentiable(entropies)
        return logps, entropies

    @staticmethod
    @once_differentiable
    def backward(ctx, g, _):
        states, embeddings, ids = ctx.saved_tensors
        shares, ctx.shares = ctx.shares, None  # becomes the gradient of the logits, in place
        if shares is None:
            raise RuntimeError("scores: a second backward pass; call scores again before it")
        g = g / ctx.temperature
        to_states = torch.empty_like(states)
        to_embeddings = torch.zeros_like(embeddings, dtype=shares.dtype)
        for at in range(0, len(ids), HEAD_ROWS):
            part = slice(at, at + HEAD_ROWS)
            logits = shares[part].mul_(-g[part, None])
            logits.scatter_add_(-1, ids[part, None], g[part, None])
            logits = logits.to(states.dtype)
            torch.mm(logits, embeddings, out=to_states[part])
            to_embeddings += logits.t() @ states[part]
        types = ctx.types
        return to_states.to(types[0]), to_embeddings.to(types[1]), None, None


def _plain() -> bool:
    return torch.compiler.is_compiling()


def _exact(x) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
