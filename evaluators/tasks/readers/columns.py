"""Columns x, y, t and p of a recording that was saved by NumPy, under the names that libraries give them."""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from evaluators.tasks.readers.guard import reading
from spaces.errors import TaskError

FIELDS = ("x", "y", "t", "p")
SPELLINGS = {  # of faery, aedat, dv-processing, event_stream, metavision, tonic, evlib and the older readers of .dat
    "x": ("x", "xs"),
    "y": ("y", "ys"),
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
    "p": ("p", "ps", "on", "pol", "polarity", "polarities"),
}
RULE = "an array with the fields x, y, t, p, an array [N, 4], or an .npz of four arrays of these names"
CODINGS = ({0, 1}, {-1, 1}, {1, 2})  # of polarity: darker, brighter
MAX_WHOLE = 1 << 62
MAX_BYTES = 1 << 28  # of a recording: some 50 million events
WAYS_OUT = {
    "x": "give pixels as whole numbers",
    "y": "give pixels as whole numbers",
    "t": "give whole microseconds, such as numpy.round(t * 1e6) of seconds",
    "p": "give 0 and 1, -1 and 1, or 1 and 2",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Events:
    """Events of one recording.

    Attributes:
        x, y: column and row, from the left and from the top, int64 [E].
        t: time, int64 [E], in any unit and order.
        p: polarity, int64 [E], 0 (darker) or 1 (brighter).
        polarities: the numbers that polarity was stored as; none where it was a bit, which needs no coding.
        unnamed: whether they are of an array [N, 4] without names.
        others: names of columns that were passed over.
    """

    x: np.ndarray
    y: np.ndarray
    t: np.ndarray
    p: np.ndarray
    polarities: frozenset[int] = frozenset()
    unnamed: bool = False
    others: tuple[str, ...] = ()


def read_columns(name: str, data: bytes, order: str | None) -> Events:
    """Events out of the bytes of an .npy or .npz; no pickles.

    A column is known by its name or its title, in capitals or not, see SPELLINGS. It holds whole numbers of any type,
    [N], [N, 1] or [1, N]. An .npz may also hold one array with fields, or one [N, 4].

    Args:
        name: of the file, for messages.
        data: its bytes.
        order: of the columns of an array [N, 4], a letter each; None: not known.

    Raises:
        TaskError: damaged, of another kind, or with columns that are missing, doubtful or no whole numbers.
    """
    if not data.startswith((b"\x93NUMPY", b"PK")):
        raise TaskError(f"{name!r} is no file that numpy.save or numpy.savez wrote: a recording is {RULE}")
    with reading(PurePath(name), f"a recording ({RULE})"):
        found = np.load(io.BytesIO(data), allow_pickle=False)
        named: dict[str, tuple[str, ...]] = {}
        if isinstance(found, np.lib.npyio.NpzFile):
            check_bytes(name, sum(info.file_size for info in found.zip.infolist()))
            if len(found.files) == 1:
                found = found[found.files[0]]
            else:
                named = {key: (key,) for key in found.files}
        if isinstance(found, np.ndarray) and found.dtype.names:
            named = {key: _words(found.dtype, key) for key in found.dtype.names}
        if named:
            chosen = _chosen(name, named)
            stored = {field: found[key] for field, key in chosen.items()}
            others = tuple(key for key in named if key not in chosen.values())
        else:
            stored, others = _unnamed(name, found, order), ()
    stored = {field: _column(name, field, values) for field, values in stored.items()}
    if len({values.shape for values in stored.values()}) > 1:
        told = ", ".join(f"{field} {list(values.shape)}" for field, values in stored.items())
        raise TaskError(f"{name!r} holds {told}: give one of each an event")
    polarities = frozenset[int]() if stored["p"].dtype.kind == "b" else _polarities(name, stored["p"])
    columns = {field: values.astype(np.int64) for field, values in stored.items()}
    columns["p"] = (columns["p"] > (2 in polarities)).astype(np.int64)
    return Events(**columns, polarities=polarities, unnamed=not named, others=others)


def check_bytes(name: str, size: int) -> None:
    """Raises TaskError where a recording is too large to be one sample."""
    if size > MAX_BYTES:
        raise TaskError(f"{name!r} has {size} bytes, a recording may have {MAX_BYTES}: cut it into shorter ones")


def _words(dtype: np.dtype, key: str) -> tuple[str, ...]:
    """Name and title of a field: libraries that write C structures give one of them the usual letter."""
    return (key, *(title for title in dtype.fields[key][2:] if isinstance(title, str)))


def _chosen(name: str, named: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Which column each of FIELDS is, by the words that name the columns."""
    fitting = {
        field: [key for key, words in named.items() if any(word.lower() in SPELLINGS[field] for word in words)]
        for field in FIELDS
    }
    if missing := [field for field in FIELDS if not fitting[field]]:
        known = "; ".join(f"{field} may be called {', '.join(SPELLINGS[field])}" for field in missing)
        there = ", ".join(map(repr, list(named)[:10])) or "nothing"
        raise TaskError(f"{name!r} lacks {', '.join(missing)}: a recording is {RULE}; it holds {there}; {known}")
    for field, keys in fitting.items():
        if len(keys) > 1:
            raise TaskError(
                f"{name!r} holds {' and '.join(map(repr, keys[:3]))}, each of which may be {field}: keep one of them"
            )
    chosen = {field: keys[0] for field, keys in fitting.items()}
    if len(set(chosen.values())) < len(FIELDS):
        raise TaskError(f"{name!r} has a column that is called like two of x, y, t, p: rename it")
    return chosen


def _unnamed(name: str, array: np.ndarray, order: str | None) -> dict[str, np.ndarray]:
    """Columns of an array [N, 4] in the order that is told."""
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.shape[1] != len(FIELDS):
        told = f"{array.dtype}{list(array.shape)}" if isinstance(array, np.ndarray) else "no array"
        raise TaskError(f"{name!r} holds {told}, and lacks x, y, t, p: a recording is {RULE}")
    if order is None:
        raise TaskError(
            f"{name!r} is an array [N, 4], which does not say which column is x, y, t and p: give --event-columns in "
            "their order, e.g. --event-columns xytp"
        )
    return dict(zip(order, array.T, strict=True))


def _column(name: str, field: str, values: np.ndarray) -> np.ndarray:
    """A column [N] of whole numbers, or of booleans."""
    if values.ndim == 2 and 1 in values.shape:
        values = values.reshape(-1)
    if values.ndim != 1 or values.dtype.kind not in "uifb":
        raise TaskError(
            f"{name!r} holds {field} {str(values.dtype)[:60]}{list(values.shape)}: give whole numbers, one of each an "
            "event, e.g. t in microseconds"
        )
    if values.dtype.kind == "f":
        odd = ~np.isfinite(values) | (np.floor(values) != values)
        if odd.any():
            raise TaskError(f"{name!r} holds {field} = {values[odd][0]}, no whole number: {WAYS_OUT[field]}")
    if len(values) and values.dtype.kind != "b":
        low, high = int(values.min()), int(values.max())
        if max(-low, high) > MAX_WHOLE:
            raise TaskError(f"{name!r} holds {field} = {high if high > MAX_WHOLE else low}: {WAYS_OUT[field]}")
    return values


def _polarities(name: str, p: np.ndarray) -> frozenset[int]:
    """The numbers in a column of polarities; raises TaskError where they are of none of CODINGS."""
    found = frozenset(int(value) for value in np.unique(p)[:4])
    if not any(found <= coding for coding in CODINGS):
        raise TaskError(
            f"{name!r} holds polarities {', '.join(map(str, sorted(found)))}: give 0 and 1, -1 and 1, or 1 and 2 "
            "(darker and brighter), or booleans"
        )
    return found
