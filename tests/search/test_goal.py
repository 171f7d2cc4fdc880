"""Objectives, constraints and their bad input."""

import math

import pytest

from search.goal import Goal, check_objectives, parse_constraints
from spaces.candidate import Score
from spaces.errors import OptionError

FINE = Score(state="ok", fidelity="supernet", accuracy=0.9, spikes=100.0, energy_nj=50.0)


def test_objectives_and_senses():
    goal = Goal(objectives=check_objectives(["accuracy", "spikes", "sops"]))
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


@pytest.mark.parametrize("text", ["accuracy,acuracy", "", ",", "accuracy,accuracy", "seconds"])
def test_bad_objectives(text):
    with pytest.raises(OptionError, match="--objectives"):
        check_objectives(text.split(",") if text else [])


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
