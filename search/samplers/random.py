"""Random search: uniform draws without repetition."""

from collections.abc import Sequence

from results.ledger import Outcome
from search.loop.goal import Goal
from search.samplers.unseen import distinct
from spaces.candidate import Candidate
from spaces.seeds import numpy_generator
from spaces.space import Space


def sample(space: Space, history: Sequence[Outcome], n: int, seed: int, goal: Goal) -> list[Candidate]:
    """``n`` unseen candidates, uniform over the space."""
    return distinct(space, (outcome.candidate for outcome in history), n, numpy_generator(seed, "random"))
