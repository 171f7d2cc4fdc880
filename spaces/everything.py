"""Space ``everything``: the literature's choices in one network, so that they compete with each other.

    image -> encoder, conv3x3, norm -> stage1 (C) -> pool -> stage2 (2C) -> pool -> stage3 (4C) -> pool -> Linear, vote

A stage is one or two slots of one width; a slot is a skip, a plain block or a residual one. A stage has one class of
neurons with one threshold and one time constant, one attention and one pooling; the encoder is the network's, and so is
the norm of all stages (the stem's, which may run before there is time, is BN). The neurons in front of the vote are
PLIF of threshold 1, so that they mean the same whatever the stages are. Networks of plain blocks and skips alone with
the usual values are AutoSNN's. SEW's IAND is left out: a new branch of it silences what its shortcut passes on.

Most values do not work together at once, and a supernet on uniform draws learns next to nothing. So draws keep to the
usual values of the literature three times in four each, and all values compete by what they change in such a network.
"""

import math
from collections.abc import Mapping
from functools import partial

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from torch import nn

from spaces.attention import ATTENTION
from spaces.blanks import Number, declare
from spaces.candidate import Candidate, Value
from spaces.checks import check_image, check_sizes
from spaces.draft import Draft
from spaces.encoders import ENCODERS, encoded
from spaces.layers import Conv, Flatten, Linear, Norm, Vote
from spaces.network import Network
from spaces.neurons.neuron import Neuron
from spaces.norms import NORMS
from spaces.residuals import POOLINGS, RESIDUALS, Plain
from spaces.space import Space
from spaces.spec import TaskSpec

STAGES = {"stage1": 1, "stage2": 2, "stage3": 4}  # width in units of C
SLOTS = 2
NEURONS = ("lif", "plif", "klif", "alif", "eclif", "ternary")
BLOCKS = {
    "plain_k3": partial(Plain, k=3),
    "plain_k5": partial(Plain, k=5),
    **{name: RESIDUALS[name] for name in ("spiking", "SEW_and", "SEW_add", "DS")},
}
USUAL = {"attention": "none", "neuron": "plif", "threshold": 1.0, "tau": 2.0, "pool": "max"}
VOTERS = 10
REDUCTION = 2 ** len(STAGES)


def stage_blanks(stage: str, width: int) -> dict[str, object]:
    """The blanks of a stage of at most ``width`` channels."""
    widths = sorted({max(1, width * quarters // 4) for quarters in (2, 3, 4)})
    return {
        f"{stage}_width": CategoricalDistribution(widths),
        f"{stage}_depth": IntDistribution(1, SLOTS),
        **{f"{stage}_block{slot}": CategoricalDistribution(["skip", *BLOCKS]) for slot in range(1, SLOTS + 1)},
        f"{stage}_attention": CategoricalDistribution(["none", *ATTENTION]),
        f"{stage}_neuron": CategoricalDistribution(NEURONS),
        f"{stage}_threshold": FloatDistribution(0.5, 2.0),
        f"{stage}_tau": FloatDistribution(1.2, 4.0, log=True),
        f"{stage}_pool": CategoricalDistribution(list(POOLINGS)),
    }


def usual(width: int) -> dict[str, Value]:
    """The commonest values: AutoSNN's in full width, but for the blocks, which are left to chance."""
    values: dict[str, Value] = {"encoder": "direct", "norm": "bn"}
    for stage, times in STAGES.items():
        mine = {"width": times * width, **USUAL}
        values |= {f"{stage}_{name}": value for name, value in mine.items()}
    return values


def blocks(candidate: Mapping[str, Value], stage: str) -> list[str]:
    """The blocks of a stage without those that let all pass: skips, but where they widen the network."""
    chosen = [str(candidate[f"{stage}_block{slot}"]) for slot in range(1, int(candidate[f"{stage}_depth"]) + 1)]
    widening = chosen[:1] if stage != "stage1" else []  # its first block has the stem's width
    return widening + [block for block in chosen[len(widening) :] if block != "skip"]


def canonical(candidate: Candidate) -> Candidate:
    """The same network: blocks that let all pass stand last and do not count, nor does attention that has no block."""
    filled = dict(candidate)
    for stage in STAGES:
        left = blocks(candidate, stage)
        filled[f"{stage}_depth"] = max(1, len(left))
        row = [*left, *["skip"] * SLOTS]
        filled |= {f"{stage}_block{slot}": row[slot - 1] for slot in range(1, SLOTS + 1)}
        if set(left) <= {"skip"}:
            filled[f"{stage}_attention"] = "none"
    return Candidate(filled)


def features(candidate: Candidate, *, width: int) -> dict[str, float]:
    """Weights of convolutions behind the stem in units of C ** 2, their operations on the image, depth, residuals.

    Also, of each stage ``drive``, the logarithm of threshold times time constant: of the current that makes a neuron at
    rest fire at once, which is what its rate depends on first.
    """
    weights = operations = depth = residuals = 0.0
    c_in, area = int(candidate["stage1_width"]) / width, 1.0
    drives = {}
    for stage in STAGES:
        c_out = int(candidate[f"{stage}_width"]) / width
        for number, block in enumerate(blocks(candidate, stage)):
            projected = c_in * c_out if number == 0 and stage != "stage1" else 0.0
            enters = c_in if number == 0 else c_out
            here = projected
            if block != "skip":
                k = 5 if block.endswith("k5") else 3
                plain = block.startswith("plain")
                here = k**2 * (enters + c_out) * c_out + (0.0 if plain else projected)
                residuals += not plain
            depth += 1 if block == "skip" else 2
            weights, operations = weights + here, operations + area * here
        area /= 4
        if candidate[f"{stage}_pool"] == "conv":
            weights, operations, depth = weights + 9 * c_out**2, operations + area * 9 * c_out**2, depth + 1
        drives[f"{stage} drive"] = math.log(float(candidate[f"{stage}_threshold"]) * float(candidate[f"{stage}_tau"]))
        c_in = c_out
    return {"weights": weights, "operations": operations, "depth": depth, "residuals": residuals, **drives}


def skip(c_in: Number, c_out: Number, *, neuron: partial, norm: partial, **options: object) -> nn.Module:
    """Identity where the width is the same, else conv1x1-norm-neuron."""
    return nn.Identity() if c_in == c_out else nn.Sequential(Conv(c_in, c_out, 1), norm(c_out), neuron())


def everything(*, width: int = 16, timesteps: int = 4, compiled: bool = True) -> Space:
    """The space.

    Args:
        width: C, channels of the first stage at most.
        timesteps: T.
        compiled: whether neurons are compiled, and convolutions of spikes run event by event.

    Raises:
        SpaceError: a value out of range.
    """
    check_sizes(width=width, timesteps=timesteps)
    blanks = declare(
        {"encoder": CategoricalDistribution(list(ENCODERS)), "norm": CategoricalDistribution(list(NORMS))},
        *(stage_blanks(stage, times * width) for stage, times in STAGES.items()),
    )

    def build(spec: TaskSpec, draft: Draft) -> Network:
        check_image(spec, REDUCTION, what=f"{len(STAGES)} poolings")

        def norm(stage: str, channels: Number, alpha: float = 1.0) -> nn.Module:
            options = {"timesteps": timesteps, "threshold": draft.number(f"{stage}_threshold"), "alpha": alpha}
            return draft.choice("norm", {name: partial(make, channels, **options) for name, make in NORMS.items()})

        def neuron(stage: str, threshold: float = 1.0) -> nn.Module:
            numbers = {"threshold": draft.number(f"{stage}_threshold") * threshold, "tau": draft.number(f"{stage}_tau")}
            kinds = {kind: partial(Neuron, kind, **numbers) for kind in NEURONS}
            return draft.choice(f"{stage}_neuron", kinds)

        def attention(stage: str, channels: Number) -> nn.Module:
            hidden = max(1, STAGES[stage] * width // 4)
            makers = {name: partial(make, channels, hidden) for name, make in ATTENTION.items()}
            return draft.choice(f"{stage}_attention", {"none": nn.Identity, **makers})

        def slot(stage: str, number: int, c_in: Number, c_out: Number) -> nn.Module:
            parts = {part.__name__: partial(part, stage) for part in (neuron, norm, attention)}
            makers = {name: partial(make, c_in, c_out, **parts) for name, make in {"skip": skip, **BLOCKS}.items()}
            return draft.choice(f"{stage}_block{number}", makers)

        def stem(name: str, c: Number) -> nn.Module:
            return encoded(name, Conv(spec.channels, c, 3), Norm(c), timesteps)

        c = draft.number("stage1_width")
        encoders = draft.choice("encoder", {name: partial(stem, name, c) for name in ENCODERS})
        links: dict[str, nn.Module] = {"stem": nn.Sequential(encoders, neuron("stage1"))}
        for stage in STAGES:
            c_out = draft.number(f"{stage}_width")
            makers = [partial(slot, stage, n, c if n == 1 else c_out, c_out) for n in range(1, SLOTS + 1)]
            links[stage] = draft.depth(f"{stage}_depth", makers)
            parts = {"neuron": partial(neuron, stage), "norm": partial(norm, stage)}
            pools = {name: partial(make, c_out, **parts) for name, make in POOLINGS.items()}
            links[f"{stage}_pool"] = draft.choice(f"{stage}_pool", pools)
            c = c_out
        places = (spec.height // REDUCTION) * (spec.width // REDUCTION)
        readout = Linear(c * places, VOTERS * spec.classes)
        links["head"] = nn.Sequential(Flatten(), readout, Neuron("plif"), Vote(VOTERS))
        return Network(links)

    return Space(
        name="everything",
        about="the union: encoder, norm; for 3 stages width, depth, blocks, attention, pooling, neurons and numbers",
        blanks=blanks,
        usual=usual(width),
        timesteps=timesteps,
        build=build,
        family=lambda value: str(value).split("_")[0],
        canonical=canonical,
        features=partial(features, width=width),
        compiled=compiled,
    )
