"""Separability against regressions made by hand, one a left-out sample, and rates gathered by running a network."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from torch import Tensor

from evaluators.evaluation import evaluate, recalibrate
from evaluators.prefix import PrefixCache
from evaluators.separability import PENALTIES, reading, separability
from evaluators.supernet import score_from_supernet, train_supernet
from spaces import SPACES, lookup
from spaces.layers import Linear
from spaces.spec import TaskSpec
from spaces.weights import inherit, initialise


def told(n: int, d: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rates that say something of the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    return torch.tensor(rng.normal(size=(n, d)) + labels[:, None] * rng.normal(size=d)), torch.tensor(labels)


@pytest.fixture(scope="module")
def supernet(setting):
    return train_supernet(setting)[0]


@pytest.mark.parametrize(("n", "d"), [(40, 7), (25, 60)])
def test_it_is_the_best_ridge_regression_on_all_samples_but_one(n, d):
    rates, labels = told(n, d, seed=1)
    x, y = rates.numpy(), np.eye(3)[labels]
    found = []
    for penalty in PENALTIES:
        errors = []
        for left_out in range(n):
            others = np.arange(n) != left_out
            fitted = Ridge(alpha=penalty * x.var(0).mean() * n).fit(x[others], y[others])
            errors.append(y[left_out] - fitted.predict(x[[left_out]])[0])
        found.append(1 - np.square(errors).sum() / np.square(y - y.mean(0)).sum())
    assert separability(rates, labels) == pytest.approx(max(found), abs=1e-9)


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10), d=st.integers(2, 50))
def test_units_order_and_axes_of_the_rates_do_not_matter(seed, scale, shift, d):
    rates, labels = told(30, d, seed)
    generator = torch.Generator().manual_seed(seed % 2**31)
    turn = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))[0]
    order = torch.randperm(30, generator=generator)
    changed = separability((scale * rates @ turn + shift)[order], labels[order])
    assert changed == pytest.approx(separability(rates, labels), abs=1e-6)


def test_rates_that_say_all_say_nothing_or_are_not_there():
    labels = torch.arange(200) % 4
    noise = torch.randn(200, 20, generator=torch.Generator().manual_seed(0))
    assert separability(torch.eye(4)[labels], labels) > 0.99
    assert -0.1 < separability(noise, labels) < 0.1
    assert 0.3 < separability(noise + 2 * torch.eye(4)[labels] @ torch.ones(4, 20).triu(), labels) < 0.99
    assert separability(torch.ones(200, 20), labels) == 0.0
    assert separability(noise, torch.zeros(200, dtype=torch.int64)) == 0.0


def test_a_score_has_that_of_its_own_networks_rates(setting, supernet):
    """Whatever the cache and the batches; without asking for it, a score is as ever."""
    cache = PrefixCache(64)
    rng = np.random.default_rng(3)
    for candidate in (setting.space.sample_sound(rng) for _ in range(4)):
        network = setting.space.network(setting.task.spec, candidate)
        inherit(network, supernet)
        recalibrate(network, setting.task, samples=setting.recipe.recalibration_samples, seed=setting.seed)
        seen = []
        head = next(module for module in network.links()[-1].modules() if isinstance(module, Linear))
        hook = head.register_forward_pre_hook(lambda module, arriving, seen=seen: seen.append(arriving[0].clone()))
        evaluate(network, setting.task, setting.task.validation)
        hook.remove()
        by_hand = separability(torch.cat([x.mean(0) for x in seen]), setting.task.validation.labels)
        asked = evaluate(network, setting.task, setting.task.validation, separable=True)
        assert asked.separability == pytest.approx(by_hand, abs=1e-9)
        plain = score_from_supernet(setting, supernet, candidate)
        for kept in (None, cache, cache):
            score = score_from_supernet(replace(setting, separable=True), supernet, candidate, cache=kept)
            assert score.columns["separability"] == pytest.approx(by_hand, abs=1e-9)
            assert replace(score, columns={}, seconds=0.0) == replace(plain, seconds=0.0)


@pytest.mark.parametrize("name", SPACES)
def test_every_space_has_rates_at_its_readout(name):
    space = lookup(SPACES, "space", name)(width=8, timesteps=4, compiled=False)
    network = space.network(
        TaskSpec(channels=1, height=16, width=16, classes=3), space.sample_sound(np.random.default_rng(0))
    ).eval()
    initialise(network, torch.Generator().manual_seed(0))
    with torch.no_grad(), reading(network) as rates:
        for size in (2, 3):
            network(torch.rand(size, 1, 16, 16))
            rates.close(torch.arange(size))
    assert [len(batch) for batch in rates.gathered] == [2, 3]
    assert len({batch.shape[1:] for batch in rates.gathered}) == 1
    assert torch.equal(rates.readings().rates, torch.cat(rates.gathered))
    assert rates.readings().labels.tolist() == [0, 1, 0, 1, 2]
