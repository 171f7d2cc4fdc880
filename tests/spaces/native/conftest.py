"""Kernels in C are tested where there is a compiler, which CI must have: without one the product runs on PyTorch's."""

import os
import warnings

import pytest

from spaces.native import library


@pytest.fixture(scope="session", autouse=True)
def compiler():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which says what is missing
        found = library.kernels()
    if found is None:
        assert "CI" not in os.environ, "CI has no C compiler, so nothing would test the kernels"
        pytest.skip("no C compiler")


@pytest.fixture(scope="module", params=["", "-mno-avx512f", "-mno-avx"], ids=["widest", "8 lanes", "4 lanes"])
def vectors(request, tmp_path_factory):
    """Kernels for vectors of this processor, and for shorter ones, which other processors have."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param:
            if "x86" not in library.platform.machine():
                pytest.skip("an option for x86")
            patch.setenv("CC", f"cc {request.param}")
            patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("kernels")))
        library.kernels.cache_clear()
        assert library.kernels() is not None
        yield
    library.kernels.cache_clear()
