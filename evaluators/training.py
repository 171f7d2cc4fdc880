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
from torch.nn import functional as F

from evaluators.checkpoint import Place, read_checkpoint, write_checkpoint
from evaluators.precision import autocast
from evaluators.tasks.task import Task, batch_count, batches
from evaluators.workers import ALONE, Workers
from spaces.candidate import Candidate
from spaces.errors import SearchError
from spaces.seeds import torch_generator
from spaces.timing import set_timesteps


class TrainingError(SearchError):
    """Training diverged."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to train.

    Attributes:
        epochs: passes over the training split.
        batch_size: samples a step.
        learning_rate: peak of the one-cycle schedule, for Adam.
        loss: ``ce`` (cross-entropy on the mean readout), ``tet`` (mean of all steps' cross-entropies: Deng et al.,
            temporal efficient training, ICLR 2022) or ``mse`` (against one-hot, as in AutoSNN).
        logit_scale: factor on the readout, which is in 0..1, before the cross-entropy.
        time_schedule: (T, share of the steps) in order; what the shares leave is trained at the network's own T
            (time-inheritance training, Deng et al.). Frames of recordings are summed up to T.
        precision: ``fp32``, or ``bf16``: autocast, with weights and membranes in float32.
        optimiser: ``adam`` under the one-cycle schedule, or ``sgd`` (momentum 0.9) under a cosine from the peak to 0.
        weight_decay: factor of the weights that is added to their gradients.
        class_weights: of the samples of each class in the loss, [classes]; empty: all count alike.
    """

    epochs: int
    batch_size: int = 32
    learning_rate: float = 4e-3
    loss: str = "ce"
    logit_scale: float = 1.0
    time_schedule: tuple[tuple[int, float], ...] = ()
    precision: str = "fp32"
    optimiser: str = "adam"
    weight_decay: float = 0.0
    class_weights: tuple[float, ...] = ()

    def timesteps(self, step: int, total: int, full: int) -> int:
        """T at ``step`` of ``total`` for a network of ``full`` time steps; never more than that."""
        end = 0.0
        for timesteps, share in self.time_schedule:
            end += share
            if step < round(end * total):
                return min(timesteps, full)
        return full

    def cost(self, full: int) -> float:
        """Share of the time steps that this plan runs, of those of training at ``full`` throughout."""
        shares = sum(share for _, share in self.time_schedule)
        return 1 - shares + sum(min(t, full) / full * share for t, share in self.time_schedule)


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


def loss_of(readout: Tensor, labels: Tensor, plan: Plan) -> Tensor:
    """Loss of a readout [T, B, classes] against labels [B]: the mean over samples, weighted by class if the plan is.

    It is divided by the samples, not by their weights, so that parts of a batch add up to the whole.
    """
    if plan.loss == "tet":
        rate, labels = readout.flatten(0, 1), labels.expand(len(readout), -1).flatten()
    else:
        rate = readout.mean(0)
    reduction = "none" if plan.class_weights else "mean"
    if plan.loss == "mse":
        loss = F.mse_loss(rate, F.one_hot(labels, rate.shape[1]).to(rate.dtype), reduction=reduction)
    else:
        loss = F.cross_entropy(rate * plan.logit_scale, labels, reduction=reduction)
    if not plan.class_weights:
        return loss
    each = loss.mean(1) if loss.dim() == 2 else loss
    return (each * torch.tensor(plan.class_weights, dtype=each.dtype, device=each.device)[labels]).mean()


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
    curve: list[Epoch] = []
    last = plan.epochs if until is None else min(until, plan.epochs)
    kept = None if checkpoint is None else read_checkpoint(checkpoint, match=match)
    if kept is not None and len(kept.curve) <= last:
        kept.restore(network, optimiser)
        curve = [Epoch(**entry) for entry in kept.curve]
    total = plan.epochs * (steps := batch_count(task.train, plan.batch_size, drop_last=True))
    for epoch in range(len(curve), last):
        groups = paths(torch_generator(seed, "paths", epoch))
        losses: list[Tensor] = []
        how = {"batch_size": plan.batch_size, "augment": True, "drop_last": True, "part": workers.part}
        stream = batches(task, task.train, device=device, generator=torch_generator(seed, "batches", epoch), **how)
        whole = min(plan.batch_size, len(task.train))
        for step, (images, labels) in enumerate(stream):
            for group in optimiser.param_groups:
                group["lr"] = rate_at(epoch * steps + step, total, plan)
            if plan.time_schedule and timesteps is not None:
                set_timesteps(network, plan.timesteps(epoch * steps + step, total, timesteps))
            optimiser.zero_grad(set_to_none=True)
            how_much = {"share": len(labels) / whole, "penalty": penalty}
            losses += backpropagate(network, images, labels, next(groups), plan, **how_much)
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


def backpropagate(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    candidates: Sequence[Candidate | None],
    plan: Plan,
    *,
    share: float = 1.0,
    penalty: Callable[[], Tensor | float] = lambda: 0.0,
) -> list[Tensor]:
    """Adds to the network's gradients those of a batch, the mean over candidates; gives the loss of each.

    Args:
        network: called as ``network(images, candidate)``.
        images: [B, C, H, W] or [B, T, C, H, W].
        labels: [B].
        candidates: paths, one after the other.
        plan: the loss and the precision.
        share: of the whole batch that is here.
        penalty: see ``fit``.
    """
    losses = []
    for candidate in candidates:
        with autocast(plan.precision, images.device.type):
            readout = network(images, candidate)
        loss = (loss_of(readout.float(), labels, plan) + penalty()) * share / len(candidates)
        loss.backward()
        losses.append(loss.detach() * len(candidates))
    return losses


def _epoch_of(losses: Sequence[Tensor], number: int, plan: Plan) -> Epoch:
    mean = torch.stack(losses).mean().item()
    if not math.isfinite(mean):
        raise TrainingError(
            f"training diverged: loss {mean} in epoch {number} of {plan.epochs} at a peak learning rate of "
            f"{plan.learning_rate:g}; lower it with --learning-rate"
        )
    return Epoch(epoch=number, loss=mean)
