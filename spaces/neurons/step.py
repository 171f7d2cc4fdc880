"""Neurons as their one-step update: charge, fire, reset.

A step takes the state left by the step before and the input of this one, and gives the new state and what is emitted.
Parameters are tensors that broadcast against the input, channels last: [1] for one value a layer, [C] for one a
channel. A decay is 1 / tau a step, in (0, 1]. A neuron fires at ``v >= threshold``.

Updates that are compiled use sums, products and comparisons alone, so that their values are the eager ones to the bit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

Fire = Callable[[Tensor], Tensor]
State = tuple[Tensor, ...]
Parameters = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The discrete choices of a neuron: what the compiler may specialise on.

    Attributes:
        step: a name in ``STEPS``.
        reset: ``hard`` (to 0), ``soft`` (minus the threshold) or ``none``.
        decay_input: whether the input is scaled by the decay, ``v += decay (x - v)``, or not, ``v += x - decay v``.
        detach_reset: whether the gradient ignores the reset.
        surrogate: a name in ``SURROGATES``.
        size: how many levels, spikes a step or memory buckets, for a step that has such a number.
    """

    step: str
    reset: str = "hard"
    decay_input: bool = True
    detach_reset: bool = True
    surrogate: str = "atan"
    size: int = 1


Update = Callable[[State, Tensor, Parameters, Fire, Rule], tuple[State, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Step:
    """An update as data.

    Attributes:
        update: ``(state, x, p, fire, rule) -> (state, spikes)``; ``fire`` is the step function with its surrogate.
        parameters: names of the tensors in ``p``.
        states: number of state tensors under a rule's size, each of the input's shape and 0 at first.
        timed: the parameters that are rows [T, ...] with one value a time step; the update sees that of its step.
        spatial: whether the input is a map [B, H, W, C] and not rows [M, C], M being batch and pixels.
        parallel: whether the update takes all time steps [T, M, C] at once, without a state.
        fusible: whether the scan is worth compiling: made of sums, products and comparisons alone.
    """

    update: Update
    parameters: tuple[str, ...]
    states: Callable[[int], int]
    timed: tuple[str, ...] = ()
    spatial: bool = False
    parallel: bool = False
    fusible: bool = True


def charge(v: Tensor, x: Tensor, p: Parameters, rule: Rule) -> Tensor:
    """The leaky membrane after input ``x``."""
    if rule.decay_input:
        return v + (x - v) * p["decay"]
    return v - v * p["decay"] + x


def reset(v: Tensor, spike: Tensor, threshold: Tensor, rule: Rule) -> Tensor:
    """The membrane after a spike {0, 1}."""
    gate = spike.detach() if rule.detach_reset else spike
    if rule.reset == "hard":
        return (1 - gate) * v
    if rule.reset == "soft":
        return v - gate * threshold
    return v
