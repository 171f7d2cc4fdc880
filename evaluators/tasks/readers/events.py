"""Events of one recording by an event camera: parsing them, and counting them into frames."""

from dataclasses import replace
from pathlib import PurePath

import numpy as np

from evaluators.tasks.readers.columns import Events, read_columns
from evaluators.tasks.readers.framing import Framing
from spaces.errors import TaskError

EVENT_SUFFIXES = frozenset((".bin", ".npy", ".npz"))
EVENT_BYTES = 5
OVERFLOW_ROW = 240  # an "event" there is no event but says that the clock's lower 13 bits ran over
OVERFLOW_TIME = 1 << 13  # microseconds
MAX_SPAN = 1 << 40  # of a recording's times: 12 days in microseconds
TOP = 255  # events on a pixel in a frame that uint8 can count


def parse(name: str, data: bytes, columns: str | None = None) -> Events:
    """Events out of a file's bytes: N-MNIST's format, or NumPy's where the name ends in .npy or .npz.

    Args:
        name: of the file, for its ending and for messages.
        data: its bytes.
        columns: order of the columns of an array [N, 4], see ``Framing``.

    Returns:
        One event or more, of which some may be outside the sensor.

    Raises:
        TaskError: damaged, of another format, empty, or with numbers that cannot be.
    """
    if not data:
        raise TaskError(f"{name!r} is empty: a recording needs at least one event; replace or remove it")
    numpy = PurePath(name).suffix.lower() in (".npy", ".npz")
    events = read_columns(name, data, columns) if numpy else _parse_bin(name, data)
    if not len(events.t):
        raise TaskError(f"{name!r} holds no events: a recording needs at least one; replace or remove it")
    first, last = int(events.t.min()), int(events.t.max())
    if last - first >= MAX_SPAN:
        raise TaskError(f"{name!r} holds times {first}..{last}: give microseconds, over at most 12 days")
    return events


def _parse_bin(name: str, data: bytes) -> Events:
    """N-MNIST's and N-Caltech101's format (Orchard et al., Front. Neurosci. 9:437, 2015).

    Five bytes an event: x, y, then 24 bits, the highest first: 1 bit of polarity and 23 bits of microseconds. One with
    y = 240 is none: it adds 2^13 microseconds to all times from there on.
    """
    if len(data) % EVENT_BYTES:
        raise TaskError(
            f"{name!r} has {len(data)} bytes, not a multiple of the {EVENT_BYTES} of an event in N-MNIST's format: "
            "it is cut off or of another format; replace or remove it"
        )
    x, y, high, middle, low = np.frombuffer(data, np.uint8).reshape(-1, EVENT_BYTES).T.astype(np.int64)
    t = (high & 127) << 16 | middle << 8 | low
    marks = y == OVERFLOW_ROW
    t += np.cumsum(marks) * OVERFLOW_TIME
    return Events(x=x[~marks], y=y[~marks], t=t[~marks], p=(high >> 7)[~marks])


def inside(events: Events, height: int, width: int) -> np.ndarray:
    """Which events are within a sensor of this size, bool [E]."""
    return (events.x >= 0) & (events.x < width) & (events.y >= 0) & (events.y < height)


def chosen(events: Events, which: np.ndarray) -> Events:
    """Those of the events that ``which``, bool [E], says."""
    return replace(events, x=events.x[which], y=events.y[which], t=events.t[which], p=events.p[which])


def scaled(events: Events, scale: int) -> Events:
    """Events of which ``scale`` by ``scale`` pixels are one."""
    return replace(events, x=events.x // scale, y=events.y // scale)


def to_frames(events: Events, framing: Framing, height: int, width: int) -> tuple[np.ndarray, int]:
    """Counts events into frames; each falls into exactly one, whatever the order they are given in.

    Args:
        events: all within ``height`` and ``width``.
        framing: how many frames, and whether by time or by count.
        height, width: of the sensor.

    Returns:
        Frames uint8 [frames, height, width, 2], how many events of polarity 0 and 1 fell on a pixel, at most 255; and
        the number of events beyond that.
    """
    cells = height * width * 2
    cell = (events.y * width + events.x) * 2 + events.p
    since = events.t - events.t.min()
    if framing.by == "time":
        frame = since * framing.frames // (since.max() + 1)
    else:
        order = np.lexsort((cell, since))  # events of the same time in the order of pixels: not in that of the file
        cell = cell[order]
        frame = np.arange(len(cell)) * framing.frames // len(cell)
    counts = np.bincount(frame * cells + cell, minlength=framing.frames * cells)
    clipped = np.minimum(counts, TOP)
    frames = clipped.astype(np.uint8).reshape(framing.frames, height, width, 2)
    return frames, int(counts.sum() - clipped.sum())
