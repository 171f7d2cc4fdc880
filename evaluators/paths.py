"""Sampling rules: which paths of a supernet a training step runs; their gradients are averaged.

``uniform``: every blank drawn alone (Guo et al., single path one-shot, ECCV 2020). ``fair``: within a round every
option of a blank is drawn once (Chu et al., FairNAS, ICCV 2021: there with as many paths a step as options).
``balanced``: every family of a blank's options alike, then an option of it. Options of a family share their kernel, so
under ``uniform`` an identity, a family of its own, is trained with what follows far more seldom than it should.
``dense``: uniform without a blank's least option, where others are left to choose among, and seldom an identity beside
one kind of operation: cells in which every edge is there, and nearly all of them compute. ``sandwich``: the smallest,
the largest and random ones between (Yu & Huang, ICCV 2019). Under all but ``fair`` a space's usual values come as often
as it says.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from optuna.distributions import CategoricalDistribution

from spaces.candidate import Candidate, Value
from spaces.errors import SpaceError
from spaces.space import Space

MANY = 1000
SELDOM = 0.1
Rule = Callable[[Space, int, np.random.Generator], Iterator[list[Candidate]]]


def uniform(space: Space, paths: int, rng: np.random.Generator) -> Iterator[list[Candidate]]:
    """For every step, ``paths`` independent draws."""
    while True:
        yield [space.sample(rng) for _ in range(paths)]


def balanced(space: Space, paths: int, rng: np.random.Generator) -> Iterator[list[Candidate]]:
    """For every step, ``paths`` independent draws: a usual value, or else a family and then an option of it."""
    families = {
        name: space.families(distribution.choices)
        for name, distribution in space.blanks.items()
        if isinstance(distribution, CategoricalDistribution)
    }

    def redrawn(candidate: Candidate) -> Candidate:
        values = dict(candidate)
        for name, groups in families.items():
            if name not in space.usual or candidate[name] != space.usual[name]:
                group = groups[int(rng.integers(len(groups)))]
                values[name] = group[int(rng.integers(len(group)))]
        return Candidate(values)

    while True:
        yield [redrawn(space.sample(rng)) for _ in range(paths)]


def dense(space: Space, paths: int, rng: np.random.Generator) -> Iterator[list[Candidate]]:
    """For every step, ``paths`` independent draws; the first of three options or more only where it is usual.

    Where the others are a family and options beside it, each alone in its own, as a cell's identity is beside its
    convolutions, these come in but ``SELDOM`` of the draws: a supernet of many identities ranks what is deep too low.
    """
    options: dict[str, tuple[Value, list[Value]]] = {}
    beside: dict[str, tuple[list[Value], list[Value]]] = {}
    for name, distribution in space.blanks.items():
        if not isinstance(distribution, CategoricalDistribution) or len(distribution.choices) < 3:
            continue
        least, *more = distribution.choices
        groups = space.families(more)
        alone = [group[0] for group in groups if len(group) == 1]
        several = [group for group in groups if len(group) > 1]
        if alone and len(several) == 1 and name not in space.usual:
            beside[name] = alone, several[0]
        elif space.usual.get(name) != least:
            options[name] = least, more

    def redrawn(candidate: Candidate) -> Candidate:
        values = dict(candidate)
        for name, (least, more) in options.items():
            if values[name] == least:
                values[name] = more[int(rng.integers(len(more)))]
        for name, (alone, family) in beside.items():
            drawn = alone if rng.random() < SELDOM else family
            values[name] = drawn[int(rng.integers(len(drawn)))]
        return Candidate(values)

    while True:
        yield [redrawn(space.sample(rng)) for _ in range(paths)]


def fair(space: Space, paths: int, rng: np.random.Generator) -> Iterator[list[Candidate]]:
    """For every step, the next ``paths`` of an endless row of rounds; a blank without options is drawn each time."""
    row: list[Candidate] = []
    while True:
        while len(row) < paths:
            row += _round(space, rng)
        yield row[:paths]
        row = row[paths:]


def sandwich(space: Space, paths: int, rng: np.random.Generator) -> Iterator[list[Candidate]]:
    """For every step, the smallest and the largest candidate, then random ones up to ``paths``."""
    while True:
        yield [space.smallest, space.largest, *(space.sample(rng) for _ in range(paths - 2))][:paths]


def sound(space: Space, groups: Iterator[list[Candidate]], rng: np.random.Generator) -> Iterator[list[Candidate]]:
    """The same groups; a candidate that cannot be a network is replaced by a uniform draw of those that can.

    Raises:
        SpaceError: none of many draws can.
    """
    for group in groups:
        yield [space.sample_sound(rng) if space.infeasible(candidate) else candidate for candidate in group]


def within(
    space: Space, groups: Iterator[list[Candidate]], rng: np.random.Generator, *, blank: str, values: Sequence[Value]
) -> Iterator[list[Candidate]]:
    """The same groups with a blank drawn among ``values``, without candidates that cannot be a network then.

    Raises:
        SpaceError: of many groups none is left.
    """
    missed = 0
    for group in groups:
        redrawn = [Candidate({**candidate, blank: values[int(rng.integers(len(values)))]}) for candidate in group]
        if kept := [candidate for candidate in redrawn if not space.infeasible(candidate)]:
            missed = 0
            yield kept
        elif (missed := missed + 1) == MANY:
            raise SpaceError(
                f"of {MANY} draws of space {space.name!r} with {blank} one of {', '.join(map(str, values))} none is a "
                "network: give --few-shot another choice, or drop it"
            )


PATH_RULES: Mapping[str, Rule] = {
    "balanced": balanced,
    "uniform": uniform,
    "dense": dense,
    "fair": fair,
    "sandwich": sandwich,
}


def _round(space: Space, rng: np.random.Generator) -> list[Candidate]:
    options = {name: space.options(name) for name in space.blanks}
    length = max((len(values) for values in options.values() if values), default=1)
    draws = [space.sample(rng) for _ in range(length)]
    columns = {}
    for name, values in options.items():
        if values is None:
            columns[name] = [draw[name] for draw in draws]
            continue
        repeated = [rng.permutation(len(values)) for _ in range(-(-length // len(values)))]
        columns[name] = [values[int(index)] for index in np.concatenate(repeated)[:length]]
    return [Candidate({name: column[i] for name, column in columns.items()}) for i in range(length)]
