"""Neurons that C runs over all time steps, and norms in front of them, in one pass over memory: LIF, PLIF and IF.

Spikes are those of ``scan`` to the bit. Backward C computes the membranes again and gives the gradients of the current,
which go on to what it is the sum of, and of the decay. Other neurons, and GPUs, take ``scan``.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from spaces.current import terms_of
from spaces.native import fire as native
from spaces.native.fire import Term
from spaces.neurons.step import Parameters, Rule

STEPS = ("if", "lif")
FIXED = ("threshold", "width")  # no gradient for them


def fired(x: Tensor, p: Parameters, rule: Rule) -> Tensor | None:
    """Spikes of input current ``x`` [T, B, C, ...], like it; None where C cannot run such neurons or maps.

    Where no gradient is wanted they are marked with their sums by position (``events``, see ``counting.py``).
    """
    if rule.step not in STEPS or any(p[name].requires_grad for name in FIXED):
        return None
    current = x[..., None, None] if x.dim() == 3 else x
    terms = terms_of(current)
    if not native.suits(terms):
        return None
    decay = p.get("decay", torch.zeros(1))
    terms = native.in_order(terms)
    figures = native.figures_of(terms, decay=decay, threshold=p["threshold"], width=p["width"])
    leak = {"decay_input": rule.decay_input and "decay" in p, "reset": rule.reset}
    found = native.fire(terms, figures, **leak)
    if found is None:
        return None
    spikes, events = found
    if torch.is_grad_enabled() and (x.requires_grad or decay.requires_grad):
        about = {**leak, "detach_reset": rule.detach_reset, "surrogate": rule.surrogate}
        spikes = _Fired.apply(current, decay, spikes, terms, figures, about)
        return spikes[..., 0, 0] if x.dim() == 3 else spikes
    if x.dim() == 3:
        spikes, events = spikes[..., 0, 0], events[..., 0, 0]
    spikes.events = events
    return spikes


class _Fired(torch.autograd.Function):
    """Spikes as a function of the current, which is the sum of the terms, and of the decay."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        decay: Tensor,
        spikes: Tensor,
        terms: Sequence[Term],
        figures: Tensor,
        about: dict[str, Any],
    ) -> Tensor:
        ctx.save_for_backward(decay, figures, *(term.map.detach() for term in terms))
        ctx.about = about
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        decay, figures, *maps = ctx.saved_tensors
        for_x, for_decay = native.fire_backward(slope, [Term(x) for x in maps], figures, **ctx.about)
        return for_x, for_decay.to(decay).sum_to_size(decay.shape), *[None] * 4
