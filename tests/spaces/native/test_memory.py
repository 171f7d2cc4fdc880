"""Memory that maps have left is there for the next ones: its pages are not asked of the system again."""

import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

MAPS, BYTES = 6, 31 * 2**20
SCRIPT = f"""
import ctypes
import resource
from spaces.native.library import kernels

assert kernels() is not None
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]

def maps():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    found = [libc.malloc({BYTES}) for _ in range({MAPS})]
    for one in found:
        ctypes.memset(one, 1, {BYTES})
    for one in reversed(found):
        libc.free(one)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

maps()
print(sum(maps() for _ in range(10)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_maps_have_the_pages_of_those_before_them():
    root = Path(__file__).parents[3]
    run = subprocess.run([sys.executable, "-c", SCRIPT], cwd=root, capture_output=True, text=True, check=True)
    assert int(run.stdout) < MAPS * BYTES / resource.getpagesize()
