"""Many recordings to frames: what N-MNIST and a folder of event files have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evaluators.tasks.readers.columns import Events, check_bytes
from evaluators.tasks.readers.events import TOP, chosen, inside, parse, scaled, to_frames
from evaluators.tasks.readers.framing import Framing
from evaluators.tasks.readers.guard import MAX_SIDE, check_size, reading
from evaluators.tasks.readers.raw import RawData
from evaluators.tasks.readers.survey import Survey, sensor_of, survey
from spaces.errors import TaskError

MOST_OUTSIDE = 0.05  # share of all events that may be outside a sensor


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A file of events that is there to be read.

    Attributes:
        name: of the file, for messages.
        label: its class.
        size: bytes there are said to be.
        load: gives its bytes.
    """

    name: str
    label: int
    size: int
    load: Callable[[], bytes]


def read_recordings(
    train: Sequence[Recording],
    test: Sequence[Recording],
    framing: Framing,
    *,
    what: str,
    class_names: tuple[str, ...],
    origin: dict[str, object],
    sensor: tuple[int, int] | None = None,
) -> RawData:
    """Recordings as frames [N, frames, height, width, 2], uint8 counts of events.

    Events outside the sensor that ``framing`` names, or that the recordings show, are left out, and the user is told.

    Args:
        train, test: the two splits.
        framing: how recordings become frames.
        what: the data set, quoted, for messages.
        class_names: one a class.
        origin: where the recordings come from.
        sensor: height and width that the data set is known to have, in N-MNIST's format: an event outside is an error,
            unless ``framing`` has a sensor, too. None: as large as the coordinates of all recordings say.

    Raises:
        TaskError: a recording that cannot be read, recordings that do not go together or are of another sensor, or
            more than the memory holds.
    """
    framing.check()
    everything = (*train, *test)
    found = survey((one.name, _read(one, framing)) for one in everything) if sensor is None else None
    if framing.columns is not None and not (found and found.unnamed):
        raise TaskError(f"{what} holds no arrays [N, 4] without names, --event-columns is of these: drop it")
    size = framing.sensor or sensor or sensor_of(found)
    height, width = (-(-side // framing.scale) for side in size)
    if max(height, width) > MAX_SIDE:
        raise _too_large(what, size, framing, found)
    check_size(what, (len(everything) * framing.frames, height, width, 2), kind="frames")
    frames = np.empty((len(everything), framing.frames, height, width, 2), np.uint8)
    tally = Tally()
    for row, one in zip(frames, everything, strict=True):
        events = _decoded(_read(one, framing), found)
        events = _within(one.name, events, size, tally, strict=bool(sensor) and not framing.sensor)
        row[:], beyond = to_frames(scaled(events, framing.scale), framing, height, width)
        tally.clipped += beyond
    if framing.sensor and tally.outside > MOST_OUTSIDE * tally.total:
        raise TaskError(
            f"{what}: {tally.outside:,} of {tally.total:,} events are outside the sensor of {_by(size)} pixels, such "
            f"as {tally.example}: give the camera's HEIGHTxWIDTH, or drop --sensor"
        )
    labels = np.array([one.label for one in everything], np.int64)
    return RawData(
        x_train=frames[: len(train)],
        y_train=labels[: len(train)],
        x_test=frames[len(train) :],
        y_test=labels[len(train) :],
        class_names=class_names,
        origin=origin | _facts(framing, size, sensor, found, tally),
        remarks=_remarks(framing, size, found, tally),
    )


@dataclass(kw_only=True)
class Tally:
    """How many events there were, lay outside the sensor (and one of these), or were more than a pixel can count."""

    total: int = 0
    outside: int = 0
    clipped: int = 0
    example: str = ""


def _read(recording: Recording, framing: Framing) -> Events:
    check_bytes(recording.name, recording.size)
    with reading(recording.name, "a recording"):
        data = recording.load()
    return parse(recording.name, data, framing.columns)


def _decoded(events: Events, found: Survey | None) -> Events:
    """Events whose polarity is as all recordings together say: where any holds 2, one that holds 1 alone is darker."""
    if found is not None and 2 in found.codings and events.polarities == {1}:
        return replace(events, p=np.zeros_like(events.p))
    return events


def _within(name: str, events: Events, size: tuple[int, int], tally: Tally, *, strict: bool) -> Events:
    """Events within the sensor; raises TaskError where none is left, or ``strict`` and one is not."""
    tally.total += len(events.t)
    which = inside(events, *size)
    if which.all():
        return events
    odd = int(np.argmin(which))
    told = f"event {odd} of {name!r} at x = {events.x[odd]}, y = {events.y[odd]}"
    if strict:
        raise TaskError(
            f"{told} is outside the sensor of {_by(size)} pixels: the file is damaged or of another camera; replace or "
            f"remove it, or leave such events out with --sensor {_by(size)}"
        )
    if not which.any():
        raise TaskError(
            f"{name!r} has no event within the sensor of {_by(size)} pixels, {told}: give the camera's HEIGHTxWIDTH "
            "with --sensor, or remove the file"
        )
    tally.outside += int(len(which) - which.sum())
    tally.example = tally.example or told
    return chosen(events, which)


def _too_large(what: str, size: tuple[int, int], framing: Framing, found: Survey | None) -> TaskError:
    """Recordings of more than MAX_SIDE pixels a side."""
    need = -(-max(size) // MAX_SIDE)
    who, way_out = "", f"give --event-scale {need}, which sums up {need} by {need} pixels in one"
    if framing.sensor is None and found is not None:
        axis = size.index(max(size))
        who = f" (a file with the largest is {found.highest[axis][1]!r})"
        way_out += ", or --sensor HxW if the camera's is smaller"
    scaled_by = f" and --event-scale {framing.scale}" if framing.scale > 1 else ""
    return TaskError(
        f"{what} holds recordings of {_by(size)} pixels{scaled_by}; at most {MAX_SIDE} a side{who}: {way_out}"
    )


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _facts(
    framing: Framing, size: tuple[int, int], sensor: tuple[int, int] | None, found: Survey | None, tally: Tally
) -> dict[str, object]:
    """What config.json tells of recordings."""
    known = framing.sensor or sensor
    coded = {"polarities": sorted(found.codings)} if found is not None and found.codings else {}
    return {
        "frames": framing.frames,
        "frames_by": framing.by,
        "sensor": f"{_by(size)} (height x width)" + ("" if known else ", from the largest coordinates"),
        "sensor_size": list(size),
        "event_scale": framing.scale,
        **({"event_columns": framing.columns} if framing.columns else {}),
        **coded,
        "events": tally.total,
        "events_outside_the_sensor": tally.outside,
        "events_beyond_255_a_pixel_and_frame": tally.clipped,
    }


def _remarks(framing: Framing, size: tuple[int, int], found: Survey | None, tally: Tally) -> tuple[str, ...]:
    """What the user is told of recordings."""
    told = []
    if framing.sensor is None and found is not None:
        told.append(
            f"recordings are taken to be of a sensor of {_by(size)} pixels (height x width), from the largest "
            f"coordinates{' but for clear outliers' if tally.outside else ''}; --sensor HxW says otherwise"
        )
    if found is not None and 2 in found.codings:
        told.append("polarities are 1 and 2, which are taken as darker and brighter")
    if tally.outside:
        told.append(
            f"{tally.outside:,} of {tally.total:,} events are outside the sensor and left out, such as {tally.example}"
        )
    if tally.clipped:
        told.append(
            f"{tally.clipped:,} of {tally.total:,} events are beyond {TOP} on a pixel in a frame and left out; more "
            "--timesteps keep more of them"
        )
    if found is not None and (count := found.others[2]):
        name, others, _ = found.others
        told.append(
            f"recordings with more columns than x, y, t and p: {count}, such as {name!r}; passed over there: "
            f"{', '.join(map(repr, others[:5]))}"
        )
    return tuple(told)


def check_classes(where: str, names: Sequence[str], recordings: Sequence[Recording]) -> None:
    """Raises TaskError where a class has no recordings."""
    seen = {recording.label for recording in recordings}
    for label, name in enumerate(names):
        if label not in seen:
            raise TaskError(f"{where} holds no recordings of class {name!r}; put some there")
