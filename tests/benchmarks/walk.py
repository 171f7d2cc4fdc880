"""What the benchmarks of samplers share: one search in memory, and evaluations until a hypervolume is reached."""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from results.front import hypervolume
from results.ledger import Outcome
from search.goal import Goal
from search.samplers import SAMPLERS
from spaces import lookup
from spaces.candidate import COUNT_LIKE, Candidate, Score
from spaces.seeds import derive
from spaces.space import Space


def walk(
    space: Space,
    score: Callable[[Candidate], Score],
    goal: Goal,
    sampler: str,
    *,
    seed: int,
    candidates: int,
    batch: int,
) -> tuple[list[Outcome], float]:
    """The outcomes of a search as ``search.loop`` would make them, and the seconds that the sampler took."""
    propose = lookup(SAMPLERS, "sampler", sampler)
    history: list[Outcome] = []
    spent, index = 0.0, 0
    while len(history) < candidates:
        start = time.perf_counter()
        n = min(batch, candidates - len(history))
        asked = sorted(propose(space, history, n, derive(seed, "sampler", index), goal), key=space.place)
        spent += time.perf_counter() - start
        if not asked:
            break
        history += [Outcome(len(history) + i, index, c, goal.judge(score(c))) for i, c in enumerate(asked)]
        index += 1
    return history, spent


def volumes(goal: Goal, history: Sequence[Outcome], reference: Sequence[float], *, log: bool = False) -> list[float]:
    """Hypervolume after each outcome; with ``log``, of the logarithms of counts, and of the reference's."""
    found, values = [], np.zeros((0, len(goal.objectives)))
    for outcome in history:
        if outcome.score.state == "ok":
            values = np.concatenate([values, as_measured(goal, goal.values([outcome.score]), log=log)])
        found.append(hypervolume(values, goal.senses, as_measured(goal, np.array([reference]), log=log)[0]))
    return found


def as_measured(goal: Goal, values: np.ndarray, *, log: bool) -> np.ndarray:
    """Objectives [n, m], counts by their logarithms if asked for."""
    counts = [log and name in COUNT_LIKE for name in goal.objectives]
    return np.where(counts, np.log(np.where(counts, values, 1.0)), values)


def reached(curve: Sequence[float], target: float) -> int | None:
    """After how many evaluations a curve has a value; None if it never does."""
    there = np.flatnonzero(np.asarray(curve) >= target)
    return int(there[0]) + 1 if there.size else None
