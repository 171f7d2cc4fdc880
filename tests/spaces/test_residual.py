"""Space residual: its networks by hand, what kinds share, tasks it takes."""

import numpy as np
import pytest
import torch
from torch import nn

from evaluators.counting import counting, kind_of
from spaces.blanks import fill
from spaces.candidate import Candidate
from spaces.errors import SpaceError
from spaces.kinds import BINARY, Kind
from spaces.layers import Conv
from spaces.norms import NORMS
from spaces.residual import STAGES, residual
from spaces.residuals import RESIDUALS
from spaces.spec import TaskSpec
from spaces.timing import set_timesteps
from spaces.weights import count_parameters, initialise

DIGITS = TaskSpec(channels=1, height=16, width=16, classes=10)
CIFAR = TaskSpec(channels=3, height=32, width=32, classes=10)
SPACE = residual(width=8, timesteps=3, compiled=False)
LARGEST = SPACE.published["ResNet-20 of MS"]


def network_of(spec=DIGITS, **values):
    network = SPACE.network(spec, Candidate({**LARGEST, **values}))
    initialise(network, torch.Generator().manual_seed(0), norm_scale=2.0, head_gain=10.0, identity=True)
    return network.train()  # the statistics are the batch's


def images(spec=DIGITS, n=4):
    return torch.randn(n, spec.channels, spec.height, spec.width, generator=torch.Generator().manual_seed(0))


def convolutions(spec, widths, depths):
    """Weights of the stem, the blocks' convolutions and the shortcuts, by hand."""
    total, c_in = 9 * spec.channels * widths[0], widths[0]
    for c, depth in zip(widths, depths, strict=True):
        total += 9 * c_in * c + 9 * c * c * (2 * depth - 1) + (c_in * c if c != c_in else 0)
        c_in = c
    return total


@pytest.mark.parametrize(("spec", "places"), [(DIGITS, 2 * 2), (CIFAR, 4 * 4)])
@pytest.mark.parametrize("kind", RESIDUALS)
def test_parameters_by_hand(spec, places, kind):
    plain = {"norm": "bn", "neuron": "lif"}
    shape = {"stage1_width": 6, "stage2_width": 8, "stage3_width": 32}
    shape |= {"stage1_depth": 2, "stage2_depth": 1, "stage3_depth": 3}
    weights = convolutions(spec, (6, 8, 32), (2, 1, 3)) + 32 * places * 10 * 10
    norms = 2 * (6 + 6 * 4 + 8 * 3 + 32 * 7)  # the stem's, two a block, one a shortcut
    assert count_parameters(network_of(spec, kind=kind, **plain, **shape)) == weights + norms


def test_all_kinds_share_their_convolutions():
    supernet = SPACE.network(DIGITS)
    weights = {conv.weight for conv in supernet.modules() if isinstance(conv, Conv)}
    assert sum(weight.numel() for weight in weights) == convolutions(DIGITS, (8, 16, 32), (3, 3, 3))
    apart = SPACE.network(DIGITS, entangled=False)
    assert len({conv.weight for conv in apart.modules() if isinstance(conv, Conv)}) == (len(weights) - 1) * 6 + 1


@pytest.mark.parametrize("kind", RESIDUALS)
def test_what_flows_between_stages(kind):
    network, seen = network_of(kind=kind), {}
    for name in (*STAGES, "spikes"):
        network.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: seen.update({name: kind_of(output)})
        )
    with torch.no_grad(), counting(network) as counter:
        readout = network(images())
    assert readout.shape == (3, 4, 10)
    # a stage begins with 1 from the stem, or what a projected shortcut fires; each block adds 1, or 2 of two levels
    expected = {"SEW_add": [4, 4, 4], "DS": [7, 8, 8], "MS": [0, 0, 0]}.get(kind, [1, 1, 1])
    assert [seen[name].high for name in STAGES] == expected
    assert seen["spikes"] == (BINARY if kind == "MS" else Kind(1.0, 0, expected[-1]))
    stem = 4 * (3 * 16 - 2) ** 2 * 8  # once, whatever T
    shortcuts = 3 * 4 * (8 * 8 * 8 * 16 + 4 * 4 * 16 * 32) if kind == "MS" else 0
    assert counter.counts().total("macs") == stem + shortcuts


@pytest.mark.parametrize("norm", NORMS)
def test_fewer_time_steps_and_recordings(norm):
    network = network_of(norm=norm, kind="SEW_add")
    set_timesteps(network, 1)
    assert network(images()).shape == (1, 4, 10)
    set_timesteps(network, 3)
    for frames, steps in ((2, 2), (3, 3), (7, 3)):
        recording = torch.randint(0, 3, (4, frames, 1, 16, 16), generator=torch.Generator().manual_seed(1)).float()
        with torch.no_grad(), counting(network) as counter:
            assert network(recording).shape == (steps, 4, 10)
        assert counter.counts().total("macs") == 0
        assert counter.counts().total("sops") > 0


def test_gradients_reach_what_a_candidate_uses_and_nothing_else():
    supernet = SPACE.network(DIGITS)
    initialise(supernet, torch.Generator().manual_seed(0), norm_scale=2.0, head_gain=10.0, identity=True)
    rng = np.random.default_rng(0)
    for _ in range(10):
        candidate = SPACE.sample(rng)
        supernet.zero_grad(set_to_none=True)
        supernet.train()(images(), candidate).square().sum().backward()
        reached = {id(parameter) for parameter in supernet.parameters() if parameter.grad is not None}
        alone = [name for name, _ in SPACE.network(DIGITS, candidate).named_parameters()]
        assert reached == {id(supernet.get_parameter(name)) for name in alone}


def test_the_smallest_sizes_and_their_errors():
    small = residual(width=1, timesteps=1, compiled=False)
    spec = TaskSpec(channels=1, height=5, width=9, classes=2)
    network = small.network(spec, small.largest)
    initialise(nn.Sequential(network), torch.Generator().manual_seed(0))
    assert network.eval()(images(spec)).shape == (1, 4, 2)
    with pytest.raises(SpaceError, match="images of 4x9 pixels are too small"):
        small.network(TaskSpec(channels=1, height=4, width=9, classes=2))
    with pytest.raises(SpaceError, match="width 0 is out of range"):
        residual(width=0)
    with pytest.raises(SpaceError, match="unknown neuron 'lift'"):
        residual(neuron="lift")


def test_widths_are_halves_quarters_and_all():
    assert [SPACE.options(f"{stage}_width") for stage in STAGES] == [[4, 6, 8], [8, 12, 16], [16, 24, 32]]
    network = SPACE.network(DIGITS)
    fill(network, {**SPACE.smallest})
    assert network.eval().stem(images()).shape == (3, 4, 4, 16, 16)


def test_features_are_what_is_built():
    """Weights of convolutions behind the stem in units of C ** 2, and on how much of the image they work."""
    rng = np.random.default_rng(0)
    for candidate in (SPACE.sample(rng) for _ in range(20)):
        network, found = SPACE.network(DIGITS, candidate), SPACE.features(candidate)
        weights = {}
        for stage in STAGES:
            convs = {m.weight: m for m in getattr(network, stage).modules() if isinstance(m, Conv)}
            weights[stage] = sum(conv.weight.numel() for conv in convs.values()) / 8**2
        assert found["weights"] == pytest.approx(sum(weights.values()))
        shares = {"stage1": 1, "stage2": 1 / 4, "stage3": 1 / 16}
        assert found["operations"] == pytest.approx(sum(weights[stage] * share for stage, share in shares.items()))
        assert found["blocks"] == sum(candidate[f"{stage}_depth"] for stage in STAGES)
