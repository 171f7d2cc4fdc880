"""The native kernels: the C files beside this one, compiled for this processor when first used, and kept on disk."""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
        library = ctypes.CDLL(str(_compiled()))
    except (OSError, subprocess.SubprocessError) as error:
        output = getattr(error, "stderr", None) or str(error)
        warnings.warn(
            "convolutions run dense, and norms and poolings as PyTorch has them, a few times slower, because compiling "
            f"failed ({' '.join(output.split())[:200]}); install a C compiler such as gcc, or pass --no-compile to "
            "silence this",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    for name, (result, arguments) in SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.keep_memory()
    return library


def check(status: int) -> None:
    """Raises MemoryError where a kernel says that it had none."""
    if status:
        raise MemoryError("not enough memory for a layer")


def _compiled() -> Path:
    """The library's file, compiled if it is not there; several processes may do so at once."""
    made_of = [*(source.read_text() for source in (*SOURCES, *HEADERS)), *OPTIONS, _processor()]
    key = hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:16]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spikefront"
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError:  # a home that cannot be written
        home = Path(tempfile.gettempdir()) / f"spikefront-{os.getuid()}"
        home.mkdir(mode=0o700, exist_ok=True)
    path = home / f"kernels-{key}.so"
    if path.exists():
        return path
    compiler = os.environ.get("CC") or next((name for name in COMPILERS if shutil.which(name)), None)
    if compiler is None:
        raise OSError("no C compiler found")
    with tempfile.TemporaryDirectory(dir=home) as folder:
        made = Path(folder) / path.name
        try:
            _compile([*compiler.split(), *OPTIONS, "-fopenmp"], made)
        except subprocess.CalledProcessError:  # a compiler without OpenMP
            _compile([*compiler.split(), *OPTIONS], made)
        made.replace(path)
    return path


def _compile(command: Sequence[str], made: Path) -> None:
    """Makes the library out of the sources, which are compiled side by side."""

    def run(*arguments: str) -> None:
        subprocess.run([*command, *arguments], check=True, capture_output=True, text=True)

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
