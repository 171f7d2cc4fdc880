"""Surrogate gradients as data: a name for the derivative that stands in for that of the Heaviside step, and its width.

All are functions of ``x = v - threshold`` and a positive ``width`` (a tensor, so that it can change without a
recompilation); a larger width makes the derivative narrower and higher.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


def atan(x: Tensor, width: Tensor) -> Tensor:
    """g'(x) = a / (2 (1 + (pi/2 a x)^2)) (Fang et al., ICCV 2021)."""
    return width / 2 / (1 + (math.pi / 2 * width * x) ** 2)


def sigmoid(x: Tensor, width: Tensor) -> Tensor:
    """g'(x) = a s(a x) (1 - s(a x)), s the logistic function (Neftci et al., 2019)."""
    s = torch.sigmoid(width * x)
    return width * s * (1 - s)


def triangle(x: Tensor, width: Tensor) -> Tensor:
    """g'(x) = max(0, a - a^2 |x|), of area 1 (Bellec et al., NeurIPS 2018)."""
    return torch.relu(width - width**2 * x.abs())


def rectangle(x: Tensor, width: Tensor) -> Tensor:
    """g'(x) = a where a |x| < 1/2, else 0 (Wu et al., Frontiers in Neuroscience, 2018)."""
    return width * (width * x.abs() < 0.5).to(x.dtype)


def exponential(x: Tensor, width: Tensor) -> Tensor:
    """g'(x) = a / 2 exp(-a |x|) (Shrestha and Orchard, NeurIPS 2018)."""
    return width / 2 * torch.exp(-width * x.abs())


@dataclass(frozen=True, kw_only=True)
class Surrogate:
    """A derivative and the width it has unless another is asked for."""

    derivative: Callable[[Tensor, Tensor], Tensor]
    width: float


SURROGATES: dict[str, Surrogate] = {
    "atan": Surrogate(derivative=atan, width=2.0),
    "sigmoid": Surrogate(derivative=sigmoid, width=4.0),
    "triangle": Surrogate(derivative=triangle, width=1.0),
    "rectangle": Surrogate(derivative=rectangle, width=1.0),
    "exponential": Surrogate(derivative=exponential, width=1.0),
}


def heaviside(x: Tensor) -> Tensor:
    """Spikes as ``fire`` gives them, to the bit, without a gradient."""
    return (x >= 0).to(x.dtype) + (x - x)


def fire(x: Tensor, width: Tensor, derivative: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Spikes of membrane excess ``x = v - threshold``: exactly 1 where ``x >= 0``, else 0, with a surrogate gradient.

    Written as ``H(x) + g'(x) (x - x)``: the second term is exactly zero forwards and carries ``g'`` backwards, in eager
    mode and under ``torch.compile`` alike. A membrane that is not finite gives NaN, never a silent 0.
    """
    return (x >= 0).to(x.dtype) + derivative(x.detach(), width) * (x - x.detach())
