"""Workers: one training by several processes, each with its part of every batch.

Each process draws the same paths and the same batches, and computes its rows of them. Losses are weighted by the share
of the batch that a process has and gradients are added up, so that they are those of the whole batch; the statistics of
batch normalisation are over the whole batch, forward and backward (Peng et al., MegDet, CVPR 2018). What is left of a
difference from one process is the order in which floats are added up.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from spaces.layers import Norm


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Which of how many processes this is; with more than one, ``torch.distributed`` joins them."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that keeps checkpoints and tells of progress."""
        return self.rank == 0

    def part(self, samples: int) -> slice:
        """The samples of a batch that are this worker's: all are someone's, and numbers differ by one at most."""
        return slice(samples * self.rank // self.count, samples * (self.rank + 1) // self.count)

    def join(self, network: nn.Module) -> None:
        """Has batch normalisation see the batches of all workers from now on."""
        if self.count > 1:
            for module in network.modules():
                if isinstance(module, Norm):
                    module.normalise = normalise_together

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Puts the sum over all workers into tensors, which are of the same shapes on every worker."""
        if self.count > 1 and (several := list(tensors)):
            row = torch.cat([tensor.flatten() for tensor in several])
            dist.all_reduce(row)
            for tensor, part in zip(several, row.split([tensor.numel() for tensor in several]), strict=True):
                tensor.copy_(part.view(tensor.shape))

    def add_gradients(self, network: nn.Module) -> None:
        """Makes every gradient the sum over all workers; the same parameters have one on each."""
        self.add(weight.grad for weight in network.parameters() if weight.grad is not None)


ALONE = Workers()


def normalise_together(
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """As ``torch.nn.functional.batch_norm`` on the maps [N, C, H, W] of all workers, of which ``x`` are this one's."""
    if not training:
        return nn.functional.batch_norm(x, running_mean, running_var, weight, bias, eps=eps)
    return _Together.apply(x, weight, bias, running_mean, running_var, momentum, eps)


class _Together(torch.autograd.Function):
    """Batch normalisation over all workers: y = (x - mean) weight / sqrt(var + eps) + bias, [N, C, H, W]."""

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
    ) -> Tensor:
        wide = _wide(x)
        own_var, own_mean = torch.var_mean(wide, (0, 2, 3), correction=0)
        count, mean, var = _pooled(x.numel() // x.shape[1], own_mean.double(), own_var.double())
        running_mean.lerp_(mean.to(running_mean), momentum)
        running_var.lerp_((var * count / (count - 1)).to(running_var), momentum)
        rate = (var + eps).rsqrt()
        scale = rate * weight
        ctx.save_for_backward(x, weight, mean, rate)
        ctx.samples = count
        return torch.addcmul(_map(bias - mean * scale, wide), wide, _map(scale, wide)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, weight, mean, rate = ctx.saved_tensors
        y, x = _wide(slope), _wide(x)
        own = torch.stack([y.sum((0, 2, 3)), ((x - _map(mean, x)) * y).sum((0, 2, 3))]).double()
        whole = own.clone()
        dist.all_reduce(whole)
        scale = rate * weight
        along = -scale * rate**2 * whole[1] / ctx.samples  # (Ioffe & Szegedy, 2015)
        offset = -scale * whole[0] / ctx.samples - along * mean
        inwards = torch.addcmul(_map(offset, x), x, _map(along, x)).addcmul_(y, _map(scale, x)).to(slope.dtype)
        return inwards, (own[1] * rate).to(weight), own[0].to(weight), None, None, None, None


def _pooled(count: int, mean: Tensor, var: Tensor) -> tuple[float, Tensor, Tensor]:
    """Samples of all workers, and mean and variance [C] over them, in float64 (Chan et al., 1979)."""
    own = torch.cat([mean.new_tensor([count]), mean, var])
    rows = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(rows, own)
    counts, means, variances = torch.stack(rows).split([1, len(mean), len(mean)], dim=1)
    total = counts.sum()
    pooled = (counts * means).sum(0) / total
    return total.item(), pooled, (counts * (variances + (means - pooled) ** 2)).sum(0) / total


def _wide(x: Tensor) -> Tensor:
    """The map in float32, or in float64 if it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _map(channels: Tensor, like: Tensor) -> Tensor:
    """Figures a channel [C] as [1, C, 1, 1], of the type of a map."""
    return channels.to(like.dtype).view(1, -1, 1, 1)
