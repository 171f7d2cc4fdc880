"""Samplers: functions of the history that say which candidates to score next.

A sampler is called as ``sampler(space, history, n, seed, goal)``. ``history`` holds the outcomes of all whole batches
so far; it returns at most ``n`` distinct candidates that are not in it, and fewer (or none) only when the space has no
more. It keeps no state: the same arguments give the same candidates, so resuming a search is replaying it.
"""

import functools
from collections.abc import Callable, Sequence

from results.ledger import Outcome
from search.loop.goal import Goal
from spaces.candidate import Candidate
from spaces.errors import SpaceError
from spaces.find import find
from spaces.own import is_file, own_code
from spaces.space import Space

Sampler = Callable[[Space, Sequence[Outcome], int, int, Goal], list[Candidate]]

SAMPLERS = {  # name -> (where it is, what it is)
    "dual": ("search.samplers.dual:sample", "Bayesian optimisation of structure and dynamics in turn"),
    "joint": ("search.samplers.joint:sample", "the same over all choices at once"),
    "evolution": ("search.samplers.evolution:sample", "AutoSNN's: breeds from the ten fittest, spike-aware"),
    "local": ("search.samplers.local:sample", "Pareto local search: neighbours of the front that are not scored yet"),
    "nsga2": ("search.samplers.nsga2:sample", "NSGA-II: breeds from the front on all objectives, constraints first"),
    "random": ("search.samplers.random:sample", "uniform draws without repetition"),
    "tpe": ("search.samplers.tpe:sample", "Optuna's multivariate, multi-objective TPE"),
}


def sampler_of(name: str) -> Sampler:
    """The sampler of a name in ``SAMPLERS``, or ``FILE.py:NAME``; errors as of ``spaces.find.find``.

    What one's own raises, or gives that is no list of as many new candidates, is an OwnError or a SpaceError.
    """
    wanted = "a function of (space, history, n, seed, goal)"
    found = find(SAMPLERS, "sampler", name, wanted=wanted, fits=callable)
    return functools.partial(_own, name, found) if is_file(name) else found


def _own(
    name: str, sampler: Sampler, space: Space, history: Sequence[Outcome], n: int, seed: int, goal: Goal
) -> list[Candidate]:
    """What a person's own sampler says, once it is checked."""
    with own_code(name, "sampler", whole=True):
        asked = sampler(space, history, n, seed, goal)
        if not isinstance(asked, list) or not all(isinstance(one, Candidate) for one in asked):
            raise SpaceError(f"it gives {type(asked).__name__} where a list of Candidate is due")
        seen = {outcome.candidate for outcome in history}
        if len(asked) > n or len({*asked} - seen) < len(asked):
            raise SpaceError(f"it gives {len(asked)} candidates where at most {n} are due, all new and distinct")
        for candidate in asked:
            space.check(candidate)
        return asked
