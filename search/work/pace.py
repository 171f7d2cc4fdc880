"""Pace: how long steps of training and evaluation take here, measured on the run's own data, for a few steps."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from statistics import median

from torch import nn

from evaluators.building import build_alone
from evaluators.evaluation import evaluate
from evaluators.plan import Plan
from evaluators.setting import Setting
from evaluators.supernet import steps_of, train_supernet
from evaluators.tasks.task import batch_count
from evaluators.training import fit
from spaces.candidate import Candidate
from spaces.weights import inherit

STEPS, FIRST = 8, 2  # steps that are taken, and those of them that are not measured, since they warm up
SAMPLES = 256  # that an evaluation is measured on


class _EnoughError(Exception):
    """Ends a training that was only measured."""


@dataclass(frozen=True)
class Pace:
    """Seconds of a step of training: at the smallest T of the schedule, and at full T."""

    least: float
    full: float

    def of(self, plan: Plan, full: int) -> float:
        """Mean seconds of a step under a plan; between the two T, in proportion."""
        smallest = min([t for t, _ in plan.time_schedule if t < full], default=full)
        part = plan.cost(full)  # of the time steps
        least = smallest / full
        return self.full if least == 1 else self.least + (self.full - self.least) * (part - least) / (1 - least)


def supernet_pace(setting: Setting) -> Pace:
    """The pace of training a setting's supernet; nothing of it is kept."""
    recipe = setting.recipe
    once = replace(recipe, few_shot=None, supernets=1)

    def run(plan: Plan, on_step: Callable[[int, int], None]) -> None:
        train_supernet(replace(setting, recipe=replace(once, plan=plan)), on_step=on_step)

    full = setting.space.timesteps
    return Pace(_measured(_smallest(recipe.plan, full), run), _measured(replace(recipe.plan, time_schedule=()), run))


def supernet_seconds(setting: Setting, pace: Pace) -> float:
    """Seconds that the training of a setting's supernet, or of all of them, will take."""
    recipe = setting.recipe
    return steps_of(setting) * recipe.supernets * pace.of(recipe.plan, setting.space.timesteps)


def finalist_pace(setting: Setting, supernet: nn.Module | None, candidate: Candidate, of_supernet: Pace) -> Pace:
    """The pace of a candidate's own training: measured at the smallest T; at full T as the supernet's is to its own."""
    steps, plan = setting.space.steps(candidate), setting.recipe.plan

    def run(plan: Plan, on_step: Callable[[int, int], None]) -> None:
        network = build_alone(setting, candidate)
        if supernet is not None:
            inherit(network, supernet)
        fit(network, setting.task, plan, seed=0, timesteps=steps, device=setting.device, on_step=on_step)

    least = _measured(_smallest(plan, steps), run)
    return Pace(least, least * of_supernet.full / of_supernet.least)


def epoch_seconds(setting: Setting, pace: Pace, plan: Plan, full: int) -> float:
    """Seconds of a pass over the training split under a plan."""
    return batch_count(setting.task.train, plan.batch_size, drop_last=True) * pace.of(plan, full)


def evaluation_seconds(setting: Setting, supernet: nn.Module | None, candidate: Candidate) -> float:
    """Seconds of judging a candidate on the validation and the test split."""
    network = build_alone(setting, candidate)
    if supernet is not None:
        inherit(network, supernet)
    task = setting.task
    some = task.validation.first(SAMPLES)
    for _ in range(2):  # what the first compiles is not measured
        begun = time.perf_counter()
        evaluate(network, task, some, device=setting.device)
    return (time.perf_counter() - begun) / len(some) * (len(task.validation) + len(task.test))


def _smallest(plan: Plan, full: int) -> Plan:
    """The plan at the smallest T of its schedule throughout, where that is smaller than the full one."""
    smallest = min([t for t, _ in plan.time_schedule if t < full], default=full)
    return replace(plan, time_schedule=((smallest, 1.0),) if smallest < full else ())


def _measured(plan: Plan, run: Callable[[Plan, Callable[[int, int], None]], None]) -> float:
    """Median seconds of a step under one T."""
    marks: list[float] = []

    def on_step(done: int, total: int) -> None:
        marks.append(time.perf_counter())
        if done >= min(STEPS, total):
            raise _EnoughError

    begun = time.perf_counter()
    with suppress(_EnoughError):
        run(plan, on_step)
    gaps = [later - before for before, later in zip([begun, *marks[:-1]], marks, strict=True)]
    return median(gaps[FIRST:] or gaps)
