"""What every reader does with foreign bytes: no exception but TaskError, and no allocation the machine cannot hold."""

import hashlib
import math
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath

from spaces.errors import TaskError, typed_line
from spaces.faults import ADVICE, OTHER, PACKAGES, machine_fault

MAX_SIDE = 512  # pixels; the networks searched here are for small images
COPIES = 3  # at most this many copies of the pixels live at once while a task is loaded


@contextmanager
def reading(path: PurePath | str, expected: str) -> Iterator[None]:
    """Turn whatever a parser raises on foreign bytes into a one-line TaskError, and keep its warnings quiet.

    A parser fed with damaged data can raise nearly anything (zlib.error, struct.error, SyntaxError, MemoryError, ...),
    so this catches every Exception; keep the body to the parser's own calls.

    Raises:
        TaskError: the body raised; ``expected`` says what the file should have been.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except TaskError:
        raise
    except Exception as error:
        reason = typed_line(error)
        if (fault := machine_fault(error)) not in ("", OTHER, PACKAGES):
            raise TaskError(
                f"cannot read {str(path)!r}: {fault} ({reason}); {ADVICE[fault]}, or replace the file if it claims "
                "to be larger than it is"
            ) from error
        raise TaskError(f"cannot read {str(path)!r} as {expected}: {reason}; replace or remove the file") from error


def available_memory() -> int:
    """Bytes that can still be taken: the least that machine and container leave; ``sys.maxsize`` where none tells."""
    room = [sys.maxsize]
    with suppress(AttributeError, OSError, ValueError):
        room.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError, ValueError, KeyError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        room.append(int(dict(line.split(":") for line in lines)["MemAvailable"].split()[0]) * 1024)
    with suppress(OSError, ValueError, KeyError):  # a container under cgroup v2
        group = Path("/sys/fs/cgroup")
        used = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        room.append(int((group / "memory.max").read_text()) - int(used["anon"]))
    return min(room)


def check_size(what: str, shape: Sequence[int], itemsize: int = 1, *, kind: str = "images") -> None:
    """Refuse images (``kind``) [N, H, W, C] that are empty, larger than MAX_SIDE a side, or beyond the memory there is.

    Called with the shape a header claims, before anything of that size is allocated.

    Raises:
        TaskError: naming ``what``, the shape and the rule.
    """
    count, height, width, channels = shape
    if count < 1:
        raise TaskError(f"{what} holds no {kind}; at least two a class are needed")
    if min(height, width, channels) < 1:
        raise TaskError(
            f"{what} holds {kind} of {height}x{width} pixels and {channels} channels; each must be at least 1"
        )
    if max(height, width) > MAX_SIDE:
        raise TaskError(f"{what} holds {kind} of {height}x{width} pixels; at most {MAX_SIDE} a side: shrink them first")
    need, room = COPIES * math.prod(shape) * itemsize, available_memory()
    if need > room:
        raise TaskError(
            f"{what} holds {count} {kind} of {height}x{width}x{channels}: loading needs about {need / 1e9:.1f} GB "
            f"of memory and {room / 1e9:.1f} GB are free; give fewer or smaller {kind}"
        )


def md5_of(path: Path) -> str:
    """MD5 of a file in hexadecimal: guards against damage, not against malice."""
    with reading(path, "a file"), path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def check_md5(path: Path, found: str, published: str) -> None:
    """Compare two MD5s.

    Raises:
        TaskError: they differ.
    """
    if found != published:
        raise TaskError(
            f"{str(path)!r} has MD5 {found}, published is {published}: damaged or altered; "
            "remove it and give --download, or take it as it is with --no-verify"
        )


def find_folder(what: str, data_dir: Path, inside: Sequence[str], names: Sequence[Sequence[str]]) -> list[Path]:
    """Find the files of a data set: the first folder of ``data_dir / inside[i]`` that has them all.

    Args:
        what: name of the data set, for the message.
        data_dir: where the user says the data are.
        inside: sub-folders to try, the most telling first.
        names: a tuple of accepted names for each file.

    Raises:
        TaskError: no folder has all the files; says where it looked, what the nearest one lacks, and --download.
    """
    folders = [data_dir / sub for sub in inside]
    with reading(data_dir, "a folder"):
        found = [[next(filter(Path.is_file, (at / n for n in file)), None) for file in names] for at in folders]
    best = max(range(len(folders)), key=lambda i: len(names) - found[i].count(None))
    present = [path for path in found[best] if path is not None]
    if not present:
        raise TaskError(
            f"{what} is not in {str(data_dir)!r} (looked for {names[0][0]} there and in "
            f"{', '.join(sub for sub in inside if sub != '.')}); give --download to fetch it, or --data-dir"
        )
    if len(present) < len(names):
        missing = ", ".join(file[0] for file, path in zip(names, found[best], strict=True) if path is None)
        raise TaskError(f"{what} in {str(folders[best])!r} lacks {missing}; give --download to fetch it")
    return present
