"""Exact counts of spikes, synaptic operations and multiply-accumulates, taken by forward hooks.

What a tensor is (its *kind*) is declared by the layer that makes it, see ``spaces/kinds.py``: images are real, neurons
emit spikes, pooling and flattening keep what they get, a sum of spikes is a whole number of events. A spiking input
makes a layer's work synaptic operations (one accumulate an event and target), a real one multiply-accumulates. What
neurons declare is checked on the first batch. All totals are whole numbers, summed exactly, so they depend neither on
the batch size nor on the precision.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spaces.errors import SpaceError
from spaces.kinds import BINARY, REAL, Kind
from spaces.layers import Add, AvgPool, Conv, Linear, MaxPool, Mean, Norm, Scale
from spaces.native.maps import suits
from spaces.native.sum import sum_rows
from spaces.neurons.neuron import Neuron

EXACT_FLOAT32 = 2**24  # whole numbers up to here are exact in float32


@dataclass(frozen=True, kw_only=True)
class LayerCount:
    """Totals of one layer over all samples seen.

    Attributes:
        name, op: where the layer stands and what it is.
        shape: of its output for one sample and step.
        weights: non-zero weights.
        spikes: non-zero outputs of neurons.
        repeated: non-zero outputs of a pooling, which only passes spikes on.
        sops: accumulates: every input event times its true fan-out (padding edges and zero weights left out).
        macs: multiply-accumulates for real-valued input, fan-out likewise, and the products of gates.
        dense: multiply-accumulates that a dense network would make here: padding and zero weights included, all steps.
        events, inputs: events and values that a layer with spiking input got.
        unit: what an event stands for in the input, less than 1 where spikes were averaged; a rate is ``events unit /
            inputs``.
        updates: neuron updates, neurons x steps.
        additions: at a shortcut, one a spike, or one a value where the shortcut is a current; and those of means.
        biases: additions of the bias that a folded normalisation leaves behind.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    weights: int = 0
    spikes: int = 0
    repeated: int = 0
    sops: int = 0
    macs: int = 0
    dense: int = 0
    events: int = 0
    inputs: int = 0
    unit: float = 1.0
    updates: int = 0
    additions: int = 0
    biases: int = 0

    @property
    def neurons(self) -> int:
        """Neurons of this layer, 0 for other layers."""
        return _product(self.shape) if self.updates else 0


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Totals of a network over ``samples`` samples, all time steps; ``mean`` divides by the samples."""

    samples: int
    layers: tuple[LayerCount, ...]

    def total(self, field: str) -> int:
        """Sum of one of LayerCount's numbers over layers, e.g. ``total("sops")``."""
        return sum(getattr(layer, field) for layer in self.layers)

    def mean(self, field: str) -> float:
        """The same a sample."""
        return self.total(field) / self.samples

    @property
    def spikes_autosnn(self) -> int:
        """Spikes as AutoSNN counts them: those that a max-pooling passes on are counted again."""
        return self.total("spikes") + self.total("repeated")

    @property
    def sops_by_rate(self) -> float:
        """Synaptic operations as papers give them: a layer's firing rate times its dense multiply-accumulates.

        (Zhou et al., Spikformer, ICLR 2023, section on energy.) Padding and weights that are zero work there, too, and
        where spikes are averaged, each counts for its share of the mean.
        """
        return sum(layer.dense * layer.events * layer.unit / layer.inputs for layer in self.layers if layer.inputs)


class Counter:
    """Accumulates counts while its network runs; made by ``counting``."""

    def __init__(self, network: nn.Module) -> None:
        self._names = {module: name for name, module in network.named_modules()}
        self._order: dict[str, nn.Module] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._maps: dict[tuple[str, str], Tensor] = {}  # (layer, what) -> events by position, float64
        self._tallies: dict[tuple[str, str], int] = {}
        self._inputs: dict[str, tuple[int, ...]] = {}  # shapes of real-valued inputs
        self._units: dict[str, float] = {}  # of spiking ones
        self._compiled = any(getattr(module, "compiled", False) for module in network.modules())
        self.samples = 0

    def hook(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Forward hook of every counted layer."""
        name = self._names[module]
        self._order.setdefault(name, module)
        kinds = [kind_of(source) for source in inputs]
        timed = leading(output)
        self._shapes[name] = tuple(output.shape[timed:])
        output.kind = module.emits(*kinds)
        if isinstance(module, Neuron):
            if (name, "spikes") not in self._maps and not (output.kind == BINARY and hasattr(output, "events")):
                check_kind(name, output, output.kind)
            self._add_map(name, "spikes", output, timed, nonzero=True)
            self._tally(name, "updates", output.numel())
        elif isinstance(module, MaxPool):
            if kinds[0].spiking:
                self._add_map(name, "repeated", output, timed, nonzero=True)
        elif isinstance(module, Conv | Linear):
            self._tally(name, "dense", output.numel() * _weights(module)[0].numel())
            if kinds[0].spiking:
                self._add_map(name, "sops", inputs[0], leading(inputs[0]))
                self._tally(name, "inputs", inputs[0].numel())
                self._units[name] = kinds[0].unit
            else:
                self._inputs[name] = tuple(inputs[0].shape[leading(inputs[0]) :])
                self._tally(name, "presentations", _product(inputs[0].shape[: leading(inputs[0])]))
        if isinstance(module, Norm) or getattr(module, "bias", None) is not None:
            self._tally(name, "biases", output.numel())
        if isinstance(module, Scale):
            self._tally(name, "macs", output.numel() * (len(inputs) - 1))
        elif isinstance(module, Mean):
            self._tally(name, "additions", inputs[0].numel())
        elif isinstance(module, Add):
            for other, kind in zip(inputs[1:], kinds[1:], strict=True):
                if kind.spiking:
                    self._add_map(name, "additions", other, timed)
                else:
                    self._tally(name, "additions", output.numel())

    def start(self, network: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Forward pre-hook of the network: counts its samples."""
        self.samples += inputs[0].shape[0]

    def counts(self) -> Counts:
        """The totals so far."""
        active = {name for name, _ in (*self._maps, *self._tallies)}
        layers = tuple(self._layer(name, module) for name, module in self._order.items() if name in active)
        return Counts(samples=self.samples, layers=layers)

    def _layer(self, name: str, module: nn.Module) -> LayerCount:
        numbers = {what: count for (layer, what), count in self._tallies.items() if layer == name}
        presentations = numbers.pop("presentations", 0)
        for (layer, what), events in self._maps.items():
            if layer != name:
                continue
            if what == "sops":
                numbers["sops"] = int((events.cpu() * fan_out_map(module, tuple(events.shape))).sum().item())
                numbers["events"] = int(events.sum().item())
            else:
                numbers[what] = numbers.get(what, 0) + int(events.sum().item())
        if name in self._inputs:
            numbers["macs"] = presentations * int(fan_out_map(module, self._inputs[name]).sum().item())
        weights = int(torch.count_nonzero(_weights(module)).item()) if isinstance(module, Conv | Linear) else 0
        about = {"shape": self._shapes[name], "weights": weights, "unit": self._units.get(name, 1.0)}
        return LayerCount(name=name, op=describe(module), **about, **numbers)

    def _tally(self, name: str, what: str, number: int) -> None:
        self._tallies[name, what] = self._tallies.get((name, what), 0) + number

    def _add_map(self, name: str, what: str, tensor: Tensor, timed: int, *, nonzero: bool = False) -> None:
        """Adds a spiking tensor's events (or non-zero values) by position; what several layers see is summed once."""
        kind = kind_of(tensor)
        field = "active" if nonzero and kind != BINARY else "events"
        if not hasattr(tensor, field):
            if kind == BINARY:
                counted = tensor
            else:
                counted = (tensor != 0).to(tensor.dtype) if nonzero else tensor.abs().div(kind.unit).round()
            setattr(tensor, field, _events(counted, timed, max(1, abs(kind.low), kind.high), self._compiled))
        summed, key = getattr(tensor, field), (name, what)
        if key in self._maps:
            self._maps[key] += summed
        else:
            self._maps[key] = summed.to(torch.float64, copy=True)


@contextmanager
def counting(network: nn.Module) -> Iterator[Counter]:
    """Counts all that ``network`` (one candidate's) does inside the ``with`` block.

    Raises:
        SpaceError: on running, if a layer emits what it does not declare.
    """
    counter = Counter(network)
    handles = [network.register_forward_pre_hook(counter.start)]
    handles += [module.register_forward_hook(counter.hook) for module in network.modules() if hasattr(module, "emits")]
    try:
        yield counter
    finally:
        for handle in handles:
            handle.remove()


def fan_out_map(layer: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """How many non-zero synapses each input position [C, H, W] (or [F]) of ``layer`` drives, float64 of that shape."""
    weights, stride = _weights(layer), getattr(layer, "stride", 1)
    if bool(weights.all()):
        return _full_fan_out(tuple(weights.shape), shape, stride)
    return _fan_out((weights != 0).double().cpu(), shape, stride)


@functools.lru_cache(maxsize=256)
def _full_fan_out(weights: tuple[int, ...], shape: tuple[int, ...], stride: int) -> Tensor:
    return _fan_out(torch.ones(weights, dtype=torch.float64), shape, stride)


def _fan_out(mask: Tensor, shape: tuple[int, ...], stride: int = 1) -> Tensor:
    if mask.dim() == 2:
        return mask.sum(0)
    padding = mask.shape[-1] // 2
    sizes = [(size - 1) // stride + 1 for size in shape[1:]]
    rest = [size - 1 - (out - 1) * stride for size, out in zip(shape[1:], sizes, strict=True)]
    targets = torch.ones(1, mask.shape[0], *sizes, dtype=torch.float64)
    return F.conv_transpose2d(targets, mask, stride=stride, padding=padding, output_padding=tuple(rest))[0]


def describe(module: nn.Module) -> str:
    """A layer's short name for people."""
    if isinstance(module, Conv):
        return f"conv {module.k}x{module.k}"
    if isinstance(module, AvgPool):
        return f"avg-pool {module.k}x{module.k}"
    if isinstance(module, Neuron):
        return module.kind.upper()
    names = {MaxPool: "max-pool 2x2", Linear: "linear", Norm: "BN (folded)", Add: "sum"}
    return names.get(type(module), type(module).__name__.lower())


def leading(tensor: Tensor) -> int:
    """Leading dimensions that are not a position: 2 (T, B) for [T, B, C, H, W] and [T, B, F], 1 without time."""
    return 2 if tensor.dim() in (3, 5) else 1


def kind_of(tensor: Tensor) -> Kind:
    """What a tensor was declared to be; real where nothing was declared."""
    return getattr(tensor, "kind", REAL)


def _weights(layer: nn.Module) -> Tensor:
    return (layer.kernel() if isinstance(layer, Conv) else layer.weight).detach()


def _events(tensor: Tensor, timed: int, largest: int, compiled: bool) -> Tensor:
    """Sums by position of whole numbers up to ``largest``; exact, as such sums below 2^24 are in float32."""
    rows = tensor.detach().flatten(0, timed - 1)
    exact = torch.float32 if rows.shape[0] * largest < EXACT_FLOAT32 else torch.float64
    if rows.dim() == 2:
        return rows.sum(0, dtype=exact)
    if compiled and exact == torch.float32 and suits(rows):
        return sum_rows(rows)
    shape = rows.movedim(1, -1).shape[1:]  # as it lies in memory: channels last
    rows = rows.movedim(1, -1).flatten(1).to(exact)
    with torch.autocast(rows.device.type, enabled=False):
        return (rows.new_ones(rows.shape[0]) @ rows).view(shape).movedim(-1, 0)


def check_kind(name: str, output: Tensor, kind: Kind) -> None:
    """Raises SpaceError where a layer emits what it does not declare; what is not finite is found later."""
    if not kind.spiking:
        return
    flat = output.detach().flatten() / kind.unit
    odd = flat[(flat != flat.round()) | (flat < kind.low) | (flat > kind.high)]
    if odd.numel() and not bool(odd.isnan().any()):
        found = odd[0].item() * kind.unit
        raise SpaceError(f"layer {name} declares {kind.name} spikes but emits {found:g}; declare its true kind")


def _product(shape: tuple[int, ...] | torch.Size) -> int:
    return int(torch.Size(shape).numel())
