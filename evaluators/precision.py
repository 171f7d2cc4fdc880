"""What networks compute in."""

import torch


def autocast(precision: str, device: str) -> torch.autocast:
    """The context in which a network computes: ``fp32``, or ``bf16`` with weights and membranes in float32."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16")
