"""Files that are always whole: what was there before, or all of what is written."""

import errno
import os
import stat
from pathlib import Path

from spaces.errors import RunError, one_line
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


KINDS = {
    "file": stat.S_ISREG,
    "folder": stat.S_ISDIR,
    "named pipe": stat.S_ISFIFO,
    "socket": stat.S_ISSOCK,
}


def kind_of(path: Path) -> str:
    """What stands at a path, or where it links to: one of KINDS, or a device; raises OSError where nothing does."""
    mode = path.stat().st_mode
    return next((kind for kind, holds in KINDS.items() if holds(mode)), "device")


def check_regular(path: Path) -> None:
    """Raises OSError unless a regular file, or a link to one, stands at a path.

    What reads a pipe, a socket or a device may wait for ever, and does not see the same twice.
    """
    if (kind := kind_of(path)) != "file":
        raise OSError(errno.EINVAL, f"it is a {kind}, not a regular file", str(path))


def read_file(path: Path) -> bytes:
    """The content of a regular file; raises OSError for anything else, see ``check_regular``."""
    check_regular(path)
    return path.read_bytes()


def reason(error: BaseException) -> str:
    """Why a file could not be used, in one line."""
    return one_line(error)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
