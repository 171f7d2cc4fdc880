"""Normalisations of currents: batch normalisation and three that know of thresholds or of time.

All are ``Norm``, so they are drawn by ``initialise``, renewed by BN recalibration and folded in counts like it, and all
run on the first channels where a map has fewer, and on the first steps where T is smaller than they were made for. The
weights that BNTT and TEBN hold for a step can be folded for that step only: hardware keeps T sets of synapses, or
scales the currents.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spaces.blanks import Filled, Free, Number, largest
from spaces.candidate import Value
from spaces.current import unscaled
from spaces.errors import SpaceError
from spaces.layers import Norm


class TDBN(Filled, Norm):
    """Threshold-dependent batch normalisation (Zheng et al., AAAI 2021): ``weight alpha V_th (x - m) / s + bias``.

    Mean m and deviation s are over batch, time and space. With a threshold of 1 and alpha 1 it is plain BN.

    Args:
        channels: of the map.
        threshold: V_th of the neuron behind, which may be a blank.
        alpha: 1, or 1 / sqrt(n) where n currents are added in front of the neuron.
    """

    def __init__(self, channels: Number, *, threshold: Number = 1.0, alpha: float = 1.0) -> None:
        super().__init__(channels)
        self.free = threshold if isinstance(threshold, Free) else None
        self.threshold = float(largest(threshold))
        self.alpha = alpha

    def blanks(self) -> tuple[str, ...]:
        """The blank of the threshold, if it is one."""
        return (self.free.blank,) if self.free else ()

    def fill(self, candidate: Mapping[str, Value]) -> None:
        """Takes the threshold."""
        if self.free:
            self.threshold = float(self.free.of(candidate))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised ``x`` [..., C, H, W], same shape."""
        x, c = unscaled(x), x.shape[-3]
        weight = self.weight[:c] * (self.alpha * self.threshold)
        state = (self.running_mean[:c], self.running_var[:c], weight, self.bias[:c])
        return self.normalised(x, *state, momentum=self.counted())

    def facts(self) -> dict[str, Any]:
        """See ``spaces.description``."""
        return super().facts() | {"kind": "td-batch-norm", "factor": self.alpha * self.threshold}


class BNTT(Norm):
    """Batch normalisation through time (Kim & Panda, 2021): statistics and weight of every step its own, [T, C].

    As in the paper no bias is learnt; the one that is here stays 0.
    """

    def __init__(self, channels: Number, *, timesteps: Number) -> None:
        super().__init__(channels)
        shape = (int(largest(timesteps)), self.num_features)
        del self.bias
        self.weight = nn.Parameter(torch.ones(shape))
        self.register_buffer("bias", torch.zeros(shape), persistent=False)
        self.register_buffer("running_mean", torch.zeros(shape))
        self.register_buffer("running_var", torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised ``x`` [T, B, C, H, W], same shape; raises SpaceError without time or beyond the T made for."""
        c, share = x.shape[-3], _within(self, x, len(self.weight)) and self.counted()
        steps = []
        for t, step in enumerate(x):
            state = (self.running_mean[t, :c], self.running_var[t, :c], self.weight[t, :c], self.bias[t, :c])
            steps.append(self.normalised(step, *state, momentum=share))
        return torch.stack(steps)

    def facts(self) -> dict[str, Any]:
        """See ``spaces.description``."""
        return super().facts() | {"kind": "bntt", "timesteps": len(self.weight)}


class TEBN(Norm):
    """Temporal effective batch normalisation (Duan et al., NeurIPS 2022): BN over time, times a learnt weight a step.

    Attributes:
        scale: p[t], [T], 1 at first.
    """

    def __init__(self, channels: Number, *, timesteps: Number) -> None:
        super().__init__(channels)
        self.scale = nn.Parameter(torch.ones(int(largest(timesteps))))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised ``x`` [T, B, C, H, W], same shape; raises SpaceError without time or beyond the T made for."""
        _within(self, x, len(self.scale))
        return super().forward(x) * self.scale[: len(x)].to(x.dtype).view(-1, 1, 1, 1, 1)

    def facts(self) -> dict[str, Any]:
        """See ``spaces.description``."""
        return super().facts() | {"kind": "tebn", "timesteps": len(self.scale)}


MakeNorm = Callable[..., Norm]


def _bn(channels: Number, *, timesteps: Number, threshold: Number = 1.0, alpha: float = 1.0) -> Norm:
    return Norm(channels)


def _tdbn(channels: Number, *, timesteps: Number, threshold: Number = 1.0, alpha: float = 1.0) -> Norm:
    return TDBN(channels, threshold=threshold, alpha=alpha)


def _bntt(channels: Number, *, timesteps: Number, threshold: Number = 1.0, alpha: float = 1.0) -> Norm:
    return BNTT(channels, timesteps=timesteps)


def _tebn(channels: Number, *, timesteps: Number, threshold: Number = 1.0, alpha: float = 1.0) -> Norm:
    return TEBN(channels, timesteps=timesteps)


# (channels, timesteps=T, threshold=V_th of the neuron behind, alpha=see TDBN) -> norm; each takes what it needs
NORMS: Mapping[str, MakeNorm] = {"bn": _bn, "tdbn": _tdbn, "bntt": _bntt, "tebn": _tebn}


def _within(norm: Norm, x: Tensor, timesteps: int) -> bool:
    """True; raises SpaceError for a map without time, or with more of it than the norm was made for."""
    name = type(norm).__name__
    if x.dim() != 5:
        raise SpaceError(f"{name} gets a map without time: put it behind the encoder, or take bn")
    if len(x) > timesteps:
        raise SpaceError(f"{name} made for {timesteps} time steps gets {len(x)}: make it for as many, or run fewer")
    return True
