"""Files that are always whole: what was there before, or all of what is written."""

import os
from pathlib import Path

from spaces.errors import RunError
from spaces.temporary import hold, temporary_of


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write ``content`` (text as UTF-8) so that ``path`` holds either all of it or what it held before.

    Raises:
        RunError: the file cannot be written; nothing is left behind.
    """
    path = Path(path)
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    try:
        try:
            _write(path, data)
        except FileNotFoundError:  # it was taken for a dead process's before it was held
            _write(path, data)
        _sync_folder(path.parent)
    except OSError as error:
        raise RunError(
            f"file {str(path)!r} cannot be written ({reason(error)}): free space or make it writable, then run again"
        ) from error


def _write(path: Path, data: bytes) -> None:
    temporary = temporary_of(path)
    try:
        with temporary.open("wb") as file:
            hold(file)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def reason(error: BaseException) -> str:
    """Why a file could not be used, in one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:200] or type(error).__name__


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
