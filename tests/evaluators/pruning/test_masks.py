"""Masks: exact sparsity under every budget and pattern, nothing that may not be pruned, errors in one line."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from evaluators.pruning.masks import apportion, attach, distance, kept_of, masks_of, prunable, sparsity_of
from evaluators.pruning.one_shot import erk, one_shot
from evaluators.pruning.pattern import Pruning
from spaces.errors import OptionError, SpaceError
from spaces.layers import Conv, Linear, Norm
from spaces.neurons.neuron import Neuron
from spaces.norms import BNTT


class Small(nn.Module):
    """Layers of several sizes; nothing is run."""

    def __init__(self, seed=0):
        super().__init__()
        self.stem, self.norm, self.steps = Conv(1, 4, 3), Norm(4), BNTT(4, timesteps=3)
        self.neuron, self.conv, self.head = Neuron("psn", timesteps=3), Conv(4, 8, 3), Linear(32, 20, bias=True)
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)


TOTAL = 4 * 9 + 8 * 4 * 9 + 20 * 32


def test_only_weights_of_synapses_are_pruned():
    assert set(prunable(Small())) == {"stem.weight", "conv.weight", "head.weight"}
    assert set(prunable(Small(), ("stem",))) == {"conv.weight", "head.weight"}
    with pytest.raises(OptionError, match=r"--spare 'stam' is no layer .* layers: stem, conv, head"):
        prunable(Small(), ("stam",))
    with pytest.raises(SpaceError, match="no weights that may be pruned"):
        prunable(nn.Sequential(Norm(3)))


@settings(max_examples=25)
@given(st.floats(0, 0.97), st.sampled_from(["global", "layer", "erk"]), st.integers(0, 5))
def test_sparsity_is_exact_to_one_weight(sparsity, budget, seed):
    network = Small(seed)
    attach(network, one_shot(network, sparsity, Pruning(budget=budget, floor=0.01)))
    kept = sum(stay for stay, _ in kept_of(network).values())
    assert kept == TOTAL - round(sparsity * TOTAL)
    assert sum(int((w != 0).sum()) for w in prunable(network).values()) == kept
    assert sparsity_of(network) == pytest.approx(sparsity, abs=0.5 / TOTAL + 1e-12)


@settings(max_examples=25)
@given(st.floats(0, 0.9), st.integers(0, 5))
def test_global_masks_are_those_of_a_sorted_list(sparsity, seed):
    network = Small(seed)
    values = sorted((float(w.abs()) for t in prunable(network).values() for w in t.detach().flatten()), reverse=True)
    least = values[TOTAL - round(sparsity * TOTAL) - 1]
    wanted = {name: weight.abs() >= least for name, weight in prunable(network).items()}
    if not all(mask.any() for mask in wanted.values()):
        with pytest.raises(OptionError, match="empties layer"):
            one_shot(network, sparsity)
        return
    masks = one_shot(network, sparsity)
    for name, mask in wanted.items():
        assert torch.equal(masks[name], mask)


@settings(max_examples=25)
@given(st.floats(0, 0.9))
def test_layerwise_masks_take_the_same_share_of_each_layer(sparsity):
    network = Small()
    masks = one_shot(network, sparsity, Pruning(budget="layer"))
    for mask in masks.values():
        assert abs(int(mask.sum()) - (1 - sparsity) * mask.numel()) <= 1


def test_erk_by_hand():
    # densities in proportion to 10 / 24 and 20 / 100: 30 weights of 124 kept
    factor = 30 / (10 + 20)
    assert erk([(4, 6), (10, 10)], 30) == pytest.approx([factor * 10, factor * 20])
    # the first would keep more than it has: it is dense, the second gets the rest
    assert erk([(2, 2), (10, 10)], 60) == pytest.approx([4, 56])


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(0, 10), st.integers(10, 30)), min_size=1), st.data())
def test_apportioned_numbers_sum_up_within_their_bounds(rows, data):
    quotas, least, most = zip(*rows, strict=True)
    total = data.draw(st.integers(sum(least), sum(most)))
    shares = apportion(quotas, total, least, most)
    assert sum(shares) == total
    assert all(low <= share <= high for low, share, high in zip(least, shares, most, strict=True))


@settings(max_examples=25)
@given(st.floats(0, 0.9), st.floats(0, 1))
def test_masks_within_masks_only_narrow(sparsity, more):
    network = Small()
    first = one_shot(network, sparsity)
    second = one_shot(network, sparsity + (0.95 - sparsity) * more, Pruning(floor=0.01), within=first)
    assert all(not bool((second[name] & ~first[name]).any()) for name in first)


@pytest.mark.parametrize(("n", "m"), [(1, 4), (2, 4), (3, 4), (1, 2)])
def test_n_of_m_weights_along_the_inputs_stay(n, m):
    network = Small()
    pruning = Pruning(pattern=f"{n}:{m}", spare=("stem",))
    masks = one_shot(network, 1 - n / m, pruning)
    for name, weight in prunable(network, ("stem",)).items():
        rows = masks[name].movedim(1, -1).reshape(-1, m)
        values = weight.detach().abs().movedim(1, -1).reshape(-1, m)
        assert bool((rows.sum(1) == n).all())
        assert torch.equal(values[rows].view(-1, n).sort(1)[0], values.sort(1)[0][:, m - n :])
    halfway = one_shot(network, (1 - n / m) / 2, pruning)
    assert all(not bool((masks[name] & ~halfway[name]).any()) for name in masks)


def test_n_of_m_that_does_not_divide_names_the_layer():
    with pytest.raises(OptionError, match=r"--pattern 2:4 does not divide the 1 inputs of layer stem: .*--spare stem"):
        one_shot(Small(), 0.5, Pruning(pattern="2:4"))


def test_an_emptied_layer_is_named_and_a_floor_keeps_it():
    network = Small()
    network.stem.weight.data.mul_(1e-3)
    with pytest.raises(OptionError, match=r"0.9 empties layer stem \(none of its 36 weights stays\).*--floor"):
        one_shot(network, 0.9)
    masks = one_shot(network, 0.9, Pruning(floor=0.05))
    assert int(masks["stem.weight"].sum()) == math.ceil(0.05 * 36)
    assert sum(int(mask.sum()) for mask in masks.values()) == TOTAL - round(0.9 * TOTAL)


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, math.nan, math.inf])
def test_a_sparsity_out_of_range_is_named(sparsity):
    with pytest.raises(OptionError, match=r"--sparsity .* is out of range"):
        one_shot(Small(), sparsity)


def test_bad_prunings_are_named():
    for options, said in (
        ({"pattern": "4:2"}, "0 < N < M"),
        ({"pattern": "two"}, "write weights, channels, or N:M"),
        ({"budget": "even"}, "--budget 'even'"),
        ({"budget": "erk", "pattern": "channels"}, "--budget erk"),
        ({"floor": 1.0}, "--floor 1"),
    ):
        with pytest.raises(OptionError, match=said):
            Pruning(**options)
    with pytest.raises(OptionError, match="floors of all layers ask for"):
        one_shot(Small(), 0.9, Pruning(floor=0.5))


def test_distance_by_hand():
    one = {"a": torch.tensor([[True, False], [True, True]]), "b": torch.tensor([[True, True]])}
    other = {"a": torch.tensor([[True, True], [True, True]]), "b": torch.tensor([[False, True]])}
    assert distance(one, other) == pytest.approx(2 / 6)
    assert distance(one, one) == 0


def test_masks_stay_their_own(build):
    """What is put back into a network, from a checkpoint say, does not change the masks that it was given."""
    network = build()
    masks = one_shot(network, 0.5)
    before = {name: mask.clone() for name, mask in masks.items()}
    attach(network, masks)
    for mask in masks_of(network).values():
        mask.fill_(True)
    assert all(torch.equal(masks[name], before[name]) for name in masks)
    assert sparsity_of(network) == 0
