"""Architecture drawing: nodes in layers from left to right, wrapped into rows that fit the page, edges in the gaps.

Boxes stand on a grid; edges that do not join neighbours run in the gaps between columns and in lanes between rows,
so that no edge crosses a box.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 134, 62  # of a box
GAP, STACK, LANE, MARGIN = 36, 14, 11, 14  # between columns, in a stack, between lanes, around a row
COLUMNS = 6


@dataclass(frozen=True)
class Box:
    """A node's rectangle, upper left corner at (x, y), and its three lines of text."""

    id: str
    label: str
    detail: str
    shape: str
    role: str
    x: float
    y: float
    width: float = WIDTH
    height: float = HEIGHT


@dataclass(frozen=True)
class Wire:
    """An edge as an SVG path; ``kind`` is next (to the neighbour), wrap (to the next row), skip or back."""

    source: str
    target: str
    kind: str
    path: str


@dataclass(frozen=True)
class Drawing:
    """A laid out architecture in a canvas of ``width`` x ``height``."""

    boxes: list[Box]
    wires: list[Wire]
    width: float
    height: float


def draw(architecture: Mapping[str, Any]) -> Drawing:
    """Lay out the ``nodes`` and ``edges`` of an architecture.json; edges to unknown nodes are left out."""
    nodes = {str(node["id"]): node for node in architecture.get("nodes", [])}
    edges = [(str(a), str(b)) for a, b in architecture.get("edges", []) if str(a) in nodes and str(b) in nodes]
    layer = _layers(list(nodes), edges)
    count = max(layer.values(), default=0) + 1
    columns = -(-count // -(-count // COLUMNS))
    places: dict[str, tuple[int, int, int]] = {}
    stacks: dict[int, int] = defaultdict(int)
    for name in nodes:
        places[name] = (layer[name] // columns, layer[name] % columns, stacks[layer[name]])
        stacks[layer[name]] += 1
    tallest = [
        max(stacks[index] for index in range(row, min(row + columns, count))) for row in range(0, count, columns)
    ]
    routes = _routes(edges, places)
    above, below = _lanes(routes, "skip"), _lanes(routes, "below")
    tops, y = [], 0.0
    for row, tall in enumerate(tallest):
        y += MARGIN + LANE * above.count(row)
        tops.append(y)
        y += tall * (HEIGHT + STACK) - STACK + MARGIN + LANE * below.count(row)
    boxes = {}
    for name, node in nodes.items():
        row, column, slot = places[name]
        offset = (tallest[row] - stacks[layer[name]]) * (HEIGHT + STACK) / 2
        boxes[name] = _box(name, node, GAP + column * (WIDTH + GAP), tops[row] + offset + slot * (HEIGHT + STACK))
    bottoms = [top + tall * (HEIGHT + STACK) - STACK for top, tall in zip(tops, tallest, strict=True)]
    wires = _wires(routes, boxes, above, below, tops, bottoms)
    return Drawing(list(boxes.values()), wires, columns * (WIDTH + GAP) + GAP, y)


@dataclass(frozen=True)
class _Route:
    """An edge and how it goes: in which gap it leaves, in which it arrives (gap g is left of column g)."""

    source: str
    target: str
    kind: str
    row: int
    leaves: int
    arrives: int


class _LaneMap:
    """Lanes of each row: routes that overlap get different ones, short ones lie nearest to the boxes."""

    def __init__(self) -> None:
        self.of: dict[int, int] = {}
        self._taken: dict[int, list[list[tuple[int, int]]]] = defaultdict(list)

    def add(self, index: int, route: _Route) -> None:
        span = (min(route.leaves, route.arrives), max(route.leaves, route.arrives))
        lanes = self._taken[route.row]
        for number, lane in enumerate(lanes):
            if all(span[1] < other[0] or span[0] > other[1] for other in lane):
                lane.append(span)
                self.of[index] = number
                return
        lanes.append([span])
        self.of[index] = len(lanes) - 1

    def count(self, row: int) -> int:
        return len(self._taken[row])


def _layers(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Length of the longest way to each node; edges that close a loop are not followed."""
    after: dict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        after[source].append(target)
    entered = {target for source, target in edges if source != target}
    order: list[str] = []
    state: dict[str, int] = {}
    loops: set[tuple[str, str]] = set()
    for start in [*(name for name in names if name not in entered), *names]:
        stack = [(start, iter(after[start]))] if start not in state else []
        state.setdefault(start, 1)
        while stack:
            name, ahead = stack[-1]
            target = next((t for t in ahead if state.get(t) != 2 and (name, t) not in loops), None)
            if target is None:
                state[name] = 2
                order.append(name)
                stack.pop()
            elif state.get(target) == 1:
                loops.add((name, target))
            else:
                state[target] = 1
                stack.append((target, iter(after[target])))
    layer = dict.fromkeys(names, 0)
    for name in reversed(order):
        for target in after[name]:
            if (name, target) not in loops:
                layer[target] = max(layer[target], layer[name] + 1)
    return layer


def _routes(edges: Sequence[tuple[str, str]], places: Mapping[str, tuple[int, int, int]]) -> list[_Route]:
    routes = []
    drawn: set[tuple[str, str]] = set()
    for source, target in edges:
        (row, column, _), (to_row, to_column, _) = places[source], places[target]
        if row == to_row and to_column > column:
            kind = "next" if to_column == column + 1 and (source, target) not in drawn else "skip"
        else:
            wraps = to_row == row + 1 and to_column == 0 and column == max(c for r, c, _ in places.values() if r == row)
            kind = "wrap" if wraps else "skip below" if to_row > row else "back"
        drawn.add((source, target))
        routes.append(_Route(source, target, kind, row, column + 1, to_column))
    return routes


def _lanes(routes: Sequence[_Route], side: str) -> _LaneMap:
    """Lanes above the rows for ``skip``, below them for everything that leaves its row or runs backwards."""
    lanes = _LaneMap()
    kinds = ("skip",) if side == "skip" else ("wrap", "skip below", "back")
    for index, route in sorted(enumerate(routes), key=lambda item: (abs(item[1].arrives - item[1].leaves), item[0])):
        if route.kind in kinds:
            lanes.add(index, route)
    return lanes


def _wires(
    routes: Sequence[_Route],
    boxes: Mapping[str, Box],
    above: _LaneMap,
    below: _LaneMap,
    tops: Sequence[float],
    bottoms: Sequence[float],
) -> list[Wire]:
    runs: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for index, route in enumerate(routes):
        if route.kind != "next":
            runs[route.leaves].append((index, "leaves"))
            runs[route.arrives].append((index, "arrives"))

    def at(gap: int, index: int, end: str) -> float:
        return gap * (WIDTH + GAP) + GAP * (runs[gap].index((index, end)) + 1) / (len(runs[gap]) + 1)

    wires = []
    for index, route in enumerate(routes):
        source, target = boxes[route.source], boxes[route.target]
        start = (source.x + source.width, source.y + source.height / 2)
        end = (target.x, target.y + target.height / 2)
        if route.kind == "next":
            middle = (start[0] + end[0]) / 2
            path = f"M{start[0]:g} {start[1]:g}C{middle:g} {start[1]:g} {middle:g} {end[1]:g} {end[0]:g} {end[1]:g}"
        else:
            out, back = at(route.leaves, index, "leaves"), at(route.arrives, index, "arrives")
            if route.kind == "skip":
                lane = tops[route.row] - LANE * (above.of[index] + 1)
            else:
                lane = bottoms[route.row] + LANE * (below.of[index] + 1)
            path = _rounded([start, (out, start[1]), (out, lane), (back, lane), (back, end[1]), end])
        wires.append(Wire(route.source, route.target, route.kind.partition(" ")[0], path))
    return wires


def _rounded(points: Sequence[tuple[float, float]], radius: float = 9) -> str:
    """A line through ``points``, at right angles, with round corners."""
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (ax, ay), (bx, by), (cx, cy) in zip(points, points[1:], points[2:], strict=False):
        before, behind = abs(ax - bx) + abs(ay - by), abs(cx - bx) + abs(cy - by)
        r = min(radius, before / 2, behind / 2)
        if r == 0:
            continue
        x1, y1 = bx + (ax - bx) / before * r, by + (ay - by) / before * r
        x2, y2 = bx + (cx - bx) / behind * r, by + (cy - by) / behind * r
        path += f"L{x1:.1f} {y1:.1f}Q{bx:.1f} {by:.1f} {x2:.1f} {y2:.1f}"
    return path + f"L{points[-1][0]:.1f} {points[-1][1]:.1f}"


def _box(name: str, node: Mapping[str, Any], x: float, y: float) -> Box:
    shape = "\u200a×\u200a".join(str(size) for size in node.get("shape") or [])
    role = str(node.get("role", "block"))
    return Box(name, str(node.get("label", name)), str(node.get("detail") or ""), shape, role, x, y)
