"""Layers that give maps their time, and T of a network: a number, a blank, or less for a while."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spaces.blanks import Filled, Free, Number, largest
from spaces.candidate import Value
from spaces.current import Current
from spaces.kinds import Kind


class Timed(Filled):
    """A layer that gives maps their time: [B, C, H, W] to [T, B, C, H, W]; what has time already goes through.

    Attributes:
        timesteps: T, which a candidate may decide on.
        limit: T is no more than this, see ``set_timesteps``.
    """

    def __init__(self, timesteps: Number) -> None:
        super().__init__()
        self.free = timesteps if isinstance(timesteps, Free) else None
        self.timesteps = int(largest(timesteps))
        self.limit: int | None = None

    def blanks(self) -> tuple[str, ...]:
        """The blank of T, if it is one."""
        return (self.free.blank,) if self.free else ()

    def fill(self, candidate: Mapping[str, Value]) -> None:
        """Takes T."""
        if self.free:
            self.timesteps = int(self.free.of(candidate))

    @property
    def steps(self) -> int:
        """T as it is now."""
        return self.timesteps if self.limit is None else min(self.timesteps, self.limit)


class Repeat(Timed):
    """Direct encoding: the same current at each of T steps."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [T, B, C, H, W]."""
        if x.dim() == 5:
            return x
        return x.repeated(self.steps) if isinstance(x, Current) else torch.stack([x] * self.steps)

    def emits(self, *kinds: Kind) -> Kind:
        """What it gets."""
        return kinds[0]


class Frame(nn.Module):
    """One time step of a map, for a part of a network that runs step by step."""

    def forward(self, x: Tensor, *, t: int) -> Tensor:
        """[T, ...] to [1, ...]."""
        return x[t : t + 1]

    def emits(self, *kinds: Kind) -> Kind:
        """What it gets."""
        return kinds[0]


class Frames(nn.Module):
    """Time steps in a row again."""

    def forward(self, *steps: Tensor) -> Tensor:
        """T maps [1, B, ...] to [T, B, ...]."""
        return torch.cat([step.flatten(0, 1) for step in steps]).unflatten(0, (len(steps), -1))

    def emits(self, *kinds: Kind) -> Kind:
        """What it gets."""
        return kinds[0]


def set_timesteps(network: nn.Module, timesteps: int) -> None:
    """Makes a network run at no more than this T; its weights do not depend on T."""
    for module in network.modules():
        if isinstance(module, Timed):
            module.limit = timesteps
