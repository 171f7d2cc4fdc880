"""Successive halving of finalists: many begin their training, and the better half goes on, again and again.

(Jamieson and Talwalkar, AISTATS 2016; Li et al., Hyperband, JMLR 2018.) After epochs 1, 2, 4, ... all that are left are
measured on the validation split, and the half of best non-dominated rank goes on, within a rank the least crowded, till
as many are left as shall be trained to the end; the last rung leaves no more. Constraints as in NSGA-II: what keeps
them first, then the nearest to it, then the silent. Each training is one schedule over all epochs that is paused at a
rung, so who comes through ends with the weights that it has without rungs.

What a rung measured is kept before anything follows from it, so a run that is killed decides as one that is not.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evaluators.supernet import NOT_THE_CANDIDATES_FAULT, failure
from results.earlier import to_lines
from results.folder import RunFolder
from results.ledger import Ledger, Outcome, read
from search.finalists import Finalist, Training, record, recorded, train
from search.goal import Goal
from search.progress import Stage
from search.samplers.nsga2 import select
from spaces.candidate import Score
from spaces.errors import LedgerError
from spaces.files import write_atomic


def halve(pool: Sequence[Finalist], training: Training, ledger: Ledger, k: int, stage: Stage) -> list[Finalist]:
    """The up to ``k`` of a pool that shall be trained to the end, trained to their last rung; the others are recorded.

    Those are ``pruned`` outcomes with what they had, or failed ones. The test split is not read.
    """
    known = [recorded(one, ledger) for one in pool]
    if all(known):
        return [one for one, outcome in zip(pool, known, strict=True) if outcome.score.state != "pruned"]
    left, total = list(pool), training.plan.epochs
    steps = rungs(total)
    for epochs in steps:
        if len(left) <= k:
            break
        measured = _measured(left, training, epochs, stage)
        places = standing(measured, training.goal)
        room = k if epochs == steps[-1] else max(k, len(left) // 2)
        on = set(places[:room])
        for index, (one, outcome) in enumerate(zip(left, measured, strict=True)):
            if index not in on:
                place = places.index(index) + 1 if index in places else None
                why = outcome.score.error or f"{place}. of {len(left)} by rank and crowding, {len(on)} went on"
                record(
                    one, training, ledger, _stopped(outcome.score, f"stopped after {epochs} of {total} epochs: {why}")
                )
        left = [replace(left[index], seconds=measured[index].score.seconds) for index in sorted(on)]
    return left


def rungs(epochs: int) -> list[int]:
    """The epochs after which some stop: 1, 2, 4, ..., all before the last.

    >>> rungs(5), rungs(4), rungs(1)
    ([1, 2, 4], [1, 2], [])
    """
    return [2**i for i in range(epochs.bit_length()) if 2**i < epochs]


def standing(measured: Sequence[Outcome], goal: Goal) -> list[int]:
    """Places of outcomes, best first; those that failed are left out."""
    index = {outcome.candidate: place for place, outcome in enumerate(measured)}
    ranked = [index[candidate] for candidate in select(measured, goal, len(measured))]
    seen = set(ranked)
    silent = [i for i, outcome in enumerate(measured) if i not in seen and outcome.score.state != "failed"]
    return ranked + silent


def forget(folder: RunFolder) -> None:
    """Drops what rungs measured, once all that follows from it is recorded."""
    for path in folder.checkpoints.glob("rung-*.jsonl"):
        path.unlink()


def _stopped(score: Score, why: str) -> Score:
    return score if score.state == "failed" else replace(score, state="pruned", error=why)


def _measured(left: Sequence[Finalist], training: Training, epochs: int, stage: Stage) -> list[Outcome]:
    """What each is worth after so many epochs, in order; read where it was kept."""
    path = training.folder.checkpoints / f"rung-{epochs}.jsonl"
    kept = _kept(path)
    if [outcome.candidate for outcome in kept] == [one.outcome.candidate for one in left]:
        return kept
    tell = stage(f"{len(left)} finalists to epoch {epochs} of {training.plan.epochs}", "candidates")
    measured = []
    for number, one in enumerate(left):
        tell(number, len(left))
        measured.append(Outcome(number, -1, one.outcome.candidate, _score(one, training, epochs)))
    tell(len(left), len(left))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, to_lines(measured))
    return measured


def _kept(path: Path) -> list[Outcome]:
    try:
        return read(path)[0]
    except LedgerError:  # damaged: measured anew
        return []


def _score(finalist: Finalist, training: Training, epochs: int) -> Score:
    try:
        return train(finalist, training, until=epochs).score
    except NOT_THE_CANDIDATES_FAULT:
        raise
    except Exception as error:
        return failure(error, fidelity="trained", seconds=finalist.seconds)
