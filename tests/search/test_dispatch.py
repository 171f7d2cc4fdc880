"""Dispatch: every candidate comes back once and in order, whoever is lost meanwhile; calls are sized by time."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.runners.dispatch import ENOUGH, WORTH, Dispatch, Pace
from spaces.candidate import Candidate, Score


def candidates(n, blanks=4, options=3):
    """The first ``n`` in the order of the tree of fillings."""
    return [Candidate({f"b{b}": (i // options ** (blanks - 1 - b)) % options for b in range(blanks)}) for i in range(n)]


def score_of(number):
    return Score(state="ok", fidelity="supernet", accuracy=0.5, spikes=float(number))


def walk(n, *, workers, rng, killers=(), lose=0.0, retries=2, seconds=0.01):
    """Scores by position, what each call took, and how often each candidate was begun, with workers that get lost."""
    asked = candidates(n, blanks=8)
    place = {candidate: number for number, candidate in enumerate(asked)}
    batch = Dispatch(asked, pace=Pace(), retries=retries)
    idle, busy, told, calls, fresh = list(range(workers)), {}, [], [], workers
    begun = dict.fromkeys(range(n), 0)
    while not batch.finished:
        rng.shuffle(idle)
        for worker in list(idle):
            if call := batch.take(worker, workers):
                idle.remove(worker)
                busy[worker] = call
                calls.append(len(call))
        if found := batch.undecided:
            assert not busy, "whose fault it is, is asked only once nothing else runs"
            batch.decide(found[0], Score(state="failed", fidelity="supernet", error=str(found[2])))
            told += batch.ready()
            continue
        assert busy, "nobody has anything to do, and not all is done"
        worker = rng.choice(list(busy))
        call = busy.pop(worker)
        for candidate in call:
            begun[place[candidate]] += 1
        if any(place[candidate] in killers for candidate in call) or rng.random() < lose:
            batch.lost(worker, "the worker died", "supernet")
            idle.append(fresh)
            fresh += 1
        else:
            batch.done(worker, [score_of(place[candidate]) for candidate in call], seconds * len(call))
            idle.append(worker)
        told += batch.ready()
    assert batch.unsent == 0
    assert batch.take("late", 1) == []
    return told, calls, begun


@given(n=st.integers(0, 80), workers=st.integers(1, 9), seed=st.integers(0, 10**6), seconds=st.floats(1e-4, 10))
def test_scores_come_back_once_and_in_order(n, workers, seed, seconds):
    told, calls, begun = walk(n, workers=workers, rng=random.Random(seed), seconds=seconds)
    assert told == [score_of(number) for number in range(n)]
    assert sum(calls) == n
    assert set(begun.values()) <= {1}


@given(
    n=st.integers(1, 60),
    workers=st.integers(1, 5),
    seed=st.integers(0, 10**6),
    killers=st.sets(st.integers(0, 59), max_size=3),
    retries=st.integers(0, 3),
)
def test_who_kills_its_worker_is_failed_after_its_retries_and_nobody_else_is(n, workers, seed, killers, retries):
    told, _, begun = walk(n, workers=workers, rng=random.Random(seed), killers=killers, retries=retries, seconds=1e-3)
    assert [score.state for score in told] == ["failed" if number in killers else "ok" for number in range(n)]
    for number in killers & set(range(n)):
        assert begun[number] > retries
        assert told[number].error.startswith("the worker died")


@given(seed=st.integers(0, 10**6), workers=st.integers(1, 4))
def test_lost_workers_cost_nothing_but_time(seed, workers):
    """A third of all calls is lost; with retries enough nobody is failed."""
    told, _, _ = walk(40, workers=workers, rng=random.Random(seed), lose=1 / 3, retries=100)
    assert told == [score_of(number) for number in range(40)]


@pytest.mark.parametrize(("seconds", "least", "most"), [(0.001, WORTH, ENOUGH), (0.02, WORTH, ENOUGH), (3.0, 3.0, 3.0)])
def test_a_call_is_worth_sending_and_not_too_long(seconds, least, most):
    batch = Dispatch(candidates(6000, blanks=8), pace=Pace(seconds=seconds), retries=0)
    for _ in range(5):
        taken = batch.take("worker", 4)
        assert least - 1e-9 <= len(taken) * seconds <= most + 1e-9
        batch.done("worker", [score_of(0)] * len(taken), len(taken) * seconds)


def test_the_last_calls_are_small_enough_that_all_workers_end_together():
    batch = Dispatch(candidates(40), pace=Pace(seconds=0.01), retries=0)
    assert {len(batch.take(worker, 4)) for worker in range(4)} <= {3, 4, 5}
    alone = Dispatch(candidates(8), pace=Pace(seconds=0.001), retries=0)
    assert {len(alone.take(worker, 4)) for worker in range(4)} <= {1, 2}  # not all eight to the first


def test_a_candidate_timeout_bounds_a_call():
    batch = Dispatch(candidates(81), pace=Pace(seconds=0.001), retries=0, longest=0.02)
    assert len(batch.take("worker", 1)) == 20


def test_workers_walk_subtrees_of_their_own():
    """27 candidates below each value of the first blank, three workers: each begins where a subtree does."""
    asked = candidates(81)
    batch = Dispatch(asked, pace=Pace(seconds=1.0), retries=0)
    first = {worker: batch.take(worker, 3)[0] for worker in "abc"}
    starts = sorted(asked.index(candidate) for candidate in first.values())
    assert starts[0] == 0
    assert all(start % 3 == 0 for start in starts)
    for _ in range(5):
        for worker in "abc":
            batch.done(worker, [score_of(0)], 1.0)
            following = batch.take(worker, 3)[0]
            assert asked.index(following) == asked.index(first[worker]) + 1
            first[worker] = following


def test_few_scores_have_to_wait_for_their_turn():
    """Eight workers of the same pace and a long batch: what is out of order is a stretch or so of each."""
    asked = candidates(5000, blanks=8)
    batch, busy, came, told, waiting = Dispatch(asked, pace=Pace(seconds=1.0), retries=0), {}, 0, 0, 0
    while not batch.finished:
        busy |= {worker: call for worker in range(8) if worker not in busy and (call := batch.take(worker, 8))}
        for worker, call in list(busy.items()):
            batch.done(worker, [score_of(0)] * len(call), float(len(call)))
            came += len(call)
            del busy[worker]
        told += len(list(batch.ready()))
        waiting = max(waiting, came - told)
    assert waiting <= 8 * 50


def test_the_pace_follows_what_is_measured():
    pace = Pace()
    pace.learn(1.0, 10)
    assert pace.seconds == pytest.approx(0.1)
    for _ in range(50):
        pace.learn(2.0, 10)
    assert pace.seconds == pytest.approx(0.2, rel=1e-3)
