"""Batch normalisation whose statistics do not depend on who computes them: sums are taken in one order.

PyTorch's own sums up as many stretches of a batch as there are threads, which on channels-last maps is also tens of
times less exact; a difference in the last digit then flips spikes. On the CPU it runs in C, see ``native/norm.c``, 1.4
to 2 times as quick as PyTorch's; on a GPU a whole batch is PyTorch's.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from spaces.current import Current, computed, terms_of
from spaces.native import norm as native
from spaces.native.fire import Term

Exchange = Callable[[Tensor], Sequence[Tensor]]  # this one's row -> the rows of all who share a batch, in order


def alone(row: Tensor) -> Sequence[Tensor]:
    """The exchange of one who has the whole batch."""
    return (row,)


def batch_norm(
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    training: bool,
    momentum: float,
    eps: float,
    exchange: Exchange = alone,
    compiled: bool = True,
) -> Tensor:
    """As ``torch.nn.functional.batch_norm`` on the maps [..., C, H, W] of all who share a batch; ``x`` are this one's.

    They may be a current that is ``unscaled``. With ``compiled`` it runs in C where it can, and is then a ``Current``,
    not yet computed.

    Raises:
        ValueError: a whole batch in training has one value a channel, which has no variance.
    """
    channels = x.shape[-3]
    if training and exchange is alone and x.numel() == channels:
        raise ValueError(f"a batch of {x.shape[0]} with one value a channel has no variance: give more samples")
    later = compiled and not torch.is_grad_enabled() and (isinstance(x, Current) or native.suits(_flat(x)))
    if training or not later:
        x = computed(x)
    if training and (exchange is not alone or x.device.type == "cpu"):
        with torch.no_grad():
            count, (mean, var) = x.numel() // channels, moments(_flat(x), compiled=compiled)
            if exchange is not alone:
                count, mean, var = _pooled(count, mean, var, exchange)
            running_mean.lerp_(mean.to(running_mean), momentum)
            running_var.lerp_((var * count / (count - 1)).to(running_var), momentum)
            rate = (var + eps).rsqrt()
        if not later:
            return _BatchNorm.apply(x, weight, bias, count, mean, rate, exchange, compiled)
    elif later:
        mean, rate = running_mean, (running_var + eps).rsqrt()
    else:
        return F.batch_norm(_flat(x), running_mean, running_var, weight, bias, training, momentum, eps).view_as(x)
    scale = rate * weight
    (term,) = terms_of(x)
    return Current(replace(term, along=scale, offset=bias - mean * scale))


class _BatchNorm(torch.autograd.Function):
    """Batch normalisation over all who share a batch, (x - mean) weight / sqrt(var + eps) + bias, [..., C, H, W]."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        count: int | Tensor,
        mean: Tensor,
        rate: Tensor,
        exchange: Exchange,
        compiled: bool,
    ) -> Tensor:
        scale = rate * weight
        ctx.save_for_backward(x, weight, mean, rate)
        ctx.samples, ctx.exchange, ctx.compiled = count, exchange, compiled
        offset = bias - mean * scale
        if compiled and native.suits(_flat(x)):
            return Current(Term(x.detach(), scale, offset))
        return _sum_of_products(_flat(x), scale, offset, compiled=compiled).view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, weight, mean, rate = ctx.saved_tensors
        shape, x, slope = x.shape, _flat(x), _flat(slope).contiguous(memory_format=torch.channels_last)
        own = _slopes(slope, x, mean, compiled=ctx.compiled)
        own[0] *= rate
        for_weight, for_bias = reduce(torch.add, ctx.exchange(own.flatten())).view(2, -1)
        scale = rate * weight
        along = -scale * rate * for_weight / ctx.samples  # (Ioffe & Szegedy, 2015)
        offset = -scale * for_bias / ctx.samples - along * mean
        inwards = _sum_of_products(x, along, offset, slope, scale, compiled=ctx.compiled)
        return inwards.view(shape), own[0].to(weight), own[1].to(weight), *[None] * 5


def moments(x: Tensor, *, compiled: bool = True) -> Tensor:
    """Mean and variance (with divisor N H W) of the channels of ``x`` [N, C, H, W], [2, C] in float64."""
    if compiled and native.suits(x):
        return native.moments(x)
    rows = _rows(x)
    mean = _sum(rows).double() / len(rows)
    return torch.stack([mean, _sum((rows - mean.to(rows)).square_()).double() / len(rows)])


def _slopes(slope: Tensor, x: Tensor, mean: Tensor, *, compiled: bool) -> Tensor:
    """Sums over N H W of ``slope (x - mean)`` and of ``slope``, [2, C] in float64."""
    if compiled and native.suits(x, slope):
        return native.slopes(slope, x, mean)
    rows, slopes = _rows(x), _rows(slope)
    return torch.stack([_sum(slopes * (rows - mean.to(rows))), _sum(slopes)]).double()


def _sum_of_products(
    x: Tensor,
    along: Tensor,
    offset: Tensor,
    slope: Tensor | None = None,
    scale: Tensor | None = None,
    *,
    compiled: bool,
) -> Tensor:
    """``x along + slope scale + offset``, [N, C, H, W] like ``x``; without slope two terms; figures a channel [C]."""
    if compiled and native.suits(x, *([] if slope is None else [slope])):
        return native.sum_of_products(x, along, offset, slope, scale)
    wide = _wide(x)
    found = torch.addcmul(_map(offset, wide), wide, _map(along, wide))
    return (found if slope is None else found.addcmul_(_wide(slope), _map(scale, wide))).to(x.dtype)


def _sum(rows: Tensor) -> Tensor:
    """Sum [C] of rows [R, C]. A channel is summed by one thread; a single one would be by all, so it gets company."""
    return F.pad(rows, (0, 1)).sum(0)[:1] if rows.shape[1] == 1 else rows.sum(0)


def _pooled(count: int, mean: Tensor, var: Tensor, exchange: Exchange) -> tuple[Tensor, Tensor, Tensor]:
    """Samples of all [1], and mean and variance [C] over them, in float64 (Chan et al., 1979)."""
    own = torch.cat([mean.new_tensor([count]), mean, var])
    counts, means, variances = torch.stack(tuple(exchange(own))).split([1, len(mean), len(mean)], dim=1)
    total = counts.sum(0)  # stays on the device
    pooled = (counts * means).sum(0) / total
    return total, pooled, (counts * (variances + (means - pooled) ** 2)).sum(0) / total


def _flat(x: Tensor) -> Tensor:
    """Maps [..., C, H, W] as [N, C, H, W]."""
    return x.flatten(0, -4)


def _rows(x: Tensor) -> Tensor:
    """A map [N, C, H, W] as [N H W, C], no copy of a channels-last one, in float32 or more."""
    return _wide(x).movedim(1, -1).flatten(0, -2)


def _wide(x: Tensor) -> Tensor:
    """The map in float32, or in float64 if it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _map(channels: Tensor, like: Tensor) -> Tensor:
    """Figures a channel [C] as [1, C, 1, 1], of the type of a map."""
    return channels.to(like.dtype).view(1, -1, 1, 1)
