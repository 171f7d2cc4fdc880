"""People's own data in one ``.npz``: ``x_train, y_train, x_test, y_test``."""

import math
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from evaluators.tasks.readers.guard import check_size, reading
from evaluators.tasks.readers.raw import RawData
from spaces.errors import TaskError

KEYS = ("x_train", "y_train", "x_test", "y_test")
MAX_CHANNELS = 4


def read_npz(path: Path) -> RawData:
    """Read images [N, H, W, C], [N, C, H, W] or [N, H, W] (grey), and labels [N] or [N, 1].

    Images are uint8, whole numbers within 0..255 (kept as uint8), or floats of any scale (kept as float32).
    The channel axis is the one with 1 to 4 entries. If both the second and the last have, it is the one that
    makes the images square, and the last if neither or both do. Labels are whole numbers 0..n-1 of any type.

    Raises:
        TaskError: not an .npz, damaged, too large for the memory, keys missing, or arrays of another kind or shape.
    """
    with reading(path, "an .npz file (numpy.savez writes one)"), zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        missing = [key for key in KEYS if key not in members]
        if missing:
            there = ", ".join(repr(name) for name in list(members)[:10]) or "nothing"
            raise TaskError(
                f"{str(path)!r} has no {', '.join(missing)}; it holds {there}, and must hold {', '.join(KEYS)}"
            )
        shapes = {key: _header(archive, members[key], path, key) for key in KEYS}
        layout, sizes = _layout(shapes["x_train"][0], shapes["x_test"][0], path)
        check_size(repr(str(path)), sizes, shapes["x_train"][1].itemsize)
        arrays = {key: _read(archive, members[key]) for key in KEYS}
    pixels = {key: _pixels(arrays.pop(key), layout, f"{str(path)!r}: {key}") for key in ("x_train", "x_test")}
    labels = {key: _labels(arrays[key], f"{str(path)!r}: {key}") for key in ("y_train", "y_test")}
    origin = {"source": str(path.resolve()), "checksum": "none published", "layout": layout}
    return RawData(**pixels, **labels, origin=origin)


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, key: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype that one array's header claims, checked against the bytes there are, before any is read."""
    with archive.open(info) as file:
        version = npy.read_magic(file)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read is None:
            raise ValueError(f"{key} is in .npy version {version}")
        shape, _, dtype = read(file)
        room = info.file_size - file.tell()
    if dtype.hasobject or dtype.kind not in "uif":
        raise TaskError(f"{str(path)!r}: {key} is of type {str(dtype)!r}; it must hold plain numbers, integer or float")
    if any(side < 0 for side in shape) or math.prod(shape) * dtype.itemsize != room:
        raise TaskError(
            f"{str(path)!r}: {key} is said to be {list(shape)} {dtype} but has {room} bytes; write the file anew"
        )
    return shape, dtype


def _layout(train: tuple[int, ...], test: tuple[int, ...], path: Path) -> tuple[str, tuple[int, int, int, int]]:
    """Name of the axes, and [N, H, W, C] of both splits together."""
    if len(train) not in (3, 4) or train[1:] != test[1:]:
        raise TaskError(
            f"{str(path)!r}: x_train is {list(train)} and x_test {list(test)}; both must be images of one size, "
            "[N, H, W, C], [N, C, H, W] or [N, H, W]"
        )
    count = train[0] + test[0]
    if min(train[0], test[0]) == 0:
        raise TaskError(f"{str(path)!r}: x_train has {train[0]} images and x_test {test[0]}; neither may be empty")
    if len(train) == 3:
        return "NHW", (count, *train[1:], 1)
    first, middle, last = train[1:]
    options = {"NHWC": (count, first, middle, last), "NCHW": (count, middle, last, first)}
    fitting = [name for name, (*_, channels) in options.items() if channels <= MAX_CHANNELS]
    square = [name for name in fitting if options[name][1] == options[name][2]]
    if not fitting:
        raise TaskError(
            f"{str(path)!r}: images of shape {list(train[1:])} have no axis of 1 to {MAX_CHANNELS} channels, "
            "first or last; give [N, H, W, C] or [N, C, H, W]"
        )
    name = (square or fitting)[0]
    return name, options[name]


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as file:  # read to its end, where zipfile compares the CRC
        return npy.read_array(file, allow_pickle=False)


def _pixels(images: np.ndarray, layout: str, what: str) -> np.ndarray:
    """Images as [N, H, W, C], uint8 or float32."""
    images = {"NHW": lambda x: x[..., None], "NHWC": lambda x: x, "NCHW": lambda x: x.transpose(0, 2, 3, 1)}[layout](
        images
    )
    if images.dtype.kind == "f":
        with np.errstate(over="ignore"):  # an infinite pixel is reported as such
            return np.ascontiguousarray(images, np.float32)
    if images.dtype != np.uint8 and not (images.min() >= 0 and images.max() <= 255):
        raise TaskError(
            f"{what} holds whole numbers {images.min()}..{images.max()}; they must be 0..255, or give floats"
        )
    return np.ascontiguousarray(images, np.uint8)


def _labels(labels: np.ndarray, what: str) -> np.ndarray:
    """Labels as int64 [N]."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise TaskError(f"{what} is {list(labels.shape)}; labels must be [N] or [N, 1], class numbers, not one-hot")
    if labels.dtype.kind == "f" and not np.all(np.floor(labels) == labels):  # NaN compares false
        wrong = labels[np.floor(labels) != labels][0]
        raise TaskError(f"{what} holds {wrong}; labels must be whole numbers 0..n-1")
    if labels.size and not (labels.min() >= 0 and labels.max() < 1 << 31):
        raise TaskError(f"{what} holds {labels.min()}..{labels.max()}; labels must be whole numbers 0..n-1")
    return labels.astype(np.int64)
