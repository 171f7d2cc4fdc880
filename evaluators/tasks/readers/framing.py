"""Framing: how recordings of events become frames. Importing this loads no NumPy."""

import re
from dataclasses import dataclass

from spaces.errors import OptionError, TaskError

MAX_FRAMES = 512
MAX_SCALE = 4096
MAX_SENSOR = 1 << 16  # pixels a side that a camera may have
FRAMINGS = ("time", "count")


@dataclass(frozen=True, kw_only=True)
class Framing:
    """How a recording is cut into frames, and of what size these are.

    Attributes:
        frames: how many, 1 to MAX_FRAMES.
        by: ``time`` (equal slices of the time from the first event to the last) or ``count`` (equal numbers of events,
            to one).
        scale: events of so many by so many pixels are summed up in one.
        sensor: the camera's height and width; events outside are left out. None: as the recordings show.
        columns: the order of x, y, t and p in arrays [N, 4], a letter each; None: such arrays are refused.
    """

    frames: int
    by: str = "time"
    scale: int = 1
    sensor: tuple[int, int] | None = None
    columns: str | None = None

    def check(self) -> None:
        """Raises TaskError where no recording can be cut so."""
        if not 1 <= self.frames <= MAX_FRAMES:
            raise TaskError(
                f"recordings cannot be cut into {self.frames} frames, one a time step: give 1 to {MAX_FRAMES}"
            )
        if self.by not in FRAMINGS:
            raise TaskError(f"recordings cannot be cut by {self.by!r}: give one of {', '.join(FRAMINGS)}")

    def options(self) -> list[str]:
        """Options of the command line that were given and that only recordings have."""
        given = {"event-scale": self.scale != 1, "sensor": self.sensor, "event-columns": self.columns}
        return [f"--{name}" for name, value in given.items() if value]


def parse_framing(
    *, frames: int, by: str = "time", scale: int = 1, sensor: str | None = None, columns: str | None = None
) -> Framing:
    """The Framing that the options of the command line spell: a sensor as HxW, columns as xytp in any order.

    Raises:
        OptionError: a value that none of them can have.
    """
    sides = None
    if sensor is not None:
        found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", sensor, re.ASCII)
        sides = (int(found[1]), int(found[2])) if found else (0, 0)
        if not all(1 <= side <= MAX_SENSOR for side in sides):
            raise OptionError(
                f"--sensor {sensor!r}: write the camera's HEIGHTxWIDTH in pixels, each 1 to {MAX_SENSOR}, e.g. 260x346"
            )
    if columns is not None and sorted(columns) != sorted("xytp"):
        raise OptionError(f"--event-columns {columns!r}: write x, y, t and p in the order of the columns, e.g. xytp")
    if not 1 <= scale <= MAX_SCALE:
        raise OptionError(f"--event-scale {scale} is out of range: give 1 to {MAX_SCALE}")
    return Framing(frames=frames, by=by, scale=scale, sensor=sides, columns=columns)
