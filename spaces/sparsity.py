"""Sparsity as one more blank: the share of a candidate's weights that is pruned, searched together with all others."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from optuna.distributions import FloatDistribution

from spaces.candidate import Candidate
from spaces.errors import OptionError
from spaces.space import Space
from spaces.spec import TaskSpec

if TYPE_CHECKING:
    from spaces.draft import Draft
    from spaces.network import Network

SPARSITY = "sparsity"
LEAST = 1e-6  # of the largest share: below, no network has so many weights that one of them goes


def with_sparsity(space: Space, most: float) -> Space:
    """The space with a blank ``sparsity`` from 0 to ``most``; its networks are built dense, evaluators prune them.

    It is a float blank, so it belongs to the dynamics half. As the last blank it leaves what candidates begin with
    alone. What the space says of a candidate, such as that it joins nothing, it says of the dense one.

    Raises:
        OptionError: ``most`` is not from LEAST to below 1, or the space has a blank of that name.
    """
    if not LEAST <= most < 1:
        raise OptionError(
            f"--search-sparsity {most:g} is out of range: give the largest share of weights to prune, "
            f"from {LEAST:g} to below 1, as 0.95"
        )
    if SPARSITY in space.blanks:
        raise OptionError(f"space {space.name!r} has a choice {SPARSITY!r} of its own: drop --search-sparsity")

    def build(spec: TaskSpec, draft: "Draft") -> "Network":
        draft.number(SPARSITY)
        return space.build(spec, draft)

    def canonical(candidate: Candidate) -> Candidate:
        return Candidate({**space.canonical(dense_part(candidate)), SPARSITY: candidate[SPARSITY]})

    def of_dense(told: Callable[[Candidate], Any]) -> Callable[[Candidate], Any]:
        return lambda candidate: told(dense_part(candidate))

    return replace(
        space,
        blanks={**space.blanks, SPARSITY: FloatDistribution(0.0, most)},
        published={name: {**filling, SPARSITY: 0.0} for name, filling in space.published.items()},
        build=build,
        infeasible=of_dense(space.infeasible),
        canonical=canonical,
        features=of_dense(space.features),
    )


def dense_part(candidate: Candidate) -> Candidate:
    """The candidate without its sparsity."""
    return Candidate({name: value for name, value in candidate.items() if name != SPARSITY})


def asked_sparsity(candidate: Candidate) -> float:
    """Share of its weights that a candidate does without; 0 where its space has no such blank."""
    return float(candidate.get(SPARSITY, 0.0))
