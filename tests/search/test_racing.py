"""Racing: never wrong about what the whole split says but for its chance, and silent without a rival."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.ledger import Outcome
from search.loop.goal import Goal
from search.loop.racing import DELTA, dominated_by, rivals_of
from spaces.candidate import Candidate, Score

GOAL = Goal(objectives=("accuracy", "spikes", "energy_nj"))


def score(accuracy, spikes, energy_nj, **more):
    values = {"sops": 1.0, "macs": 1.0, "parameters": 9, "timesteps": 2} | more
    return Score(
        **(
            {"state": "ok", "fidelity": "supernet", "accuracy": accuracy, "spikes": spikes, "energy_nj": energy_nj}
            | values
        )
    )


def rivals(*scores):
    return [Outcome(i, 0, Candidate({"x": i}), s) for i, s in enumerate(scores)]


def test_the_clearly_dominated_are_named_with_their_reason():
    judge = dominated_by(rivals(score(0.9, 100.0, 10.0)), GOAL)
    assert (
        judge(score(0.3, 200.0, 20.0), [256], [1000]) == "stopped after 256 of 1000 samples: dominated by candidate 0"
    )
    assert judge(score(0.89, 200.0, 20.0), [256], [1000]) == ""  # may still be as good
    assert judge(score(0.3, 200.0, 9.0), [256], [1000]) == ""  # cheaper in one objective
    assert judge(score(0.3, 104.0, 20.0), [256], [1000]) == ""  # not clearly more spikes


def test_what_is_not_ok_is_no_rival():
    worse = [replace(score(0.9, 100.0, 10.0), state=state) for state in ("infeasible", "pruned")]
    assert dominated_by(rivals(*worse), GOAL)(score(0.1, 200.0, 20.0), [500], [1000]) == ""
    assert dominated_by([], GOAL)(score(0.1, 200.0, 20.0), [500], [1000]) == ""


@given(accuracy=st.floats(0, 1), spikes=st.floats(1, 1e6), seen=st.integers(1, 999))
def test_a_candidate_never_beats_itself(accuracy, spikes, seen):
    own = score(accuracy, spikes, spikes / 10)
    assert dominated_by(rivals(own), GOAL)(own, [seen], [1000]) == ""


@given(
    rival=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5), st.integers(1, 5)), max_size=30),
    judged=st.tuples(st.integers(0, 9), st.integers(1, 5), st.integers(1, 5)),
    cut=st.integers(0, 30),
)
def test_the_front_of_the_rivals_judges_as_all_of_them_would(rival, judged, cut):
    """Whether alone, each by its own, any of them beats the candidate; and read at once or in two parts."""
    history = rivals(*(score(a / 10, 1.0 * s, 1.0 * e) for a, s, e in rival))
    partial = score(judged[0] / 10, 1.0 * judged[1], 1.0 * judged[2])
    one_by_one = [number for number, o in enumerate(history) if dominated_by([o], GOAL)(partial, [500], [1000])]
    told = dominated_by(history, GOAL)(partial, [500], [1000])
    assert bool(told) == bool(one_by_one)
    assert not told or int(told.rpartition(" ")[2]) in one_by_one
    growing = rivals_of(GOAL)
    growing(history[:cut])
    assert growing(history)(partial, [500], [1000]) == told
    numbers = [history[number].score for number in growing(history).numbers]
    assert len(numbers) == len({(s.accuracy, s.spikes, s.energy_nj) for s in numbers})  # of equal ones one is kept


@pytest.mark.parametrize("objectives", [("accuracy", "parameters"), ("accuracy", "timesteps", "macs"), ("sops",)])
def test_every_objective_can_be_raced_on(objectives):
    judge = dominated_by(rivals(score(0.9, 1.0, 1.0)), Goal(objectives=objectives))
    assert judge(score(0.1, 1.0, 1.0, sops=2.0), [500], [1000])


def test_what_a_part_of_the_samples_does_not_tell_may_turn_out_to_be_anything():
    goal = Goal(objectives=("separability", "spikes"))
    judge = dominated_by(rivals(score(0.9, 1.0, 1.0, columns={"separability": 0.8})), goal)
    assert judge(score(0.1, 200.0, 20.0), [500], [1000]) == ""
    assert judge(score(0.1, 200.0, 20.0, columns={"separability": 0.1}), [500], [1000])


@pytest.mark.parametrize("seen", [125, 250, 500])
def test_the_bound_holds_but_for_its_chance(seen):
    """Right answers drawn without replacement: the whole is above the bound less often than delta says."""
    rng = np.random.default_rng(0)
    misses = 0
    for _ in range(20_000 // 4):
        right = int(rng.integers(300, 700))
        found = rng.hypergeometric(right, 1000 - right, seen) / seen
        rival = rivals(score(right / 1000 - 1e-9, 1.0, 1.0))  # just worse than the candidate really is
        misses += bool(dominated_by(rival, GOAL)(score(found, 2.0, 2.0), [seen], [1000]))
    assert misses / 5_000 <= DELTA


BALANCE = Goal(objectives=("balanced_accuracy", "spikes"))


def balanced(value, spikes):
    return score(0.5, spikes, 1.0, columns={"balanced_accuracy": value})


def test_of_a_class_that_was_not_seen_all_may_yet_be_right():
    """Three classes of 50: none right of two of them, and the third to come, which alone is worth a third."""
    for rival, told in ((0.32, ""), (0.9, "stopped after 100 of 150 samples: dominated by candidate 0")):
        judge = dominated_by(rivals(balanced(rival, 1.0)), BALANCE)
        assert judge(balanced(0.0, 2.0), [50, 50, 0], [50, 50, 50]) == told
    assert dominated_by(rivals(balanced(0.9, 1.0)), BALANCE)(balanced(0.0, 2.0), [50, 50, 5], [50, 50, 50])


@given(st.floats(0, 1), st.integers(2, 999))
def test_of_one_class_balanced_accuracy_is_raced_as_accuracy(value, seen):
    told = dominated_by(rivals(score(0.7, 1.0, 1.0)), Goal(objectives=("accuracy", "spikes")))(
        score(value, 2.0, 1.0), [seen], [1000]
    )
    assert dominated_by(rivals(balanced(0.7, 1.0)), BALANCE)(balanced(value, 2.0), [seen, 0], [1000, 0]) == told


@pytest.mark.parametrize("sizes", [(950, 50), (400, 400, 190, 10), (990, 5, 5)])
@pytest.mark.parametrize("seen", [125, 250, 500])
def test_the_bound_on_balanced_accuracy_holds_but_for_its_chance(sizes, seen):
    """Few samples of a small class tell little of it: a candidate just better than its rival is hardly ever stopped."""
    rng = np.random.default_rng(0)
    misses = 0
    for _ in range(3_000):
        right = [int(rng.integers(size + 1)) for size in sizes]
        drawn = rng.multivariate_hypergeometric(sizes, seen)
        found = [
            rng.hypergeometric(good, size - good, n) / n for good, size, n in zip(right, sizes, drawn, strict=True) if n
        ]
        truth = float(np.mean([good / size for good, size in zip(right, sizes, strict=True)]))
        judge = dominated_by(rivals(balanced(truth - 1e-9, 1.0)), BALANCE)
        misses += bool(judge(balanced(float(np.mean(found)), 2.0), drawn.tolist(), list(sizes)))
    assert misses / 3_000 <= DELTA
    far = [n for n in sizes if n >= 400]
    judge = dominated_by(rivals(balanced(1.0, 1.0)), BALANCE)
    assert judge(balanced(0.05, 2.0), [n // 2 for n in sizes], list(sizes)) or not far
