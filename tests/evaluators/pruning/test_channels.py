"""Channels: what belongs together goes together, and the smaller network spikes as the masked one."""

import copy

import pytest
import torch
from torch import nn

from evaluators.counting import counting
from evaluators.pruning.channels import faded, shrink, trace
from evaluators.pruning.masks import attach, masks_of
from evaluators.pruning.one_shot import one_shot
from evaluators.pruning.pattern import Pruning
from spaces.autosnn import autosnn
from spaces.candidate import Candidate
from spaces.errors import OptionError, SpaceError
from spaces.layers import Conv, Norm
from spaces.spec import TaskSpec
from spaces.weights import initialise

SPEC = TaskSpec(channels=1, height=8, width=8, classes=2)
CELLS = [
    {"slot1": "SRB_k3", "slot2": "SRB_k5", "slot3": "skip", "slot4": "SRB_k3", "slot5": "SCB_k5"},
    {"slot1": "SCB_k3", "slot2": "skip", "slot3": "SRB_k3", "slot4": "SCB_k3", "slot5": "skip"},
]


def network_of(cell, *, width=8, seed=0):
    network = autosnn(width=width, timesteps=3, compiled=False).network(SPEC, Candidate(cell))
    generator = torch.Generator().manual_seed(seed)
    initialise(network, generator, norm_scale=2.0, head_gain=8.0, identity=True)
    for part in network.modules():
        if isinstance(part, Norm):
            nn.init.normal_(part.bias, std=0.3, generator=generator)
    network.train()(images(64))  # BN statistics that fit
    return network.eval()


def images(n):
    return torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(n))


def counts_of(network, x):
    with torch.no_grad(), counting(network) as counter:
        readout = network(x)
    return readout, counter.counts()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("budget", ["global", "layer"])
@pytest.mark.parametrize("multiple", [1, 8])
def test_a_shrunken_network_spikes_as_the_masked_one(cell, budget, multiple):
    network = network_of(cell)
    pruning = Pruning(pattern="channels", budget=budget, floor=0.1, spec=SPEC)
    attach(network, one_shot(network, 0.5, pruning))
    network.train()(images(64))
    small = shrink(network.eval(), SPEC, multiple=multiple)
    (readout, counts), (expected, masked) = counts_of(small, images(9)), counts_of(network, images(9))
    assert masked.total("spikes") > 500
    assert counts.total("spikes") == masked.total("spikes")
    assert counts.total("sops") == masked.total("sops")
    assert torch.equal(readout, expected)
    many = {name: part.weight.shape[0] for name, part in small.named_modules() if isinstance(part, Conv)}
    assert all(number % multiple == 0 for number in many.values())
    assert sum(p.numel() for p in small.parameters()) < 0.7 * sum(p.numel() for p in network.parameters())
    if multiple == 1:  # the smallest: not one channel is left of which nothing is
        assert all(bool(mask.flatten(1).any(1).all()) for mask in masks_of(small).values() if mask.dim() > 1)


def test_half_the_channels_are_half_of_those_that_may_go():
    network = network_of(CELLS[0])
    masks = one_shot(network, 0.5, Pruning(pattern="channels", budget="layer", spec=SPEC))
    rows = {name: mask.flatten(1).any(1) for name, mask in masks.items() if mask.dim() > 1}
    stem, residual = rows["stem.0.weight"], rows["slot1.options.SRB_k3.conv2.weight"]
    assert torch.equal(stem, residual)  # joined by a sum
    assert torch.equal(stem, masks["stem.1.weight"])
    assert int(stem.sum()) == 4
    assert bool(rows["head.1.weight"].all())  # the readout's neurons stay


def test_nested_masks_of_channels_only_narrow():
    network = network_of(CELLS[0])
    pruning = Pruning(pattern="channels", floor=0.1, spec=SPEC)
    attach(network, one_shot(network, 0.3, pruning))
    second = one_shot(network, 0.6, pruning, within=masks_of(network))
    assert all(not bool((second[name] & ~mask).any()) for name, mask in masks_of(network).items())


def test_single_weights_that_are_gone_do_not_take_channels_with_them():
    """A channel without weights still has the shift of its norm, which may make it spike."""
    network = network_of(CELLS[0])
    masks = one_shot(network, 0.0)
    masks["stem.0.weight"][0] = False
    attach(network, masks)
    small = shrink(network, SPEC, multiple=1)
    assert small.stem[0].weight.shape == network.stem[0].weight.shape
    assert torch.equal(small(images(5)), network(images(5)))


def test_spared_layers_keep_their_channels_and_those_joined_to_them():
    network = network_of(CELLS[0])
    masks = one_shot(network, 0.5, Pruning(pattern="channels", spare=("stem",), spec=SPEC))
    assert "stem.0.weight" not in masks
    assert bool(masks["slot1.options.SRB_k3.conv2.weight"].all())


def test_an_emptied_layer_is_named():
    network = network_of(CELLS[0])
    with pytest.raises(OptionError, match=r"--sparsity 0.9\d* empties layer \S+ \(none of its \d+ channels stays\)"):
        one_shot(network, 0.99, Pruning(pattern="channels", spec=SPEC))


def test_fading_leaves_every_layer_a_channel():
    network = network_of(CELLS[0])
    found = trace(network, SPEC)
    everything = {i for row in found.outputs.values() for i in row.tolist()}
    masks, gone = faded(network, everything, Pruning(pattern="channels", spec=SPEC))
    assert gone
    for name, mask in masks.items():
        assert bool(mask.any()), name
    attach(network, masks)
    again, still = faded(network, set(), Pruning(pattern="channels", spec=SPEC))
    assert still == gone
    assert all(torch.equal(again[name], masks[name]) for name in masks)


def test_a_layer_that_mixes_channels_is_named():
    network = network_of(CELLS[0])

    class Mixer(nn.Module):
        def forward(self, x):
            return x.flip(2)

        def emits(self, *kinds):
            return kinds[0]

    strange = copy.deepcopy(network)
    strange.pool1 = nn.Sequential(network.pool1, Mixer())
    with pytest.raises(SpaceError, match=r"cannot be followed through layer pool1\.1 \(Mixer\)"):
        trace(strange, SPEC)
