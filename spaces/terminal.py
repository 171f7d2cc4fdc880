"""What a terminal or a pipe is told, whatever its encoding is, and names of files that are no text."""

import codecs
import os
from pathlib import Path
from typing import TextIO

NEAREST = {"’": "'", "\u2009": " ", "\u200a": " ", "−": "-", "–": "-", "×": "x", "…": "..."}  # what our own texts hold
_FAILING = ("strict", "surrogateescape", "backslashreplace")  # a stream's own, unless the user has said another


def show_all(stream: TextIO | None) -> None:
    """Has a stream write what its encoding lacks in the nearest letters or by number, and names of files as they are.

    Python's own would fail there, or write the bytes of a name as numbers, which no command takes.
    """
    if getattr(stream, "errors", None) in _FAILING and hasattr(stream, "reconfigure"):
        codecs.register_error("spikefront", _nearest)
        stream.reconfigure(errors="spikefront")


def text_name(path: Path) -> str:
    r"""The last part of a path as a text that every file can hold: bytes of it that are no UTF-8 stand as ``\xe9``.

    >>> text_name(Path("runs/caf\udce9")), text_name(Path("runs/café"))
    ('caf\\xe9', 'café')
    """
    return os.fsencode(path.name).decode("utf-8", "backslashreplace")


def _nearest(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter, after = error.object[error.start], error.start + 1
    if "\udc80" <= letter <= "\udcff" and not error.encoding.startswith(("utf-16", "utf-32")):
        return bytes([ord(letter) - 0xDC00]), after  # as the file system has it
    return NEAREST.get(letter) or letter.encode("ascii", "backslashreplace").decode(), after
