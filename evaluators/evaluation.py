"""Evaluation of one network on one split: answers by class, exact counts, is it silent; and its BN recalibration."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import fmean

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from evaluators.counting import Counts, LayerCount, counting
from evaluators.readings import Readings, reading
from evaluators.tasks.task import Split, Task, batches
from spaces.batch_norm import batch_norm
from spaces.layers import Norm
from spaces.network import Network
from spaces.seeds import torch_generator

CALIBRATION_BATCH = 128
CPU_BATCH = 62  # in float32, twice in bf16: a layer's maps stay in the processor's cache and in memory.c's kept pages
GPU_BATCH = 512  # large: a GPU is to be kept busy


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a network did on a split.

    Attributes:
        right: correct answers of each class, [classes]; the first of tied classes counts as the answer.
        seen: samples of each class, [classes].
        counts: exact totals; empty where a readout is not finite.
        silent: no readout neuron fired for any sample.
        finite: no readout was NaN or infinite.
        readings: what its readout was given, see ``evaluators.readings``; None unless asked for.
    """

    right: tuple[int, ...]
    seen: tuple[int, ...]
    counts: Counts
    silent: bool
    finite: bool
    readings: Readings | None = None

    @property
    def accuracy(self) -> float:
        """Share of correct answers, 0..1."""
        return sum(self.right) / sum(self.seen)

    @property
    def by_class(self) -> tuple[float | None, ...]:
        """Share of correct answers of each class, its recall, [classes]; None of a class that does not occur."""
        return tuple(right / seen if seen else None for right, seen in zip(self.right, self.seen, strict=True))

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that occur, 0..1 (Brodersen et al., ICPR 2010): each counts alike."""
        return fmean(recall for recall in self.by_class if recall is not None)


class Answers:
    """Right answers by class, silence and finiteness, summed up on the device without waiting for it."""

    def __init__(self, device: str, classes: int) -> None:
        self.samples = 0
        self._right = torch.zeros(classes, dtype=torch.int64, device=device)
        self._seen = torch.zeros(classes, dtype=torch.int64, device=device)
        self._active = torch.zeros((), dtype=torch.bool, device=device)
        self._finite = torch.ones((), dtype=torch.bool, device=device)

    def add(self, readout: Tensor, labels: Tensor) -> None:
        """Adds the readout [T, B, classes] of a batch with labels [B]."""
        rate = readout.mean(0)
        self.samples += len(labels)
        self._right.index_add_(0, labels, (rate.argmax(1) == labels).long())
        self._seen.index_add_(0, labels, torch.ones_like(labels))
        self._active |= (rate != 0).any()
        self._finite &= rate.isfinite().all()

    @property
    def finite(self) -> bool:
        """Whether no readout was NaN or infinite."""
        return bool(self._finite.item())

    def evaluation(self, layers: tuple[LayerCount, ...]) -> Evaluation:
        """The sum of it all, with what was counted meanwhile."""
        return Evaluation(
            right=tuple(self._right.tolist()),
            seen=tuple(self._seen.tolist()),
            counts=Counts(samples=self.samples, layers=layers),
            silent=not self._active.item(),
            finite=self.finite,
        )


def evaluation_batch(device: str, precision: str = "fp32") -> int:
    """Samples a batch of an evaluation, which answers and counts do not depend on."""
    if torch.device(device).type != "cpu":
        return GPU_BATCH
    return CPU_BATCH if precision == "fp32" else 2 * CPU_BATCH


@torch.no_grad()
def evaluate(
    network: Network, task: Task, split: Split, *, device: str = "cpu", with_readings: bool = False
) -> Evaluation:
    """Runs a candidate's network over a split in inference mode; ``with_readings`` asks for its readings, too."""
    network.eval()
    answers = Answers(device, task.spec.classes)
    with counting(network) as counter, reading(network, wanted=with_readings) as rates:
        for images, labels in batches(task, split, batch_size=evaluation_batch(device), device=device):
            answers.add(network(images), labels)
            rates.close(labels)
    found = answers.evaluation(counter.counts().layers if answers.finite else ())
    return replace(found, readings=rates.readings() if answers.finite else None)


@torch.no_grad()
def recalibrate(network: nn.Module, task: Task, *, samples: int, seed: int, device: str = "cpu") -> None:
    """Replaces the BN statistics by those of ``samples`` training samples, the same for every candidate; 0 keeps them.

    Everything that is judged is recalibrated before. Statistics inherited from a supernet are a mixture over paths and
    fit none of them (Guo et al., ECCV 2020). Those of a network that was trained alone are running means over steps in
    which its weights moved, and after few steps they hold much of their initial values.
    """
    if not samples:
        return
    with renewing_statistics(network):
        for images in calibration_batches(task, samples=samples, seed=seed, device=device):
            network(images)


@contextmanager
def renewing_statistics(network: nn.Module) -> Iterator[None]:
    """Within, BN statistics are made anew, as the mean over the batches seen; afterwards the network infers.

    All but the norms infers within, too: what dropout lets through has another variance.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    held = [(norm.momentum, getattr(norm, "normalise", None)) for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative mean over batches
        if isinstance(norm, Norm):
            norm.normalise = batch_norm  # of its own batches, whoever else there is
        norm.train()
    try:
        yield
    finally:
        for norm, (momentum, normalise) in zip(norms, held, strict=True):
            norm.momentum = momentum
            if isinstance(norm, Norm):
                norm.normalise = normalise
        network.eval()


def calibration_batches(task: Task, *, samples: int, seed: int, device: str = "cpu") -> Iterator[Tensor]:
    """Images of the first ``samples`` of a seeded order of the training split; none of a batch of one.

    Batches are of about the same size, since a mean over them has each weigh alike.
    """
    order = torch_generator(seed, "recalibration")
    left = min(samples, len(task.train))
    size = math.ceil(left / math.ceil(left / CALIBRATION_BATCH))
    for images, _ in batches(task, task.train, batch_size=size, device=device, generator=order):
        yield images[:left]
        left -= min(left, len(images))
        if left < 2:  # a batch of one has no variance
            break
