"""JSON files with a checksum: what a run keeps and reads again, so that a damaged file is never taken for a whole one.

The checksum is the last key of the object, ``crc32``: eight hexadecimal digits, CRC-32 (as in zlib) of the rest as
compact ASCII JSON with sorted keys. It is of the values, not of the bytes, so an object may be printed otherwise. One
without the key is of an older version, or was edited by hand: it is read unchecked.
"""

import errno
import json
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spaces.errors import DamageError
from spaces.files import read_file, reason, write_atomic

CHECKSUM = "crc32"
DEEPEST = 60  # levels of nesting in a file; what a run writes has less than ten


def canonical(value: Any) -> str:  # noqa: ANN401
    """Plain JSON data as compact ASCII JSON with sorted keys: equal values give equal texts.

    >>> canonical({"b": 1, "a": [0.5, None]})
    '{"a":[0.5,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def with_checksum(value: Mapping[str, Any]) -> dict[str, Any]:
    """The object with its checksum as the last key.

    >>> with_checksum({"number": 0})
    {'number': 0, 'crc32': 'c4dd5da4'}
    """
    rest = {name: inner for name, inner in value.items() if name != CHECKSUM}
    return rest | {CHECKSUM: f"{zlib.crc32(canonical(rest).encode()):08x}"}


def without_checksum(value: Mapping[str, Any]) -> dict[str, Any]:
    """The object without its checksum, if it has one.

    Raises:
        ValueError: the checksum is not that of the rest.
    """
    rest = dict(value)
    kept = rest.pop(CHECKSUM, None)
    if CHECKSUM in value and kept != (found := with_checksum(rest)[CHECKSUM]):
        said = json.dumps(kept)[:40]
        raise ValueError(f"{CHECKSUM} says {said}, its contents give {found}; who edits it removes {CHECKSUM}")
    name = next(reversed(rest), None)
    if CHECKSUM not in value and name is not None:
        kept = rest.pop(name)
        if kept == with_checksum(rest)[CHECKSUM]:  # an older one has no such value: only the name is damaged
            raise ValueError(f"the name {CHECKSUM} of its checksum has become {json.dumps(name)[:40]}")
        rest[name] = kept
    return rest


def parse_object(text: bytes) -> dict[str, Any]:
    """The JSON object that a text holds, checked and without its checksum; NaN and infinities are read as null.

    Raises:
        ValueError: the text is none, holds a name twice, is nested absurdly, or its checksum is wrong; in one line.
    """
    try:
        value = _JSON.decode(text.decode())
        if not isinstance(value, dict):
            raise ValueError("it is not a JSON object")
        if _depth(value) > DEEPEST:
            raise ValueError(f"it is nested deeper than {DEEPEST} levels")
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from error
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels") from error
    return without_checksum(value)


def write_json(path: Path, value: Mapping[str, Any], *, indent: int | None = 2) -> None:
    """Writes a JSON object with its checksum, whole or not at all; a NaN or an infinity becomes null.

    Raises:
        RunError: the file cannot be written; what was there is as it was.
    """
    plain = json.loads(json.dumps(value), parse_constant=lambda _: None)
    whole = with_checksum(plain)
    write_atomic(path, (json.dumps(whole) if indent is None else readable(whole, indent)) + "\n")


WIDEST = 110  # letters of a line that takes up a list or an object whole


def readable(value: Any, indent: int, depth: int = 0) -> str:  # noqa: ANN401
    """JSON for people: what holds nothing nested, and is short, stands in a line; all else a line an item.

    >>> print(readable({"a": [1, 2], "b": {"c": [[1], [2]]}}, 2))
    {
      "a": [1, 2],
      "b": {
        "c": [
          [1],
          [2]
        ]
      }
    }
    """
    items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    flat = json.dumps(value, allow_nan=False)
    if not items or (not any(isinstance(item, dict | list) for item in items) and len(flat) <= WIDEST):
        return flat
    start, end = " " * indent * (depth + 1), " " * indent * depth
    inner = [readable(item, indent, depth + 1) for item in items]
    if isinstance(value, dict):
        inner = [f"{json.dumps(name)}: {text}" for name, text in zip(value, inner, strict=True)]
    lines = ",\n".join(start + text for text in inner)
    return f"{{\n{lines}\n{end}}}" if isinstance(value, dict) else f"[\n{lines}\n{end}]"


def read_json(path: Path, what: str, way_out: str) -> dict[str, Any] | None:
    """The object that ``write_json`` wrote, or an older version or a hand did; None where nothing is.

    Args:
        path: the file.
        what: it is, for the message.
        way_out: what to do where it is damaged.

    Raises:
        DamageError: it cannot be read, or is damaged; says what and why, and the way out.
    """
    try:
        content = read_regular(path)
        return None if content is None else parse_object(content)
    except (OSError, ValueError) as error:
        raise DamageError(f"{what} {str(path)!r} is damaged or was edited ({reason(error)})", way_out) from error


def read_regular(path: Path) -> bytes | None:
    """What a file holds; None where there is nothing, not even a link.

    Raises:
        OSError: it cannot be read, is a link to nothing, or no regular file (a folder, a pipe, a device).
    """
    try:
        path.lstat()
    except FileNotFoundError:
        return None
    try:
        return read_file(path)
    except FileNotFoundError as error:
        raise OSError(errno.ENOENT, "it is a link to what is not there", str(path)) from error


def _finite(text: str) -> float | None:
    return value if math.isfinite(value := float(text)) else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a name stands twice in an object")
    return fields


_JSON = json.JSONDecoder(object_pairs_hook=_once, parse_constant=lambda _: None, parse_float=_finite)


def _depth(value: Any) -> int:  # noqa: ANN401
    """Levels of nesting, counted without recursion."""
    depth, level = 0, [value]
    while level:
        depth += 1
        inner = [one for one in level if isinstance(one, dict | list)]
        level = [part for one in inner for part in (one.values() if isinstance(one, dict) else one)]
    return depth
