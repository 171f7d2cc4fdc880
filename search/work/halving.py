"""Successive halving of finalists: many begin their training, and the better half goes on, again and again.

(Jamieson and Talwalkar, AISTATS 2016; Li et al., Hyperband, JMLR 2018.) After epochs 1, 2, 4, ... all that are left are
measured on the validation split, and the half of best non-dominated rank goes on, within a rank the least crowded, till
as many are left as shall be trained to the end; the last rung leaves no more. Constraints as in NSGA-II: what keeps
them first, then the nearest to it, then the silent. Each training is one schedule over all epochs that is paused at a
rung, so who comes through ends with the weights that it has without rungs.

What a rung measured is kept before anything follows from it, so a run that is killed decides as one that is not.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from results.earlier import to_lines
from results.folder import RunFolder
from results.ledger import Ledger, Outcome, read
from search.loop.goal import Goal
from search.loop.progress import Stage
from search.samplers.nsga2 import select
from search.work.finalists import Carry, Finalist, Training, carried_here, record, recorded
from spaces.candidate import Score
from spaces.errors import DamageWarning, LedgerError
from spaces.files import write_atomic


def halve(
    pool: Sequence[Finalist], training: Training, ledger: Ledger, k: int, stage: Stage, carry: Carry | None = None
) -> list[Finalist]:
    """The up to ``k`` of a pool that shall be trained to the end, trained to their last rung; the others are recorded.

    Those are ``pruned`` outcomes with what they had, or failed ones. The test split is not read.
    """
    known = [recorded(one, ledger) for one in pool]
    if all(known):
        return [one for one, outcome in zip(pool, known, strict=True) if outcome.score.state != "pruned"]
    last = (rungs(training.plan.epochs) or [0])[-1]
    return thin(
        pool,
        training,
        carry or carried_here(training),
        room=lambda measured, epochs: k if epochs == last else max(k, len(measured) // 2),
        stop=lambda finalist, score: record(finalist, training, ledger, score),
        stage=stage,
    )


def thin(
    pool: Sequence[Finalist],
    training: Training,
    carry: Carry,
    *,
    room: Callable[[Sequence[Outcome], int], int],
    stop: Callable[[Finalist, Score], object],
    stage: Stage,
    name: str = "rung",
) -> list[Finalist]:
    """Those of a pool that no rung stops, trained to their last rung.

    Args:
        pool: who begins.
        training: what for.
        carry: has them trained.
        room: (what those that are left were measured at, epochs) -> how many go on; with room for all nothing is asked.
        stop: told of each that is stopped, with its ``pruned`` or failed score.
        stage: shows progress.
        name: of the files that keep what rungs measured.
    """
    left, total = list(pool), training.plan.epochs
    for epochs in rungs(total):
        if len(left) <= room([one.outcome for one in left], epochs):
            break
        measured = _measured(left, training, carry, epochs, stage, name)
        places = ranking(measured, training.goal)
        on = set(places[: room(measured, epochs)])
        for index, (one, outcome) in enumerate(zip(left, measured, strict=True)):
            if index not in on:
                place = places.index(index) + 1 if index in places else None
                why = outcome.score.error or f"{place}. of {len(left)} by rank and crowding, {len(on)} went on"
                stop(one, _stopped(outcome.score, f"stopped after {epochs} of {total} epochs: {why}"))
        left = [replace(left[index], seconds=measured[index].score.seconds) for index in sorted(on)]
    return left


def rungs(epochs: int) -> list[int]:
    """The epochs after which some stop: 1, 2, 4, ..., all before the last.

    >>> rungs(5), rungs(4), rungs(1)
    ([1, 2, 4], [1, 2], [])
    """
    return [2**i for i in range(epochs.bit_length()) if 2**i < epochs]


def ranking(measured: Sequence[Outcome], goal: Goal) -> list[int]:
    """Places of outcomes, best first; those that failed are left out."""
    index = {outcome.candidate: place for place, outcome in enumerate(measured)}
    ranked = [index[candidate] for candidate in select(measured, goal, len(measured))]
    seen = set(ranked)
    silent = [i for i, outcome in enumerate(measured) if i not in seen and outcome.score.state != "failed"]
    return ranked + silent


def forget(folder: RunFolder) -> None:
    """Drops what rungs measured, once all that follows from it is recorded."""
    for path in folder.checkpoints.glob("*rung-*.jsonl"):
        path.unlink()


def _stopped(score: Score, why: str) -> Score:
    return score if score.state == "failed" else replace(score, state="pruned", error=why)


def _measured(
    left: Sequence[Finalist], training: Training, carry: Carry, epochs: int, stage: Stage, name: str
) -> list[Outcome]:
    """What each is worth after so many epochs, in order; read where it was kept."""
    path = training.folder.checkpoints / f"{name}-{epochs}.jsonl"
    kept = _kept(path)
    if [outcome.candidate for outcome in kept] == [one.outcome.candidate for one in left]:
        return kept
    tell = stage(f"{len(left)} to epoch {epochs} of {training.plan.epochs}", "candidates")
    measured: list[Outcome] = []
    tell(0, len(left))
    for one, score in zip(left, carry(left, epochs), strict=True):
        measured.append(Outcome(len(measured), -1, one.outcome.candidate, score))
        tell(len(measured), len(left))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, to_lines(measured))
    return measured


def _kept(path: Path) -> list[Outcome]:
    try:
        return read(path, way_out="what it held is measured anew")[0]
    except LedgerError as error:
        warnings.warn(str(error), DamageWarning, stacklevel=2)
        return []
