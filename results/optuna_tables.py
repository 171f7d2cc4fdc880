"""Optuna's tables in an SQLite file, read and written directly: all that this project knows of their form.

Optuna's own ``add_trials`` takes a transaction a trial and a query a parameter, 30 ms a trial and more. Here one short
transaction takes a whole study, so that it is there whole or not at all, and others who write need not wait for long.
The form is that of Optuna 5 (its schema ``v3.2.0.a``); a test compares it row by row with what Optuna writes itself.
No URL is made of a path: SQLAlchemy and MLflow read ``?``, ``%`` and ``#`` in one as something else.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from spaces.errors import RunError

MAJOR, SCHEMA = "5", "v3.2.0.a"
PATIENCE = 60.0  # seconds to wait for others who write
OF_TRIALS = (
    "trial_params",
    "trial_values",
    "trial_user_attributes",
    "trial_system_attributes",
    "trial_intermediate_values",
    "trial_heartbeats",
)
OF_STUDIES = ("study_user_attributes", "study_system_attributes", "study_directions", "studies")
METRIC_NAMES, CONSTRAINTS = "study:metric_names", "constraints"
MINE = "SELECT trial_id FROM trials WHERE study_id = ?"


@dataclass(frozen=True, kw_only=True)
class StoredStudy:
    """A study to be written.

    Attributes:
        name: of the study.
        objectives: name -> +1 (maximise) or -1 (minimise).
        user_attrs: of the study, plain JSON data.
        trials: in order, which gives their numbers; all have the same distributions; no intermediate values.
    """

    name: str
    objectives: Mapping[str, int]
    user_attrs: Mapping[str, Any] = field(default_factory=dict)
    trials: Sequence[FrozenTrial] = ()


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to the SQLite file at ``path``, which is made if missing; without transactions of its own.

    Raises:
        RunError: the Optuna that is installed may have other tables.
    """
    if optuna.__version__.partition(".")[0] != MAJOR:
        raise RunError(_foreign_version(optuna.__version__))
    with closing(sqlite3.connect(path.absolute(), timeout=PATIENCE, isolation_level=None)) as file:
        yield file


@contextmanager
def transaction(file: sqlite3.Connection) -> Iterator[None]:
    """Within, nobody else writes to the file; at the end all is there, or nothing where an error ends it."""
    file.execute("BEGIN IMMEDIATE")
    try:
        yield
        file.execute("COMMIT")
    except BaseException:
        if file.in_transaction:
            file.execute("ROLLBACK")
        raise


def fault_of(file: sqlite3.Connection) -> str:
    """Why a file cannot take studies, in words; empty where it holds Optuna's tables, or nothing at all."""
    tables = {row[0] for row in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and "studies" not in tables:
        return "it holds other tables"
    wanted = {*OF_TRIALS, *OF_STUDIES, "trials", "alembic_version"} if tables else set()
    if missing := sorted(wanted - tables):
        return f"it lacks the table {missing[0]!r}"
    revision = _revision(file) if tables else SCHEMA
    other = f"its tables are of another Optuna, {revision}: try `optuna storage upgrade --storage URL`"
    return "" if revision == SCHEMA else other


def is_empty(file: sqlite3.Connection) -> bool:
    """Whether nothing has been made in a file."""
    return not file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def empty_tables() -> list[str]:
    """Statements that make Optuna's tables in an empty file, as Optuna itself makes them; it takes a second."""
    storage = RDBStorage("sqlite://")  # in memory
    try:
        with closing(storage.engine.raw_connection()) as own:
            if _revision(own.driver_connection) != SCHEMA:
                raise RunError(_foreign_version(optuna.__version__))
            return [line for line in own.driver_connection.iterdump() if line not in ("BEGIN TRANSACTION;", "COMMIT;")]
    finally:
        storage.remove_session()
        storage.engine.dispose()


def study_marks(file: sqlite3.Connection, key: str) -> dict[str, str | None]:
    """The name of every study, and its user attribute ``key`` as JSON text, None where it has none."""
    if is_empty(file):
        return {}
    query = "SELECT value_json FROM study_user_attributes AS a WHERE a.study_id = s.study_id AND a.key = ?"
    return dict(file.execute(f"SELECT study_name, ({query}) FROM studies AS s", (key,)))


def foreign_trials(file: sqlite3.Connection, name: str, key: str) -> int:
    """How many trials of a study lack the user attribute ``key``, or have one that another trial has before them."""
    query = (
        "SELECT count(*) - count(DISTINCT value_json) FROM studies JOIN trials USING (study_id) "
        "LEFT JOIN trial_user_attributes AS a ON a.trial_id = trials.trial_id AND a.key = ? WHERE study_name = ?"
    )
    return file.execute(query, (key, name)).fetchone()[0]


def drop_study(file: sqlite3.Connection, name: str) -> None:
    """Removes a study with its trials, if it is there."""
    for (study,) in file.execute("SELECT study_id FROM studies WHERE study_name = ?", (name,)).fetchall():
        _drop_trials(file, [row[0] for row in file.execute(MINE, (study,))])
        for table in OF_STUDIES:
            file.execute(f"DELETE FROM {table} WHERE study_id = ?", (study,))


def put_study(file: sqlite3.Connection, study: StoredStudy) -> None:
    """Writes a study, over the one of that name if there is one.

    Trials of the same number keep their identity, and what others have noted beside studies and trials stays.
    """
    file.execute("INSERT INTO studies (study_name) VALUES (?) ON CONFLICT DO NOTHING", (study.name,))
    key = file.execute("SELECT study_id FROM studies WHERE study_name = ?", (study.name,)).fetchone()[0]
    senses = [(key, k, "MAXIMIZE" if sense > 0 else "MINIMIZE") for k, sense in enumerate(study.objectives.values())]
    file.execute("DELETE FROM study_directions WHERE study_id = ?", (key,))
    file.executemany("INSERT INTO study_directions (study_id, objective, direction) VALUES (?, ?, ?)", senses)
    _put_attributes(file, "study", "user", [(key, name, value) for name, value in study.user_attrs.items()])
    _put_attributes(file, "study", "system", [(key, METRIC_NAMES, list(study.objectives))])
    _put_trials(file, key, study.trials)


def _put_trials(file: sqlite3.Connection, study: int, trials: Sequence[FrozenTrial]) -> None:
    there = dict(file.execute("SELECT number, trial_id FROM trials WHERE study_id = ?", (study,)))
    _drop_trials(file, [there.pop(number) for number in list(there) if not 0 <= number < len(trials)])
    for table in ("trial_params", "trial_values"):
        file.execute(f"DELETE FROM {table} WHERE trial_id IN ({MINE})", (study,))
    own = f"DELETE FROM trial_user_attributes WHERE key = ? AND trial_id IN ({MINE})"
    file.executemany(own, [(name, study) for name in dict.fromkeys(n for trial in trials for n in trial.user_attrs)])
    own = f"DELETE FROM trial_system_attributes WHERE (key = ? OR key LIKE ?) AND trial_id IN ({MINE})"
    file.execute(own, (CONSTRAINTS, f"{CONSTRAINTS}:%", study))

    newest = file.execute("SELECT coalesce(max(trial_id), 0) FROM trials").fetchone()[0]
    keys = [there.get(number) or (newest := newest + 1) for number in range(len(trials))]
    rows = list(zip(keys, trials, strict=True))
    file.executemany(
        "INSERT INTO trials (trial_id, number, study_id, state, datetime_start, datetime_complete) "
        "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (trial_id) DO UPDATE SET state = excluded.state, "
        "datetime_start = excluded.datetime_start, datetime_complete = excluded.datetime_complete",
        [
            (key, number, study, trial.state.name, _utc(trial.datetime_start), _utc(trial.datetime_complete))
            for number, (key, trial) in enumerate(rows)
        ],
    )
    spelt = {name: distribution_to_json(kind) for trial in trials[:1] for name, kind in trial.distributions.items()}
    file.executemany(
        "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) VALUES (?, ?, ?, ?)",
        [
            (key, name, trial.distributions[name].to_internal_repr(value), spelt[name])
            for key, trial in rows
            for name, value in trial.params.items()
        ],
    )
    file.executemany(
        "INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (?, ?, ?, 'FINITE')",
        [(key, objective, value) for key, trial in rows for objective, value in enumerate(trial.values or ())],
    )
    for kind, attribute in (("user", "user_attrs"), ("system", "system_attrs")):
        facts = [(key, *fact) for key, trial in rows for fact in getattr(trial, attribute).items()]
        _put_attributes(file, "trial", kind, facts)


def _put_attributes(file: sqlite3.Connection, whose: str, kind: str, facts: Sequence[tuple[int, str, Any]]) -> None:
    """Sets attributes: (study or trial, name, plain JSON value)."""
    file.executemany(
        f"INSERT INTO {whose}_{kind}_attributes ({whose}_id, key, value_json) VALUES (?, ?, ?) "
        f"ON CONFLICT ({whose}_id, key) DO UPDATE SET value_json = excluded.value_json",
        [(key, name, json.dumps(value)) for key, name, value in facts],
    )


def _drop_trials(file: sqlite3.Connection, keys: Sequence[int]) -> None:
    for table in (*OF_TRIALS, "trials"):
        file.executemany(f"DELETE FROM {table} WHERE trial_id = ?", [(key,) for key in keys])


def _utc(moment: datetime | None) -> str | None:
    """A moment as the tables have it: UTC, without saying so."""
    return moment and moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def _revision(file: sqlite3.Connection) -> str:
    return (file.execute("SELECT version_num FROM alembic_version").fetchone() or ("unknown",))[0]


def _foreign_version(version: str) -> str:
    return f"--export-optuna knows the tables of Optuna {MAJOR}, not those of {version}: pip install 'optuna>=5.0,<6'"
