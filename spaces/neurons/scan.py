"""The scan over time: a one-step update unrolled over T, compiled into one kernel forward and one backward.

The backward kernel computes the membranes again from the input, so a layer keeps nothing but its input current for it.
Kernels are cached on disk by PyTorch, in a folder that nobody else can write to; there is one pair a neuron rule, T and
precision, which serves all layers by dynamic shapes. Parameters are tensor inputs, so their values never cause a
recompilation. Membranes are float32 where currents and spikes are of fewer bits, which kernels read and write as they
are.
"""

import functools
import os
import shutil
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from spaces.cache import private_folders, temporary_home
from spaces.errors import one_line
from spaces.neurons.step import Parameters, Rule, State
from spaces.neurons.steps import STEPS
from spaces.neurons.surrogate import SURROGATES, fire, heaviside

SMALLEST_COMPILED = 4097  # values a step: below, a kernel is not worth its call, and Inductor specialises on the size
MOST_KERNELS = 1024  # rules, time steps and kinds of shapes share one piece of code

Kernel = Callable[..., Tensor | tuple[Tensor, ...]]


def unrolled(
    x: Tensor, p: Parameters, rule: Rule, state: State | None = None, *, differentiable: bool = True
) -> tuple[Tensor, State]:
    """Spikes of input ``x`` [T, ..., C] in its precision, and the state after; without one it starts at 0.

    Args:
        x: [T, M, C], M being batch and pixels, or maps [T, B, H, W, C] for a spatial step.
        p: the parameters that the step names; those it calls timed have a row a time step.
        rule: which step, and how.
        state: what this function returned for the steps before; of at least 32 bits a value.
        differentiable: whether spikes get their surrogate gradient, which costs as much as all else together.
    """
    step = STEPS[rule.step]
    derivative = SURROGATES[rule.surrogate].derivative

    def fired(excess: Tensor) -> Tensor:
        return fire(excess, p["width"], derivative) if differentiable else heaviside(excess)

    precise = torch.promote_types(x.dtype, torch.float32)
    if step.parallel:
        state, spikes = step.update((), x.to(precise), p, fired, rule)
        return spikes.to(x.dtype), state
    if state is None:
        state = tuple(torch.zeros_like(x[0], dtype=precise) for _ in range(step.states(rule.size)))
    spikes = []
    for t, now in enumerate(x.unbind(0)):
        of_now = {name: tensor[t] if name in step.timed else tensor for name, tensor in p.items()}
        state, spike = step.update(state, now.to(precise), of_now, fired, rule)
        spikes.append(spike.to(x.dtype))
    return torch.stack(spikes), state


def _source(rule: Rule, differentiable: bool, x: Tensor, *parameters: Tensor) -> Tensor:
    """What kernels are made from: spikes as a function of tensors alone, parameters in the order of the step."""
    named = dict(zip(STEPS[rule.step].parameters, parameters, strict=True))
    return unrolled(x, named, rule, differentiable=differentiable)[0]


@functools.cache
def _forward_kernel(rule: Rule) -> Kernel:
    """(x, *parameters) -> spikes, compiled."""

    def forward(*inputs: Tensor) -> Tensor:
        return _source(rule, False, *inputs)

    return _compile(forward)


@functools.cache
def _backward_kernel(rule: Rule, wanted: tuple[bool, ...]) -> Kernel:
    """(gradient, x, *parameters) -> gradients of x and of those parameters that are ``wanted``, compiled.

    A parameter that is a number a layer or channel is spread over all units, and so is its gradient, summed over time:
    whoever wants it sums that over units. Summed here it would be a pass over memory of its own, every step of it.
    """

    def backward(gradient: Tensor, x: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        spread = [parameter.expand(x.shape[1:]) if parameter.dim() == 1 else parameter for parameter in parameters]
        inputs = [
            given if want else as_is for want, given, as_is in zip(wanted, (x, *spread), (x, *parameters), strict=True)
        ]

        def scan_of(*some: Tensor) -> Tensor:
            chosen = iter(some)
            return _source(rule, True, *(next(chosen) if w else i for w, i in zip(wanted, inputs, strict=True)))

        _, pull_back = torch.func.vjp(scan_of, *(i for w, i in zip(wanted, inputs, strict=True) if w))
        return pull_back(gradient)

    return _compile(backward)


def _compile(kernel: Kernel) -> Kernel:
    compiled = torch.compile(kernel, dynamic=True, fullgraph=True)

    @functools.wraps(kernel)
    def run(*inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        _keep_private()
        _allow_many()
        return compiled(*inputs)

    return run


@functools.cache
def _keep_private() -> None:
    """Has PyTorch cache kernels, which it loads as they are, in a private folder, where others have their own."""
    named = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    home = temporary_home()  # not in a home that several machines share: kernels are of this machine's processor
    for folder in private_folders(Path(named) if named else home and home / "inductor"):
        if os.access(folder, os.W_OK):
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
            return


_this_thread = threading.local()


def _allow_many() -> None:
    """Raises the compiler's limits, which are a thread's own: a backward pass on a GPU, say, is in another thread."""
    if not hasattr(_this_thread, "allowed"):
        config = torch._dynamo.config
        config.recompile_limit = max(config.recompile_limit, MOST_KERNELS)
        config.accumulated_recompile_limit = max(config.accumulated_recompile_limit, MOST_KERNELS)
        _this_thread.allowed = True


class _Scan(torch.autograd.Function):
    """Ties the two kernels together; ``.data`` keeps views from being traced, whose bases would be specialised on."""

    @staticmethod
    def forward(ctx, rule: Rule, *inputs: Tensor) -> Tensor:  # noqa: ANN001
        ctx.rule = rule
        ctx.save_for_backward(*inputs)
        return _forward_kernel(rule)(*(tensor.data for tensor in inputs))

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN001
        wanted, inputs = tuple(ctx.needs_input_grad[1:]), ctx.saved_tensors
        kernel = _backward_kernel(ctx.rule, wanted)
        found = iter(kernel(gradient.contiguous().data, *(tensor.data for tensor in inputs)))
        return None, *(next(found).sum_to_size(of.shape) if w else None for w, of in zip(wanted, inputs, strict=True))


_broken: list[str] = []  # why this process cannot compile; said once


def scan(x: Tensor, p: Parameters, rule: Rule, *, compiled: bool = True) -> Tensor:
    """Spikes for input current ``x`` under parameters ``p``, as in ``unrolled``, from a state of 0.

    With ``compiled`` the scan runs as one kernel; where PyTorch cannot compile (no C++ compiler, say) it runs eagerly
    and warns once. Spikes are the same to the bit either way. Steps that are not fusible always run eagerly.
    """
    inputs = (x, *(p[name] for name in STEPS[rule.step].parameters))
    if compiled and STEPS[rule.step].fusible and not _broken and x[0].numel() >= SMALLEST_COMPILED:
        try:
            return _Scan.apply(rule, x.contiguous(), *inputs[1:])
        except (torch._dynamo.exc.TorchDynamoException, OSError) as error:
            reason = one_line(error)
            _broken.append(reason)
            there = os.environ.get("CXX") or any(map(shutil.which, ("g++", "clang++")))
            way = "mend that" if there else "install a C++ compiler such as g++"
            warnings.warn(
                f"neurons run uncompiled, a few times slower, because compiling failed ({reason}); "
                f"{way}, or pass --no-compile to silence this",
                RuntimeWarning,
                stacklevel=2,
            )
    return unrolled(x, p, rule, differentiable=torch.is_grad_enabled())[0]
