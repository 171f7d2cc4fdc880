"""Space ``spikenas-bench``: the benchmark's own parameter counts, and which cells join anything."""

from itertools import product

import pytest
import torch

from spaces.candidate import Candidate
from spaces.errors import SpaceError
from spaces.spec import TaskSpec
from spaces.spikenas_bench import BLANKS, features, spikenas_bench
from spaces.weights import count_parameters, initialise

CIFAR = TaskSpec(channels=3, height=32, width=32, classes=10)


def cell(*ops):
    return Candidate(dict(zip(BLANKS, ops, strict=True)))


@pytest.mark.parametrize(
    ("ops", "parameters"),  # as the benchmark's table has them: 17 179 620, and 738 048 a convolution in both cells
    [((0, 0, 1, 0, 0, 0), 17_179_620), ((1, 2, 0, 4, 0, 1), 18_655_716), ((2, 3, 4, 2, 3, 4), 21_607_908)],
)
def test_published_parameter_counts(ops, parameters):
    assert count_parameters(spikenas_bench(width=128).network(CIFAR, cell(*ops))) == parameters


def test_341_cells_join_nothing():
    space = spikenas_bench(width=4)
    without = [ops for ops in product(range(5), repeat=6) if space.infeasible(cell(*ops))]
    assert len(without) == 341
    with pytest.raises(SpaceError, match="no path leads from node 0 to node 3"):
        space.network(CIFAR, cell(*without[0]))


def ways(cell):
    """All ways from node 0 to node 3, by walking the graph."""
    found = []

    def walk(node, edges):
        if node == 3:
            found.append(edges)
            return
        for blank, op in cell.items():
            source, target = int(blank[-2]), int(blank[-1])
            if op and source == node:
                walk(target, [*edges, blank])

    walk(0, [])
    return found


def renamed(cell):
    """Nodes 1 and 2 exchanged; None where an edge between them would run backward."""
    if cell["op_e12"]:
        return None
    swap = {"1": "2", "2": "1"}
    name = {b: "op_e" + "".join(swap.get(digit, digit) for digit in b[-2:]) for b in cell if b != "op_e12"}
    return Candidate({"op_e12": 0} | {name[b]: op for b, op in cell.items() if b != "op_e12"})


def test_one_candidate_stands_for_all_that_are_the_same_network():
    """Two sound cells have one form exactly where their live edges are the same, but for the names of nodes 1 and 2."""
    space = spikenas_bench(width=4)
    forms = {}
    for ops in product(range(3), repeat=6):
        if space.infeasible(candidate := cell(*ops)):
            continue
        live = {blank for way in ways(candidate) for blank in way}
        pruned = Candidate({blank: op if blank in live else 0 for blank, op in candidate.items()})
        other = renamed(pruned)
        network = frozenset({pruned, other or pruned})
        forms.setdefault(network, set()).add(space.canonical(candidate))
    assert all(len(found) == 1 and found <= network for network, found in forms.items())
    assert len({form for found in forms.values() for form in found}) == len(forms)


def test_features_by_walking_the_graph():
    for ops in [(1, 2, 0, 4, 0, 1), (2, 3, 4, 2, 3, 4), (0, 0, 1, 2, 0, 0), (3, 0, 0, 2, 2, 1)]:
        found, walked = features(cell(*ops)), ways(cell(*ops))
        depths = [sum(cell(*ops)[blank] >= 2 for blank in way) for way in walked]
        live = {blank for way in walked for blank in way}
        assert [found[name] for name in ("paths", "longest", "shortest", "convolutions on paths")] == [
            len(walked), max(depths), min(depths), sum(depths)
        ]  # fmt: skip
        assert [found[f"edges of {op}"] for op in (1, 2, 3, 4)] == [
            sum(cell(*ops)[blank] == op for blank in live) for op in (1, 2, 3, 4)
        ]


def test_a_node_is_the_sum_of_its_edges():
    space = spikenas_bench(width=4, timesteps=2, compiled=False)
    network = space.network(CIFAR, cell(1, 1, 1, 1, 1, 1)).eval()
    initialise(network, torch.Generator().manual_seed(0))
    x = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    # x1 = x, x2 = x + x1, x3 = x + x1 + x2
    torch.testing.assert_close(network.cell1(x), 4 * x)


def test_thresholds_are_those_of_the_operations():
    space = spikenas_bench(width=4)
    for op, threshold in ((2, 0.5), (3, 1.0), (4, 1.5)):
        edge = space.network(CIFAR, cell(0, 0, op, 0, 0, 0)).cell1.edges["op_e03"].options[str(op)]
        assert edge[0].threshold.item() == threshold
