"""What the firing rates at a candidate's readout tell of the classes, whatever its readout makes of them.

A candidate in a supernet bears a readout that was trained for all candidates at once and fits none, and its accuracy on
some thousand samples is a coarse figure. What its neurons have to say to a readout of their own is told without any
training, by two columns of a score:

- ``separability``: how much of the classes a linear readout would tell from the rates. They are regressed on the
  classes, and the predicted R squared is the share of the classes' variance that this explains in samples left out of
  it (PRESS: Allen, The relationship between variable selection and data augmentation, Technometrics 1974; ridge
  regression: Hoerl & Kennard, Technometrics 1970).
- ``alignment``: how far samples that fire alike are of a class. A ridge regression smooths the classes over samples
  that fire alike, and its centred alignment with the classes is the cosine between what it does and what it should
  (Cortes et al., Algorithms for learning kernels based on centered alignment, JMLR 2012; Kornblith et al.,
  Similarity of neural network representations revisited, ICML 2019).

The first asks what can be told by the best of all readouts, be it from the last detail of the rates; the second
asks whether it is their main differences that tell, on which training would build.

A skip into the last sum before the readout brings what tells less of the classes than the terms beside it. A network
that is trained alone weighs the two; weights of a supernet, which are for all paths at once, cannot. So a candidate out
of a supernet has the better alignment of the two that it has with such a skip and without it.

A candidate of an ensemble has as many networks, and its readout sees the rates of all of them side by side: together
they are one network that is as many times as wide.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spaces.candidate import ALIGNMENT
from spaces.current import computed
from spaces.layers import Add, Conv, Linear
from spaces.network import Network

# of the regression for separability, in units of the rates' mean variance; more rates want a larger one
PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
SMOOTHING = 4.0  # penalty of that for alignment, in units of the samples' mean squared distance from their mean
LEAST = 1e-10  # share of the largest below which a length is rounding


@dataclass(frozen=True, eq=False)
class Readings:
    """What a readout was given: the firing rates [n, d] of samples with ``labels`` [n].

    Attributes:
        skipped: whether a skip led into the last sum before it, with other terms beside.
    """

    rates: Tensor
    labels: Tensor
    skipped: bool = False


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Firing rates of n samples, less their mean, as k principal components, and the samples' classes.

    Attributes:
        lengths: variance along each, summed over samples, [k].
        along: where samples lie along each, in units of its length's root, [n, k].
        classes: one-hot classes, less their mean, [n, c].
        rates: how many there are.
    """

    lengths: Tensor
    along: Tensor
    classes: Tensor
    rates: int


def spectrum(rates: Tensor, labels: Tensor) -> Spectrum | None:
    """That of rates [n, d] and labels [n]; None where there is nothing to tell apart."""
    n, d = rates.shape
    rates = rates.double() - rates.double().mean(0)
    classes = F.one_hot(labels).double()
    classes = classes - classes.mean(0)
    if not rates.any() or not classes.any():
        return None
    lengths, axes = torch.linalg.eigh(rates.T @ rates if d <= n else rates @ rates.T)
    kept = lengths > LEAST * lengths[-1]
    lengths, axes = lengths[kept], axes[:, kept]
    return Spectrum(lengths, rates @ axes / lengths.sqrt() if d <= n else axes, classes, d)


def separability(of: Spectrum) -> float:
    """Predicted R squared of ridge regression from the rates to the classes, at most 1.

    Each sample is predicted by the regression on all others, in closed form; the penalty is that of ``PENALTIES`` which
    predicts best, so 0 is about what rates without any information have.
    """
    weights = of.along.T @ of.classes
    found = []
    for penalty in PENALTIES:
        shrunk = of.lengths / (of.lengths + penalty * of.lengths.sum() / of.rates)
        leverage = of.along.square() @ shrunk + 1 / len(of.classes)
        errors = (of.classes - of.along @ (shrunk[:, None] * weights)) / (1 - leverage)[:, None]
        found.append(1 - (errors.square().sum() / of.classes.square().sum()).item())
    return max(found)


def alignment(of: Spectrum) -> float:
    """Centred alignment, at most 1, of the rates' ridge smoother with the classes.

    With rates X and one-hot classes Y, less their means over samples, the smoother is S = K (K + p I)^-1, where
    K = X X' and p is ``SMOOTHING`` times K's mean diagonal, and its target is Y Y'. Both act on the n - 1 directions
    that sum to 0; less the multiple of the identity there that has their trace, they are two vectors, and this is their
    cosine. So it is 0 in mean over all orders of the labels, whatever the rates. As p grows, S becomes K; as p goes to
    0, every direction of the rates counts alike.
    """
    directions = len(of.classes) - 1
    shrunk = of.lengths / (of.lengths + SMOOTHING * of.lengths.sum() / len(of.classes))
    told = (of.along.T @ of.classes).square().sum(1)  # of the classes, along each
    trace, target = shrunk.sum(), of.classes.square().sum()
    square = shrunk.square().sum() - trace**2 / directions
    target_square = (of.classes.T @ of.classes).square().sum() - target**2 / directions
    if square <= LEAST * trace**2 or target_square <= LEAST * target**2:  # all samples are alike far from each other
        return 0.0
    return ((shrunk @ told - trace * target / directions) / (square * target_square).sqrt()).item()


MEASURES: dict[str, Callable[[Spectrum], float]] = {"separability": separability, ALIGNMENT: alignment}


def measured(readings: Sequence[Readings], names: Sequence[str]) -> dict[str, float]:
    """Those of ``MEASURES`` that are named, for a readout that sees the rates of several networks.

    Of the same samples, in the same order. All are 0 where there is nothing to tell apart.
    """
    of = spectrum(torch.cat([one.rates for one in readings], dim=1), readings[0].labels) if names else None
    return {name: 0.0 if of is None else MEASURES[name](of) for name in names}


class Rates:
    """Firing rates that arrive at a network's readout.

    Attributes:
        gathered: those of each batch, [B, d].
        skipped: whether a skip led into the last sum before it, with other terms beside.
    """

    def __init__(self) -> None:
        self.skipped = False
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
        if not self.gathered:
            return None
        return Readings(torch.cat(self.gathered).cpu(), torch.cat(self._labels).cpu(), self.skipped)


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

    def note(own: Sequence[Tensor]) -> None:
        rates.skipped = True

    hook = readout.register_forward_pre_hook(see)
    try:
        with _at_skips(network, note):
            yield rates
    finally:
        hook.remove()


def without_skips(network: Network) -> AbstractContextManager[None]:
    """Within, skips into the last sum before the readout are left out of it where there are terms beside them."""
    return _at_skips(network, tuple)


@contextmanager
def _at_skips(network: Network, see: Callable[[Sequence[Tensor]], tuple[Tensor, ...] | None]) -> Iterator[None]:
    """Within, ``see`` is told the terms that the last sum has beside its skips, and may say that these be its terms.

    A skip is a term that entered the block around the sum as it is.
    """
    block, add = _last_sum(network)
    if add is None:
        yield
        return
    entered: list[object] = []

    def enter(module: nn.Module, arriving: tuple[object, ...]) -> None:
        entered[:] = [x for one in arriving for x in (one if isinstance(one, list | tuple) else [one])]

    def add_up(module: nn.Module, terms: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        own = [term for term in terms if not any(term is x for x in entered)]
        return see(own) if 0 < len(own) < len(terms) else None

    hooks = [block.register_forward_pre_hook(enter), add.register_forward_pre_hook(add_up)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _last_sum(network: nn.Module) -> tuple[nn.Module, Add | None]:
    """The block around the last sum, and that sum; None where a convolution follows, or there is none."""
    found: tuple[nn.Module, Add | None] = network, None

    def look(inside: nn.Module, block: nn.Module) -> None:
        nonlocal found
        for module in inside.children():
            if isinstance(module, Conv):
                found = network, None
            elif isinstance(module, Add):
                found = block, module
            else:
                look(module, block if isinstance(module, nn.ModuleList | nn.ModuleDict) else module)

    look(network, network)
    return found
