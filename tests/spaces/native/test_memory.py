"""Memory that a map has left is there for the next one: its pages are not asked of the system again."""

import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

VALUES = 4_000_000
SCRIPT = f"""
import resource
import torch
from spaces.native.library import kernels

torch.set_num_threads(1)
assert kernels() is not None
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones({VALUES})
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_ten_maps_one_after_the_other_have_the_pages_of_one():
    root = Path(__file__).parents[3]
    run = subprocess.run([sys.executable, "-c", SCRIPT], cwd=root, capture_output=True, text=True, check=True)
    assert int(run.stdout) < 2 * 4 * VALUES / resource.getpagesize()
