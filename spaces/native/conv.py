"""Convolution of spikes: forward and weight gradient cost in proportion to the spikes, the input's gradient is dense.

A spike adds its k x k stretch of weights to the output, and the output's gradient around it to that of the weights: no
multiplication, and nothing at all where there is no spike. At 5 to 20 % of neurons firing in a step this is two to
four times faster than a dense convolution in float32 (weights' gradients up to eight), and up to three times in
bfloat16 where the processor has no tiles for it. For the backward pass spikes are kept in bits instead of the map; the
weights' gradient may take two frames at a time in bfloat16. Where nothing is learnt a convolution may wait for the
neurons behind it, see ``fire``.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from spaces.native.bits import pack_bits
from spaces.native.library import check, kernels
from spaces.native.maps import is_half, readable, suits

KERNEL_SIZES = (3, 5, 7)
DENSE_ABOVE = 0.6  # spikes a neuron and step: as fast either way


def convolve(x: Tensor, kernel: Tensor, *, stride: int = 1, event_driven: bool = True) -> Tensor:
    """Convolution of ``x`` [n, c_in, h, w] with ``kernel`` [c_out, c_in, k, k], k odd; at stride 1 the size is kept.

    Spikes go through the event-driven kernels where these can run and are wanted; all else is dense. So are, in
    training, the spikes of a batch in which most neurons fire: in inference that would make a frame's result depend on
    the others.
    """
    if (
        kernel.shape[-1] == 1 and stride > 1
    ):  # sees every stride-th pixel; PyTorch 2.14 writes past its memory on such layers' gradients
        x, stride = x[:, :, ::stride, ::stride].contiguous(memory_format=torch.channels_last), 1
    dtype = _dtype_of_events(x) if event_driven and stride == 1 and _has_kernels(kernel) else None
    if dtype is not None:
        if not torch.is_grad_enabled() or not (x.requires_grad or kernel.requires_grad):
            out = spikes_convolved(x, kernel, dtype)
            if out is not None:
                return out
        elif (found := pack_map(x)) is not None:
            bits, count = found
            if not kernel.requires_grad or count <= DENSE_ABOVE * x.numel():
                return _EventConv.apply(x, kernel, bits, dtype)
    return dense(x, kernel, stride=stride)


def dense(x: Tensor, kernel: Tensor, *, stride: int = 1) -> Tensor:
    """The convolution by PyTorch, channels last."""
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    return F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)


def waits(x: Tensor, kernel: Tensor) -> bool:
    """Whether the convolution of ``x`` [T, B, c_in, H, W] can be left to the neurons that it is for, see ``fire``.

    That is where nothing is learnt, and ``x`` may be spikes, whose convolution has their type.
    """
    return (
        not torch.is_grad_enabled()
        and x.dim() == 5
        and x.stride(0) == x.stride(1) * x.shape[1]
        and _has_kernels(kernel)
        and _dtype_of_events(x) == x.dtype
        and suits(x.flatten(0, 1))
    )


def _has_kernels(kernel: Tensor) -> bool:
    return kernel.shape[-1] in KERNEL_SIZES and len(kernel) % 8 == 0 and kernel.dtype == torch.float32


def pack_map(x: Tensor) -> tuple[Tensor, int] | None:
    """A bit for each neuron of a map [n, c, h, w], channels last, and how many fire; None where it is not spikes."""
    return pack_bits(x.permute(0, 2, 3, 1).reshape(-1)) if suits(x) else None


def spikes_convolved(x: Tensor, kernel: Tensor, dtype: torch.dtype) -> Tensor | None:
    """The convolution, event by event; None where ``x`` has more than 0 and 1, or lies as no kernel reads it."""
    if not suits(x):
        return None
    n, c_in, h, w = x.shape
    c_out, _, k, _ = kernel.shape
    out, weight = torch.empty(n, h, w, c_out, dtype=dtype), kernel.detach().contiguous()
    arguments = (x.data_ptr(), weight.data_ptr(), out.data_ptr(), n, h, w, c_in, c_out, k, is_half(x), is_half(out))
    status = kernels().conv_forward(*arguments, torch.get_num_threads())
    check(min(status, 0))
    return None if status else out.permute(0, 3, 1, 2)


def _dtype_of_events(x: Tensor) -> torch.dtype | None:
    """The type that an event-driven convolution of ``x`` gives; None where a dense one is faster or has another."""
    if not torch.is_autocast_enabled("cpu"):
        return torch.float32 if x.dtype == torch.float32 else None
    half = torch.get_autocast_dtype("cpu") == torch.bfloat16 and readable(x.dtype, x.device)
    return torch.bfloat16 if half and not has_tiles() else None


def has_tiles() -> bool:
    """Whether this processor multiplies matrices of bfloat16 by the tile (AMX): dense convolutions are faster there."""
    return bool(kernels().has_tiles())


class _EventConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, kernel: Tensor, bits: Tensor, dtype: torch.dtype) -> Tensor:  # noqa: ANN001
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(kernel, bits)
            ctx.map = (x.shape, x.dtype)
        return spikes_convolved(x, kernel, dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:  # noqa: ANN001
        kernel, bits = ctx.saved_tensors
        (n, c_in, h, w), dtype = ctx.map
        c_out, _, k, _ = kernel.shape
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        for_x = for_kernel = None
        if ctx.needs_input_grad[0]:
            mirrored = kernel.transpose(0, 1).flip(2, 3).to(gradient.dtype, memory_format=torch.channels_last)
            for_x = F.conv2d(gradient, mirrored, padding=k // 2).to(dtype)
        if ctx.needs_input_grad[1]:
            for_kernel = torch.empty(kernel.shape)
            pointers = (bits.data_ptr(), gradient.data_ptr(), for_kernel.data_ptr())
            about = (n, h, w, c_in, c_out, k, is_half(gradient), torch.get_num_threads())
            check(kernels().conv_weight_gradient(*pointers, *about))
        return for_x, for_kernel, None, None
