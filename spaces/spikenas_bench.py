"""Space ``spikenas-bench``: the forward cell of four nodes whose 15 625 networks SpikeNAS-Bench has trained.

    image -> stem conv3x3, BN -> cell(C) -> BN, LIF, conv3x3, BN, average-pool -> cell(2C) -> BN, LIF, average-pool
          -> Linear(8C), LIF -> Linear(10 a class, with bias) -> vote

(Sun et al., SpikeNAS-Bench, IEEE TAI.) An edge of the cell is a blank, named and coded as in the benchmark's tables: 0
none, 1 skip, 2 / 3 / 4 LIF with threshold 0.5 / 1 / 1.5, conv3x3, BN. A node is the sum of its edges, node 0 the input,
node 3 the output; both cells are the same. Published: C = 128, T = 5, with the table's parameter counts.
"""

from collections.abc import Mapping

import torch
from optuna.distributions import CategoricalDistribution
from torch import Tensor, nn

from spaces.candidate import Candidate, Value
from spaces.checks import check_image
from spaces.draft import Draft
from spaces.layers import Add, AvgPool, Conv, Flatten, Linear, Norm, Vote
from spaces.network import Network
from spaces.neurons.neuron import Neuron
from spaces.space import Space
from spaces.spec import TaskSpec
from spaces.timing import Repeat

EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
BLANKS = {f"op_e{i}{j}": CategoricalDistribution([0, 1, 2, 3, 4]) for i, j in EDGES}
THRESHOLDS = {2: 0.5, 3: 1.0, 4: 1.5}
TAU = 4 / 3
VOTERS = 10
REDUCTION = 4


class Nothing(nn.Module):
    """No edge: gives nothing."""

    def forward(self, x: Tensor) -> None:
        """None, which a sum leaves out."""


class Cell(nn.Module):
    """Four nodes; an edge runs on the node that it leaves, a node is the sum of what arrives."""

    def __init__(self, draft: Draft, channels: int, neuron: str) -> None:
        super().__init__()

        def edge(threshold: float) -> nn.Module:
            lif = Neuron(neuron, tau=TAU, threshold=threshold)
            return nn.Sequential(lif, Conv(channels, channels, 3), Norm(channels))

        options = {0: Nothing, 1: nn.Identity} | {op: lambda t=t: edge(t) for op, t in THRESHOLDS.items()}
        self.edges = nn.ModuleDict({blank: draft.choice(blank, options) for blank in BLANKS})
        self.sums = nn.ModuleList(Add() for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """Currents [T, B, C, H, W] to currents of the same shape."""
        nodes = [x]
        for target in (1, 2, 3):
            arriving = [self.edges[f"op_e{source}{target}"](nodes[source]) for source in range(target)]
            terms = [term for term in arriving if term is not None]
            nodes.append(self.sums[target - 1](*terms) if terms else torch.zeros_like(x))
        return nodes[3]


def paths(candidate: Mapping[str, Value]) -> list[tuple[str, ...]]:
    """The ways from node 0 to node 3 over edges that are there, as blanks."""
    ways = (("op_e03",), ("op_e01", "op_e13"), ("op_e02", "op_e23"), ("op_e01", "op_e12", "op_e23"))
    return [way for way in ways if all(candidate[blank] != 0 for blank in way)]


def canonical(candidate: Candidate) -> Candidate:
    """The same cell without the edges that lie on no path; of two that differ by the names of nodes 1 and 2, one.

    Nodes 1 and 2 are alike where no edge joins them.
    """
    live = {blank for way in paths(candidate) for blank in way}
    kept = {blank: op if blank in live else 0 for blank, op in candidate.items()}
    if not kept["op_e12"] and (kept["op_e01"], kept["op_e13"]) < (kept["op_e02"], kept["op_e23"]):
        kept |= {"op_e01": kept["op_e02"], "op_e13": kept["op_e23"], "op_e02": kept["op_e01"], "op_e23": kept["op_e13"]}
    return Candidate(kept)


def features(candidate: Candidate) -> dict[str, float]:
    """Counts of each operation on live edges, and of live paths and the convolutions along them."""
    ways = paths(candidate)
    live = {blank for way in ways for blank in way}
    depths = [sum(int(candidate[blank]) in THRESHOLDS for blank in way) for way in ways] or [0]
    counts = {f"edges of {op}": float(sum(candidate[blank] == op for blank in live)) for op in (1, *THRESHOLDS)}
    return counts | {
        "paths": float(len(ways)),
        "longest": float(max(depths)),
        "shortest": float(min(depths)),
        "mean depth": sum(depths) / len(depths),
        "convolutions on paths": float(sum(depths)),
    }


def infeasible(candidate: Candidate) -> str:
    """Says that no way leads through the cell, where none does."""
    return (
        "" if paths(candidate) else "no path leads from node 0 to node 3: give edges op_e03, or op_e01 and op_e13, ..."
    )


def spikenas_bench(*, width: int = 16, timesteps: int = 5, neuron: str = "lif", compiled: bool = True) -> Space:
    """The space.

    Args:
        width: C, channels of the first cell (published: 128).
        timesteps: T (published: 5).
        neuron: a name in ``NEURONS`` that has a tau; published is ``lif``, hard detached reset, ATan surrogate.
        compiled: whether neurons are compiled, and convolutions of spikes run event by event.
    """

    def build(spec: TaskSpec, draft: Draft) -> Network:
        check_image(spec, REDUCTION, what="spikenas-bench's 2 poolings")

        def lif() -> Neuron:
            return Neuron(neuron, tau=TAU)

        features = 2 * width * (spec.height // REDUCTION) * (spec.width // REDUCTION)
        head = [Linear(features, 8 * width), lif(), Linear(8 * width, VOTERS * spec.classes, bias=True), Vote(VOTERS)]
        down = [Norm(width), lif(), Conv(width, 2 * width, 3), Norm(2 * width), AvgPool(2)]
        return Network(
            {
                "stem": nn.Sequential(Conv(spec.channels, width, 3), Norm(width), Repeat(timesteps)),
                "cell1": Cell(draft, width, neuron),
                "down": nn.Sequential(*down),
                "cell2": Cell(draft, 2 * width, neuron),
                "last": nn.Sequential(Norm(2 * width), lif(), AvgPool(2), Flatten()),
                "head": nn.Sequential(*head),
            }
        )

    return Space(
        name="spikenas-bench",
        about="SpikeNAS-Bench's forward cell of 4 nodes: none, skip, or LIF of 3 thresholds with conv3x3 on 6 edges",
        blanks=BLANKS,
        timesteps=timesteps,
        build=build,
        family=lambda op: min(int(op), 2),
        infeasible=infeasible,
        canonical=canonical,
        features=features,
        compiled=compiled,
    )
