"""Do the checks tell right from wrong, on unseen draws, and are predictions sealed?"""

import doctest
import json
import math

import pytest

from r1book import exercises


def draw(rng):
    return rng.randint(1, 9), rng.random()


def test_examples():
    assert doctest.testmod(exercises).failed == 0


def test_a_right_function_passes_and_both_values_are_printed(capsys):
    assert exercises.check(lambda n, x: n + x, lambda n, x: x + n, draw, trials=3, seed=7)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "check on seed 7" and lines[-1] == "All 3 agree."
    assert len(lines) == 5 and all("yours" in x and "expected" in x for x in lines[1:-1])


def test_a_wrong_function_fails_even_if_it_is_sometimes_right(capsys):
    def one_or_five(rng):  # five blind draws are all 5, where the function is right, once in 32
        return (rng.choice([1, 5]),)

    for seed in range(100):
        assert not exercises.check(lambda n: max(n, 3), lambda n: n, one_or_five, seed=seed)
        out = capsys.readouterr().out
        assert "yours 3  expected 1  differs" in out and "All" not in out.splitlines()[-1]
    assert not exercises.check(lambda: 1.0 + 2e-6, lambda: 1.0, lambda rng: (), seed=0)
    assert exercises.check(lambda: 1e6 + 0.5, lambda: 1e6, lambda rng: (), seed=0)  # relative


def test_trials_differ_while_there_are_other_arguments(capsys):
    seen = []
    for seed in range(20):
        seen.clear()
        exercises.check(
            lambda n: seen.append(n) or 1, lambda n: 1, lambda rng: (rng.randint(1, 6),), seed=seed
        )
        assert len(seen) == len(set(seen)) == 5
        assert exercises.check(lambda: 1, lambda: 1, lambda rng: (), seed=seed)  # nothing to vary


def test_a_function_may_change_what_it_is_given():
    def popped(xs):
        return sum(xs) - xs.pop()

    def draw(rng):
        return ([rng.randint(1, 9) for _ in range(3)],)

    assert not exercises.check(popped, sum, draw, seed=0)  # and not what is left of it
    assert exercises.check(lambda xs: sum([xs.pop(), *xs]), sum, draw, seed=0)
    assert exercises.check(lambda xs: sum(xs), lambda xs: sum([xs.pop(), *xs]), draw, seed=0)


@pytest.mark.parametrize(
    ("yours", "expected", "same"),
    [
        ([1.0, 2.0], (1.0, 2.0 + 1e-9), True),
        ([1.0, 2.0], [2.0, 1.0], False),
        ([1.0], [1.0, 2.0], False),
        (math.nan, 1.0, False),
        ("group", "group", True),
        ([[1, 2], [3, 4]], [[1, 2], [3, 4.1]], False),
        (1.0, [1.0], False),
    ],
)
def test_what_counts_as_the_same(yours, expected, same):
    checked = exercises.check(lambda: yours, lambda: expected, lambda rng: (), trials=1, seed=0)
    assert checked is same


def test_numbers_of_arrays_are_compared():
    numpy = pytest.importorskip("numpy")
    row = numpy.array([1.0, -0.5])
    assert exercises.check(lambda: row, lambda: [1.0, -0.5], lambda rng: (), seed=0)
    assert not exercises.check(lambda: [1.0, 0.5], lambda: row, lambda rng: (), seed=0)


def test_an_exercise_not_written_yet_is_said_and_shows_what_is_expected(capsys):
    assert not exercises.check(lambda: None, lambda: 1.5, lambda rng: ())
    assert "yours None  expected 1.5  not written yet" in capsys.readouterr().out
    assert not exercises.check_run(lambda seed: None, 0.9, what="accuracy")
    assert "expected accuracy of at least 0.9  not written yet" in capsys.readouterr().out


def test_unseen_seeds_differ_from_call_to_call(capsys):
    for _ in range(8):
        exercises.check(lambda: 1, lambda: 1, lambda rng: ())
    seeds = {x for x in capsys.readouterr().out.splitlines() if x.startswith("check on seed")}
    assert len(seeds) >= 2  # all eight alike: once in 10^27


def test_an_error_of_the_reader_s_code_is_theirs_to_see():
    with pytest.raises(ZeroDivisionError):
        exercises.check(lambda: 1 / 0, lambda: 1, lambda rng: ())


def test_a_run_must_pass_on_every_seed(capsys):
    seen = []

    def run(seed):
        seen.append(seed)
        return 0.95 if seed != 12 else 0.5

    assert not exercises.check_run(run, 0.9, trials=3, seed=10) and seen == [10, 11, 12]
    out = capsys.readouterr().out
    assert "seed 12: result 0.5, expected at least 0.9  too low" in out and "2 of 3 pass." in out
    assert exercises.check_run(run, 0.9, trials=2, seed=10)
    assert not exercises.check_run(lambda seed: math.nan, 0.0, trials=1)


def test_no_trial_is_refused():
    for call in (
        lambda: exercises.check(lambda: 1, lambda: 1, lambda rng: (), trials=0),
        lambda: exercises.check_run(lambda seed: 1.0, 0.0, trials=0),
    ):
        with pytest.raises(ValueError, match="got 0; a check needs at least one"):
            call()


def test_the_first_prediction_stands(tmp_path, capsys):
    path = tmp_path / "runs" / "predictions.json"
    exercises.predict("02/one_right", None, path)
    assert not path.exists() and "no prediction yet" in capsys.readouterr().out
    exercises.predict("02/one_right", 1.7, path)
    exercises.predict("02/one_right", 1.5, path)
    assert "1.7 is sealed since the first time" in capsys.readouterr().out
    exercises.predict("02/baseline", "group", path)
    exercises.measured("02/one_right", 1.5, path)
    assert "you said 1.7, measured 1.5" in capsys.readouterr().out
    wanted = {"02/one_right": {"yours": 1.7, "measured": 1.5}, "02/baseline": {"yours": "group"}}
    assert exercises.predictions(path) == json.loads(path.read_text()) == wanted
    assert [x.name for x in path.parent.iterdir()] == ["predictions.json"]  # no leftover


def test_a_result_without_a_prediction_is_shown_and_not_kept(tmp_path, capsys):
    exercises.measured("02/one_right", 1.5, tmp_path / "none.json")
    assert "measured 1.5, and you had made no prediction" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [] and exercises.predictions(tmp_path / "none.json") == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, True, [1.0]])
def test_a_prediction_is_a_finite_number_or_a_text(value, tmp_path):
    with pytest.raises(ValueError, match="predict a finite number or a text"):
        exercises.predict("02/one_right", value, tmp_path / "p.json")


def test_bad_names_and_files_are_refused(tmp_path):
    for name in ("one_right", "02/", "/one_right"):
        with pytest.raises(ValueError, match="expected chapter/question"):
            exercises.predict(name, 1.0, tmp_path / "p.json")
    for text, message in [("{", "is not JSON"), ("[1]", "expected"), ('{"a": 1}', "expected")]:
        (tmp_path / "p.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            exercises.predictions(tmp_path / "p.json")


def case(trick, text, right):
    return (trick, text, None, right)


def test_a_grader_is_checked_trick_by_trick(capsys):
    drawn = [case("fair", "7", True), case("fair", "7", True), case("cheat", "8 or 7", False)]
    assert exercises.check_grader(lambda text, p: float(text == "7"), lambda rng: drawn, seed=3)
    assert capsys.readouterr().out.splitlines() == [
        "check on seed 3",
        "  fair   accepted 2 of 2, expected 2  ok",
        "  cheat  accepted 0 of 1, expected 0  ok",
        "0 of 2 tricks misjudged.",
    ]
    assert not exercises.check_grader(lambda text, p: 0.5, lambda rng: drawn)
    assert "accepted 0 of 2, expected 2  too strict" in capsys.readouterr().out
    assert not exercises.check_grader(lambda text, p: "7" in text, lambda rng: drawn)
    assert "accepted 1 of 1, expected 0  cheated" in capsys.readouterr().out


def test_a_grader_not_written_yet_and_cases_that_cannot_be_checked(capsys):
    assert not exercises.check_grader(lambda text, p: None, lambda rng: [case("fair", "7", True)])
    assert "yours None  expected 1.0 for 'fair'  not written yet" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no cases"):
        exercises.check_grader(lambda text, p: 1.0, lambda rng: [])
    both = [case("odd", "7", True), case("odd", "8", False)]
    with pytest.raises(ValueError, match="trick 'odd' is right in some"):
        exercises.check_grader(lambda text, p: 1.0, lambda rng: both)


def test_cases_are_drawn_from_the_seed():
    def draw(rng):
        return [case("fair", str(rng.random()), True)]

    seen = []
    for seed in (1, 1, 2):
        exercises.check_grader(lambda text, p: seen.append(text) or 1.0, draw, seed=seed)
    assert seen[0] == seen[1] != seen[2]
