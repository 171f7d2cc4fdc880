"""What all kernels on maps ask of them: [N, C, H, W], channels last, float32 or bfloat16, on the CPU."""

import torch
from torch import Tensor

from spaces.native.library import kernels


def readable(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether there are kernels, and they read values of this type there."""
    return device.type == "cpu" and dtype in (torch.float32, torch.bfloat16) and kernels() is not None


def suits(*maps: Tensor) -> bool:
    """Whether the maps, of one type, lie as the kernels read them, and there are kernels."""
    first = maps[0]
    return (
        first.numel() > 0
        and all(
            x.dtype == first.dtype and x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last) for x in maps
        )
        and readable(first.dtype, first.device)
    )


def is_half(x: Tensor) -> int:
    """1 for a map of 16 bits a value, 0 for one of 32."""
    return int(x.dtype == torch.bfloat16)
