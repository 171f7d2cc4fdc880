"""Convolution of spikes: forward and weight gradient cost in proportion to the spikes, the input's gradient is dense.

A spike adds its k x k stretch of weights to the output, and the output's gradient around it to that of the weights: no
multiplication, and nothing at all where there is no spike. At 5 to 20 % of neurons firing in a step this is two to six
times faster than a dense convolution, and for the backward pass the list of spikes is kept instead of the map.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from spaces.native.library import check, kernels
from spaces.native.maps import suits

KERNEL_SIZES = (1, 3, 5, 7)


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


def events_of(x: Tensor) -> Events | None:
    """The spikes of ``x`` [n, c, h, w]; None where it holds anything but 0 and 1, or lies as no kernel reads it."""
    if x.dtype != torch.float32 or x.numel() >= 2**31 or x.shape[1] >= 2**16 or not suits(x):
        return None
    n, c, h, w = x.shape
    channel = torch.empty(x.numel() + 8, dtype=torch.int16)
    start = torch.empty(n * h * w + 1, dtype=torch.int32)
    count = kernels().events_of(x.data_ptr(), n * h * w, c, channel.data_ptr(), start.data_ptr())
    return Events(channel[:count], start, x.shape) if count >= 0 else None


def convolve(x: Tensor, kernel: Tensor, *, stride: int = 1, event_driven: bool = True) -> Tensor:
    """Convolution of ``x`` [n, c_in, h, w] with ``kernel`` [c_out, c_in, k, k], k odd; at stride 1 the size is kept.

    Spikes go through the event-driven kernels where these can run and are wanted; all else is dense.
    """
    c_out, _, k, _ = kernel.shape
    if (
        k == 1 and stride > 1
    ):  # sees every stride-th pixel; PyTorch 2.14 writes past its memory on such layers' gradients
        x, stride = x[:, :, ::stride, ::stride].contiguous(memory_format=torch.channels_last), 1
    sparse = event_driven and stride == 1 and k in KERNEL_SIZES and c_out % 8 == 0 and kernel.dtype == torch.float32
    if sparse and not torch.is_autocast_enabled("cpu") and (events := events_of(x)) is not None:
        return _EventConv.apply(x, kernel, events)
    return F.conv2d(x, kernel.contiguous(memory_format=torch.channels_last), stride=stride, padding=k // 2)


class _EventConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, kernel: Tensor, events: Events) -> Tensor:  # noqa: ANN001
        c_out, c_in, k, _ = kernel.shape
        n, _, h, w = events.shape
        block = kernels().conv_block(c_out)
        blocks = kernel.detach().flip(3).unflatten(0, (-1, block)).permute(0, 3, 2, 4, 1).contiguous()
        out = torch.empty(n, h, w, c_out)
        arguments = (*_lists(events), blocks.data_ptr(), out.data_ptr(), n, h, w, c_in, c_out, k)
        check(kernels().conv_forward(*arguments, torch.get_num_threads()))
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(kernel)
            ctx.events = Events(events.channel.clone(), events.start, events.shape)  # the list was made for any rate
        return out.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # noqa: ANN001
        (kernel,) = ctx.saved_tensors
        events: Events = ctx.events
        c_out, c_in, k, _ = kernel.shape
        n, _, h, w = events.shape
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        for_x = for_kernel = None
        if ctx.needs_input_grad[0]:
            mirrored = kernel.transpose(0, 1).flip(2, 3).contiguous(memory_format=torch.channels_last)
            for_x = F.conv2d(gradient, mirrored, padding=k // 2)
        if ctx.needs_input_grad[1]:
            made = torch.empty(k, k, c_in, c_out)
            arguments = (*_lists(events), gradient.data_ptr(), made.data_ptr(), n, h, w, c_in, c_out, k)
            check(kernels().conv_weight_gradient(*arguments, torch.get_num_threads()))
            for_kernel = made.permute(3, 2, 0, 1)
        return for_x, for_kernel, None


def _lists(events: Events) -> tuple[int, int]:
    return events.channel.data_ptr(), events.start.data_ptr()
