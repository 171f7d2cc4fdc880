"""Classes of a task: how many samples each has, what a guess scores, and weights that make all of them count alike."""

import torch

from evaluators.tasks.task import Split, Task
from spaces.candidate import BALANCED


def class_sizes(split: Split, classes: int) -> list[int]:
    """Samples of each class in a split, [classes]."""
    return torch.bincount(split.labels, minlength=classes).tolist()


def chance(task: Task) -> dict[str, float]:
    """What a guess scores on the validation split, by the name of the figure.

    Of accuracy that is the share of the largest class: always guessing it needs no spike. Of balanced accuracy it is
    1 / classes, whatever is guessed.
    """
    sizes = [size for size in class_sizes(task.validation, task.spec.classes) if size]
    return {"accuracy": max(sizes) / sum(sizes), BALANCED: 1 / len(sizes)}


def balanced_weights(task: Task) -> tuple[float, ...]:
    """Weight of each class in the loss, [classes]: in inverse proportion to its size in the training split.

    Their mean over the samples is 1 (King and Zeng, Logistic regression in rare events data, 2001; the ``balanced`` of
    scikit-learn). A class that has no sample weighs nothing.
    """
    sizes = class_sizes(task.train, task.spec.classes)
    occurring = sum(size > 0 for size in sizes)
    return tuple(sum(sizes) / (occurring * size) if size else 0.0 for size in sizes)
