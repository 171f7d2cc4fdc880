"""Predictions: classes and probabilities of raw samples by a trained network."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evaluators.architecture import SHARE
from evaluators.evaluation import evaluation_batch
from evaluators.tasks.form import Form
from evaluators.tasks.samples import task_of
from evaluators.tasks.task import batches

TINY = 1e-12  # so that shares of nothing are equal


@dataclass(frozen=True, eq=False, kw_only=True)
class Predictions:
    """What a network says of samples, in their order.

    Attributes:
        names: of the samples: their files, or their numbers.
        class_names: of all classes.
        probabilities: float64 [N, classes], rows sum up to 1.
    """

    names: tuple[str, ...]
    class_names: tuple[str, ...]
    probabilities: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """Class and its probability, of each sample."""
        yield from zip(self.labels, self.probabilities.max(1).tolist(), strict=True)

    @property
    def labels(self) -> list[str]:
        """The name of the likeliest class of each sample, the first of tied ones."""
        return [self.class_names[number] for number in self.probabilities.argmax(1)]

    def rows(self) -> list[dict[str, Any]]:
        """A plain row a sample: its file or number, class, probability, and the probabilities of all classes."""
        every = ({name: float(p) for name, p in zip(self.class_names, row, strict=True)} for row in self.probabilities)
        return [
            {"file": name, "class": label, "probability": probability, "probabilities": each}
            for name, (label, probability), each in zip(self.names, self, every, strict=True)
        ]

    def __repr__(self) -> str:
        shown = ", ".join(f"{label} {probability:.2f}" for label, probability in list(self)[:6])
        return f"<{len(self)} predictions: {shown}{', ...' if len(self) > 6 else ''}>"


@torch.no_grad()
def predict(
    network: nn.Module,
    form: Form,
    readout: Mapping[str, Any],
    samples: Tensor,
    names: list[str],
    *,
    device: str = "cpu",
) -> Predictions:
    """What a network says of raw samples.

    Args:
        network: in eval mode.
        form: of its samples.
        readout: how its readout becomes probabilities, see ``architecture.readout_of``.
        samples: as ``read_samples`` gives them.
        names: one each.
        device: where the network is.
    """
    task, rows = task_of(form, samples), []
    for images, _ in batches(task, task.test, batch_size=evaluation_batch(device), device=device):
        rows.append(_probabilities(network(images).mean(0).double(), readout).cpu())
    return Predictions(names=tuple(names), class_names=form.class_names, probabilities=torch.cat(rows).numpy())


def _probabilities(rate: Tensor, readout: Mapping[str, Any]) -> Tensor:
    """Of a mean readout [B, classes], float64."""
    if readout["probabilities"] == SHARE:
        positive = rate.clamp(min=0) + TINY
        return positive / positive.sum(1, keepdim=True)
    return (rate * readout["scale"]).softmax(1)
