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
from threading import Barrier, Semaphore, Thread
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist

from spaces.batch_norm import Exchange, alone, batch_norm
from spaces.layers import Norm

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Which of how many workers this is, and how they hear of each other."""

    rank: int = 0
    count: int = 1
    exchange: Exchange = field(default=alone, repr=False, compare=False)

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
                    module.normalise = partial(batch_norm, exchange=self.exchange)

    def leave(self, network: nn.Module) -> None:
        """Has it see its own batches alone again."""
        for module in network.modules():
            if isinstance(module, Norm):
                module.normalise = batch_norm

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


def in_parts(work: Callable[[Workers], Result], parts: int, *, rank: int = 0, count: int = 1) -> Result:
    """Calls ``work`` once for each of this process's share of the parts, and returns what the first of them did.

    As many as PyTorch has threads are computed at a time, each on one core.

    Args:
        work: gets the worker that it is; all must exchange the same rows in the same order.
        parts: of every batch. One is computed here and now, with all threads.
        rank, count: which of how many processes this is, joined by ``torch.distributed`` if there is more than one.

    Raises:
        whatever the first part to fail has raised; the others are ended.
    """
    if parts == 1:
        return work(ALONE)
    shares = [Workers(rank=number, count=count).part(parts) for number in range(count)]
    mine = shares[rank]
    circle = _Circle([share.stop - share.start for share in shares], rank, torch.get_num_threads())

    def run(number: int) -> Result:
        with circle.slots:
            return work(Workers(rank=mine.start + number, count=parts, exchange=partial(circle.exchange, number)))

    return at_once(run, mine.stop - mine.start, threads=1, end=circle.barrier.abort)[0]


def at_once(work: Callable[[int], Result], count: int, *, threads: int, end: Callable[[], None]) -> list[Result]:
    """What ``work`` returns for 0, 1, ... ``count`` - 1, called at once, each in a thread of its own.

    Args:
        work: called with 0 in this thread.
        threads: of PyTorch, that each call has.
        end: makes the calls that still run raise; called once one has raised.

    Raises:
        whatever the first call to fail has raised, when all have ended.
    """
    before = torch.get_num_threads()
    results: dict[int, Result] = {}
    faults: list[BaseException] = []

    def run(number: int) -> None:
        torch.set_num_threads(threads)  # of this thread, and of all to come: put back below
        try:
            results[number] = work(number)
        except BaseException as fault:
            faults.append(fault)
            end()

    others = [Thread(target=run, args=(number,), daemon=True) for number in range(1, count)]
    try:
        for other in others:
            other.start()
        run(0)  # here, where Ctrl-C arrives
        for other in others:
            other.join()
    except BaseException:  # Ctrl-C, too, when only others are left
        end()
        for other in others:
            other.join()
        raise
    finally:
        torch.set_num_threads(before)
    if faults:
        raise faults[0]
    return [results[number] for number in range(count)]


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

    def __deepcopy__(self, memo: dict) -> "_Circle":
        """One circle, whoever copies a network whose norms meet in it."""
        return self

    def _gather(self) -> None:
        if len(self.sizes) == 1:
            self.all = tuple(self.rows)
            return
        own = torch.stack(self.rows)
        sent = own.new_zeros(max(self.sizes), own.shape[1])
        sent[: len(own)] = own
        came = [torch.empty_like(sent) for _ in self.sizes]
        dist.all_gather(came, sent)
        self.all = [row for rows, size in zip(came, self.sizes, strict=True) for row in rows[:size]]
