"""Pareto local search (Paquete, Chiarandini, Stuetzle, 2004) from the front of what has been scored.

White et al. (UAI 2021) find that plain local search is hard to beat where scores carry little noise: score the
neighbours of the best, go to a better one, restart where there is none. With several objectives the best are a front.
A neighbour differs in one blank: a categorical one has every other choice, one with steps the next value either way,
a continuous one steps of 20, 5 and 1 % of its scale either way. The batch goes round the points of the front: whose
neighbours have been scored the least is next, of equal ones the less crowded; its neighbours come in random order. When
all neighbours of the front have been scored, draws are random. Where nothing keeps the constraints, the search is
around what breaks them least. Two things differ from the papers: the archive is all of history, and a point is not
left when a better one is found, only when it is no longer on the front.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from optuna.distributions import BaseDistribution

from results.front import crowding, pareto_mask
from results.ledger import Outcome
from search.loop.goal import Goal
from search.samplers.constraints import violations
from search.samplers.scale import is_numeric, shift
from search.samplers.unseen import distinct
from spaces.candidate import COUNT_LIKE, Candidate, Value
from spaces.seeds import numpy_generator
from spaces.space import Space

STEPS = (0.2, 0.05, 0.01)
TINY = 1e-9  # of the scale; at least one value where a blank has steps


def sample(space: Space, history: Sequence[Outcome], n: int, seed: int, goal: Goal) -> list[Candidate]:
    """``n`` unseen neighbours of the front; the first batch is random, and so is what the neighbours do not fill."""
    rng = numpy_generator(seed, "local")
    seen = [outcome.candidate for outcome in history]
    around = front(history, goal)
    taken = set(seen)
    scored = _neighbours_scored(space, around, seen)
    left = {place: _unseen(space, point, taken, rng) for place, point in enumerate(around)}

    def propose() -> Candidate:
        while left:
            place = min(left, key=lambda place: (scored[place], place))
            found = next(left[place], None)
            if found is not None:
                scored[place] += 1
                return found
            del left[place]
        return space.sample(rng)

    return distinct(space, seen, n, rng, propose)


def front(history: Sequence[Outcome], goal: Goal) -> list[Candidate]:
    """The candidates to search around, the least crowded first: the front, or else what breaks constraints least."""
    broken = violations(history, goal)
    feasible = np.array([outcome.score.state == "ok" for outcome in history], dtype=bool) & (broken == 0)
    if feasible.any():
        pool = np.flatnonzero(feasible)
        values = goal.values([history[index].score for index in pool])
        kept = pareto_mask(values, goal.senses)
        gaps = crowding(values[kept], goal.senses, log=[name in COUNT_LIKE for name in goal.objectives])
        chosen = pool[kept][np.argsort(-gaps, kind="stable")]
    else:
        chosen = np.flatnonzero((broken == broken.min(initial=np.inf)) & np.isfinite(broken))
    return [history[index].candidate for index in chosen]


def neighbours(distribution: BaseDistribution, value: Value) -> list[Value]:
    """The values of one blank that are next to a value."""
    if not is_numeric(distribution):
        return [choice for choice in distribution.choices if choice != value]
    steps = STEPS if distribution.step is None else (TINY,)
    moved = [shift(distribution, value, sign * step) for step in steps for sign in (1, -1)]
    return [other for other in dict.fromkeys(moved) if other != value]


def _unseen(space: Space, point: Candidate, taken: set[Candidate], rng: np.random.Generator) -> Iterator[Candidate]:
    """Neighbours of a point that have not been scored, in random order, made one by one as they are asked for."""
    moves = [(name, value) for name, d in space.blanks.items() for value in neighbours(d, point[name])]
    for index in rng.permutation(len(moves)).tolist():
        name, value = moves[index]
        found = Candidate({blank: value if blank == name else point[blank] for blank in space.blanks})
        if found not in taken:
            taken.add(found)
            yield found


def _neighbours_scored(space: Space, points: Sequence[Candidate], seen: Sequence[Candidate]) -> list[int]:
    """How many of ``seen`` differ from each point in one blank."""
    codes = []
    for name in space.blanks:
        known: dict[Value, int] = {}
        codes.append([known.setdefault(candidate[name], len(known)) for candidate in [*points, *seen]])
    table = np.array(codes).T.reshape(len(points) + len(seen), len(space.blanks))
    return [int(((table[len(points) :] != row).sum(axis=1) == 1).sum()) for row in table[: len(points)]]
