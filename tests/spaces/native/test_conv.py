"""Event-driven convolution against float64 dense convolution: outputs, gradients, every shape; and its fallbacks."""

import subprocess
import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from spaces.native import conv as conv_module
from spaces.native import library
from spaces.native.conv import convolve, pack_map


def spikes(shape, rate, seed=0):
    x = (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < rate).float()
    return x.contiguous(memory_format=torch.channels_last)


def normal(shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def always(monkeypatch):
    """Event by event on any processor and at any rate."""
    monkeypatch.setattr(conv_module, "has_tiles", lambda: False)
    monkeypatch.setattr(conv_module, "DENSE_ABOVE", 1.0)


@pytest.fixture
def named(monkeypatch):
    """What would be convolved event by event is "events"."""
    monkeypatch.setattr(conv_module, "spikes_convolved", lambda *a: "events")
    monkeypatch.setattr(conv_module._EventConv, "apply", lambda *a: "events")


SHAPES = {
    "n": st.integers(1, 5),
    "c_in": st.integers(1, 40),
    "c_out": st.sampled_from([8, 16, 24, 32, 64, 48]),
    "h": st.integers(1, 9),
    "w": st.integers(1, 9),
    "k": st.sampled_from([3, 5, 7]),
    "threads": st.integers(1, 3),
}


@given(**SHAPES, rate=st.sampled_from([0.0, 0.03, 0.3, 1.0]), half=st.booleans(), kernel_last=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_equals_a_dense_convolution_and_its_gradients(
    vectors, always, n, c_in, c_out, h, w, k, rate, threads, half, kernel_last
):
    x, kernel, gradient = spikes((n, c_in, h, w), rate), normal((c_out, c_in, k, k)), normal((n, c_out, h, w), 2)
    if kernel_last:
        kernel = kernel.contiguous(memory_format=torch.channels_last)
    if half:  # the weights, too, are no finer, so that the input's gradient is exact
        x, kernel, gradient = x.bfloat16(), kernel.bfloat16().float(), gradient.bfloat16()
    x.requires_grad_()
    kernel.requires_grad_()
    torch.set_num_threads(threads)
    try:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            out = convolve(x, kernel)
        out.backward(gradient)
    finally:
        torch.set_num_threads(1)
    assert type(out.grad_fn).__name__ == "_EventConvBackward"
    assert out.dtype == x.grad.dtype == gradient.dtype
    exact = [tensor.detach().double().requires_grad_() for tensor in (x, kernel)]
    expected = F.conv2d(*exact, padding=k // 2)
    expected.backward(gradient.double())
    last = 2**-8 if half else 1e-5  # of a value; weights' gradients are float32
    step = exact[1].detach().abs().max() / 32767 if half else 5e-6  # weights may have been rounded to that
    torch.testing.assert_close(out.double(), expected, rtol=last, atol=float(2 * step * (c_in * k * k) ** 0.5))
    atol = 1e-5 * c_out**0.5 * k
    torch.testing.assert_close(x.grad.double(), exact[0].grad, rtol=max(1e-4, last), atol=atol)
    torch.testing.assert_close(kernel.grad.double(), exact[1].grad, rtol=1e-4, atol=1e-5 * (n * h * w) ** 0.5)
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("half", [False, True])
def test_wide_frames_are_cut_into_strips(always, half):
    x, kernel, gradient = spikes((3, 24, 70, 300), 0.1), normal((16, 24, 5, 5)), normal((3, 16, 70, 300), 2)
    if half:
        x, gradient = x.bfloat16(), gradient.bfloat16()
    kernel.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        out = convolve(x, kernel)
    out.backward(gradient)
    exact = kernel.detach().double().requires_grad_()
    expected = F.conv2d(x.double(), exact, padding=2)
    expected.backward(gradient.double())
    last = 2**-8 if half else 1e-5
    torch.testing.assert_close(out.double(), expected, rtol=last, atol=1e-2 if half else 2e-4)
    torch.testing.assert_close(kernel.grad.double(), exact.grad, rtol=1e-4, atol=2e-3)


def test_only_training_goes_dense_where_most_neurons_fire(named):
    x, kernel = spikes((4, 16, 9, 9), 0.9), normal((16, 16, 3, 3)).requires_grad_()
    assert convolve(x, kernel) != "events"
    assert convolve(spikes((4, 16, 9, 9), 0.1), kernel) == "events"
    with torch.no_grad():
        assert convolve(x, kernel) == "events"
    assert convolve(x, kernel.detach()) == "events"


@pytest.mark.parametrize("tiles", [True, False])
def test_where_there_are_tiles_bfloat16_is_dense(tiles, named, monkeypatch):
    monkeypatch.setattr(conv_module, "has_tiles", lambda: tiles)
    x, kernel = spikes((4, 16, 9, 9), 0.1), normal((16, 16, 3, 3))
    with torch.autocast("cpu", torch.bfloat16):
        assert (convolve(x, kernel) == "events") is not tiles
        assert (convolve(x.bfloat16(), kernel) == "events") is not tiles
    with torch.autocast("cpu", torch.float16):
        assert convolve(x, kernel).dtype == torch.float16
    assert convolve(x, kernel) == "events"


@given(c=st.integers(1, 40), rate=st.sampled_from([0.0, 0.2, 1.0]), seed=st.integers(0, 99), half=st.booleans())
def test_maps_are_packed_pixel_after_pixel(vectors, c, rate, seed, half):
    x = spikes((3, c, 4, 5), rate, seed)
    bits, count = pack_map(x.bfloat16() if half else x)
    assert count == x.sum()
    flat = np.unpackbits(bits.numpy(), bitorder="little")
    rows = x.permute(0, 2, 3, 1).flatten().numpy()
    assert np.array_equal(flat[: len(rows)], rows)
    assert not flat[len(rows) :].any()


@pytest.mark.parametrize("value", [0.5, 2.0, -1.0, float("nan"), float("inf"), 1 + 2**-23, 2.0**-149])
@pytest.mark.parametrize("c", [3, 16])
def test_what_is_no_spike_is_convolved_densely(value, c):
    x = spikes((2, c, 4, 4), 0.3)
    x[1, c - 1, 3, 3] = value
    assert pack_map(x) is None
    kernel = normal((8, c, 3, 3))
    torch.testing.assert_close(convolve(x, kernel), F.conv2d(x, kernel, padding=1), equal_nan=True)


@pytest.mark.parametrize(
    "x",
    [
        spikes((2, 4, 5, 5), 0.3).double(),
        spikes((2, 4, 5, 5), 0.3).contiguous(),
        spikes((2, 4, 5, 5), 0.3)[:, ::2],
        torch.zeros(0, 4, 5, 5),
    ],
)
def test_what_the_kernels_cannot_read_is_convolved_densely(x):
    assert pack_map(x) is None
    kernel = normal((8, x.shape[1], 3, 3)).to(x.dtype)
    torch.testing.assert_close(convolve(x, kernel), F.conv2d(x, kernel, padding=1))


@pytest.mark.parametrize(("c_out", "k"), [(12, 3), (8, 9)])
def test_shapes_without_a_kernel_are_convolved_densely(c_out, k, named):
    assert convolve(spikes((2, 4, 9, 9), 0.3), normal((c_out, 4, k, k))) != "events"


def test_a_frame_does_not_depend_on_its_batch_nor_on_threads():
    x, kernel, gradient = spikes((6, 16, 9, 9), 0.2), normal((16, 16, 5, 5)), normal((6, 16, 9, 9), 2)
    whole = convolve(x, kernel)
    assert torch.equal(whole[2:3], convolve(x[2:3].contiguous(memory_format=torch.channels_last), kernel))
    grads = []
    for threads in (1, 2, 2, 3):
        torch.set_num_threads(threads)
        weight = kernel.clone().requires_grad_()
        out = convolve(x, weight)
        assert torch.equal(out, whole)
        out.backward(gradient)
        grads.append(weight.grad)
    torch.set_num_threads(1)
    assert torch.equal(grads[1], grads[2])  # the same number of threads: the same to the bit
    for other in grads:
        torch.testing.assert_close(other, grads[0], rtol=1e-5, atol=1e-5)


def test_without_a_compiler_it_is_dense_and_says_so_once(monkeypatch, tmp_path):
    library.kernels.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", "false")
    x, kernel = spikes((2, 4, 5, 5), 0.3), normal((8, 4, 3, 3))
    try:
        with pytest.warns(RuntimeWarning, match="convolutions run dense"):
            torch.testing.assert_close(convolve(x, kernel), F.conv2d(x, kernel, padding=1))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            convolve(x, kernel)
    finally:
        library.kernels.cache_clear()


def test_is_compiled_once_and_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = library._loaded()._name
    assert [str(entry) for entry in (tmp_path / "spikefront" / "kernels").iterdir()] == [path]
    monkeypatch.setattr(subprocess, "run", lambda *a, **o: pytest.fail("compiled twice"))
    assert library._loaded()._name == path
