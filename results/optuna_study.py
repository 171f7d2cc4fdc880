"""A run as Optuna studies in an SQLite file, which optuna-dashboard and ``optuna.load_study`` read.

Fidelities are never mixed: the outcomes of the search are the study NAME; those of another fidelity, such as finalists,
are NAME-FIDELITY. Optuna's own ``add_trials`` takes a transaction a trial and a query a parameter, 30 ms a trial and
more; here its tables are filled at once. The file is made beside its place and moved there whole.
"""

import json
import os
import sqlite3
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState, create_trial

from results.ledger import Outcome, record
from spaces.candidate import FIDELITIES, Score
from spaces.errors import RunError
from spaces.files import reason

MARK = "spikefront_run"
OF_OUTCOMES = (
    models.TrialParamModel,
    models.TrialValueModel,
    models.TrialUserAttributeModel,
    models.TrialSystemAttributeModel,
    models.TrialIntermediateValueModel,
    models.TrialHeartbeatModel,
)


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
        path: the file; made if missing. Studies that this run wrote before are written anew.
        outcomes: the ledger's outcomes.
        name: of the study of the search.
        run: tells this run from others: a text that no other run has.
        began: when the run began, local time; trials follow each other from there by their seconds.
        distributions: the space's blanks.
        objectives: name -> +1 (maximise) or -1 (minimise).
        misses: a score's violation of each constraint; empty or all 0 where it keeps them.

    Raises:
        RunError: see :func:`check_target`; or the file cannot be written.
    """
    path = Path(path)
    check_target(path, name=name, run=run)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if path.exists():
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(temporary)) as copy:
                source.backup(copy)
        written = _write(temporary, outcomes, name, run, began, distributions, objectives, misses)
        temporary.replace(path)
    except (sqlite3.Error, sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, OSError) as error:
        raise RunError(
            f"study file {str(path)!r} cannot be written ({reason(error)}): free space or make it writable, then "
            "`launch.py report RUN --export-optuna FILE`"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return written


def check_target(path: Path, *, name: str, run: str) -> None:
    """Raises RunError unless studies of ``name`` can be written to ``path``: no other file, no other run's study."""
    if not path.parent.is_dir():
        raise RunError(f"--export-optuna {str(path)!r}: there is no folder {str(path.parent)!r}; make it first")
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as file:
            tables = {row[0] for row in file.execute("SELECT name FROM sqlite_master")}
            query = (
                "SELECT study_name, (SELECT value_json FROM study_user_attributes AS a WHERE a.study_id = s.study_id "
                "AND a.key = ?) FROM studies AS s"
            )
            marks = dict(file.execute(query, (MARK,))) if "studies" in tables else {}
    except (sqlite3.Error, OSError) as error:
        tables, fault = {"?"}, reason(error)
    else:
        fault = "it holds other tables"
    if tables and "studies" not in tables:
        raise RunError(
            f"--export-optuna {str(path)!r} is no Optuna study file ({fault}): name a new file, or one with studies"
        )
    for study in _names(name).values():
        if study in marks and marks[study] != json.dumps(run):
            raise RunError(
                f"--export-optuna {str(path)!r} holds a study {study!r} of another run already: name another file"
            )


def _names(name: str) -> dict[str, str]:
    """Names of all studies that a run may have."""
    return {"": name} | {fidelity: f"{name}-{fidelity}" for fidelity in FIDELITIES}


def _write(
    path: Path,
    outcomes: Sequence[Outcome],
    name: str,
    run: str,
    began: datetime,
    distributions: Mapping[str, BaseDistribution],
    objectives: Mapping[str, int],
    misses: Callable[[Score], Mapping[str, float]],
) -> list[str]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = RDBStorage(f"sqlite:///{path}")
    try:
        _delete(storage, [*_names(name).values()])
        trials: dict[str, list[FrozenTrial]] = {name: []}
        searched = max((FIDELITIES.index(o.score.fidelity) for o in outcomes if o.batch >= 0), default=0)
        for outcome in outcomes:
            fidelity = outcome.score.fidelity
            study = name if FIDELITIES.index(fidelity) == searched and outcome.batch >= 0 else f"{name}-{fidelity}"
            began_now, began = began, began + timedelta(seconds=outcome.score.seconds)
            trial = _trial(outcome, distributions, objectives, misses(outcome.score), began_now, began)
            trials.setdefault(study, []).append(trial)
        directions = ["maximize" if sense > 0 else "minimize" for sense in objectives.values()]
        for study_name, rows in trials.items():
            study = optuna.create_study(storage=storage, study_name=study_name, directions=directions)
            study.set_user_attr(MARK, run)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(list(objectives))
            _insert(storage, study._study_id, rows)
        return list(trials)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _trial(
    outcome: Outcome,
    distributions: Mapping[str, BaseDistribution],
    objectives: Mapping[str, int],
    misses: Mapping[str, float],
    start: datetime,
    end: datetime,
) -> FrozenTrial:
    """An outcome as a trial: ``ok`` and ``infeasible`` ones are COMPLETE where they have all values, else FAIL."""
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
        constraints={k: min(v, sys.float_info.max) for k, v in misses.items()} if known and misses else None,
    )
    trial.datetime_start, trial.datetime_complete = start, end
    return trial


def _insert(storage: RDBStorage, study: int, trials: Sequence[FrozenTrial]) -> None:
    """What ``Study.add_trials`` writes, in one transaction; all trials have the same distributions."""
    with sqlalchemy.orm.Session(storage.engine) as session, session.begin():
        newest = session.execute(sqlalchemy.select(sqlalchemy.func.max(models.TrialModel.trial_id))).scalar() or 0
        spelt = {blank: distribution_to_json(d) for trial in trials[:1] for blank, d in trial.distributions.items()}
        rows: dict[type, list[dict[str, object]]] = {model: [] for model in OF_OUTCOMES}
        for number, trial in enumerate(trials):
            key = {"trial_id": newest + 1 + number}
            when = {"datetime_start": trial.datetime_start, "datetime_complete": trial.datetime_complete}
            session.add(models.TrialModel(**key, **when, number=number, study_id=study, state=trial.state))
            for blank, value in trial.params.items():
                row = {"param_name": blank, "param_value": trial.distributions[blank].to_internal_repr(value)}
                rows[models.TrialParamModel].append(key | row | {"distribution_json": spelt[blank]})
            for objective, value in enumerate(trial.values or ()):
                stored, kind = models.TrialValueModel.value_to_stored_repr(value)
                row = {"objective": objective, "value": stored, "value_type": kind}
                rows[models.TrialValueModel].append(key | row)
            for model, facts in (
                (models.TrialUserAttributeModel, trial.user_attrs),
                (models.TrialSystemAttributeModel, trial.system_attrs),
            ):
                rows[model] += [key | {"key": name, "value_json": json.dumps(fact)} for name, fact in facts.items()]
        session.flush()
        for model, lines in rows.items():
            if lines:
                session.execute(sqlalchemy.insert(model), lines)


def _delete(storage: RDBStorage, names: Sequence[str]) -> None:
    """Removes studies with their trials, in one transaction; those that are not there are passed over."""
    with sqlalchemy.orm.Session(storage.engine) as session, session.begin():
        studies = sqlalchemy.select(models.StudyModel.study_id).where(models.StudyModel.study_name.in_(names))
        ids = list(session.execute(studies).scalars())
        trials = sqlalchemy.select(models.TrialModel.trial_id).where(models.TrialModel.study_id.in_(ids))
        for model in OF_OUTCOMES:
            session.execute(sqlalchemy.delete(model).where(model.trial_id.in_(trials)))
        for model in (
            models.TrialModel,
            models.StudyUserAttributeModel,
            models.StudySystemAttributeModel,
            models.StudyDirectionModel,
            models.StudyModel,
        ):
            session.execute(sqlalchemy.delete(model).where(model.study_id.in_(ids)))
