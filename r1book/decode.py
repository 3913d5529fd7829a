"""How is one more token computed? Keys and values of the answers so far, and a step of all rows.

`Cache` is made for a CPU: it grows, and rows that have ended leave it. `Static` is made for a GPU:
nothing in it changes its place or its shape, so that a step can be captured once and replayed. Both
compute the same (`tests/test_decode.py`). Leaves out which token is drawn (`rollout.py`).

Shapes: P prompts, G group size, B = P*G answers, N prompt length (padded on the right), S cache
columns, D hidden, H query heads, K key-value heads, d head size, V vocabulary.
"""

import torch
from torch.nn import functional as F

from r1book.network import LanguageModel


class Weights:
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


class Cache:
    """Keys and values of the answers being written: per layer (B, 2 K, S, d), keys first, filled up
    to `used` columns.

    The first N columns are the prompt's, padded on the right. Room grows with the answers. Small
    batches cost as much as their number of operations, so that here are few: rotation is one
    product of complex numbers, a norm is three.
    """

    BLOCK = 96
    """Columns of room at the start beyond the prompts, and added when there is none left."""

    def __init__(
        self, model: LanguageModel, encoded: list[list[int]], group_size: int, max_new_tokens: int
    ):
        s = self.shape = model.shape
        device, dtype = model.cos.device, model.cos.dtype
        self.layers = [Weights(layer, s) for layer in model.model.layers]
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
        room = min(N + self.BLOCK, self.limit)
        self.kept = []
        for keys, values in zip(made.kept[::2], made.kept[1::2], strict=True):  # (P, K, N, d)
            keys = keys.unflatten(-1, (2, half)).transpose(-1, -2).flatten(-2)  # as in Weights
            pair = torch.cat([keys, values], 1).repeat_interleave(group_size, 0)
            self.kept.append(self.roomy(pair, room))
        self.last = made.last.repeat_interleave(group_size, 0)  # (B, D)
        self.places = lengths.repeat_interleave(group_size)  # (B,), where the next token stands
        unseen = torch.arange(N, device=device) >= lengths[:, None]  # (P, N)
        hidden = torch.zeros(unseen.shape, dtype=dtype, device=device)
        hidden = hidden.masked_fill(unseen, -torch.inf)
        self.hidden = F.pad(hidden, (0, max_new_tokens)).repeat_interleave(group_size, 0)
        self.hidden = self.hidden[:, None, None]  # (B, 1, 1, N + max_new_tokens)
        self.padded = bool(unseen.any())

    @staticmethod
    def roomy(x, columns: int):
        """Return x (B, 2 K, S, d) with room for so many columns; what is in the new ones is not
        defined."""
        out = x.new_empty(*x.shape[:2], columns, x.shape[3])
        out[:, :, : x.shape[2]] = x
        return out

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
        hidden = self.opened()
        x = self.table[tokens]  # (B, D)
        turns = self.turns[self.places][:, None]  # (B, 1, d/2)
        for w, kept in zip(self.layers, self.kept, strict=True):
            y = self.direction(x)
            qkv = y @ w.qkv if w.qkv_bias is None else torch.addmm(w.qkv_bias, y, w.qkv)
            pairs = torch.view_as_complex(qkv.view(B, H + 2 * K, -1, 2))
            pairs[:, : H + K].mul_(turns)
            qkv = qkv.view(B, H + 2 * K, s.head_size)
            seen = self.written(kept, qkv[:, H:])
            out = F.scaled_dot_product_attention(
                qkv[:, :H].unflatten(1, (K, -1)),  # queries that share a key-value head
                seen[:, :K],
                seen[:, K:],
                attn_mask=hidden,
            )  # (B, K, H / K, d)
            x = torch.addmm(x, out.reshape(B, -1), w.o)
            gate, up = (self.direction(x) @ w.gate_up).chunk(2, -1)
            x = torch.addmm(x, F.silu(gate).mul_(up), w.down)
        self.moved(self.direction(x).mul_(self.gain))

    def opened(self):
        """Make room for a column; return what is added to its scores (B, 1, 1, S), or None."""
        if self.used == self.kept[0].shape[2]:
            room = min(self.used + self.BLOCK, self.limit)
            for i, x in enumerate(self.kept):  # each goes as its copy comes: no second cache
                self.kept[i] = self.roomy(x, room)
        return self.hidden[..., : self.used + 1] if self.padded else None

    def written(self, kept, new):
        """Write keys and values (B, 2 K, d) into the column; return all that is attended to."""
        kept[:, :, self.used] = new
        return kept[:, :, : self.used + 1]

    def moved(self, last):
        """Go on to the next column; last (B, D) predicts the next token."""
        self.last = last
        self.used, self.places = self.used + 1, self.places + 1

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


class Static(Cache):
    """The same in fixed shapes: room for the longest answer from the start, no row leaves.

    On a GPU the second step is captured as a CUDA graph and replayed from then on: a small model's
    step is hundreds of short kernels, which take longer to launch than to run. On a CPU there is
    nothing to capture, and `Cache` is faster; tests run it there. **Not measured on a GPU yet**:
    what is tested is the arithmetic in fixed shapes, on a CPU, without a graph.
    """

    def __init__(self, *given):
        super().__init__(*given)
        N = self.used
        # zeros: what is not opened yet has weight 0, and 0 times anything but a number is none
        self.kept = [F.pad(x[:, :, :N], (0, 0, 0, self.limit - N)) for x in self.kept]
        self.hidden[..., N:] = -torch.inf  # until a column is opened
        self.at = torch.tensor([N], device=self.hidden.device)
        self.tokens = torch.zeros_like(self.places)
        self.steps, self.graph = 0, None

    def feed(self, tokens):
        """As in Cache; tokens (B,)."""
        self.tokens.copy_(tokens)
        self.steps += 1
        if self.graph is not None:
            self.graph.replay()
        else:
            super().feed(self.tokens)
            if self.steps == 1 and self.tokens.device.type == "cuda":
                self.capture()

    def capture(self):
        """Record a step; what the recording itself changes is put back."""
        changed = (self.last, self.places, self.at, self.hidden)
        before = [x.clone() for x in changed]
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            super().feed(self.tokens)
        for x, old in zip(changed, before, strict=True):
            x.copy_(old)
        self.graph = graph

    def opened(self):
        """As in Cache."""
        self.hidden.index_fill_(3, self.at, 0)
        return self.hidden

    def written(self, kept, new):
        """As in Cache; columns that are not opened yet are returned too."""
        return kept.index_copy_(2, self.at, new.unsqueeze(2))

    def moved(self, last):
        """As in Cache, in place."""
        self.last.copy_(last)
        self.places.add_(1)
        self.at.add_(1)
