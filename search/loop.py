"""The loop: ask a sampler for a batch, have it scored, record every outcome in order, until the budget is spent."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from results.front import spread
from results.ledger import Ledger, Outcome
from search.goal import Goal
from search.samplers import Sampler
from spaces.candidate import COUNT_LIKE, Candidate, Score
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
    earlier: Sequence[Outcome] = (),
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
        earlier: results of another search of the same space, for a warm start; see :func:`ask`.
        runner: carries candidates to where they are scored, and brings the scores back in order.
        on_outcome: told of each new outcome.

    Raises:
        LedgerError: the ledger's outcomes are not those this search would have asked for.
    """
    earlier = [Outcome(number, 0, o.candidate, goal.judge(o.score)) for number, o in enumerate(earlier)]
    batch = max((outcome.batch for outcome in ledger.outcomes), default=0)
    batch = max(batch, 0)
    while True:
        searched = [outcome for outcome in ledger.outcomes if outcome.batch >= 0]
        history = [outcome for outcome in searched if outcome.batch < batch]
        done = searched[len(history) :]
        n = min(budget.batch, budget.candidates - len(history))
        if n <= 0:
            return f"{len(searched)} candidates scored, as asked"
        asked = ask(space, sampler, earlier, history, n, seed=derive(seed, "sampler", batch), goal=goal)
        asked = sorted(asked, key=space.place)
        if [outcome.candidate for outcome in done] != asked[: len(done)]:
            raise LedgerError(
                f"batch {batch} of the ledger is not what this search asks for: it is of another version, or edited; "
                "start a new run with another --out"
            )
        if not asked:
            return (
                f"all {len(searched)} candidates of the space are scored{', but for earlier ones' if earlier else ''}"
            )
        results = runner(partial(score, history=history), asked[len(done) :])
        for candidate in asked[len(done) :]:
            if budget.minutes is not None and _minutes(ledger.outcomes) >= budget.minutes:
                return f"{_minutes(ledger.outcomes):.1f} minutes of scoring, as asked"
            result = next(results)
            outcome = Outcome(number=len(ledger.outcomes), batch=batch, candidate=candidate, score=goal.judge(result))
            ledger.append(outcome)
            on_outcome(outcome)
        batch += 1


def ask(
    space: Space,
    sampler: Sampler,
    earlier: Sequence[Outcome],
    history: Sequence[Outcome],
    n: int,
    *,
    seed: int,
    goal: Goal,
) -> list[Candidate]:
    """Up to ``n`` candidates to score next, none of them in ``history``.

    After a warm start the first are those on the front of the earlier results, to be scored anew here. All else the
    sampler says, to whom earlier results are the first batch of its history; of what has been scored both earlier and
    here it sees the score from here.
    """
    if not earlier:
        return sampler(space, history, n, seed, goal)
    anew = {outcome.candidate for outcome in history}
    known = [outcome for outcome in earlier if outcome.candidate not in anew]
    known += [replace(o, number=len(earlier) + o.number, batch=o.batch + 1) for o in history]
    first: list[Candidate] = []
    if not history:
        scored = [outcome for outcome in earlier if outcome.score.state == "ok"]
        values = goal.values([outcome.score for outcome in scored])
        places = spread(values, goal.senses, n, log=[name in COUNT_LIKE for name in goal.objectives])
        first = list(dict.fromkeys(scored[place].candidate for place in places))
    return first + sampler(space, known, n - len(first), seed, goal) if len(first) < n else first


def _minutes(outcomes: Sequence[Outcome]) -> float:
    return sum(outcome.score.seconds for outcome in outcomes if outcome.batch >= 0) / 60
