"""Exact counts of spikes, synaptic operations and multiply-accumulates, taken by forward hooks.

What a tensor is (its *kind*) is declared by the layer that makes it: images are ``real``, neurons emit ``binary``
spikes, pooling and flattening keep what they get, everything else is ``real``. A binary input makes a layer's work
synaptic operations (one accumulate an event and target), a real one multiply-accumulates. Declarations are checked on
the first batch. All totals are whole numbers, summed exactly, so they depend neither on the batch size nor on the
precision.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spaces.errors import SpaceError
from spaces.layers import Add, Conv, Flatten, Linear, MaxPool, Norm
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
        macs: multiply-accumulates for real-valued input, fan-out likewise.
        dense: multiply-accumulates that a dense network would make here: padding and zero weights included, all steps.
        events, inputs: non-zero and all values that a layer with binary input got; their ratio is the input's rate.
        updates: neuron updates, neurons x steps.
        additions: additions at a shortcut: one a spike, or one a value where the shortcut is a current.
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


class Counter:
    """Accumulates counts while its network runs; made by ``counting``."""

    def __init__(self, network: nn.Module) -> None:
        self._names = {module: name for name, module in network.named_modules()}
        self._order: dict[str, nn.Module] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._maps: dict[tuple[str, str], Tensor] = {}  # (layer, what) -> events by position, float64
        self._tallies: dict[tuple[str, str], int] = {}
        self._inputs: dict[str, tuple[int, ...]] = {}  # shapes of real-valued inputs
        self.samples = 0

    def hook(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Forward hook of every counted layer."""
        name = self._names[module]
        self._order.setdefault(name, module)
        source = inputs[0]
        timed = _timed(output)
        self._shapes[name] = tuple(output.shape[timed:])
        if isinstance(module, Neuron):
            output.kind = module.emits
            if (name, "spikes") not in self._maps:
                _check_binary(name, output)
            self._add_map(name, "spikes", output, timed)
            self._tally(name, "updates", output.numel())
        elif isinstance(module, MaxPool | Flatten):
            output.kind = _kind(source)
            if isinstance(module, MaxPool) and _kind(source) == "binary":
                self._add_map(name, "repeated", output, timed)
        elif isinstance(module, Conv | Linear):
            self._tally(name, "dense", output.numel() * _weights(module)[0].numel())
            if _kind(source) == "binary":
                self._add_map(name, "sops", source, _timed(source))
                self._tally(name, "inputs", source.numel())
            else:
                self._inputs[name] = tuple(source.shape[_timed(source) :])
                self._tally(name, "presentations", _product(source.shape[: _timed(source)]))
        elif isinstance(module, Norm):
            self._tally(name, "biases", output.numel())
        elif isinstance(module, Add):
            if _kind(inputs[1]) == "binary":
                self._add_map(name, "additions", inputs[1], timed)
            else:
                self._tally(name, "additions", output.numel())

    def start(self, network: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Forward pre-hook of the network: counts its samples, and says that images are real-valued."""
        self.samples += inputs[0].shape[0]

    def counts(self) -> Counts:
        """The totals so far."""
        return Counts(
            samples=self.samples, layers=tuple(self._layer(name, module) for name, module in self._order.items())
        )

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
        return LayerCount(name=name, op=describe(module), shape=self._shapes[name], weights=weights, **numbers)

    def _tally(self, name: str, what: str, number: int) -> None:
        self._tallies[name, what] = self._tallies.get((name, what), 0) + number

    def _add_map(self, name: str, what: str, tensor: Tensor, timed: int) -> None:
        """Adds a binary tensor's events by position; a tensor that several layers see is summed once."""
        if not hasattr(tensor, "events"):
            tensor.events = _events(tensor, timed)
        summed, key = tensor.events, (name, what)
        self._maps[key] = self._maps[key] + summed if key in self._maps else summed


@contextmanager
def counting(network: nn.Module) -> Iterator[Counter]:
    """Counts all that ``network`` (one candidate's) does inside the ``with`` block.

    Raises:
        SpaceError: on running, if a layer emits what it does not declare.
    """
    counter = Counter(network)
    handles = [network.register_forward_pre_hook(counter.start)]
    counted = (Neuron, MaxPool, Flatten, Conv, Linear, Norm, Add)
    handles += [
        module.register_forward_hook(counter.hook) for module in network.modules() if isinstance(module, counted)
    ]
    try:
        yield counter
    finally:
        for handle in handles:
            handle.remove()


def fan_out_map(layer: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """How many non-zero synapses each input position [C, H, W] (or [F]) of ``layer`` drives, float64 of that shape."""
    weights = _weights(layer)
    if bool(weights.all()):
        return _full_fan_out(tuple(weights.shape), shape)
    return _fan_out((weights != 0).double().cpu(), shape)


@functools.lru_cache(maxsize=256)
def _full_fan_out(weights: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
    return _fan_out(torch.ones(weights, dtype=torch.float64), shape)


def _fan_out(mask: Tensor, shape: tuple[int, ...]) -> Tensor:
    if mask.dim() == 2:
        return mask.sum(0)
    targets = torch.ones(1, mask.shape[0], *shape[1:], dtype=torch.float64)
    return F.conv_transpose2d(targets, mask, padding=mask.shape[-1] // 2)[0]


def describe(module: nn.Module) -> str:
    """A layer's short name for people."""
    if isinstance(module, Conv):
        return f"conv {module.k}x{module.k}"
    if isinstance(module, Neuron):
        return module.kind.upper()
    names = {MaxPool: "max-pool 2x2", Flatten: "flatten", Linear: "linear", Norm: "BN (folded)", Add: "shortcut"}
    return names[type(module)]


def _timed(tensor: Tensor) -> int:
    """Leading dimensions that are not a position: 2 (T, B) for [T, B, C, H, W] and [T, B, F], 1 without time."""
    return 2 if tensor.dim() in (3, 5) else 1


def _kind(tensor: Tensor) -> str:
    return getattr(tensor, "kind", "real")


def _weights(layer: nn.Module) -> Tensor:
    return (layer.kernel() if isinstance(layer, Conv) else layer.weight).detach()


def _events(tensor: Tensor, timed: int) -> Tensor:
    """Events of a binary tensor by position, float64; exact, for sums of whole numbers below 2^24 are so in float32."""
    rows = tensor.detach().flatten(0, timed - 1)
    exact = torch.float32 if rows.shape[0] < EXACT_FLOAT32 else torch.float64
    if rows.dim() == 2:
        return rows.sum(0, dtype=exact).double()
    shape = rows.movedim(1, -1).shape[1:]  # as it lies in memory: channels last
    rows = rows.movedim(1, -1).flatten(1).to(exact)
    return (rows.new_ones(rows.shape[0]) @ rows).double().view(shape).movedim(-1, 0)


def _check_binary(name: str, output: Tensor) -> None:
    flat = output.detach().movedim(2, -1).flatten()
    low, high = flat.aminmax()
    if low >= 0 and high <= 1 and flat.square().sum(dtype=torch.float64) == flat.sum(dtype=torch.float64):
        return
    odd = flat[(flat != 0) & (flat != 1)]
    if odd.numel() and not bool(odd.isnan().any()):
        raise SpaceError(f"layer {name} declares binary spikes but emits {odd[0].item():g}; declare its true kind")


def _product(shape: tuple[int, ...] | torch.Size) -> int:
    return int(torch.Size(shape).numel())
