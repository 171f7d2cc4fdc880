"""Space ``snasnet``: the cell of SNASNet, with feedback in time (Kim et al., ECCV 2022).

    image -> stem conv3x3, BN -> cell(C) -> BN, neuron, conv3x3 (2C), BN, average-pool -> cell(2C) -> BN, neuron
          -> average-pool -> Linear(hidden) -> neurons -> Linear(classes x voters) -> vote

A cell is four nodes; node 0 is its input, node 3 its output, and a node is the sum of the edges that come in. Each of
the six pairs of nodes is one blank: no edge, an edge forward, or one backward, which is read at the next time step.
These 9^6 = 531 441 fillings are the 4x4 operation matrices with a zero diagonal and never both directions of a pair;
both cells have the same one. 357 316 of them join input and output; edges on no such way are left out. In an
entangled supernet the convolutions of a pair, forward and backward, share a kernel. The published dropout before the
head is a matter of training and left out.
"""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import combinations
from typing import Any

import torch
from optuna.distributions import CategoricalDistribution
from torch import Tensor, nn

from spaces.blanks import Choice
from spaces.candidate import Candidate, Value
from spaces.checks import check_image, check_neuron, check_sizes
from spaces.draft import Draft
from spaces.kinds import REAL, Kind, added
from spaces.layers import Add, AvgPool, Conv, Flatten, Linear, Norm, Vote
from spaces.network import Network
from spaces.neurons.neuron import Neuron, stepwise
from spaces.space import Space
from spaces.spec import TaskSpec
from spaces.timing import Frame, Frames, Repeat

NODES = 4
PAIRS = {f"pair{i}{j}": (i, j) for i, j in combinations(range(NODES), 2)}
OPTIONS = ("none", "b_skip", "f_skip", "b_avgpool", "f_avgpool", "b_conv1", "f_conv1", "b_conv3", "f_conv3")
CODES = {"0": "none", "1": "skip", "2": "conv1", "3": "conv3", "4": "avgpool"}  # of the published matrices

MakeNeuron = Callable[[], Neuron]
Edge = tuple[int, int]  # from, to; backward where from > to


def decoded(matrix: str) -> dict[str, Value]:
    """The filling that a published matrix such as ``0303 0030 2002 0200`` stands for: row i holds the edges from i."""
    rows = matrix.split()
    filling = {}
    for pair, (i, j) in PAIRS.items():
        forward, backward = CODES[rows[i][j]], CODES[rows[j][i]]
        filling[pair] = f"f_{forward}" if forward != "none" else f"b_{backward}" if backward != "none" else "none"
    return filling


PUBLISHED = {"CIFAR-10": decoded("0303 0030 2002 0200"), "CIFAR-100": decoded("0302 0030 3003 0000")}


def edge_of(pair: str, value: Value) -> Edge | None:
    """The edge that a pair's value stands for."""
    i, j = PAIRS[pair]
    return {"n": None, "f": (i, j), "b": (j, i)}[str(value)[0]]


def delays(edges: Mapping[str, Edge]) -> dict[int, int]:
    """The nodes that the input reaches, and by how many steps later: one for every edge backward on the way."""
    found = {0: 0}
    for _ in range(NODES):
        for source, target in edges.values():
            if source in found:
                found[target] = min(found.get(target, NODES), found[source] + (source > target))
    return found


def live(values: Mapping[str, Value], *, timesteps: int) -> dict[str, Edge]:
    """The edges on some way from input to output that takes no more than the T - 1 steps there are."""
    edges = {pair: edge for pair in PAIRS if (edge := edge_of(pair, values[pair]))}
    mirrored = {pair: (NODES - 1 - target, NODES - 1 - source) for pair, (source, target) in edges.items()}
    ahead, behind = delays(edges), delays(mirrored)

    def late(source: int, target: int) -> int:
        return ahead.get(source, timesteps) + (source > target) + behind.get(NODES - 1 - target, timesteps)

    return {pair: edge for pair, edge in edges.items() if late(*edge) < timesteps}


def canonical(candidate: Candidate, *, timesteps: int) -> Candidate:
    """The same cell without the edges that are on no way from input to output."""
    kept = live(candidate, timesteps=timesteps)
    return Candidate({pair: value if pair in kept else OPTIONS[0] for pair, value in candidate.items()})


def features(candidate: Candidate, *, timesteps: int) -> dict[str, float]:
    """Counts of each operation on live edges, of live edges back in time, and of steps from input to output."""
    edges = live(candidate, timesteps=timesteps)
    operations = [str(candidate[pair])[2:] for pair in edges]
    counts = {f"edges of {name}": float(operations.count(name)) for name in CODES.values() if name != OPTIONS[0]}
    back = float(sum(source > target for source, target in edges.values()))
    return counts | {"edges back in time": back, "delay": float(delays(edges).get(NODES - 1, timesteps))}


def disconnected(candidate: Candidate, *, timesteps: int) -> str:
    """Why a cell's input does not come to its output; empty if it does."""
    if live(candidate, timesteps=timesteps):
        return ""
    edges = {pair: edge for pair in PAIRS if (edge := edge_of(pair, candidate[pair]))}
    inside = sorted(node for node, steps in delays(edges).items() if steps < timesteps)
    out = [pair for pair, (i, j) in PAIRS.items() if (i in inside) != (j in inside)]
    return (
        f"the cell's output, node 3, gets nothing from its input, node 0, in {timesteps} steps: let one of "
        f"{', '.join(out)} be an edge from {' or '.join(map(str, inside))}"
    )


class Node(Add):
    """A node of a cell: the sum of what comes in, and zeros of the shape of ``like`` while nothing does yet."""

    def forward(self, *maps: Tensor, like: Tensor) -> Tensor:
        """Sum [T, B, C, H, W]."""
        return super().forward(*maps) if maps else torch.zeros_like(like)

    def facts(self) -> dict[str, Any]:
        """See ``spaces.description``."""
        return {"kind": "add"}

    def emits(self, *kinds: Kind) -> Kind:
        """That of a sum."""
        return added(*kinds) if kinds else REAL


class Cell(nn.Module):
    """Four nodes and the edges between them; edges that are on no way from input to output do not run.

    With x_j the sum of the edges forward into node j, b_j that of the edges backward into it, 0 at first, and
    n_j = x_j + b_j: an edge forward gives f_ij(n_i) to x_j, an edge backward g_ij(n_i) to the next step's b_j. A cell
    without feedback runs over all steps at once, one with feedback step by step; what the last step would feed back is
    not computed.
    """

    def __init__(self, pairs: Mapping[str, Choice], timesteps: int) -> None:
        super().__init__()
        self.timesteps = timesteps
        self.pairs = nn.ModuleDict(pairs)
        self.nodes = nn.ModuleList(Node() for _ in range(NODES))
        self.frame, self.frames = Frame(), Frames()

    def edges(self) -> dict[str, Edge]:
        """What runs, as the blanks are filled now."""
        chosen = {pair: choice.chosen for pair, choice in self.pairs.items()}
        return live(chosen, timesteps=self.timesteps)

    def forward(self, x: Tensor) -> Tensor:
        """Currents or spikes [T, B, C, H, W] to currents of the same shape."""
        edges = self.edges()
        if all(source < target for source, target in edges.values()):
            return self.step(x, edges, {})[0]
        back, steps = {}, []
        with stepwise(self):
            for t in range(len(x)):
                out, back = self.step(self.frame(x, t=t), edges, back, last=t == len(x) - 1)
                steps.append(out)
        return self.frames(*steps)

    def step(
        self, x: Tensor, edges: Mapping[str, Edge], back: Mapping[str, Tensor], *, last: bool = False
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Node 3 for input ``x``, and what each edge backward gives the next step; ``back`` is what it gave this."""
        nodes: list[Tensor | None] = []
        for j in range(NODES):
            maps = [x] if j == 0 else []
            maps += [self.pairs[pair](nodes[i]) for pair, (i, end) in edges.items() if end == j and i < j]
            fed = [pair for pair, (i, end) in edges.items() if end == j and i > j]
            maps += [back[pair] for pair in fed if pair in back]
            plain = len(maps) == 1 and not fed
            used = j == NODES - 1 or any(i == j for i, _ in edges.values())
            nodes.append((maps[0] if plain else self.nodes[j](*maps, like=x)) if used else None)
        backward = [] if last else [(pair, i) for pair, (i, j) in edges.items() if i > j]
        return nodes[-1], {pair: self.pairs[pair](nodes[i]) for pair, i in backward}


class NeuronConv(nn.Module):
    """Neuron, convolution, BN: an edge with weights."""

    def __init__(self, c_in: int, c_out: int, k: int, neuron: MakeNeuron) -> None:
        super().__init__()
        self.neuron, self.conv, self.norm = neuron(), Conv(c_in, c_out, k), Norm(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Currents [T, B, c_in, H, W] to currents [T, B, c_out, H, W]."""
        return self.norm(self.conv(self.neuron(x)))


def operation(value: str, channels: int, neuron: MakeNeuron) -> nn.Module:
    """The operation of an edge; forward and backward ones are alike."""
    name = value.partition("_")[2]
    if name.startswith("conv"):
        return NeuronConv(channels, channels, int(name.removeprefix("conv")), neuron)
    return AvgPool(3, stride=1) if name == "avgpool" else nn.Identity()


def snasnet(
    *,
    width: int = 16,
    timesteps: int = 5,
    neuron: str = "lif",
    compiled: bool = True,
    hidden: int = 1024,
    pool: int = 4,
    voters: int = 10,
) -> Space:
    """The space.

    Args:
        width: C, channels of the first cell (published: 256 for CIFAR-10, 128 for CIFAR-100 and TinyImageNet).
        timesteps: T (published: 5).
        neuron: ``lif`` (published), ``plif`` or ``if``; tau 4/3, threshold 1, hard detached reset, ATan surrogate.
        compiled: whether neurons are compiled, and convolutions of spikes run event by event.
        hidden: neurons between the two linear layers (published: 1024).
        pool: size of the last average pooling (4 gives the published size for CIFAR-10, 2 that for CIFAR-100).
        voters: outputs a class (published: 10 for CIFAR-10, 5 for CIFAR-100).

    Raises:
        SpaceError: a value out of range.
    """
    check_sizes(width=width, timesteps=timesteps, hidden=hidden, pool=pool, voters=voters)
    check_neuron(neuron)

    def make_neuron() -> Neuron:
        return Neuron(neuron, tau=4 / 3)

    def build(spec: TaskSpec, draft: Draft) -> Network:
        check_image(spec, 2 * pool, what=f"snasnet's poolings by 2 and {pool}")

        def cell(channels: int) -> Cell:
            options = {value: partial(operation, value, channels, make_neuron) for value in OPTIONS}
            run = PAIRS if draft.candidate is None else live(draft.candidate, timesteps=timesteps)
            idle = dict.fromkeys(OPTIONS, nn.Identity)
            return Cell({pair: draft.choice(pair, options if pair in run else idle) for pair in PAIRS}, timesteps)

        features = 2 * width * (spec.height // 2 // pool) * (spec.width // 2 // pool)
        last = (Linear(features, hidden), make_neuron(), Linear(hidden, voters * spec.classes), Vote(voters))
        reduction = NeuronConv(width, 2 * width, 3, make_neuron)
        return Network(
            {
                "stem": nn.Sequential(Conv(spec.channels, width, 3), Norm(width), Repeat(timesteps)),
                "cell1": cell(width),
                "reduction": nn.Sequential(Norm(width), reduction, AvgPool(2)),
                "cell2": cell(2 * width),
                "head": nn.Sequential(Norm(2 * width), make_neuron(), AvgPool(pool), Flatten(), *last),
            }
        )

    return Space(
        name="snasnet",
        about="SNASNet (ECCV 2022): a cell of 4 nodes, used twice, whose 6 edges run forward or back in time",
        blanks={pair: CategoricalDistribution(OPTIONS) for pair in PAIRS},
        timesteps=timesteps,
        build=build,
        published=PUBLISHED,
        family=lambda value: str(value).rstrip("13"),
        infeasible=partial(disconnected, timesteps=timesteps),
        canonical=partial(canonical, timesteps=timesteps),
        features=partial(features, timesteps=timesteps),
        compiled=compiled,
    )
