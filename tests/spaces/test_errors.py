"""Unknown names: proposed is what is near in letters or meaning; where nothing is, the message says what there is."""

import doctest

import pytest

from spaces import SPACES, errors
from spaces.errors import unknown


def test_examples_hold():
    assert doctest.testmod(errors).failed == 0
    assert doctest.testmod(errors).attempted >= 3


@pytest.mark.parametrize("name", ["my_space.py", "resnet18", "paths", "", "-", "e"])
def test_what_is_near_nothing_is_answered_by_what_there_is(name):
    said = unknown("space", name, SPACES)
    assert "did you mean" not in said
    assert said.endswith(f"known: {', '.join(SPACES)}")


def test_a_long_list_is_counted_and_a_long_name_cut():
    said = unknown("column", "x" * 5000, [f"c{i}" for i in range(100)])
    assert said.endswith(f"and {100 - errors.SHOWN} more")
    assert len(said) < 400
    assert unknown("thing", "x", []).endswith("known: none")


def test_words_and_meanings_come_before_other_places():
    names = ["--few-shot-epochs", "--supernet-epochs", "--out"]
    assert "did you mean '--few-shot-epochs' or '--supernet-epochs'?" in unknown("option", "--epochs", names)
    assert "did you mean '--out'?" in unknown("option", "--output", names, meant={"output": "--out"})
    assert "did you mean '--seeds' of sweep?" in unknown("option", "--sedes", names, elsewhere={"--seeds": "sweep"})
    assert "(it is of sweep)" in unknown("option", "--seeds", ["--seed"], elsewhere={"--seeds": "sweep"})
