"""Candidates that memory does not suffice for: tried again alone, and recorded only where others do fit.

That memory runs short says nothing of a candidate, unless it is the one that is too large. Then it is ``failed``, so
that it does not keep a search from going on, and says so: a resume, with more memory, tries it again. Its line in the
ledger stays as it is; what comes of another try is a line of its own.
"""

import gc
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from results.ledger import Outcome
from spaces.candidate import Candidate, Score
from spaces.errors import typed_line
from spaces.faults import MEMORY, machine_fault

AGAIN = "; a resume tries it again"  # the end of the error of a candidate that is not done with

One = TypeVar("One")


def is_open(score: Score) -> bool:
    """Whether a score is of a candidate that is to be tried again."""
    return score.state == "failed" and score.error.endswith(AGAIN)


def repeats(outcomes: Iterable[Outcome]) -> set[int]:
    """Numbers of the outcomes that came of another try, in a search."""
    waiting, found = set(), set()
    for outcome in outcomes:
        if outcome.batch < 0:
            continue
        if outcome.candidate in waiting:
            found.add(outcome.number)
        if is_open(outcome.score):
            waiting.add(outcome.candidate)
    return found


def settled(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes, in order, without those that another try came after."""
    last = {outcome.candidate: outcome.number for outcome in outcomes}
    return [outcome for outcome in outcomes if not is_open(outcome.score) or last[outcome.candidate] == outcome.number]


def proven(history: Iterable[Outcome]) -> list[Candidate]:
    """The last candidate that was scored, if there is one: whether it fits once more tells of the machine."""
    return [outcome.candidate for outcome in history if outcome.score.state == "ok"][-1:]


def is_short(error: BaseException) -> bool:
    """Whether an error is that memory ran short."""
    return machine_fault(error) == MEMORY


def free_memory() -> None:
    """Gives back what memory is held for nothing, here and on a GPU."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def freeing(score: Callable[..., Score], free: Callable[[], None]) -> Callable[..., Score]:
    """The same function, which lets go of what it keeps for later before it raises that memory ran short."""

    def scored(*args: object) -> Score:
        try:
            return score(*args)
        except Exception as error:
            if is_short(error):
                free()
            raise

    return scored


def fitting(attempt: Callable[[One], Score], one: One, others: Sequence[One], *, fidelity: str) -> Score:
    """The score of a candidate, or that it alone needs more memory than there is.

    Args:
        attempt: scores one, while nothing else runs; what it raises is no candidate's fault.
        one: whose score is wanted. Where memory runs short, that is freed, and it is tried once more.
        others: if one of these fits where it still does not, it is too large, and failed.
        fidelity: of the score.

    Raises:
        Exception: what ``attempt`` raised, where none of the others fits either, or memory is not what lacks.
    """
    for last in (False, True):
        try:
            return attempt(one)
        except Exception as error:
            if not is_short(error):
                raise
            if last and not any(_fits(attempt, other) for other in others):
                raise
            reason = typed_line(error)
        free_memory()
    return too_large(reason, fidelity)


def too_large(reason: str, fidelity: str) -> Score:
    """The score of a candidate that memory does not suffice for, though it does for others."""
    error = f"it alone needs more memory than there is, others fit ({reason}){AGAIN}"
    return Score(state="failed", fidelity=fidelity, error=error)


def _fits(attempt: Callable[[One], Score], other: One) -> bool:
    free_memory()
    try:
        attempt(other)
    except Exception as error:
        if is_short(error):
            return False
        raise
    return True
