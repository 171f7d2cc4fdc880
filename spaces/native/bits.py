"""Spikes eight a byte, in C: see ``bits.c``. On any other machine they are packed by ``evaluators/packing.py``."""

import torch
from torch import Tensor

from spaces.native.library import kernels
from spaces.native.maps import is_half


def suits(flat: Tensor) -> bool:
    """Whether the kernels can pack these values [N]: float32 or bfloat16, on the CPU, side by side."""
    return (
        flat.device.type == "cpu"
        and flat.dtype in (torch.float32, torch.bfloat16)
        and flat.is_contiguous()
        and kernels() is not None
    )


def pack_bits(flat: Tensor) -> Tensor | None:
    """A bit for each of the values [N] that ``suits``, uint8 [N / 8, rounded up]; None where one is not 0 or 1."""
    out = torch.empty(-(-len(flat) // 8), dtype=torch.uint8)
    return out if kernels().pack_bits(flat.data_ptr(), len(flat), is_half(flat), out.data_ptr()) else None


def unpack_bits(data: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """The first ``count`` bits as values [count]."""
    out = torch.empty(count, dtype=dtype)
    kernels().unpack_bits(data.data_ptr(), count, is_half(out), out.data_ptr())
    return out
