"""The job by a benchmark table: candidates are looked up, so a whole search takes seconds; nothing is trained."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evaluators.ladder import COST
from evaluators.table import Table, flat_space, numeric_columns, read_table, scorer, table_columns
from results.folder import RunFolder
from results.ledger import Ledger
from search.loop.goal import WAYS, Goal, make_goal
from search.loop.loop import in_process
from search.loop.progress import Stage
from search.loop.rungs import rungs_passed
from search.options.config import Config, change
from search.work.job import Job, search_stage
from spaces.candidate import METRICS
from spaces.errors import OptionError, unknown
from spaces.find import make_space
from spaces.fixed import parse_fixed, with_fixed
from spaces.paths import user_path

FLAT = "table"  # name of the space that a table's own blanks make


def prepare(config: Config) -> Job:
    """A search in a table: the flat space of ``table_choices``, or a space whose blanks bear its columns' names.

    Raises:
        SearchError: something the user can mend.
    """
    if config.space.name in (None, FLAT) and not config.table.choices:
        raise OptionError(
            f"--table {config.table.path!r}: say which columns are choices with --table-choices COLUMN,COLUMN,..., "
            "or give --space NAME of one whose choices bear the columns' names"
        )
    if config.workers.runner != "in-process":
        raise OptionError(
            f"--runner {config.workers.runner}: candidates of a table are looked up, not computed; drop it"
        )
    path = user_path(config.table.path, "--table")
    header = table_columns(path)
    _check_objectives(config, path, header)
    goal = make_goal(config, header)
    space, options = None, dict.fromkeys(config.table.choices)
    if not config.table.choices:
        made_with = {"width": config.space.width, "timesteps": config.space.timesteps, "neuron": config.space.neuron}
        space, used = make_space(config.space.name, options=made_with, compiled=config.machine.compile)
        config, options = change(config, **used), {name: space.options(name) for name in space.blanks}
    constraints = [constraint.metric for constraint in goal.constraints]
    readings = [column for rung in goal.ladder for column in rung.readings.values()]
    if readings and COST in (*goal.columns, *readings):
        raise OptionError(f"column {COST!r}: with --fidelities this is what a score cost; rename it in the table")
    table = read_table(path, blanks=options, objectives=goal.objectives, constraints=constraints, readings=readings)
    check_reachable(table, goal)
    space = space or flat_space(table)
    if config.space.fix:
        space = with_fixed(space, parse_fixed(space, config.space.fix))
    look_up = scorer(table, space, goal.objectives, goal.ladder)

    def work(job: Job, folder: RunFolder, ledger: Ledger, stage: Stage) -> None:
        runner = in_process(lambda candidate, passed: look_up(candidate, passed[candidate]), rungs_passed)
        search_stage(job, folder, ledger, stage, runner)

    return Job(
        config=change(config, space=config.space.name or FLAT),
        space=space,
        goal=goal,
        data=config.table.path,
        provenance={"name": path.name.partition(".csv")[0], "rows": table.rows, "sha256": table.sha256},
        work=work,
    )


def check_reachable(table: Table, goal: Goal) -> None:
    """Raises OptionError where no row of a table keeps the bounds of a goal, with the nearest figure there is."""
    kept = np.ones(table.rows, dtype=bool)
    for bound in goal.constraints:
        figures = table.figures[bound.metric]
        keeps = figures <= bound.bound if bound.most else figures >= bound.bound  # false of a NaN
        if not keeps.any():
            nearest = bound.nearest(figures.tolist())
            shown = "no row has it" if nearest is None else f"the {'least' if bound.most else 'most'} is {nearest:.15g}"
            raise OptionError(
                f"{bound.option}: none of the {table.rows:,} rows of table {str(table.path)!r} keeps it, {shown}: "
                f"{'raise' if bound.most else 'lower'} the bound"
            )
        kept &= keeps
    if not kept.any():
        raise OptionError(
            f"{' '.join(bound.option for bound in goal.constraints)}: no row of table {str(table.path)!r} keeps all of "
            "them, though each is kept by some: move one of the bounds"
        )


def _check_objectives(config: Config, path: Path, header: Sequence[str]) -> None:
    """Raises OptionError, with the way out, for objectives that a table lacks or whose sense is not known."""
    for text in config.goal.objectives:
        name, _, way = text.rpartition(":")
        name = name if way in WAYS else text
        if name in header and (name != text or name in METRICS):
            continue
        if name in header:
            raise OptionError(f"--objectives {name}: say which way is better, {name}:max or {name}:min")
        near = unknown("column", name, header).split("; known")[0]
        numbers = [name for name in numeric_columns(path) if name not in config.table.choices]
        raise OptionError(
            f"--objectives {text!r}: {near} in table {config.table.path!r}; write --objectives COLUMN:max,COLUMN:min "
            f"of its columns of numbers: {', '.join(numbers)}"
        )
