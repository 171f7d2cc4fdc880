"""Counts against a brute-force count, against spikingjelly, and by hand."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from spikingjelly.activation_based.op_counter import DispatchCounterMode, SynOpCounter
from torch import nn

from evaluators.counting import counting, fan_out_map
from spaces.autosnn import autosnn
from spaces.candidate import Candidate
from spaces.errors import SpaceError
from spaces.layers import Conv, Linear
from spaces.neurons.neuron import Neuron
from spaces.residual import residual
from spaces.spec import TaskSpec
from spaces.spikenas_bench import spikenas_bench
from spaces.weights import initialise

SPEC = TaskSpec(channels=2, height=8, width=9, classes=3)
SPACE = autosnn(width=3, timesteps=3, compiled=False)
WIDTHS = {"stage1_width": 4, "stage2_width": 8, "stage3_width": 16}
CELLS = [
    {"slot1": "skip", "slot2": "skip", "slot3": "skip", "slot4": "skip", "slot5": "skip"},
    {"slot1": "SRB_k3", "slot2": "SRB_k5", "slot3": "SCB_k3", "slot4": "SCB_k5", "slot5": "SRB_k3"},
    {"slot1": "SCB_k5", "slot2": "skip", "slot3": "SRB_k5", "slot4": "SRB_k3", "slot5": "skip"},
]


def network_of(cell, *, zeros=0.0):
    """A network that spikes in every layer, some of its weights zero."""
    network = SPACE.network(SPEC, Candidate(cell))
    generator = torch.Generator().manual_seed(0)
    initialise(network, generator, norm_scale=2.0, head_gain=10.0, identity=True)
    for module in network.modules():
        if isinstance(module, Conv | Linear) and zeros:
            module.weight.data[torch.rand(module.weight.shape, generator=generator) < zeros] = 0
    network.train()(images(64))  # BN statistics that fit
    return network.eval()


def images(n):
    return torch.randn(n, 2, 8, 9, generator=torch.Generator().manual_seed(n))


def counts_of(network, x, *, batch=1000):
    with torch.no_grad(), counting(network) as counter:
        for part in x.split(batch):
            network(part)
    return counter.counts()


def brute_force_conv(events, weight):
    """Synaptic operations of a padded convolution, one event, one tap, one output channel at a time."""
    c_out, _, k, _ = weight.shape
    total = 0
    for t, b, c, y, x in np.argwhere(events):
        assert events[t, b, c, y, x] == 1
        for o, i, j in itertools.product(range(c_out), range(k), range(k)):
            row, column = y - i + k // 2, x - j + k // 2  # output position that this tap serves
            inside = 0 <= row < events.shape[3] and 0 <= column < events.shape[4]
            total += bool(inside and weight[o, c, i, j] != 0)
    return total


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("zeros", [0.0, 0.5])
def test_spikes_and_sops_equal_a_brute_force_count(cell, zeros):
    network, x = network_of(cell, zeros=zeros), images(2)
    spikes, sops, seen = [], [], {}

    def note(module, inputs, output):
        if isinstance(module, Neuron):
            spikes.append(int((output != 0).sum()))
        elif isinstance(module, Linear):
            events = inputs[0].numpy()
            sops.append(sum(int((module.weight[:, f] != 0).sum()) for _, _, f in np.argwhere(events)))
        elif inputs[0].dim() == 5:
            sops.append(brute_force_conv(inputs[0].numpy(), module.kernel().detach().numpy()))
        seen[module] = True

    handles = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, Neuron | Conv | Linear)]
    with torch.no_grad():
        network(x)
    for handle in handles:
        handle.remove()
    counts = counts_of(network, x)
    assert counts.total("spikes") == sum(spikes) > 0
    assert counts.total("sops") == sum(sops) > 0
    assert [layer.sops for layer in counts.layers if layer.sops] == [number for number in sops if number]


@pytest.mark.parametrize("cell", CELLS)
def test_sops_equal_those_of_spikingjelly(cell):
    network, x = network_of(cell), images(7)
    reference = SynOpCounter()
    with torch.no_grad(), DispatchCounterMode([reference]):
        network(x)
    assert counts_of(network, x).total("sops") == reference.get_total() > 0


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 16])
def test_counts_do_not_depend_on_the_batch_size(batch):
    network, x = network_of(CELLS[1]), images(16)
    assert counts_of(network, x, batch=batch) == counts_of(network, x)


def test_counts_do_not_depend_on_the_precision_of_activations():
    network = network_of(CELLS[1]).bfloat16()
    spikes = []
    for module in network.modules():
        if isinstance(module, Neuron):
            module.register_forward_hook(lambda m, i, o: spikes.append((o.dtype, int((o.double() != 0).sum()))))
    many = images(600).bfloat16()  # sums beyond 256 are not exact in bfloat16
    counts = counts_of(network, many)
    assert {dtype for dtype, _ in spikes} == {torch.bfloat16}
    assert [layer.spikes for layer in counts.layers if layer.neurons] == [number for _, number in spikes]
    assert counts.total("spikes") > 256
    assert counts_of(network, many, batch=1).total("spikes") > 256


def test_macs_of_the_stem_by_hand():
    counts = counts_of(network_of(CELLS[0]), images(5))
    # 3x3 taps on an 8x9 map with padding: (3 * 8 - 2) rows x (3 * 9 - 2) columns, 2 channels in, 3 out, once a sample
    assert counts.total("macs") == 5 * 22 * 25 * 2 * 3


def test_dense_operations_events_and_inputs_by_hand():
    counts = counts_of(network_of(CELLS[0]), images(5))
    by_name = {layer.name: layer for layer in counts.layers}
    assert by_name["stem.0"].dense == 5 * (3 * 8 * 9) * (2 * 9)
    assert by_name["stem.0"].inputs == 0
    head, features = by_name["head.1"], 12 * 1 * 1
    assert (head.dense, head.inputs) == (5 * 3 * 30 * features, 5 * 3 * features)
    assert head.sops == head.events * 30
    assert 0 < head.events < head.inputs


def test_updates_biases_and_additions_by_hand():
    cell = {"slot1": "SRB_k3", "slot2": "skip", "slot3": "skip", "slot4": "skip", "slot5": "skip"}
    network, x = network_of(cell), images(5)
    caught = {}
    network.slot1.options["SRB_k3"].add.register_forward_hook(lambda m, i, o: caught.update(spikes=int(i[1].sum())))
    counts = counts_of(network, x)
    stem, head, per_sample = 3 * 8 * 9, 30, 3  # T = 3
    slot1, slot2, slot4 = 2 * 3 * 8 * 9, 6 * 4 * 4, 12 * 2 * 2
    assert counts.total("updates") == 5 * per_sample * (stem + slot1 + slot2 + slot4 + head)
    assert counts.total("biases") == 5 * (stem + per_sample * (slot1 + slot2 + slot4))  # the stem runs once
    assert counts.total("additions") == caught["spikes"] > 0


def test_a_shortcut_that_is_a_current_costs_an_addition_a_value():
    cell = {"slot1": "skip", "slot2": "SRB_k3", "slot3": "skip", "slot4": "skip", "slot5": "skip"}
    assert counts_of(network_of(cell), images(5)).total("additions") == 5 * 3 * 6 * 4 * 4


def test_autosnn_convention_counts_pooled_spikes_again():
    network, x = network_of(CELLS[1]), images(5)
    pooled = []
    for layer in network.links():
        if type(layer).__name__ == "MaxPool":
            layer.register_forward_hook(lambda m, i, o: pooled.append(int((o != 0).sum())))
    counts = counts_of(network, x)
    assert counts.spikes_autosnn == counts.total("spikes") + sum(pooled)
    assert sum(pooled) > 0


@pytest.mark.parametrize(
    ("make", "cell"),
    [
        (spikenas_bench, {"op_e01": 2, "op_e02": 3, "op_e03": 4, "op_e12": 1, "op_e13": 0, "op_e23": 2}),
        (residual, residual().published["ResNet-20 of SEW_add"] | WIDTHS),
    ],
    ids=["average-pooled spikes", "sums of spikes"],
)
def test_operations_by_rate_are_mean_inputs_times_dense_work(make, cell):
    network = make(width=4, timesteps=2, compiled=False).network(replace(SPEC, width=8), Candidate(cell))
    initialise(network, torch.Generator().manual_seed(0), norm_scale=2.0, head_gain=10.0)
    expected = []
    for name, layer in network.named_modules():
        if isinstance(layer, Conv | Linear) and name != "stem.0":
            layer.register_forward_hook(
                lambda m, i, o: expected.append(i[0].double().mean() * o.numel() * m.weight[0].numel())
            )
    network.train()(images(64)[..., :8])
    expected.clear()
    counts = counts_of(network.eval(), images(6)[..., :8])
    assert len(expected) > 5
    assert counts.sops_by_rate == pytest.approx(float(sum(expected)), rel=1e-6)


def test_counting_leaves_no_hooks_behind():
    network = network_of(CELLS[1])
    counts_of(network, images(2))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_a_layer_that_does_not_emit_what_it_declares_is_caught():
    class Graded(Neuron):
        def forward(self, x):
            return super().forward(x) * 0.5

    network = nn.Sequential(Graded("if"), Linear(4, 2))
    nn.init.ones_(network[1].weight)
    with pytest.raises(SpaceError, match=r"layer 0 declares binary spikes but emits 0\.5"), counting(network):
        network(torch.ones(2, 3, 4))


def test_fan_out_of_a_padded_convolution_by_hand():
    conv = Conv(1, 2, 3)
    nn.init.ones_(conv.weight)
    expected = torch.tensor([[4, 6, 4], [6, 9, 6], [4, 6, 4]], dtype=torch.float64) * 2
    assert torch.equal(fan_out_map(conv, (1, 3, 3))[0], expected)
    conv.weight.data[0] = 0
    assert torch.equal(fan_out_map(conv, (1, 3, 3))[0], expected / 2)
