"""Neurons in C where nothing is learnt: LIF, PLIF and IF over all time steps, and the norms in front of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spaces.native import maps
from spaces.native.library import kernels

RESETS = ("hard", "soft", "none")  # in the order of fire.c
MOST_TERMS = 2
EXACT = 2**24  # whole numbers below are exact in float32
MOST_CHANNELS = 2**12  # figures a channel are 16 at most, and six, on a thread's stack


@dataclass(frozen=True, eq=False)
class Term:
    """A map [..., C, H, W] of which every channel is scaled and then shifted.

    Attributes:
        map: channels last; time steps may be one and the same memory.
        along, offset: [C]; None is a map as it is.
    """

    map: Tensor
    along: Tensor | None = None
    offset: Tensor | None = None


def suits(terms: Sequence[Term]) -> bool:
    """Whether the kernel can add up these currents, maps with time."""
    first = terms[0].map
    return (
        len(terms) <= MOST_TERMS
        and first.dim() == 5
        and 0 < len(first) * first.shape[1] < EXACT
        and first.shape[2] <= MOST_CHANNELS
        and all(term.map.shape == first.shape for term in terms)
        and maps.suits(*(term.map[0] for term in terms))
    )


def fire(
    terms: Sequence[Term], *, decay: Tensor, threshold: Tensor, decay_input: bool, reset: str
) -> tuple[Tensor, Tensor] | None:
    """Spikes for the sum of the terms, like their maps, and how many they are by position, [C, H, W] in float32.

    None where a membrane is not finite.

    Args:
        terms: those that ``suits``, in no more than one type.
        decay, threshold: [1] or [C]; of a neuron without a leak the decay is 0, and its input is not scaled.
        decay_input: whether the input is scaled by the decay.
        reset: one of ``RESETS``.
    """
    first = terms[0].map
    steps, batch, c, h, w = first.shape
    one, zero = torch.ones(c), torch.zeros(c)
    figures = [(one, zero) if term.along is None else (term.along, term.offset) for term in terms]
    figures += [(one, zero)] * (MOST_TERMS - len(terms)) + [(decay.expand(c), threshold.expand(c))]
    by_channel = torch.stack([row.float() for pair in figures for row in pair])
    out = torch.empty(steps, batch, h, w, c, dtype=first.dtype)
    sums = torch.empty(h, w, c)
    pointers = [(term.map.data_ptr(), term.map.stride(0)) for term in terms] + [(None, 0)] * (MOST_TERMS - len(terms))
    about = (steps, batch, c * h * w, c, maps.is_half(first), int(decay_input), RESETS.index(reset))
    results = (out.data_ptr(), sums.data_ptr(), torch.get_num_threads())
    if not kernels().fire(*pointers[0], *pointers[1], *about, by_channel.data_ptr(), *results):
        return None
    return out.permute(0, 1, 4, 2, 3), sums.permute(2, 0, 1)
