"""Conformance suite of samplers: every sampler passes all of it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from results.ledger import Outcome
from search.loop.goal import Goal, parse_constraints
from search.samplers import SAMPLERS
from search.samplers.evolution import cross, fittest, mutate
from spaces import lookup
from spaces.candidate import Candidate, Score
from spaces.space import Space

pytestmark = pytest.mark.usefixtures("quick_samplers")

GOAL = Goal(objectives=("accuracy", "spikes"), constraints=parse_constraints(["energy_nj<=90"]))


def space_of(blanks):
    return Space(name="test", about="", blanks=blanks, timesteps=1, build=None)


SPACES = {
    "cells": space_of({f"slot{i}": CategoricalDistribution(("a", "b", "c")) for i in range(4)}),  # 81 candidates
    "tiny": space_of({"one": CategoricalDistribution(("a", "b")), "two": IntDistribution(0, 2)}),  # 6
    "mixed": space_of(
        {
            "op": CategoricalDistribution(("a", "b", "c")),
            "depth": IntDistribution(1, 9, step=2),
            "tau": FloatDistribution(1.0, 100.0, log=True),
            "threshold": FloatDistribution(0.5, 2.0),
        }
    ),
}


def score(candidate):
    """A smooth made-up score with failures, silences and broken constraints among its outcomes."""
    number = sum((i + 1) * (ord(v) - 96 if isinstance(v, str) else v) for i, v in enumerate(candidate.values()))
    kind = int(number * 7) % 11
    if kind == 0:
        return Score(state="failed", fidelity="supernet", error="made to fail")
    numbers = {"accuracy": 1 / (1 + math.exp(-number / 9)), "spikes": 100.0 + number, "energy_nj": 10.0 * kind}
    if kind == 1:
        return Score(state="infeasible", fidelity="supernet", error="silent", **numbers | {"spikes": 0.0})
    return GOAL.judge(Score(state="ok", fidelity="supernet", **numbers))


@pytest.fixture(params=SAMPLERS)
def sampler(request):
    return lookup(SAMPLERS, "sampler", request.param)


def run(sampler, space, *, n, rounds, start=()):
    history = list(start)
    for batch in range(len({outcome.batch for outcome in history}), rounds):
        asked = sampler(space, history, n, 1000 + batch, GOAL)
        history += [Outcome(len(history) + i, batch, c, score(c)) for i, c in enumerate(asked)]
    return history


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("n", [1, 7, 64])
def test_batches_are_full_distinct_and_in_the_space(sampler, name, n):
    space = SPACES[name]
    history = run(sampler, space, n=n, rounds=5)
    candidates = [outcome.candidate for outcome in history]
    assert len(set(candidates)) == len(candidates) == min(5 * n, space.size)
    for candidate in candidates:
        space.check(candidate)


@pytest.mark.parametrize("name", SPACES)
def test_the_same_history_and_seed_give_the_same_candidates(sampler, name):
    history = run(sampler, SPACES[name], n=7, rounds=6)
    again = run(sampler, SPACES[name], n=7, rounds=6)
    assert [o.candidate for o in history] == [o.candidate for o in again]
    other = sampler(SPACES["mixed"], [], 7, 1, GOAL)
    assert other != sampler(SPACES["mixed"], [], 7, 2, GOAL)


def test_going_on_from_any_cut_is_going_through(sampler):
    space = SPACES["mixed"]
    through = run(sampler, space, n=6, rounds=11)
    for cut in range(1, 11):  # what is asked next is all that a cut could change
        resumed = run(sampler, space, n=6, rounds=cut + 1, start=[o for o in through if o.batch < cut])
        assert resumed == [o for o in through if o.batch <= cut]


def test_an_exhausted_space_ends(sampler):
    for name in ("tiny", "cells"):
        space = SPACES[name]
        history = run(sampler, space, n=20, rounds=8)
        assert {o.candidate for o in history} == set(space.all())
        assert sampler(space, history, 20, 5, GOAL) == []


def test_a_history_of_failures_is_survived(sampler):
    space = SPACES["mixed"]
    rng = np.random.default_rng(0)
    failed = Score(state="failed", fidelity="supernet", error="x")
    history = [Outcome(i, i // 10, space.sample(rng), failed) for i in range(40)]
    assert len(sampler(space, history, 7, 0, GOAL)) == 7


def test_scores_that_lack_an_objective_are_survived(sampler):
    """Half of all outcomes have no spikes, or no accuracy, and stand as ``ok`` or ``pruned``: NaN among the values."""
    space, history = SPACES["mixed"], []
    for batch in range(6):
        for i, candidate in enumerate(sampler(space, history, 7, batch, GOAL)):
            result = score(candidate)
            if i % 2:
                state = ("ok", "pruned")[batch % 2]
                result = replace(result, state=state, **{("spikes", "accuracy")[i // 2 % 2]: None})
            history.append(Outcome(len(history), batch, candidate, result))
    assert len({outcome.candidate for outcome in history}) == len(history) == 42


def test_a_constraint_is_respected_no_worse_than_by_chance(sampler):
    """The more ``c``, the more accurate and the more energy: accuracy alone pulls out of what is feasible."""
    space = space_of({f"slot{i}": CategoricalDistribution(tuple("abc")) for i in range(8)})
    goal = Goal(objectives=("accuracy", "spikes"), constraints=parse_constraints(["energy_nj<=4"]))

    def judged(candidate):
        much, few = (sum(value == which for value in candidate.values()) for which in "ca")
        numbers = {"accuracy": 0.1 + much / 10, "spikes": 20.0 - few, "energy_nj": 1.0 * much + 0.5 * (8 - much - few)}
        return goal.judge(Score(state="ok", fidelity="supernet", **numbers))

    kept = []
    for seed in range(2):
        history = []
        for batch in range(5):
            asked = sampler(space, history, 20, 100 * seed + batch, goal)
            history += [Outcome(len(history) + i, batch, c, judged(c)) for i, c in enumerate(asked)]
        kept += [outcome.score.state == "ok" for outcome in history if outcome.batch >= 2]
    by_chance = np.mean([judged(candidate).state == "ok" for candidate in space.all()])
    assert 0.2 < by_chance < 0.8
    spread = math.sqrt(by_chance * (1 - by_chance) / len(kept))
    assert np.mean(kept) >= by_chance - 3 * spread


@pytest.mark.parametrize("name", ["evolution", "local", "nsga2", "tpe"])
def test_informed_samplers_beat_random_draws(name):
    """Mean of the better half on a smooth score, 5 seeds; random is the control."""
    space = space_of({f"slot{i}": CategoricalDistribution(tuple("abcde")) for i in range(6)})
    goal = Goal(objectives=("accuracy", "spikes"), spike_weight=0.0)

    def quality(sampler, seed):
        history = []
        for batch in range(8):
            asked = sampler(space, history, 10, seed * 100 + batch, goal)
            for candidate in asked:
                good = sum(value == "c" for value in candidate.values()) / 6
                result = Score(state="ok", fidelity="supernet", accuracy=good, spikes=200.0 - 100 * good)
                history.append(Outcome(len(history), batch, candidate, result))
        return np.mean(sorted(o.score.accuracy for o in history)[-20:])

    informed, control = (lookup(SAMPLERS, "sampler", which) for which in (name, "random"))
    assert np.mean([quality(informed, s) for s in range(5)]) > np.mean([quality(control, s) for s in range(5)]) + 0.1


def outcome(number, batch, accuracy, spikes, state="ok"):
    scored = Score(state=state, fidelity="supernet", accuracy=accuracy, spikes=spikes)
    return Outcome(number, batch, Candidate({"slot": number}), scored)


def test_fitness_by_hand():
    goal = Goal(objectives=("accuracy", "spikes"), spike_weight=-0.5)
    # reference: the mean of the first batch, 200; fitness: .5 * (.5 ** -.5), .6 * (1.5 ** -.5), .8 * (2 ** -.5)
    history = [outcome(0, 0, 0.5, 100.0), outcome(1, 0, 0.6, 300.0), outcome(2, 1, 0.8, 400.0)]
    assert [c["slot"] for c in fittest(history, goal)] == [0, 2, 1]
    assert [c["slot"] for c in fittest(history, Goal(objectives=("accuracy",), spike_weight=0.0))] == [2, 1, 0]


def column_outcome(number, val, cost, state="ok"):
    columns = {name: value for name, value in (("val", val), ("cost", cost)) if value is not None}
    return Outcome(number, 0, Candidate({"slot": number}), Score(state=state, fidelity="trained", columns=columns))


@pytest.mark.parametrize("seed", range(5))
def test_where_there_is_no_accuracy_the_first_ranks_breed(seed):
    goal = Goal(objectives=("val:max", "cost:min"))
    points = np.random.default_rng(seed).integers(0, 12, (40, 2)).astype(float)
    ranks, left = {}, dict(enumerate(points.tolist()))
    while left:  # by the definition
        front = [
            n
            for n, (val, cost) in left.items()
            if not any(v >= val and c <= cost and (v, c) != (val, cost) for v, c in left.values())
        ]
        ranks |= dict.fromkeys(front, max(ranks.values(), default=-1) + 1)
        left = {n: point for n, point in left.items() if n not in front}
    history = [column_outcome(n, *point) for n, point in enumerate(points.tolist())] + [column_outcome(40, None, 0.0)]
    chosen = [candidate["slot"] for candidate in fittest(history, goal)]
    assert len(set(chosen)) == 10
    assert [ranks[slot] for slot in chosen] == sorted(ranks.values())[:10]


def test_a_long_front_is_thinned_to_a_spread_with_its_ends():
    goal = Goal(objectives=("val:max", "cost:min"))
    history = [column_outcome(number, float(number), number**2.0) for number in range(40)]
    chosen = sorted(candidate["slot"] for candidate in fittest(history, goal))
    assert len(chosen) == 10
    assert chosen[0] == 0
    assert chosen[-1] == 39
    assert max(np.diff(chosen)) <= 12


def test_only_feasible_ranks_breed_once_there_are_two():
    goal = Goal(objectives=("val:max", "cost:min"))
    history = [column_outcome(0, 1.0, 1.0), column_outcome(1, 9.0, 0.0, "infeasible"), column_outcome(2, 2.0, 3.0)]
    assert {c["slot"] for c in fittest(history, goal)} == {0, 2}
    assert [c["slot"] for c in fittest(history[:2], goal)] == [1, 0]
    assert fittest([column_outcome(0, None, None, "failed")], goal) == fittest([], goal) == []


def test_infeasible_candidates_breed_only_while_too_few_are_feasible():
    goal = Goal(objectives=("accuracy", "spikes"))
    history = [outcome(0, 0, 0.5, 100.0), outcome(1, 0, 0.9, 100.0, "infeasible"), outcome(2, 0, 0.7, 100.0)]
    assert [c["slot"] for c in fittest(history, goal)] == [2, 0]
    assert [c["slot"] for c in fittest(history[:2], goal)] == [1, 0]


def test_mutation_redraws_each_blank_with_its_probability():
    space = space_of({f"slot{i}": CategoricalDistribution(tuple("abcde")) for i in range(10)})
    rng = np.random.default_rng(0)
    parent = Candidate(dict.fromkeys(space.blanks, "a"))
    changed = np.mean([[mutate(space, parent, rng)[name] != "a" for name in space.blanks] for _ in range(2000)])
    assert changed == pytest.approx(0.2 * 4 / 5, abs=0.01)


def test_crossover_has_one_point_and_mixes_both_parents():
    space = space_of({f"slot{i}": CategoricalDistribution(("a", "b")) for i in range(6)})
    one, other = (Candidate(dict.fromkeys(space.blanks, value)) for value in "ab")
    rng = np.random.default_rng(0)
    children = {"".join(cross(space, one, other, rng).values()) for _ in range(200)}
    assert children == {"a" * i + "b" * (6 - i) for i in range(1, 6)}
