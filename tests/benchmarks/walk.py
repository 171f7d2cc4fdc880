"""What the benchmarks of samplers share: one search in memory, and evaluations until a hypervolume is reached."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from evaluators.ladder import cost
from results.front import hypervolume
from results.ledger import Outcome
from search.loop.goal import Goal
from search.loop.loop import Budget, in_process, search
from search.loop.rungs import rungs_passed
from search.samplers import SAMPLERS
from spaces import lookup
from spaces.candidate import COUNT_LIKE, Candidate, Score
from spaces.space import Space


@dataclass(frozen=True)
class Memory:
    """A ledger that nothing is written of."""

    outcomes: list[Outcome] = field(default_factory=list)

    def append(self, outcome: Outcome) -> None:
        """Holds one more."""
        self.outcomes.append(outcome)


def walk(
    space: Space,
    score: Callable[..., Score],
    goal: Goal,
    sampler: str,
    *,
    seed: int,
    candidates: int,
    batch: int,
) -> tuple[list[Outcome], float]:
    """The outcomes of a search, and the seconds that the sampler took; ``score`` is told of rungs passed."""
    sample, spent, memory = lookup(SAMPLERS, "sampler", sampler), 0.0, Memory()

    def timed(*args: object) -> list[Candidate]:
        nonlocal spent
        start = time.perf_counter()
        asked = sample(*args)
        spent += time.perf_counter() - start
        return asked

    runner = in_process(lambda candidate, passed: score(candidate, *([passed[candidate]] * bool(passed))), rungs_passed)
    search(space, memory, timed, runner, goal=goal, budget=Budget(candidates=candidates, batch=batch), seed=seed)
    return memory.outcomes, spent


def volumes(goal: Goal, history: Sequence[Outcome], reference: Sequence[float], *, log: bool = False) -> list[float]:
    """Hypervolume after each outcome; with ``log``, of the logarithms of counts, and of the reference's."""
    found, values = [], np.zeros((0, len(goal.objectives)))
    for outcome in history:
        if outcome.score.state == "ok":
            values = np.concatenate([values, as_measured(goal, goal.values([outcome.score]), log=log)])
        found.append(hypervolume(values, goal.senses, as_measured(goal, np.array([reference]), log=log)[0]))
    return found


def paid(history: Sequence[Outcome], curve: Sequence[float]) -> list[float]:
    """A curve over outcomes as one over full evaluations paid for: what there was after 1, 2, 3, ..., nothing is 0."""
    costs = np.cumsum([cost(outcome.score) for outcome in history])
    places = [int((costs <= n + 1e-9).sum()) for n in range(1, round(costs[-1]) + 1)]
    return [curve[place - 1] if place else 0.0 for place in places]


def as_measured(goal: Goal, values: np.ndarray, *, log: bool) -> np.ndarray:
    """Objectives [n, m], counts by their logarithms if asked for."""
    counts = [log and name in COUNT_LIKE for name in goal.objectives]
    return np.where(counts, np.log(np.where(counts, values, 1.0)), values)


def reached(curve: Sequence[float], target: float) -> int | None:
    """After how many evaluations a curve has a value; None if it never does."""
    there = np.flatnonzero(np.asarray(curve) >= target)
    return int(there[0]) + 1 if there.size else None
