"""Layers: shared kernels, initial values, inheritance, time."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from spaces.autosnn import autosnn
from spaces.blanks import Choice, fill
from spaces.errors import SpaceError
from spaces.layers import Conv, Flatten, Linear, MaxPool, Norm, Vote
from spaces.neurons.neuron import Neuron
from spaces.spec import TaskSpec
from spaces.weights import inherit, initialise, share_kernels

SPEC = TaskSpec(channels=3, height=8, width=8, classes=2)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_smaller_convolution_uses_the_centre_of_a_larger_kernel():
    large, small = Conv(2, 4, 5), Conv(2, 4, 3)
    initialise(nn.Sequential(Conv(1, 1, 1), large, small), generator())
    share_kernels([nn.ModuleDict({"conv": large}), nn.ModuleDict({"conv": small})])
    assert small.weight is large.weight
    x = torch.randn(3, 2, 6, 7, generator=generator(1))
    expected = F.conv2d(x, large.weight[:, :, 1:4, 1:4], padding=1)
    assert torch.equal(small(x), expected)
    timed = torch.randn(4, 3, 2, 6, 7, generator=generator(2))
    torch.testing.assert_close(small(timed), torch.stack([small(step) for step in timed]))


def test_only_kernels_of_the_same_place_and_channels_are_shared():
    options = [nn.ModuleDict({"a": Conv(2, 4, 3), "b": Conv(4, 4, 3)}), nn.ModuleDict({"a": Conv(2, 4, 1)})]
    options.append(nn.ModuleDict({"a": Conv(3, 4, 5)}))
    share_kernels(options)
    assert options[0]["a"].weight is options[1]["a"].weight
    assert options[0]["a"].weight is not options[0]["b"].weight
    assert options[2]["a"].weight.shape[1] == 3


def test_initial_values_come_from_the_generator_alone():
    space = autosnn(width=4, timesteps=2)
    first, second, third = (space.network(SPEC) for _ in range(3))
    torch.manual_seed(0)
    initialise(first, generator(1), norm_scale=2.0)
    torch.manual_seed(1)
    initialise(second, generator(1), norm_scale=2.0)
    initialise(third, generator(2), norm_scale=2.0)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.stem[0].weight, third.stem[0].weight)
    for module in first.modules():
        if isinstance(module, Conv | Linear):
            bound = module.weight[0].numel() ** -0.5
            assert 0.8 * bound < module.weight.abs().max() <= bound
        if isinstance(module, Norm):
            assert set(module.weight.tolist()) == {2.0}


def test_identity_kernels_pass_spikes_on():
    """With the noise taken away, convolution, normalisation at scale 2 and neuron repeat the spikes they get."""
    conv, norm, neuron = Conv(3, 6, 5), Norm(6), Neuron("plif", compiled=False)
    network = nn.Sequential(Conv(1, 1, 1), conv, norm, neuron)
    initialise(network, generator(), norm_scale=2.0, identity=True)
    noise = conv.weight.detach().clone()
    noise[torch.arange(6), torch.arange(6) % 3, 2, 2] -= 1
    assert noise.abs().max() <= (3 * 25) ** -0.5
    conv.weight.data -= noise
    spikes = (torch.rand(1, 64, 3, 6, 6, generator=generator(3)) < 0.25).float()
    assert torch.equal(neuron(norm(conv(spikes))), torch.cat([spikes, spikes], 2))


def test_the_stem_is_not_an_identity():
    network = autosnn(width=4, timesteps=2).network(SPEC)
    initialise(network, generator(), identity=True)
    assert network.stem[0].weight.abs().max() <= (3 * 9) ** -0.5


def test_inheriting_crops_kernels_and_copies_statistics():
    space = autosnn(width=4, timesteps=2)
    supernet = space.network(SPEC)
    initialise(supernet, generator())
    for module in supernet.modules():
        if isinstance(module, Norm):
            module.running_mean.uniform_(generator=generator(4))
    candidate = next(c for c in space.all() if set(c.values()) == {"SCB_k3"})
    alone = space.network(SPEC, candidate)
    inherit(alone, supernet)
    name = "slot1.options.SCB_k3.conv1.weight"
    assert torch.equal(alone.state_dict()[name], supernet.state_dict()[name][:, :, 1:4, 1:4])
    name = "slot1.options.SCB_k3.norm1.running_mean"
    assert torch.equal(alone.state_dict()[name], supernet.state_dict()[name])


def test_a_choice_runs_the_option_that_is_named():
    choice = Choice("blank", {"one": nn.Identity(), "two": nn.Flatten(0)})
    x = torch.ones(2, 3)
    with pytest.raises(SpaceError, match="choice 'blank' is empty"):
        choice(x)
    fill(nn.Sequential(choice), {"blank": "one"})
    assert choice(x).shape == (2, 3)
    fill(nn.Sequential(choice), {"blank": "two"})
    assert choice(x).shape == (6,)
    assert Choice("blank", {"two": nn.Flatten(0)})(x).shape == (6,)


def test_pool_flatten_and_vote_by_hand():
    x = torch.arange(16.0).reshape(1, 1, 1, 4, 4)
    assert MaxPool()(x).flatten().tolist() == [5.0, 7.0, 13.0, 15.0]
    assert Flatten()(x).shape == (1, 1, 16)
    votes = torch.tensor([[[1.0, 0.0, 1.0, 1.0]]])
    assert Vote(2)(votes).flatten().tolist() == [0.5, 1.0]


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (4, 2, 3, 8, 8)])
def test_normalisation_is_over_batch_time_and_space(shape):
    x = torch.randn(shape, generator=generator(5)) * 3 + 1
    y = Norm(3)(x).movedim(-3, 0).flatten(1)
    torch.testing.assert_close(y.mean(1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var(1, unbiased=False), torch.ones(3), atol=1e-3, rtol=0)
