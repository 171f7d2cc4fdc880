"""NSGA-II: who breeds, by hand, and what its operators do."""

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from results.ledger import Outcome
from search.loop.goal import Goal, parse_constraints
from search.samplers.constraints import violations
from search.samplers.nsga2 import cross, mutate, sample, select
from spaces.candidate import Candidate, Score
from spaces.space import Space

GOAL = Goal(objectives=("accuracy", "spikes"), constraints=parse_constraints(["energy_nj<=10", "accuracy>=0.5"]))


def history_of(*rows):
    """Outcomes of (accuracy, spikes, energy, state)."""
    return [
        Outcome(i, 0, Candidate({"slot": i}), Score(state=s, fidelity="supernet", accuracy=a, spikes=n, energy_nj=e))
        for i, (a, n, e, s) in enumerate(rows)
    ]


def places(candidates):
    return [candidate["slot"] for candidate in candidates]


def test_parents_stand_by_rank_then_crowding():
    history = history_of(
        (0.80, 100.0, 1.0, "ok"),  # dominated by 1
        (0.80, 50.0, 1.0, "ok"),
        (0.90, 200.0, 1.0, "ok"),
        (0.85, 70.0, 1.0, "ok"),
        (0.89, 190.0, 1.0, "ok"),
        (0.70, 40.0, 1.0, "ok"),
    )
    # the front is 5, 1, 3, 4, 2. Gaps of inner points, accuracy over .2 and log(spikes) over log(5):
    # 1: .15/.2 + log(70/40)/log(5) = 1.098; 3: .09/.2 + log(190/50)/log(5) = 1.279;
    # 4: .05/.2 + log(200/70)/log(5) = .902
    assert places(select(history, GOAL)) == [2, 5, 3, 1, 4, 0]
    assert places(select(history, GOAL, 3)) == [2, 5, 3]


def test_what_breaks_constraints_comes_last_by_how_much_and_what_has_no_number_never():
    history = history_of(
        (0.6, 100.0, 30.0, "infeasible"),  # misses energy by 20 of 20: 1
        (0.9, 100.0, 15.0, "infeasible"),  # by 5: .25
        (0.6, 900.0, 9.0, "ok"),
        (0.4, 100.0, 12.0, "infeasible"),  # by 2 and accuracy by .1 of .1: 1.1
        (0.95, 10.0, 5.0, "pruned"),
        (None, None, None, "failed"),
        (0.7, 0.0, 5.0, "infeasible"),  # silent
        (None, 50.0, 5.0, "ok"),
    )
    assert violations(history, GOAL)[[0, 1, 2, 3, 4]] == pytest.approx([1, 0.25, 0, 1.1, 0])
    assert np.isinf(violations(history, GOAL)[5:]).all()
    assert places(select(history, GOAL)) == [2, 4, 1, 0, 3]


SPACE = Space(
    name="test",
    about="",
    blanks={f"op{i}": CategoricalDistribution(tuple("abcde")) for i in range(6)}
    | {"depth": IntDistribution(1, 9), "tau": FloatDistribution(1.0, 100.0, log=True)},
    timesteps=1,
    build=None,
)


def test_one_blank_is_moved_on_average_and_numbers_move_near():
    rng = np.random.default_rng(0)
    parent = Candidate({f"op{i}": "a" for i in range(6)} | {"depth": 5, "tau": 10.0})
    children = [mutate(SPACE, dict(parent), rng) for _ in range(4000)]
    changed = {name: [child[name] for child in children if child[name] != parent[name]] for name in SPACE.blanks}
    assert sum(map(len, changed.values())) / 4000 == pytest.approx(1, abs=0.05)
    assert all(len(values) / 4000 == pytest.approx(1 / 8, abs=0.02) for values in changed.values())
    assert {value: changed["op0"].count(value) > 80 for value in "bcde"} == dict.fromkeys("bcde", True)
    assert np.std(np.log(np.array(changed["tau"]) / 10) / np.log(100)) == pytest.approx(0.1, abs=0.015)
    assert np.median(np.abs(np.array(changed["depth"]) - 5)) == 1


def test_crossover_takes_every_blank_from_either_parent():
    rng = np.random.default_rng(0)
    one = Candidate({f"op{i}": "a" for i in range(6)} | {"depth": 1, "tau": 1.0})
    other = Candidate({f"op{i}": "b" for i in range(6)} | {"depth": 9, "tau": 100.0})
    children = [cross(SPACE, one, other, rng) for _ in range(4000)]
    taken = np.array([[child[name] == other[name] for name in SPACE.blanks] for child in children])
    assert all(child[name] in (one[name], other[name]) for child in children for name in SPACE.blanks)
    assert taken.mean(axis=0) == pytest.approx(np.full(8, 0.45), abs=0.03)
    assert (taken.sum(axis=1) == 0).mean() == pytest.approx(0.1, abs=0.02)


def test_the_fit_breed_more():
    """Children share more with the best of a history than with the rest: the tournament's doing."""
    rng = np.random.default_rng(0)
    history = []
    for i in range(40):
        candidate, good = SPACE.sample(rng), i / 40
        score = Score(state="ok", fidelity="supernet", accuracy=0.5 + good / 2, spikes=100.0 - good, energy_nj=1.0)
        history.append(Outcome(i, i // 20, candidate, score))

    def shared(children, parents):
        return np.mean([[c[n] == p[n] for n in list(SPACE.blanks)[:6]] for c in children for p in parents])

    children = [c for seed in range(10) for c in sample(SPACE, history, 20, seed, GOAL)]
    candidates = [outcome.candidate for outcome in history]
    best, rest = (shared(children, group) for group in (candidates[35:], candidates[:20]))
    assert best > rest + 0.03
