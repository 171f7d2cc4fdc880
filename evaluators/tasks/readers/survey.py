"""Survey: what recordings say of themselves together, namely the sensor's size and how polarity is coded."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from evaluators.tasks.readers.columns import Events
from evaluators.tasks.readers.framing import MAX_SENSOR
from spaces.errors import TaskError

GAP = 16  # rows or columns without an event, behind which the few events there are
RARE = 1e-3  # are outside the sensor: at most this share of all


@dataclass(frozen=True, eq=False, kw_only=True)
class Survey:
    """What all recordings of a data set say together.

    Attributes:
        rows, columns: events by row and by column, int64 [MAX_SENSOR + 2]: those below 0 first, those from MAX_SENSOR
            on last.
        lowest, highest: the least and the largest row and column, each with the name of a file that has it.
        codings: the numbers that polarity was stored as, and the first file of each.
        unnamed: whether a file was an array without names.
        others: the first file with columns that were passed over, and their names; how many such files there are.
    """

    rows: np.ndarray
    columns: np.ndarray
    lowest: tuple[tuple[int, str], tuple[int, str]]
    highest: tuple[tuple[int, str], tuple[int, str]]
    codings: dict[int, str]
    unnamed: bool
    others: tuple[str, tuple[str, ...], int]


def survey(recordings: Iterable[tuple[str, Events]]) -> Survey:
    """Goes once through recordings, each with the name of its file.

    Raises:
        TaskError: recordings that code polarity in ways that do not go together.
    """
    counts = np.zeros((2, MAX_SENSOR + 2), np.int64)
    lowest, highest = [(MAX_SENSOR, "")] * 2, [(-1, "")] * 2
    codings: dict[int, str] = {}
    unnamed, others, count = False, ("", ()), 0
    for name, events in recordings:
        for axis, places in enumerate((events.y, events.x)):
            found = np.bincount(np.clip(places, -1, MAX_SENSOR) + 1)
            counts[axis, : len(found)] += found
            lowest[axis] = min(lowest[axis], (int(places.min()), name), key=lambda seen: seen[0])
            highest[axis] = max(highest[axis], (int(places.max()), name), key=lambda seen: seen[0])
        for number in events.polarities:
            codings.setdefault(number, name)
        unnamed |= events.unnamed
        if events.others:
            others, count = (others if count else (name, events.others)), count + 1
    if 2 in codings and (odd := {0, -1} & set(codings)):
        number = odd.pop()
        raise TaskError(
            f"{codings[2]!r} holds polarity 2 and {codings[number]!r} polarity {number}: code them alike, 0 and 1, -1 "
            "and 1, or 1 and 2 (darker and brighter)"
        )
    return Survey(
        rows=counts[0],
        columns=counts[1],
        lowest=tuple(lowest),
        highest=tuple(highest),
        codings=codings,
        unnamed=unnamed,
        others=(*others, count),
    )


def sensor_of(found: Survey) -> tuple[int, int]:
    """Height and width of the sensor, as the largest coordinates say that are no clear outliers.

    Clear outliers are the events beyond more than GAP rows or columns without any, if they are at most a share of RARE.

    Raises:
        TaskError: more than a share of RARE of the events is at negative coordinates.
    """
    sides = []
    for counts, (low, name), (high, _), axis in zip(
        (found.rows, found.columns), found.lowest, found.highest, "yx", strict=True
    ):
        total = counts.sum()
        if counts[0] > RARE * total:
            raise TaskError(
                f"{name!r} holds an event at {axis} = {low}, and {counts[0]:,} of {total:,} events are below 0: count "
                "from 0 on, or leave events outside the sensor out with --sensor HxW"
            )
        occupied = np.flatnonzero(counts[1:])
        beyond = total - counts[0] - np.cumsum(counts[1:][occupied])
        clear = np.flatnonzero((np.diff(occupied) > GAP) & (beyond[:-1] <= RARE * total))
        sides.append((int(occupied[clear[0]]) if len(clear) else high) + 1)
    return sides[0], sides[1]
