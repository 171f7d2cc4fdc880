"""Numeric blanks on their own scale: 0 is the least value, 1 the most, in logarithms where the blank says so."""

import math

from optuna.distributions import BaseDistribution, CategoricalDistribution

from spaces.candidate import Value


def is_numeric(distribution: BaseDistribution) -> bool:
    """Whether near values of a blank are alike: an integer or a float one."""
    return not isinstance(distribution, CategoricalDistribution)


def to_unit(distribution: BaseDistribution, value: Value) -> float:
    """Where a value of a numeric blank stands between its bounds, 0..1; 0 where the bounds are equal."""
    low, high, at = (math.log(v) if distribution.log else v for v in (distribution.low, distribution.high, value))
    return (at - low) / (high - low) if high > low else 0.0


def from_unit(distribution: BaseDistribution, unit: float) -> Value:
    """The value of a numeric blank nearest to a position; positions outside 0..1 are the bounds."""
    low, high = distribution.low, distribution.high
    unit = min(max(unit, 0.0), 1.0)
    if distribution.log:
        value = math.exp(math.log(low) + unit * (math.log(high) - math.log(low)))
    else:
        value = low + unit * (high - low)
    if distribution.step is not None:
        return _at(distribution, round((value - low) / distribution.step))
    return min(max(value, low), high)


def shift(distribution: BaseDistribution, value: Value, by: float) -> Value:
    """A value of a numeric blank moved by a share of its scale, and by one value at least; it stops at the bounds."""
    moved = from_unit(distribution, to_unit(distribution, value) + by)
    if moved == value and distribution.step is not None and by:
        place = round((value - distribution.low) / distribution.step)
        return _at(distribution, place + (1 if by > 0 else -1))
    return moved


def _at(distribution: BaseDistribution, place: int) -> Value:
    """The value at a place of a blank with steps, counted from its least; spelt as ``Space.all`` spells it."""
    last = round((distribution.high - distribution.low) / distribution.step)
    return distribution.low + min(max(place, 0), last) * distribution.step
