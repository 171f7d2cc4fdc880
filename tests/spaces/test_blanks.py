"""Blanks at any depth: nested choices, numbers told at run time, depths and widths."""

import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from torch import nn

from spaces.blanks import Choice, Free, blanks_in, declare, fill, largest
from spaces.candidate import Candidate
from spaces.draft import Draft
from spaces.errors import SpaceError
from spaces.layers import Conv, Linear, Norm
from spaces.network import Network
from spaces.neurons.neuron import Neuron

BLANKS = {
    "outer": CategoricalDistribution(["plain", "nested"]),
    "inner": CategoricalDistribution([1, 3]),
    "width": IntDistribution(2, 6, step=2),
    "depth": IntDistribution(1, 3),
    "threshold": FloatDistribution(0.5, 1.5),
}
FULL = {"outer": "nested", "inner": 3, "width": 4, "depth": 2, "threshold": 0.7}


class Plus(nn.Module):
    def forward(self, x):
        return x + 1


def draft(candidate=None):
    filling = None if candidate is None else Candidate(candidate)
    return Draft(space="test", distributions=BLANKS, candidate=filling, entangled=True)


def built(d):
    width = d.number("width")

    def nested():
        return d.choice("inner", {k: lambda k=k: Conv(3, width, k) for k in (1, 3)})

    outer = d.choice("outer", {"plain": lambda: Conv(3, width, 5), "nested": nested})
    ends = nn.Sequential(Norm(width), Neuron("lif", threshold=d.number("threshold"), compiled=False))
    return Network({"outer": outer, "ends": ends, "deep": d.depth("depth", [Plus] * 5)})


def test_the_supernet_holds_all_and_a_candidates_network_its_own():
    supernet, alone = built(draft()), built(draft(FULL))
    assert blanks_in(supernet) == ("outer", "width", "inner", "threshold", "depth")
    assert set(blanks_in(alone)) == set(FULL)
    assert set(alone.state_dict()) < set(supernet.state_dict())
    assert len(supernet.deep.blocks) == 3  # no more than the blank can ask for
    assert len(alone.deep.blocks) == 2
    assert alone.outer.options["nested"].options["3"].weight.shape == (4, 3, 3, 3)
    assert supernet.outer.options["nested"].options["3"].weight.shape == (6, 3, 3, 3)


def test_filling_reaches_every_depth():
    supernet = built(draft())
    x = torch.zeros(2, 3, 4, 4)
    for depth, width in ((1, 2), (3, 6)):
        fill(supernet, {**FULL, "depth": depth, "width": width})
        assert supernet.deep(torch.zeros(1)).item() == depth
        assert supernet.outer(x).shape == (2, width, 4, 4)
    assert supernet.ends[1].threshold.item() == pytest.approx(0.7)
    fill(supernet, {**FULL, "outer": "plain", "threshold": 1.25})
    assert supernet.outer.chosen == "plain"
    assert supernet.ends[1].threshold.item() == 1.25


def test_numbers_scale_and_say_their_largest():
    free = Free("width", 6) * 2
    assert (largest(free), free.of({"width": 3}), largest(2.5)) == (12, 6, 2.5)


def test_a_blank_is_declared_once():
    assert list(declare({"a": 1}, {"b": 2})) == ["a", "b"]
    with pytest.raises(SpaceError, match="choice 'a' is declared twice"):
        declare({"a": 1}, {"a": 2})


def test_shapes_that_do_not_fit_name_the_blank():
    choice = Choice("op", {"linear": Linear(3, 2), "other": nn.Identity()})
    fill(choice, {"op": "linear"})
    with pytest.raises(SpaceError, match="choice 'op' = linear: a layer made for 3 inputs gets 5"):
        choice(torch.zeros(1, 5))
