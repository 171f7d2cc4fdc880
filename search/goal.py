"""Goal: what a search is after: objectives with their senses, and constraints on the columns of a score."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from spaces.candidate import METRICS, Score
from spaces.errors import OptionError, unknown

SENSES = {name: 1 if name == "accuracy" else -1 for name in METRICS}


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
        value = getattr(score, self.metric)
        if value is None:
            return math.inf
        return max(0.0, value - self.bound if self.most else self.bound - value)


@dataclass(frozen=True, kw_only=True)
class Goal:
    """Objectives (columns; accuracy is maximised, all else minimised), constraints, and evolution's spike weight."""

    objectives: tuple[str, ...]
    constraints: tuple[Constraint, ...] = ()
    spike_weight: float = -0.08

    @property
    def senses(self) -> tuple[int, ...]:
        """+1 for each objective to maximise, -1 to minimise."""
        return tuple(SENSES[name] for name in self.objectives)

    @property
    def spelled(self) -> list[str]:
        """Objectives with their senses, as ``accuracy:max``."""
        return [
            f"{name}:{'max' if sense > 0 else 'min'}" for name, sense in zip(self.objectives, self.senses, strict=True)
        ]

    def values(self, scores: Sequence[Score]) -> np.ndarray:
        """Objectives as float64 [n, objectives]; NaN where a score lacks one."""
        rows = [[math.nan if (v := getattr(s, name)) is None else v for name in self.objectives] for s in scores]
        return np.array(rows, dtype=float).reshape(len(scores), len(self.objectives))

    def judge(self, score: Score) -> Score:
        """The score, made infeasible with its reason where it breaks a constraint."""
        broken = [c for c in self.constraints if c.violation(score) > 0]
        if score.state != "ok" or not broken:
            return score
        reason = "; ".join(f"{c.metric} {getattr(score, c.metric):.15g} breaks {c}" for c in broken)
        return replace(score, state="infeasible", error=reason)


def check_objectives(names: Sequence[str]) -> tuple[str, ...]:
    """The names of objectives; raises OptionError for an unknown, repeated or missing one."""
    for name in names:
        if name not in SENSES:
            raise OptionError(f"--objectives: {unknown('objective', name, SENSES)}")
    if len(set(names)) < len(names) or not names:
        raise OptionError(f"--objectives {','.join(names)!r}: name each once, e.g. accuracy,spikes,energy_nj")
    return tuple(names)


def parse_constraint(text: str) -> Constraint:
    """``energy_nj<=500`` or ``accuracy>=0.9``; raises OptionError for anything else."""
    for sign, most in (("<=", True), (">=", False)):
        metric, found, bound = text.partition(sign)
        if not found:
            continue
        option = "--max" if most else "--min"
        if metric not in SENSES:
            raise OptionError(f"{option}: {unknown('column', metric, SENSES)}")
        try:
            number = float(bound)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise OptionError(f"{option} {metric}={bound}: the bound must be a finite number, e.g. {metric}=100")
        return Constraint(metric=metric, most=most, bound=number)
    raise OptionError(
        f"constraint {text!r}: write --max COLUMN=NUMBER or --min COLUMN=NUMBER, e.g. --max energy_nj=500"
    )


def parse_constraints(texts: Sequence[str]) -> tuple[Constraint, ...]:
    """Several; raises OptionError where two leave nothing between them."""
    constraints = tuple(parse_constraint(text) for text in texts)
    for upper in constraints:
        for lower in constraints:
            if upper.metric == lower.metric and upper.most and not lower.most and lower.bound > upper.bound:
                raise OptionError(
                    f"constraints {lower} and {upper} contradict each other: no value keeps both; drop one"
                )
    return constraints
