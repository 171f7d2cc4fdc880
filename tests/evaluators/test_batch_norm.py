"""Batch normalisation in order: exact, that of PyTorch, and the same whatever the number of threads."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.nn import functional as F

from evaluators.evaluation import evaluate, recalibrate
from evaluators.tasks.build import build_task
from evaluators.tasks.readers.raw import RawData
from evaluators.workers import in_parts
from spaces import SPACES, lookup
from spaces.batch_norm import batch_norm, moments
from spaces.layers import Norm
from spaces.weights import initialise


def on(threads, function):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return function()
    finally:
        torch.set_num_threads(before)


def maps(shape, seed, *, channels_last=True):
    """Channels whose means and spreads differ by orders of magnitude."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator)
    spread, mean = (10 ** (2 * torch.rand(1, shape[1], 1, 1, generator=generator) - 1) for _ in range(2))
    x = x * spread + mean
    return x.contiguous(memory_format=torch.channels_last) if channels_last else x


@given(
    st.tuples(st.integers(1, 300), st.integers(1, 70), st.integers(1, 17), st.integers(1, 17)),
    st.integers(0, 99),
    st.booleans(),
)
@example((229, 1, 13, 15), 0, True)  # a single sum, which PyTorch would share among threads
def test_moments_are_exact_on_any_number_of_threads(shape, seed, channels_last):
    x = maps(shape, seed, channels_last=channels_last)
    found = [on(threads, lambda: moments(x)) for threads in (1, 2, 3)]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    var, mean = torch.var_mean(x.double(), (0, 2, 3), correction=0)
    scale = (var + mean**2).sqrt()
    assert ((found[0][0] - mean).abs() <= 1e-5 * scale).all()
    assert ((found[0][1] - var).abs() <= 1e-5 * scale**2).all()


def normalised(parts):
    """Maps whose channels differ in spread by 300, normalised in parts: rows and slopes, and what parts share."""
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn(7, 3, 4, 5, generator=generator) * torch.tensor([1.0, 0.1, 30.0]).view(1, 3, 1, 1) + 5
    slopes = torch.randn(7, 3, 4, 5, generator=generator)
    rows, shared = {}, {}

    def part(workers):
        mine = workers.part(7)
        x = whole[mine].contiguous(memory_format=torch.channels_last).requires_grad_()
        weight, bias = (torch.tensor(row, requires_grad=True) for row in ([1.0, 2.0, 0.5], [0.0, 1.0, -1.0]))
        mean, var = torch.zeros(3), torch.ones(3)
        function = partial(batch_norm, exchange=workers.exchange) if parts else F.batch_norm
        y = function(x, mean, var, weight, bias, training=True, momentum=0.3, eps=1e-5)
        (y * slopes[mine]).sum().backward()
        workers.add([weight.grad, bias.grad])
        rows[workers.rank] = torch.stack([y.detach(), x.grad])
        shared[workers.rank] = torch.stack([weight.grad, bias.grad, mean, var])

    in_parts(part, parts or 1)
    return torch.cat([rows[rank] for rank in sorted(rows)], dim=1), list(shared.values())


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_over_parts_it_is_that_of_pytorch_over_the_whole(parts):
    rows, (shared,) = normalised(0)
    split, shares = normalised(parts)
    torch.testing.assert_close(split, rows, rtol=1e-4, atol=1e-4)
    assert len(shares) == parts
    for share in shares:
        torch.testing.assert_close(share, shared, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def noise():
    rng = np.random.default_rng(0)
    labels = np.arange(224) % 4
    images = rng.integers(0, 256, (224, 18, 18, 3)).astype(np.uint8)
    raw = RawData(x_train=images[:160], y_train=labels[:160], x_test=images[160:], y_test=labels[160:])
    return build_task(raw, name="noise", val_samples=32)


@pytest.mark.parametrize("name", SPACES)
def test_what_a_candidate_scores_does_not_depend_on_the_number_of_threads(name, noise):
    space = lookup(SPACES, "space", name)(width=8, timesteps=3, compiled=name == "autosnn")
    rng = np.random.default_rng(1)
    for _ in range(2):
        candidate = space.sample_sound(rng)

        def scored(candidate=candidate):
            network = space.network(noise.spec, candidate).to(memory_format=torch.channels_last)
            initialise(network, torch.Generator().manual_seed(1), norm_scale=2.0, head_gain=20.0)
            recalibrate(network, noise, samples=128, seed=0)
            norms = [module.running_var for module in network.modules() if isinstance(module, Norm)]
            return evaluate(network, noise, noise.validation), torch.cat([var.flatten() for var in norms])

        (found, variances), *others = (on(threads, scored) for threads in (1, 2, 3))
        assert found.counts.mean("spikes") > 0
        for other, seen in others:
            assert torch.equal(seen, variances)
            assert other == found
