"""A job: a search that is understood and checked, and the part of it in which candidates are searched."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluators.ladder import cost
from results.folder import RunFolder
from results.ledger import Ledger, Outcome
from search.loop.goal import Goal
from search.loop.loop import Budget, Runner, search
from search.loop.memory import repeats
from search.loop.progress import Stage
from search.options.config import Config
from search.samplers import SAMPLERS, Sampler
from spaces import lookup
from spaces.candidate import Candidate, Score
from spaces.errors import RunError
from spaces.space import Space


@dataclass(frozen=True, kw_only=True)
class Job:
    """A search that is understood and checked, and not begun.

    Attributes:
        config: the configuration, with all defaults spelt out.
        space, goal: what is searched, and for what.
        data: name or path of what candidates are scored on.
        provenance: facts about it for config.json; a resume must find the same ``sha256``.
        work: does it all, called as ``work(job, folder, ledger, stage)`` in the locked folder; it goes on from what
            it finds there.
        earlier: results of another run, that a warm start begins from.
        first: candidates that are scored before the sampler is asked.
        began: when the run did, by ``time.monotonic``; its time, where it was given some, counts from there.
        sampler: why the sampler is what it is, where it was chosen.
    """

    config: Config
    space: Space
    goal: Goal
    data: str
    provenance: Mapping[str, Any]
    work: Callable[["Job", RunFolder, Ledger, Stage], None]
    earlier: Sequence[Outcome] = ()
    first: Sequence[Candidate] = ()
    sampler: str = ""
    began: float = 0.0


def search_stage(
    job: Job,
    folder: RunFolder,
    ledger: Ledger,
    stage: Stage,
    runner: Runner,
    status: Callable[[], str] = str,
    *,
    sampler: Sampler | None = None,
    again: Callable[[Outcome], Score] | None = None,
    stop: Callable[[int], bool] | None = None,
) -> str:
    """Searches, or goes on with it, and tells a stage of its progress; returns why it ended.

    The sampler is the configuration's, unless another is given; ``again`` is as of ``search``; ``stop``, as of
    ``Budget``, takes the place of the configuration's minutes. At the end it is kept
    how well a surrogate predicts what was found.
    """
    config = job.config
    total = min(config.search.candidates, int(min(job.space.size, 2**62)))
    tell = stage("search", "candidates", status)
    tries = repeats(ledger.outcomes)
    paid = sum(cost(one.score) for one in ledger.outcomes if one.batch >= 0 and one.number not in tries)
    tell(int(paid), total)

    def on_outcome(outcome: Outcome) -> None:
        nonlocal paid
        paid += cost(outcome.score)
        tell(int(paid), total)

    limits = {"minutes": config.search.minutes} if stop is None else {"stop": stop}
    budget = Budget(candidates=config.search.candidates, batch=config.search.batch, **limits)
    ended = search(
        job.space,
        ledger,
        sampler or lookup(SAMPLERS, "sampler", config.search.sampler),
        runner,
        goal=job.goal,
        budget=budget,
        seed=config.search.seed,
        earlier=job.earlier,
        first=job.first,
        again=again,
        on_outcome=on_outcome,
    )
    from search.predictor import keep_predicted  # torch, which a search in a table may do without till here

    keep_predicted(folder, job.space, ledger.outcomes, job.goal, config.search.seed)
    return ended


def check_data(folder: RunFolder, found: str, data: str) -> None:
    """Raises RunError unless data of this SHA-256 are those of a run."""
    if found != (kept := folder.read_config()["match"].get("data_sha256")):
        raise RunError(
            f"the data at {data!r} are not those of run {str(folder.path)!r} (SHA-256 {found[:12]}, run has "
            f"{str(kept)[:12]}): give the right ones with --data or --data-dir, or --table, or start a new run"
        )
