"""Local search: around what, in which order, and what a neighbour is."""

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from results.ledger import Outcome
from search.loop.goal import Goal, parse_constraints
from search.samplers.local import front, neighbours, sample
from spaces.candidate import Candidate, Score
from spaces.space import Space

GOAL = Goal(objectives=("accuracy", "spikes"), constraints=parse_constraints(["energy_nj<=10"]))
SPACE = Space(
    name="test",
    about="",
    blanks={f"op{i}": CategoricalDistribution(("a", "b", "c")) for i in range(5)} | {"depth": IntDistribution(1, 4)},
    timesteps=1,
    build=None,
)


def made(ops, depth=1):
    return Candidate({f"op{i}": op for i, op in enumerate(ops)} | {"depth": depth})


def history_of(*rows):
    return [
        Outcome(i, 0, c, Score(state=state, fidelity="supernet", accuracy=a, spikes=n, energy_nj=e))
        for i, (c, a, n, e, state) in enumerate(rows)
    ]


def distance(one, other):
    return sum(one[name] != other[name] for name in one)


def test_neighbours_of_each_kind():
    assert neighbours(CategoricalDistribution(("a", "b", "c")), "b") == ["a", "c"]
    assert set(neighbours(IntDistribution(1, 9, step=2), 5)) == {3, 7}
    assert neighbours(IntDistribution(1, 9, step=2), 9) == [7]
    assert neighbours(IntDistribution(2, 2), 2) == []
    found = neighbours(FloatDistribution(1.0, 100.0, log=True), 10.0)
    assert sorted(np.log10(found) / 2 - 0.5) == pytest.approx([-0.2, -0.05, -0.01, 0.01, 0.05, 0.2])
    assert neighbours(FloatDistribution(0.0, 1.0), 1.0) == pytest.approx([0.8, 0.95, 0.99])


def test_the_front_is_searched_around_and_what_is_no_result_is_not():
    history = history_of(
        (made("aaaaa"), 0.9, 100.0, 1.0, "ok"),
        (made("bbbbb"), 0.8, 50.0, 1.0, "ok"),
        (made("ccccc"), 0.7, 90.0, 1.0, "ok"),  # dominated
        (made("abcab"), 0.99, 10.0, 1.0, "pruned"),
        (made("abcac"), 0.99, 10.0, 50.0, "infeasible"),
        (made("abcaa"), None, None, None, "failed"),
    )
    assert {c.key for c in front(history, GOAL)} == {made("aaaaa").key, made("bbbbb").key}
    assert front(history[4:], GOAL) == [made("abcac")]
    assert front(history[5:], GOAL) == front([], GOAL) == []
    asked = sample(SPACE, history, 10, 0, GOAL)
    around = [[distance(c, point) for c in asked].count(1) for point in (made("aaaaa"), made("bbbbb"))]
    assert around == [5, 5]  # in turn


def test_the_point_whose_neighbours_are_scored_the_least_is_next():
    known = [(made(ops), 0.1, 500.0, 1.0, "ok") for ops in ("aaaab", "aaaac", "aaaba", "aaaca")]
    history = history_of((made("aaaaa"), 0.9, 100.0, 1.0, "ok"), (made("bbbbb"), 0.8, 50.0, 1.0, "ok"), *known)
    asked = sample(SPACE, history, 4, 0, GOAL)
    assert [distance(c, made("bbbbb")) for c in asked] == [1] * 4
    assert [distance(c, made("bbbbb")) == 1 for c in sample(SPACE, history, 8, 0, GOAL)].count(True) == 6


def test_when_all_neighbours_are_scored_draws_are_random():
    best = made("aaaaa")
    around = [c for c in SPACE.all() if distance(c, best) == 1]
    around = [c for c in around if c["depth"] < 3]  # depths are next to each other one by one
    assert len(around) == 5 * 2 + 1
    history = history_of((best, 0.9, 1.0, 1.0, "ok"), *((c, 0.1, 5.0, 1.0, "ok") for c in around))
    asked = sample(SPACE, history, 60, 0, GOAL)
    assert not set(asked) & {best, *around}
    assert len({distance(c, best) for c in asked}) >= 4
    missing = history[:-1]
    assert around[-1] in sample(SPACE, missing, 1, 0, GOAL)


def test_a_smooth_valley_is_walked_down():
    """From a bad corner, the optimum of a sum is reached in a fifth of the space."""
    target, history = made("cbcbc", 3), history_of((made("aaaaa"), 0.0, 100.0, 1.0, "ok"))
    for batch in range(40):
        for c in sample(SPACE, history, 5, batch, GOAL):
            far = distance(c, target)
            score = Score(state="ok", fidelity="supernet", accuracy=1 - far / 6, spikes=100.0 + far, energy_nj=1.0)
            history.append(Outcome(len(history), batch + 1, c, score))
        if target in [o.candidate for o in history]:
            break
    assert target in [o.candidate for o in history]
    assert len(history) < SPACE.size / 5
