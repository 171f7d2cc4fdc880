"""Batch normalisation in C: exact against float64, the same to the bit on any number of threads, and its fallback."""

import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from torch.nn import functional as F

from spaces.batch_norm import batch_norm
from spaces.native import norm

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 140), st.integers(1, 12), st.integers(1, 12))


def normalised(x, slope, weight, bias, *, function=batch_norm, threads=1, **options):
    """Output, gradients of x, weight and bias, and running statistics, of one batch in training."""
    x, weight, bias = (tensor.clone().requires_grad_() for tensor in (x, weight, bias))
    mean, var = torch.zeros_like(weight).detach(), torch.ones_like(weight).detach()
    torch.set_num_threads(threads)
    try:
        y = function(x, mean, var, weight, bias, training=True, momentum=0.3, eps=1e-5, **options)
        y.backward(slope)
    finally:
        torch.set_num_threads(1)
    return y.detach(), x.grad, weight.grad, bias.grad, mean, var


def drawn(shape, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    c = shape[1]
    x, slope = (torch.randn(shape, generator=generator) for _ in range(2))
    x = x * (torch.rand(1, c, 1, 1, generator=generator) + 0.1) + torch.randn(1, c, 1, 1, generator=generator)
    weight, bias = torch.rand(c, generator=generator) + 0.5, torch.randn(c, generator=generator)
    lie = {"memory_format": torch.channels_last}
    return x.to(dtype).contiguous(**lie), slope.to(dtype).contiguous(**lie), weight, bias


@given(SHAPES, st.sampled_from([torch.float32, torch.bfloat16]), st.integers(2, 3))
@example((37, 16, 12, 12), torch.float32, 2)
@example((1, 1, 1, 2), torch.bfloat16, 2)
@example((3, 65, 1, 1), torch.float32, 2)
def test_equals_that_in_float64_on_any_number_of_threads(shape, dtype, threads):
    if shape[0] * shape[2] * shape[3] < 2:
        return
    given_ = drawn(shape, dtype)
    assert norm.suits(*given_[:2])
    found = normalised(*given_)
    for one, other in zip(found, normalised(*given_, threads=threads), strict=True):
        assert torch.equal(one, other)
    exact = normalised(*(tensor.double() for tensor in given_), function=F.batch_norm)
    half = dtype == torch.bfloat16
    x, slope, weight, _ = (tensor.double() for tensor in given_)
    steep = (weight * (x.var((0, 2, 3), correction=0) + 1e-5).rsqrt()).max() * slope.abs().max()  # of what cancels out
    sizes = {"x": steep, "weight": slope.numel() ** 0.5, "bias": slope.numel() ** 0.5}
    assert (found[0].dtype, found[1].dtype, found[2].dtype) == (dtype, dtype, torch.float32)
    for name, one, other in zip(("y", "x", "weight", "bias", "mean", "var"), found, exact, strict=True):
        error = (one.double() - other).abs().max()
        size = other.abs().max() + sizes.get(name, 1)
        assert error <= size * (2**-8 if half and name in ("y", "x") else 3e-5), name


@given(SHAPES, st.sampled_from([torch.float32, torch.bfloat16]))
def test_agrees_with_the_passes_of_pytorch(shape, dtype):
    assume(shape[0] * shape[2] * shape[3] >= 16)  # of a few values, one of many channels has next to no variance
    given_ = drawn(shape, dtype, 1)
    for one, other in zip(normalised(*given_), normalised(*given_, compiled=False), strict=True):
        tolerance = 2e-2 if one.dtype == torch.bfloat16 else 1e-4
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@given(SHAPES, st.sampled_from([torch.float32, torch.bfloat16]))
def test_inference_is_that_of_pytorch(shape, dtype):
    x, _, weight, bias = drawn(shape, dtype, 2)
    mean, var = torch.randn_like(weight), torch.rand_like(weight) + 0.1
    options = {"training": False, "momentum": 0.1, "eps": 1e-5}
    with torch.no_grad():
        found = batch_norm(x, mean, var, weight, bias, **options)
    expected = F.batch_norm(x.double(), *(tensor.double() for tensor in (mean, var, weight, bias)))
    assert found.dtype == dtype
    tolerance = 2**-8 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=4 * tolerance)
    x.requires_grad_()  # with gradients, as for pruning by sensitivity, it is PyTorch's
    slope = torch.autograd.grad(batch_norm(x, mean, var, weight, bias, **options).sum(), x)[0]
    assert (slope.float().abs().sum((0, 2, 3)) > 0).all()


def test_what_is_no_number_stays_none_and_the_rest_of_the_channels_are_as_they_were():
    x, *rest = drawn((4, 3, 5, 5), torch.bfloat16)
    x[1, 1, 2, 2] = torch.nan
    y, for_x, *_ = normalised(x, *rest)
    for found in (y, for_x):
        assert found[:, 1].isnan().all()
        assert found[:, ::2].isfinite().all()


def test_bfloat16_is_rounded_to_the_nearest_and_to_even():
    x = torch.tensor([1.0, 1.0 + 2**-7, -3.0, 65280.0, 1e-40]).bfloat16().view(1, 1, 1, -1)
    x = x.contiguous(memory_format=torch.channels_last)
    one, by = torch.ones(1), torch.tensor([1.0 + 2**-8 + 2**-12])
    found = norm.sum_of_products(x, by, 0 * one)
    assert torch.equal(found, (x.float() * by).bfloat16())


def test_rows_too_wide_for_a_stack_are_left_to_pytorch():
    x, *rest = drawn((2, 1031, 1, 2), torch.float32)
    assert not norm.suits(x)
    for one, other in zip(normalised(x, *rest), normalised(x, *rest, function=F.batch_norm), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_one_value_a_channel_is_an_error_that_says_so():
    with pytest.raises(ValueError, match="a batch of 1 with one value a channel has no variance: give more samples"):
        normalised(*drawn((1, 3, 1, 1), torch.float32))
