"""Do both caches compute what the whole forward pass computes?"""

import dataclasses

import pytest
import torch
from test_models import SHAPES, tiny
from test_rollout import PROMPTS, by_hand, talker

from r1book import decode, models, rollout
from r1book.world.vocab import EOS, IDS

EOS_ID = IDS[EOS]


@pytest.fixture(scope="module")
def encoded():
    tokenizer = models.tokenizer()
    return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in PROMPTS]


@pytest.mark.parametrize("kind", [decode.Cache, decode.Static])
@pytest.mark.parametrize(("family", "kv_heads"), [("llama", 4), ("qwen2", 2), ("llama", 1)])
def test_logits_are_those_of_a_full_pass(kind, family, kv_heads, encoded):
    shape = dataclasses.replace(SHAPES[family], kv_heads=kv_heads)
    model, steps = tiny(shape=shape).double(), 70  # more than one block of columns
    generator = torch.Generator().manual_seed(0)
    given = torch.randint(4, 400, (2 * len(encoded), steps), generator=generator)  # (B, T)
    with torch.no_grad():
        cache = kind(model, encoded, 2, steps + 1)
        got = [cache.logits()]
        for t in range(steps):
            cache.feed(given[:, t])
            got.append(cache.logits())
        got = torch.stack(got, 1)  # (B, T + 1, V)
        for row, own in enumerate(given):
            asked = encoded[row // 2]
            want = model.logits(torch.tensor([[*asked, *own.tolist()]]))[0, len(asked) - 1 :]
            assert torch.allclose(got[row].double(), want, atol=1e-5), row


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_answers_in_fixed_shapes_are_the_models(family, encoded):
    model = talker(family)
    found = rollout._decode(
        model, encoded, 5, 40, 1.0, 1.0, torch.Generator().manual_seed(0), EOS_ID, static=True
    )
    lengths = [len(ids) for ids, _ in found]
    assert min(lengths) < 20 and max(lengths) == 40
    for row, (ids, logprobs) in enumerate(found):
        assert EOS_ID not in ids[:-1]
        one = rollout.Rollout(0, 0, encoded[row // 5], ids, logprobs, "", "")
        assert torch.allclose(torch.tensor(logprobs), by_hand(model, one), atol=1e-4)


def test_both_caches_write_the_likeliest_answer(encoded):
    model = talker()
    both = [
        rollout._decode(model, encoded, 2, 40, 0, 1.0, None, EOS_ID, static=static)
        for static in (False, True)
    ]
    for (ids, logprobs), (other, its) in zip(*both, strict=True):
        assert ids == other
        assert logprobs == pytest.approx(its, abs=1e-4)


def test_diverged_weights_are_told_of_in_fixed_shapes_too(encoded):
    model = tiny()
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    for static in (False, True):
        with pytest.raises(FloatingPointError, match="diverged"):
            rollout._decode(model, encoded, 2, 5, 1.0, 1.0, None, EOS_ID, static=static)


@pytest.mark.gpu
def test_a_captured_step_is_the_step(encoded):
    model = talker().cuda()
    found = rollout._decode(model, encoded, 5, 40, 0, 1.0, None, EOS_ID)
    want = rollout._decode(model.cpu(), encoded, 5, 40, 0, 1.0, None, EOS_ID)
    assert [ids for ids, _ in found] == [ids for ids, _ in want]
