"""Neuron: the layer of spiking units that networks are built from."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from spaces.blanks import Filled, Free
from spaces.candidate import Value
from spaces.current import computed
from spaces.errors import SpaceError, unknown
from spaces.kinds import Kind as Emitted
from spaces.neurons.catalog import NEURONS
from spaces.neurons.one_pass import fired
from spaces.neurons.parameters import Parameter
from spaces.neurons.scan import scan, unrolled
from spaces.neurons.step import Rule, State
from spaces.neurons.steps import STEPS
from spaces.neurons.surrogate import SURROGATES

RESETS = ("hard", "soft", "none")


class Neuron(Filled):
    """A layer of spiking neurons; input current [T, B, C, ...] to spikes of the same shape, of the kind it emits.

    ``NEURONS`` says what parameters a kind has and what they are unless given, which resets make sense for it and
    whether ``decay_input`` and ``detach_reset`` do. Where these two do not, they are of no effect; nor is ``tau`` on a
    neuron without a leak, or ``width`` on one without a surrogate, so that kinds can be exchanged.

    Every float parameter is one value, a tensor [C] with one a channel (of which a map with fewer uses the first), or a
    blank (``Free``). A learnt one, NAME, is what was given plus what was learnt: ``w_NAME``, or ``w`` for tau's.

    Args:
        kind: a name in ``NEURONS``.
        threshold: fires at ``v >= threshold``.
        tau: time constant in steps, at least 1; the decay is 1 / tau a step.
        reset: ``hard`` (to 0), ``soft`` (minus the threshold) or ``none``, or a kind's own.
        decay_input: ``v += (x - v) / tau`` if true, ``v += x - v / tau`` if not.
        detach_reset: whether the gradient ignores the reset.
        surrogate: a name in ``SURROGATES``; ``width``, a value or a blank, defaults to that surrogate's own.
        width: the larger, the narrower and higher is the surrogate.
        compiled: whether the scan over time is compiled.
        others: further parameters of the kind, and its whole number where it has one.

    Raises:
        SpaceError: an unknown name, or a value out of range.
    """

    def __init__(
        self,
        kind: str = "plif",
        *,
        threshold: float | Tensor | Free | None = None,
        tau: float | Tensor | Free | None = None,
        reset: str | None = None,
        decay_input: bool | None = None,
        detach_reset: bool = True,
        surrogate: str = "atan",
        width: float | Tensor | Free | None = None,
        compiled: bool = True,
        **others: float | Tensor | Free,
    ) -> None:
        super().__init__()
        if kind not in NEURONS:
            raise SpaceError(unknown("neuron", kind, NEURONS))
        if surrogate not in SURROGATES:
            raise SpaceError(unknown("surrogate", surrogate, SURROGATES))
        self.kind = kind
        self.compiled = compiled
        self.model = NEURONS[kind]
        self.step = STEPS[self.model.step]
        self.parts = dict(self.model.parameters)
        if "width" in self.step.parameters:
            self.parts["width"] = Parameter(default=SURROGATES[surrogate].width, range="positive")
        number, size = self.model.size or ("", 1)
        self.rule = Rule(
            step=self.model.step,
            reset=_one_of(self.model.resets, reset, kind),
            decay_input=(self.model.decay_input if decay_input is None else decay_input) or False,
            detach_reset=detach_reset,
            surrogate=surrogate,
            size=_whole(number, others.pop(number, size)),
        )
        for name in others:
            if name not in self.parts:
                raise SpaceError(unknown(f"parameter of neuron {kind!r}", name, [*self.parts, *filter(None, [number])]))
        asked = {"threshold": threshold, "tau": tau, "width": width, **others}
        given = {name: part.default if asked.get(name) is None else asked[name] for name, part in self.parts.items()}
        self.free = {name: value for name, value in given.items() if isinstance(value, Free)}
        self._set({name: value.largest if isinstance(value, Free) else value for name, value in given.items()})
        for name, part in self.parts.items():
            if part.learnt:
                channels = [len(self._buffers[name])] if len(self._buffers[name]) > 1 else []
                start = torch.zeros((*part.shape(self.rule.size), *channels))
                self.register_parameter(_learnt(name), nn.Parameter(start))
        self.state: State | None = None
        self.taken = 0
        self.stepping = False

    def blanks(self) -> tuple[str, ...]:
        """The blanks of its numbers."""
        return tuple(free.blank for free in self.free.values())

    def fill(self, candidate: Mapping[str, Value]) -> None:
        """Takes its numbers."""
        self._set({name: free.of(candidate) for name, free in self.free.items()})

    def _set(self, values: Mapping[str, float | Tensor]) -> None:
        """Puts parameters as they are given into buffers [1] or [C]."""
        for name, value in values.items():
            tensor = self.parts[name].checked(_SAID.get(name, name), value)
            if name in self._buffers:
                tensor = tensor.to(self._buffers[name].device)
            self.register_buffer(name, tensor, persistent=False)

    def parameter(self, name: str) -> Tensor:
        """A parameter as the update sees it, [1] or [C] behind its axes; of a time constant the decay."""
        return self.parts[name].seen(self._buffers[name], self._parameters.get(_learnt(name)))

    def forward(self, x: Tensor) -> Tensor:
        """Spikes of input current ``x`` [T, B, C, ...]; memory format channels-last is kept."""
        p = {_seen(name): self._used(name, x) for name in self.parts}
        spikes = fired(x, p, self.rule) if self.compiled and not self.stepping else None
        return self._spikes(computed(x), p) if spikes is None else spikes

    def _used(self, name: str, x: Tensor) -> Tensor:
        """A parameter as it is for ``x``: of its time steps and of its channels."""
        value = self.parameter(name)
        start, end = self.taken, self.taken + len(x)
        for dim in range(self.parts[name].timed):
            if end > value.shape[dim]:
                raise SpaceError(
                    f"neuron {self.kind!r} made for {value.shape[dim]} time steps gets {end}: give timesteps={end}"
                )
            value = value.narrow(dim, start, len(x))
        return value[..., : x.shape[2]] if value.shape[-1] > x.shape[2] else value

    def _spikes(self, x: Tensor, p: dict[str, Tensor]) -> Tensor:
        rows = x.movedim(2, -1)
        if self.step.spatial:
            flat = rows.unflatten(1, (-1, 1, 1)) if x.dim() == 3 else rows
        else:
            flat = rows.reshape(x.shape[0], -1, x.shape[2])
        if self.stepping:
            if self.step.parallel:
                raise SpaceError(
                    f"neuron {self.kind!r} sees all time steps at once and cannot run step by step: take another "
                    "neuron, such as plif, where a network feeds back in time"
                )
            with torch.autocast("cuda" if x.is_cuda else "cpu", enabled=False):
                flat, self.state = unrolled(flat, p, self.rule, self.state)
            self.taken += len(x)
        elif self.step.fusible:
            flat = scan(flat, p, self.rule, compiled=self.compiled)
        else:
            with torch.autocast("cuda" if x.is_cuda else "cpu", enabled=False):  # their products stay float32
                flat = scan(flat, p, self.rule)
        return flat.view(rows.shape).movedim(-1, 2)

    def emits(self, *kinds: Emitted) -> Emitted:
        """The kind of its spikes, whatever it gets."""
        return self.model.emits(self.rule.size)

    def facts(self) -> dict[str, Any]:
        """See ``spaces.description``; parameters are what the update sees, or what several are learnt from."""
        rule, found = self.rule, {"kind": "neuron", "neuron": self.kind, "update": self.rule.step}
        for name, part in self.parts.items():
            seen, learnt = self.parameter(name).detach(), self._parameters.get(_learnt(name))
            if seen.numel() == 1:
                found[_seen(name)] = seen.item()
            elif learnt is None:
                found[_seen(name)] = seen.tolist()
            else:
                given = self._buffers[name].tolist()
                found[_seen(name)] = {"given": given, "learnt": _learnt(name), "range": part.range}
        width = {"width": found.pop("width")} if "width" in found else {}
        found |= {"reset": rule.reset, "detach_reset": rule.detach_reset, "decay_input": rule.decay_input}
        found |= {"surrogate": {"name": rule.surrogate, **width}}
        return found | ({self.model.size[0]: rule.size} if self.model.size else {})

    def extra_repr(self) -> str:
        """Kind and reset."""
        return f"{self.kind}, reset={self.rule.reset}, surrogate={self.rule.surrogate}"


_SAID = {"width": "surrogate width"}


@contextmanager
def stepwise(network: nn.Module) -> Iterator[None]:
    """Within, neurons keep their membranes from call to call, so that a part can be run step by step, T = 1 a call.

    A neuron that sees all time steps at once (psn) raises SpaceError when it is run so.
    """
    neurons = [module for module in network.modules() if isinstance(module, Neuron)]
    for neuron in neurons:
        neuron.stepping, neuron.state, neuron.taken = True, None, 0
    try:
        yield
    finally:
        for neuron in neurons:
            neuron.stepping, neuron.state, neuron.taken = False, None, 0


def _learnt(name: str) -> str:
    """Where what was learnt of a parameter is kept."""
    return "w" if name == "tau" else f"w_{name}"


def _seen(name: str) -> str:
    """What a parameter is called in an update: of time constants it sees the decay."""
    return name.replace("tau", "decay") if name in ("tau", "tau_a") else name


def _one_of(resets: tuple[str, ...], reset: str | None, kind: str) -> str:
    """The reset asked for, or a kind's own."""
    if reset is None:
        return resets[0]
    if reset not in (*RESETS, *resets):
        raise SpaceError(unknown("reset", reset, RESETS))
    if reset not in resets:
        raise SpaceError(f"neuron {kind!r} has no reset {reset!r}: give {' or '.join(resets)}, or take another neuron")
    return reset


def _whole(name: str, value: object) -> int:
    """A whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SpaceError(f"{name} {value} is out of range: give a whole number of at least 1")
    return value
