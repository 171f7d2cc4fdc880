"""Space ``autosnn``: the macro-architecture and five-option cell of AutoSNN (Na et al., ICML 2022).

    image -> stem conv3x3 -> C -> C m 2C -> 2C m 4C -> 4C m -> Linear -> neurons -> vote

Five slots are blanks, ``m`` is max-pooling 2x2; 5^5 = 3 125 candidates. There is no global average pooling.
"""

from collections.abc import Callable
from typing import Any

from optuna.distributions import CategoricalDistribution
from torch import Tensor, nn

from spaces.candidate import Candidate
from spaces.errors import SpaceError, unknown
from spaces.layers import Add, Chain, Choice, Conv, Flatten, Linear, MaxPool, Norm, Repeat, Vote, share_kernels
from spaces.neurons.neuron import NEURONS, Neuron
from spaces.space import Space
from spaces.spec import TaskSpec

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


class Network(Chain):
    """The backbone: every slot holds all its options, or the candidate's alone."""

    def __init__(
        self,
        spec: TaskSpec,
        candidate: Candidate | None,
        *,
        width: int,
        timesteps: int,
        neuron: MakeNeuron,
        entangled: bool,
    ) -> None:
        super().__init__()
        features = final_features(spec, width)
        self.stem = nn.Sequential(Conv(spec.channels, width, 3), Norm(width), Repeat(timesteps), neuron())
        self.body = nn.ModuleList()
        c_in = width
        for place in MACRO:
            if place == "pool":
                self.body.append(MaxPool())
                continue
            c_out = WIDTHS[place] * width
            names = OPTIONS if candidate is None else (str(candidate[place]),)
            slot = Choice(place, {name: option(name, c_in, c_out, neuron) for name in names})
            if entangled:
                share_kernels(slot.options.values())
            self.body.append(slot)
            c_in = c_out
        self.head = nn.Sequential(Flatten(), Linear(features, VOTERS * spec.classes), neuron(), Vote(VOTERS))

    def links(self) -> list[nn.Module]:
        """Stem, slots and poolings, head; its readout is the share of a class's voters that fire at each step."""
        return [self.stem, *self.body, self.head]


def final_features(spec: TaskSpec, width: int) -> int:
    """Inputs of the head; raises SpaceError where the image is too small for the poolings."""
    if min(spec.height, spec.width) < REDUCTION:
        raise SpaceError(
            f"images of {spec.height}x{spec.width} pixels are too small for autosnn's {MACRO.count('pool')} poolings: "
            f"give images of at least {REDUCTION}x{REDUCTION}"
        )
    return 4 * width * (spec.height // REDUCTION) * (spec.width // REDUCTION)


def autosnn(*, width: int = 16, timesteps: int = 8, neuron: str = "plif", compiled: bool = True) -> Space:
    """The space.

    Args:
        width: C, channels of the stem (published: 16, 32, 64, 128).
        timesteps: T (published: 8).
        neuron: ``plif`` (published), ``lif`` or ``if``; tau 2, threshold 1, hard detached reset, ATan surrogate.
        compiled: whether neurons are compiled, and convolutions of spikes run event by event.

    Raises:
        SpaceError: a value out of range.
    """
    for name, value in (("width", width), ("timesteps", timesteps)):
        if value < 1:
            raise SpaceError(f"{name} {value} is out of range: give a whole number of at least 1")
    if neuron not in NEURONS:
        raise SpaceError(unknown("neuron", neuron, NEURONS))

    def make_neuron() -> Neuron:
        return Neuron(neuron, compiled=compiled)

    def build(spec: TaskSpec, candidate: Candidate | None, *, entangled: bool) -> nn.Module:
        network = Network(spec, candidate, width=width, timesteps=timesteps, neuron=make_neuron, entangled=entangled)
        for conv in (module for module in network.modules() if isinstance(module, Conv)):
            conv.event_driven = compiled
        return network

    def draw(spec: TaskSpec, candidate: Candidate) -> dict[str, Any]:
        return picture(spec, candidate, width=width, neuron=neuron.upper())

    return Space(
        name="autosnn",
        about="AutoSNN (ICML 2022): 5 slots of spiking convolution, residual and skip blocks",
        blanks={slot: CategoricalDistribution(OPTIONS) for slot in WIDTHS},
        timesteps=timesteps,
        build=build,
        draw=draw,
        published=PUBLISHED,
        family=lambda value: str(value).split("_k")[0],
    )


def picture(spec: TaskSpec, candidate: Candidate, *, width: int, neuron: str) -> dict[str, Any]:
    """Nodes and edges of a candidate's network for the report; a shortcut is an edge round a block's first half."""
    nodes: list[dict[str, Any]] = []
    edges: list[list[str]] = []

    def node(name: str, label: str, detail: str, role: str, shape: list[int], *sources: str) -> str:
        nodes.append({"id": name, "label": label, "detail": detail, "role": role, "shape": shape})
        edges.extend([source, name] for source in sources)
        return name

    channels, height, columns = width, spec.height, spec.width
    last = node("input", "image", "direct encoding", "input", [spec.channels, height, columns])
    last = node("stem", "conv 3x3", f"BN, {neuron}", "conv", [channels, height, columns], last)
    pools = 0
    for place in MACRO:
        if place == "pool":
            pools, height, columns = pools + 1, height // 2, columns // 2
            last = node(f"pool{pools}", "max-pool", "2x2", "pool", [channels, height, columns], last)
            continue
        before, channels, name = channels, WIDTHS[place] * width, str(candidate[place])
        shape = [channels, height, columns]
        if name == "skip":
            detail = "identity" if before == channels else f"conv 1x1, BN, {neuron}"
            last = node(place, "skip", detail, "skip", shape, last)
            continue
        k = name[-1]
        first = node(f"{place}.1", f"conv {k}x{k}", f"BN, {neuron}", "block", shape, last)
        if name.startswith("SRB"):
            added = "+ input" if before == channels else "+ conv 1x1, BN of input"
            last = node(f"{place}.2", f"conv {k}x{k}", f"BN, {added}, {neuron}", "block", shape, first, last)
        else:
            last = node(f"{place}.2", f"conv {k}x{k}", f"BN, {neuron}", "block", shape, first)
    last = node("head", "linear", f"{neuron}, {VOTERS} voters a class", "head", [VOTERS * spec.classes], last)
    node("output", "vote", "mean over voters and time", "output", [spec.classes], last)
    return {"nodes": nodes, "edges": edges}
