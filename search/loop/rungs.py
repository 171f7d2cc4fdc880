"""Outcomes of candidates on a ladder (``evaluators.ladder``), of which each may have several."""

from collections import Counter
from collections.abc import Iterable, Sequence

from evaluators.ladder import COST, Ladder, price
from results.ledger import Outcome
from spaces.candidate import Candidate


def is_partial(outcome: Outcome) -> bool:
    """Whether an outcome is one of a rung, with more to come."""
    return outcome.score.state == "pruned" and COST in outcome.score.columns


def rungs_passed(history: Iterable[Outcome]) -> Counter[Candidate]:
    """How many rungs each candidate has passed; 0 for all others."""
    return Counter(outcome.candidate for outcome in history if is_partial(outcome))


def latest(history: Sequence[Outcome]) -> list[Outcome]:
    """The last outcome of each candidate, in order."""
    last = {outcome.candidate: outcome.number for outcome in history}
    return [outcome for outcome in history if last[outcome.candidate] == outcome.number]


def affordable(asked: Sequence[Candidate], left: float, passed: Counter[Candidate], ladder: Ladder) -> list[Candidate]:
    """Those that fit into what is left to pay, the first first."""
    chosen = []
    for candidate in asked:
        asks = price(ladder, passed[candidate])
        if asks <= left + 1e-9:
            chosen.append(candidate)
            left -= asks
    return chosen
