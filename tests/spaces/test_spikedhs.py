"""SpikeDHS: the network against its equations, slopes of surrogates, the path of resolutions."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from spaces.candidate import Candidate
from spaces.errors import SpaceError
from spaces.layers import Conv, Norm
from spaces.neurons.neuron import Neuron
from spaces.spec import TaskSpec
from spaces.spikedhs import CIFAR10, spikedhs
from spaces.weights import count_parameters, initialise

SPEC = TaskSpec(channels=3, height=16, width=17, classes=4)
SPACE = spikedhs(width=4, timesteps=3, compiled=False)
IMAGES = torch.rand(3, 3, 16, 17, generator=torch.Generator().manual_seed(0)).double()
KEEP = {f"path{k}": "keep" for k in (2, 3, 4)}
FIRST = CIFAR10 | KEEP | {"path3": "down"}
SECOND = FIRST | {"n1_first": "skip", "n2_inputs": "s1+n1", "n2_second": "skip", "n3_inputs": "s0+n2", "path2": "down"}


def ready(values):
    network = SPACE.network(SPEC, Candidate(values))
    generator = torch.Generator().manual_seed(2)
    initialise(network, generator, norm_scale=2.0)
    for module in network.modules():
        if isinstance(module, Norm):
            module.running_mean.uniform_(-0.3, 0.3, generator=generator)
            module.running_var.uniform_(0.2, 1.0, generator=generator)
            torch.nn.init.uniform_(module.bias, -0.6, 0.2, generator=generator)
    return network.double().eval()


def fire(currents):
    """Membranes that keep a fifth of themselves a step unless they fired, at 0.5 or above."""
    v, spikes = 0.0, []
    for current in currents:
        v = 0.2 * v + current
        spikes.append((v >= 0.5).to(current.dtype))
        v = v * (1 - spikes[-1])
    return torch.stack(spikes)


def reading(network, values):
    """The network in plain torch."""
    s = network.state_dict()

    def block(x, conv, norm):
        kernel = s[f"{conv}.weight"]
        statistics = [s[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        current = F.batch_norm(F.conv2d(x.flatten(0, 1), kernel, padding=kernel.shape[-1] // 2), *statistics)
        return fire(current.unflatten(0, x.shape[:2]))

    def pooled(x):
        return F.max_pool2d(x.flatten(0, 1), 2).unflatten(0, x.shape[:2])

    def operation(x, place, name):
        place = f"{place}.options.{name}"
        return x if name == "skip" else block(x, f"{place}.conv", f"{place}.norm")

    s0 = s1 = block(IMAGES.repeat(3, 1, 1, 1, 1), "stem.0", "stem.1")
    for k in (1, 2, 3, 4):
        if k > 1 and values[f"path{k}"] == "down":
            s0, s1 = pooled(s0), pooled(s1)
        cell = f"cells.cell{k}"
        states = {
            name: block(x, f"{cell}.entries.{name}.conv", f"{cell}.entries.{name}.norm")
            for name, x in (("s0", s0), ("s1", s1))
        }
        for node in ("n1", "n2", "n3"):
            pair = values.get(f"{node}_inputs", "s0+s1")
            option = "" if node == "n1" else f".options.{pair}"
            inputs = [
                operation(
                    states[name], f"{cell}.nodes.{node}.inputs{option}.operations.{name}", values[f"{node}_{place}"]
                )
                for name, place in zip(pair.split("+"), ("first", "second"), strict=True)
            ]
            states[node] = fire(inputs[0] + inputs[1])
        s0, s1 = s1, torch.cat([states["n1"], states["n2"], states["n3"]], 2)
    return s1.mean((-1, -2)) @ s["head.2.weight"].T, s1


@pytest.mark.parametrize("values", [FIRST, SECOND, SECOND | {"n3_first": "skip", "n3_second": "skip"}])
@torch.no_grad()
def test_networks_follow_the_equations(values):
    network = ready(values)
    expected, spikes = reading(network, values)
    torch.testing.assert_close(network(IMAGES), expected)
    assert 0.02 < spikes.mean() < 0.98
    assert expected.std() > 0


@pytest.mark.parametrize("slope", [3.0, 5.0])
def test_slopes_are_those_of_the_published_surrogate(slope):
    values = FIRST | {"n1_first": f"conv3_b{slope:g}"}
    network = ready(values)
    found = network.cells.cell1.nodes.n1.inputs.operations.s0.options[f"conv3_b{slope:g}"].neuron
    assert isinstance(found, Neuron)
    current = torch.linspace(0.05, 0.95, 7, dtype=torch.float64).reshape(1, 7, 1, 1, 1).requires_grad_()
    found(current).sum().backward()
    expected = [slope / 2 / math.cosh(slope * (v - 0.5)) ** 2 for v in current.detach().flatten().tolist()]
    assert current.grad.flatten().tolist() == pytest.approx(expected, rel=1e-5)


def test_a_slope_changes_gradients_and_no_spikes():
    outcomes = []
    for option in ("conv3_b3", "conv3_b5"):
        network = ready(FIRST | {"n1_first": option})
        out = network(IMAGES)
        out.square().sum().backward()
        outcomes.append((out.detach(), network.stem[0].weight.grad))
    assert torch.equal(outcomes[0][0], outcomes[1][0])
    assert not torch.allclose(outcomes[0][1], outcomes[1][1])


def test_a_path_changes_resolutions_and_no_weights():
    down = {f"path{k}": "down" for k in (2, 3, 4)}
    counts, sizes = [], []
    for path in (KEEP, down):
        candidate = Candidate(FIRST | path)
        counts.append(count_parameters(SPACE.network(SPEC, candidate)))
        shapes = {node["id"]: node["shape"] for node in SPACE.picture(SPEC, candidate)["nodes"]}
        sizes.append([shapes[f"cells.cell{k}.concat"][1:] for k in (1, 2, 3, 4)])
    assert counts[0] == counts[1]
    assert sizes == [[[16, 17]] * 4, [[16, 17], [8, 8], [4, 4], [2, 2]]]


def test_a_skip_costs_no_weights():
    base, skipped = (SPACE.network(SPEC, Candidate(FIRST | {"n1_first": option})) for option in ("conv3_b3", "skip"))
    saved = count_parameters(base) - count_parameters(skipped)
    assert saved == sum(9 * c * c + 2 * c for c in (2, 2, 4, 4))


def test_sizes():
    assert SPACE.size == 13_122 * 2**3
    assert spikedhs(cells=8).size == 13_122 * 2**7


def test_the_published_cell_halves_before_cells_3_and_6():
    space = spikedhs(cells=8, width=2)
    candidate = Candidate(space.published["CIFAR-10"])
    space.check(candidate)
    big = TaskSpec(channels=3, height=128, width=128, classes=10)
    shapes = {node["id"]: node["shape"] for node in space.picture(big, candidate)["nodes"]}
    assert [shapes[f"cells.cell{k}.concat"][1] for k in range(1, 9)] == [128, 128, 64, 64, 64, 32, 32, 32]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 0}, "width 0"),
        ({"timesteps": 0}, "timesteps 0"),
        ({"cells": 0}, "cells 0"),
        ({"neuron": "fi"}, "'fi'"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(SpaceError) as error:
        spikedhs(**options)
    assert words in str(error.value)


def test_images_too_small_for_the_path():
    with pytest.raises(SpaceError, match=r"7x32 pixels are too small.*at least 8x8"):
        spikedhs().network(TaskSpec(channels=1, height=7, width=32, classes=2))


def test_features_are_what_is_built():
    """Weights of convolutions behind the stem in units of C ** 2, and on how much of the image they work."""
    rng = np.random.default_rng(0)
    for candidate in (SPACE.sample(rng) for _ in range(20)):
        network, found = SPACE.network(SPEC, candidate), SPACE.features(candidate)
        weights, operations, area = 0.0, 0.0, 1.0
        for number, cell in enumerate(network.cells.values(), 1):
            area /= 4 if candidate.get(f"path{number}") == "down" else 1
            here = sum(conv.weight.numel() for conv in cell.modules() if isinstance(conv, Conv)) / 4**2
            weights, operations = weights + here, operations + area * here
        assert found["weights"] == pytest.approx(weights)
        assert found["operations"] == pytest.approx(operations)
        convs = [conv for conv in network.cells.cell1.nodes.modules() if isinstance(conv, Conv)]
        assert found["convolutions"] == len(convs)


@pytest.mark.parametrize(
    ("values", "longest"),
    [
        ({}, 2),  # s0 or s1 to n1, n1 to n3
        ({"n3_inputs": "s0+s1"}, 1),
        ({"n2_inputs": "s1+n1"}, 3),
        ({"n2_inputs": "s1+n1", "n2_second": "skip"}, 2),
        ({"n1_first": "skip", "n1_second": "skip", "n3_inputs": "s0+n1", "n3_second": "skip"}, 1),
    ],
)
def test_the_longest_way(values, longest):
    assert SPACE.features(Candidate({**CIFAR10, **KEEP, **values}))["longest"] == longest
