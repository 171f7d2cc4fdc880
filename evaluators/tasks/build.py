"""From raw arrays to a Task: check, split, measure, fingerprint."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from evaluators.tasks.readers.raw import RawData, check_raw
from evaluators.tasks.split import stratified
from evaluators.tasks.task import Split, Task
from spaces.errors import TaskError
from spaces.spec import TaskSpec

CHUNK = 1024  # images converted at a time, so that no second copy of a data set is made
FLAT = 1e-6  # a std this small beside the mean is rounding, not contrast, in float32


LARGEST_VALIDATION = 2_000  # by default; every candidate of a search is scored on all of it


def build_task(
    raw: RawData,
    *,
    name: str,
    augment: str = "none",
    val_share: float = 1 / 6,
    train_samples: int | None = None,
    val_samples: int | None = None,
    seed: int = 0,
) -> Task:
    """Check ``raw``, split a validation split off its training images, and measure mean and std of what is left (not of
    recordings).

    Args:
        raw: images or recordings, and labels, as read.
        name: the task's name, also for error messages.
        augment: "none", "crop" or "crop-flip".
        val_share: where ``val_samples`` is None, images to validate on as a share of ``train_samples`` (of all training
            images where that is None too), at most 2 000: enough for a standard error of .7 points at 90 % accuracy.
        train_samples: stratified subset to train on; None: all that are not validated on.
        val_samples: stratified subset to validate on.
        seed: chooses both subsets; 0 or more.

    Raises:
        TaskError: the data break a rule (see ``check_raw``), or the subsets cannot be had.
    """
    quoted = repr(name)  # a path may hold anything, a line break too
    if seed < 0:
        raise TaskError(f"{quoted}: seed {seed} is negative; give 0 or more")
    class_names = check_raw(raw, quoted)
    total, classes = len(raw.y_train), len(class_names)
    if val_samples is None:
        wanted = round(val_share * min(train_samples or total, total))
        val_samples = max(classes, min(wanted, LARGEST_VALIDATION, total - classes))
    train, validation = stratified(
        raw.y_train,
        second=val_samples,
        first=train_samples,
        seed=seed,
        what=(f"{quoted}: training samples", f"{quoted}: validation samples"),
    )
    splits = {
        "train": _split(raw.x_train[train], raw.y_train[train]),
        "validation": _split(raw.x_train[validation], raw.y_train[validation]),
        "test": _split(raw.x_test, raw.y_test),
    }
    *frames, channels, height, width = splits["train"].images.shape[1:]
    events = bool(frames)  # their many zeros are to stay zeros
    mean, std = ((0.0,) * channels, (1.0,) * channels) if events else channel_statistics(splits["train"])
    return Task(
        name=name,
        spec=TaskSpec(channels=channels, height=height, width=width, classes=classes, frames=sum(frames)),
        **splits,
        mean=mean,
        std=std,
        augment=augment,
        class_names=class_names,
        provenance={
            **raw.origin,
            **({"remarks": list(raw.remarks)} if raw.remarks else {}),
            "normalisation": "none: counts of events" if events else "mean and std of the training split, a channel",
            "seed": seed,
            "samples": {split: len(part) for split, part in splits.items()},
            "per_class": {split: _per_class(part, class_names) for split, part in splits.items()},
            "sha256": fingerprint(splits["train"], splits["validation"], splits["test"]),
        },
    )


def channel_statistics(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std (over all pixels, population) a channel, of pixel/255 for uint8 and of the pixel for float32.

    The std of a channel without contrast is given as 1, so that dividing by it is harmless. For uint8 the sums are
    whole numbers below 2**53, hence the same on every machine and for any number of threads.
    """
    whole = split.images.dtype == torch.uint8
    unit = 255.0 if whole else 1.0
    count = split.images.numel() // split.images.shape[1]
    centre = torch.zeros(split.images.shape[1], dtype=torch.float64)
    if not whole:
        centre = _moments(split, centre)[0] / count
    first, second = _moments(split, centre)
    mean = centre + first / count
    std = ((second - first * first / count) / count).clamp(min=0).sqrt()
    std = torch.where(std <= torch.clamp(FLAT * mean.abs(), min=1e-30), unit, std)
    return tuple((mean / unit).tolist()), tuple((std / unit).tolist())


def _moments(split: Split, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Sum and sum of squares of pixel - centre, float64 [C] each."""
    first, second = torch.zeros_like(centre), torch.zeros_like(centre)
    for part in split.images.permute(0, 2, 3, 1).split(CHUNK):
        pixels = part.reshape(-1, len(centre)).double().sub_(centre)
        first += pixels.sum(0)
        second += (pixels.T @ pixels).diagonal()
    return first, second


def fingerprint(*splits: Split) -> str:
    """SHA-256 over type, shape, pixels and labels of ``splits``, whatever their memory format."""
    digest = hashlib.sha256()
    for split in splits:
        digest.update(f"{split.images.dtype} {list(split.images.shape)}".encode())
        for part in split.images.movedim(-3, -1).split(CHUNK):
            digest.update(part.contiguous().numpy())
        digest.update(split.labels.contiguous().numpy())
    return digest.hexdigest()


def _split(images: np.ndarray, labels: np.ndarray) -> Split:
    """Split whose images are [N, ..., C, H, W] over memory [N, ..., H, W, C], from where batches are cut fastest."""
    images = np.require(images, requirements=["C", "W"])
    return Split(torch.from_numpy(images).movedim(-1, -3), torch.from_numpy(np.require(labels, requirements=["W"])))


def _per_class(split: Split, names: Sequence[str]) -> dict[str, float | str]:
    counts = torch.bincount(split.labels, minlength=len(names))
    least, most, largest = int(counts.min()), int(counts.max()), names[int(counts.argmax())]
    shares = {"min_share": least / len(split), "max_share": most / len(split)}
    return {"min": least, "max": most, **shares, "largest": largest}
