"""Planning: a run that is given minutes shares them out among supernet, scoring and finalists by measured pace.

What was asked for (epochs, candidates, finalists) is the most; the plan says how much of it there is time for. It is
kept in the run's folder before it is acted on, so that a resume trains and scores the same.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from torch import nn

from evaluators.few_shot import supernet_of
from evaluators.setting import Setting
from results.folder import RunFolder
from results.ledger import Ledger
from results.timing import TimePlan, read_plan, write_plan
from search.options.config import Config
from search.work.finalists import Finalist, Training
from search.work.pace import Pace, epoch_seconds, evaluation_seconds, finalist_pace, supernet_pace, supernet_seconds

REPORT = 3.0  # seconds that are kept for the tables and the report
SUPERNET, SCORING = 0.3, 0.15  # share of what is left at its beginning that a stage may take, where finalists follow
LAST_SUPERNET = 0.55  # of the supernet, where none follow
LEAST_SCORED = 4
LEAST_EPOCHS = 3  # of a finalist, before another one is trained beside it
SLACK = 0.9  # share of the time for finalists that is planned, since paces are measured on few steps


@dataclass
class Clock:
    """The time of a run that was given some; its plan changes as stages are planned and end.

    Attributes:
        folder: where the plan is kept.
        plan: as it stands.
        began: when this session did, by ``time.monotonic``.
        before: seconds that earlier sessions took.
    """

    folder: RunFolder
    plan: TimePlan
    began: float
    before: float = 0.0

    def left(self) -> float:
        """Seconds that are left for all but the report."""
        return self.plan.minutes * 60 - self.before - (time.monotonic() - self.began) - REPORT

    def keep(self, plan: TimePlan) -> None:
        """Takes a plan, and keeps it in the folder."""
        self.plan = plan
        write_plan(self.folder, plan)

    @contextmanager
    def spending(self, stage: str) -> Iterator[None]:
        """Within, time goes to a stage, whether it ends or is cut off."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.keep(self.plan.after(stage, time.monotonic() - begun))


def clock_of(folder: RunFolder, config: Config, began: float) -> Clock | None:
    """The clock of a run, or of its resume; None where it was given no time."""
    if config.search.minutes is None:
        return None
    plan = read_plan(folder) or TimePlan(minutes=config.search.minutes)
    clock = Clock(folder, plan, began, sum(plan.spent.values()))
    clock.keep(plan.after("start", time.monotonic() - began))
    return clock


@contextmanager
def spending(clock: Clock | None, stage: str) -> Iterator[None]:
    """As of a clock; without one, nothing is counted."""
    if clock is None:
        yield
        return
    with clock.spending(stage):
        yield


def planned_supernet(clock: Clock | None, config: Config, setting: Setting) -> Setting:
    """The setting with as many epochs of the supernet's training as there is time for, at least one."""
    if clock is None:
        return setting
    recipe = setting.recipe
    if clock.plan.supernet_epochs is None:
        share = SUPERNET if config.finalists.count else LAST_SUPERNET
        pace = supernet_pace(setting)
        part = min(1.0, share * max(clock.left(), 0.0) / max(supernet_seconds(setting, pace), 1e-9))
        epochs, few = (max(1, int(part * whole)) for whole in (recipe.plan.epochs, recipe.few_shot_epochs))
        clock.keep(replace(clock.plan, supernet_epochs=epochs, few_shot_epochs=few, pace=(pace.least, pace.full)))
    plan = replace(recipe.plan, epochs=clock.plan.supernet_epochs)
    return replace(setting, recipe=replace(recipe, plan=plan, few_shot_epochs=clock.plan.few_shot_epochs))


class Scoring:
    """When to stop scoring, as planned: ``limit`` candidates at most, and before that when the time is over."""

    def __init__(self, clock: Clock, config: Config, ledger: Ledger) -> None:
        plan, searched = clock.plan, [one for one in ledger.outcomes if one.batch >= 0]
        if plan.scoring_seconds is None:
            share = SCORING / (1 - SUPERNET) if config.finalists.count else 1.0
            clock.keep(replace(plan, scoring_seconds=max(share * clock.left(), 0.0)))
        recorded = sum(one.score.seconds for one in searched)  # what a session that was killed has not told of
        self.limit = clock.plan.candidates
        self.until = time.monotonic() + clock.plan.scoring_seconds - max(plan.spent.get("scoring", 0.0), recorded)

    def stop(self, scored: int) -> bool:
        """Whether to stop after so many candidates."""
        if self.limit is not None:
            return scored >= self.limit
        return scored >= LEAST_SCORED and time.monotonic() >= self.until

    def status(self) -> str:
        """What is left of the time, in words."""
        return "" if self.limit is not None else f"{max(self.until - time.monotonic(), 0):.0f} s planned"


def scored(clock: Clock | None, ledger: Ledger) -> None:
    """Keeps how many candidates were scored in the time planned."""
    if clock is not None and clock.plan.candidates is None:
        clock.keep(replace(clock.plan, candidates=sum(one.batch >= 0 for one in ledger.outcomes)))


def planned_finalists(
    clock: Clock | None, training: Training, chosen: Sequence[Finalist], count: int, workers: int = 1
) -> tuple[Training, int]:
    """How finalists are trained and how many, of those chosen, as there is time for: at least one, for an epoch.

    Where there is no time for all of the epochs at full T, they are trained by the supernet's time schedule.
    """
    if clock is None or not chosen or not count:
        return training, count
    if clock.plan.finalists is None:
        clock.keep(_with_finalists(clock, training, chosen[0], min(count, len(chosen)), workers))
    plan, schedule = clock.plan, training.setting.recipe.plan.time_schedule
    own = replace(training.plan, epochs=plan.finalist_epochs, time_schedule=schedule if plan.shortened else ())
    return replace(training, plan=own), plan.finalists


def _with_finalists(clock: Clock, training: Training, first: Finalist, count: int, workers: int) -> TimePlan:
    setting, candidate, plan = training.setting, first.outcome.candidate, training.plan
    weights: nn.Module | None = supernet_of(training.supernet, candidate) if training.inherited else None
    short = replace(plan, time_schedule=setting.recipe.plan.time_schedule)
    pace = finalist_pace(setting, weights, candidate, Pace(*clock.plan.pace))
    steps = setting.space.steps(candidate)
    full_epoch, short_epoch = (epoch_seconds(setting, pace, one, steps) for one in (plan, short))
    judging = evaluation_seconds(setting, weights, candidate)
    seconds = SLACK * max(clock.left(), 0.0) * workers
    for number in range(count, 0, -1):
        each = seconds / number - judging
        if each >= plan.epochs * full_epoch:
            return replace(clock.plan, finalists=number, finalist_epochs=plan.epochs, shortened=False)
        epochs = min(plan.epochs, int(each / short_epoch))
        if number == 1 or epochs >= min(plan.epochs, LEAST_EPOCHS):
            shortened = bool(short.time_schedule)
            return replace(clock.plan, finalists=number, finalist_epochs=max(1, epochs), shortened=shortened)
    raise AssertionError("a count of finalists is at least 1")
