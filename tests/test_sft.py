"""Does learning from text count the right tokens, at the right rate, and does it learn?"""

import itertools
import math

import pytest
import torch
from test_models import tiny

from r1book import sft
from r1book.network import LanguageModel, Shape, initialise
from r1book.world import corpus
from r1book.world.vocab import BOS, EOS, IDS, VOCAB

SMALL = Shape("llama", len(VOCAB), 32, 1, 2, 2, 64, 64)


# ---- what is learnt from -------------------------------------------------------------------------


def test_pairs_have_labels_on_answers_only():
    ids, labels = sft.pairs([([1, 5], [6, 2]), ([1, 7, 8, 9], [2]), ([1], [5, 6, 2])], pad=0)
    assert ids.tolist() == [[1, 5, 6, 0], [1, 7, 8, 9], [1, 5, 6, 0]]
    assert labels.tolist() == [[-100, 6, 2, -100], [-100, -100, -100, 2], [5, 6, 2, -100]]
    for bad in ([], [([], [1])], [([1], [2]), ([1], [])]):
        with pytest.raises(ValueError, match="at least one pair"):
            sft.pairs(bad, pad=0)


def test_loss_is_the_mean_over_answer_tokens():
    logits = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]]] * 2).log()
    labels = torch.tensor([[-100, 1, 0], [-100, -100, 2]])
    want = -(math.log(0.8) + math.log(0.2) + math.log(0.6)) / 3
    assert sft.loss(logits, labels).item() == pytest.approx(want, abs=1e-6)
    # what the model says before the answer begins does not matter, nor does the order of rows
    other = logits.clone()
    other[:, 0] = torch.tensor([9.0, -9.0, 0.0])
    assert sft.loss(other, labels).item() == pytest.approx(want, abs=1e-6)
    assert sft.loss(logits.bfloat16(), labels).dtype == torch.float32


def test_padding_does_not_change_the_loss_of_a_pair():
    model, short, long = tiny(), ([1, 5], [6, 2]), ([1, 9, 8, 7, 5, 4], [6, 6, 6, 2])
    with torch.no_grad():
        losses = []
        for items in ([short], [long], [short, long]):
            ids, labels = sft.pairs(items, pad=0)
            losses.append(sft.loss(model.logits(ids), labels).item())
    assert losses[2] == pytest.approx((2 * losses[0] + 4 * losses[1]) / 6, rel=1e-5)


def test_rows_are_decided_by_seed_and_step():
    mixture = corpus.TRUNK
    rows = sft.rows(mixture, 3, 7, 4, 100)
    assert rows.shape == (4, 101) and rows.dtype == torch.long
    assert torch.equal(rows, sft.rows(mixture, 3, 7, 4, 100))
    assert torch.equal(rows[:2], sft.rows(mixture, 3, 7, 2, 100))
    for seed, step in ((4, 7), (3, 8)):
        assert not torch.equal(rows, sft.rows(mixture, seed, step, 4, 100))


def test_rows_are_whole_documents_one_after_the_other():
    bos, eos = IDS[BOS], IDS[EOS]
    documents = 0
    for row in sft.rows(corpus.TRUNK, 0, 0, 6, 150).tolist():
        assert row[0] == bos
        for here, after in itertools.pairwise(row):
            assert (here == eos) == (after == bos)  # each is closed before the next begins
        assert not {IDS["<pad>"], IDS["<unk>"]} & set(row)
        documents += row.count(bos)
    assert documents > 6  # several in a row


def test_epochs_visit_everything_once_a_pass():
    batches = list(sft.epochs(10, 4, 3, seed=1))
    assert [len(b) for b in batches] == [4, 4, 2] * 3
    passes = [[i for b in batches[k : k + 3] for i in b] for k in (0, 3, 6)]
    assert all(sorted(each) == list(range(10)) for each in passes)
    assert passes[0] != passes[1] != passes[2] != list(range(10))
    assert batches == list(sft.epochs(10, 4, 3, seed=1)) != list(sft.epochs(10, 4, 3, seed=2))


# ---- how it is learnt ----------------------------------------------------------------------------


def test_the_rate_rises_stays_and_falls():
    shares = [sft.warm_then_fall(step, 100, 10, 20) for step in range(100)]
    assert shares[0] == 0.1 and shares[8] == 0.9 and shares[9] == 1.0
    assert set(shares[9:81]) == {1.0}
    assert shares[90] == 0.5 and shares[99] == pytest.approx(0.05)
    assert [sft.warm_then_fall(s, 3, 0, 0) for s in range(3)] == [1.0, 1.0, 1.0]  # neither


def test_decay_is_for_the_matrices_of_layers():
    model = tiny("qwen2")
    (optimizer,) = sft.optimizers(model, 0.02, weight_decay=0.1)
    names = {id(p): n for n, p in model.named_parameters()}
    decayed, others = ([names[id(p)] for p in g["params"]] for g in optimizer.param_groups)
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.1, 0.0]
    assert len(decayed) == 2 * 7 and all(n.endswith("proj.weight") for n in decayed)
    assert set(decayed) | set(others) == set(names.values())
    assert {"model.embed_tokens.weight", "model.norm.weight"} <= set(others)
    sft.set_rate([optimizer], 0.25)
    sft.set_rate([optimizer], 0.5)  # of the peak, not of the last rate
    assert [g["lr"] for g in optimizer.param_groups] == [0.01, 0.01]


def test_a_step_is_minus_the_gradient():
    model = tiny()
    ids, labels = sft.pairs([([1, 5], [6, 2])], pad=0)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    sft.loss(model.logits(ids), labels).backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    norm = math.sqrt(sum(g.square().sum().item() for g in gradients.values()))
    told = sft.update(model, [torch.optim.SGD(model.parameters(), 0.1)], ids, labels, grad_clip=0.5)
    assert norm > 0.5 and told["grad_norm"] == pytest.approx(norm, rel=1e-4)
    for n, p in model.named_parameters():
        assert torch.allclose(p, before[n] - 0.1 * gradients[n] * 0.5 / norm, atol=1e-6), n
        assert p.grad is None


def test_learning_lowers_the_loss():
    model = initialise(LanguageModel(SMALL), 0)
    optimizers, losses = sft.optimizers(model, 1e-2), []
    for step in range(40):
        rows = sft.rows(corpus.TRUNK, 0, step, 16, 48)
        sft.set_rate(optimizers, sft.warm_then_fall(step, 40, 5, 10))
        losses.append(sft.update(model, optimizers, rows[:, :-1], rows[:, 1:])["loss"])
    assert losses[0] == pytest.approx(math.log(len(VOCAB)), abs=0.1)  # uniform: 6.5 nats
    assert sum(losses[-5:]) / 5 < 4.2  # on text it has not seen


def test_a_bad_number_stops_before_it_reaches_the_weights():
    model = tiny()
    optimizers = sft.optimizers(model, 0.1)
    ids, labels = sft.pairs([([1, 5], [6, 2])], pad=0)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    broken = lambda ids: model.logits(ids) * float("inf")  # noqa: E731
    with pytest.raises(FloatingPointError, match=r"not finite. Lower the learning rate"):
        sft.update(model, optimizers, ids, labels, forward=broken)
    assert all(torch.equal(p, before[n]) and p.grad is None for n, p in model.named_parameters())
    assert optimizers[0].state == {}
    assert math.isfinite(sft.update(model, optimizers, ids, labels)["loss"])  # and can go on


# ---- what a machine may lack ---------------------------------------------------------------------


def test_precision_is_what_the_processor_has(monkeypatch):
    monkeypatch.setattr(sft, "fast_bfloat16", lambda: True)
    assert sft.precision("bfloat16") == torch.bfloat16
    monkeypatch.setattr(sft, "fast_bfloat16", lambda: False)
    assert sft.precision("bfloat16") == sft.precision("float32") == torch.float32
    with pytest.raises(ValueError, match="'float16'"):
        sft.precision("float16")


def test_bfloat16_changes_the_passes_not_the_weights():
    model = tiny()
    ids, labels = sft.pairs([([1, 5], [6, 7, 2])], pad=0)
    with torch.no_grad():
        exact = sft.loss(model.logits(ids), labels).item()
    told = sft.update(model, sft.optimizers(model, 1e-3), ids, labels, dtype=torch.bfloat16)
    assert told["loss"] != exact and told["loss"] == pytest.approx(exact, rel=0.1)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_without_a_compiler_training_goes_on_uncompiled(monkeypatch, capsys):
    monkeypatch.setattr(sft.shutil, "which", lambda name: None)
    assert sft.compiled(tiny()) is None
    assert "no C++ compiler found" in capsys.readouterr().out


def test_with_a_compiler_that_fails_training_goes_on_uncompiled(monkeypatch, capsys):
    def failing(function):
        def call(*_):
            raise RuntimeError("'omp.h' file not found")

        return call

    monkeypatch.setattr(sft.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(torch, "compile", failing)
    assert sft.compiled(tiny()) is None
    assert "compiler does not work (RuntimeError)" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_compiled_and_not_a_model_has_the_same_gradients(family):
    shape = Shape(family, vocab=40, hidden=32, layers=2, heads=4, kv_heads=2, mlp=48, positions=32)
    model = initialise(LanguageModel(shape), 0)
    forward = sft.compiled(model)
    if forward is None:
        pytest.skip("no working C++ compiler here")
    ids = torch.randint(0, 40, (4, 24), generator=torch.Generator().manual_seed(0))
    grads = []
    for each in (model.logits, forward):
        model.zero_grad()
        each(ids).log_softmax(-1)[..., 3].sum().backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    assert all(grad.abs().max() > 0 for grad in grads[0])
    for plain, fast in zip(*grads, strict=True):
        torch.testing.assert_close(fast, plain, atol=1e-4, rtol=1e-4)
