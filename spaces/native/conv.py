"""Convolution of spikes: forward and weight gradient cost in proportion to the spikes, the input's gradient is dense.

A spike adds its k x k stretch of weights to the output, and the output's gradient around it to that of the weights: no
multiplication, and nothing at all where there is no spike. At 5 to 20 % of neurons firing in a step this is two to
four times faster than a dense convolution in float32 (weights' gradients up to eight), and up to three times in
bfloat16 where the processor has no tiles for it. For the backward pass the list of spikes is kept instead of the map;
where nothing is learnt a convolution may wait for the neurons behind it, see ``fire``.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from spaces.native.library import check, kernels
from spaces.native.maps import is_half, readable, suits

KERNEL_SIZES = (3, 5, 7)
DENSE_ABOVE = {torch.float32: 0.6, torch.bfloat16: 0.45}  # spikes a neuron and step: as fast either way


@dataclass(frozen=True, eq=False)
class Events:
    """The spikes of a map [n, c, h, w].

    Attributes:
        channel: of every spike, int16 (as unsigned), pixel after pixel.
        start: where each pixel's spikes begin, int32 [n * h * w + 1].
        shape: (n, c, h, w).
    """

    channel: Tensor
    start: Tensor
    shape: torch.Size


def count_events(x: Tensor) -> int | None:
    """How many spikes ``x`` [n, c, h, w] has; None where it holds more than 0 and 1, or lies as no kernel reads it."""
    if x.numel() >= 2**31 or x.shape[1] >= 2**16 or not suits(x):
        return None
    count = kernels().count_events(x.data_ptr(), x.numel(), is_half(x))
    return None if count < 0 else count


def list_events(x: Tensor, count: int) -> Events:
    """The spikes of ``x``, as many as were counted."""
    n, c, h, w = x.shape
    channel = torch.empty(count + 8, dtype=torch.int16)
    start = torch.empty(n * h * w + 1, dtype=torch.int32)
    kernels().list_events(x.data_ptr(), n * h * w, c, is_half(x), channel.data_ptr(), start.data_ptr())
    return Events(channel[:count], start, x.shape)


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
        elif (count := count_events(x)) is not None and (
            not kernel.requires_grad or count <= DENSE_ABOVE[dtype] * x.numel()
        ):
            return _EventConv.apply(x, kernel, list_events(x, count), dtype)
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
        and x.stride(0) == x.stride(1) * len(x[0])
        and _has_kernels(kernel)
        and _dtype_of_events(x) == x.dtype
        and suits(x.flatten(0, 1))
    )


def _has_kernels(kernel: Tensor) -> bool:
    return kernel.shape[-1] in KERNEL_SIZES and len(kernel) % 8 == 0 and kernel.dtype == torch.float32


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
    def forward(ctx, x: Tensor, kernel: Tensor, events: Events, dtype: torch.dtype) -> Tensor:  # noqa: ANN001
        out = spikes_convolved(x, kernel, dtype)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(kernel)
            ctx.dtype = x.dtype
            ctx.events = events
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:  # noqa: ANN001
        (kernel,) = ctx.saved_tensors
        events: Events = ctx.events
        c_out, c_in, k, _ = kernel.shape
        n, _, h, w = events.shape
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        for_x = for_kernel = None
        if ctx.needs_input_grad[0]:
            mirrored = kernel.transpose(0, 1).flip(2, 3).to(gradient.dtype, memory_format=torch.channels_last)
            for_x = F.conv2d(gradient, mirrored, padding=k // 2).to(ctx.dtype)
        if ctx.needs_input_grad[1]:
            for_kernel = torch.empty(kernel.shape)
            arguments = (*_lists(events), gradient.data_ptr(), for_kernel.data_ptr(), n, h, w, c_in, c_out, k)
            check(kernels().conv_weight_gradient(*arguments, is_half(gradient), torch.get_num_threads()))
        return for_x, for_kernel, None, None


def _lists(events: Events) -> tuple[int, int]:
    return events.channel.data_ptr(), events.start.data_ptr()
