"""The passes over maps that batch normalisation is made of, in C: see ``norm.c``.

Maps are those of ``maps.py``; figures a channel are [C], and float64 where they come out.
"""

from math import lcm

import torch
from torch import Tensor

from spaces.native import maps
from spaces.native.library import check, kernels

MOST_SUMS = 2**14  # side by side, see ``cut_of`` in norm.c: 64 KiB of a thread's stack


def suits(*given: Tensor) -> bool:
    """Whether the kernels can work on these maps."""
    return maps.suits(*given) and lcm(given[0].shape[1], 64) <= MOST_SUMS


def moments(x: Tensor) -> Tensor:
    """Means and variances (with divisor N H W), [2, C]."""
    out = torch.empty(2, x.shape[1], dtype=torch.float64)
    check(kernels().norm_moments(x.data_ptr(), *_about(x), out.data_ptr(), torch.get_num_threads()))
    return out


def slopes(slope: Tensor, x: Tensor, mean: Tensor) -> Tensor:
    """Sums over N H W of ``slope (x - mean)`` and of ``slope``, [2, C]; mean [C] float64."""
    out = torch.empty(2, x.shape[1], dtype=torch.float64)
    pointers = (mean.data_ptr(), out.data_ptr())
    check(kernels().norm_sums(slope.data_ptr(), x.data_ptr(), *_about(x), *pointers, torch.get_num_threads()))
    return out


def sum_of_products(
    x: Tensor, along: Tensor, offset: Tensor, slope: Tensor | None = None, scale: Tensor | None = None
) -> Tensor:
    """``x along + slope scale + offset``, a map like ``x``; without a slope two terms."""
    figures = torch.stack([along, along if scale is None else scale, offset]).double()
    out = torch.empty_like(x)
    pointers = (x.data_ptr(), None if slope is None else slope.data_ptr(), out.data_ptr())
    kernels().norm_apply(*pointers, *_about(x), figures.data_ptr(), torch.get_num_threads())
    return out


def _about(x: Tensor) -> tuple[int, int, int]:
    """Rows, channels, and whether a map is of 16 bits a value."""
    return x.numel() // x.shape[1], x.shape[1], maps.is_half(x)
