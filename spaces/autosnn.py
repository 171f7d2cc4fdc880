"""Space ``autosnn``: the macro-architecture and five-option cell of AutoSNN (Na et al., ICML 2022).

    image -> stem conv3x3 -> C -> C m 2C -> 2C m 4C -> 4C m -> Linear -> neurons -> vote

Five slots are blanks, ``m`` is max-pooling 2x2; 5^5 = 3 125 candidates. There is no global average pooling.
"""

from collections.abc import Callable
from functools import partial

from optuna.distributions import CategoricalDistribution
from torch import Tensor, nn

from spaces.candidate import Candidate
from spaces.checks import check_image, check_neuron, check_sizes
from spaces.draft import Draft
from spaces.layers import Add, Conv, Flatten, Linear, MaxPool, Norm, Vote
from spaces.network import Network
from spaces.neurons.neuron import Neuron
from spaces.space import Space
from spaces.spec import TaskSpec
from spaces.timing import Repeat

MACRO = ("slot1", "pool", "slot2", "slot3", "pool", "slot4", "slot5", "pool")
WIDTHS = {"slot1": 1, "slot2": 2, "slot3": 2, "slot4": 4, "slot5": 4}  # in units of C
OPTIONS = ("skip", "SCB_k3", "SCB_k5", "SRB_k3", "SRB_k5")
VOTERS = 10
REDUCTION = 2 ** MACRO.count("pool")

PUBLISHED = {  # best cell at spike weight -0.08
    "AutoSNN": {"slot1": "SRB_k5", "slot2": "SRB_k5", "slot3": "skip", "slot4": "SRB_k3", "slot5": "SRB_k5"},
}

MakeNeuron = Callable[[], Neuron]


class SCB(nn.Module):
    """Spiking convolution block: conv-BN-neuron-conv-BN-neuron."""

    def __init__(self, c_in: int, c_out: int, k: int, neuron: MakeNeuron) -> None:
        super().__init__()
        self.conv1, self.norm1, self.neuron1 = Conv(c_in, c_out, k), Norm(c_out), neuron()
        self.conv2, self.norm2, self.neuron2 = Conv(c_out, c_out, k), Norm(c_out), neuron()

    def forward(self, x: Tensor) -> Tensor:
        """Spikes [T, B, c_in, H, W] to spikes [T, B, c_out, H, W]."""
        x = self.neuron1(self.norm1(self.conv1(x)))
        return self.neuron2(self.norm2(self.conv2(x)))


class SRB(SCB):
    """Spiking residual block: an SCB whose input is added before the second neuron, so that spikes stay binary."""

    def __init__(self, c_in: int, c_out: int, k: int, neuron: MakeNeuron) -> None:
        super().__init__(c_in, c_out, k, neuron)
        self.shortcut = nn.Identity() if c_in == c_out else nn.Sequential(Conv(c_in, c_out, 1), Norm(c_out))
        self.add = Add()

    def forward(self, x: Tensor) -> Tensor:
        """Spikes [T, B, c_in, H, W] to spikes [T, B, c_out, H, W]."""
        y = self.neuron1(self.norm1(self.conv1(x)))
        return self.neuron2(self.add(self.norm2(self.conv2(y)), self.shortcut(x)))


def skip(c_in: int, c_out: int, neuron: MakeNeuron) -> nn.Module:
    """Identity where channels agree, else conv1x1-BN-neuron."""
    return nn.Identity() if c_in == c_out else nn.Sequential(Conv(c_in, c_out, 1), Norm(c_out), neuron())


def option(name: str, c_in: int, c_out: int, neuron: MakeNeuron) -> nn.Module:
    """The block that an option of a slot stands for."""
    if name == "skip":
        return skip(c_in, c_out, neuron)
    block, k = name.split("_k")
    return {"SCB": SCB, "SRB": SRB}[block](c_in, c_out, int(k), neuron)


def features(candidate: Candidate) -> dict[str, float]:
    """Weights of the slots' convolutions in units of C ** 2, their operations on the whole image, depth, residuals."""
    weights = operations = depth = residuals = 0.0
    c_in, area = 1, 1.0
    for place in MACRO:
        if place == "pool":
            area /= 4
            continue
        c_out, kind = WIDTHS[place], str(candidate[place])
        joins = 0 if c_in == c_out else c_in * c_out
        if kind == "skip":
            here = joins
            depth += joins > 0
        else:
            block, k = kind.split("_k")
            here = int(k) ** 2 * (c_in * c_out + c_out**2) + (joins if block == "SRB" else 0)
            depth += 2
            residuals += block == "SRB"
        weights, operations, c_in = weights + here, operations + area * here, c_out
    return {"weights": weights, "operations": operations, "depth": depth, "residuals": residuals}


def final_features(spec: TaskSpec, width: int) -> int:
    """Inputs of the head; raises SpaceError where the image is too small for the poolings."""
    check_image(spec, REDUCTION, what=f"autosnn's {MACRO.count('pool')} poolings")
    return 4 * width * (spec.height // REDUCTION) * (spec.width // REDUCTION)


def autosnn(*, width: int = 16, timesteps: int = 4, neuron: str = "plif", compiled: bool = True) -> Space:
    """The space.

    Args:
        width: C, channels of the stem (published: 16, 32, 64, 128).
        timesteps: T (published: 8).
        neuron: a name in ``NEURONS``; published is ``plif``, tau 2, threshold 1, hard detached reset, ATan surrogate.
        compiled: whether neurons are compiled, and convolutions of spikes run event by event.

    Raises:
        SpaceError: a value out of range.
    """
    check_sizes(width=width, timesteps=timesteps)
    check_neuron(neuron)

    def make_neuron() -> Neuron:
        return Neuron(neuron)

    def build(spec: TaskSpec, draft: Draft) -> Network:
        features = final_features(spec, width)
        links = {"stem": nn.Sequential(Conv(spec.channels, width, 3), Norm(width), Repeat(timesteps), make_neuron())}
        c_in, pools = width, 0
        for place in MACRO:
            if place == "pool":
                pools += 1
                links[f"pool{pools}"] = MaxPool()
                continue
            c_out = WIDTHS[place] * width
            options = {name: partial(option, name, c_in, c_out, make_neuron) for name in OPTIONS}
            links[place] = draft.choice(place, options)
            c_in = c_out
        links["head"] = nn.Sequential(Flatten(), Linear(features, VOTERS * spec.classes), make_neuron(), Vote(VOTERS))
        return Network(links)

    return Space(
        name="autosnn",
        about="AutoSNN (ICML 2022): 5 slots of spiking convolution, residual and skip blocks",
        blanks={slot: CategoricalDistribution(OPTIONS) for slot in WIDTHS},
        timesteps=timesteps,
        build=build,
        published=PUBLISHED,
        family=lambda value: str(value).split("_k")[0],
        features=features,
        compiled=compiled,
    )
