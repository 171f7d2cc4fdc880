"""Zero-cost proxies: against the papers' formulas written out, finite differences and a count by hand; every space."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evaluators import proxies
from evaluators.building import build_alone, set_initial
from evaluators.evaluation import calibration_batches, renewing_statistics
from evaluators.proxies import PROXIES, kernels_of, log_determinant, passing_on, score_by_proxies, synflow
from spaces import SPACES
from spaces.candidate import Candidate
from spaces.errors import RunError
from spaces.find import make_space
from spaces.layers import Conv, Linear
from spaces.neurons.neuron import Neuron
from spaces.seeds import numpy_generator, torch_generator
from spaces.sparsity import SPARSITY, with_sparsity

SIZES = {"residual": {"width": 4}, "everything": {"width": 4}, "dualspace": {"width": 4}}


def candidate_of(setting, seed=0):
    return setting.space.sample_sound(numpy_generator(seed, "proxies"))


@given(st.integers(1, 5), st.integers(1, 7), st.randoms(use_true_random=False))
def test_kernels_by_the_formulas(images, neurons, random):
    fired = [[random.random() < 0.4 for _ in range(neurons)] for _ in range(images)]
    alike, scaled = kernels_of(torch.tensor(fired))
    rates = [sum(row) / neurons for row in fired]
    for i in range(images):
        for j in range(images):
            differ = sum(a != b for a, b in zip(fired[i], fired[j], strict=True))
            chance = neurons * (rates[i] * (1 - rates[j]) + (1 - rates[i]) * rates[j])
            assert alike[i, j] == neurons - differ
            assert float(scaled[i, j]) == pytest.approx(neurons - 0.5 * differ / (chance + 1e-3), rel=1e-12)


def test_determinants():
    drawn = np.random.default_rng(0).normal(size=(6, 9))
    kernel = drawn @ drawn.T
    assert log_determinant(torch.tensor(kernel)) == pytest.approx(np.linalg.slogdet(kernel)[1])
    assert math.isfinite(log_determinant(torch.ones(4, 4, dtype=torch.float64)))  # all images look alike
    assert log_determinant(torch.ones(4, 4, dtype=torch.float64)) < log_determinant(torch.eye(4, dtype=torch.float64))


def test_both_kernel_proxies_of_a_network_by_what_its_neurons_do(setting):
    """Each layer and step of its own, as the authors' code goes."""
    candidate = candidate_of(setting)
    network = build_alone(setting, candidate)
    set_initial(network, setting.recipe, torch_generator(setting.seed, "proxies", "weights"))
    codes = []
    for module in network.modules():
        if isinstance(module, Neuron):
            module.register_forward_hook(lambda m, x, out: codes.extend(step.flatten(1).numpy() > 0 for step in out))
    images = next(iter(calibration_batches(setting.task, samples=proxies.SAMPLES, seed=setting.seed)))
    with torch.no_grad(), renewing_statistics(network):
        network(images)
    assert len(codes) >= 2 * setting.space.timesteps
    alike, scaled = 0.0, 0.0
    for code in codes:
        x, n = code.astype(float), code.shape[1]
        differ = x @ (1 - x).T + (1 - x) @ x.T
        rate = x.mean(1)
        alike = alike + (n - differ)
        scaled = scaled + n - 0.5 / (n * (np.outer(rate, 1 - rate) + np.outer(1 - rate, rate)) + 1e-3) * differ
    found = score_by_proxies(setting, candidate)
    assert found.columns["naswot"] == pytest.approx(np.linalg.slogdet(alike)[1], rel=1e-9)
    assert found.columns["sahd"] == pytest.approx(np.linalg.slogdet(scaled / len(codes))[1], rel=1e-6)


def test_synflow_by_finite_differences(setting):
    """The sum of weight times gradient of a layer is the flow's slope in the logarithm of the layer's scale."""
    network = build_alone(setting, candidate_of(setting))
    set_initial(network, setting.recipe, torch_generator(0, "weights"))
    found = synflow(network, setting.task.spec)
    layers = [module for module in network.modules() if isinstance(module, Conv | Linear)]
    assert all(bool((layer.weight >= 0).all()) for layer in layers)

    def flow():
        with torch.no_grad(), passing_on(network):
            return float(network(torch.ones(1, 1, 8, 8, dtype=torch.float64)).sum())

    slopes = []
    for layer in layers:
        ends = []
        for step in (1e-4, -1e-4):
            with torch.no_grad():
                layer.weight.mul_(math.exp(step))
                ends.append(flow())
                layer.weight.mul_(math.exp(-step))
        slopes.append((ends[0] - ends[1]) / 2e-4)
    assert found == pytest.approx(math.log(sum(slopes)), rel=1e-6)


def test_synflow_leaves_the_network_as_it_ran(setting):
    network = build_alone(setting, candidate_of(setting))
    set_initial(network, setting.recipe, torch_generator(0, "weights"))
    image = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    synflow(network, setting.task.spec)
    before = network(image)
    with passing_on(network):
        assert not torch.equal(network(image), before)
    assert torch.equal(network(image), before)


def test_a_pure_function_of_the_candidate(setting):
    one, other = candidate_of(setting, 0), candidate_of(setting, 1)
    first = score_by_proxies(setting, one)
    score_by_proxies(setting, other)
    assert replace(score_by_proxies(setting, one), seconds=0) == replace(first, seconds=0)
    assert (first.state, first.fidelity, first.accuracy) == ("ok", "proxy", None)
    assert first.spikes > 0
    assert first.energy_nj > 0


def test_a_sparse_candidate_is_pruned_before_it_is_looked_at(setting):
    sparse = replace(setting, space=with_sparsity(setting.space, 0.9))
    plain = candidate_of(setting)
    dense, half, most = (score_by_proxies(sparse, Candidate({**plain, SPARSITY: s})) for s in (0.0, 0.5, 0.9))
    assert dense.columns == score_by_proxies(setting, plain).columns
    assert dense.parameters > half.parameters > most.parameters
    assert dense.columns["synflow"] > half.columns["synflow"] > most.columns["synflow"]


def test_a_silent_beginning_is_no_flaw_but_a_broken_cell_is(setting):
    quiet = replace(setting, recipe=replace(setting.recipe, norm_scale=1e-6, head_gain=1e-6, identity=False))
    assert score_by_proxies(quiet, candidate_of(setting)).state == "ok"
    broken = replace(setting, space=replace(setting.space, infeasible=lambda candidate: "joins nothing"))
    found = score_by_proxies(broken, candidate_of(setting))
    assert (found.state, found.error, found.columns) == ("infeasible", "joins nothing", {})


def test_what_raises_is_an_outcome_but_a_full_disk_is_not(setting, monkeypatch):
    found = score_by_proxies(setting, Candidate({"nothing": 1}))
    assert (found.state, found.fidelity) == ("failed", "proxy")
    assert "nothing" in found.error

    def full(*_):
        raise RunError("no space left")

    monkeypatch.setattr(proxies, "synflow", full)
    with pytest.raises(RunError):
        score_by_proxies(setting, candidate_of(setting))


@pytest.mark.parametrize("name", SPACES)
def test_every_space_has_them(setting, name):
    """Images of 8x8 are too small for some: they are doubled."""
    space, _ = make_space(name, options=SIZES.get(name, {}), compiled=False)

    def doubled(split):
        images = split.images.repeat_interleave(4, -1).repeat_interleave(4, -2)
        return replace(split, images=images.contiguous(memory_format=torch.channels_last))

    task = replace(
        setting.task, spec=replace(setting.task.spec, height=32, width=32), train=doubled(setting.task.train)
    )
    mine = replace(setting, space=space, task=task)
    for seed in range(2):
        found = score_by_proxies(mine, candidate_of(mine, seed))
        assert found.state == "ok", found.traceback
        assert tuple(found.columns) == PROXIES
        assert all(map(math.isfinite, found.columns.values()))
