"""Workers: one training by several, each with its part of every batch: threads of a process, and processes.

Each draws the same paths and the same batches, and computes its rows of them. Losses are weighted by the share of the
batch that a worker has and gradients are added up, so that they are those of the whole batch; the statistics of batch
normalisation are over the whole batch, forward and backward (Peng et al., MegDet, CVPR 2018). Sums are taken in the
order of the parts, and a part is computed on one core, so what comes out depends on how many parts there are, in the
last digit, and not at all on who computes them, how many processes, threads or machines.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from threading import Barrier, BrokenBarrierError, Semaphore, Thread
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist

from spaces.layers import Norm

Result = TypeVar("Result")
Exchange = Callable[[Tensor], Sequence[Tensor]]  # this worker's row -> the rows of all, in order


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Which of how many workers this is, and how they hear of each other."""

    rank: int = 0
    count: int = 1
    exchange: Exchange = field(default=lambda row: (row,), repr=False, compare=False)

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
                    module.normalise = partial(normalise_together, exchange=self.exchange)

    def leave(self, network: nn.Module) -> None:
        """Has it see its own batches alone again."""
        for module in network.modules():
            if isinstance(module, Norm):
                module.normalise = nn.functional.batch_norm

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Puts the sum over all workers into tensors, which are of the same shapes on every worker."""
        if self.count > 1 and (several := list(tensors)):
            row = reduce(torch.add, self.exchange(torch.cat([tensor.flatten() for tensor in several])))
            for tensor, part in zip(several, row.split([tensor.numel() for tensor in several]), strict=True):
                tensor.copy_(part.view(tensor.shape))

    def add_gradients(self, network: nn.Module) -> None:
        """Makes every gradient the sum over all workers; the same parameters have one on each."""
        self.add(weight.grad for weight in network.parameters() if weight.grad is not None)


ALONE = Workers()


def in_parts(work: Callable[[Workers], Result], parts: int, *, threads: int, rank: int = 0, count: int = 1) -> Result:
    """Calls ``work`` once for each of this process's share of the parts, and returns what the first of them did.

    Args:
        work: gets the worker that it is; all must exchange the same rows in the same order.
        parts: of every batch.
        threads: how many of them are computed at a time, each on one core.
        rank, count: which of how many processes this is, joined by ``torch.distributed`` if there is more than one.

    Raises:
        whatever the first part to fail has raised; the others are ended.
    """
    if parts == 1:
        return work(ALONE)
    shares = [Workers(rank=number, count=count).part(parts) for number in range(count)]
    mine = shares[rank]
    circle = _Circle([share.stop - share.start for share in shares], rank, threads)
    results: dict[int, Result] = {}
    faults: list[BaseException] = []

    def run(number: int) -> None:
        torch.set_num_threads(1)  # of this thread; the process's own number is put back below
        try:
            with circle.slots:
                results[number] = work(
                    Workers(rank=mine.start + number, count=parts, exchange=partial(circle.exchange, number))
                )
        except BaseException as fault:
            circle.barrier.abort()
            faults.append(fault)

    before = torch.get_num_threads()
    others = [Thread(target=run, args=(number,), daemon=True) for number in range(1, mine.stop - mine.start)]
    try:
        for other in others:
            other.start()
        run(0)  # here, where Ctrl-C arrives
        for other in others:
            other.join()
    finally:
        torch.set_num_threads(before)
    if faults:
        raise next((fault for fault in faults if not isinstance(fault, BrokenBarrierError)), faults[0])
    return results[0]


class _Circle:
    """Where the parts that one process computes meet, and through which they meet those of other processes."""

    def __init__(self, sizes: Sequence[int], rank: int, threads: int) -> None:
        self.sizes = sizes
        self.rows: list[Tensor | None] = [None] * sizes[rank]
        self.all: Sequence[Tensor] = ()
        self.barrier = Barrier(sizes[rank], self._gather)
        self.slots = Semaphore(threads)

    def exchange(self, number: int, row: Tensor) -> Sequence[Tensor]:
        """The rows of all parts, once all have come; meanwhile another has the core."""
        self.rows[number] = row
        self.slots.release()
        try:
            self.barrier.wait()
            return self.all  # none comes back here, and so none changes it, before all have taken it
        finally:
            self.slots.acquire()

    def _gather(self) -> None:
        own = torch.stack(self.rows)
        if len(self.sizes) == 1:
            self.all = own.unbind()
            return
        sent = own.new_zeros(max(self.sizes), own.shape[1])
        sent[: len(own)] = own
        came = [torch.empty_like(sent) for _ in self.sizes]
        dist.all_gather(came, sent)
        self.all = [row for rows, size in zip(came, self.sizes, strict=True) for row in rows[:size]]


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
    exchange: Exchange,
) -> Tensor:
    """As ``torch.nn.functional.batch_norm`` on the maps [N, C, H, W] of all workers, of which ``x`` are this one's."""
    if not training:
        return nn.functional.batch_norm(x, running_mean, running_var, weight, bias, eps=eps)
    return _Together.apply(x, weight, bias, running_mean, running_var, momentum, eps, exchange)


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
        exchange: Exchange,
    ) -> Tensor:
        wide = _wide(x)
        own_mean, own_var = torch.batch_norm_update_stats(wide, None, None, 0.0)
        count, mean, var = _pooled(x.numel() // x.shape[1], own_mean.double(), own_var.double(), exchange)
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


def _pooled(count: int, mean: Tensor, var: Tensor, exchange: Exchange) -> tuple[float, Tensor, Tensor]:
    """Samples of all workers, and mean and variance [C] over them, in float64 (Chan et al., 1979)."""
    own = torch.cat([mean.new_tensor([count]), mean, var])
    counts, means, variances = torch.stack(list(exchange(own))).split([1, len(mean), len(mean)], dim=1)
    total = counts.sum()
    pooled = (counts * means).sum(0) / total
    return total.item(), pooled, (counts * (variances + (means - pooled) ** 2)).sum(0) / total


def _wide(x: Tensor) -> Tensor:
    """The map in float32, or in float64 if it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _map(channels: Tensor, like: Tensor) -> Tensor:
    """Figures a channel [C] as [1, C, 1, 1], of the type of a map."""
    return channels.to(like.dtype).view(1, -1, 1, 1)
