"""Space ``dualspace``: structure and dynamics of a layered spiking network (She, Dash, Mukhopadhyay, ICLR 2022).

    image -> layer1 -> layer2 -> m -> layer3 -> layer4 -> m -> layer5 -> Linear -> neurons -> vote

Every layer is conv3x3, BN, neurons; ``m`` is max-pooling 2x2. Structure: each layer's width and class of neurons, and
one blank for every skip from a layer to one beyond the next. Dynamics: each layer's threshold, time constant and
surrogate width. A skip concatenates the spikes of its source to the input of its target; over a pooling they are
max-pooled and stay spikes. A convolution of a concatenation is the sum of a convolution a source, and is built as that
sum, so that every source may have any width.
"""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import combinations
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from torch import Tensor, nn

from spaces.blanks import Choice, Free, Number
from spaces.candidate import Candidate
from spaces.checks import check_image, check_neuron, check_sizes
from spaces.draft import Draft
from spaces.kinds import REAL, Kind
from spaces.layers import Conv, Flatten, Linear, MaxPool, Norm, Vote
from spaces.network import Network
from spaces.neurons.neuron import Neuron
from spaces.space import Space
from spaces.spec import TaskSpec
from spaces.timing import Repeat

MACRO = ("layer1", "layer2", "pool1", "layer3", "layer4", "pool2", "layer5")
LAYERS = (1, 2, 3, 4, 5)
POOLED = {1: 0, 2: 0, 3: 1, 4: 1, 5: 2}  # layer -> poolings before it
SKIPS = {f"skip{i}{j}": (i, j) for i, j in combinations(LAYERS, 2) if j > i + 1}
NEURON_CLASSES = ("if", "lif", "plif")
VOTERS = 10
REDUCTION = 2 ** max(POOLED.values())

DYNAMICS = {
    "threshold": FloatDistribution(0.5, 2.0),
    "tau": FloatDistribution(1.1, 10.0, log=True),  # steps; without effect on IF neurons
    "surrogate": FloatDistribution(0.5, 8.0, log=True),  # width of the surrogate: the larger, the narrower
}


def blanks(width: int) -> dict[str, BaseDistribution]:
    """All blanks, layer by layer: skips into a layer, its width (0.5, 1, 1.5 or 2 C), neurons, and dynamics."""
    half = max(1, width // 2)
    found: dict[str, BaseDistribution] = {}
    for j in LAYERS:
        found |= {skip: CategoricalDistribution(("none", "concat")) for skip, (_, end) in SKIPS.items() if end == j}
        found[f"layer{j}_width"] = IntDistribution(half, 4 * half, step=half)
        found[f"layer{j}_neuron"] = CategoricalDistribution(NEURON_CLASSES)
        found |= {f"layer{j}_{name}": distribution for name, distribution in DYNAMICS.items()}
    return found


class Joint(nn.Module):
    """The current of joint inputs: events of every source add to the same potentials, as if concatenated."""

    def forward(self, current: Tensor, *others: Tensor) -> Tensor:
        """Sum of maps of one shape."""
        return sum(others, start=current)

    def facts(self) -> dict[str, Any]:
        """See ``spaces.description``."""
        return {"kind": "add"}

    def emits(self, *kinds: Kind) -> Kind:
        """Currents are real."""
        return REAL


class Layer(nn.Module):
    """Convolutions of the layer before and of skips, BN of their sum, neurons."""

    def __init__(self, conv: Conv, skips: dict[str, Choice], norm: nn.Module, neuron: nn.Module) -> None:
        super().__init__()
        self.conv, self.skips, self.joint = conv, nn.ModuleDict(skips), Joint()
        self.norm, self.neuron = norm, neuron

    def forward(self, x: Tensor, spikes: Mapping[str, Tensor]) -> Tensor:
        """Spikes [T, B, C, H, W] of the input ``x`` and of earlier layers, by name, for the skips."""
        chosen = [(skip, f"layer{SKIPS[name][0]}") for name, skip in self.skips.items() if skip.chosen == "concat"]
        current = self.conv(x)
        if chosen:
            current = self.joint(current, *(skip(spikes[source]) for skip, source in chosen))
        return self.neuron(self.norm(current))


class Layers(nn.ModuleDict):
    """Layers and poolings in a row, by name, and skips over them."""

    def forward(self, x: Tensor) -> Tensor:
        """Image [B, C, H, W] or events [T, B, C, H, W] to spikes of the last layer."""
        spikes: dict[str, Tensor] = {}
        for name, link in self.items():
            spikes[name] = x = link(x, spikes) if isinstance(link, Layer) else link(x)
        return x


def features(candidate: Candidate, *, width: int) -> dict[str, float]:
    """Weights behind the first layer in units of C ** 2, their operations on the whole image, and skips."""
    widths = {j: int(candidate[f"layer{j}_width"]) / width for j in LAYERS}
    weights = operations = 0.0
    for j in LAYERS[1:]:
        sources = [j - 1, *(i for name, (i, end) in SKIPS.items() if end == j and candidate[name] == "concat")]
        here = 9 * widths[j] * sum(widths[i] for i in sources)
        weights, operations = weights + here, operations + here / 4 ** POOLED[j]
    skips = float(sum(candidate[name] == "concat" for name in SKIPS))
    return {"weights": weights, "operations": operations, "skips": skips}


def canonical(candidate: Candidate) -> Candidate:
    """The same network: IF neurons have no time constant, so theirs is the least."""
    inert = {f"layer{j}_tau": DYNAMICS["tau"].low for j in LAYERS if candidate[f"layer{j}_neuron"] == "if"}
    return Candidate({**candidate, **inert})


def skip(source: Number, target: Number, pools: int) -> nn.Module:
    """The synapses of a skip over so many poolings."""
    return nn.Sequential(*(MaxPool() for _ in range(pools)), Conv(source, target, 3))


def dualspace(*, width: int = 16, timesteps: int = 4, neuron: str = "lif", compiled: bool = True) -> Space:
    """The space. Depth, widths and ranges are ours: the paper publishes no code and no such table.

    Args:
        width: C; layers have 0.5, 1, 1.5 or 2 C channels.
        timesteps: T.
        neuron: class of the readout's neurons, which are no blank: ``if``, ``lif`` or ``plif``; tau 2, threshold 1.
        compiled: whether neurons are compiled, and convolutions of spikes run event by event.

    Raises:
        SpaceError: a value out of range.
    """
    check_sizes(width=width, timesteps=timesteps)
    check_neuron(neuron)

    def build(spec: TaskSpec, draft: Draft) -> Network:
        check_image(spec, REDUCTION, what=f"dualspace's {max(POOLED.values())} poolings")
        widths: dict[int, Number] = {0: spec.channels} | {j: draft.number(f"layer{j}_width") for j in LAYERS}

        def layer(j: int) -> Layer:
            skips = {
                name: draft.choice(
                    name,
                    {"none": nn.Identity, "concat": partial(skip, widths[i], widths[j], POOLED[j] - POOLED[i])},
                )
                for name, (i, end) in SKIPS.items()
                if end == j
            }
            dynamics: dict[str, Free] = {name: draft.number(f"layer{j}_{name}") for name in DYNAMICS}
            made = {"threshold": dynamics["threshold"], "tau": dynamics["tau"], "width": dynamics["surrogate"]}
            classes: dict[str, Callable[[], Neuron]] = {kind: partial(Neuron, kind, **made) for kind in NEURON_CLASSES}
            norm = nn.Sequential(Norm(widths[j]), Repeat(timesteps))
            return Layer(Conv(widths[j - 1], widths[j], 3), skips, norm, draft.choice(f"layer{j}_neuron", classes))

        features = (spec.height // REDUCTION) * (spec.width // REDUCTION) * widths[LAYERS[-1]]
        head = (Flatten(), Linear(features, VOTERS * spec.classes), Neuron(neuron), Vote(VOTERS))
        layers = {name: MaxPool() if name.startswith("pool") else layer(int(name[-1])) for name in MACRO}
        return Network({"layers": Layers(layers), "head": nn.Sequential(*head)})

    return Space(
        name="dualspace",
        about="dual search space (ICLR 2022): 5 layers with skips, widths and classes, and the dynamics of each",
        blanks=blanks(width),
        timesteps=timesteps,
        build=build,
        canonical=canonical,
        features=partial(features, width=width),
        compiled=compiled,
    )
