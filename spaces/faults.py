"""Faults of the machine: errors that say nothing of what was computed when they came, and what to do about each.

Libraries raise them as they like: PyTorch's allocator, oneDNN, CUDA and thread pools as a RuntimeError, so these are
told by what they say. Nothing heavy is imported to tell them.
"""

import errno
from collections.abc import Iterator

from spaces.errors import ClusterError, LedgerError, RunError, typed_line

MEMORY, DEVICE, DISK, FILES, PROCESSES, PACKAGES, OURS, OTHER = (
    "memory ran short",
    "the device failed",
    "the disk is full",
    "too many files are open",
    "no more processes or threads can be had",
    "a package cannot be loaded",
    "a module of this program cannot be loaded",
    "a file or the system failed",
)
ADVICE = {
    MEMORY: "free memory (end other programs, or take fewer --workers)",
    DEVICE: "see that it works and nothing else fills it, or take --device cpu",
    DISK: "make room on it",
    FILES: "raise the limit (ulimit -n)",
    PROCESSES: "end some, or raise the limit (ulimit -u)",
    PACKAGES: "mend the installation",
    OURS: "see that PYTHONPATH holds no other module of that name, or install the program anew",
    OTHER: "see that it works",
}
MODULES = ("launch", "search", "evaluators", "results", "spaces")
_SAID = {  # in the text of an error, in small letters
    MEMORY: (
        "t allocate memory",
        "cannot allocate memory",
        "unable to allocate",
        "failed to allocate",
        "not enough memory",
        "insufficient memory",
        "out of memory",
        "out_of_memory",
        "low on memory",
        "alloc_failed",
        "bad_alloc",
        "bad allocation",
        "unable to mmap",
        "failed to map segment",
        "could not create a primitive",
        "could not create a memory",
        "could not execute a primitive",
    ),
    DISK: ("no space left on device", "disk quota exceeded"),
    FILES: ("too many open files",),
    PROCESSES: ("can't start new thread", "resource temporarily unavailable", "thread creation failed"),
    DEVICE: (
        "cuda error",
        "cuda driver",
        "hip error",
        "_status_internal_error",
        "_status_execution_failed",
        "_status_not_initialized",
        "_status_mapping_error",
        "nccl error",
        "device-side assert",
        "device lost",
        "mps backend",
        "ur_result_error",
        "unable to find an engine to execute",
    ),
    PACKAGES: ("nvrtc: error: failed to open",),
}
_NAMED = {  # classes that are not imported here, by name
    "OutOfMemoryError": MEMORY,
    "ObjectStoreFullError": MEMORY,
    "OutOfDiskError": DISK,
    "AcceleratorError": DEVICE,
}
_NUMBERED = {
    errno.ENOMEM: MEMORY,
    errno.ENOSPC: DISK,
    errno.EDQUOT: DISK,
    errno.EMFILE: FILES,
    errno.ENFILE: FILES,
    errno.EAGAIN: PROCESSES,
}


def machine_fault(error: BaseException) -> str:
    """The fault of the machine that an error is of, or came of; empty where it is of what was computed.

    >>> machine_fault(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"))
    'memory ran short'
    >>> machine_fault(ZeroDivisionError("division by zero"))
    ''
    """
    return next((fault for one in _chain(error) if (fault := _fault_of(one))), "")


def is_candidates(error: BaseException) -> bool:
    """Whether an error tells of the candidate that was computed; others stop a run, and a resume goes on there."""
    return not isinstance(error, RunError | LedgerError | ClusterError) and not machine_fault(error)


def fault_line(error: BaseException, fault: str, go_on: str) -> str:
    """A fault of the machine in one line: what, the library's words, what to do, and how to ``go_on`` afterwards."""
    return f"{fault} ({typed_line(error)}): {ADVICE[fault]}, then {go_on}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it came of."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)


def _fault_of(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return MEMORY
    for kind in type(error).__mro__:
        if kind.__name__ in _NAMED and kind.__module__ != "builtins":
            return MEMORY if _NAMED[kind.__name__] == DEVICE and _said(error) == MEMORY else _NAMED[kind.__name__]
    if isinstance(error, OSError):
        return _NUMBERED.get(error.errno, OTHER)
    said = _said(error) if isinstance(error, RuntimeError | SystemError | ImportError) else ""
    if said or not isinstance(error, ImportError):
        return said
    return OURS if (error.name or "").split(".")[0] in MODULES else PACKAGES


def _said(error: BaseException) -> str:
    text = str(error).lower()
    return next((fault for fault, texts in _SAID.items() if any(one in text for one in texts)), "")
