"""Candidates on a ladder (``evaluators.ladder``) that were paid for in part: what that tells of them at the end."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluators.ladder import Ladder
from results.ledger import Outcome
from search.loop.rungs import is_partial, rungs_passed
from search.samplers.modelled import Scale
from search.samplers.surrogate import Process
from spaces.candidate import Candidate

SLOPE = 0.02  # the least: more there is never worse at the end
DEVIATIONS = 3.0  # median absolute ones, below which a candidate says nothing of those that matter


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What a reading on a rung tells of the figure at the end: ``offset + slope * reading``, of a variance.

    It is the least-squares line through the candidates that went to the end, without those that are far below others.
    """

    slope: float
    offset: float
    variance: float

    def __call__(self, readings: np.ndarray) -> np.ndarray:
        """The figures that readings stand for, [n]."""
        return self.offset + self.slope * readings


def calibrate(readings: np.ndarray, figures: np.ndarray, sense: int) -> Calibration:
    """The calibration by readings and figures [n] of candidates that went to the end, ``sense`` as in a goal."""
    middle = np.median(figures)
    good = sense * (figures - middle) >= -DEVIATIONS * np.median(np.abs(figures - middle))
    x, y = readings[good], figures[good]
    spread = ((x - x.mean()) ** 2).sum()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / spread if spread > 0 else SLOPE
    slope = max(slope, SLOPE)
    offset = y.mean() - slope * x.mean()
    left = y - offset - slope * x
    return Calibration(slope=slope, offset=offset, variance=float((left**2).sum() / max(1, len(y) - 2)) + 1e-12)


def as_at_the_end(
    learnt: Sequence[Outcome], history: Sequence[Outcome], ladder: Ladder, scale: Scale
) -> tuple[np.ndarray, np.ndarray]:
    """A figure of each outcome as it is modelled, partial ones calibrated, and the variance that this leaves; both [n].

    Args:
        learnt: the outcomes, the last of their candidates.
        history: all outcomes, for what candidates read on their rungs.
        ladder: the rungs.
        scale: the figure, and how it is modelled.
    """
    values = np.array([outcome.score.figure(scale.name) for outcome in learnt], dtype=float)
    partial = np.array([is_partial(outcome) for outcome in learnt], dtype=bool)
    ends, extra = np.empty(len(learnt)), np.zeros(len(learnt))
    ends[~partial] = scale.modelled(values[~partial])
    if not partial.any():
        return ends, extra
    passed, worst = rungs_passed(history), (scale.sense * ends[~partial]).min()
    for number, rung in enumerate(ladder, start=1):
        here = partial & np.array([passed[outcome.candidate] == number for outcome in learnt])
        if scale.name not in rung.readings:
            ends[here] = np.log(values[here]) if scale.logarithm else values[here]
            continue
        shown = _readings(history, scale.name, number)
        both = [i for i in np.flatnonzero(~partial) if learnt[i].candidate in shown]
        told = calibrate(np.array([shown[learnt[i].candidate] for i in both]), ends[both], scale.sense)
        ends[here] = scale.sense * np.maximum(scale.sense * told(values[here]), worst)
        extra[here] = told.variance
    return ends, extra


def _readings(history: Sequence[Outcome], name: str, number: int) -> dict[Candidate, float]:
    """What each candidate showed on the rung of a number, from 1."""
    passed: Counter[Candidate] = Counter()
    shown = {}
    for outcome in history:
        if is_partial(outcome):
            passed[outcome.candidate] += 1
            if passed[outcome.candidate] == number:
                shown[outcome.candidate] = outcome.score.figure(name)
    return shown


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """What a figure of begun candidates will come to: mean and deviation [begun], noise included."""

    mean: np.ndarray
    deviation: np.ndarray


def joined(process: Process, ends: np.ndarray, extra: np.ndarray, begun: Sequence[int]) -> Ahead:
    """What a process says of begun candidates without their own readings, joined with these by their precisions.

    Args:
        process: fitted to ``ends``.
        ends, extra: see ``as_at_the_end``; without variance the figure is known.
        begun: places of the begun candidates among these.
    """
    places = list(begun)
    own, variance = ends[places], extra[places]
    if not len(places) or not variance.any():
        return Ahead(mean=own, deviation=np.full(len(places), 1e-6 * process.scale))
    mean, spread = process.without(places)
    spread = np.maximum(spread - variance, 1e-9 * process.scale**2)
    return Ahead(
        mean=(mean * variance + own * spread) / (variance + spread),
        deviation=np.sqrt(variance * spread / (variance + spread)),
    )
