"""What a run shows: its tables, its page, and studies for Optuna, all made of what stands in its folder."""

import json
import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from optuna.distributions import json_to_distribution

from results.folder import RunFolder, open_existing
from results.ledger import Outcome, read
from results.report.page import write_report
from results.table import count_rows, write_tables
from results.tickets import write_ticket_table
from search.loop.goal import Goal, parse_constraints, parse_objective
from search.options.config import from_json
from search.samplers.constraints import misses
from spaces.errors import OptionError, RunError
from spaces.files import reason
from spaces.paths import user_path
from spaces.space import holds
from spaces.temporary import sweep
from spaces.terminal import text_name


def refresh(path: Path, export_optuna: str | None = None) -> RunFolder:
    """Writes tables and report of the run in a folder anew, and a study where ``export_optuna`` names a file.

    The run may be finished, cut off, or still running elsewhere.

    Raises:
        SearchError: the folder is not a run, or is damaged.
    """
    folder = open_existing(path)
    target = user_path(export_optuna, "--export-optuna") if export_optuna else None
    outcomes = all_outcomes(folder)
    sweep(folder.path)
    publish(folder, outcomes)
    if target:
        export(folder, outcomes, target)
    return folder


def all_outcomes(folder: RunFolder) -> Sequence[Outcome]:
    """What a run's ledger holds, to be published.

    Raises:
        RunError: the ledger is damaged, or has lost outcomes that the table made of it still has.
    """
    rows = count_rows(folder)  # first: a run that goes on elsewhere only adds to both
    outcomes, intact = read(folder.ledger)
    torn = bool(outcomes) and folder.ledger.stat().st_size > intact  # a line is just being written
    if len(outcomes) + torn < rows:
        lost = f"has only {len(outcomes)} outcomes" if outcomes else "is gone or empty"
        raise RunError(
            f"ledger {str(folder.ledger)!r} {lost}, and {str(folder.candidates_csv)!r} still has {rows}, so nothing is "
            f"written: restore the ledger, or have what is lost scored anew with `launch.py resume "
            f"{shlex.quote(str(folder.path))}`"
        )
    return outcomes


def publish(folder: RunFolder, outcomes: Sequence[Outcome]) -> None:
    """Writes candidates.csv, pareto.csv, tickets.csv and report.html from what the run holds."""
    from_json(folder.read_config().get("config"))  # damaged ones are named before anything is written
    objectives = objectives_of(folder)
    write_tables(folder, outcomes, list(objectives), list(objectives.values()), _part(folder, "space", "blanks"))
    write_ticket_table(folder)
    write_report(folder)


def export(folder: RunFolder, outcomes: Sequence[Outcome], path: Path) -> None:
    """Writes what the run holds as Optuna studies into the SQLite file at ``path``.

    Raises:
        RunError: the file cannot take them.
    """
    from results.optuna_study import export_optuna

    config, study, objectives = from_json(folder.read_config().get("config")), study_of(folder), objectives_of(folder)
    try:
        kinds = [json_to_distribution(json.dumps(kind)) for kind in _part(folder, "space", "distributions")]
        distributions = dict(zip(_part(folder, "space", "blanks"), kinds, strict=True))
        began = datetime.fromisoformat(_part(folder, "created"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _edited(folder, f"{type(error).__name__}: {reason(error)}") from error
    for outcome in outcomes:
        filling = outcome.candidate
        if set(filling) != set(distributions) or not all(holds(distributions[name], filling[name]) for name in filling):
            raise RunError(
                f"ledger {str(folder.ledger)!r} line {outcome.number + 1} holds a candidate {filling.key[:200]} that "
                "is not of the space in config.json: one of them was edited; restore it, or start a new run"
            )
    bounded = [name for text in config.goal.constraints for sign in ("<=", ">=") if (name := text.rpartition(sign)[0])]
    constraints = parse_constraints(config.goal.constraints, bounded)
    goal = Goal(objectives=tuple(_part(folder, "match", "objectives")), constraints=constraints)
    export_optuna(
        path,
        outcomes,
        **study,
        began=began,
        distributions=distributions,
        objectives=objectives,
        misses=lambda score: misses(score, goal),
    )


def study_of(folder: RunFolder) -> dict[str, str]:
    """Name of a run's study, and what tells the run from all others; one that is not begun has nothing yet."""
    run = f"{_part(folder, 'created')} {_part(folder, 'hash')}" if folder.config.exists() else ""
    return {"name": text_name(folder.path.resolve()), "run": run}


def objectives_of(folder: RunFolder) -> dict[str, int]:
    """Name and sense of what a run is for; raises RunError where its configuration does not say."""
    texts = _part(folder, "match", "objectives")
    try:
        objectives = dict(parse_objective(text) for text in texts)
    except OptionError as error:
        raise _edited(folder, str(error)) from error
    if not objectives:
        raise _edited(folder, "match.objectives names none")
    return objectives


def _part(folder: RunFolder, *names: str) -> Any:  # noqa: ANN401
    """What stands in a run's configuration under these names; raises RunError where nothing does."""
    found: Any = folder.read_config()
    for name in names:
        if name not in found:
            raise _edited(folder, f"{'.'.join(names)} is missing")
        found = found[name]
    return found


def _edited(folder: RunFolder, fault: str) -> RunError:
    return RunError(
        f"configuration {str(folder.config)!r} is of another version, damaged or edited ({fault}): restore it, or "
        "start a new run with another --out"
    )
