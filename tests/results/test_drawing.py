import itertools
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from results.report.drawing import COLUMNS, GAP, WIDTH, draw

PAGE = COLUMNS * (WIDTH + GAP) + GAP


def architecture(count, edges):
    nodes = [
        {"id": f"n{n}", "label": f"node {n}", "detail": "", "role": "block", "shape": [n, 8, 8]} for n in range(count)
    ]
    return {"nodes": nodes, "edges": [[f"n{a}", f"n{b}"] for a, b in edges]}


@st.composite
def graphs(draw_):
    count = draw_(st.integers(1, 24))
    node = st.integers(0, count - 1)
    chain = [(n, n + 1) for n in range(count - 1)] if draw_(st.booleans()) else []
    return count, chain + draw_(st.lists(st.tuples(node, node), max_size=20))


def overlap(a, b):
    return a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height


def corners(path):
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path)]


@given(graphs())
@settings(max_examples=120, deadline=None)
def test_every_node_and_edge_is_drawn_and_nothing_overlaps(graph):
    count, edges = graph
    drawing = draw(architecture(count, edges))
    assert [box.id for box in drawing.boxes] == [f"n{n}" for n in range(count)]
    assert [(wire.source, wire.target) for wire in drawing.wires] == [(f"n{a}", f"n{b}") for a, b in edges]
    assert drawing.width <= PAGE
    for index, box in enumerate(drawing.boxes):
        assert box.x >= 0
        assert box.x + box.width <= drawing.width
        assert box.y >= 0
        assert box.y + box.height <= drawing.height
        assert not any(overlap(box, other) for other in drawing.boxes[:index])


@given(graphs())
@settings(max_examples=120, deadline=None)
def test_edges_join_their_boxes_stay_on_the_canvas_and_cross_no_box(graph):
    drawing = draw(architecture(*graph))
    boxes = {box.id: box for box in drawing.boxes}
    for wire in drawing.wires:
        points = corners(wire.path)
        source, target = boxes[wire.source], boxes[wire.target]
        assert abs(points[0][0] - source.x - source.width) < 0.1
        assert abs(points[0][1] - source.y - source.height / 2) < 0.1
        assert abs(points[-1][0] - target.x) < 0.1
        assert abs(points[-1][1] - target.y - target.height / 2) < 0.1
        for (ax, ay), (bx, by) in itertools.pairwise(points):
            assert 0 <= min(ax, bx) <= max(ax, bx) <= drawing.width
            assert 0 <= min(ay, by) <= max(ay, by) <= drawing.height
            for box in drawing.boxes:
                beside = max(ax, bx) <= box.x + 0.1 or min(ax, bx) >= box.x + box.width - 0.1
                clear = max(ay, by) <= box.y + 0.1 or min(ay, by) >= box.y + box.height - 0.1
                assert beside or clear


def test_a_chain_is_wrapped_into_even_rows_and_skips_are_told_apart():
    drawing = draw(architecture(12, [*((n, n + 1) for n in range(11)), (0, 2), (2, 8), (9, 7), (3, 3)]))
    rows = sorted({box.y for box in drawing.boxes})
    assert [sum(box.y == y for box in drawing.boxes) for y in rows] == [6, 6]
    kinds = [wire.kind for wire in drawing.wires]
    assert kinds == [*["next"] * 5, "wrap", *["next"] * 5, "skip", "skip", "back", "back"]


def test_parallel_edges_are_both_seen_and_unknown_nodes_left_out():
    drawing = draw(architecture(2, [(0, 1), (0, 1), (0, 7)]))
    assert [wire.kind for wire in drawing.wires] == ["next", "skip"]
    assert drawing.wires[0].path != drawing.wires[1].path


def test_branches_are_stacked_in_one_column():
    drawing = draw(architecture(5, [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)]))
    middle = drawing.boxes[1:4]
    assert len({box.x for box in middle}) == 1
    assert len({box.y for box in middle}) == 3
