"""Separability: how much of the classes a linear readout would tell from the firing rates behind it.

A candidate in a supernet bears a readout that was trained for all candidates at once and fits none, and its accuracy on
some thousand samples is a coarse figure. What its neurons have to say to a readout of their own is told without any
training: the firing rates that arrive at the readout are regressed on the classes, and the predicted R squared is the
share of the classes' variance that this explains in samples left out of it (PRESS: Allen, The relationship between
variable selection and data augmentation, Technometrics 1974; ridge regression: Hoerl & Kennard, Technometrics 1970).

A candidate of an ensemble has as many networks, and its readout sees the rates of all of them side by side: together
they are one network that is as many times as wide.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spaces.current import computed
from spaces.layers import Linear
from spaces.network import Network

PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # in units of the rates' mean variance
LEAST = 1e-10  # share of the largest variance below which a direction is rounding


def separability(rates: Tensor, labels: Tensor) -> float:
    """Predicted R squared of ridge regression from rates [n, d] to the classes of ``labels`` [n], at most 1.

    Each sample is predicted by the regression on all others, in closed form; the penalty is that of ``PENALTIES`` which
    predicts best, so 0 is about what rates without any information have. 0, too, where there is nothing to tell apart.
    """
    rates = rates.double() - rates.double().mean(0)
    classes = F.one_hot(labels).double()
    classes = classes - classes.mean(0)
    variance, spread = rates.square().mean().item(), classes.square().sum().item()
    if not variance or not spread:
        return 0.0
    n, d = rates.shape
    lengths, axes = torch.linalg.eigh(rates.T @ rates if d <= n else rates @ rates.T)
    kept = lengths > LEAST * lengths[-1]
    lengths, axes = lengths[kept], axes[:, kept]
    along = rates @ axes / lengths.sqrt() if d <= n else axes  # directions of the samples: the hat matrix shrinks these
    weights = along.T @ classes
    found = []
    for penalty in PENALTIES:
        shrunk = lengths / (lengths + penalty * variance * n)
        leverage = along.square() @ shrunk + 1 / n
        errors = (classes - along @ (shrunk[:, None] * weights)) / (1 - leverage)[:, None]
        found.append(1 - errors.square().sum().item() / spread)
    return max(found)


@dataclass(frozen=True, eq=False)
class Readings:
    """What a readout was given: the firing rates [n, d] of samples with ``labels`` [n]."""

    rates: Tensor
    labels: Tensor


def side_by_side(readings: Sequence[Readings]) -> float:
    """Separability of the same samples, in the same order, for a readout that sees the rates of several networks."""
    return separability(torch.cat([one.rates for one in readings], dim=1), readings[0].labels)


class Rates:
    """Firing rates that arrive at a network's readout.

    Attributes:
        gathered: those of each batch, [B, d].
    """

    def __init__(self) -> None:
        self._now: list[Tensor] = []
        self.gathered: list[Tensor] = []
        self._labels: list[Tensor] = []

    def see(self, spikes: Tensor) -> None:
        """Spikes [T, B, ...] at the readout, of all time steps or, where a network runs step by step, of the next."""
        self._now.append(computed(spikes).float().mean(0).flatten(1))

    def close(self, labels: Tensor) -> None:
        """Ends a batch that had labels [B]."""
        if self._now:
            self.gathered.append(torch.stack(self._now).mean(0))
            self._labels.append(labels)
            self._now = []

    def readings(self) -> Readings | None:
        """Those of all batches; None where nothing was gathered."""
        return Readings(torch.cat(self.gathered).cpu(), torch.cat(self._labels).cpu()) if self.gathered else None


@contextmanager
def reading(network: Network, *, wanted: bool = True) -> Iterator[Rates]:
    """Within, gathers the rates at the network's readout: the first ``Linear`` of its last link, or that link."""
    rates = Rates()
    if not wanted:
        yield rates
        return
    last = network.links()[-1]
    readout = next((module for module in last.modules() if isinstance(module, Linear)), last)

    def see(module: nn.Module, arriving: tuple[Tensor, ...]) -> None:
        rates.see(arriving[0])

    hook = readout.register_forward_pre_hook(see)
    try:
        yield rates
    finally:
        hook.remove()
