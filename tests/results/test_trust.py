"""Kendall's tau against scipy, its interval, and what is said of it."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from results import trust
from results.trust import Agreement, agreement, in_words

FIGURES = st.integers(2, 25).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 12).map(float), min_size=n, max_size=n)] * 2)
)


@given(FIGURES)
def test_tau_is_scipys(figures):
    found = agreement(*figures)
    expected = kendalltau(*figures).statistic if min(len(set(one)) for one in figures) > 1 else np.nan
    assert found.tau == pytest.approx(expected, nan_ok=True)
    if np.isfinite(found.tau) and np.isfinite(found.low):
        assert -1 - 1e-12 <= found.low <= found.high <= 1 + 1e-12


def test_pairs_are_counted_once_and_ties_not():
    found = agreement([1, 2, 3, 3], [1, 3, 2, 4])
    assert (found.pairs, found.same) == (5, 4)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    rho = 0.7
    truth = 2 / np.pi * np.arcsin(rho)  # of a bivariate normal (Greiner)
    inside = 0
    for _ in range(200):
        x, z = rng.normal(size=(2, 40))
        found = agreement(x, rho * x + np.sqrt(1 - rho**2) * z)
        inside += found.low <= truth <= found.high
    assert 0.88 <= inside / 200 <= 0.99


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.7, 0.9, "relied on"), (0.1, 0.5, "helps"), (-0.2, 0.4, "chance"), (-0.7, -0.1, "backwards")],
)
def test_words_follow_the_interval(low, high, said):
    assert said in in_words(
        Agreement(candidates=20, pairs=190, same=100, tau=(low + high) / 2, low=low, high=high), "accuracy"
    )


def test_few_or_equal_candidates_are_said_to_be_so():
    assert in_words(agreement([1, 2], [1, 2]), "spikes").endswith("1 of 1 pair stands in the same order.")
    assert "told apart" in in_words(agreement([1, 1], [1, 2]), "spikes")


def test_examples_hold():
    assert doctest.testmod(trust).failed == 0
