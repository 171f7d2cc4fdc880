"""STEPS: every update by name."""

from spaces.neurons import adapting, coupled, firing, memory
from spaces.neurons.step import Step

LEAKY = ("threshold", "decay", "width")

STEPS: dict[str, Step] = {
    "if": Step(update=firing.integrate_and_fire, parameters=("threshold", "width"), states=lambda size: 1),
    "lif": Step(update=firing.leaky, parameters=LEAKY, states=lambda size: 1),
    "alif": Step(update=adapting.adaptive, parameters=(*LEAKY, "beta", "decay_a"), states=lambda size: 2),
    "asn": Step(update=adapting.asn, parameters=(*LEAKY, "m", "decay_a"), states=lambda size: 2),
    "glif": Step(
        update=adapting.gated,
        parameters=(*LEAKY, "alpha", "beta", "gamma", "leak", "subtract", "conduct"),
        states=lambda size: 2,
        timed=("conduct",),
    ),
    "klif": Step(update=firing.klif, parameters=(*LEAKY, "k"), states=lambda size: 1),
    "mlf": Step(update=firing.multi_level, parameters=(*LEAKY, "gap"), states=lambda size: size),
    "eclif": Step(update=coupled.over_channels, parameters=(*LEAKY, "coupling"), states=lambda size: 1),
    "eclif2d": Step(
        update=coupled.over_pixels, parameters=(*LEAKY, "coupling"), states=lambda size: 1, spatial=True, fusible=False
    ),
    "ternary": Step(update=firing.ternary, parameters=LEAKY, states=lambda size: 1),
    "burst": Step(update=firing.burst, parameters=("threshold", "width"), states=lambda size: 1),
    "psn": Step(
        update=memory.parallel,
        parameters=(*LEAKY, "weight", "bias"),
        states=lambda size: 0,
        parallel=True,
        fusible=False,
    ),
    "gamma": Step(update=memory.gamma, parameters=("threshold", "decay", "mix"), states=lambda size: size + 1),
}
