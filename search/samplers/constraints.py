"""How outcomes stand towards constraints: by how much they miss them (Deb et al., IEEE TEC 2002)."""

from collections.abc import Sequence

import numpy as np

from results.ledger import Outcome
from search.loop.goal import Goal
from spaces.candidate import Score


def violations(history: Sequence[Outcome], goal: Goal) -> np.ndarray:
    """By how much each outcome misses the constraints, summed, each in units of its largest miss, float64 [n].

    0 for one that keeps all. Infinite for what gives no hint where to go: a failure, an objective that is missing, and
    what is infeasible for a reason of its own, such as silence.
    """
    if not history:
        return np.zeros(0)
    values = goal.values([outcome.score for outcome in history])
    missing = ~np.isfinite(values).all(axis=1)
    missing |= np.array([outcome.score.state == "failed" for outcome in history])
    total = np.zeros(len(history))
    for constraint in goal.constraints:
        missed = np.array([constraint.violation(outcome.score) for outcome in history])
        known = missed[np.isfinite(missed) & (missed > 0)]
        total += missed / known.max() if known.size else missed
    infeasible = np.array([outcome.score.state == "infeasible" for outcome in history])
    total[missing | (infeasible & (total == 0))] = np.inf
    return total


def usable(history: Sequence[Outcome], goal: Goal) -> list[Outcome]:
    """The outcomes that show what their candidates are worth, be it that they break constraints; see violations."""
    return [outcome for outcome, missed in zip(history, violations(history, goal), strict=True) if np.isfinite(missed)]


def misses(score: Score, goal: Goal) -> dict[str, float]:
    """A score's violation of each constraint by its text, as Optuna takes it; empty if there are none.

    What is not ``ok`` for a reason of its own, such as silence, misses ``a result`` by 1.
    """
    found = {str(constraint): constraint.violation(score) for constraint in goal.constraints}
    if score.state != "ok" and not any(found.values()):
        found["a result"] = 1.0
    return found
