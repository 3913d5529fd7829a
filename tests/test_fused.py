"""Do the fused steps give what their plain forms give, value and derivative?"""

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from r1book import fused, grpo
from r1book.network import LanguageModel, Shape, initialise

B, T, H, K, D_HEAD = 2, 3, 4, 2, 6


def exact(*shape, seed: int = 0, scale: float = 1.0):
    """Return float64 noise that asks for a gradient."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(*shape, dtype=torch.float64, generator=generator) * scale
    return noise.requires_grad_()


def angles(*shape):
    """Return cos and sin (..., d) with equal halves, as `network.rotary` makes them."""
    half = torch.rand(*shape, D_HEAD // 2, dtype=torch.float64, generator=torch.manual_seed(1)) * 6
    whole = torch.cat([half, half], -1)
    return whole.cos(), whole.sin()


def plain(function, *args, monkeypatch):
    """Return what the form for compilers gives."""
    with monkeypatch.context() as patch:
        patch.setattr(fused, "_plain", lambda: True)
        return function(*args)


def compare(function, x, *args, monkeypatch):
    """Assert that both forms have the same value and the same gradient, for a random direction."""
    twin = x.detach().clone().requires_grad_()
    got, wanted = function(x, *args), plain(function, twin, *args, monkeypatch=monkeypatch)
    got, wanted = (out if isinstance(out, tuple) else (out,) for out in (got, wanted))
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b)
    directions = [exact(*a.shape, seed=7 + i).detach().to(x.dtype) for i, a in enumerate(got)]
    torch.autograd.backward(got, directions)
    torch.autograd.backward(wanted, directions)
    torch.testing.assert_close(x.grad, twin.grad)


@pytest.mark.parametrize("size", [0.01, 1.0, 1000.0])
def test_norm(size, monkeypatch):
    compare(fused.norm, exact(B, T, 8, scale=size), 1e-6, monkeypatch=monkeypatch)
    assert gradcheck(lambda x: fused.norm(x, 0.3), exact(B, T, 8))


def test_norm_of_nothing_but_zeros_is_zero_and_has_a_gradient():
    x = torch.zeros(2, 8, dtype=torch.float64, requires_grad=True)
    y = fused.norm(x, 1e-6)
    y.sum().backward()
    assert (y == 0).all() and torch.allclose(x.grad, torch.tensor(1000.0, dtype=torch.float64))


@pytest.mark.parametrize("rows", [(T, 1), (B, T, 1)])
def test_heads(rows, monkeypatch):
    cos, sin = angles(*rows)
    qkv = exact(B, T, H + 2 * K, D_HEAD)
    compare(fused.heads, qkv, cos, sin, H, monkeypatch=monkeypatch)
    assert gradcheck(lambda x: fused.heads(x, cos, sin, H), exact(B, T, H + 2 * K, D_HEAD))
    q, k, v = fused.heads(qkv, cos, sin, H)
    assert q.shape == (B, H, T, D_HEAD) and k.shape == v.shape == (B, K, T, D_HEAD)


def test_a_turn_there_and_back_changes_nothing():
    cos, sin = angles(T, 1)
    x = exact(B, T, H, D_HEAD).detach()
    there = fused.turn(x, cos, sin)
    assert not torch.allclose(there, x)
    torch.testing.assert_close(there.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(fused.turn(there, cos, sin, sign=-1.0), x)


def test_gated(monkeypatch):
    compare(fused.gated, exact(B, T, 10, scale=3), monkeypatch=monkeypatch)
    assert gradcheck(fused.gated, exact(B, T, 10))


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_scores_are_those_of_grpo_across_blocks(temperature, monkeypatch):
    monkeypatch.setattr(fused, "HEAD_ROWS", 4)
    M, V = 10, 7
    states, table = exact(M, 5), exact(V, 5, seed=3)
    twins = [x.detach().clone().requires_grad_() for x in (states, table)]
    ids = torch.arange(M) % V
    logp, entropy = fused.scores(states, table, ids, temperature)
    logits = twins[0] @ twins[1].t()
    wanted = grpo.token_logprobs(logits[None], ids[None], temperature)[0]
    torch.testing.assert_close(logp, wanted)
    torch.testing.assert_close(entropy, grpo.entropy(logits[None], temperature)[0].detach())
    assert logp.requires_grad and not entropy.requires_grad
    direction = exact(M, seed=9).detach()
    logp.backward(direction)
    wanted.backward(direction)
    for mine, plain_one in zip((states, table), twins, strict=True):
        torch.testing.assert_close(mine.grad, plain_one.grad)


def test_scores_of_large_logits_and_of_no_token():
    table = torch.tensor([[1000.0], [-1000.0], [999.0]])
    states = torch.tensor([[1.0]], requires_grad=True)
    logp, entropy = fused.scores(states, table, torch.tensor([2]))
    wanted = F.log_softmax(table.t(), -1)[0, 2]
    assert logp.item() == pytest.approx(wanted.item()) and torch.isfinite(entropy).all()
    logp.backward(torch.ones(1))
    assert torch.isfinite(states.grad).all()
    none = torch.empty(0, 1, requires_grad=True)
    logp, entropy = fused.scores(none, table, torch.empty(0, dtype=torch.long))
    logp.sum().backward()
    assert logp.shape == entropy.shape == (0,) and none.grad.shape == (0, 1)


def test_a_second_backward_pass_of_scores_is_refused():
    states, table = exact(3, 5), exact(4, 5, seed=3)
    logp, _ = fused.scores(states, table, torch.tensor([0, 1, 2]))
    logp.sum().backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="second backward"):
        logp.sum().backward()


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_whole_model_has_the_gradients_of_its_plain_form(family, monkeypatch):
    shape = Shape(family, vocab=11, hidden=16, layers=2, heads=4, kv_heads=2, mlp=24, positions=32)
    ids = torch.randint(0, 11, (3, 9), generator=torch.Generator().manual_seed(0))
    grads = []
    for form in (False, True):
        with monkeypatch.context() as patch:
            patch.setattr(fused, "_plain", lambda form=form: form)
            model = initialise(LanguageModel(shape), 0).double()
            for p in model.parameters():
                p.data.add_(0.1 * torch.cos(torch.arange(p.numel()).double()).view(p.shape))
            model.logits(ids).log_softmax(-1)[..., 3].sum().backward()
            grads.append({name: p.grad for name, p in model.named_parameters()})
    assert all(g is not None and g.abs().max() > 0 for g in grads[0].values())
    for name, grad in grads[0].items():
        torch.testing.assert_close(grad, grads[1][name], msg=name)


def test_bfloat16_stays_close_to_float32():
    shape = Shape("llama", vocab=50, hidden=32, layers=2, heads=4, kv_heads=4, mlp=48)
    model = initialise(LanguageModel(shape), 0)
    ids = torch.randint(0, 50, (2, 12), generator=torch.Generator().manual_seed(0))
    table, told = model.model.embed_tokens.weight, []
    for half in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            states = model.hidden(ids)[:, :-1].flatten(0, 1)
            logp, entropy = fused.scores(states, table, ids[:, 1:].flatten())
        logp.sum().backward()
        assert logp.dtype == entropy.dtype == torch.float32
        told.append((logp.detach(), torch.cat([p.grad.flatten() for p in model.parameters()])))
    assert torch.allclose(told[0][0], told[1][0], atol=0.02)
    alike = torch.cosine_similarity(told[0][1], told[1][1], 0)
    assert alike > 0.999
