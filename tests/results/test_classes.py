"""What is told of unequal classes, and of networks that know no more than a guess."""

import pytest

from results.classes import are_unequal, remarks, unbeaten
from results.ledger import Outcome
from spaces.candidate import Candidate, Score

SIZES = {"min": 9, "max": 171, "min_share": 0.05, "max_share": 0.95, "largest": "healthy"}
TASK = {"samples": {"validation": 180}, "per_class": {"train": SIZES, "validation": SIZES}}
SAID = (
    "The classes are unequal. Class 'healthy' has 171 of 180 validation samples, so always guessing it has 95.0 % "
    "accuracy."
)


@pytest.mark.parametrize(
    ("objectives", "bounded", "weights", "way"),
    [
        (
            ["accuracy", "spikes"],
            [],
            "none",
            "--objectives balanced_accuracy,spikes (or --min balanced_accuracy=X) and --class-weights balanced",
        ),
        (["spikes"], [], "balanced", "--objectives balanced_accuracy,spikes (or --min balanced_accuracy=X)"),
        (["accuracy", "spikes"], ["balanced_accuracy"], "none", "--class-weights balanced"),
        (["balanced_accuracy", "spikes"], [], "balanced", ""),
    ],
)
def test_the_options_that_help_are_named_until_they_are_used(objectives, bounded, weights, way):
    told = remarks(TASK, objectives, bounded, weights)
    assert told == [f"{SAID} To count every class alike, give {way}." if way else SAID]


@pytest.mark.parametrize(("least", "most", "unequal"), [(10, 29, False), (10, 30, True), (0, 3, True), (1, 2, False)])
def test_classes_are_unequal_from_three_to_one_on(least, most, unequal):
    task = {**TASK, "per_class": {**TASK["per_class"], "train": {"min": least, "max": most}}}
    assert are_unequal(task) == unequal
    assert bool(remarks(task, ["accuracy"], [], "none")) == unequal
    assert not are_unequal({"rows": 9})  # a table


def scored(number, accuracy, balanced, state="ok"):
    score = Score(state=state, fidelity="supernet", accuracy=accuracy, columns={"balanced_accuracy": balanced})
    return Outcome(number, 0, Candidate({"x": number}), score)


def test_that_nothing_beats_a_guess_is_said():
    chance = {"accuracy": 0.95, "balanced_accuracy": 0.5}
    outcomes = [scored(0, 0.95, 0.5), scored(1, 0.96, 0.6, state="infeasible"), scored(2, 0.9, 0.7)]
    assert unbeaten(outcomes, "accuracy", chance) == ["No network beats a guess, which has 95.0 % accuracy."]
    assert unbeaten(outcomes, "balanced_accuracy", chance) == []
    guess = ["No network beats a guess, which has 50.0 % balanced accuracy."]
    assert unbeaten(outcomes[:2], "balanced_accuracy", chance) == guess
    assert unbeaten([], "accuracy", chance) == unbeaten(outcomes, "accuracy", {}) == []
