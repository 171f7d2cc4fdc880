"""Bayesian optimisation over one joint space: the model and acquisition of ``dual``, without its halves."""

from collections.abc import Sequence

from results.ledger import Outcome
from search.loop.goal import Goal
from search.samplers.bayes import propose
from spaces.candidate import Candidate
from spaces.space import Space


def sample(space: Space, history: Sequence[Outcome], n: int, seed: int, goal: Goal) -> list[Candidate]:
    """``n`` unseen candidates; any blank may differ from the front's."""
    return propose(space, history, n, seed, goal, blanks=list(space.blanks))
