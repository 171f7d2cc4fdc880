"""The loop: ask a sampler for a batch, have it scored, record every outcome in order, until the budget is spent."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evaluators.ladder import cost, price
from results.front import spread
from results.ledger import Ledger, Outcome
from search.loop.goal import Goal
from search.loop.memory import fitting, is_open, is_short, proven, repeats, settled
from search.loop.rungs import affordable, rungs_passed
from search.samplers import Sampler
from spaces.candidate import COUNT_LIKE, Candidate, Score
from spaces.errors import LedgerError, SpaceError
from spaces.seeds import derive
from spaces.space import Space

Runner = Callable[[Sequence[Candidate], Sequence[Outcome]], Iterator[Score]]
"""Called with candidates and the outcomes of all whole batches before; gives their scores, in order, as they come.

One that is not read to its end drops what is left. An error that is no candidate's fault is raised.
"""
Brief = Callable[[Sequence[Outcome]], Any]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When to stop: after ``candidates`` scores, or ``minutes`` of scoring; asked for ``batch`` at a time.

    Where the goal has a ladder, ``candidates`` full evaluations may be paid for, in parts. ``stop``, called with how
    many were scored, ends the search before the next.
    """

    candidates: int
    minutes: float | None = None
    batch: int = 20
    stop: Callable[[int], bool] = lambda scored: False


def in_process(
    score: Callable[[Candidate, Any], Score],
    brief: Brief = lambda history: None,
    *,
    fidelity: str = "supernet",
) -> Runner:
    """The runner that scores here, one candidate after the other.

    Args:
        score: of a candidate.
        brief: gives what a score needs of the history.
        fidelity: of a candidate that memory does not suffice for, see ``fitting``.
    """

    def run(candidates: Sequence[Candidate], history: Sequence[Outcome]) -> Iterator[Score]:
        told, known = brief(history), proven(history)

        def scored(candidate: Candidate) -> Score:
            others = known or [other for other in candidates if other != candidate]
            return fitting(lambda one: score(one, told), candidate, others, fidelity=fidelity)

        return (scored(candidate) for candidate in candidates)

    return run


def search(
    space: Space,
    ledger: Ledger,
    sampler: Sampler,
    runner: Runner,
    *,
    goal: Goal,
    budget: Budget,
    seed: int,
    earlier: Sequence[Outcome] = (),
    first: Sequence[Candidate] = (),
    again: Callable[[Outcome], Score] | None = None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> str:
    """Runs, or goes on with, a search until its budget is spent or its space exhausted; returns why it ended.

    What the sampler sees is the outcomes of whole batches, and a batch's seed is derived from its index. So going on
    after a kill asks the same questions again, skips what is recorded, and ends with the same ledger. A batch is scored
    in the order of the tree of fillings, so that candidates which begin alike follow each other.

    Args:
        space, sampler, goal, seed: what is searched, how, for what, and the name of all random choices.
        ledger: where outcomes stand and go.
        runner: carries candidates to where they are scored, and brings the scores back in order.
        budget: when to stop.
        earlier: results of another search of the same space, for a warm start; see :func:`ask`.
        first: candidates that are scored before the sampler is asked.
        again: scores a candidate, once more, that memory did not suffice for when its outcome was recorded; by
            default the runner does. That is done for all of these at the end of the first batch, before the next.
        on_outcome: told of each new outcome.

    Raises:
        LedgerError: the ledger's outcomes are not those this search would have asked for.
    """
    _check(space, ledger)
    earlier = [Outcome(number, 0, o.candidate, goal.judge(o.score)) for number, o in enumerate(earlier)]
    searched = [outcome for outcome in ledger.outcomes if outcome.batch >= 0]
    waiting, tries = [outcome for outcome in settled(searched) if is_open(outcome.score)], repeats(searched)
    again = again or (lambda outcome: next(runner([outcome.candidate], searched)))
    batch = searched[-1].batch if searched else 0
    seconds = sum(outcome.score.seconds for outcome in searched)
    begun = sum(outcome.batch == batch for outcome in searched)
    least = min(price(goal.ladder, passed) for passed in range(len(goal.ladder) + 1))
    paid, counted = 0.0, 0
    while True:
        whole = len(searched) - begun
        history, done = searched[:whole], [outcome for outcome in searched[whole:] if outcome.number not in tries]
        paid += sum(cost(outcome.score) for outcome in searched[counted:whole] if outcome.number not in tries)
        counted = whole
        left = budget.candidates - paid
        asked = []
        if n := min(budget.batch, int(left / least + 1e-9)):
            known = settled(history)
            options = {"seed": derive(seed, "sampler", batch), "goal": goal, "first": first}
            asked = ask(space, sampler, earlier, known, n, **options)
        within = affordable(asked, left, rungs_passed(history), goal.ladder) if goal.ladder else asked
        if not n or (asked and not within):
            return f"{len(searched)} candidates scored, as asked" if not goal.ladder else _ladder_end(searched, paid)
        asked = sorted(within, key=space.place)
        _check_asked(done, asked, batch)
        if not asked:
            but = ", but for earlier ones" if earlier else ""
            return f"all {len(searched)} candidates of the space are scored{but}"
        results = runner(asked[len(done) :], history)
        for candidate in asked[len(done) :]:
            if budget.minutes is not None and seconds / 60 >= budget.minutes:
                return f"{seconds / 60:.1f} minutes of scoring, as asked"
            if budget.stop(len(searched)):
                return f"{len(searched)} candidates scored, as planned"
            result = goal.judge(next(results))
            ledger.append(Outcome(number=len(ledger.outcomes), batch=batch, candidate=candidate, score=result))
            searched.append(ledger.outcomes[-1])
            seconds += result.seconds
            on_outcome(searched[-1])
        for outcome, result in _retried(again, waiting):
            ledger.append(Outcome(len(ledger.outcomes), batch, outcome.candidate, goal.judge(result)))
            searched.append(ledger.outcomes[-1])
            tries.add(searched[-1].number)
        batch, begun, waiting = batch + 1, 0, []


def _check(space: Space, ledger: Ledger) -> None:
    """Raises LedgerError unless all candidates of a ledger are of the space."""
    for outcome in ledger.outcomes:
        try:
            space.check(outcome.candidate)
        except SpaceError as error:
            raise LedgerError(
                f"ledger {str(ledger.path)!r} line {outcome.number + 1} was edited, or is of another space ({error}): "
                "restore it, or start a new run with another --out"
            ) from error


def _check_asked(done: Sequence[Outcome], asked: Sequence[Candidate], batch: int) -> None:
    """Raises LedgerError unless what is done of a batch is what this search asks for first."""
    if [outcome.candidate for outcome in done] != asked[: len(done)]:
        raise LedgerError(
            f"batch {batch} of the ledger is not what this search asks for: it is of another version, or edited; "
            "start a new run with another --out"
        )


def _retried(again: Callable[[Outcome], Score], waiting: Iterable[Outcome]) -> Iterator[tuple[Outcome, Score]]:
    """Those that another try gave a score, with it."""
    for outcome in waiting:
        if (result := _tried(again, outcome)) is not None:
            yield outcome, result


def _tried(again: Callable[[Outcome], Score], outcome: Outcome) -> Score | None:
    """What came of another try; None where memory does not suffice still."""
    try:
        score = again(outcome)
    except Exception as error:
        if is_short(error):
            return None
        raise
    return None if is_open(score) else score


def _ladder_end(searched: Sequence[Outcome], paid: float) -> str:
    whole = sum(outcome.score.state != "pruned" for outcome in searched)
    begun = len({outcome.candidate for outcome in searched})
    return f"{begun} candidates begun and {whole} of them scored to the end for {paid:.4g} evaluations, as asked"


def ask(
    space: Space,
    sampler: Sampler,
    earlier: Sequence[Outcome],
    history: Sequence[Outcome],
    n: int,
    *,
    seed: int,
    goal: Goal,
    first: Sequence[Candidate] = (),
) -> list[Candidate]:
    """Up to ``n`` candidates to score next, none of them in ``history``.

    Those of ``first`` that are not in it come before all others, in batches of their own. After a warm start the next
    are those on the front of the earlier results, to be scored anew here. All else the sampler says, to whom earlier
    results are the first batch of its history; of what has been scored both earlier and here it sees the score from
    here. To the sampler the goal's floor of accuracy is one more bound.
    """
    known, seen = list(history), {outcome.candidate for outcome in history}
    if given := [candidate for candidate in first if candidate not in seen][:n]:
        return given
    if earlier:
        known = [outcome for outcome in earlier if outcome.candidate not in seen]
        known += [replace(o, number=len(earlier) + o.number, batch=o.batch + 1) for o in history]
    goal = goal.floored(outcome.score for outcome in known)
    known = [replace(outcome, score=goal.judge(outcome.score)) for outcome in known]
    front: list[Candidate] = []
    if earlier and not history:
        scored = [outcome for outcome in known if outcome.score.state == "ok"]
        values = goal.values([outcome.score for outcome in scored])
        places = spread(values, goal.senses, n, log=[name in COUNT_LIKE for name in goal.objectives])
        front = list(dict.fromkeys(scored[place].candidate for place in places))
    return front + sampler(space, known, n - len(front), seed, goal) if len(front) < n else front
