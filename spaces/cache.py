"""Folders for code that is compiled here, kept, and run again: none that anybody else could have written to.

Whoever may write where another's code is loaded from can make that other run anything. So of each folder and of all in
it the owner and the mode are looked at first.
"""

import atexit
import os
import stat
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from spaces.temporary import temporary_folder


def cache_home() -> Path | None:
    """Where this user's cache is, by the XDG base directory specification; None for a user without a home."""
    named = Path(os.environ.get("XDG_CACHE_HOME") or "")
    if named.is_absolute():
        return named / "spikefront"
    try:
        return Path.home() / ".cache" / "spikefront"
    except RuntimeError:  # no HOME, and no entry in the user database
        return None


def temporary_home() -> Path | None:
    """A folder of this user's in the temporary folder; None where there is none that can be written."""
    try:
        return Path(tempfile.gettempdir()) / f"spikefront-{os.geteuid() if hasattr(os, 'geteuid') else 'cache'}"
    except OSError:
        return None


def private_folders(*places: Path | None) -> Iterator[Path]:
    """Folders that nobody else can have written to: those of ``places`` that are so, made if missing, then a fresh one.

    They need not be writable. One that others could have written to is passed over with a warning; the fresh one, which
    goes when the process ends, is made only if it is asked for, and with a warning, too.

    Raises:
        OSError: not even a fresh one can be made.
    """
    for place in filter(None, places):
        try:
            _make(place.absolute())
            fault = exposure(place.absolute())
        except OSError:
            continue
        if not fault:
            yield place
            continue
        warnings.warn(
            f"compiled code is not kept in {str(place)!r}, since others could put theirs there: {fault}; remove that, "
            "or name a folder of your own in XDG_CACHE_HOME or TMPDIR",
            RuntimeWarning,
            stacklevel=2,
        )
    warnings.warn(
        "compiled code is kept for this process alone, since no folder for it can be used: name one of your own in "
        "XDG_CACHE_HOME or TMPDIR",
        RuntimeWarning,
        stacklevel=2,
    )
    stack = ExitStack()
    atexit.register(stack.close)
    yield stack.enter_context(temporary_folder())


def exposure(path: Path) -> str:
    """Why others than this user and root could have written to a folder, or to what is in it; empty if they cannot.

    Folders around it are looked at as far as the user's home, or all of them where it is elsewhere.

    Raises:
        OSError: it cannot be looked at.
    """
    if not hasattr(os, "geteuid"):  # not POSIX: a user's folders are that user's
        return ""
    trusted = {os.geteuid(), 0}
    for link in (path, *path.parents):
        if link.is_symlink() and link.lstat().st_uid not in trusted:
            return f"the link {str(link)!r} belongs to user {link.lstat().st_uid}"
    path = path.resolve()
    about = path.stat()
    if not stat.S_ISDIR(about.st_mode):
        return f"{str(path)!r} is no folder"
    if about.st_mode & 0o022:
        return f"others may write to {str(path)!r}"
    entered = about.st_mode & 0o011  # by others, who may then write to what in it is open to them
    for entry, found in [(path, about), *_all_in(path)]:
        if found.st_uid not in trusted:
            return f"{str(entry)!r} belongs to user {found.st_uid}"
        if entered and found.st_mode & 0o022 and not stat.S_ISLNK(found.st_mode):
            return f"others may write to {str(entry)!r}"
    return next(filter(None, (_exposed_around(folder, trusted) for folder in _around(path))), "")


def _all_in(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """What is in a folder and its folders; what goes meanwhile is left out."""
    for home, folders, files in os.walk(path):
        for name in (*folders, *files):
            with suppress(FileNotFoundError):
                yield (entry := Path(home, name)), entry.lstat()


def _around(path: Path) -> list[Path]:
    """The folders around one, up to the user's home."""
    try:
        home = Path.home().resolve()
    except RuntimeError:
        home = Path("/")
    around = list(path.parents)
    return around[: around.index(home)] if home in around else around


def _exposed_around(folder: Path, trusted: set[int]) -> str:
    """Why others could put another folder in the place of one in this; empty if they cannot."""
    about = folder.stat()
    if about.st_uid not in trusted:
        return f"{str(folder)!r} belongs to user {about.st_uid}"
    group = about.st_mode & 0o020 and about.st_gid != os.getegid()  # many people's folders are their own group's
    if (about.st_mode & 0o002 or group) and not about.st_mode & stat.S_ISVTX:
        return f"others may write to {str(folder)!r}"
    return ""


def _make(path: Path) -> None:
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
