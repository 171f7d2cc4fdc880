import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.front import crowding, hypervolume, knee, named_spread, pareto_mask, ranks, spread


@st.composite
def fronts(draw, objectives=(1, 4), largest=6, size=14, holes=True):
    m = draw(st.integers(*objectives))
    cell = st.integers(0, largest).map(float)
    if holes:
        cell |= st.sampled_from([float("nan"), float("inf")])
    rows = draw(st.lists(st.lists(cell, min_size=m, max_size=m), max_size=size))
    senses = draw(st.lists(st.sampled_from([1, -1]), min_size=m, max_size=m))
    return np.array(rows, dtype=float).reshape(len(rows), m), senses


def dominates(one, other, senses):
    gains = (np.asarray(one) - np.asarray(other)) * senses
    return bool((gains >= 0).all() and (gains > 0).any())


def brute_front(values, senses):
    finite = [row for row in values if np.isfinite(row).all()]
    return [bool(np.isfinite(r).all()) and not any(dominates(o, r, senses) for o in finite) for r in values]


@given(fronts())
@settings(max_examples=150, deadline=None)
def test_front_equals_brute_force(case):
    values, senses = case
    assert pareto_mask(values, senses).tolist() == brute_front(values, senses)


@given(fronts(), st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_front_does_not_depend_on_order(case, random):
    values, senses = case
    order = list(range(len(values)))
    random.shuffle(order)
    assert pareto_mask(values[order], senses).tolist() == pareto_mask(values, senses)[order].tolist()


def test_front_over_several_blocks_equals_brute_force():
    rng = np.random.default_rng(0)
    values = np.round(rng.normal(size=(900, 3)), 1)
    assert pareto_mask(values, [1, -1, 1]).tolist() == brute_front(values, [1, -1, 1])


def test_front_of_ten_thousand_points_takes_less_than_a_second():
    half = np.random.default_rng(0).random((10_000, 2))
    values = np.column_stack([half, -half.sum(axis=1)])
    start = time.process_time()
    assert pareto_mask(values, [1, 1, 1]).all()
    assert time.process_time() - start < 1


@pytest.mark.parametrize("senses", [[1, 0], [1], [1, 1, 1]])
def test_senses_must_fit(senses):
    with pytest.raises(ValueError, match=r"senses|shape"):
        pareto_mask([[1.0, 2.0]], senses)


def test_knee_is_the_point_nearest_the_ideal_corner():
    values = [[0.99, 100_000], [0.97, 10_000], [0.95, 9_000], [0.50, 1_000]]
    assert knee(values, [1, -1]) == 1
    steep = [[1.0, 1_000_000], [0.8, 20_000], [0.6, 1_000], [0.0, 10]]
    assert knee(steep, [1, -1]) == 1
    assert knee(steep, [1, -1], log=[False, True]) == 2


def test_knee_has_simple_cases():
    assert knee([[0.3, 5], [0.9, 4], [0.9, 4]], [1, -1]) == 1
    assert knee([[0.3], [0.9]], [1]) == 1
    assert knee([[0.3, 0.0], [0.9, 7.0], [0.8, 0.5]], [1, -1], log=[False, True]) == 2
    with pytest.raises(ValueError, match="no front"):
        knee([[np.nan, 1.0]], [1, -1])


@given(fronts(objectives=(2, 3)), st.integers(0, 20), st.booleans())
@settings(max_examples=150, deadline=None)
def test_spread_law(case, k, logarithmic):
    values, senses = case
    log = [False, *[logarithmic] * (len(senses) - 1)]
    front = np.flatnonzero(pareto_mask(values, senses))
    picks = spread(values, senses, k, log=log)
    assert len(picks) == len(set(picks)) == min(k, len(front))
    assert set(picks) <= set(front.tolist())
    assert picks == spread(values, senses, k, log=log)
    if picks:
        assert values[picks[0], 0] * senses[0] == (values[front, 0] * senses[0]).max()
    if len(picks) >= len(senses) + 1:
        assert knee(values, senses, log=log) in picks
        for column, sense in enumerate(senses):
            assert max(values[picks, column] * sense) == max(values[front, column] * sense)


def test_spread_takes_the_farthest_point_next_and_says_why():
    values = [[x, 10 - x] for x in range(11)]
    picks = named_spread(values, [1, 1], 5, names=["accuracy", "thrift"])
    assert picks == [(10, "best accuracy"), (5, "knee"), (0, "best thrift"), (7, "spread"), (3, "spread")]
    assert spread(values, [1, 1], 3) == [10, 5, 0]


def brute_volume(points, senses, reference):
    """Inclusion-exclusion over all subsets of the boxes."""
    gains = [(p - reference) * senses for p in points if np.isfinite(p).all()]
    gains = [g for g in gains if (g > 0).all()]
    total = 0.0
    for size in range(1, len(gains) + 1):
        for chosen in itertools.combinations(gains, size):
            total += (-1) ** (size + 1) * float(np.prod(np.min(chosen, axis=0)))
    return total


@given(fronts(objectives=(1, 3), size=7))
@settings(max_examples=150, deadline=None)
def test_hypervolume_equals_inclusion_exclusion(case):
    values, senses = case
    reference = np.where(np.array(senses) > 0, 1.0, 5.0)
    assert hypervolume(values, senses, reference) == brute_volume(values, np.array(senses), reference)


def test_hypervolume_of_a_known_shape():
    assert hypervolume([[0.9, 10.0], [0.5, 5.0]], [1, -1], [0.0, 20.0]) == pytest.approx(0.9 * 10 + 0.5 * 5)
    assert hypervolume([], [1, -1], [0.0, 20.0]) == 0.0


def brute_ranks(values, senses):
    """Rank by definition: one more than the highest rank among those that dominate the point."""
    finite = [np.isfinite(row).all() for row in values]

    def rank(index):
        above = [i for i in range(len(values)) if finite[i] and dominates(values[i], values[index], senses)]
        return 1 + max((rank(i) for i in above), default=-1)

    return [rank(index) if finite[index] else -1 for index in range(len(values))]


@given(fronts(largest=4, size=9))
@settings(max_examples=80, deadline=None)
def test_ranks_equal_the_longest_chain_of_dominators(case):
    values, senses = case
    assert ranks(values, senses).tolist() == brute_ranks(values, senses)


@given(fronts(size=12), st.integers(0, 12))
@settings(max_examples=80, deadline=None)
def test_ranks_of_enough_points_are_those_of_all(case, enough):
    values, senses = case
    every, some = ranks(values, senses), ranks(values, senses, enough)
    given_out = some >= 0
    assert given_out.sum() >= min(enough, (every >= 0).sum())
    assert some[given_out].tolist() == every[given_out].tolist()
    if given_out.any():  # whole ranks, none beyond what was enough
        assert (every[(every >= 0) & (every <= some.max())] == some[given_out]).all()
        assert ((every >= 0) & (every < some.max())).sum() < enough


def test_crowding_by_hand():
    # ranges 4 and 8; inner points: neighbours' gap in the first + in the second
    values = [[0.0, 8.0], [1.0, 4.0], [3.0, 2.0], [4.0, 0.0]]
    assert crowding(values, [-1, -1]).tolist() == [np.inf, 3 / 4 + 6 / 8, 3 / 4 + 4 / 8, np.inf]
    assert crowding([values[2], values[0], values[3], values[1]], [-1, -1]).tolist() == [1.25, np.inf, np.inf, 1.5]
    assert crowding([[1.0, 1.0], [1.0, 10.0], [1.0, 100.0]], [1, -1], log=[False, True])[1] == pytest.approx(1.0)
    assert crowding([[1.0, 2.0]] * 3, [1, -1]).tolist() == [0.0] * 3
    assert crowding(np.zeros((0, 2)), [1, -1]).tolist() == []
