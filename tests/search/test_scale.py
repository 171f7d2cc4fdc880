"""Numeric blanks on their own scale."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search.samplers.scale import from_unit, is_numeric, shift, to_unit
from spaces.space import Space

KINDS = {
    "float": FloatDistribution(-2.0, 6.0),
    "log": FloatDistribution(1e-3, 10.0, log=True),
    "stepped": FloatDistribution(0.1, 0.9, step=0.1),
    "int": IntDistribution(3, 11),
    "odd": IntDistribution(1, 9, step=2),
    "log int": IntDistribution(1, 1000, log=True),
    "one value": IntDistribution(4, 4),
    "one point": FloatDistribution(2.0, 2.0),
}


def space_of(distribution):
    return Space(name="test", about="", blanks={"x": distribution}, timesteps=1, build=None)


@pytest.mark.parametrize("name", KINDS)
@given(unit=st.floats(-1, 2), by=st.floats(-2, 2))
def test_values_stay_in_the_blank_and_come_back(name, unit, by):
    kind = KINDS[name]
    value = from_unit(kind, unit)
    moved = shift(kind, value, by)
    for one in (value, moved):
        space_of(kind).check({"x": one})
        assert 0 <= to_unit(kind, one) <= 1
        assert from_unit(kind, to_unit(kind, one)) == pytest.approx(one, rel=1e-12)
    assert (moved - value) * by >= 0
    if kind.step is not None:
        options = space_of(kind).options("x")
        assert {value, moved} <= set(options)  # spelt as the space spells them, to the last digit
        ahead = [o for o in options if (o > value if by > 0 else o < value)]
        assert (moved != value) == bool(ahead and by)


def test_positions_by_hand():
    assert to_unit(KINDS["float"], 0.0) == 0.25
    assert to_unit(KINDS["log"], 0.1) == pytest.approx(0.5)
    assert from_unit(KINDS["log"], 0.75) == pytest.approx(1.0)
    assert from_unit(KINDS["odd"], 0.49) == 5
    assert shift(KINDS["int"], 5, 1e-9) == 6
    assert shift(KINDS["int"], 11, 0.5) == 11
    assert shift(KINDS["log"], 1.0, 0.25) == pytest.approx(10.0)
    assert math.isclose(shift(KINDS["log"], 1.0, -0.5), 1e-2)
    assert not is_numeric(CategoricalDistribution(("a", "b")))
