"""Are the sampled answers those of the model, with the probabilities it gives them?"""

import math

import pytest
import torch
from test_models import opened, tiny

from r1book import decode, models, rollout
from r1book.world.vocab import BOS, EOS, IDS

PROMPTS = [
    "what is 3 + 4 - 2?",
    "试",
    "make 24 from 3, 5, 7, 1 with + - * and each number once.",
    "a, b",
]
"""Of different lengths, so that all but the longest are padded."""


@pytest.fixture(scope="module")
def tokenizer():
    return models.tokenizer()


def talker(family: str = "llama"):
    """Return a model that ends some of its answers early and others not at all."""
    model = tiny(family)
    with torch.no_grad():
        seen = model.logits(torch.arange(4, 404)[None])[0].softmax(-1)  # (T, V)
        row = model.model.embed_tokens.weight
        row[IDS[EOS]] = 0.97 * row[seen.mean(0).argmax()]  # end-of-text is as likely as that token
    return model


def by_hand(model, answer, temperature: float = 1.0) -> torch.Tensor:
    """Return the log-probabilities (T,) of an answer from one pass over all of its tokens."""
    ids = torch.tensor([[*answer.prompt_ids, *answer.ids]])  # (1, N + T)
    with torch.no_grad():
        logps = (model.logits(ids)[0] / temperature).log_softmax(-1)  # (N + T, V)
    first = len(answer.prompt_ids)
    return torch.stack([logps[first - 1 + t, token] for t, token in enumerate(answer.ids)])


# ---- against the whole forward pass --------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_log_probabilities_are_those_of_a_full_pass(family, tokenizer):
    model, generator = talker(family), torch.Generator().manual_seed(0)
    answers = rollout.sample(
        model, tokenizer, PROMPTS, group_size=5, max_new_tokens=24, generator=generator
    )
    lengths = [len(a.ids) for a in answers]
    assert min(lengths) < 12 and max(lengths) == 24  # rows left the batch early
    assert len({a.finish for a in answers}) == 2
    assert len({tuple(a.ids) for a in answers}) > 15
    for a in answers:
        assert torch.allclose(torch.tensor(a.logprobs), by_hand(model, a), atol=1e-4)


def test_answers_longer_than_a_block_of_the_cache(tokenizer, monkeypatch):
    monkeypatch.setattr(decode.Cache, "BLOCK", 5)
    answers = rollout.sample(
        talker(), tokenizer, PROMPTS, group_size=4, max_new_tokens=23,
        generator=torch.Generator().manual_seed(3),
    )  # fmt: skip
    assert {len(a.ids) for a in answers} > {23} and min(len(a.ids) for a in answers) < 10
    for a in answers:
        assert torch.allclose(torch.tensor(a.logprobs), by_hand(talker(), a), atol=1e-4)


def test_rollouts_come_in_order_and_say_how_they_ended(tokenizer):
    model = talker()
    answers = rollout.sample(
        model, tokenizer, PROMPTS, group_size=3, max_new_tokens=12,
        generator=torch.Generator().manual_seed(1),
    )  # fmt: skip
    assert [(a.group, a.index) for a in answers] == [(g, i) for g in range(4) for i in range(3)]
    for a in answers:
        words = tokenizer(PROMPTS[a.group], add_special_tokens=False)["input_ids"]
        assert a.prompt_ids == [IDS[BOS], *words]
        assert len(a.ids) == len(a.logprobs) <= 12
        assert IDS[EOS] not in a.ids[:-1]
        if a.ids[-1] == IDS[EOS]:
            assert (a.finish, a.text) == ("stop", tokenizer.decode(a.ids[:-1]))
            assert EOS not in a.text
        else:
            assert (a.finish, a.text, len(a.ids)) == ("length", tokenizer.decode(a.ids), 12)
    assert {a.finish for a in answers} == {"stop", "length"}


def test_an_answer_may_end_at_once(tokenizer):
    model = tiny()
    with torch.no_grad():  # the direction that the prompt leads to becomes that of end-of-text
        toward = model.hidden(torch.tensor([[IDS[BOS], IDS["a"]]]))[0, -1]  # (D,)
        model.model.embed_tokens.weight[IDS[EOS]] = 10 * toward
    for group in (1, 3):
        answers = rollout.sample(model, tokenizer, ["a"], group_size=group, max_new_tokens=5)
        assert len(answers) == group
        for a in answers:
            assert (a.ids, a.text, a.finish) == ([IDS[EOS]], "", "stop")
            assert a.logprobs == [pytest.approx(0.0, abs=1e-4)]


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_greedy_is_generate_of_transformers(tmp_path, family, tokenizer):
    theirs = opened(models.save(talker(family), tmp_path / "m"), dtype=torch.float32)
    model, _ = models.load(tmp_path / "m")
    answers = rollout.sample(model, tokenizer, PROMPTS, max_new_tokens=16, temperature=0)
    for a in answers:
        got = theirs.generate(
            torch.tensor([a.prompt_ids]), do_sample=False, max_new_tokens=16, use_cache=True
        )
        assert got[0, len(a.prompt_ids) :].tolist() == a.ids
        assert torch.allclose(torch.tensor(a.logprobs), by_hand(model, a), atol=1e-4)
    small = rollout.sample(model, tokenizer, PROMPTS, max_new_tokens=16, temperature=0, batch=1)
    assert [a.ids for a in small] == [a.ids for a in answers]  # alone as in company


def test_the_generator_decides_the_answers(tokenizer):
    model = talker()

    def draw(seed):
        generator = torch.Generator().manual_seed(seed)
        return rollout.sample(
            model, tokenizer, PROMPTS[:2], group_size=4, max_new_tokens=10, generator=generator
        )

    assert draw(5) == draw(5)
    assert [a.ids for a in draw(5)] != [a.ids for a in draw(6)]


def test_prefixes_become_part_of_the_prompt(tokenizer):
    model = talker()
    answers = rollout.sample(
        model, tokenizer, ["what is 3 + 4?", "试"], prefixes=["<think> 3", ""], max_new_tokens=3,
        temperature=0,
    )  # fmt: skip
    assert answers[0].prompt_ids == [IDS[t] for t in f"{BOS} what is 3 + 4 ? <think> 3".split()]
    assert answers[1].prompt_ids == [IDS[BOS], IDS["试"]]
    assert torch.allclose(torch.tensor(answers[0].logprobs), by_hand(model, answers[0]), atol=1e-4)
    assert len(answers[0].ids) <= 3 and "think" not in answers[0].text[:8]
    with pytest.raises(ValueError, match="zip"):
        rollout.sample(model, tokenizer, ["a", "b"], prefixes=["<think>"], max_new_tokens=1)


# ---- distributions -------------------------------------------------------------------------------

P = (0.5, 0.25, 0.15, 0.07, 0.03)
N = 20_000


def frequencies(temperature, top_p):
    """Return counts (V,) of N draws from P, and the log-probability recorded with each token."""
    generator = torch.Generator().manual_seed(7)
    logits = torch.tensor(P).log().expand(N, -1) + 3.0  # any constant: logits are no log-probs
    tokens, logps = rollout.draw(logits, temperature, top_p, generator)
    counts = torch.bincount(tokens, minlength=len(P)).tolist()
    return counts, {int(t): float(x) for t, x in zip(tokens, logps, strict=True)}


@pytest.mark.parametrize(
    ("temperature", "top_p", "weights"),
    [
        (1.0, 1.0, P),
        (2.0, 1.0, [p**0.5 for p in P]),
        (0.5, 1.0, [p**2 for p in P]),
        (1.0, 0.8, [0.5, 0.25, 0.15, 0, 0]),  # 0.75 is not enough, 0.9 is
        (1.0, 0.3, [1, 0, 0, 0, 0]),  # the likeliest alone
        (0.5, 0.9, [0.25, 0.0625, 0, 0, 0]),  # after temperature: 0.3125 of 0.3408 is 0.92
    ],
)
def test_frequencies_are_those_of_the_distribution(temperature, top_p, weights):
    want = [w / sum(weights) for w in weights]
    counts, recorded = frequencies(temperature, top_p)
    chi2 = sum((c - N * p) ** 2 / (N * p) for c, p in zip(counts, want, strict=True) if p)
    assert chi2 < 23.5  # 4 degrees of freedom: once in 10,000
    for token, p in enumerate(want):
        assert (counts[token] > 0) == (p > 0)
        if p:
            assert recorded[token] == pytest.approx(math.log(p), abs=1e-5)


def test_top_p_keeps_the_set_in_any_order_of_the_vocabulary():
    logits = torch.tensor([[0.07, 0.5, 0.03, 0.15, 0.25], [0.9, 0.02, 0.02, 0.03, 0.03]]).log()
    generator = torch.Generator().manual_seed(0)
    tokens, _ = rollout.draw(logits.repeat(2000, 1), 1.0, 0.8, generator)
    rows = tokens.view(2000, 2)  # each row of logits has a set of its own
    assert set(rows[:, 0].tolist()) == {1, 3, 4} and set(rows[:, 1].tolist()) == {0}


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_the_ends_of_the_interval_draw_a_token_that_can_be_drawn(end, monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, end).double())
    logits = torch.tensor([[-1e4, 1.0, 2.0, -1e4]])  # the first and last: probability 0
    tokens, logps = rollout.draw(logits, 1.0, 1.0)
    assert tokens.tolist() == [1 if end == 0 else 2] and logps.min() > -2


def test_greedy_takes_the_likeliest():
    tokens, logps = rollout.draw(torch.tensor([[0.0, 2.0, 1.0]]), 0, 1.0)
    assert tokens.tolist() == [1]
    assert logps[0].item() == pytest.approx(-math.log(1 + math.e**-2 + math.e**-1))


def test_first_tokens_of_a_model_are_as_frequent_as_it_says(tokenizer):
    model, generator = talker(), torch.Generator().manual_seed(11)
    answers = rollout.sample(
        model, tokenizer, PROMPTS[:2], group_size=3000, max_new_tokens=1, temperature=0.8,
        generator=generator, batch=10_000,
    )  # fmt: skip
    for group in (0, 1):
        mine = [a for a in answers if a.group == group]
        with torch.no_grad():
            logits = model.logits(torch.tensor([mine[0].prompt_ids]))[0, -1]  # (V,)
        p = (logits / 0.8).softmax(-1)
        top = p.topk(6).indices.tolist()
        want = [p[t].item() for t in top] + [1 - p[top].sum().item()]
        got = [sum(a.ids[0] == t for a in mine) for t in top]
        got.append(3000 - sum(got))
        chi2 = sum((c - 3000 * w) ** 2 / (3000 * w) for c, w in zip(got, want, strict=True))
        assert chi2 < 27.9  # 6 degrees of freedom: once in 10,000


@pytest.mark.parametrize("temperature", [0.6, 1.5])
def test_recorded_probabilities_are_after_temperature(temperature, tokenizer):
    model = talker()
    answers = rollout.sample(
        model, tokenizer, PROMPTS, group_size=2, max_new_tokens=8, temperature=temperature,
        generator=torch.Generator().manual_seed(2),
    )  # fmt: skip
    for a in answers:
        assert torch.allclose(torch.tensor(a.logprobs), by_hand(model, a, temperature), atol=1e-4)
    assert any((torch.tensor(a.logprobs) - by_hand(model, a)).abs().max() > 0.05 for a in answers)


# ---- what does not fit ---------------------------------------------------------------------------


def test_prompts_that_do_not_fit_are_told_before_any_work(tokenizer, monkeypatch):
    model = tiny()
    monkeypatch.setattr(model.model, "forward", None)
    with pytest.raises(ValueError, match="an empty prompt"):
        rollout.sample(model, tokenizer, ["a", " "])
    with pytest.raises(ValueError, match=r"'xylophone', 'zebra' are not in the vocabulary"):
        rollout.sample(model, tokenizer, ["what is a xylophone or zebra?"])
    with pytest.raises(ValueError, match=r"'123' is not in the vocabulary.*reword"):
        rollout.sample(model, tokenizer, ["3 + 123"])
    with pytest.raises(ValueError, match=r"592 tokens and .* up to 9 need 601 .* has 600.*shorten"):
        rollout.sample(model, tokenizer, ["3 " * 591], max_new_tokens=9)


def test_the_last_position_is_used(tokenizer):
    (answer,) = rollout.sample(
        tiny(), tokenizer, ["3 " * 591], max_new_tokens=8, temperature=0
    )  # 592 + 8 = 600 positions
    assert len(answer.prompt_ids) == 592 and 1 <= len(answer.ids) <= 8
    assert torch.allclose(torch.tensor(answer.logprobs), by_hand(tiny(), answer), atol=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -0.1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"group_size": 0},
        {"max_new_tokens": 0},
    ],
)
def test_options_out_of_range_are_told(options, tokenizer):
    name, value = next(iter(options.items()))
    with pytest.raises(ValueError, match=rf"{name} {value}.*expected temperature >= 0"):
        rollout.sample(tiny(), tokenizer, ["a"], **options)


def test_no_prompt_no_answer(tokenizer):
    assert rollout.sample(tiny(), tokenizer, []) == []
