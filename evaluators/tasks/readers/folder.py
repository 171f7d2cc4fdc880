"""People's own data as files: a folder of images, or of recordings, a class."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from evaluators.tasks.readers.events import EVENT_SUFFIXES
from evaluators.tasks.readers.fit import Fit
from evaluators.tasks.readers.framing import Framing
from evaluators.tasks.readers.guard import MAX_SIDE, check_size
from evaluators.tasks.readers.picture import image_endings, read_header, read_picture
from evaluators.tasks.readers.raw import RawData
from evaluators.tasks.readers.recordings import Recording, read_recordings
from evaluators.tasks.readers.tree import Sample, read_tree
from spaces.errors import TaskError

_WAY_OUT = "give --image-size 32, or another size to bring all of them to"


def read_folder(path: Path, framing: Framing, fit: Fit | None = None, test_share: float | None = None) -> RawData:
    """Read ``path/train/CLASS/*`` and ``path/test/CLASS/*``, or what ``read_tree`` finds with a share to test on.

    Files whose names end in one of EVENT_SUFFIXES are recordings (see ``events.parse``), in one of
    ``image_endings()`` images; all others are passed over, and the user is told.

    Images become uint8 [N, H, W, C], each as ``read_picture`` says, and all of the size that ``fit`` gives them;
    without it all must have one size. They become grey if every one is grey, else RGB.

    Recordings become counts of events, uint8 [N, T, H, W, 2], as ``framing`` says.

    Raises:
        TaskError: as ``read_tree``; images beside recordings, or ``fit`` for recordings; files that cannot be read;
            images of more than one size, too large, or more than the memory holds.
    """
    tree = read_tree(path, {*image_endings(), *EVENT_SUFFIXES}, test_share)
    origin: dict[str, object] = {"source": str(path.resolve()), "checksum": "none published"}
    origin["files_passed_over"] = tree.passed
    if _are_recordings([*tree.train, *tree.test]):
        if fit is not None:
            raise TaskError(f"{str(path)!r} holds recordings of events, --image-size is of images: drop it")
        train, test = (
            [
                Recording(name=str(file), label=label, size=file.stat().st_size, load=file.read_bytes)
                for file, label in part
            ]
            for part in (tree.train, tree.test)
        )
        raw = read_recordings(train, test, framing, what=repr(str(path)), class_names=tree.class_names, origin=origin)
        return replace(raw, remarks=(*tree.remarks, *raw.remarks))
    if fit is not None:
        origin["image_fit"] = fit.how
    pixels, remarks = _read_images(repr(str(path)), [file for file, _ in (*tree.train, *tree.test)], fit)
    labels = np.array([label for _, label in (*tree.train, *tree.test)], np.int64)
    end = len(tree.train)
    return RawData(
        x_train=pixels[:end],
        y_train=labels[:end],
        x_test=pixels[end:],
        y_test=labels[end:],
        class_names=tree.class_names,
        origin=origin,
        remarks=(*tree.remarks, *remarks),
    )


def _are_recordings(samples: Sequence[Sample]) -> bool:
    """Whether files are recordings; raises TaskError where some are images."""
    kinds = {file.suffix.lower() in EVENT_SUFFIXES: file for file, _ in reversed(samples)}  # the first of each
    if len(kinds) > 1:
        raise TaskError(
            f"{str(kinds[False])!r} is an image and {str(kinds[True])!r} a recording of events; a folder must hold one "
            "kind: remove the other"
        )
    return True in kinds


def _read_images(what: str, files: Sequence[Path], fit: Fit | None) -> tuple[np.ndarray, list[str]]:
    """Pixels uint8 [N, H, W, C] of one or more images, and what the user is to be told of them."""
    mode = _common_mode(files, fit)
    pixels, sizes, top = None, set(), 0
    several: list[Path] = []
    deep: list[Path] = []
    lost: list[Path] = []
    for number, file in enumerate(files):
        found = read_picture(file, mode)
        if found.frames:
            several.append(file)
        if found.top is not None:
            deep.append(file)
            top = max(top, found.top)
        if found.lost_exif:
            lost.append(file)
        sizes.add(found.image.size)
        values = np.asarray(found.image if fit is None else fit.apply(found.image))
        values = values.reshape(*values.shape[:2], -1)
        if pixels is None:
            check_size(what, (len(files), *values.shape))
            pixels = np.empty((len(files), *values.shape), np.uint8)
        if values.shape != pixels.shape[1:]:
            raise _of_two_sizes((files[0], pixels.shape[2:0:-1]), (file, values.shape[1::-1]))
        pixels[number] = values
    notable = {
        "of several frames or pages, of which the first is read": several,
        f"of more than 8 bits a pixel (at most {top}), of which the upper 8 are read": deep,
        "whose EXIF data cannot be read, and which are taken as they lie": lost,
    }
    remarks = [f"images {why}: {len(those)}, such as {str(those[0])!r}" for why, those in notable.items() if those]
    if fit is not None:
        ordered = sorted(sizes, key=lambda size: (math.prod(size), size))
        least, most = (f"{height}x{width}" for width, height in (ordered[0], ordered[-1]))
        remarks.append(f"images of {len(sizes)} sizes, {least} to {most} pixels, were brought to {fit}")
    return pixels, remarks


def _common_mode(files: Sequence[Path], fit: Fit | None) -> str:
    """The mode for all images, L or RGB, from their headers alone; raises TaskError where they cannot go together."""
    first, grey = None, True
    for file in files:
        header = read_header(file)
        grey = grey and header.grey
        first = first or (file, header.size)
        if fit is None and max(header.size) > MAX_SIDE:
            width, height = header.size
            raise TaskError(f"{str(file)!r} is {width}x{height} pixels; at most {MAX_SIDE} a side: {_WAY_OUT}")
        if fit is None and sorted(header.size) != sorted(first[1]):  # which is the width depends on the orientation
            raise _of_two_sizes(first, (file, header.size))
    return "L" if grey else "RGB"


def _of_two_sizes(one: tuple[Path, Sequence[int]], other: tuple[Path, Sequence[int]]) -> TaskError:
    shown = " and ".join(f"{str(file)!r} is {width}x{height} pixels" for file, (width, height) in (one, other))
    return TaskError(f"{shown}; all images must have one size: {_WAY_OUT}")
