"""Bayesian optimisation and its halves: what it holds, when it switches, what it learns from."""

import math

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from results.front import hypervolume
from results.ledger import Outcome
from search.loop.goal import Goal, parse_constraints
from search.samplers import dual, joint
from search.samplers import random as uniform
from search.samplers.bayes import informative, reference_point
from search.samplers.modelled import Scale, scale_of
from spaces.candidate import Candidate, Score
from spaces.space import Space

GOAL = Goal(objectives=("accuracy", "spikes"))
MIXED = Space(
    name="mixed",
    about="",
    blanks={f"op{i}": CategoricalDistribution(("a", "b", "c")) for i in range(3)}
    | {"depth": IntDistribution(1, 6)}
    | {f"threshold{i}": FloatDistribution(0.5, 2.0) for i in range(3)},
    timesteps=1,
    build=None,
)


def quality(candidate):
    """Both halves count: of ops, b is best; of thresholds, 1.2."""
    ops = sum(candidate[f"op{i}"] == "b" for i in range(3)) / 3
    apart = sum(abs(candidate[f"threshold{i}"] - 1.2) for i in range(3)) / 3
    return 0.5 * ops + 0.5 * math.exp(-3 * apart)


def score(candidate):
    spikes = 50.0 * candidate["depth"] + 100 * sum(candidate[f"threshold{i}"] for i in range(3))
    return Score(state="ok", fidelity="supernet", accuracy=0.9 * quality(candidate), spikes=spikes)


def run(sampler, *, rounds, n=8, seed=0, space=MIXED, goal=GOAL, judge=score):
    history = []
    for batch in range(rounds):
        asked = sampler(space, history, n, 1000 * seed + batch, goal)
        history += [Outcome(len(history) + i, batch, c, goal.judge(judge(c))) for i, c in enumerate(asked)]
    return history


def half(candidate, names):
    return tuple(candidate[name] for name in names)


def test_halves_are_the_types_of_blanks():
    assert MIXED.halves == {
        "structure": ["op0", "op1", "op2", "depth"],
        "dynamics": ["threshold0", "threshold1", "threshold2"],
    }


def test_one_half_is_held_at_points_of_the_front():
    history = run(dual.sample, rounds=8)
    held = set()
    for batch in range(2, 8):
        before = [o for o in history if o.batch < batch]
        values = GOAL.values([o.score for o in before])
        better = [(v[0] >= values[:, 0]) | (v[1] <= values[:, 1]) for v in values]
        front = [o.candidate for o, b in zip(before, better, strict=True) if b.all()]
        asked = [o.candidate for o in history if o.batch == batch]
        parts = MIXED.halves
        now = [
            name
            for name, blanks in parts.items()
            if all(half(c, blanks) in {half(f, blanks) for f in front} for c in asked)
        ]
        assert now, "neither half is held"
        held |= set(now)
    assert held == set(parts)  # in turn


def test_a_half_is_left_when_the_hypervolume_stagnates():
    def outcome(number, batch, accuracy, spikes=100.0):
        found = Score(state="ok", fidelity="supernet", accuracy=accuracy, spikes=spikes)
        return Outcome(number, batch, Candidate({"x": number}), found)

    goal = Goal(objectives=("accuracy", "spikes"), reference={"accuracy": 0.0, "spikes": 200.0})
    start = [outcome(i, 0, 0.5) for i in range(10)]
    assert dual.volumes_after_batches(start, goal) == [pytest.approx(50)]
    assert dual.switches(start, goal) == 0
    grown = [*start, outcome(10, 1, 0.6)]
    assert dual.volumes_after_batches(grown, goal) == pytest.approx([50, 60])
    assert dual.switches(grown, goal) == 0
    assert dual.switches([*grown, outcome(11, 2, 0.603)], goal) == 1  # by half a per cent
    assert dual.switches([*grown, outcome(11, 2, 0.603), outcome(12, 3, 0.9)], goal) == 1
    failed = Outcome(12, 3, Candidate({"x": 12}), Score(state="failed", fidelity="supernet", error="x"))
    assert dual.switches([*grown, outcome(11, 2, 0.603), failed], goal) == 2


@pytest.mark.parametrize("sampler", [dual.sample, joint.sample])
def test_it_beats_random_draws(sampler):
    def volume(which, seed):
        values = GOAL.values([o.score for o in run(which, rounds=6, seed=seed)])
        return hypervolume(values, GOAL.senses, [0.0, 1000.0])

    assert all(volume(sampler, seed) > 1.03 * volume(uniform.sample, seed) for seed in range(3))


def test_what_cannot_be_used_is_avoided():
    """Half of the structures fail, and those would score best: once that is seen, few more are asked for."""

    def judge(candidate):
        if candidate["op0"] == "b":
            return Score(state="failed", fidelity="supernet", error="made to fail")
        return score(candidate)

    history = run(joint.sample, rounds=8, judge=judge)
    share = [np.mean([o.score.state == "failed" for o in history if o.batch == b]) for b in range(8)]
    assert np.mean(share[4:]) < 0.15 < np.mean(share[:2])


def test_constraints_are_learnt():
    goal = Goal(objectives=("accuracy",), constraints=parse_constraints(["spikes<=400"]))
    history = run(joint.sample, rounds=7, goal=goal)
    kept = [np.mean([o.score.state == "ok" for o in history if o.batch == b]) for b in range(7)]
    by_chance = np.mean([score(MIXED.sample(np.random.default_rng(i))).spikes <= 400 for i in range(300)])
    assert np.mean(kept[3:]) > by_chance + 0.2


def test_flawed_and_twin_candidates_are_never_asked_for():
    def canonical(candidate):
        return Candidate(dict(zip(("op0", "op1"), sorted(candidate.values()), strict=True)))

    space = Space(
        name="twins",
        about="",
        blanks={name: CategoricalDistribution(tuple("abcdefgh")) for name in ("op0", "op1")},
        timesteps=1,
        build=None,
        infeasible=lambda c: "no h" if "h" in c.values() else "",
        canonical=canonical,
    )

    def judge(candidate):
        place = "abcdefgh".index(candidate["op0"]) + "abcdefgh".index(candidate["op1"])
        return Score(state="ok", fidelity="supernet", accuracy=place / 14, spikes=1.0 + place)

    for sampler in (dual.sample, uniform.sample):
        asked = [o.candidate for o in run(sampler, rounds=6, space=space, judge=judge)]
        assert sorted("".join(c.values()) for c in asked) == [a + b for a in "abcdefg" for b in "abcdefg" if a <= b]


def test_learning_from_the_informative():
    values = np.array([[float(i), -float(i % 7)] for i in range(100)])
    assert informative(values, [1, 1], 100).tolist() == list(range(100))
    places = informative(values, [1, 1], 20)
    assert len(set(places.tolist())) == 20
    assert {91, 98, 99} <= set(places.tolist())  # the front: (99, -1), (98, 0)
    assert min(places) < 10  # and the past


def test_figures_are_modelled_as_they_are_likelier():
    rng = np.random.default_rng(0)
    wide, narrow = np.exp(rng.normal(3, 1.5, 50)), 90 - np.exp(rng.normal(0, 1, 50))
    assert scale_of("latency", -1, wide, own_units=False).logarithm
    assert not scale_of("top1", 1, narrow, own_units=False).logarithm
    assert scale_of("spikes", -1, narrow, own_units=False).worth_logarithm  # a count
    assert not scale_of("spikes", -1, narrow, own_units=True).worth_logarithm
    assert not scale_of("latency", -1, np.append(wide, 0.0), own_units=False).logarithm


def test_outliers_on_the_bad_side_are_drawn_in():
    values = np.array([90.0, 91.0, 92.0, 10.0, 93.0, 200.0])
    scale = Scale(name="top1", sense=1, logarithm=False, worth_logarithm=False)
    assert scale.modelled(values).tolist() == [90.0, 91.0, 92.0, 91.5 - 8 * 1.5, 93.0, 200.0]


@pytest.mark.parametrize(
    ("bounds", "reference", "expected"),
    [
        ([], {}, [0.1 - 0.008, -math.log(1000) - 0.01 * math.log(10)]),
        (["accuracy>=0.4"], {}, [0.4, -math.log(1000) - 0.01 * math.log(10)]),
        (["spikes<=200", "accuracy>=0.4", "accuracy>=0.3"], {}, [0.4, -math.log(200)]),
        (["accuracy>=0.01", "accuracy<=0.8", "spikes>=200"], {}, [0.1 - 0.008, -math.log(1000) - 0.01 * math.log(10)]),
        (["accuracy>=0.4"], {"accuracy": 0.2, "spikes": 500.0}, [0.2, -500.0]),
    ],
)
def test_improvement_is_measured_from_the_bounds(bounds, reference, expected):
    """What is beyond a bound is no improvement; else from a hundredth below the worst, or the point that was given."""
    values = np.array([[0.1, 1000.0], [0.5, 100.0], [0.9, 500.0], [0.7, 300.0], [0.6, 250.0]])
    goal = Goal(objectives=("accuracy", "spikes"), constraints=parse_constraints(bounds), reference=reference)
    pairs = zip(goal.objectives, goal.senses, values.T, strict=True)
    scales = [scale_of(name, sense, column, own_units=bool(reference)) for name, sense, column in pairs]
    assert reference_point(goal, scales, values) == pytest.approx(expected)
