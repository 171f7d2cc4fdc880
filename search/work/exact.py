"""Bounds on what is exact without any training, checked before anything is trained: parameters, time steps, MACs.

Whether a space has a candidate that keeps them is not always to be told for sure, as it may have any number of them. So
the smallest and the largest candidate and some random ones are looked at, and from the nearest of them one blank after
the other is changed for the better, to the end. Counts grow blank by blank, so where that ends nothing is nearer.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution

from evaluators.building import build_alone, set_initial
from evaluators.counting import counting
from evaluators.inherited import PRUNING
from evaluators.pruning.masks import attach, kept_of
from evaluators.pruning.one_shot import one_shot
from evaluators.setting import Setting
from evaluators.tasks.task import Split, batches
from results.bounds import Constraint
from results.reasons import way_out
from search.loop.goal import Goal
from search.options.config import Config, values_of
from spaces.candidate import Candidate, Score
from spaces.errors import OptionError, SearchError
from spaces.seeds import numpy_generator, torch_generator
from spaces.space import Space
from spaces.sparsity import SPARSITY, asked_sparsity
from spaces.weights import count_parameters

EXACT = ("parameters", "timesteps", "macs")
DRAWN = 16  # random candidates that are looked at
MANY = 9  # values of a blank that are tried at most


def exact_bounds(space: Space, goal: Goal) -> tuple[Constraint, ...]:
    """The bounds of a goal that can be checked without any training; of networks that are pruned not those on MACs."""
    names = EXACT[:2] if SPARSITY in space.blanks else EXACT
    return tuple(bound for bound in goal.constraints if bound.metric in names)


@torch.no_grad()
def exact_score(setting: Setting, candidate: Candidate, bounds: Sequence[Constraint]) -> Score:
    """A score with no more than the exact figures that the bounds are of, judged by them; no weights are trained."""
    names, found = {bound.metric for bound in bounds}, {"timesteps": setting.space.steps(candidate)}
    if names - {"timesteps"}:
        network = build_alone(setting, candidate)
        set_initial(network, setting.recipe, torch_generator(setting.seed, "exact"))
        if sparsity := asked_sparsity(candidate):
            attach(network, one_shot(network, sparsity, PRUNING))
        found["parameters"] = count_parameters(network) - sum(there - kept for kept, there in kept_of(network).values())
    if "macs" in names:
        task = setting.task
        one = Split(images=task.train.images[:1], labels=task.train.labels[:1])
        with counting(network.eval()) as counter:
            for images, _ in batches(task, one, batch_size=1, device=setting.device):
                network(images)
        found["macs"] = counter.counts().mean("macs")
    score = Score(state="ok", fidelity="proxy", **found)
    return Goal(objectives=("parameters",), constraints=tuple(bounds)).judge(score)


def refused(setting: Setting, candidate: Candidate, bounds: Sequence[Constraint]) -> Score | None:
    """The infeasible score of a candidate that breaks an exact bound; None for all others, and what cannot be built."""
    found = _looked_at(setting, candidate, bounds) if bounds else None
    return found.score if found is not None and found.score.state == "infeasible" else None


def check_reachable(setting: Setting, goal: Goal, config: Config) -> None:
    """Raises OptionError where no candidate keeps the exact bounds of a goal, with the nearest and what helps."""
    bounds = exact_bounds(setting.space, goal)
    for asked in (*((bound,) for bound in bounds), bounds):
        nearest = nearest_to(setting, asked) if asked else None
        broken = [bound for bound in asked if nearest is not None and bound.violation(nearest) > 0]
        if not broken:
            continue
        first, figure = broken[0], nearest.figure(broken[0].metric)
        others = f", beside {' and '.join(bound.option for bound in asked if bound != first)}" if len(asked) > 1 else ""
        raise OptionError(
            f"{first.option}: no candidate of space {setting.space.name!r} keeps it{others}; the nearest has "
            f"{figure:,.15g} {first.metric}: {way_out(first, values_of(config), setting.space.blanks)}"
        )


def nearest_to(setting: Setting, bounds: Sequence[Constraint]) -> Score | None:
    """The score of a candidate that keeps some exact bounds, or misses them least; None where none could be built."""
    seen: dict[Candidate, Look | None] = {}

    def look(candidate: Candidate) -> Look | None:
        if candidate not in seen:
            seen[candidate] = _looked_at(setting, candidate, bounds)
        return seen[candidate]

    best: Look | None = None
    for candidate in _beginnings(setting.space, bounds, setting.seed):
        best = _nearer(best, look(candidate))
        if best is not None and not best.missed:
            return best.score
    return None if best is None else _improved(setting.space, best, look).score


@dataclass(frozen=True)
class Look:
    """A candidate, its exact score, and by what shares of the bounds it misses them, summed up."""

    candidate: Candidate
    score: Score
    missed: float


def _looked_at(setting: Setting, candidate: Candidate, bounds: Sequence[Constraint]) -> Look | None:
    if setting.space.infeasible(candidate):
        return None
    try:
        score = exact_score(setting, candidate, bounds)
    except SearchError:
        raise
    except Exception:  # a candidate that cannot be built is an outcome of the search
        return None
    return Look(candidate, score, sum(bound.violation(score) / max(abs(bound.bound), 1.0) for bound in bounds))


def _nearer(one: Look | None, other: Look | None) -> Look | None:
    return other if one is None or (other is not None and other.missed < one.missed) else one


def _beginnings(space: Space, bounds: Sequence[Constraint], seed: int) -> Iterator[Candidate]:
    ends = [space.smallest, space.largest]
    yield from ends if bounds[0].most else reversed(ends)
    yield from (Candidate(filling) for filling in space.published.values())
    rng = numpy_generator(seed, "exact")
    yield from (space.sample(rng) for _ in range(DRAWN))


def _improved(space: Space, best: Look, look: Callable[[Candidate], Look | None]) -> Look:
    """Where changing one blank after the other for the better ends."""
    while best.missed:
        before = best
        for blank in space.blanks:
            for value in _values(space, blank):
                best = _nearer(best, look(Candidate({**best.candidate, blank: value})))
        if best is before:
            break
    return best


def _values(space: Space, blank: str) -> list:
    """The values of a blank that counts may depend on: of many the first, the last and some between."""
    kind = space.blanks[blank]
    if isinstance(kind, CategoricalDistribution):
        return list(kind.choices)
    if isinstance(kind, FloatDistribution):
        return [kind.low, kind.high]
    steps = (kind.high - kind.low) // kind.step
    return sorted({kind.low + kind.step * (steps * i // (MANY - 1)) for i in range(MANY)})
