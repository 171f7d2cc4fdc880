"""Space ``spikedhs``: the two levels of SpikeDHS, cell and path, and its surrogates (Che et al., NeurIPS 2022).

    image -> stem conv3x3, BN, neuron -> cell1 -> cell2 -> cell3 -> cell4 -> average over space -> Linear

A cell sees the two cells before it, s0 and s1, each through conv1x1-BN-neuron. Its three nodes are neurons on the sum
of two of the states before them (s0, s1, n1, n2), each through an operation: skip, or conv3x3-BN-neuron with one of two
slopes of the surrogate. The spikes of the three nodes side by side are the cell's output. All cells have the same
filling: 9 x 27 x 54 = 13 122 of them. Path: every cell but the first keeps its resolution or halves it.

Taken from the paper and its public code: states, nodes, edges, operations, one cell architecture for all cells, decay
0.2, threshold 0.5, hard reset. Ours: a published cell doubles its channels where it halves its resolution, here
channels double with depth, so that one set of weights serves every path; resolution is halved by max-pooling, and never
raised; an operation spikes by itself, so that its slope is its own. The surrogate is a logistic derivative of width 2b,
which is the published b / 2 sech^2(b x) without its cut-off.
"""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import combinations

from optuna.distributions import BaseDistribution, CategoricalDistribution
from torch import Tensor, nn

from spaces.blanks import Choice
from spaces.candidate import Candidate
from spaces.checks import check_image, check_neuron, check_sizes
from spaces.draft import Draft
from spaces.kinds import Kind, averaged
from spaces.layers import Add, Concat, Conv, Flatten, Linear, MaxPool, Norm
from spaces.network import Network
from spaces.neurons.neuron import Neuron
from spaces.space import Space
from spaces.spec import TaskSpec
from spaces.timing import Repeat

STATES = {"n1": ("s0", "s1"), "n2": ("s0", "s1", "n1"), "n3": ("s0", "s1", "n1", "n2")}  # node -> what may enter it
SLOPES = {"conv3_b3": 3.0, "conv3_b5": 5.0}
OPTIONS = ("skip", *SLOPES)
PATH = ("down", "keep")
STEM_SLOPE = 3.0

CIFAR10 = {
    **{"n1_first": "conv3_b3", "n1_second": "conv3_b3"},
    **{"n2_inputs": "s0+s1", "n2_first": "conv3_b3", "n2_second": "conv3_b5"},
    **{"n3_inputs": "n1+n2", "n3_first": "conv3_b3", "n3_second": "conv3_b3"},
}
PUBLISHED = {  # by number of cells
    8: {"CIFAR-10": CIFAR10 | {f"path{k}": "down" if k in (3, 6) else "keep" for k in range(2, 9)}},
}

MakeNeuron = Callable[[float], Neuron]


def blanks(cells: int) -> dict[str, BaseDistribution]:
    """All blanks: path, then the nodes' two inputs and the operations on them."""
    found: dict[str, BaseDistribution] = {f"path{k}": CategoricalDistribution(PATH) for k in range(2, cells + 1)}
    for node, states in STATES.items():
        if len(states) > 2:
            found[f"{node}_inputs"] = CategoricalDistribution(["+".join(pair) for pair in combinations(states, 2)])
        found |= {f"{node}_{place}": CategoricalDistribution(OPTIONS) for place in ("first", "second")}
    return found


def outputs_of(cells: int, width: int) -> dict[int, int]:
    """Channels that come out of each cell, of the stem under 0, and of what stands before it under -1."""
    first = 3 * max(1, width // 2)
    return {-1: first, 0: first} | {k: first * 2 ** (2 * (k - 1) // cells) for k in range(1, cells + 1)}


def features(candidate: Candidate, *, cells: int, width: int) -> dict[str, float]:
    """Convolutions 3x3 in a cell and on its longest way; all cells' weights in units of C ** 2, and operations."""
    outputs, area, weights, operations = outputs_of(cells, width), 1.0, 0.0, 0.0
    depths = {"s0": 0.0, "s1": 0.0}
    convolutions = 0.0
    for node, states in STATES.items():
        pair = str(candidate.get(f"{node}_inputs", "+".join(states))).split("+")
        steps = [float(candidate[f"{node}_{place}"] != "skip") for place in ("first", "second")]
        convolutions += sum(steps)
        depths[node] = max(depths[state] + step for state, step in zip(pair, steps, strict=True))
    for k in range(1, cells + 1):
        area /= 4 if candidate.get(f"path{k}") == "down" else 1
        c = outputs[k] // 3
        here = (9 * convolutions * c**2 + (outputs[k - 2] + outputs[k - 1]) * c) / width**2
        weights, operations = weights + here, operations + area * here
    longest = max(depths.values())
    return {"convolutions": convolutions, "longest": longest, "weights": weights, "operations": operations}


class ConvNeuron(nn.Module):
    """Convolution, BN, neuron."""

    def __init__(self, c_in: int, c_out: int, k: int, neuron: Neuron) -> None:
        super().__init__()
        self.conv, self.norm, self.neuron = Conv(c_in, c_out, k), Norm(c_out), neuron

    def forward(self, x: Tensor) -> Tensor:
        """Spikes [T, B, c_in, H, W] to spikes [T, B, c_out, H, W]."""
        return self.neuron(self.norm(self.conv(x)))


class Inputs(nn.Module):
    """The sum of what two states give through their operations."""

    def __init__(self, operations: Mapping[str, Choice]) -> None:
        super().__init__()
        self.operations, self.add = nn.ModuleDict(operations), Add()

    def forward(self, *states: Tensor) -> Tensor:
        """Spikes of all states so far to a map with values 0, 1, 2."""
        names = STATES["n3"][: len(states)]
        return self.add(*(operation(states[names.index(name)]) for name, operation in self.operations.items()))


class Node(nn.Module):
    """A node: neurons on the sum of its inputs."""

    def __init__(self, inputs: nn.Module, neuron: Neuron) -> None:
        super().__init__()
        self.inputs, self.neuron = inputs, neuron

    def forward(self, *states: Tensor) -> Tensor:
        """Spikes of all states so far to the node's own."""
        return self.neuron(self.inputs(*states))


class Cell(nn.Module):
    """Two states from the cells before, three nodes, whose spikes are the output."""

    def __init__(
        self, path: Mapping[str, Choice], entries: Mapping[str, ConvNeuron], nodes: Mapping[str, Node]
    ) -> None:
        super().__init__()
        self.path, self.entries = nn.ModuleDict(path), nn.ModuleDict(entries)
        self.nodes, self.concat = nn.ModuleDict(nodes), Concat()

    def forward(self, s0: Tensor, s1: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes of the two cells before, at one resolution, to those of the last and of this one."""
        s0, s1 = (self.path[name](x) if self.path else x for name, x in (("s0", s0), ("s1", s1)))
        states = [self.entries["s0"](s0), self.entries["s1"](s1)]
        for node in self.nodes.values():
            states.append(node(*states))
        return s1, self.concat(*states[2:])


class Cells(nn.ModuleDict):
    """A row of cells, each of which sees the two before it."""

    def forward(self, x: Tensor) -> Tensor:
        """Spikes of the stem to spikes of the last cell."""
        s0 = s1 = x
        for cell in self.values():
            s0, s1 = cell(s0, s1)
        return s1


class SpaceAverage(nn.Module):
    """Mean over all positions, whatever the resolution."""

    values = 1

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, C, H, W] to [T, B, C, 1, 1]."""
        self.values = x.shape[-2] * x.shape[-1]
        return x.mean((-2, -1), keepdim=True)

    def emits(self, *kinds: Kind) -> Kind:
        """Spikes pooled stay events."""
        return averaged(kinds[0], self.values)


def operation(name: str, channels: int, neuron: MakeNeuron) -> nn.Module:
    """What an edge does."""
    return nn.Identity() if name == "skip" else ConvNeuron(channels, channels, 3, neuron(SLOPES[name]))


def spikedhs(
    *, width: int = 16, timesteps: int = 3, neuron: str = "lif", compiled: bool = True, cells: int = 4
) -> Space:
    """The space.

    Args:
        width: C, channels of a node in the second half of the cells, C / 2 in the first half; the stem has 3 C / 2
            (public code: nodes of 48, 96 and 192 channels from the highest resolution to the lowest, a stem of 144).
        timesteps: T (published: 6).
        neuron: ``lif`` (published), ``plif`` or ``if``.
        compiled: whether neurons are compiled, and convolutions of spikes run event by event.
        cells: number of cells (published: 8).

    Raises:
        SpaceError: a value out of range.
    """
    check_sizes(width=width, timesteps=timesteps, cells=cells)
    check_neuron(neuron)
    smallest = 2 ** (cells - 1)
    outputs = outputs_of(cells, width)

    def make_neuron(slope: float = STEM_SLOPE) -> Neuron:
        return Neuron(neuron, threshold=0.5, tau=1.25, decay_input=False, surrogate="sigmoid", width=2 * slope)

    def build(spec: TaskSpec, draft: Draft) -> Network:
        check_image(spec, smallest, what=f"spikedhs to halve {cells - 1} times", otherwise=", or fewer cells")

        def inputs(node: str, pair: str, channels: int) -> Inputs:
            options = {name: partial(operation, name, channels, make_neuron) for name in OPTIONS}
            blanks_of = zip(pair.split("+"), ("first", "second"), strict=True)
            return Inputs({state: draft.choice(f"{node}_{place}", options) for state, place in blanks_of})

        def node(name: str, channels: int) -> Node:
            pairs = ["+".join(pair) for pair in combinations(STATES[name], 2)]
            makers = {pair: partial(inputs, name, pair, channels) for pair in pairs}
            joined = draft.choice(f"{name}_inputs", makers) if len(pairs) > 1 else makers[pairs[0]]()
            return Node(joined, make_neuron())

        def cell(k: int) -> Cell:
            channels = outputs[k] // 3
            entries = {
                "s0": ConvNeuron(outputs[k - 2], channels, 1, make_neuron()),
                "s1": ConvNeuron(outputs[k - 1], channels, 1, make_neuron()),
            }
            steps = {"down": MaxPool, "keep": nn.Identity}
            path = {name: draft.choice(f"path{k}", steps) for name in entries} if k > 1 else {}
            return Cell(path, entries, {name: node(name, channels) for name in STATES})

        stem = (Conv(spec.channels, outputs[0], 3), Norm(outputs[0]), Repeat(timesteps), make_neuron())
        return Network(
            {
                "stem": nn.Sequential(*stem),
                "cells": Cells({f"cell{k}": cell(k) for k in range(1, cells + 1)}),
                "head": nn.Sequential(SpaceAverage(), Flatten(), Linear(outputs[cells], spec.classes)),
            }
        )

    return Space(
        name="spikedhs",
        about=f"SpikeDHS (NeurIPS 2022): one cell of 3 nodes for {cells} places, its surrogates, and where to halve",
        blanks=blanks(cells),
        timesteps=timesteps,
        build=build,
        published=PUBLISHED.get(cells, {}),
        family=lambda value: str(value).partition("_")[0],
        features=partial(features, cells=cells, width=width),
        compiled=compiled,
    )
