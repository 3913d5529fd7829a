"""Are the demonstrations of chat right, of train keys only, and is what it says read correctly?"""

import random

import pytest

from r1book import actors, models, problems, prompts, rewards, rewrite
from r1book.world import corpus
from r1book.world.splits import split_of


@pytest.fixture(scope="module", name="tokenizer")
def given_tokenizer():
    return models.tokenizer()


def test_demonstrations_are_of_known_words_and_come_again(tokenizer):
    made = actors.demonstrations(300, 0)
    assert made == actors.demonstrations(300, 0) != actors.demonstrations(300, 1)
    for prompt, told in made:
        assert prompt.startswith("<user> ") and prompt.endswith("<assistant>")
        ids = tokenizer(f"{prompt} {told}", add_special_tokens=False)["input_ids"]
        assert tokenizer.unk_token_id not in ids and len(ids) < 1024, (prompt, told)
    tasks = [("rewrite" in p or "改写" in p, "judge" in p or "判断" in p) for p, _ in made]
    assert 50 < sum(a for a, _ in tasks) < 120 and 150 < sum(b for _, b in tasks) < 220


def test_a_working_is_right_and_of_the_train_split():
    rng = random.Random(3)
    for _ in range(40):
        problem, text = actors.working(rng, "train")
        assert rewards.accuracy(text, problem).total == 1 and split_of(problem.key) == "train"
        assert rewrite.faults(rewrite.by_hand(text, problem, rng), text, problem) == []


def test_a_pair_says_what_it_is_told_to_say():
    rng, same = random.Random(4), 0
    for _ in range(300):
        lang = rng.choice(corpus.LANGS)
        truth, prediction, said = actors.pair(rng, "dev", lang)
        same += truth == said
        assert said in prediction or said.isdigit(), (truth, prediction, said)
        if truth != said and not said.isdigit():
            assert truth not in prediction.replace(said, ""), (truth, prediction, said)
    assert 120 < same < 180


@pytest.mark.parametrize(
    ("reply", "lang", "verdict"),
    [
        ("= red, need red, yes! same.", "en", True),
        ("= red, need blue, no, different.", "en", False),
        ("= 红, 需要 红, 对! 相同.", "zh", True),
        ("= 红, 需要 蓝, 不行, 不同.", "zh", False),
        ("i do not know.", "en", None),
        ("", "zh", None),
    ],
)
def test_a_verdict_is_the_last_word(reply, lang, verdict, monkeypatch):
    monkeypatch.setattr(actors, "ask", lambda *args, **more: [reply])
    assert actors.judged(None, None, [("red", "red", lang)]) == [verdict]


def test_the_error_rate_counts_each_kind_of_error(monkeypatch):
    monkeypatch.setattr(actors, "judged", lambda m, t, items, seed: [True] * len(items))
    found = actors.error_rate(None, None, 200, 0)
    assert found["wrong"] == found["false_same"] and 0.35 < found["wrong"] < 0.65
    assert found["false_different"] == found["no_verdict"] == 0
    monkeypatch.setattr(actors, "judged", lambda m, t, items, seed: [None] * len(items))
    found = actors.error_rate(None, None, 50, 0)
    assert found["no_verdict"] == found["wrong"] == 1 and found["false_different"] == 0


def test_what_is_asked_holds_truth_prediction_and_trace():
    p = problems.load("math", 1, lang="zh", split="train")[0]
    whole = actors.to_rewrite("我们看: 3 + 4 = 7.", "7", p.lang)
    assert whole == "<user> 改写: 我们看: 3 + 4 = 7. 答案: 7 <assistant>"
    assert (
        actors.to_rewrite("so 3 + 4 = 7,", None, "en")
        == "<user> rewrite: so 3 + 4 = 7, <assistant>"
    )
    asked = actors.to_judge("red", "it is red.", "en")
    assert asked == prompts.render(
        "judge: truth red prediction it is red. same or different?", "chat"
    )


def test_a_long_trace_is_given_in_pieces_and_put_together(monkeypatch):
    p = problems.load("logic", 1, lang="en", split="train")[0]
    tries = " ".join(f"try {n} + 1 = {n + 1}, no." for n in range(1, 9))
    text = f"<think> {tries} </think> <answer> 9 </answer>"
    shown = []

    def ask(model, tokenizer, asked, seed, **more):
        shown.extend(asked)
        return [
            q.removeprefix("<user> rewrite: ").split(" answer")[0].split(" <ass")[0] for q in asked
        ]

    monkeypatch.setattr(actors, "ask", ask)
    ((told, faults),) = actors.rewritten(None, None, [(p, text)], 0)
    assert len(shown) == 3 and ["answer: 9" in q for q in shown] == [False, False, True]
    assert rewrite.steps(told) == rewrite.steps(text) and faults == ["summary"]


def test_replies_come_in_the_order_of_the_prompts():
    model, tokenizer = models.load(models.shipped("base"))
    asked = [prompts.render(q, "talk") for q in ("who are you?", "how do i wash a car?", "hello.")]
    together = actors.ask(model, tokenizer, asked, 0, max_new_tokens=12)
    alone = [actors.ask(model, tokenizer, [q], 0, max_new_tokens=12)[0] for q in asked]
    assert together == alone and actors.ask(model, tokenizer, [], 0) == []
