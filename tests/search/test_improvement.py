"""Expected hypervolume improvement: against Monte Carlo with the exact hypervolume, and known integrals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from results.front import hypervolume
from search.samplers.improvement import Gain, boxes, expected_improvement


def drawn(gain, rng, n):
    """Gains drawn from a belief of one point, [n]."""
    figures = rng.normal(gain.mean[0], gain.deviation[0], n)
    return gain.sense * (np.exp(figures) if gain.logarithm else figures)


@pytest.mark.parametrize("sense", [1, -1])
@pytest.mark.parametrize("logarithm", [False, True])
def test_psi_is_the_integral_of_what_lies_beyond(sense, logarithm):
    gain = Gain(mean=np.array([0.3]), deviation=np.array([0.4]), sense=sense, logarithm=logarithm)
    law = stats.lognorm(s=0.4, scale=math.exp(0.3)) if logarithm else stats.norm(0.3, 0.4)
    bounds = np.array([-2.5, -1.0, -0.3, 0.2, 1.4, np.inf])
    least = 0 if logarithm else -9
    by_hand = [law.expect(lambda x, c=c: max(sense * x - c, 0), lb=least, ub=20) for c in bounds[:-1]]
    assert gain.beyond(bounds)[0] == pytest.approx([*by_hand, 0.0], abs=1e-6)


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_it_is_the_mean_growth_of_the_hypervolume(objectives):
    rng = np.random.default_rng(objectives)
    front = rng.random((7, objectives))
    reference = np.full(objectives, 0.1)
    gains = []
    for j in range(objectives):
        logarithm = j == 1  # a count to keep small, between 1 and 3
        if logarithm:
            front[:, j], reference[j] = -(1 + front[:, j]), -3.0
        mean = rng.uniform(0, 1, 1)
        gains.append(Gain(mean=mean, deviation=np.array([0.3]), sense=-1 if logarithm else 1, logarithm=logarithm))
    ones = [1] * objectives
    before = hypervolume(front, ones, reference)
    points = np.stack([drawn(gain, rng, 3000) for gain in gains], axis=1)
    growth = [hypervolume(np.vstack([front, point]), ones, reference) - before for point in points]
    expected = expected_improvement(gains, boxes(front, reference))
    assert expected[0] == pytest.approx(np.mean(growth), abs=4 * np.std(growth) / math.sqrt(len(growth)) + 1e-9)


def test_boxes_of_an_empty_front_and_of_points_below_the_reference():
    reference = np.array([0.5, 0.5])
    for front in (np.zeros((0, 2)), np.array([[0.9, 0.4]])):
        low, high = boxes(front, reference)
        assert low.tolist() == [[0.5, 0.5]]
        assert np.isinf(high).all()


@given(
    st.integers(1, 4).flatmap(
        lambda m: st.lists(st.lists(st.integers(-1, 4), min_size=m, max_size=m), min_size=1, max_size=7)
    )
)
def test_boxes_and_front_share_out_all_there_is(rows):
    """Up to a ceiling: disjoint boxes whose volume is that of everything without what the front dominates."""
    front = np.array(rows, dtype=float)
    m = front.shape[1]
    low, high = boxes(front, np.zeros(m))
    capped = np.clip(high, None, 5) - np.clip(low, None, 5)
    assert (low < high).all()
    assert capped.prod(axis=1).sum() == pytest.approx(5.0**m - hypervolume(front, [1] * m, [0.0] * m))
    centres = np.array([[0.5 + x for x in corner] for corner in np.ndindex(*[5] * m)])
    inside = ((centres[:, None] > low) & (centres[:, None] < high)).all(axis=2).sum(axis=1)
    dominated = (front[None] > centres[:, None]).all(axis=2).any(axis=1)
    assert (inside == ~dominated).all()


def test_a_sure_point_gains_what_it_adds():
    front, reference = np.array([[1.0, 3.0], [3.0, 1.0]]), np.array([0.0, 0.0])
    sure = [Gain(mean=np.array([2.0, 1.0]), deviation=np.full(2, 1e-9), sense=1) for _ in range(2)]
    assert expected_improvement(sure, boxes(front, reference)) == pytest.approx([1.0, 0.0], abs=1e-6)
