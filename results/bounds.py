"""Bounds on the figures of scores: those that a user gives, and the floor under which no network is of interest."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spaces.candidate import QUALITIES, Score


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """A bound on a column: ``bound`` is the most (``most``) or the least that is feasible."""

    metric: str
    most: bool
    bound: float

    def __str__(self) -> str:
        return f"{self.metric}{'<=' if self.most else '>='}{self.bound:.15g}"

    def violation(self, score: Score) -> float:
        """By how much a score misses the bound; 0 if it keeps it, infinite if the score lacks the column."""
        value = score.figure(self.metric)
        return math.inf if value is None else self.missed_by(value)

    def missed_by(self, value: float) -> float:
        """By how much a figure misses the bound; 0 if it keeps it."""
        return max(0.0, value - self.bound if self.most else self.bound - value)

    def breach(self, score: Score) -> str:
        """What is to be said of a score that misses the bound."""
        value = score.figure(self.metric)
        shown = "is not known and" if value is None else f"{value:.15g}"
        return f"{self.metric} {shown} breaks {self}"

    def nearest(self, figures: Iterable[float | None]) -> float | None:
        """The figure that comes closest to keeping the bound, or keeps it best; None where none is known."""
        known = [figure for figure in figures if figure is not None and math.isfinite(figure)]
        return (min if self.most else max)(known, default=None)

    @property
    def option(self) -> str:
        """How the command line spells it."""
        return f"--{'max' if self.most else 'min'} {self.metric}={self.bound:.15g}"


def split_bound(text: str) -> tuple[str, bool, str] | None:
    """Column, whether it is bounded above, and the number, of ``energy_nj<=500`` or ``accuracy>=0.9``; else None."""
    for sign, most in (("<=", True), (">=", False)):
        metric, found, bound = text.rpartition(sign)
        if found:
            return metric, most, bound
    return None


def bounds_of(match: Mapping[str, Any]) -> list[Constraint]:
    """The bounds that a run's configuration holds; what is no bound is passed over."""
    found = []
    for text in match.get("constraints") or []:
        try:
            metric, most, bound = split_bound(str(text))
            found.append(Constraint(metric=metric, most=most, bound=float(bound)))
        except (TypeError, ValueError):
            continue
    return found


def quality_of(spelled: Iterable[str]) -> str | None:
    """The first of QUALITIES that objectives, as ``accuracy:max``, maximise; None where they maximise none."""
    names = set(spelled)
    return next((name for name in QUALITIES if f"{name}:max" in names), None)


def floor_of(
    scores: Iterable[Score],
    quality: str | None,
    bounds: Sequence[Constraint],
    *,
    chance: Mapping[str, float],
    share: float,
) -> Constraint | None:
    """The least of interest in ``quality``: ``share`` of the way from chance to the best of ``scores``.

    None where that is not above chance, no quality is searched for, or it has a least as it is.
    """
    bounded = any(bound.metric == quality and not bound.most for bound in bounds)
    if not share or bounded or quality is None:
        return None
    least = chance.get(quality, 0.0)
    figures = [score.figure(quality) for score in scores if score.state == "ok"]
    best = max((figure for figure in figures if figure is not None), default=0.0)
    return Constraint(metric=quality, most=False, bound=least + share * (best - least)) if best > least else None
