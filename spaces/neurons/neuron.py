"""Neuron: the layer of IF, LIF or PLIF units that networks are built from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spaces.errors import SpaceError, unknown
from spaces.neurons.scan import scan
from spaces.neurons.step import Rule
from spaces.neurons.surrogate import SURROGATES


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a neuron's name stands for: whether its membrane leaks, and whether the leak is learnt."""

    leak: bool
    learnt: bool
    about: str


NEURONS: Mapping[str, Kind] = {
    "if": Kind(leak=False, learnt=False, about="integrate-and-fire: the membrane never leaks"),
    "lif": Kind(leak=True, learnt=False, about="leaky integrate-and-fire: a fixed time constant tau"),
    "plif": Kind(leak=True, learnt=True, about="parametric LIF: each layer learns its tau (Fang et al., ICCV 2021)"),
}

RESETS = ("hard", "soft", "none")


class Neuron(nn.Module):
    """A layer of spiking neurons; input current [T, B, C, ...] to spikes {0, 1} of the same shape.

    Args:
        kind: a name in ``NEURONS``.
        threshold: fires at ``v >= threshold``; one value, or a tensor [C] with one a channel.
        tau: time constant in steps, at least 1 (initial value for PLIF); one value, or a tensor [C].
        reset: ``hard`` (to 0), ``soft`` (minus the threshold) or ``none``.
        decay_input: ``v += (x - v) / tau`` if true, ``v += x - v / tau`` if not.
        detach_reset: whether the gradient ignores the reset.
        surrogate: a name in ``SURROGATES``; ``width`` defaults to that surrogate's own.
        compiled: whether the scan over time is compiled.

    Raises:
        SpaceError: an unknown name, or a value out of range.
    """

    emits = "binary"

    def __init__(
        self,
        kind: str = "plif",
        *,
        threshold: float | Tensor = 1.0,
        tau: float | Tensor = 2.0,
        reset: str = "hard",
        decay_input: bool = True,
        detach_reset: bool = True,
        surrogate: str = "atan",
        width: float | None = None,
        compiled: bool = True,
    ) -> None:
        super().__init__()
        if kind not in NEURONS:
            raise SpaceError(unknown("neuron", kind, NEURONS))
        if surrogate not in SURROGATES:
            raise SpaceError(unknown("surrogate", surrogate, SURROGATES))
        if reset not in RESETS:
            raise SpaceError(unknown("reset", reset, RESETS))
        threshold = _positive("threshold", threshold, above=0.0)
        tau = _positive("tau", tau, above=0.0 if not NEURONS[kind].leak else 1.0 - 1e-12)
        width = _positive("surrogate width", SURROGATES[surrogate].width if width is None else width, above=0.0)
        self.kind = kind
        self.compiled = compiled
        self.rule = Rule(
            leak=NEURONS[kind].leak,
            reset=reset,
            decay_input=decay_input,
            detach_reset=detach_reset,
            surrogate=surrogate,
        )
        self.register_buffer("threshold", threshold, persistent=False)
        self.register_buffer("width", width, persistent=False)
        if NEURONS[kind].learnt:
            if bool((tau <= 1).any()):
                raise SpaceError("tau 1 cannot be learnt: PLIF's decay sigmoid(w) stays below 1; use tau > 1, or lif")
            self.w = nn.Parameter(-torch.log(tau - 1).squeeze())
        else:
            self.register_buffer("fixed_decay", 1 / tau, persistent=False)

    def decay(self) -> Tensor:
        """Decay a step, 1 / tau, as [1] or [C]: learnt as ``sigmoid(w)`` by PLIF, which starts at w = 0 for tau = 2."""
        return torch.sigmoid(self.w).reshape(-1) if hasattr(self, "w") else self.fixed_decay

    def forward(self, x: Tensor) -> Tensor:
        """Spikes of input current ``x`` [T, B, C, ...]; memory format channels-last is kept."""
        p = {"threshold": self.threshold, "decay": self.decay(), "width": self.width}
        if x.dtype in (torch.float16, torch.bfloat16):
            return self._spikes(x.float(), p).to(x.dtype)  # membranes are float32
        return self._spikes(x, p)

    def _spikes(self, x: Tensor, p: dict[str, Tensor]) -> Tensor:
        rows = x.movedim(2, -1)
        flat = scan(rows.reshape(x.shape[0], -1, x.shape[2]), p, self.rule, compiled=self.compiled)
        return flat.view(rows.shape).movedim(-1, 2)

    def extra_repr(self) -> str:
        """Kind and reset."""
        return f"{self.kind}, reset={self.rule.reset}, surrogate={self.rule.surrogate}"


def _positive(name: str, value: float | Tensor, *, above: float) -> Tensor:
    """``value`` as a float32 tensor [1] or [C], all of it finite and above a bound."""
    tensor = torch.as_tensor(value, dtype=torch.float32).reshape(-1)
    low, high = tensor.min().item(), tensor.max().item()
    if not low > above or not math.isfinite(high):
        wanted = "a finite number above 0" if above == 0 else "a finite number of at least 1"
        raise SpaceError(f"{name} {low if not low > above else high:g} is out of range: give {wanted}")
    return tensor
