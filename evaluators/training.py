"""Training: one loop for a supernet (a path a step) and for a candidate alone, by one worker or several, resumable.

Everything random in epoch ``e`` comes from streams named by the seed and ``e``, and the learning rate is a function of
the step, so a run that is killed and resumed ends with the same weights as one that is not.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import torch
from torch import Tensor, nn

from evaluators.checkpoint import Place, read_checkpoint, write_checkpoint
from evaluators.methods.bptt import BPTT
from evaluators.methods.method import Method, Progress
from evaluators.plan import Plan
from evaluators.tasks.task import Task, batch_count, batches
from evaluators.workers import ALONE, Workers
from spaces.candidate import Candidate
from spaces.errors import SearchError
from spaces.seeds import torch_generator
from spaces.timing import set_timesteps


class TrainingError(SearchError):
    """Training diverged."""


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch gave: its number from 1, and the mean training loss."""

    epoch: int
    loss: float


def one_cycle(step: int, total: int, peak: float) -> float:
    """Learning rate at ``step`` of ``total``: cosine up from peak / 25 over 30 %, cosine down to peak / 25 000.

    (Smith & Topin, 2018; the shape of PyTorch's OneCycleLR.)
    """
    warm = max(1, round(0.3 * total))
    if step < warm:
        return _cosine(peak / 25, peak, step / warm)
    return _cosine(peak, peak / 25_000, (step - warm) / max(1, total - warm))


def rate_at(step: int, total: int, plan: Plan) -> float:
    """Learning rate of a plan at ``step`` of ``total``."""
    if plan.optimiser == "sgd":
        return _cosine(plan.learning_rate, 0.0, step / total)
    return one_cycle(step, total, plan.learning_rate)


def make_optimiser(network: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """The optimiser of a plan."""
    options = {"lr": plan.learning_rate, "weight_decay": plan.weight_decay, "fused": True}
    if plan.optimiser == "sgd":
        return torch.optim.SGD(network.parameters(), momentum=0.9, **options)
    return torch.optim.Adam(network.parameters(), **options)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def fit(
    network: nn.Module,
    task: Task,
    plan: Plan,
    *,
    seed: int,
    paths: Callable[[torch.Generator], Iterator[Sequence[Candidate | None]]] = lambda generator: repeat([None]),
    timesteps: int | None = None,
    until: int | None = None,
    device: str = "cpu",
    checkpoint: Place | None = None,
    match: str = "",
    on_step: Callable[[int, int], None] = lambda done, total: None,
    after_step: Callable[[int, int, torch.optim.Optimizer], None] = lambda done, total, optimiser: None,
    penalty: Callable[[], Tensor | float] = lambda: 0.0,
    method: Method = BPTT,
    workers: Workers = ALONE,
) -> list[Epoch]:
    """Trains ``network`` in place.

    Args:
        network: called as ``network(images, candidate)``.
        task: its training split is used, augmented as the task says.
        plan: how to train.
        seed: names all random streams.
        paths: the candidates of each step of an epoch; a None is a network that has no blanks left.
        timesteps: the network's T, which a time schedule needs.
        until: the epoch to pause after; called again with the same checkpoint, the training goes on as if it had not.
        device: where to train; the network is moved there.
        checkpoint: file to keep and to resume from; written after every epoch. One that is past ``until`` is not used.
        match: what a checkpoint must bear to be resumed from.
        on_step: told (steps done, steps in all).
        after_step: may change the weights once the optimiser has, whose gradients are still there; called with (steps
            done, steps in all, optimiser).
        penalty: what the loss of a forward pass has on top of that of its readout, asked for after each.
        method: how each step finds weights; its ``finish`` is left to the caller, who knows when the end is reached.
        workers: those who train together, each called with the same arguments; the first alone keeps the checkpoint and
            tells of steps, and any number may go on from it. No batch may have fewer samples than there are workers.

    Returns:
        One entry an epoch, those before a resume included.

    Raises:
        TrainingError: the loss is not finite.
    """
    network.to(device, memory_format=torch.channels_last).train()
    workers.join(network)
    optimiser = make_optimiser(network, plan)
    epochs = plan.epochs if method.passes else 0
    last = epochs if until is None else min(until, epochs)
    curve = _kept(checkpoint, match, last, network, optimiser)
    total = epochs * (steps := batch_count(task.train, plan.batch_size, drop_last=True))
    for epoch in range(len(curve), last):
        groups, losses = paths(torch_generator(seed, "paths", epoch)), list[Tensor]()
        how = {"batch_size": plan.batch_size, "augment": True, "drop_last": True, "part": workers.part}
        stream = batches(task, task.train, device=device, generator=torch_generator(seed, "batches", epoch), **how)
        whole = min(plan.batch_size, len(task.train))
        for step, (images, labels) in enumerate(stream):
            for group in optimiser.param_groups:
                group["lr"] = rate_at(epoch * steps + step, total, plan)
            if plan.time_schedule and timesteps is not None:
                set_timesteps(network, plan.timesteps(epoch * steps + step, total, timesteps))
            optimiser.zero_grad(set_to_none=True)
            here = {"candidates": next(groups), "share": len(labels) / whole, "penalty": penalty}
            now = Progress(step=epoch * steps + step, total=total, plan=plan, **here)
            losses += method.step(network, images, labels, now)
            workers.add_gradients(network)
            optimiser.step()
            after_step(epoch * steps + step + 1, total, optimiser)
            if workers.first:
                on_step(epoch * steps + step + 1, total)
        workers.add(losses)
        curve.append(_epoch_of(losses, epoch + 1, plan))
        if checkpoint is not None and workers.first:
            write_checkpoint(checkpoint, network, optimiser, curve=curve, match=match)
    if timesteps is not None:
        set_timesteps(network, timesteps)
    workers.leave(network)
    return curve


def _kept(
    checkpoint: Place | None, match: str, last: int, network: nn.Module, optimiser: torch.optim.Optimizer
) -> list[Epoch]:
    """The epochs of a checkpoint that is not past the last one, whose weights and moments are taken; else none."""
    kept = None if checkpoint is None else read_checkpoint(checkpoint, match=match)
    if kept is None or len(kept.curve) > last:
        return []
    kept.restore(network, optimiser)
    return [Epoch(**entry) for entry in kept.curve]


def _epoch_of(losses: Sequence[Tensor], number: int, plan: Plan) -> Epoch:
    mean = torch.stack(losses).mean().item()
    if not math.isfinite(mean):
        raise TrainingError(
            f"training diverged: loss {mean} in epoch {number} of {plan.epochs} at a peak learning rate of "
            f"{plan.learning_rate:g}; lower it with --learning-rate"
        )
    return Epoch(epoch=number, loss=mean)
