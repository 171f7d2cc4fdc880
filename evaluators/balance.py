"""Threshold balancing: in a candidate that is scored, layers of neurons fire as often as in the supernet on average.

A network that is trained alone sets the scale of its currents to the thresholds behind them. In a supernet all
candidates share that scale, so what fires rarely makes the next layer's current rare and high, and that fires rarely,
too; trained alone, it does not. BN recalibration mends a candidate's means and variances, and a threshold sees neither,
but the tail. So the mean firing rate of each layer over random candidates is kept with a supernet, and while a
candidate's statistics are renewed the thresholds of its neurons are scaled, one layer after the other, until each fires
at that rate (threshold balancing, of networks converted to spiking ones: Diehl et al., IJCNN 2015).

Left as they are: thresholds that a candidate decides on, GLIF's, which is a learnt gate, neurons that are run step by
step, and layers that are silent whatever their threshold.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from spaces.current import computed
from spaces.neurons.neuron import Neuron

RATE = "rate"  # of a layer, 0 where it is not known
HALVINGS = 8  # of the interval that a threshold's factor is looked for in
WIDEST = 2.0  # factors are from e^-2 to e^2
SAMPLES = 16  # of a batch, for each of which a layer fires at thousands of places and times


def add_rates(network: nn.Module) -> None:
    """Gives each layer of neurons a place for its mean rate, which is kept and inherited like a weight."""
    for layer in layers(network).values():
        layer.register_buffer(RATE, torch.zeros((), device=layer.threshold.device))


def layers(network: nn.Module) -> dict[str, Neuron]:
    """By name the layers of neurons that have a threshold, and not a gate in its place."""
    found = {name: module for name, module in network.named_modules() if isinstance(module, Neuron)}
    return {name: layer for name, layer in found.items() if layer.parts["threshold"].range == "positive"}


def keep_rates(supernet: nn.Module, rates: Mapping[str, Sequence[float]]) -> None:
    """Keeps the means of layers' rates with a supernet; but not of those whose threshold is a blank."""
    for name, layer in layers(supernet).items():
        if name in rates and "threshold" not in layer.free:
            layer.get_buffer(RATE).fill_(sum(rates[name]) / len(rates[name]))


def rate_of(spikes: Tensor) -> float:
    """Share of non-zero values; of spikes that bear their sums by position, these are added up."""
    fired = spikes.events.sum() if hasattr(spikes, "events") else torch.count_nonzero(spikes)
    return fired.item() / spikes.numel()


@contextmanager
def gathering(network: nn.Module, rates: dict[str, list[float]]) -> Iterator[None]:
    """Within, adds the rate of each layer of neurons to ``rates``, by name, each time that it runs and fires."""

    def note(name: str, spikes: Tensor) -> None:
        if rate := rate_of(spikes):
            rates.setdefault(name, []).append(rate)

    handles = [
        layer.register_forward_hook(lambda module, arriving, spikes, name=name: note(name, spikes))
        for name, layer in layers(network).items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def balancing(network: nn.Module) -> Iterator[None]:
    """Within, a layer's threshold is balanced on the first batch that it gets, if the layer's mean rate is known."""
    known = {layer: layer.get_buffer(RATE).item() for layer in layers(network).values() if RATE in layer._buffers}

    def see(layer: Neuron, arriving: tuple[Tensor, ...]) -> None:
        if not layer.stepping and (rate := known.pop(layer, 0.0)):
            balance(layer, arriving[0], rate)

    handles = [layer.register_forward_pre_hook(see) for layer in known]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def balance(layer: Neuron, current: Tensor, rate: float) -> None:
    """Scales a layer's threshold until it fires at ``rate`` for the first samples of a current [T, B, C, ...]."""
    given = layer.threshold
    some = computed(current)[:, :SAMPLES].movedim(2, -1).contiguous().movedim(-1, 2)  # channels last, as it was

    def scale(power: float) -> None:
        layer.threshold = given * math.exp(power)

    def rate_at(power: float) -> float:
        scale(power)
        return rate_of(layer.forward(some))

    low, high = -WIDEST, WIDEST
    if not rate_at(low):
        layer.threshold = given
        return
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rate_at(middle) > rate else (low, middle)
    scale((low + high) / 2)
