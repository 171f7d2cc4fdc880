"""The loop: ask a sampler for a batch, have it scored, record every outcome in order, until the budget is spent."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from results.ledger import Ledger, Outcome
from search.goal import Goal
from search.samplers import Sampler
from spaces.candidate import Candidate, Score
from spaces.errors import LedgerError
from spaces.seeds import derive
from spaces.space import Space

Runner = Callable[[Callable[[Candidate], Score], Sequence[Candidate]], Iterator[Score]]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When to stop: after ``candidates`` scores, or ``minutes`` of scoring; asked for ``batch`` at a time."""

    candidates: int
    minutes: float | None = None
    batch: int = 20


def in_process(score: Callable[[Candidate], Score], candidates: Sequence[Candidate]) -> Iterator[Score]:
    """The runner that scores here, one candidate after the other."""
    return map(score, candidates)


def search(
    space: Space,
    ledger: Ledger,
    sampler: Sampler,
    score: Callable[..., Score],
    *,
    goal: Goal,
    budget: Budget,
    seed: int,
    runner: Runner = in_process,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> str:
    """Runs, or goes on with, a search until its budget is spent or its space exhausted; returns why it ended.

    What the sampler sees is the outcomes of whole batches, and a batch's seed is derived from its index. So going on
    after a kill asks the same questions again, skips what is recorded, and ends with the same ledger. A batch is scored
    in the order of the tree of fillings, so that candidates which begin alike follow each other.

    Args:
        space, sampler, goal, seed: what is searched, how, for what, and the name of all random choices.
        ledger: where outcomes stand and go.
        score: called as ``score(candidate, history=outcomes)`` with the outcomes of all whole batches before.
        budget: when to stop.
        runner: carries candidates to where they are scored, and brings the scores back in order.
        on_outcome: told of each new outcome.

    Raises:
        LedgerError: the ledger's outcomes are not those this search would have asked for.
    """
    batch = max((outcome.batch for outcome in ledger.outcomes), default=0)
    batch = max(batch, 0)
    while True:
        searched = [outcome for outcome in ledger.outcomes if outcome.batch >= 0]
        history = [outcome for outcome in searched if outcome.batch < batch]
        done = searched[len(history) :]
        n = min(budget.batch, budget.candidates - len(history))
        if n <= 0:
            return f"{len(searched)} candidates scored, as asked"
        asked = sorted(sampler(space, history, n, derive(seed, "sampler", batch), goal), key=space.place)
        if [outcome.candidate for outcome in done] != asked[: len(done)]:
            raise LedgerError(
                f"batch {batch} of the ledger is not what this search asks for: it is of another version, or edited; "
                "start a new run with another --out"
            )
        if not asked:
            return f"all {len(searched)} candidates of the space are scored"
        results = runner(partial(score, history=history), asked[len(done) :])
        for candidate in asked[len(done) :]:
            if budget.minutes is not None and _minutes(ledger.outcomes) >= budget.minutes:
                return f"{_minutes(ledger.outcomes):.1f} minutes of scoring, as asked"
            result = next(results)
            outcome = Outcome(number=len(ledger.outcomes), batch=batch, candidate=candidate, score=goal.judge(result))
            ledger.append(outcome)
            on_outcome(outcome)
        batch += 1


def _minutes(outcomes: Sequence[Outcome]) -> float:
    return sum(outcome.score.seconds for outcome in outcomes if outcome.batch >= 0) / 60
