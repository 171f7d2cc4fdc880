"""Spikes eight a byte, in C: see ``bits.c``. On any other machine they are packed by ``evaluators/packing.py``."""

import torch
from torch import Tensor

from spaces.native.library import kernels
from spaces.native.maps import is_half


def pack_bits(flat: Tensor) -> Tensor | None:
    """A bit for each of the values [N], uint8 [N / 8, rounded up]; None where one is not 0 or 1.

    They lie side by side, and are ``maps.readable``.
    """
    out = torch.empty(-(-len(flat) // 8), dtype=torch.uint8)
    return out if kernels().pack_bits(flat.data_ptr(), len(flat), is_half(flat), out.data_ptr()) else None


def unpack_bits(data: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """The first ``count`` bits as values [count]."""
    out = torch.empty(count, dtype=dtype)
    kernels().unpack_bits(data.data_ptr(), count, is_half(out), out.data_ptr())
    return out
