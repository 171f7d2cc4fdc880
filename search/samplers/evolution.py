"""AutoSNN's evolutionary search (Na et al., ICML 2022).

The first batch is random. Every later one breeds from the ten fittest of all history: half of it are mutants (each
blank redrawn with probability 0.2), half one-point crossovers. Fitness is ``accuracy * (spikes / reference) ** weight``
with a negative weight; the reference is the mean spikes of the first batch, which are this run's own supernet's,
since that batch is drawn uniformly. It breeds on accuracy and spikes whichever of a network's own figures the
objectives are; these decide on the front. Two things differ from the paper: nothing is scored twice, and candidates
that break a constraint breed only while there are not two that keep them all.

Where scores have no accuracy and spikes, or an objective is another column of a table, that fitness does not exist or
does not see the goal. Then the fittest are the ten first by non-dominated rank in the objectives (Srinivas and Deb,
1994): front after front is taken, and the last one, if it is too long, is thinned to a spread over it.
"""

from collections.abc import Sequence

import numpy as np

from results.front import ranks, spread
from results.ledger import Outcome
from search.loop.goal import Goal
from search.samplers.unseen import distinct
from spaces.candidate import COUNT_LIKE, METRICS, Candidate
from spaces.seeds import numpy_generator
from spaces.space import Space, draw_blank

PARENTS = 10
MUTATION = 0.2


def sample(space: Space, history: Sequence[Outcome], n: int, seed: int, goal: Goal) -> list[Candidate]:
    """``n`` unseen children of the fittest; the first batch, or one without two parents, is random."""
    rng = numpy_generator(seed, "evolution")
    seen = [outcome.candidate for outcome in history]
    parents = fittest(history, goal)
    if len(parents) < 2:
        return distinct(space, seen, n, rng)
    mutants = distinct(space, seen, n - n // 2, rng, lambda: mutate(space, _pick(parents, rng), rng))
    crossed = distinct(space, seen + mutants, n - len(mutants), rng, lambda: cross(space, *_pair(parents, rng), rng))
    return mutants + crossed


def fittest(history: Sequence[Outcome], goal: Goal) -> list[Candidate]:
    """The ten fittest candidates of a history, best first; ties go to the earlier."""
    scored = [outcome for outcome in history if outcome.score.accuracy is not None and outcome.score.spikes]
    if not scored or not set(goal.objectives) <= set(METRICS):
        return _first_ranks(history, goal)
    feasible = [outcome for outcome in scored if outcome.score.state == "ok"]
    first = min((outcome.batch for outcome in scored), default=0)
    counts = [outcome.score.spikes for outcome in scored if outcome.batch == first]
    reference = float(np.mean(counts)) if counts else 1.0

    def fitness(outcome: Outcome) -> float:
        return outcome.score.accuracy * (outcome.score.spikes / reference) ** goal.spike_weight

    pool = feasible if len(feasible) >= 2 else scored
    return [outcome.candidate for outcome in sorted(pool, key=fitness, reverse=True)[:PARENTS]]


def _first_ranks(history: Sequence[Outcome], goal: Goal) -> list[Candidate]:
    """The ten first candidates by non-dominated rank; the rank that would be too many is thinned to a spread."""
    values = goal.values([outcome.score for outcome in history])
    known = np.isfinite(values).all(axis=1)
    feasible = known & np.array([outcome.score.state == "ok" for outcome in history], dtype=bool)
    left = np.flatnonzero(feasible if feasible.sum() >= 2 else known)
    log = [name in COUNT_LIKE for name in goal.objectives]
    rank = ranks(values[left], goal.senses, PARENTS)
    chosen: list[int] = []
    for level in range(rank.max(initial=-1) + 1):
        front, room = left[rank == level], PARENTS - len(chosen)
        picks = spread(values[front], goal.senses, room, log=log) if len(front) > room else range(len(front))
        chosen += [int(front[index]) for index in picks]
    return [history[index].candidate for index in chosen]


def mutate(space: Space, parent: Candidate, rng: np.random.Generator) -> Candidate:
    """Each blank redrawn with probability 0.2."""
    return Candidate(
        {
            name: draw_blank(distribution, rng) if rng.random() < MUTATION else parent[name]
            for name, distribution in space.blanks.items()
        }
    )


def cross(space: Space, one: Candidate, other: Candidate, rng: np.random.Generator) -> Candidate:
    """The blanks of ``one`` before a random point, those of ``other`` from it on."""
    names = list(space.blanks)
    point = int(rng.integers(1, len(names))) if len(names) > 1 else 0
    return Candidate({name: (one if i < point else other)[name] for i, name in enumerate(names)})


def _pick(parents: Sequence[Candidate], rng: np.random.Generator) -> Candidate:
    return parents[int(rng.integers(len(parents)))]


def _pair(parents: Sequence[Candidate], rng: np.random.Generator) -> tuple[Candidate, Candidate]:
    first, second = rng.choice(len(parents), size=2, replace=False)
    return parents[int(first)], parents[int(second)]
