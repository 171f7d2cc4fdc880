"""Space ``residual``: spiking residual networks of six kinds, their depths and widths, their norm and their neuron.

    image -> conv3x3 -> stage1 (C) -> stage2 (2C, /2) -> stage3 (4C, /2) -> max-pool 2x2 -> Linear -> neurons

A stage is 1 to 3 blocks of 1/2, 3/4 or all of its channels; the largest is ResNet-20 (He et al., CVPR 2016). The kind
is the whole network's: what flows between blocks is spikes, whole numbers or currents, and blocks of one kind agree on
it. ``MS`` passes on currents: it has no neuron in the stem, and one behind its last block. All kinds share kernels.

The readout keeps places (no global average pooling, which costs accuracy on small images: Na et al., ICML 2022). The
max-pool in front of it leaves a fourth of its weights, 2x2 places of a 16x16 image and 4x4 of 32x32. Means of sparse
spikes would be too small a current: behind an average-pool more candidates stay silent.
"""

from functools import partial

from optuna.distributions import CategoricalDistribution, IntDistribution
from torch import nn

from spaces.blanks import Depth, Free, Number
from spaces.candidate import Candidate
from spaces.checks import check_image, check_sizes
from spaces.draft import Draft
from spaces.errors import SpaceError, unknown
from spaces.layers import Conv, Flatten, Linear, MaxPool, Norm, Vote
from spaces.network import Network
from spaces.neurons.neuron import Neuron
from spaces.norms import NORMS
from spaces.residuals import RESIDUALS
from spaces.space import Space
from spaces.spec import TaskSpec
from spaces.timing import Repeat

STAGES = {"stage1": (1, 1), "stage2": (2, 2), "stage3": (4, 2)}  # width in units of C, stride
BLOCKS = 3
VOTERS = 10
NEURONS = ("if", "lif", "plif")


def places(spec: TaskSpec) -> int:
    """Places that the readout sees; raises SpaceError where the image is too small."""
    check_image(spec, 5, what="residual's strides and pooling")
    height, width = (((size + 3) // 4) // 2 for size in (spec.height, spec.width))  # strides round up, pools down
    return height * width


def features(candidate: Candidate, *, width: int) -> dict[str, float]:
    """Weights of convolutions behind the stem in units of C ** 2, their operations on the whole image, and blocks."""
    weights = operations = blocks = 0.0
    c_in, area = int(candidate["stage1_width"]) / width, 1.0
    for stage, (_, stride) in STAGES.items():
        c_out, depth = int(candidate[f"{stage}_width"]) / width, int(candidate[f"{stage}_depth"])
        area /= stride**2
        projection = c_in * c_out if stage != "stage1" else 0.0
        here = projection + 9 * (c_in + c_out) * c_out + 18 * (depth - 1) * c_out**2
        weights, operations, blocks, c_in = weights + here, operations + area * here, blocks + depth, c_out
    return {"weights": weights, "operations": operations, "blocks": blocks}


def residual(*, width: int = 16, timesteps: int = 4, neuron: str = "plif", compiled: bool = True) -> Space:
    """The space.

    Args:
        width: C, channels of the first stage at most.
        timesteps: T.
        neuron: of the published networks; ``if``, ``lif`` or ``plif``; tau 2, hard detached reset, ATan surrogate.
        compiled: whether neurons are compiled, and convolutions of spikes run event by event.

    Raises:
        SpaceError: a value out of range.
    """
    check_sizes(width=width, timesteps=timesteps)
    if neuron not in NEURONS:  # its own: those among which it chooses
        raise SpaceError(unknown("neuron", neuron, NEURONS))
    widths = sorted({max(1, width * quarters // 4) for quarters in (2, 3, 4)})
    blanks = {
        "kind": CategoricalDistribution(tuple(RESIDUALS)),
        "norm": CategoricalDistribution(tuple(NORMS)),
        "neuron": CategoricalDistribution(NEURONS),
        **{
            f"{stage}_width": CategoricalDistribution([times * c for c in widths])
            for stage, (times, _) in STAGES.items()
        },
        **{f"{stage}_depth": IntDistribution(1, BLOCKS) for stage in STAGES},
    }

    def build(spec: TaskSpec, draft: Draft) -> Network:
        def fires(threshold: float = 1.0) -> nn.Module:
            return draft.choice("neuron", {name: partial(Neuron, name, threshold=threshold) for name in NEURONS})

        def norm(channels: Number, alpha: float = 1.0) -> nn.Module:
            makers = {name: partial(NORMS[name], channels, timesteps=timesteps, alpha=alpha) for name in NORMS}
            return draft.choice("norm", makers)

        def stage(name: str, kind: str, c_in: Free) -> Depth:
            c_out, stride = draft.number(f"{name}_width"), STAGES[name][1]
            block = partial(RESIDUALS[kind], neuron=fires, norm=norm)
            first, more = partial(block, c_in, c_out, stride=stride), partial(block, c_out, c_out)
            return draft.depth(f"{name}_depth", [first] + [more] * (BLOCKS - 1))

        features = places(spec)
        c = draft.number("stage1_width")
        currents = {kind: nn.Identity if kind == "MS" else fires for kind in RESIDUALS}
        spikes = {kind: fires if kind == "MS" else nn.Identity for kind in RESIDUALS}
        stem = nn.Sequential(Conv(spec.channels, c, 3), Norm(c), Repeat(timesteps), draft.choice("kind", currents))
        links: dict[str, nn.Module] = {"stem": stem}
        for name in STAGES:
            links[name] = draft.choice("kind", {kind: partial(stage, name, kind, c) for kind in RESIDUALS})
            c = draft.number(f"{name}_width")
        links["spikes"] = draft.choice("kind", spikes)
        readout = Linear(c * features, VOTERS * spec.classes)
        links["head"] = nn.Sequential(MaxPool(), Flatten(), readout, fires(), Vote(VOTERS))
        return Network(links)

    full = {name: distribution.choices[-1] for name, distribution in blanks.items() if name.endswith("_width")}
    deep = {f"{stage}_depth": BLOCKS for stage in STAGES}
    rest = {"norm": "bn", "neuron": neuron, **full, **deep}
    return Space(
        name="residual",
        about="spiking, SEW, DS and MS residual networks: kind, norm, neuron, depths and widths",
        blanks=blanks,
        timesteps=timesteps,
        build=build,
        published={f"ResNet-20 of {kind}": {"kind": kind, **rest} for kind in RESIDUALS},
        features=partial(features, width=width),
        compiled=compiled,
    )
