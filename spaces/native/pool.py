"""Max-pooling 2x2 without indices: the gradient finds the largest again, which is quicker than to keep where it was."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from spaces.native.library import kernels
from spaces.native.maps import is_half, suits


def max_pool(x: Tensor, *, compiled: bool = True) -> Tensor:
    """Max-pooling 2x2, stride 2, of ``x`` [N, C, H, W], as ``torch.nn.functional.max_pool2d`` to the bit, gradient too.

    With ``compiled`` it runs in C where it can.
    """
    if compiled and min(x.shape[-2:]) > 1 and suits(x):
        return _MaxPool.apply(x)
    return F.max_pool2d(x, 2)


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # noqa: ANN001
        n, c, h, w = x.shape
        out = torch.empty(n, c, h // 2, w // 2, dtype=x.dtype, memory_format=torch.channels_last)
        kernels().pool_forward(x.data_ptr(), out.data_ptr(), n, h, w, c, is_half(x), torch.get_num_threads())
        ctx.save_for_backward(x)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> Tensor:  # noqa: ANN001
        (x,) = ctx.saved_tensors
        n, c, h, w = x.shape
        gradient, out = gradient.contiguous(memory_format=torch.channels_last), torch.empty_like(x)
        pointers = (gradient.data_ptr(), x.data_ptr(), out.data_ptr())
        kernels().pool_backward(*pointers, n, h, w, c, is_half(x), torch.get_num_threads())
        return out
