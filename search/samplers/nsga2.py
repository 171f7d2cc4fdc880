"""NSGA-II on fillings (Deb et al., IEEE Transactions on Evolutionary Computation 6(2), 2002).

The parents are the 20 best of all history: by non-dominated rank, within a rank by crowding distance (counts on a log
scale). Constraints by domination: what keeps all of them first, the rest by how much is missed in all. Candidates that
racing stopped come after all that were scored to the end; what failed or fell silent never breeds. A child has two
parents, each the winner of a binary tournament; takes every blank from either (uniform crossover); and mutates each
with probability 1 / blanks: a categorical one to another choice, a numeric one by a Gaussian step of a tenth of its
scale. The paper breeds from the last generation joined with its children; selecting from all history gives the same
parents, and needs no memory but the history. It crosses real numbers blank by blank (SBX); here all are exchanged.
"""

from collections.abc import Sequence

import numpy as np
from optuna.distributions import BaseDistribution

from results.front import crowding, ranks
from results.ledger import Outcome
from search.loop.goal import Goal
from search.samplers.constraints import violations
from search.samplers.scale import is_numeric, shift
from search.samplers.unseen import distinct
from spaces.candidate import COUNT_LIKE, Candidate, Value
from spaces.seeds import numpy_generator
from spaces.space import Space

POPULATION = 20
CROSSOVER = 0.9
STEP = 0.1


def sample(space: Space, history: Sequence[Outcome], n: int, seed: int, goal: Goal) -> list[Candidate]:
    """``n`` unseen children; random until 20 have been scored, or while there are not two parents."""
    rng = numpy_generator(seed, "nsga2")
    seen = [outcome.candidate for outcome in history]
    parents = select(history, goal)
    if len(history) < POPULATION or len(parents) < 2:
        return distinct(space, seen, n, rng)
    return distinct(space, seen, n, rng, lambda: mutate(space, cross(space, *_pair(parents, rng), rng), rng))


def select(history: Sequence[Outcome], goal: Goal, population: int = POPULATION) -> list[Candidate]:
    """Environmental selection: up to ``population`` candidates of a history, best first; ties go to the earlier."""
    broken = violations(history, goal)
    whole = np.array([outcome.score.state != "pruned" for outcome in history], dtype=bool)
    values = goal.values([outcome.score for outcome in history])
    log = [name in COUNT_LIKE for name in goal.objectives]
    chosen: list[int] = []
    for group in (np.flatnonzero((broken == 0) & whole), np.flatnonzero((broken == 0) & ~whole)):
        rank = ranks(values[group], goal.senses, population - len(chosen))
        for level in range(rank.max(initial=-1) + 1):
            layer = group[rank == level]
            chosen += layer[np.argsort(-crowding(values[layer], goal.senses, log=log), kind="stable")].tolist()
    worst = np.flatnonzero((broken > 0) & np.isfinite(broken))
    chosen += worst[np.argsort(broken[worst], kind="stable")].tolist()
    return [history[index].candidate for index in chosen[:population]]


def cross(space: Space, one: Candidate, other: Candidate, rng: np.random.Generator) -> dict[str, Value]:
    """Each blank from either parent; with probability 0.1 all from the first."""
    share = 0.5 if rng.random() < CROSSOVER else 0.0
    swap = (rng.random(len(space.blanks)) < share).tolist()
    return {name: (other if swapped else one)[name] for name, swapped in zip(space.blanks, swap, strict=True)}


def mutate(space: Space, child: dict[str, Value], rng: np.random.Generator) -> Candidate:
    """Each blank moved with probability 1 / blanks."""
    hit = (rng.random(len(space.blanks)) * len(space.blanks) < 1).tolist()
    return Candidate(
        {
            name: move(distribution, child[name], rng) if moved else child[name]
            for (name, distribution), moved in zip(space.blanks.items(), hit, strict=True)
        }
    )


def move(distribution: BaseDistribution, value: Value, rng: np.random.Generator) -> Value:
    """Another choice of a categorical blank; a step of a numeric one, Gaussian on its scale, clipped to its bounds."""
    if is_numeric(distribution):
        return shift(distribution, value, STEP * float(rng.standard_normal()))
    others = [choice for choice in distribution.choices if choice != value]
    return others[int(rng.integers(len(others)))] if others else value


def _pair(parents: Sequence[Candidate], rng: np.random.Generator) -> tuple[Candidate, Candidate]:
    """Two winners of binary tournaments; parents stand best first, so the lower place wins."""
    places = rng.integers(len(parents), size=(2, 2)).min(axis=1)
    return parents[int(places[0])], parents[int(places[1])]
