"""Candidates and scores are values: frozen, equal by content, safe to send to another process."""

import pickle
from dataclasses import replace

import pytest

from spaces.candidate import TAKEN, Candidate, Score, figure_names


def test_a_score_finds_any_figure_by_name():
    score = Score(state="ok", fidelity="trained", accuracy=0.5, columns={"synops_M": 9.0})
    assert [score.figure(name) for name in ("accuracy", "spikes", "synops_M", "seconds")] == [0.5, None, 9.0, None]
    assert figure_names([score, Score(state="ok", fidelity="trained", columns={"x": 1.0, "synops_M": 2.0})])[-2:] == [
        "synops_M",
        "x",
    ]


def test_the_columns_of_a_score_are_its_own_and_stay_as_they_are():
    given = {"synops_M": 9.0}
    score = Score(state="ok", fidelity="trained", columns=given)
    given["synops_M"] = 8.0
    assert score.columns == {"synops_M": 9.0}
    with pytest.raises(TypeError):
        score.columns["synops_M"] = 1.0
    again = pickle.loads(pickle.dumps(score))
    assert again == score
    assert hash(again) == hash(score)
    assert replace(score, error="x").columns == score.columns
    assert replace(score, columns={}) != score


@pytest.mark.parametrize("name", [*TAKEN, "param.x"])
def test_a_column_may_not_bear_a_name_that_stands_in_tables_already(name):
    with pytest.raises(ValueError, match="place of its own"):
        Score(state="ok", fidelity="trained", columns={name: 1.0})


def test_candidates_are_equal_in_any_order():
    one, other = Candidate({"a": 1, "b": "x"}), Candidate({"b": "x", "a": 1})
    assert one == other == pickle.loads(pickle.dumps(one))
    assert hash(one) == hash(other)
    assert one != Candidate({"a": 1.0, "b": "x"})
