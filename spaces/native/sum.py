"""Sums over the samples of a map, position by position."""

import torch
from torch import Tensor

from spaces.native.library import kernels
from spaces.native.maps import is_half


def sum_rows(x: Tensor) -> Tensor:
    """Sum over N of ``x`` [N, ...], of a type that is ``maps.readable``, like a row of it but in float32.

    Rows are dense and follow each other in memory; they are added one after the other.
    """
    out = torch.empty_like(x[0], dtype=torch.float32)
    kernels().sum_rows(x.data_ptr(), len(x), out.numel(), is_half(x), out.data_ptr(), torch.get_num_threads())
    return out
