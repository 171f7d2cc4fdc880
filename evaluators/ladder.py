"""Ladder: the fidelities of one search. A candidate is paid for in parts, and shows after each how far it has come.

A rung is a share of a full evaluation, and the columns that then stand for figures: the accuracy after 20 of 100 epochs
for that at the end, say. What is not named there is as at the end, such as the number of parameters. Low rungs steer:
what they give is ``pruned``, so a front holds nothing but what was paid for in full. A candidate that is asked for once
more goes on to its next rung and costs the rest of the way (freeze-thaw: Swersky, Snoek and Adams, 2014).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from spaces.candidate import Frozen, Score
from spaces.errors import OptionError

FINEST = 1e-6  # share that a rung costs at least: less is no price
COST = "evaluations"  # column of a score on a ladder: what it cost, in full evaluations


@dataclass(frozen=True, kw_only=True)
class Rung:
    """What is seen of a candidate after a share of a full evaluation.

    Attributes:
        share: of the cost of a full evaluation, between 0 and 1.
        readings: figure -> the column that stands for it.
    """

    share: float
    readings: Mapping[str, str]


Ladder = Sequence[Rung]


def parse_ladder(texts: Sequence[str], figures: Sequence[str]) -> tuple[Rung, ...]:
    """Rungs from ``SHARE:FIGURE=COLUMN`` texts, lowest first; texts of one share make one rung.

    Raises:
        OptionError: a text is spelled otherwise, a share is not between 0 and 1 or nearly another's, or a figure has no
            column at one of the rungs or is none of ``figures``.
    """
    found: dict[float, dict[str, str]] = {}
    for text in texts:
        number, _, reading = text.partition(":")
        figure, _, column = reading.partition("=")
        try:
            share = float(number)
        except ValueError:
            share = math.nan
        if not FINEST <= share <= 1 - FINEST or not column:
            raise OptionError(
                f"--fidelities {text!r}: write SHARE:OBJECTIVE=COLUMN, e.g. 0.2:val_acc=val_acc_ep20 where a fifth of "
                f"the cost of a network shows the column val_acc_ep20; a share is from {FINEST:g} to below 1"
            )
        if figure not in figures:
            raise OptionError(f"--fidelities {text!r}: {figure!r} is no objective; give one of {', '.join(figures)}")
        if found.setdefault(share, {}).setdefault(figure, column) != column:
            raise OptionError(f"--fidelities {text!r}: {figure!r} has two columns at {share:g}: give one")
    named = {figure for readings in found.values() for figure in readings}
    for share, readings in found.items():
        if missing := sorted(named - set(readings)):
            raise OptionError(f"--fidelities: {missing[0]!r} has no column at {share:g}: give it one at every share")
    shares = sorted(found)
    for lower, upper in pairwise(shares):
        if upper - lower < FINEST:
            raise OptionError(f"--fidelities: shares {lower!r} and {upper!r} are nearly the same: give one of them")
    return tuple(Rung(share=share, readings=Frozen(found[share])) for share in shares)


def price(ladder: Ladder, passed: int) -> float:
    """What the next rung of a candidate costs, that has passed so many, in full evaluations.

    >>> rungs = [Rung(share=0.25, readings={}), Rung(share=0.75, readings={})]
    >>> [price(rungs, passed) for passed in (0, 1, 2)], price([], 0)
    ([0.25, 0.5, 0.25], 1.0)
    """
    shares = [0.0, *(rung.share for rung in ladder), 1.0]
    return round(shares[passed + 1] - shares[passed], 12)


def cost(score: Score) -> float:
    """What a score cost, in full evaluations."""
    return score.columns.get(COST, 1.0)
