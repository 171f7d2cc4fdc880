"""Samplers: functions of the history that say which candidates to score next.

A sampler is called as ``sampler(space, history, n, seed, goal)``. ``history`` holds the outcomes of all whole batches
so far; it returns at most ``n`` distinct candidates that are not in it, and fewer (or none) only when the space has no
more. It keeps no state: the same arguments give the same candidates, so resuming a search is replaying it.
"""

from collections.abc import Callable, Sequence

from results.ledger import Outcome
from search.loop.goal import Goal
from spaces.candidate import Candidate
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
