"""Pareto front on plain arrays: what is on it, what behind it, a spread of picks, and the volume it dominates.

Everywhere ``values`` is ``[n, m]`` (n points, m objectives), ``senses`` is m times +1 (maximise) or -1 (minimise), and
``log`` is m booleans: true for a count-like objective (spikes, energy), whose distances are measured on a log scale.
A row with a NaN or an infinity has no place on a front.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

BLOCK = 256
DIGITS = 12  # distances equal to so many digits are ties, whatever the rounding of the machine


def pareto_mask(values: ArrayLike, senses: Sequence[int]) -> NDArray[np.bool_]:
    """True for each point that no other point dominates, ``[n]``; of equal points all are kept or none."""
    gains = _gains(values, senses)
    mask = np.zeros(len(gains), dtype=bool)
    finite = np.flatnonzero(np.isfinite(gains).all(axis=1))
    if finite.size == 0:
        return mask
    points, inverse = np.unique(-gains[finite], axis=0, return_inverse=True)
    mask[finite] = _minimal(points)[inverse.reshape(-1)]
    return mask


def knee(values: ArrayLike, senses: Sequence[int], *, log: Sequence[bool] | None = None) -> int:
    """Index of the front's point closest to the ideal corner, each objective scaled by the front's range.

    Of equally close points the one better in the first objective, then the second, ..., then the first in order.

    Raises:
        ValueError: no row is finite, so there is no front.
    """
    front = np.flatnonzero(pareto_mask(values, senses))
    if front.size == 0:
        raise ValueError("no row of values is finite in all objectives: there is no front to take a knee of")
    return int(front[_order_to_corner(_gains(values, senses)[front], _unit(values, senses, front, log))[0]])


def spread(values: ArrayLike, senses: Sequence[int], k: int, *, log: Sequence[bool] | None = None) -> list[int]:
    """Indices of ``k`` distinct points spread over the front, or all of it if it has no more than ``k``.

    In this order: the best in the first objective, the knee, the best in each other objective, then again and again
    the point farthest from those picked. Ties fall to the point closer to the ideal corner, then to the first in order.
    """
    return [index for index, _ in named_spread(values, senses, k, log=log)]


def named_spread(
    values: ArrayLike,
    senses: Sequence[int],
    k: int,
    *,
    log: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
) -> list[tuple[int, str]]:
    """As :func:`spread`, each index with why it was picked: ``best NAME``, ``knee``, or ``spread``."""
    gains = _gains(values, senses)
    names = names or [f"objective {column}" for column in range(gains.shape[1])]
    front = np.flatnonzero(pareto_mask(values, senses))
    if front.size == 0 or k < 1:
        return []
    unit = _unit(values, senses, front, log)
    order = _order_to_corner(gains[front], unit)
    unit, ordered = unit[order], gains[front][order]
    best = [(int(np.argmax(ordered[:, column])), f"best {name}") for column, name in enumerate(names)]
    picks: dict[int, str] = {}
    for index, why in [best[0], (0, "knee"), *best[1:]]:
        picks.setdefault(index, why)
    while len(picks) < min(k, len(front)):
        gaps = np.linalg.norm(unit[:, None] - unit[list(picks)], axis=2).min(axis=1).round(DIGITS)
        gaps[list(picks)] = -1.0
        picks[int(np.argmax(gaps))] = "spread"
    return [(int(front[order[index]]), why) for index, why in list(picks.items())[:k]]


def ranks(values: ArrayLike, senses: Sequence[int], enough: int | None = None) -> NDArray[np.int64]:
    """Non-dominated rank of each point, ``[n]``: 0 on the front, 1 on the front of the rest, ...; -1 for no place.

    With ``enough``, ranks are given out until so many points have one; the rest are -1, too.
    """
    array = np.asarray(values, dtype=float)
    result = np.full(len(array), -1)
    left = np.flatnonzero(np.isfinite(array).all(axis=1)) if array.size else np.zeros(0, dtype=int)
    total, rank = len(left), 0
    while left.size and total - len(left) < (total if enough is None else enough):
        mask = pareto_mask(array[left], senses)
        result[left[mask]] = rank
        left, rank = left[~mask], rank + 1
    return result


def crowding(values: ArrayLike, senses: Sequence[int], *, log: Sequence[bool] | None = None) -> NDArray[np.float64]:
    """Crowding distance of each point of one front, ``[n]`` (Deb et al., IEEE TEC 2002): how far its neighbours are.

    The sum over objectives of the gap between the two neighbours, as a share of the range; infinite at either end of
    an objective that has a range.
    """
    result = np.zeros(len(values))
    if not len(result):
        return result
    unit = _unit(values, senses, np.arange(len(result)), log)
    for column in unit.T[np.ptp(unit, axis=0) > 0]:
        order = np.argsort(column, kind="stable")
        gaps = np.full(len(order), np.inf)
        gaps[1:-1] = column[order[2:]] - column[order[:-2]]
        result[order] += gaps
    return result


def hypervolume(values: ArrayLike, senses: Sequence[int], reference: Sequence[float]) -> float:
    """Exact volume between the front and ``reference`` ``[m]``; a point not better than it throughout adds nothing."""
    gains = _gains(values, senses) - np.asarray(reference, dtype=float) * np.asarray(senses)
    gains = gains[np.isfinite(gains).all(axis=1)]
    return _volume(gains[(gains > 0).all(axis=1)])


def _gains(values: ArrayLike, senses: Sequence[int]) -> NDArray[np.float64]:
    """Values with the sign that makes larger better, ``[n, m]``."""
    if any(sense not in (1, -1) for sense in senses):
        raise ValueError(f"senses {list(senses)!r} must be +1 (maximise) or -1 (minimise)")
    array = np.asarray(values, dtype=float)
    if array.size == 0:
        array = array.reshape(0, len(senses))
    if array.ndim != 2 or array.shape[1] != len(senses):
        raise ValueError(f"values of shape {list(array.shape)} must be [n, {len(senses)}]: one column a sense")
    return array * np.asarray(senses, dtype=float)


def _minimal(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows of distinct, lexicographically sorted ``points`` no other row is <= in all columns, ``[n]``.

    A row can only be dominated by an earlier one, and then by an earlier one that is itself minimal.
    """
    keep = np.ones(len(points), dtype=bool)
    for start in range(0, len(points), BLOCK):
        block = points[start : start + BLOCK]
        stop = start + len(block)
        earlier = points[:start][keep[:start]]
        fresh = ~_dominated(block, earlier)
        fresh[fresh] = ~_dominated(block[fresh], block[fresh], itself=True)
        keep[start:stop] = fresh
    return keep


def _dominated(points: NDArray[np.float64], by: NDArray[np.float64], *, itself: bool = False) -> NDArray[np.bool_]:
    """Which ``points`` ``[n, m]`` have a row of ``by`` ``[f, m]`` that is <= in all columns, ``[n]``."""
    below = np.ones((len(points), len(by)), dtype=bool)
    for column in range(points.shape[1]):
        below &= by[:, column] <= points[:, column, None]
    if itself:
        np.fill_diagonal(below, False)
    return below.any(axis=1)


def _unit(
    values: ArrayLike, senses: Sequence[int], front: NDArray[np.intp], log: Sequence[bool] | None
) -> NDArray[np.float64]:
    """The front's points scaled to [0, 1], 1 the best, ``[f, m]``; an objective without range is 1 everywhere."""
    points = np.asarray(values, dtype=float)[front]
    for column, logarithmic in enumerate(log or []):
        if logarithmic:
            positive = points[:, column][points[:, column] > 0]
            floor = positive.min() / 2 if positive.size else 1.0
            points[:, column] = np.log(np.maximum(points[:, column], floor))
    gains = points * np.asarray(senses, dtype=float)
    low, high = gains.min(axis=0), gains.max(axis=0)
    wide = high > low
    return np.where(wide, (gains - low) / np.where(wide, high - low, 1.0), 1.0)


def _order_to_corner(gains: NDArray[np.float64], unit: NDArray[np.float64]) -> NDArray[np.intp]:
    """Rows by distance to the ideal corner, then by the objectives, then by position, ``[f]``."""
    distance = np.linalg.norm(1.0 - unit, axis=1).round(DIGITS)
    return np.lexsort([*(-gains[:, column] for column in reversed(range(gains.shape[1]))), distance])


def _volume(points: NDArray[np.float64]) -> float:
    """Volume of the union of the boxes from the origin to each of ``points`` ``[n, m]``, all > 0, by slicing."""
    if len(points) == 0:
        return 0.0
    if points.shape[1] == 1:
        return float(points.max())
    points = points[pareto_mask(points, [1] * points.shape[1])]
    points = points[np.argsort(-points[:, -1], kind="stable")]
    tops = points[:, -1]
    depths = tops - np.append(tops[1:], 0.0)
    if points.shape[1] == 2:
        return float(depths @ np.maximum.accumulate(points[:, 0]))
    slices = np.flatnonzero(depths > 0)
    return float(sum(depths[i] * _volume(points[: i + 1, :-1]) for i in slices))
