"""Dual-search-space Bayesian optimisation, multi-objective and constrained.

The two halves of a space are explored in turn: structure (categorical and integer blanks), then dynamics (float ones).
While one is explored, the other is held at points of the current front: every candidate of a batch is a point of the
front with its explored half filled anew. Model and acquisition are ``bayes``'s. A half is left when a batch of it made
the front's hypervolume grow by less than 1 %; what was learnt stays, since the covariance (``surrogate``) has a
term for each half alone. The first batches are random in both. A space of one half is explored in that.

Differences from She, Dash and Mukhopadhyay (Sequence approximation using feedforward spiking neural network for
spatiotemporal learning, ICLR 2022), who publish no code: they optimise accuracy alone, each half to its end with a
Gaussian process of its own that starts empty, at one held point; here a front of several objectives is looked for, so
it is held at many; and one process with a part for each half keeps what switching would throw away.

Turns have a price: on ``dualspace`` with digits ``joint`` was ahead of it at equal evaluations, most of all early, and
both far ahead of TPE (tests/benchmarks/halves.py). ``auto`` therefore takes ``joint`` where a space has both halves.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from results.front import hypervolume
from results.ledger import Outcome
from search.loop.goal import Goal
from search.samplers.bayes import START, propose
from spaces.candidate import COUNT_LIKE, Candidate
from spaces.space import Space

STAGNATION = 0.01


def sample(space: Space, history: Sequence[Outcome], n: int, seed: int, goal: Goal) -> list[Candidate]:
    """``n`` unseen candidates that differ from the front in one half of the blanks."""
    parts = [blanks for blanks in space.halves.values() if blanks]
    turn = switches(history, goal) % len(parts)
    return propose(space, history, n, seed, goal, blanks=parts[turn])


def switches(history: Sequence[Outcome], goal: Goal) -> int:
    """How often a half was left: after each batch since there was a model that let the front stagnate."""
    volumes = volumes_after_batches(history, goal)
    return sum(after < before * (1 + STAGNATION) for before, after in pairwise(volumes))


def volumes_after_batches(history: Sequence[Outcome], goal: Goal) -> list[float]:
    """Hypervolume of the front after each batch from the one on which the first model was built.

    From the goal's reference point, or else from the worst seen, counts on a log scale.
    """
    ok = [outcome for outcome in history if outcome.score.state == "ok"]
    if not ok:
        return []
    values = goal.values([outcome.score for outcome in ok])
    if goal.reference:
        reference = np.array(list(goal.reference.values()))
    else:
        counts = [j for j, name in enumerate(goal.objectives) if name in COUNT_LIKE]
        values[:, counts] = np.log(np.maximum(values[:, counts], 1e-9))
        gains = values * goal.senses
        reference = (gains.min(axis=0) - 0.01 * np.ptp(gains, axis=0)) * goal.senses
    batches = np.array([outcome.batch for outcome in ok])
    scored = np.array([outcome.batch for outcome in history])
    ends = [batch for batch in np.unique(scored) if (scored <= batch).sum() >= START]
    return [hypervolume(values[batches <= end], goal.senses, reference) for end in ends]
