"""Spikes eight a byte, in C: see ``bits.c``. On any other machine they are packed by ``evaluators/packing.py``."""

import torch
from torch import Tensor

from spaces.native.library import kernels
from spaces.native.maps import is_half

BEYOND = 8  # bytes that may be read behind the last


def pack_bits(flat: Tensor) -> tuple[Tensor, int] | None:
    """A bit for each of the values [N], uint8 [N / 8, rounded up], and how many are set; None where one is not 0 or 1.

    They lie side by side, and are ``maps.readable``.
    """
    size = -(-len(flat) // 8)
    out = torch.empty(size + BEYOND, dtype=torch.uint8)[:size]
    count = kernels().pack_bits(flat.data_ptr(), len(flat), is_half(flat), out.data_ptr())
    return None if count < 0 else (out, count)


def unpack_bits(data: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """The first ``count`` bits as values [count]."""
    out = torch.empty(count, dtype=dtype)
    kernels().unpack_bits(data.data_ptr(), count, is_half(out), out.data_ptr())
    return out
