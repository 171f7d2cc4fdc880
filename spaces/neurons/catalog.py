"""NEURONS: every neuron by name, as data: its update, its parameters, what it emits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from spaces.kinds import BINARY, TERNARY, Kind
from spaces.neurons.parameters import Parameter


@dataclass(frozen=True, kw_only=True)
class Model:
    """What a neuron's name stands for.

    Attributes:
        about: one line for people.
        step: a name in ``STEPS``.
        parameters: name -> parameter. A time constant ``tau`` is seen by the update as ``decay``.
        resets: those that make sense, its own first.
        decay_input: whether the input is scaled by the decay unless asked otherwise; None: there is no such choice.
        detach_reset: whether there is a reset for the gradient to ignore.
        size: its whole number and what it is unless asked otherwise, such as (``levels``, 3).
        emits: the kind of its spikes under that number.
    """

    about: str
    step: str
    parameters: Mapping[str, Parameter]
    resets: tuple[str, ...] = ("hard", "soft", "none")
    decay_input: bool | None = True
    detach_reset: bool = True
    size: tuple[str, int] | None = None
    emits: Callable[[int], Kind] = lambda size: BINARY


def _counted(size: int) -> Kind:
    return Kind(1.0, 0, size)


THRESHOLD = {"threshold": Parameter(default=1.0, range="positive")}
LEAKY = THRESHOLD | {"tau": Parameter(default=2.0, range="time constant")}
SLOW = Parameter(default=4.0, range="time constant")
GATE = Parameter(default=0.5, range="share", learnt=True)

NEURONS: Mapping[str, Model] = {
    "if": Model(
        about="integrate-and-fire: the membrane never leaks",
        step="if",
        parameters=THRESHOLD,
        decay_input=None,
    ),
    "lif": Model(
        about="leaky integrate-and-fire: a fixed time constant tau",
        step="lif",
        parameters=LEAKY,
    ),
    "plif": Model(
        about="parametric LIF: each layer learns its tau (Fang et al., ICCV 2021)",
        step="lif",
        parameters=THRESHOLD | {"tau": Parameter(default=2.0, range="time constant", learnt=True)},
    ),
    "alif": Model(
        about="adaptive LIF: firing raises the threshold for a while (Bellec et al., NeurIPS 2018)",
        step="alif",
        parameters=LEAKY | {"beta": Parameter(default=1.8), "tau_a": SLOW},
    ),
    "asn": Model(
        about="adapting spiking neuron: sigma-delta coding, firing scales the threshold (Zambrano and Bohte, 2016)",
        step="asn",
        parameters=LEAKY | {"m": Parameter(default=0.2, range="share"), "tau_a": SLOW},
        resets=("soft",),
    ),
    "glif": Model(
        about="gated LIF: learns leak, input scale, threshold and reset (Yao et al., NeurIPS 2022)",
        step="glif",
        parameters={
            "threshold": GATE,
            "tau": Parameter(default=4 / 3, range="time constant", learnt=True),
            "alpha": GATE,
            "beta": GATE,
            "gamma": GATE,
            "leak": Parameter(default=0.05, range="share", learnt=True),
            "subtract": GATE,
            "conduct": Parameter(default=0.5, range="share", learnt=True, axes=("size",), timed=1),
        },
        resets=("gated",),
        decay_input=None,
        size=("timesteps", 16),
    ),
    "klif": Model(
        about="LIF with a learnt slope k and a rectified membrane (Jiang and Zhang, 2023)",
        step="klif",
        parameters=LEAKY | {"k": Parameter(default=1.0, learnt=True)},
    ),
    "mlf": Model(
        about="multi-level firing: several thresholds a unit, emits how many fire (Feng et al., IJCAI 2022)",
        step="mlf",
        parameters={
            "threshold": Parameter(default=0.6, range="positive"),
            "tau": Parameter(default=4 / 3, range="time constant"),
            "gap": Parameter(default=1.0, range="positive"),
        },
        decay_input=False,
        size=("levels", 3),
        emits=_counted,
    ),
    "eclif": Model(
        about="LIF electrically coupled to the next channels, learnt (Wu et al., Neural Networks 2022)",
        step="eclif",
        parameters=LEAKY | {"coupling": Parameter(default=0.05, learnt=True, axes=(2,))},
    ),
    "eclif2d": Model(
        about="LIF electrically coupled to the next pixels, learnt (Wu et al., Neural Networks 2022)",
        step="eclif2d",
        parameters=LEAKY | {"coupling": Parameter(default=0.05, learnt=True, axes=(8,))},
    ),
    "ternary": Model(
        about="signed LIF: spikes of -1 and 1",
        step="ternary",
        parameters=LEAKY,
        emits=lambda size: TERNARY,
    ),
    "burst": Model(
        about="IF with bursts: several spikes a step (Li and Zeng, IJCAI 2022)",
        step="burst",
        parameters=THRESHOLD,
        resets=("soft", "hard", "none"),
        decay_input=None,
        size=("spikes", 5),
        emits=_counted,
    ),
    "psn": Model(
        about="parallel spiking neuron: learnt T x T weights over time, no reset (Fang et al., NeurIPS 2023)",
        step="psn",
        parameters=LEAKY
        | {
            "weight": Parameter(default=0.0, learnt=True, axes=("size", "size"), timed=2),
            "bias": Parameter(default=0.0, learnt=True, axes=("size",), timed=1),
        },
        resets=("none",),
        decay_input=None,
        detach_reset=False,
        size=("timesteps", 16),
    ),
    "gamma": Model(
        about="SpikingGamma: memory buckets, sigma-delta spikes, no surrogate (Koopman, Otte and Bohte, 2026)",
        step="gamma",
        parameters=LEAKY | {"mix": Parameter(default=0.5, learnt=True, axes=("size",))},
        resets=("soft",),
        decay_input=None,
        detach_reset=False,
        size=("buckets", 4),
    ),
}
