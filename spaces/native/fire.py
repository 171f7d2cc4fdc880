"""Neurons in C: LIF, PLIF and IF over all time steps, and what is in front of them.

That is a norm, the sum of two currents, and, where nothing is learnt, a convolution of spikes, whose currents then
never come to lie in memory.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from spaces.native import conv, maps
from spaces.native.library import check, kernels

RESETS = ("hard", "soft", "none")  # in the order of neurons.h
SURROGATES = ("atan", "sigmoid", "triangle", "rectangle", "exponential")  # in the order of fire_backward.c
MOST_TERMS = 2
NO_SPIKES = 2  # says fire.c
EXACT = 2**24  # whole numbers below are exact in float32
MOST_CHANNELS = 2**12  # figures a channel are 16 at most, and six, on a thread's stack


@dataclass(frozen=True, eq=False)
class Term:
    """A map [..., C, H, W] of which every channel is scaled and then shifted.

    Attributes:
        map: channels last; time steps may be one and the same memory.
        along, offset: [C]; None is a map as it is.
        kernel: the map is to be convolved with it first, [C, C_in, k, k], see ``conv.waits``; None is not at all.
    """

    map: Tensor
    along: Tensor | None = None
    offset: Tensor | None = None
    kernel: Tensor | None = None

    @property
    def shape(self) -> torch.Size:
        """[..., C, H, W]."""
        shape = self.map.shape
        return shape if self.kernel is None else torch.Size((*shape[:-3], len(self.kernel), *shape[-2:]))

    @property
    def stride(self) -> tuple[int, ...]:
        """How far apart values lie."""
        if self.kernel is None:
            return self.map.stride()
        *outer, c, h, w = self.shape
        apart = [c * h * w * math.prod(outer[i + 1 :]) for i in range(len(outer))]
        return (*apart, 1, w * c, c)

    def convolved(self, *, spikes: bool = True) -> "Term":
        """The same with the convolution done; without ``spikes`` it is known that the map has more than 0 and 1."""
        if self.kernel is None:
            return self
        x = self.map.flatten(0, -4)
        out = conv.spikes_convolved(x, self.kernel, x.dtype) if spikes else None
        if out is None:
            out = conv.dense(x, self.kernel.to(x.dtype)).contiguous(memory_format=torch.channels_last)
        return replace(self, map=out.unflatten(0, self.map.shape[:-3]), kernel=None)


def suits(terms: Sequence[Term]) -> bool:
    """Whether the kernel can add up these currents, maps with time."""
    first = terms[0].shape
    return (
        len(terms) <= MOST_TERMS
        and len(first) == 5
        and 0 < first[0] * first[1] < EXACT
        and first[2] <= MOST_CHANNELS
        and all(term.shape == first and term.map.dtype == terms[0].map.dtype for term in terms)
        and all(maps.suits(term.map[0]) for term in terms)
    )


def in_order(terms: Sequence[Term]) -> list[Term]:
    """Terms that ``suits`` as the kernels take them, for a sum has no order: only the first has a kernel still."""
    first, *others = sorted(terms, key=lambda term: term.kernel is None)
    return [first, *(term.convolved() for term in others)]


def figures_of(terms: Sequence[Term], *, decay: Tensor, threshold: Tensor, width: Tensor) -> Tensor:
    """What the kernels know of channels, [7, C] in float32: scales and shifts of two terms, and these, each [1] or [C].

    Of a neuron without a leak the decay is 0, and its input is not scaled.
    """
    c = terms[0].shape[2]
    plain = (torch.ones(c), torch.zeros(c))
    pairs = [plain if term.along is None else (term.along, term.offset) for term in terms]
    pairs += [plain] * (MOST_TERMS - len(terms))
    rows = [row for pair in pairs for row in pair] + [row.expand(c) for row in (decay, threshold, width)]
    with torch.no_grad():
        return torch.stack(rows).float()


def fire(terms: Sequence[Term], figures: Tensor, *, decay_input: bool, reset: str) -> tuple[Tensor, Tensor] | None:
    """Spikes for the sum of the terms, like their maps, and how many they are by position, [C, H, W] in float32.

    None where a membrane is not finite.

    Args:
        terms: some that are ``in_order``.
        figures: ``figures_of`` them.
        decay_input: whether the input is scaled by the decay.
        reset: one of ``RESETS``.

    Raises:
        MemoryError: not enough for a convolution.
    """
    first, *others = terms
    steps, batch, c, h, w = first.shape
    out = torch.empty(steps, batch, h, w, c, dtype=first.map.dtype)
    sums = torch.empty(h, w, c)
    second = _where(others[0]) if others else (None, 0)
    rule = (maps.is_half(out), int(decay_input), RESETS.index(reset))
    results = (figures.data_ptr(), out.data_ptr(), sums.data_ptr(), torch.get_num_threads())
    status = NO_SPIKES
    if first.kernel is not None:
        kernel = first.kernel.contiguous()
        given = (first.map.data_ptr(), kernel.data_ptr(), *kernel.shape[1:3], *second)
        status = kernels().convolve_and_fire(*given, steps, batch, h, w, c, *rule, *results)
        check(min(status, 0))
    if status == NO_SPIKES:
        first = first.convolved(spikes=False)
        status = kernels().fire(*_where(first), *second, steps, batch, c * h * w, c, *rule, *results)
    return (out.permute(0, 1, 4, 2, 3), sums.permute(2, 0, 1)) if status else None


def fire_backward(
    slope: Tensor,
    terms: Sequence[Term],
    figures: Tensor,
    *,
    decay_input: bool,
    reset: str,
    detach_reset: bool,
    surrogate: str,
) -> tuple[Tensor, Tensor]:
    """Gradients of the sum of the terms, like their maps, and of the decay by channel, [C] in float64.

    Args:
        slope: gradient of the spikes, like the maps.
        terms, figures, decay_input, reset: as ``fire`` was given them, without a kernel.
        detach_reset: whether the gradient ignores the reset.
        surrogate: one of ``SURROGATES``.

    Raises:
        MemoryError: not enough.
    """
    steps, batch, c, h, w = terms[0].shape
    slope = slope.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    out = torch.empty_like(slope)
    for_decay = torch.empty(c, dtype=torch.float64)
    maps_of = [_where(term) for term in terms] + [(None, 0)] * (MOST_TERMS - len(terms))
    rule = (int(decay_input), RESETS.index(reset), int(detach_reset), SURROGATES.index(surrogate))
    results = (figures.data_ptr(), out.data_ptr(), for_decay.data_ptr(), torch.get_num_threads())
    sizes = (steps, batch, c * h * w, c, maps.is_half(slope))
    check(kernels().fire_backward(*maps_of[0], *maps_of[1], slope.data_ptr(), *sizes, *rule, *results))
    return out.unflatten(0, (steps, batch)), for_decay


def _where(term: Term) -> tuple[int, int]:
    """Where a map is, and how far apart its time steps lie."""
    return term.map.data_ptr(), term.map.stride(0)
