"""The scan over time: a one-step update unrolled over T and compiled into one kernel forward and one backward.

Compilation is cached on disk by PyTorch, takes one graph a neuron rule and mode (training, inference), and serves all
layers by dynamic shapes; parameters are tensor inputs, so their values never cause a recompilation.
"""

import functools
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from spaces.neurons.step import Rule, integrate_and_fire
from spaces.neurons.surrogate import SURROGATES, fire

SMALLEST_COMPILED = 4097  # values a step: below, a kernel is not worth its call, and Inductor specialises on the size


def unrolled(x: Tensor, p: dict[str, Tensor], rule: Rule) -> Tensor:
    """Spikes [T, M, C] of input ``x`` [T, M, C]; the membrane starts at 0. Eager reference and source of the kernel."""
    derivative = SURROGATES[rule.surrogate].derivative

    def shoot(excess: Tensor) -> Tensor:
        return fire(excess, p["width"], derivative)

    v = torch.zeros_like(x[0])
    spikes = []
    for step in x.unbind(0):
        v, spike = integrate_and_fire(v, step, p, shoot, rule)
        spikes.append(spike)
    return torch.stack(spikes)


@functools.cache
def _kernel(rule: Rule) -> Callable[[Tensor, dict[str, Tensor]], Tensor]:
    """The compiled scan of a rule."""
    limit = torch._dynamo.config.recompile_limit
    torch._dynamo.config.recompile_limit = max(limit, 64)  # rules, time steps and modes share one piece of code
    return torch.compile(functools.partial(unrolled, rule=rule), dynamic=True, fullgraph=True)


_broken: list[str] = []  # why this process cannot compile; said once


def scan(x: Tensor, p: dict[str, Tensor], rule: Rule, *, compiled: bool = True) -> Tensor:
    """Spikes [T, M, C] for input current ``x`` [T, M, C] (C channels last) under parameters ``p`` ([1] or [C]).

    With ``compiled`` the scan runs as one kernel; where PyTorch cannot compile (no C++ compiler, say) it runs eagerly
    and warns once. Spikes are the same to the bit either way.
    """
    if not compiled or _broken or x[0].numel() < SMALLEST_COMPILED:
        return unrolled(x, p, rule)
    try:
        return _kernel(rule)(x, p)
    except (torch._dynamo.exc.TorchDynamoException, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        _broken.append(reason)
        warnings.warn(
            f"neurons run uncompiled, a few times slower, because compiling failed ({reason}); "
            "install a C++ compiler such as g++, or pass --no-compile to silence this",
            RuntimeWarning,
            stacklevel=2,
        )
        return unrolled(x, p, rule)
