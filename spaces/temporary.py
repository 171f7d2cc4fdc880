"""Temporary files and folders, which their process holds locked: what is not locked any more was left by a dead one.

The operating system lets go of a lock when a process ends, however it ends; a number of a process says less, for it
comes again, and on a shared folder it is another machine's. Where a file system knows no locks, nothing is removed.
"""

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

NAME = re.compile(r"\..+\.\d+\.tmp")
FOLDER, LOCK = "spikefront-", ".held"


def temporary_of(path: Path) -> Path:
    """Where a file is written before it takes the place of ``path``, in the same folder."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def hold(file: BinaryIO) -> None:
    """Holds an open file, till it is closed or the process ends; waits for whoever looks whether it is held."""
    with suppress(OSError):  # a file system without locks
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)


def sweep(folder: Path) -> None:
    """Removes the temporary files of dead processes in a folder and all below it."""
    for left in folder.rglob(".*.tmp"):
        if NAME.fullmatch(left.name):
            with suppress(OSError), _taken(left):
                left.unlink()


@contextmanager
def temporary_folder(home: Path | None = None) -> Iterator[Path]:
    """Within, a new folder in ``home`` (default: the system's), then removed; those of dead processes go first."""
    home = Path(home or tempfile.gettempdir())
    for left in home.glob(f"{FOLDER}*/{LOCK}"):
        with suppress(OSError):
            if stat.S_ISDIR(left.parent.lstat().st_mode) and left.parent.lstat().st_uid == os.getuid():
                with _taken(left):
                    shutil.rmtree(left.parent)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=FOLDER, dir=home))
        file = (folder / LOCK).open("wb")
        hold(file)
        if (folder / LOCK).exists():  # not taken for a dead process's before it was held
            break
        file.close()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        file.close()


@contextmanager
def _taken(path: Path) -> Iterator[None]:
    """Within, a file that nobody holds is ours; raises OSError where somebody does, or where it is none."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no file")
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
