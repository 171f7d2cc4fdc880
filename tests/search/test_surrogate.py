"""The Gaussian process over fillings: against scikit-learn, numpy and its own laws."""

import numpy as np
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy import optimize
from threadpoolctl import threadpool_info, threadpool_limits

from search.samplers.surrogate import Belief, Points, coordinates, covariance, encoder, fit, one_thread
from spaces.candidate import Candidate
from spaces.space import Space

MIXED = Space(
    name="mixed",
    about="",
    blanks={
        "op1": CategoricalDistribution(("a", "b", "c")),
        "op2": CategoricalDistribution(("a", "b", "c")),
        "fixed": CategoricalDistribution(("only",)),
        "depth": IntDistribution(1, 5),
        "tau": FloatDistribution(1.0, 100.0, log=True),
        "threshold": FloatDistribution(0.5, 2.0),
    },
    timesteps=1,
    build=None,
    features=lambda c: {"length": float(c["depth"] * 2), "always": 1.0},
)


def drawn(n, seed=0, space=MIXED):
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(n)]


def test_points_by_hand():
    one = {"op1": "b", "op2": "c", "fixed": "only", "depth": 3, "tau": 10.0, "threshold": 0.5}
    other = {"op1": "a", "op2": "a", "fixed": "only", "depth": 5, "tau": 1.0, "threshold": 2.0}
    candidates = [Candidate(one), Candidate(other)]
    points = encoder(MIXED, candidates)(candidates)
    assert points.kinds.tolist() == [[1, 2], [0, 0]]
    assert points.shared == ((0, 0), (3,))
    assert points.facts.tolist() == [[0.5, 0.0], [1.0, 1.0]]  # depth on its scale, length over the examples
    assert points.dynamics.tolist() == [[0.5, 0.0], [0.0, 1.0]]


def test_covariance_is_the_modules_equation():
    candidates = drawn(6)
    points = encoder(MIXED, candidates)(candidates)
    logs = fit(points, np.arange(6.0)).logs
    rows = [c.numpy() for c in coordinates(logs, points)]

    def matern(x):
        r = np.sqrt(5) * np.linalg.norm(x[:, None] - x[None], axis=-1)
        return (1 + r + r**2 / 3) * np.exp(-r)

    a, s, d = logs["amplitudes"].exp().numpy(), matern(rows[0]), matern(rows[1])
    assert covariance(logs, points, points).numpy() == pytest.approx(a[0] * s + a[1] * d + a[2] * s * d, abs=1e-6)


def test_belief_is_the_posterior_of_scikit_learn():
    """On numbers alone, with the same hyperparameters."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern

    space = Space(
        name="x", about="", blanks={"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}, timesteps=1, build=None
    )
    known, pool = drawn(20, 1, space), drawn(30, 2, space)
    encode = encoder(space, known)
    values = np.array([np.sin(4 * c["x"]) + c["y"] for c in known])
    process = fit(encode(known), values)
    scales = process.logs["dynamics"].exp().numpy()
    kernel = ConstantKernel(float(process.logs["amplitudes"].exp())) * Matern(scales, nu=2.5)
    theirs = GaussianProcessRegressor(kernel, alpha=process.noise, optimizer=None)
    theirs.fit(encode(known).dynamics.numpy(), (values - process.shift) / process.scale)
    mean, deviation = theirs.predict(encode(pool).dynamics.numpy(), return_std=True)
    belief = Belief(process, encode(pool))
    assert belief.mean == pytest.approx(process.shift + process.scale * mean, abs=1e-6)
    assert belief.deviation == pytest.approx(process.scale * deviation, rel=1e-3)


def test_taking_a_point_for_measured_is_fitting_to_it():
    """The variance after ``take`` is that of a process which holds the point, with the same hyperparameters."""
    known, pool = drawn(25), drawn(12, 3)
    encode = encoder(MIXED, known)
    process = fit(encode(known), np.random.default_rng(0).standard_normal(25))
    belief = Belief(process, encode(pool))
    belief.take(4)
    belief.take(7)
    everything = encode([*known, pool[4], pool[7]])
    inner = covariance(process.logs, everything, everything) + process.noise * torch.eye(27, dtype=torch.float64)
    across = covariance(process.logs, encode(pool), everything)
    prior = covariance(process.logs, encode(pool), encode(pool)).diagonal()
    variance = prior - (across @ torch.linalg.inv(inner) * across).sum(1)
    assert belief.deviation == pytest.approx(process.scale * variance.sqrt().numpy(), rel=1e-4)


def test_it_learns_that_choices_are_alike():
    """b and c do the same wherever they stand: seen from the scores of half of all fillings."""
    blanks = {f"slot{i}": CategoricalDistribution(("a", "b", "c")) for i in range(5)}
    space = Space(name="cells", about="", blanks=blanks, timesteps=1, build=None)
    everything = list(space.all())
    rng = np.random.default_rng(0)
    order = rng.permutation(len(everything))
    value = np.array([sum(v != "a" for v in c.values()) ** 1.5 for c in everything])
    known = order[:100]
    encode = encoder(space, everything)
    process = fit(encode([everything[i] for i in known]), value[known])
    places = process.logs["places"].reshape(3, 2).numpy()
    apart = {pair: np.linalg.norm(places[pair[0]] - places[pair[1]]) for pair in ((0, 1), (0, 2), (1, 2))}
    assert apart[1, 2] < 0.2 * min(apart[0, 1], apart[0, 2])
    rest = order[100:]
    belief = Belief(process, encode([everything[i] for i in rest]))
    assert np.abs(belief.mean - value[rest]).max() < 0.3


def test_one_thread_gives_threads_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_one_thread_is_that_of_blas_too(monkeypatch):
    """With more they wait for each other in a loop: on two busy cores a fit took three times as long."""

    def threads():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    def watched(*args, **options):
        seen.append(threads())
        return minimize(*args, **options)

    seen, minimize, candidates = [], optimize.minimize, drawn(12)
    monkeypatch.setattr(optimize, "minimize", watched)
    with threadpool_limits(2, user_api="blas"):
        before = threads()  # none where the system's own BLAS is used
        with one_thread():
            fit(encoder(MIXED, candidates)(candidates), np.arange(12.0))
        assert threads() == before
    assert len(seen) == 1
    assert seen[0] <= {1}


def test_points_are_taken_by_index():
    candidates = drawn(5)
    points = encoder(MIXED, candidates)(candidates)
    some = points[[3, 1]]
    assert isinstance(some, Points)
    assert some.dynamics.tolist() == points.dynamics[[3, 1]].tolist()
    assert len(some) == 2
