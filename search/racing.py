"""Racing: a candidate that is clearly dominated after a part of the validation split is not scored on the rest.

Clearly: some rival is better in accuracy by more than chance explains, and no worse in any other objective by a margin.
The accuracy on all N samples is above that on the first n, in random order, by less than
sqrt((1 - (n - 1) / N) ln(1 / delta) / 2n) but for a chance of delta (Serfling, Annals of Statistics, 1974). Counts are
means over samples that differ little; a margin of 5 % stands in for their spread.
"""

import math
from collections.abc import Callable, Sequence

from results.ledger import Outcome
from search.goal import Goal
from spaces.candidate import Score

DELTA = 1e-3
MARGIN = 0.05
EXACT = ("parameters", "timesteps", "macs")  # the same for every sample


def dominated_by(history: Sequence[Outcome], goal: Goal) -> Callable[[Score, int, int], str]:
    """A judge of partial scores: (score, samples seen, samples in all) -> why it is hopeless, or nothing.

    Rivals are the ``ok`` outcomes of whole batches, so a run that is resumed judges as one that is not.
    """
    rivals = [outcome for outcome in history if outcome.score.state == "ok"]

    def judge(score: Score, seen: int, total: int) -> str:
        best = _optimistic(score, seen, total, goal)
        for outcome in rivals:
            if all(
                _beats(name, sense * outcome.score.figure(name), best[name])
                for name, sense in zip(goal.objectives, goal.senses, strict=True)
            ):
                return f"stopped after {seen} of {total} samples: dominated by candidate {outcome.number}"
        return ""

    return judge


def _optimistic(score: Score, seen: int, total: int, goal: Goal) -> dict[str, float]:
    """The best that each objective may yet turn out to be, as gains: larger is better."""
    bound = math.sqrt((1 - (seen - 1) / total) * math.log(1 / DELTA) / (2 * seen))
    best = {}
    for name, sense in zip(goal.objectives, goal.senses, strict=True):
        value = score.figure(name)
        slack = bound if name == "accuracy" else 0.0 if name in EXACT else MARGIN * value
        best[name] = sense * value + slack
    return best


def _beats(name: str, rival: float, best: float) -> bool:
    return rival > best if name == "accuracy" else rival >= best
