"""Batch normalisation whose statistics do not depend on who computes them: sums are taken in one order.

PyTorch's own sums up as many stretches of a batch as there are threads, which on channels-last maps is also tens of
times less exact; a difference in the last digit then flips spikes.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

Exchange = Callable[[Tensor], Sequence[Tensor]]  # this one's row -> the rows of all who share a batch, in order


def alone(row: Tensor) -> Sequence[Tensor]:
    """The exchange of one who has the whole batch."""
    return (row,)


def normalise_in_order(
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
) -> Tensor:
    """As ``torch.nn.functional.batch_norm`` on the maps [N, C, H, W] of all who share a batch; ``x`` are this one's."""
    if not training:
        return nn.functional.batch_norm(x, running_mean, running_var, weight, bias, eps=eps)
    return _InOrder.apply(x, weight, bias, running_mean, running_var, momentum, eps, exchange)


class _InOrder(torch.autograd.Function):
    """Batch normalisation over all who share a batch: y = (x - mean) weight / sqrt(var + eps) + bias, [N, C, H, W]."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        momentum: float,
        eps: float,
        exchange: Exchange,
    ) -> Tensor:
        wide = _wide(x)
        count, mean, var = _pooled(x.numel() // x.shape[1], *moments(wide), exchange)
        running_mean.lerp_(mean.to(running_mean), momentum)
        running_var.lerp_((var * count / (count - 1)).to(running_var), momentum)
        rate = (var + eps).rsqrt()
        scale = rate * weight
        ctx.save_for_backward(x, weight, mean, var, rate)
        ctx.samples, ctx.eps, ctx.exchange = count, eps, exchange
        return torch.addcmul(_map(bias - mean * scale, wide), wide, _map(scale, wide)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, weight, mean, var, rate = ctx.saved_tensors
        y, x = _wide(slope), _wide(x)
        state = (mean.to(x), var.to(x), None, None, False, ctx.eps)
        _, *own = torch.ops.aten.native_batch_norm_backward(y, x, None, *state, [False, True, True])
        for_weight, for_bias = reduce(torch.add, ctx.exchange(torch.cat(own).double())).chunk(2)
        scale = rate * weight
        along = -scale * rate * for_weight / ctx.samples  # (Ioffe & Szegedy, 2015)
        offset = -scale * for_bias / ctx.samples - along * mean
        inwards = torch.addcmul(_map(offset, x), x, _map(along, x)).addcmul_(y, _map(scale, x)).to(slope.dtype)
        return inwards, own[0].to(weight), own[1].to(weight), None, None, None, None, None


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (with divisor N H W) of the channels of ``x`` [N, C, H, W], each [C], in float64."""
    rows = x.movedim(1, -1).flatten(0, -2)  # no copy of a channels-last map
    mean = _sum(rows).double() / len(rows)
    return mean, _sum((rows - mean.to(rows)).square_()).double() / len(rows)


def _sum(rows: Tensor) -> Tensor:
    """Sum [C] of rows [R, C]. A channel is summed by one thread; a single one would be by all, so it gets company."""
    return nn.functional.pad(rows, (0, 1)).sum(0)[:1] if rows.shape[1] == 1 else rows.sum(0)


def _pooled(count: int, mean: Tensor, var: Tensor, exchange: Exchange) -> tuple[Tensor, Tensor, Tensor]:
    """Samples of all [1], and mean and variance [C] over them, in float64 (Chan et al., 1979)."""
    own = torch.cat([mean.new_tensor([count]), mean, var])
    counts, means, variances = torch.stack(tuple(exchange(own))).split([1, len(mean), len(mean)], dim=1)
    total = counts.sum(0)  # stays on the device
    pooled = (counts * means).sum(0) / total
    return total, pooled, (counts * (variances + (means - pooled) ** 2)).sum(0) / total


def _wide(x: Tensor) -> Tensor:
    """The map in float32, or in float64 if it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _map(channels: Tensor, like: Tensor) -> Tensor:
    """Figures a channel [C] as [1, C, 1, 1], of the type of a map."""
    return channels.to(like.dtype).view(1, -1, 1, 1)
