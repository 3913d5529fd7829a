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

from r1book.decode import Cache, Static
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
    forbidden: Sequence[int] = (),
) -> list[Rollout]:
    """Sample `group_size` answers for each prompt; rollouts come in order of prompt, then place in
    the group.

    `temperature` 0 is greedy. With `top_p` < 1 only the smallest set of tokens whose probability
    reaches it is drawn from. `prefixes` are texts that each prompt's answers must start with (they
    become part of the prompt ids); `forbidden` are token ids that are never drawn. `batch` bounds
    the answers that are decoded together. Raises ValueError on prompts that do not fit
    (`encode_prompts`) and on a temperature, top_p or group size out of range. Evaluation of the
    report: temperature 0.6, top-p 0.95 (v1 p.12); its RL: temperature 1.

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
            list(forbidden),
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


NEVER = -1e9
"""The logit of a forbidden token: its probability is 0, and sums stay finite."""
LOOKS = 16
"""Steps between two looks whether logits are finite and, on a GPU, whether all answers have ended:
each look waits for it."""


def _decode(
    model,
    encoded,
    group_size,
    max_new_tokens,
    temperature,
    top_p,
    generator,
    eos,
    forbidden=(),
    static=None,
):
    """Return [(ids, logprobs)] for the B = P*G answers of one batch."""
    fixed = static or (static is None and model.cos.device.type == "cuda")
    cache = (Static if fixed else Cache)(model, encoded, group_size, max_new_tokens)
    B = len(encoded) * group_size
    device = cache.places.device
    tokens = torch.full((B, max_new_tokens), eos, dtype=torch.long, device=device)
    scores = torch.zeros(B, max_new_tokens, device=device)
    alive = torch.arange(B, device=device)  # which answer each cache row belongs to
    running = torch.ones(B, dtype=torch.bool, device=device)  # over cache rows
    drawn: list[tuple] = []  # tokens and log-probabilities since rows last left
    start = 0
    for t in range(max_new_tokens):
        logits = cache.logits()
        if forbidden:
            logits[:, forbidden] = NEVER
        look = (t + 1) % LOOKS == 0
        chosen, logprob = draw(logits, temperature, top_p, generator, check=look)
        drawn.append((chosen, logprob))
        running &= chosen != eos
        left = int(running.sum()) if look or not fixed else len(running)
        last = left == 0 or t + 1 == max_new_tokens
        if last or (not fixed and left <= 0.95 * len(running)):
            for whole, part in zip((tokens, scores), zip(*drawn, strict=True), strict=True):
                whole[alive, start : t + 1] = torch.stack(part, 1)
            drawn, start = [], t + 1
            if last:
                break
            rows = cache.keep(running)
            alive, chosen, running = alive[rows], chosen[rows], running[rows]
        cache.feed(chosen)
    _finite(scores)
    ends = (tokens == eos).int()
    lengths = torch.where(ends.any(1), ends.argmax(1) + 1, max_new_tokens)  # (B,)
    lengths, tokens, scores = lengths.tolist(), tokens.tolist(), scores.tolist()
    return [(tokens[b][: lengths[b]], scores[b][: lengths[b]]) for b in range(B)]


BELOW = 1 - 2**-52
"""The largest factor that takes any float64 to a smaller one."""


def _finite(values) -> None:
    if not torch.isfinite(values.sum()):
        raise FloatingPointError(
            "the model's logits are not finite: its weights have diverged. Go back to an earlier "
            "checkpoint and lower lr"
        )


def draw(logits, temperature: float, top_p: float, generator=None, check: bool = True):
    """Draw one token for each row of logits (B, V); return tokens (B,) and their log-probabilities
    (B,).

    The log-probability is of the distribution drawn from: after temperature and, below 1, top-p. At
    temperature 0, where nothing is drawn, it is the model's own. Raises FloatingPointError for
    logits that are not finite, if they are to be checked.
    """
    if check:
        _finite(logits)
    if temperature == 0:
        logprobs = logits.log_softmax(-1)
        token = logits.argmax(-1)
        return token, logprobs.gather(-1, token[:, None]).squeeze(-1)
    logprobs = (logits if temperature == 1 else logits / temperature).log_softmax(-1)
    if top_p < 1:
        ordered, order = logprobs.sort(-1, descending=True)
        before = ordered.exp().cumsum(-1) - ordered.exp()
        ordered = ordered.masked_fill(before >= top_p, -torch.inf).log_softmax(-1)
        logprobs = torch.empty_like(logprobs).scatter_(-1, order, ordered)
    # by the inverse of the cumulative distribution: one uniform number a row, where multinomial
    # takes one a token of the vocabulary
    reached = logprobs.exp().cumsum(-1, dtype=torch.float64)  # (B, V)
    at = torch.rand(
        (len(logits), 1), generator=generator, dtype=torch.float64, device=logits.device
    )
    at.mul_(reached[:, -1:] * BELOW)  # below the end: what is drawn has p > 0
    token = torch.searchsorted(reached, at, right=True)  # (B, 1)
    if not check:  # not a number has no place: the index is beyond the last
        token.clamp_(max=logits.shape[-1] - 1)
    return token.squeeze(-1), logprobs.gather(-1, token).squeeze(-1)
