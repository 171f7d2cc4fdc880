"""Evaluation of one network on one split: accuracy, exact counts, whether it is silent; and its BN recalibration."""

from dataclasses import dataclass

import torch
from torch import nn

from evaluators.counting import Counts, counting
from evaluators.tasks.task import Split, Task, batches
from spaces.layers import Norm
from spaces.seeds import torch_generator

BATCH = 128


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a network did on a split.

    Attributes:
        accuracy: share of correct answers, 0..1; the first of tied classes counts as the answer.
        counts: exact totals; empty where a readout is not finite.
        silent: no readout neuron fired for any sample.
        finite: no readout was NaN or infinite.
    """

    accuracy: float
    counts: Counts
    silent: bool
    finite: bool


@torch.no_grad()
def evaluate(network: nn.Module, task: Task, split: Split, *, device: str = "cpu") -> Evaluation:
    """Runs a candidate's network over a split in inference mode."""
    network.eval()
    correct = torch.zeros((), dtype=torch.int64, device=device)
    active = torch.zeros((), dtype=torch.bool, device=device)
    finite = torch.ones((), dtype=torch.bool, device=device)
    with counting(network) as counter:
        for images, labels in batches(task, split, batch_size=BATCH, device=device):
            rate = network(images).mean(0)
            correct += (rate.argmax(1) == labels).sum()
            active |= (rate != 0).any()
            finite &= rate.isfinite().all()
    is_finite = bool(finite.item())
    return Evaluation(
        accuracy=correct.item() / len(split),
        counts=counter.counts() if is_finite else Counts(samples=len(split), layers=()),
        silent=not active.item(),
        finite=is_finite,
    )


@torch.no_grad()
def recalibrate(network: nn.Module, task: Task, *, samples: int, seed: int, device: str = "cpu") -> None:
    """Replaces the BN statistics by those of ``samples`` training samples, the same for every candidate.

    Statistics inherited from a supernet are a mixture over paths and fit none of them (Guo et al., ECCV 2020).
    """
    norms = [module for module in network.modules() if isinstance(module, Norm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative mean over batches
    network.train()
    order = torch_generator(seed, "recalibration")
    left = min(samples, len(task.train))
    for images, _ in batches(task, task.train, batch_size=BATCH, device=device, generator=order):
        network(images[:left])
        left -= min(left, len(images))
        if left < 2:  # a batch of one has no variance
            break
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
