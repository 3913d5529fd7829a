"""Is a training set what it says, can `datasets` read it, and is nothing evaluated on in it?"""

import json

import pytest

from r1book import problems, prompts, sets
from r1book.world.splits import split_of


def rows(n, split="train", name="math"):
    """Return rows of n problems, and their questions."""
    asked = problems.load(name, n, split=split, seed=3)
    out = [sets.row(p, prompts.render(p), f"<think> {p.answer} </think>", "test") for p in asked]
    return out, [p.question for p in asked]


def test_a_set_is_written_read_and_opened_by_datasets(tmp_path):
    made, _ = rows(6)
    folder = sets.write(tmp_path / "set", made, toll={"wrong": 0})
    assert sets.read(folder) == made
    card = json.loads((folder / "card.json").read_text())
    assert card["rows"] == 6 and card["toll"] == {"wrong": 0} and card["duplicates"] == 0
    datasets = pytest.importorskip("datasets")
    files = str(folder / "train.jsonl")
    opened = datasets.load_dataset("json", data_files=files, cache_dir=str(tmp_path / "c"))["train"]
    assert opened["completion"] == [r.completion for r in made]


def test_counts_stand_beside_those_of_the_report():
    made, _ = rows(3)
    told = sets.describe([*made, made[0]])
    assert told["duplicates"] == 1 and told["domains"]["math"]["rows"] == 4
    assert told["domains"]["math"]["report_rows"] == 395_285
    assert sum(d["report_rows"] for d in told["domains"].values()) == 804_745
    assert told["domains"]["code"] | {"report_share": 0} == {
        "rows": 0, "share": 0.0, "tokens": None, "report_rows": 211_129, "report_share": 0,
        "report_tokens": 7_435.7,
    }  # fmt: skip
    assert sets.distinct([*made, made[0]]) == made


def test_what_is_evaluated_on_is_taken_out():
    clean, questions = rows(5)
    dirty, more = rows(5, split="dev")
    kept, dropped = sets.decontaminate([*clean, *dirty], [*questions, *more])
    assert kept == clean and dropped == {"key": 5, "ngram": 0}


def test_a_question_of_an_evaluation_set_under_another_key_is_taken_out():
    clean, questions = rows(2, name="stem")
    evaluated = problems.load("mini-GPQA", 3, split="test")[2].question
    kept, dropped = sets.decontaminate(clean, [evaluated, questions[1]])
    assert kept == clean[1:] and dropped == {"key": 0, "ngram": 1}


def test_greetings_are_in_every_split_and_stay():
    p = next(p for p in problems.load("general", 40, split="dev") if p.meta["kind"] == "greet")
    assert split_of(p.key) != "train" or p.key == "general:greet"
    kept, _ = sets.decontaminate([sets.row(p, "x", "y", "test")], [p.question])
    assert len(kept) == 1


@pytest.mark.parametrize("line", ["{", '{"prompt": "x"}', "[]"])
def test_a_damaged_set_names_its_line(tmp_path, line):
    folder = sets.write(tmp_path, rows(1)[0])
    with (folder / "train.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(sets.SetError, match=r"line 2: .* Expected an object of prompt, completion"):
        sets.read(folder)
    with pytest.raises(sets.SetError, match=r"train\.jsonl is missing"):
        sets.read(tmp_path / "nowhere")
