"""Faults of the machine are told from faults of what was computed, whatever a library raises for them."""

import doctest
import errno

import numpy as np
import pytest
import torch

from spaces import faults
from spaces.errors import ClusterError, LedgerError, RunError, SpaceError
from spaces.faults import (
    ADVICE,
    DEVICE,
    DISK,
    FILES,
    MEMORY,
    OTHER,
    OURS,
    PACKAGES,
    PROCESSES,
    fault_line,
    is_candidates,
    machine_fault,
)


def raised(call):
    with pytest.raises(Exception) as caught:  # noqa: PT011
        call()
    return caught.value


class OutOfMemoryError(RuntimeError):
    """As Ray's, by name."""


class AcceleratorError(RuntimeError):
    """As PyTorch's, by name."""


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (lambda: torch.empty(2**50, dtype=torch.uint8), MEMORY),
        (lambda: np.empty(2**60, dtype=np.uint8), MEMORY),
        (lambda: bytearray(2**60), MEMORY),
        (lambda: open("/no/such/file"), OTHER),  # noqa: SIM115, PTH123
        (lambda: __import__("no_such_package"), PACKAGES),
        (lambda: __import__("search.no_such_module"), OURS),
        (lambda: __import__("searching"), PACKAGES),
        (lambda: torch.zeros(2) @ torch.zeros(3), ""),
        (lambda: torch.zeros(2).view(3), ""),
        (lambda: [][0], ""),
    ],
)
def test_what_libraries_raise_themselves(call, fault):
    assert machine_fault(raised(call)) == fault


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (RuntimeError("could not create a primitive"), MEMORY),
        (RuntimeError("could not execute a primitive"), MEMORY),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: not enough memory"), MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"), MEMORY),
        (AcceleratorError("CUDA error: out of memory"), MEMORY),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), MEMORY),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), MEMORY),
        (OutOfMemoryError("Task was killed due to the node running low on memory"), MEMORY),
        (MemoryError("not enough memory for a layer"), MEMORY),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), MEMORY),
        (SystemError("std::bad_alloc"), MEMORY),
        (ImportError("libx.so: failed to map segment from shared object"), MEMORY),
        (AcceleratorError("CUDA error: an illegal memory access was encountered"), DEVICE),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), DEVICE),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"), ""),
        (RuntimeError("CUDA error: device-side assert triggered"), DEVICE),
        (RuntimeError("GET was unable to find an engine to execute this computation"), DEVICE),
        (RuntimeError("nvrtc: error: failed to open libnvrtc-builtins.so.13.0"), PACKAGES),
        (OSError(errno.ENOSPC, "No space left on device"), DISK),
        (RuntimeError("inline_container.cc:667 ... No space left on device"), DISK),
        (OSError(errno.EMFILE, "Too many open files"), FILES),
        (RuntimeError("unable to open shared memory object: Too many open files (24)"), FILES),
        (RuntimeError("can't start new thread"), PROCESSES),
        (InterruptedError(errno.EINTR, "Interrupted system call"), OTHER),
        (ValueError("out of memory units"), ""),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ""),
        (RecursionError("maximum recursion depth exceeded"), ""),
        (KeyError("slot1"), ""),
    ],
)
def test_what_they_are_known_to_raise(error, fault):
    assert machine_fault(error) == fault
    assert is_candidates(error) == (fault == "")
    if fault:
        line = fault_line(error, fault, "resume")
        assert line.startswith(fault)
        assert line.endswith(f"{ADVICE[fault]}, then resume")
        assert "\n" not in line


def test_an_error_that_came_of_another_is_of_its_fault():
    def wrapped(how):
        try:
            raise MemoryError
        except MemoryError as error:
            if how == "cause":
                raise ValueError("cannot be built") from error
            if how == "context":
                raise ValueError("cannot be built")  # noqa: B904
            raise ValueError("cannot be built") from None

    assert machine_fault(raised(lambda: wrapped("cause"))) == MEMORY
    assert machine_fault(raised(lambda: wrapped("context"))) == MEMORY
    assert machine_fault(raised(lambda: wrapped("none"))) == ""
    loop = ValueError("a"), ValueError("b")
    loop[0].__cause__, loop[1].__cause__ = loop[1], loop[0]
    assert machine_fault(loop[0]) == ""


@pytest.mark.parametrize("kind", [RunError, LedgerError, ClusterError])
def test_errors_of_the_run_are_no_candidates(kind):
    assert not is_candidates(kind("x"))
    assert is_candidates(SpaceError("x"))


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(faults).failed == 0
