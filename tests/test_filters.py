"""Does each filter stop what it is for, and is the toll counted whole?"""

import doctest

import pytest

from r1book import filters, problems

P = problems.load("math", 1, lang="en", split="train")[0]
GOOD = "<think> so 3 + 4 = 7. </think> <answer> 7 </answer>"
LOOP = "<think> " + "try 8 - 4 = 4, 8 * 3 = 24: 24 * 4 = 96. " * 3 + "</think> <answer> 7 </answer>"
LONG = "<think> {} </think> <answer> 7 </answer>"


def test_examples_in_docstrings_hold():
    assert doctest.testmod(filters).attempted >= 2 and doctest.testmod(filters).failed == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("form", "<think> so 3 + 4 = 7. <answer> 7 </answer>"),
        ("mixed language", GOOD.replace("so", "so 是")),
        ("repetition", LOOP),
        ("length", LONG.format("1 + 1 = 2 , " * 50)),
        ("long paragraphs", LONG.format("1 + 1 = 2 , " * 40)),
        ("code blocks", GOOD.replace("so", "``` x ``` so")),
    ],
)
def test_each_filter_stops_what_it_is_for(name, text):
    assert filters.FILTERS[name](GOOD, P) and not filters.FILTERS[name](text, P)
    assert filters.stopped_by(text, P, [name]) == name
    assert filters.stopped_by(GOOD, P, list(filters.FILTERS)) is None


def test_paragraphs_end_at_a_line_break():
    half = "1 + 1 = 2 , " * 20
    assert filters.paragraphs(LONG.format(f"{half}\n{half}"), P)


def test_the_toll_has_zeros_and_sums_to_what_was_sampled():
    names = ("form", "length")
    got = filters.toll(["wrong", "form", None, None], names)
    assert got == {"sampled": 4, "wrong": 1, "form": 1, "length": 0, "kept": 2}


def test_an_unknown_filter_is_named():
    with pytest.raises(ValueError, match="no filter 'colour': expected some of form"):
        filters.stopped_by(GOOD, P, ["colour"])
