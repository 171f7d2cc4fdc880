"""Racing: a candidate that is clearly dominated after a part of the validation split is not scored on the rest.

Clearly: some rival is better in accuracy by more than chance explains, and no worse in any other objective by a margin.
The accuracy on all N samples is above that on the first n, in random order, by less than
sqrt((1 - (n - 1) / N) ln(1 / delta) / 2n) but for a chance of delta (Serfling, Annals of Statistics, 1974). Balanced
accuracy is a mean of K such shares, of n_k samples of N_k, and these are independent once the n_k are known; so his
bound on their generating functions gives sqrt(sum_k (1 - (n_k - 1) / N_k) ln(1 / delta) / 2n_k) / K. Of a class that
was not seen yet all may be right. Counts are means over samples that differ little; a margin of 5 % stands in for their
spread.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from results.front import pareto_mask
from results.ledger import Outcome
from search.loop.goal import Goal
from spaces.candidate import ACCURACIES, BALANCED, Score

DELTA = 1e-3
MARGIN = 0.05
EXACT = ("parameters", "timesteps", "macs")  # the same for every sample


@dataclass(frozen=True, eq=False, kw_only=True)
class Rivals:
    """A judge of partial scores: (score, samples seen, samples in all, by class) -> why it is hopeless, or nothing.

    Whoever is beaten by any outcome is beaten by one of their front, so that is all that is kept.

    Attributes:
        goal: names and senses of the objectives.
        numbers: which outcomes the rivals are, in order.
        gains: their objectives [rivals, objectives], float64, larger is better.
    """

    goal: Goal
    numbers: tuple[int, ...]
    gains: np.ndarray

    def joined(self, outcomes: Sequence[Outcome]) -> "Rivals":
        """With further outcomes, of which the ``ok`` ones count; of equal ones the first stands."""
        new = [outcome for outcome in outcomes if outcome.score.state == "ok"]
        gains = np.concatenate([self.gains, self.goal.values([o.score for o in new]) * self.goal.senses])
        numbers = (*self.numbers, *(outcome.number for outcome in new))
        _, first = np.unique(gains, axis=0, return_index=True)
        first = np.sort(first)
        kept = first[pareto_mask(gains[first], [1] * gains.shape[1])]
        return Rivals(goal=self.goal, numbers=tuple(numbers[i] for i in kept), gains=gains[kept])

    def __call__(self, score: Score, seen: Sequence[int], total: Sequence[int]) -> str:
        """Why a partial score on ``seen`` of ``total`` samples, both [classes], is hopeless; empty if it is not."""
        best = _optimistic(score, seen, total, self.goal)
        beaten = np.ones(len(self.gains), dtype=bool)
        for name, gain in zip(self.goal.objectives, self.gains.T, strict=True):
            beaten &= gain > best[name] if name in ACCURACIES else gain >= best[name]
        if not beaten.any():
            return ""
        rival = self.numbers[int(beaten.argmax())]
        return f"stopped after {sum(seen)} of {sum(total)} samples: dominated by candidate {rival}"


def dominated_by(history: Sequence[Outcome], goal: Goal) -> Rivals:
    """The judge whose rivals are a history's; those are whole batches, so a run that is resumed judges the same."""
    return Rivals(goal=goal, numbers=(), gains=np.empty((0, len(goal.objectives)))).joined(history)


def rivals_of(goal: Goal) -> Callable[[Sequence[Outcome]], Rivals]:
    """As ``dominated_by``, for a history that only grows: each outcome is read once."""
    rivals, read = dominated_by((), goal), 0

    def told(history: Sequence[Outcome]) -> Rivals:
        nonlocal rivals, read
        rivals, read = rivals.joined(history[read:]), len(history)
        return rivals

    return told


def _optimistic(score: Score, seen: Sequence[int], total: Sequence[int], goal: Goal) -> dict[str, float]:
    """The best that each objective may yet turn out to be, as gains: larger is better.

    Anything, where a part of the samples does not tell it, as of separability and alignment.
    """
    best = {}
    for name, sense in zip(goal.objectives, goal.senses, strict=True):
        value = score.figure(name)
        if value is None:
            best[name] = math.inf
        elif name == BALANCED:
            classes, known = sum(size > 0 for size in total), sum(size > 0 for size in seen)
            unseen = (classes - known) * (sense > 0)
            best[name] = (sense * value * known + unseen) / classes + _slack(seen, total)
        elif name == "accuracy":
            best[name] = sense * value + _slack([sum(seen)], [sum(total)])
        else:
            best[name] = sense * value + (0.0 if name in EXACT else MARGIN * value)
    return best


def _slack(seen: Sequence[int], total: Sequence[int]) -> float:
    """What the mean over groups of the shares of right answers may gain by samples to come, both [groups]."""
    pairs = [(n, size) for n, size in zip(seen, total, strict=True) if n]
    variances = sum((1 - (n - 1) / size) / (2 * n) for n, size in pairs)
    return math.sqrt(variances * math.log(1 / DELTA)) / sum(size > 0 for size in total)
