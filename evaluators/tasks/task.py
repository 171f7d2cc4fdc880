"""Task: labelled images or recordings to classify, in three splits; ``batches`` hands them out normalised."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from evaluators.tasks.augment import AUGMENTATIONS, augment_batch, draw
from spaces.spec import TaskSpec


@dataclass(frozen=True, eq=False)
class Split:
    """Images, or an event camera's recordings, and their labels.

    Attributes:
        images: [N, C, H, W], uint8 (0..255) or float32; or recordings [N, T, C, H, W], uint8 counts of events.
        labels: int64 [N], 0..classes-1.
    """

    images: Tensor
    labels: Tensor

    def first(self, count: int) -> "Split":
        """The first samples, or all where there are no more."""
        return Split(images=self.images[:count], labels=self.labels[:count])

    def __post_init__(self) -> None:
        if self.images.ndim not in (4, 5) or self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"images {list(self.images.shape)} and labels {list(self.labels.shape)} do not belong together"
            )

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """A data set, ready to train on.

    Attributes:
        name: the data set's name, or the path it was read from.
        spec: shape of one image, or of a recording's frames, and number of classes.
        train, validation, test: disjoint splits; ``test`` is for finalists, once.
        mean, std: a channel, over the training split as used: of pixel/255 for uint8, of the pixel for float32.
            The std of a channel that is constant stands as 1. Of recordings 0 and 1: their counts stay as they are.
        augment: what training does to images: "none", "crop" (pad 4, crop at random) or "crop-flip" (and mirror half).
        class_names: one a class.
        provenance: where the data come from, how many there are, and a fingerprint of them; JSON values only.
    """

    name: str
    spec: TaskSpec
    train: Split
    validation: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: str
    class_names: tuple[str, ...]
    provenance: Mapping[str, object]

    def __post_init__(self) -> None:
        if self.augment not in AUGMENTATIONS:
            raise ValueError(f"augment {self.augment!r} is not one of {AUGMENTATIONS}")


def batch_count(split: Split, batch_size: int, drop_last: bool = False) -> int:
    """Batches that ``batches`` yields: at least one for any split that is not empty."""
    whole, rest = divmod(len(split), batch_size)
    return whole if drop_last and whole else whole + (rest > 0)


def batches(
    task: Task,
    split: Split,
    *,
    batch_size: int,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
    augment: bool = False,
    channels_last: bool = True,
    drop_last: bool = False,
    part: Callable[[int], slice] = slice,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Go once through ``split``.

    With a generator all of the pass's random choices are drawn at the call: its state afterwards, and what
    happens to each image, do not depend on the batch size or on how many batches are taken.

    Args:
        task: gives mean, std and augmentation.
        split: usually one of the task's.
        batch_size: images a batch, at least 1; the last batch may be shorter.
        device: where the batches go; the images travel there as stored and are normalised there.
        generator: shuffles (and augments); None: in order.
        augment: augment as ``task.augment`` says; needs a generator.
        channels_last: memory format of the images.
        drop_last: leave out a short last batch, unless it is the only one.
        part: number of samples of a batch -> those of them to hand out; all, unless others take the rest.

    Yields:
        images float32 [B, C, H, W], (x - mean) / std a channel, or recordings [B, T, C, H, W], counts of events; and
        labels int64 [B].

    Raises:
        ValueError: ``batch_size`` below 1, or ``augment`` without a generator.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size}: must be at least 1")
    if augment and generator is None:
        raise ValueError("augment=True needs a generator to draw from")
    order = changes = None
    if generator is not None:
        home = split.images.device
        order = torch.randperm(len(split), generator=generator, device=generator.device).to(home)
        if augment and task.augment != "none":
            changes = tuple(drawn.to(home) for drawn in draw(task.augment, len(split), generator))
    return _batches(task, split, batch_size, torch.device(device), order, changes, channels_last, drop_last, part)


def _batches(
    task: Task,
    split: Split,
    batch_size: int,
    device: torch.device,
    order: Tensor | None,
    changes: tuple[Tensor, ...] | None,
    channels_last: bool,
    drop_last: bool,
    part: Callable[[int], slice],
) -> Iterator[tuple[Tensor, Tensor]]:
    stored = split.images.movedim(-3, -1)  # [N, ..., H, W, C], as load_task lays them out in memory
    mean = torch.tensor(task.mean, device=device, dtype=torch.float64)
    unit = 255.0 if stored.dtype == torch.uint8 and stored.ndim == 4 else 1.0  # frames hold counts
    width = stored.shape[-2]  # one long row of shifts and scales: vectors of W*C, not of C
    shift = (mean * unit).float().repeat(width)
    scale = (torch.tensor(task.std, device=device, dtype=torch.float64) * unit).reciprocal().float().repeat(width)
    for number in range(batch_count(split, batch_size, drop_last)):
        first = number * batch_size
        share = part(min(batch_size, len(split) - first))
        chosen = slice(first + (share.start or 0), first + share.stop)
        if order is None:
            images, labels = stored[chosen], split.labels[chosen]
        else:
            images, labels = stored[order[chosen]], split.labels[order[chosen]]
        if changes is not None:
            images = augment_batch(images, *(change[chosen] for change in changes))
        rows = images.to(device).to(torch.float32).flatten(-2).sub(shift).mul_(scale)
        images = rows.view(images.shape).movedim(-1, -3)
        if not channels_last:
            images = images.contiguous()
        elif images.ndim == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        yield images, labels.to(device)
