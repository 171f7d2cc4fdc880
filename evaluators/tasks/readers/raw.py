"""RawData: what a reader hands over, and the rules every classification data set must keep."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from evaluators.tasks.readers.guard import MAX_SIDE
from spaces.errors import TaskError

MAX_PIXEL = 1e30  # float pixels beyond this overflow when their squares are summed in float32


@dataclass(frozen=True, eq=False, kw_only=True)
class RawData:
    """Training and test samples as read.

    Attributes:
        x_train, x_test: images [N, H, W, C], uint8 (0..255) or float32; or recordings [N, T, H, W, C], uint8 counts of
            events.
        y_train, y_test: labels int64 [N], 0..n-1.
        class_names: one for each of the n classes; empty: named after their numbers.
        origin: where the data come from, for the provenance (JSON values).
        remarks: what the user is to be told of how they were read, a sentence each: what was left out, how many of it
            and an example; what was taken to be so.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...] = ()
    origin: Mapping[str, object] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def check_raw(raw: RawData, name: str) -> tuple[str, ...]:
    """Check that ``raw`` can be learnt from and return its class names.

    Raises:
        TaskError: unequal numbers of images and labels, no images, unequal or absurd shapes, pixels that are not
            finite, fewer than two classes, gaps in the class numbers, a class that only the test split has,
            or fewer than two training images of a class (one to train on, one to validate on).
    """
    sides = {"training": (raw.x_train, raw.y_train), "test": (raw.x_test, raw.y_test)}
    for split, (images, labels) in sides.items():
        if len(images) != len(labels):
            raise TaskError(
                f"{name}: {len(images)} {split} images but {len(labels)} labels; there must be one label an image"
            )
        if images.size == 0:
            raise TaskError(f"{name}: the {split} split of shape {list(images.shape)} is empty; give images")
        if max(images.shape[-3:-1]) > MAX_SIDE:
            raise TaskError(f"{name}: images of shape {list(images.shape[1:])}; at most {MAX_SIDE} pixels a side")
        if images.dtype != np.uint8 and not np.abs(images).max() <= MAX_PIXEL:  # NaN compares false
            raise TaskError(
                f"{name}: a {split} pixel is NaN, infinite or beyond {MAX_PIXEL:g}; clean or rescale the images"
            )
    if raw.x_train.shape[1:] != raw.x_test.shape[1:] or raw.x_train.dtype != raw.x_test.dtype:
        raise TaskError(
            f"{name}: training images are {list(raw.x_train.shape[1:])} {raw.x_train.dtype} (height, width, channels), "
            f"test images {list(raw.x_test.shape[1:])} {raw.x_test.dtype}; they must agree"
        )
    classes = _check_labels(raw, name)
    return raw.class_names or tuple(str(number) for number in range(classes))


def _check_labels(raw: RawData, name: str) -> int:
    """Return the number of classes."""

    def called(label: int) -> str:
        return repr(raw.class_names[label]) if raw.class_names else str(label)

    train, counts = np.unique(raw.y_train, return_counts=True)
    seen = np.union1d(train, raw.y_test)
    top = len(raw.class_names) - 1 if raw.class_names else int(seen[-1])
    if seen[0] < 0 or seen[-1] > top:
        wrong = seen[0] if seen[0] < 0 else seen[-1]
        raise TaskError(f"{name}: label {wrong} is out of range; labels are 0..{top if seen[0] >= 0 else 'n-1'}")
    if top < 1:
        raise TaskError(f"{name}: all labels are {seen[0]}; at least 2 classes are needed")
    if len(seen) <= top:
        present, missing, number = set(seen.tolist()), [], 0
        while len(missing) < 5 and number <= top:
            missing += [] if number in present else [called(number)]
            number += 1
        more = f" and {top + 1 - len(seen) - len(missing)} more" if top + 1 - len(seen) > len(missing) else ""
        raise TaskError(
            f"{name}: no image of class {', '.join(missing)}{more}; labels up to {top} need images of each class, "
            "so renumber the classes 0..n-1"
        )
    only_test = np.setdiff1d(raw.y_test, train)
    if len(only_test):
        raise TaskError(
            f"{name}: class {called(only_test[0])} is in the test split but never in training; "
            "add training images of it"
        )
    if counts.min() < 2:
        raise TaskError(
            f"{name}: class {called(train[counts.argmin()])} has 1 training image; at least 2 a class are needed, "
            "one to train on and one to validate on"
        )
    return top + 1
