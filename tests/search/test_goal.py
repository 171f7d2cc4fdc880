"""Objectives, constraints and their bad input."""

import math
from dataclasses import replace

import numpy as np
import pytest

from search.loop.goal import Goal, make_goal, parse_constraints, parse_reference
from search.options.config import configure
from search.options.needs import check_effect
from spaces.candidate import Score
from spaces.errors import OptionError

FINE = Score(state="ok", fidelity="supernet", accuracy=0.9, spikes=100.0, energy_nj=50.0)


def test_objectives_and_senses():
    goal = Goal(objectives=("accuracy", "spikes", "sops"))
    assert goal.objectives == ("accuracy", "spikes", "sops")
    assert goal.senses == (1, -1, -1)
    assert goal.spelled == ["accuracy:max", "spikes:min", "sops:min"]
    values = goal.values([FINE])
    assert values[0, :2].tolist() == [0.9, 100.0]
    assert math.isnan(values[0, 2])


def test_constraints_judge():
    goal = Goal(
        objectives=("accuracy",), constraints=parse_constraints(["energy_nj<=40", "accuracy>=0.95", "spikes<=100"])
    )
    judged = goal.judge(FINE)
    assert judged.state == "infeasible"
    assert judged.error == "energy_nj 50 breaks energy_nj<=40; accuracy 0.9 breaks accuracy>=0.95"
    assert judged.energy_nj == 50.0
    assert Goal(objectives=("accuracy",), constraints=goal.constraints[2:]).judge(FINE) == FINE
    failed = Score(state="failed", fidelity="supernet", error="x")
    assert goal.judge(failed) == failed
    assert goal.constraints[0].violation(failed) == math.inf


def test_a_floor_is_a_bound_on_accuracy_between_chance_and_the_best():
    goal = Goal(objectives=("accuracy", "spikes"), chance={"accuracy": 0.1}, floor=0.5)
    scores = [replace(FINE, accuracy=accuracy) for accuracy in (0.2, 0.7, 0.4)]
    others = [replace(FINE, accuracy=0.99, state="infeasible"), replace(FINE, accuracy=0.98, state="pruned")]
    floored = goal.floored([*scores, *others, Score(state="failed", fidelity="supernet", error="x")])
    assert [str(bound) for bound in floored.constraints] == ["accuracy>=0.4"]
    assert [floored.judge(score).state for score in scores] == ["infeasible", "ok", "ok"]
    bounds = parse_constraints(["spikes<=200"])
    assert replace(goal, constraints=bounds).floored(scores).constraints == (*bounds, *floored.constraints)


def test_a_floor_is_on_separability_where_that_stands_for_accuracy():
    """From 0, what rates that know nothing have; where accuracy is an objective, too, it is on that."""
    scores = [replace(FINE, columns={"separability": value}) for value in (-0.1, 0.2, 0.6)]
    goal = Goal(objectives=("separability", "spikes"), chance={"accuracy": 0.1}, floor=0.5)
    assert goal.spelled == ["separability:max", "spikes:min"]
    floored = goal.floored([*scores, FINE, replace(FINE, state="pruned", columns={"separability": 0.9})])
    assert [str(bound) for bound in floored.constraints] == ["separability>=0.3"]
    assert [floored.judge(score).state for score in scores] == ["infeasible", "infeasible", "ok"]
    assert goal.floored([FINE]) is goal
    both = Goal(objectives=("accuracy", "separability"), chance={"accuracy": 0.1}, floor=0.5).floored(scores)
    assert [str(bound) for bound in both.constraints] == ["accuracy>=0.5"]


def test_a_floor_is_from_what_a_guess_has_of_the_figure_that_counts():
    """Classes 95 : 5: always saying the larger one is nothing, of either accuracy."""
    guess, better = (replace(FINE, accuracy=a, columns={"balanced_accuracy": b}) for a, b in ((0.95, 0.5), (0.96, 0.9)))
    chance = {"accuracy": 0.95, "balanced_accuracy": 0.5}
    for objectives, bound in (
        (("accuracy", "spikes"), "accuracy>=0.955"),
        (("balanced_accuracy", "spikes"), "balanced_accuracy>=0.7"),
        (("accuracy", "balanced_accuracy"), "balanced_accuracy>=0.7"),
    ):
        floored = Goal(objectives=objectives, chance=chance, floor=0.5).floored([guess, better])
        assert [str(bound) for bound in floored.constraints] == [bound]
        assert [floored.judge(score).state for score in (guess, better)] == ["infeasible", "ok"]
    bounds = parse_constraints(["balanced_accuracy>=0.8"])
    asked = Goal(objectives=("balanced_accuracy", "spikes"), constraints=bounds, chance=chance, floor=0.5)
    assert asked.floored([guess, better]) is asked
    assert (asked.senses, asked.judge(guess).error) == ((1, -1), "balanced_accuracy 0.5 breaks balanced_accuracy>=0.8")


@pytest.mark.parametrize(
    "changes",
    [
        {"floor": 0.0},
        {"chance": {"accuracy": 0.7}},
        {"constraints": parse_constraints(["accuracy>=0.1"])},
        {"objectives": ("spikes",), "senses": (-1,)},
        {"senses": (-1, -1)},
    ],
)
def test_no_floor_where_none_is_asked_for_or_it_says_nothing(changes):
    goal = replace(Goal(objectives=("accuracy", "spikes"), chance={"accuracy": 0.1}, floor=0.5), **changes)
    assert goal.floored([replace(FINE, accuracy=0.7)]) is goal
    assert goal.floored([]) is goal


def test_a_table_has_no_floor():
    with pytest.raises(OptionError, match=r"--floor 0\.2 .* a table does not say what a guess scores: give a bound"):
        check_effect([configure(table="t.csv", floor=0.2)], ["floor"])


def test_objectives_may_be_spelled_and_must_be_where_no_metric_is_meant():
    goal = Goal(objectives=("val_acc_last:max", "spikes", "a:b:min", "timesteps:max"))
    assert goal.objectives == ("val_acc_last", "spikes", "a:b", "timesteps")
    assert goal.senses == (1, -1, -1, 1)
    assert Goal(objectives=goal.spelled) == goal
    assert replace(goal, spike_weight=0.0).senses == goal.senses
    score = Score(state="ok", fidelity="trained", spikes=2.0, columns={"val_acc_last": 81.5, "a:b": 3.0})
    np.testing.assert_equal(goal.values([score, FINE]), [[81.5, 2.0, 3.0, np.nan], [np.nan, 100.0, np.nan, np.nan]])


@pytest.mark.parametrize(
    "text", ["accuracy,acuracy", "", "accuracy,accuracy", "seconds", "spikes,spikes:min", "x:up", ":max", "x:"]
)
def test_bad_objectives(text):
    with pytest.raises(OptionError, match="--objectives"):
        Goal(objectives=tuple(text.split(",") if text else []))


def test_objectives_that_nothing_scores_are_named():
    known = ["val_acc_last", "synops_M"]
    with pytest.raises(OptionError, match="did you mean 'val_acc_last'"):
        make_goal(configure(objectives=("val_acc_lst:max",)), known)
    config = configure(objectives=("synops_M:min",), constraints=("val_acc_last>=80",), reference=("synops_M=1000",))
    goal = make_goal(config, known)
    assert goal.columns == ("synops_M", "val_acc_last")
    assert goal.reference == {"synops_M": 1000.0}


def test_constraints_on_further_columns():
    goal = Goal(objectives=("accuracy",), constraints=parse_constraints(["a<=b<=4"], known=["a<=b"]))
    assert goal.columns == ("accuracy", "a<=b")
    kept, broken = (Score(state="ok", fidelity="trained", accuracy=0.5, columns={"a<=b": value}) for value in (4, 4.5))
    assert goal.judge(kept) == kept
    assert goal.judge(broken).error == "a<=b 4.5 breaks a<=b<=4"
    assert goal.judge(FINE).error == "a<=b is not known and breaks a<=b<=4"


def test_the_reference_point_names_every_objective_or_none():
    goal = Goal(objectives=("accuracy", "x:min"), reference=parse_reference(["x=1e3", "accuracy=0.5"]))
    assert list(goal.reference.items()) == [("accuracy", 0.5), ("x", 1000.0)]
    assert Goal(objectives=("accuracy",)).reference == {}


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["x=1"], "leaves out accuracy: give every objective's value, or none"),
        (["accuracy=1", "x=1", "y=1"], "unknown objective 'y'"),
        (["accuracy=nan", "x=1"], "finite"),
        (["accuracy", "x=1"], "--reference 'accuracy': write NAME=X"),
        (["x=1", "x=2"], "each objective once"),
    ],
)
def test_bad_references(texts, words):
    with pytest.raises(OptionError) as error:
        Goal(objectives=("accuracy", "x:min"), reference=parse_reference(texts))
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["energy=5"], "write --max COLUMN=NUMBER"),
        (["energy<=5"], "did you mean 'energy_nj'?"),
        (["energy_nj<=nan"], "finite"),
        (["energy_nj<="], "finite"),
        (["energy_nj>=inf"], "finite"),
        (["spikes>=10", "spikes<=5"], "contradict"),
    ],
)
def test_bad_constraints(texts, words):
    with pytest.raises(OptionError) as error:
        parse_constraints(texts)
    assert words in str(error.value)
