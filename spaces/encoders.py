"""Encoders: images to spikes. Direct encoding needs none; a recording goes through all of them unchanged.

Images arrive normalised, as real numbers. ``intensity`` maps a sample's smallest value to 0 and its largest to 1: the
same image but for brightness and contrast, whatever the task's normalisation. All values are whole numbers from there
on, so that spikes are the same on every machine, in every batch. The first steps at a large T are those at a small T.

Behind an encoder the stem sees spikes at every step, and its work counts as synaptic operations.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from spaces.blanks import Number
from spaces.kinds import BINARY, TERNARY, Kind
from spaces.layers import Conv, Scale, over_time
from spaces.timing import Repeat, Timed

LEVELS = 2**16 - 1
PHASES = 8  # bits of an intensity


def intensity(x: Tensor, levels: int) -> Tensor:
    """Whole numbers 0..levels: ``x`` [B, C, H, W] between its sample's smallest and largest value; 0 if constant."""
    low, high = (value.view(-1, 1, 1, 1) for value in x.float().flatten(1).aminmax(dim=1))
    spread = torch.where(high > low, high - low, 1.0)
    return ((x.float() - low) / spread * levels).round().long()


class Encoder(Timed, ABC):
    """What all encoders do: ``spike(x, t)`` gives the spikes of step t of what ``prepare`` made of the images."""

    kind = BINARY

    def prepare(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] as whole numbers."""
        return intensity(x, LEVELS)

    @abstractmethod
    def spike(self, values: Tensor, t: int) -> Tensor:
        """Spikes [B, C, H, W] of step t, counted from 0."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to spikes [T, B, C, H, W]; a recording as it is."""
        if x.dim() == 5:
            return x
        values = self.prepare(x)
        spikes = torch.stack([self.spike(values, t) for t in range(self.steps)]).to(x.dtype)
        return over_time(lambda maps: maps.contiguous(memory_format=torch.channels_last), spikes)

    def emits(self, *kinds: Kind) -> Kind:
        """Its spikes; a recording's events stay what they are."""
        return kinds[0] if kinds[0].spiking else self.kind


class Rate(Encoder):
    """Poisson (rate) encoding: a spike with the probability of the intensity, at every step anew.

    Chance is an integer hash of the image, the pixel's index and the step: a pure function of the image.
    """

    def prepare(self, x: Tensor) -> Tensor:
        """Intensities and random keys, stacked, [2, B, C, H, W]."""
        values = intensity(x, LEVELS)
        index = _mix(torch.arange(values[0].numel(), device=x.device).view(values.shape[1:]))
        image = _mix(index ^ values).sum((1, 2, 3), keepdim=True) & MASK
        return torch.stack([values, _mix(index ^ image)])

    def spike(self, values: Tensor, t: int) -> Tensor:
        """See ``Encoder``."""
        step = _mix(torch.full((), t + 1, device=values.device))
        return _mix(values[1] ^ step) % LEVELS < values[0]


class Latency(Encoder):
    """Time to first spike: one spike a pixel, at step ``round((1 - intensity) (T - 1))``, the brightest first.

    T is that of the network; where it runs fewer steps, darker pixels stay silent.
    """

    def spike(self, values: Tensor, t: int) -> Tensor:
        """See ``Encoder``."""
        last = self.timesteps - 1
        return (2 * (LEVELS - values) * last + LEVELS) // (2 * LEVELS) == t


class Phase(Encoder):
    """Phase encoding (Kim et al., Deep neural networks with weighted spikes, 2018): an intensity's bits, highest first.

    A spike of step t stands for ``weight(t) = 2^-(1 + t mod 8)``; a period of 8 steps gives floor(256 intensity) / 256,
    and at most 255 / 256. Spikes themselves are binary: ``Weighed`` puts their weights on the current that they cause.
    """

    def prepare(self, x: Tensor) -> Tensor:
        """Intensities as 8 bits."""
        return (intensity(x, LEVELS) * 2**PHASES // LEVELS).clamp(max=2**PHASES - 1)

    def spike(self, values: Tensor, t: int) -> Tensor:
        """See ``Encoder``."""
        return values >> (PHASES - 1 - t % PHASES) & 1

    @staticmethod
    def weights(timesteps: int, device: torch.device) -> Tensor:
        """What a spike of each step stands for, [T, 1, 1, 1, 1]."""
        return 0.5 ** (1 + torch.arange(timesteps, device=device) % PHASES).view(-1, 1, 1, 1, 1)


class SigmaDelta(Encoder):
    """First-order sigma-delta modulation of the image, held over time: spikes of both signs, none where it is 0.

    Values are divided by the sample's largest magnitude, so that 0, the mean of a normalised image, stays silent. What
    was sent so far is within 1/2 of what should have been: after t steps their sum is ``floor(t x + 1/2)``.
    """

    kind = TERNARY

    def prepare(self, x: Tensor) -> Tensor:
        """Values -LEVELS..LEVELS."""
        top = x.float().abs().amax((1, 2, 3), keepdim=True)
        return (x.float() / torch.where(top > 0, top, 1.0) * LEVELS).round().long()

    def spike(self, values: Tensor, t: int) -> Tensor:
        """See ``Encoder``."""
        sent, due = ((2 * steps * values + LEVELS) // (2 * LEVELS) for steps in (t, t + 1))
        return due - sent


class Encoded(nn.Module):
    """An encoder and a layer of synapses behind it."""

    def __init__(self, encode: nn.Module, conv: Conv) -> None:
        super().__init__()
        self.encode, self.conv = encode, conv

    def forward(self, x: Tensor) -> Tensor:
        """Current of images [B, C, H, W], or of a recording."""
        return self.conv(self.encode(x))


class Weighed(Encoded):
    """Phase encoding, with currents that are weighed by phase.

    Weights are powers of two, yet counted as multiply-accumulates, one a value: an upper bound.
    """

    def __init__(self, encode: Phase, conv: Conv) -> None:
        super().__init__(encode, conv)
        self.scale = Scale()

    def forward(self, x: Tensor) -> Tensor:
        """Current of images [B, C, H, W], or of a recording, without weights."""
        current = super().forward(x)
        return current if x.dim() == 5 else self.scale(current, Phase.weights(len(current), x.device))


# T -> encoder; direct encoding is that of ``Repeat``, behind the stem's norm
ENCODERS: Mapping[str, Callable[[Number], nn.Module]] = {
    "direct": nn.Identity,
    "rate": Rate,
    "latency": Latency,
    "phase": Phase,
    "delta": SigmaDelta,
}


def encoded(name: str, conv: Conv, norm: nn.Module, timesteps: Number) -> nn.Sequential:
    """A stem: images [B, C, H, W], or a recording, to currents [T, B, C, H, W] by encoder, convolution and norm."""
    encode = ENCODERS[name](timesteps)
    first = Weighed if isinstance(encode, Phase) else Encoded
    return nn.Sequential(first(encode, conv), norm, Repeat(timesteps))


MASK = 2**32 - 1


def _mix(x: Tensor) -> Tensor:
    """An integer hash of 32 bits: multiply and xor-shift, the constants found by Wellons' search (lowbias32)."""
    x = x & MASK
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & MASK
    return x ^ (x >> 16)
