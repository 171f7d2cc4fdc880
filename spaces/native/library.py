"""The native kernels: the C files beside this one, compiled for this processor when first used, and kept on disk.

What is kept bears the hash of its content in its name, so that a file that was cut off or changed is not loaded.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from spaces.cache import cache_home, private_folders, temporary_home
from spaces.errors import one_line
from spaces.temporary import temporary_folder

NAMES = ("backward.c", "bits.c", "fire.c", "fire_backward.c", "forward.c", "memory.c", "norm.c", "pool.c", "sum.c")
SOURCES = tuple(Path(__file__).with_name(name) for name in NAMES)
HEADERS = tuple(Path(__file__).with_name(name) for name in ("conv.h", "neurons.h", "vectors.h"))
COMPILERS = ("cc", "gcc", "clang", "g++")
OPTIONS = ("-O3", "-march=native", "-fPIC", "-std=gnu11")
POINTER, LONG, INT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
SIGNATURES = {
    "pack_bits": (LONG, [POINTER, LONG, INT, POINTER]),
    "unpack_bits": (None, [POINTER, LONG, INT, POINTER]),
    "has_tiles": (INT, []),
    "keep_memory": (None, []),
    "conv_forward": (INT, [POINTER] * 3 + [LONG] * 5 + [INT] * 4),
    "conv_weight_gradient": (INT, [POINTER] * 3 + [LONG] * 5 + [INT] * 3),
    "fire": (INT, [POINTER, LONG] * 2 + [LONG] * 4 + [INT] * 3 + [POINTER] * 3 + [INT]),
    "fire_backward": (INT, [POINTER, LONG] * 2 + [POINTER] + [LONG] * 4 + [INT] * 5 + [POINTER] * 3 + [INT]),
    "convolve_and_fire": (INT, [POINTER] * 2 + [LONG, INT, POINTER] + [LONG] * 6 + [INT] * 3 + [POINTER] * 3 + [INT]),
    "norm_moments": (INT, [POINTER, LONG, LONG, INT, POINTER, INT]),
    "norm_sums": (INT, [POINTER] * 2 + [LONG] * 2 + [INT] + [POINTER] * 2 + [INT]),
    "norm_apply": (None, [POINTER] * 3 + [LONG] * 2 + [INT, POINTER, INT]),
    "sum_rows": (None, [POINTER] + [LONG] * 2 + [INT, POINTER, INT]),
    "pool_forward": (None, [POINTER] * 2 + [LONG] * 4 + [INT] * 2),
    "pool_backward": (None, [POINTER] * 3 + [LONG] * 4 + [INT] * 2),
}


@functools.cache
def kernels() -> ctypes.CDLL | None:
    """The library; None, with one warning, where it cannot be compiled or loaded.

    From then on the process keeps memory that it has freed, for the maps to come: see ``memory.c``.
    """
    try:
        library = _loaded()
    except (OSError, AttributeError, subprocess.SubprocessError) as error:
        output = getattr(error, "stderr", None) or one_line(error)
        way = "mend that" if _compiler() else "install a C compiler such as gcc"
        warnings.warn(
            "convolutions run dense, and norms and poolings as PyTorch has them, a few times slower, because compiling "
            f"failed ({' '.join(output.split())[:200]}); {way}, or pass --no-compile to silence this",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    library.keep_memory()
    return library


def check(status: int) -> None:
    """Raises MemoryError where a kernel says that it had none."""
    if status:
        raise MemoryError("not enough memory for a layer")


def _loaded() -> ctypes.CDLL:
    """The library out of the first folder that has it, or can take it and lets it be run from there.

    Raises:
        OSError, subprocess.SubprocessError: there is no such folder, or no compiler.
    """
    made_of = [*(source.read_text("utf-8") for source in (*SOURCES, *HEADERS)), *OPTIONS, _processor()]
    key = hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:16]
    homes = (home and home / "kernels" for home in (cache_home(), temporary_home()))
    for folder in private_folders(*homes):
        for path in _kept(folder, f"kernels-{key}"):
            with suppress(OSError, AttributeError):  # not for this machine, or of other sources
                return _opened(path)
        try:
            return _opened(_compiled(folder, f"kernels-{key}"))
        except OSError as error:  # it cannot be written, or nothing there may be run
            fault = error
    raise fault


def _kept(folder: Path, name: str) -> Iterator[Path]:
    """Libraries of that name that are whole."""
    for path in folder.glob(f"{name}-*.so"):
        with suppress(OSError):
            if path.name == _named(name, path.read_bytes()):
                yield path


def _named(name: str, content: bytes) -> str:
    return f"{name}-{hashlib.sha256(content).hexdigest()[:16]}.so"


def _opened(path: Path) -> ctypes.CDLL:
    """The library in a file; raises OSError where it cannot be loaded, AttributeError where it lacks a function."""
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _compiler() -> list[str]:
    """The command of the compiler; empty if there is none."""
    command = os.environ.get("CC") or next((name for name in COMPILERS if shutil.which(name)), "")
    return command.split()


def _compiled(folder: Path, name: str) -> Path:
    """The library's file in a folder, compiled anew; several processes may do so at once."""
    if not _compiler():
        raise subprocess.SubprocessError("no C compiler found")
    with temporary_folder(folder) as place:
        made = place / "kernels.so"
        try:
            _compile([*_compiler(), *OPTIONS, "-fopenmp"], made)
        except subprocess.CalledProcessError:  # a compiler without OpenMP
            _compile([*_compiler(), *OPTIONS], made)
        made.chmod(0o700)  # whatever the umask is
        return made.replace(folder / _named(name, made.read_bytes()))


def _compile(command: Sequence[str], made: Path) -> None:
    """Makes the library out of the sources, which are compiled side by side."""

    def run(*arguments: str) -> None:
        try:
            subprocess.run([*command, *arguments], check=True, capture_output=True, text=True)
        except (FileNotFoundError, PermissionError) as error:
            raise subprocess.SubprocessError(f"compiler {command[0]!r} cannot be run: {error.strerror}") from error

    def compiled(source: Path) -> str:
        path = str(made.with_name(f"{source.stem}.o"))
        run("-x", "c", "-c", str(source), "-o", path)
        return path

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compiled, SOURCES))
    run("-shared", *objects, "-o", str(made))


def _processor() -> str:
    """What distinguishes processors that a shared home may be used from."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.lower().startswith(("flags", "features")))
    except (OSError, StopIteration):
        return platform.machine() + platform.processor()
