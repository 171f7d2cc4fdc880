"""Max-pooling in C is PyTorch's to the bit: values, and which of equals gets the gradient."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from spaces.layers import MaxPool
from spaces.native import maps
from spaces.native.pool import max_pool


def drawn(shape, kind, dtype):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator)
    if kind == "spikes":
        x = (x > 1).float()
    elif kind == "odd":  # equal ones, infinities, and what is no number
        odd = torch.tensor([0.0, -0.0, 1.0, torch.inf, -torch.inf, torch.nan])
        x = odd[torch.randint(len(odd), shape, generator=generator)]
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def pooled(function, x, slope, threads=1):
    x = x.clone().requires_grad_()
    torch.set_num_threads(threads)
    try:
        y = function(x)
        y.backward(slope)
    finally:
        torch.set_num_threads(1)
    return [tensor.float().nan_to_num(123.0) for tensor in (y.detach(), x.grad)]


@given(
    st.tuples(st.integers(1, 4), st.integers(1, 40), st.integers(2, 9), st.integers(2, 9)),
    st.sampled_from(["real", "spikes", "odd"]),
    st.sampled_from([torch.float32, torch.bfloat16]),
    st.integers(1, 3),
)
def test_equals_that_of_pytorch_to_the_bit(shape, kind, dtype, threads):
    x = drawn(shape, kind, dtype)
    assert maps.suits(x)
    slope = torch.randn(F.max_pool2d(x, 2).shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    for found, expected in zip(
        pooled(max_pool, x, slope, threads), pooled(lambda x: F.max_pool2d(x, 2), x, slope), strict=True
    ):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_layer_of_it_pools_every_step(compiled):
    layer = MaxPool()
    layer.compiled = compiled
    x = torch.rand(3, 2, 5, 6, 6)
    assert torch.equal(layer(x), torch.stack([F.max_pool2d(step, 2) for step in x]))


def test_maps_of_a_single_row_are_an_error_as_ever():
    with pytest.raises(RuntimeError, match="too small"):
        max_pool(torch.zeros(1, 8, 1, 4).contiguous(memory_format=torch.channels_last))
