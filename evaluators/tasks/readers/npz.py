"""People's own data in one ``.npz``: ``x_train, y_train, x_test, y_test``."""

import math
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from evaluators.tasks.readers.events import TOP
from evaluators.tasks.readers.framing import MAX_FRAMES
from evaluators.tasks.readers.guard import check_size, reading
from evaluators.tasks.readers.layout import arranged, layout_of, sizes
from evaluators.tasks.readers.raw import RawData
from spaces.errors import TaskError

KEYS = ("x_train", "y_train", "x_test", "y_test")
LAYOUT = "layout"  # a text in the file that names the axes, where their lengths do not
MAX_CHANNELS = 512
MAX_COUNT = 1 << 24  # events on a pixel in a frame
LABELS = "labels must be whole numbers 0..n-1, one a sample"


def read_npz(path: Path, *, frames: int) -> RawData:
    """Read images [N, H, W, C], [N, C, H, W] or [N, H, W], or frames [N, T, C, H, W] or [N, T, H, W, C]; and labels.

    Images are uint8, whole numbers within 0..255 (kept as uint8), booleans, or floats of any scale (kept as float32).
    Frames are a recording's: counts of events, whole numbers of any type, kept as uint8. ``layout_of`` says which axis
    is the channels; a text ``layout`` in the file, such as NCHW, has the last word. Labels [N] or [N, 1] are whole
    numbers 0..n-1 of any type, or booleans.

    Args:
        path: of the file.
        frames: time steps of the networks: there must be so many frames. More are summed up in the network.

    Raises:
        TaskError: not an .npz, damaged, too large for the memory, keys missing, or arrays of another kind or shape.
    """
    quoted = repr(str(path))
    with reading(path, "an .npz file (numpy.savez writes one)"), zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        missing = [key for key in KEYS if key not in members]
        if missing:
            there = ", ".join(repr(name) for name in list(members)[:10]) or "nothing"
            raise TaskError(f"{quoted} has no {', '.join(missing)}; it holds {there}, and must hold {', '.join(KEYS)}")
        shapes = {key: _header(archive, members[key], f"{quoted}: {key}") for key in KEYS}
        told = _told(archive, members[LAYOUT], f"{quoted}: {LAYOUT}") if LAYOUT in members else None
        layout, remark = _layout(shapes["x_train"][0], shapes["x_test"][0], quoted, told)
        steps = _check(shapes, layout, quoted, frames)
        arrays = {key: _read(archive, members[key]) for key in KEYS}
    remarks, beyond = [remark] if remark else [], 0
    for key in ("x_train", "x_test"):
        values, what = arranged(arrays.pop(key), layout), f"{quoted}: {key}"
        arrays[key], clipped = _counts(values, what) if steps else (_pixels(values, what), 0)
        beyond += clipped
    origin = {"source": str(path.resolve()), "checksum": "none published", "layout": layout}
    if steps:
        origin |= {"frames": steps, "events_beyond_255_a_pixel_and_frame": beyond}
    if steps > frames:
        remarks.append(
            f"{quoted} has {steps} frames a sample, which are summed up in {frames} time steps; --timesteps {steps} "
            "takes each by itself"
        )
    if beyond:
        remarks.append(f"{quoted} has counts above {TOP}, which are cut there: {beyond} events are left out")
    labels = {key: _labels(arrays.pop(key), f"{quoted}: {key}") for key in ("y_train", "y_test")}
    return RawData(**arrays, **labels, origin=origin, remarks=tuple(remarks))


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, what: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype that one array's header claims, checked against the bytes there are, before any is read."""
    with archive.open(info) as file:
        version = npy.read_magic(file)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read is None:
            raise ValueError(f"{what} is in .npy version {version}")
        shape, _, dtype = read(file)
        room = info.file_size - file.tell()
    if dtype.hasobject or dtype.kind not in "uifb":
        names = "; numpy.unique(y, return_inverse=True)[1] makes numbers of names" if dtype.kind in "US" else ""
        raise TaskError(
            f"{what} is of type {str(dtype)[:60]!r}; it must hold plain numbers, integer or float, or booleans{names}"
        )
    if any(side < 0 for side in shape) or math.prod(shape) * dtype.itemsize != room:
        raise TaskError(f"{what} is said to be {list(shape)} {dtype} but has {room} bytes; write the file anew")
    return shape, dtype


def _told(archive: zipfile.ZipFile, info: zipfile.ZipInfo, what: str) -> str:
    """The text that says how axes are laid out."""
    found = _read(archive, info) if info.file_size < 1 << 12 else np.zeros(0)
    if found.size != 1 or found.dtype.kind not in "US":
        raise TaskError(f"{what} must be one text such as 'NCHW'")
    text = found.reshape(-1)[0]
    return text.decode("latin-1") if isinstance(text, bytes) else str(text)


def _layout(train: tuple[int, ...], test: tuple[int, ...], quoted: str, told: str | None) -> tuple[str, str]:
    """Name of the axes of both splits, and a remark on it."""
    if len(train) != len(test) or train[1:] != test[1:]:
        raise TaskError(
            f"{quoted}: x_train is {list(train)} and x_test {list(test)}; both must be images, or frames, of one "
            "size, samples first"
        )
    if train and min(train[0], test[0]) == 0:
        raise TaskError(f"{quoted}: x_train has {train[0]} images and x_test {test[0]}; neither may be empty")
    return layout_of(train, f"{quoted}: x_train", told)


def _check(shapes: dict[str, tuple[tuple[int, ...], np.dtype]], layout: str, quoted: str, frames: int) -> int:
    """Checks sizes before anything is read; frames a sample, 0 of images."""
    train, test = shapes["x_train"][0], shapes["x_test"][0]
    _, steps, height, width, channels = sizes(train, layout)
    kind = "frames" if "T" in layout else "images"
    itemsize = max(shapes[key][1].itemsize for key in ("x_train", "x_test"))
    if channels > MAX_CHANNELS:
        raise TaskError(
            f"{quoted} holds {kind} of {channels} channels (as {layout}); at most {MAX_CHANNELS}: choose among them"
        )
    check_size(quoted, ((train[0] + test[0]) * steps, height, width, channels), itemsize, kind=kind)
    if kind == "images":
        return 0
    if steps > MAX_FRAMES:
        raise TaskError(f"{quoted} holds {steps} frames a sample; at most {MAX_FRAMES}: sum neighbours up")
    if steps < frames:
        raise TaskError(
            f"{quoted} holds {steps} frames a sample and networks take {frames} time steps: give --timesteps {steps} "
            "or fewer, or more frames"
        )
    return steps


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as file:  # read to its end, where zipfile compares the CRC
        return npy.read_array(file, allow_pickle=False)


def _pixels(images: np.ndarray, what: str) -> np.ndarray:
    """Images [N, H, W, C] as uint8 or float32."""
    if images.dtype.kind == "f":
        with np.errstate(over="ignore"):  # an infinite pixel is reported as such
            return np.ascontiguousarray(images, np.float32)
    if images.dtype != np.uint8 and not (images.min() >= 0 and images.max() <= 255):
        raise TaskError(
            f"{what} holds whole numbers {images.min()}..{images.max()}; they must be 0..255, or give floats, such as "
            "x.astype('float32')"
        )
    return np.ascontiguousarray(images, np.uint8)


def _counts(frames: np.ndarray, what: str) -> tuple[np.ndarray, int]:
    """Counts of events [N, T, H, W, C] as uint8, and how many events are beyond what it can count."""
    rule = "frames hold counts of events, whole numbers from 0"
    if frames.dtype.kind == "f" and not np.all(np.floor(frames) == frames):  # NaN compares false
        odd = frames[np.floor(frames) != frames][0]
        raise TaskError(f"{what} holds {odd}; {rule}: give counts, or images without the axis of time")
    low, high = frames.min().item(), frames.max().item()  # float16 cannot be compared with MAX_COUNT
    if low < 0 or high > MAX_COUNT:
        raise TaskError(f"{what} holds {low}..{high}; {rule}: give each polarity a channel of its own")
    if high <= TOP:
        return np.ascontiguousarray(frames, np.uint8), 0
    over = frames[frames > TOP].astype(np.int64)
    return np.ascontiguousarray(np.minimum(frames, TOP), np.uint8), int(over.sum()) - TOP * len(over)


def _labels(labels: np.ndarray, what: str) -> np.ndarray:
    """Labels as int64 [N]."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        one_hot = " (of one-hot ones y.argmax(1))" if labels.ndim == 2 else ""
        raise TaskError(f"{what} is {list(labels.shape)}; labels must be [N] or [N, 1], class numbers{one_hot}")
    if labels.dtype.kind == "f" and not np.all(np.floor(labels) == labels):  # NaN compares false
        wrong = labels[np.floor(labels) != labels][0]
        raise TaskError(f"{what} holds {wrong}; {LABELS}")
    low, high = (labels.min().item(), labels.max().item()) if labels.size else (0, 0)
    if low < 0 or high >= 1 << 31:
        raise TaskError(f"{what} holds {low}..{high}; {LABELS}")
    return labels.astype(np.int64)
