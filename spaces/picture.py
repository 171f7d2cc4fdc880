"""The picture of a network, made of its trace: layers are nodes, what flows between them are edges.

Layers that only refine what one layer before them gives (norms, neurons, sums) are written into that layer's box.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from spaces.attention import Gate, Relu
from spaces.layers import Add, AvgPool, Concat, Conv, Even, Flatten, Linear, MaxPool, Norm, Vote
from spaces.network import Network
from spaces.neurons.neuron import Neuron
from spaces.spec import TaskSpec
from spaces.timing import Frame, Frames, Repeat
from spaces.trace import INPUT, trace

HIDDEN = (Even, Flatten, Frame, Frames, Gate, Relu, Repeat, Vote)  # change nothing that is seen in a picture
JOINING = (Norm, Neuron, Add)


@dataclass
class Node:
    """A box: its layers' words, its module, its output's shape, and the nodes that feed it, in order."""

    name: str
    module: nn.Module
    words: list[str]
    shape: list[int]
    sources: list[str] = field(default_factory=list)


def picture(network: Network, spec: TaskSpec) -> dict[str, list[Any]]:
    """``nodes`` (id, label, detail, role, shape [C, H, W] or [F]) in the order they run, and ``edges`` (from, to).

    An edge to a node that runs earlier is feedback to the next time step.
    """
    nodes = _traced(network, spec)
    _leave_out_sums_of_one(nodes)
    _merge(nodes)
    listed = [
        {
            "id": node.name,
            "label": node.words[0],
            "detail": ", ".join(node.words[1:]),
            "role": _role(node, nodes),
            "shape": node.shape,
        }
        for node in nodes.values()
    ]
    end = {"label": "readout", "detail": "mean over time", "role": "output", "shape": [spec.classes]}
    listed.append({"id": "output", **end})
    edges = [[source, node.name] for node in nodes.values() for source in node.sources]
    return {"nodes": listed, "edges": [*edges, [list(nodes)[-1], "output"]]}


def _traced(network: Network, spec: TaskSpec) -> dict[str, Node]:
    """Every layer that is seen, by name, each once, in the order they run."""
    detail = [f"{spec.frames} frames"] if spec.frames else []
    words_of_input = ["events" if spec.frames else "image", *detail]
    nodes = {INPUT: Node(INPUT, network, words_of_input, [spec.channels, spec.height, spec.width])}
    shown = {INPUT: INPUT}  # layer -> the box that stands for what it gives
    for call in trace(network, spec):
        sources = [shown[call.before if source is None else source] for source in call.sources]
        if isinstance(call.module, HIDDEN):
            shown[call.name] = sources[0]
            continue
        name = shown[call.name] = _short(call.name)
        node = nodes.setdefault(name, Node(name, call.module, [words(call.module)], list(call.shape)))
        node.sources += [source for source in sources if source not in node.sources and source != name]
    return nodes


def _leave_out_sums_of_one(nodes: dict[str, Node]) -> None:
    """Lets what reads a sum read its only term, unless that is feedback."""
    seen: set[str] = set()
    for name, node in list(nodes.items()):
        seen.add(name)
        if isinstance(node.module, Add) and len(node.sources) == 1 and node.sources[0] in seen:
            del nodes[name]
            for other in nodes.values():
                other.sources[:] = [node.sources[0] if source == name else source for source in other.sources]


def _merge(nodes: dict[str, Node]) -> None:
    """Writes a joining layer into the box before it where that feeds nothing else, then a lone neuron into the next."""
    changed = True
    while changed:
        changed = False
        readers: dict[str, list[str]] = defaultdict(list)
        for node in nodes.values():
            for source in node.sources:
                readers[source].append(node.name)
        for name, node in list(nodes.items()):
            before = nodes.get(node.sources[0]) if node.sources else None
            if before is None or before.name == INPUT or readers[before.name] != [name]:
                continue
            forwards = isinstance(before.module, Neuron) and len(before.words) == 1 and isinstance(node.module, Conv)
            if isinstance(node.module, JOINING) and not _alone(before):
                _join(nodes, before, node, readers)
            elif forwards and len(node.sources) == 1:
                node.words = [node.words[0], f"of {before.words[0]}", *node.words[1:]]
                node.sources = before.sources
                del nodes[before.name]
            else:
                continue
            changed = True
            break


def _join(nodes: dict[str, Node], before: Node, node: Node, readers: dict[str, list[str]]) -> None:
    """Takes ``node`` into the box before it, which then stands where a sum stood: all that feeds it has run."""
    before.words += node.words
    before.shape = node.shape
    before.sources += [source for source in node.sources if source not in (*before.sources, before.name)]
    for reader in readers[node.name]:
        sources = nodes[reader].sources
        sources[:] = [before.name if source == node.name else source for source in sources]
    if not isinstance(node.module, Add):
        del nodes[node.name]
        return
    del nodes[before.name]
    places = [(before.name, before) if name == node.name else (name, other) for name, other in nodes.items()]
    nodes.clear()
    nodes.update(places)


def _alone(node: Node) -> bool:
    """Whether nothing is written into a box: poolings, and neurons that come before their synapses."""
    return isinstance(node.module, MaxPool | AvgPool)


def words(module: nn.Module) -> str:
    """What a layer is, for people."""
    if isinstance(module, Conv):
        return f"conv {module.k}x{module.k}" + (f" /{module.stride}" if module.stride > 1 else "")
    if isinstance(module, Neuron):
        return module.kind.upper()
    if isinstance(module, AvgPool):
        return f"avg-pool {module.k}x{module.k}"
    if isinstance(module, Add):
        return "sum"
    named = {MaxPool: "max-pool 2x2", Linear: "linear", Norm: "BN", Concat: "concat"}
    return named.get(type(module), type(module).__name__)


def _role(node: Node, nodes: dict[str, Node]) -> str:
    """How a box is coloured: input, stem, pool, head, skip or block."""
    if node.name == INPUT:
        return INPUT
    if isinstance(node.module, MaxPool | AvgPool):
        return "pool"
    if isinstance(node.module, Linear):
        return "head"
    if INPUT in node.sources:
        return "stem"
    return "skip" if isinstance(node.module, Add | Concat | Neuron) or getattr(node.module, "k", 0) == 1 else "block"


def _short(name: str) -> str:
    """A module's name without the option that was chosen, which the box's words say."""
    return re.sub(r"\.options\.[^.]+", "", name)
