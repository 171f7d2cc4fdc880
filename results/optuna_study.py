"""A run as Optuna studies in an SQLite file, which optuna-dashboard and ``optuna.load_study`` read.

Fidelities are never mixed: the outcomes of the search are the study NAME; those of another fidelity, such as finalists,
are NAME-FIDELITY. One transaction writes them into the file itself, whoever else has it open.
"""

import json
import os
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from results.ledger import Outcome, record
from results.optuna_tables import (
    CONSTRAINTS,
    StoredStudy,
    connected,
    drop_study,
    empty_tables,
    fault_of,
    foreign_trials,
    is_empty,
    put_study,
    study_marks,
    transaction,
)
from spaces.candidate import FIDELITIES, Score
from spaces.errors import RunError
from spaces.files import kind_of, reason

MARK, NUMBER = "spikefront_run", "number"


def export_optuna(
    path: Path,
    outcomes: Sequence[Outcome],
    *,
    name: str,
    run: str,
    began: datetime,
    distributions: Mapping[str, BaseDistribution],
    objectives: Mapping[str, int],
    misses: Callable[[Score], Mapping[str, float]],
) -> list[str]:
    """Writes the studies of a run into the SQLite file at ``path``, beside what it holds; returns their names.

    Args:
        path: the file; made if missing; links are followed. Studies that this run wrote before are brought up to date.
        outcomes: the ledger's outcomes.
        name: of the study of the search.
        run: tells this run from others: a text that no other run has.
        began: when the run began; trials follow each other from there by their seconds.
        distributions: the space's blanks.
        objectives: name -> +1 (maximise) or -1 (minimise).
        misses: a score's violation of each constraint; empty or all 0 where it keeps them.

    Raises:
        RunError: see :func:`check_target`; or the file cannot be written, and is as it was.
    """
    path = Path(path)
    _check_kind(path)
    studies = _studies(outcomes, name, run, began.astimezone(UTC), distributions, objectives, misses)
    try:
        with connected(path.resolve()) as file:
            tables = empty_tables() if is_empty(file) else []
            with transaction(file):
                _check(file, path, name, run)
                for statement in tables if is_empty(file) else ():
                    file.execute(statement)
                for left in {*_names(name)} - {study.name for study in studies}:
                    drop_study(file, left)
                for study in studies:
                    put_study(file, study)
    except (sqlite3.Error, OSError) as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise RunError(_no_study_file(path, reason(error))) from error
        raise RunError(
            f"study file {str(path)!r} cannot be written ({reason(error)}) and is as it was: free space, make it "
            "writable or let others end who write to it, then `launch.py report RUN --export-optuna FILE`"
        ) from error
    return [study.name for study in studies]


def check_target(path: Path, *, name: str, run: str) -> None:
    """Raises RunError unless studies of ``name`` can be written to ``path``.

    It must be a regular file or none yet, hold nothing but Optuna's tables, and no study of these names by others.
    """
    path = Path(path)
    _check_kind(path)
    if not path.exists():
        return
    if not os.access(path, os.W_OK):
        raise RunError(f"--export-optuna {str(path)!r} cannot be written: make it writable, or name another file")
    try:
        with connected(path.resolve()) as file:
            file.execute("PRAGMA query_only = ON")
            _check(file, path, name, run)
    except (sqlite3.Error, OSError) as error:
        raise RunError(_no_study_file(path, reason(error))) from error


def _check_kind(path: Path) -> None:
    """Raises RunError unless ``path``, or where it links to, is a regular file, or one can be made there."""
    try:
        kind = kind_of(path)
    except FileNotFoundError:
        if not path.resolve().parent.is_dir():
            home = str(path.resolve().parent if path.is_symlink() else path.parent)
            raise RunError(f"--export-optuna {str(path)!r}: there is no folder {home!r}; make it first") from None
        return
    except (OSError, ValueError) as error:
        raise RunError(f"--export-optuna {str(path)!r} cannot be used ({reason(error)}): name another file") from error
    if kind != "file":
        raise RunError(f"--export-optuna {str(path)!r} is a {kind}: name a regular file, or a new one")


def _check(file: sqlite3.Connection, path: Path, name: str, run: str) -> None:
    if fault := fault_of(file):
        raise RunError(_no_study_file(path, fault))
    marks = study_marks(file, MARK)
    for study in _names(name):
        if study in marks and marks[study] != json.dumps(run):
            raise RunError(
                f"--export-optuna {str(path)!r} holds a study {study!r} of another run already: name another file"
            )
        if study in marks and (count := foreign_trials(file, study, NUMBER)):
            raise RunError(
                f"--export-optuna {str(path)!r}: study {study!r} holds trials that this run did not write ({count}), "
                "and they would be lost: name another file"
            )


def _no_study_file(path: Path, fault: str) -> str:
    return f"--export-optuna {str(path)!r} is no Optuna study file ({fault}): name a new file, or one with studies"


def _names(name: str) -> list[str]:
    """Names of all studies that a run may have."""
    return [name, *(f"{name}-{fidelity}" for fidelity in FIDELITIES)]


def _studies(
    outcomes: Sequence[Outcome],
    name: str,
    run: str,
    began: datetime,
    distributions: Mapping[str, BaseDistribution],
    objectives: Mapping[str, int],
    misses: Callable[[Score], Mapping[str, float]],
) -> list[StoredStudy]:
    trials: dict[str, list[FrozenTrial]] = {name: []}
    searched = max((FIDELITIES.index(o.score.fidelity) for o in outcomes if o.batch >= 0), default=0)
    missed = [misses(outcome.score) for outcome in outcomes]
    bounds = dict.fromkeys(bound for one in missed for bound in one)
    for outcome, one in zip(outcomes, missed, strict=True):
        fidelity = outcome.score.fidelity
        study = name if FIDELITIES.index(fidelity) == searched and outcome.batch >= 0 else f"{name}-{fidelity}"
        began_now, began = began, began + timedelta(seconds=outcome.score.seconds)
        every = {bound: min(one.get(bound, 0.0), sys.float_info.max) for bound in bounds}
        trials.setdefault(study, []).append(_trial(outcome, distributions, objectives, every, began_now, began))
    return [
        StoredStudy(name=one, objectives=objectives, user_attrs={MARK: run}, trials=rows)
        for one, rows in trials.items()
    ]


def _trial(
    outcome: Outcome,
    distributions: Mapping[str, BaseDistribution],
    objectives: Mapping[str, int],
    misses: Mapping[str, float],
    start: datetime,
    end: datetime,
) -> FrozenTrial:
    """An outcome as a trial: ``ok`` and ``infeasible`` ones are COMPLETE where they have all values, else FAIL.

    Constraints stand in it twice: by name for Optuna 5, and as Optuna 4 had them, a list, for optuna-dashboard. Every
    trial has them all: Optuna's GP sampler refuses a study where they differ in number.
    """
    facts = record(outcome)
    del facts["param"]
    facts |= facts.pop("columns", {})
    values = [outcome.score.figure(name) for name in objectives]
    known = outcome.score.state != "failed" and all(value is not None for value in values)
    state = TrialState.PRUNED if outcome.score.state == "pruned" else TrialState.COMPLETE if known else TrialState.FAIL
    trial = create_trial(
        state=state,
        params=dict(outcome.candidate),
        distributions=dict(distributions),
        values=[float(value) for value in values] if known and state == TrialState.COMPLETE else None,
        user_attrs=facts,
        system_attrs={CONSTRAINTS: list(misses.values())} if known and misses else None,
        constraints=dict(misses) if known and misses else None,
    )
    trial.datetime_start, trial.datetime_complete = start, end
    return trial
