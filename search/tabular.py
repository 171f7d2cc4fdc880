"""The job by a benchmark table: candidates are looked up, so a whole search takes seconds; nothing is trained."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evaluators.table import flat_space, numeric_columns, read_table, scorer, table_columns
from results.folder import RunFolder
from results.ledger import Ledger
from search.config import Config
from search.goal import WAYS, make_goal
from search.loop import in_process
from search.progress import Stage
from search.run import Job, search_stage
from spaces.candidate import METRICS
from spaces.errors import OptionError, unknown
from spaces.find import make_space

FLAT = "table"  # name of the space that a table's own blanks make


def prepare(config: Config) -> Job:
    """A search in a table: the flat space of ``table_blanks``, or a space whose blanks bear its columns' names.

    Raises:
        SearchError: something the user can mend.
    """
    if config.space in (None, FLAT) and not config.table_blanks:
        raise OptionError(
            f"--table {config.table!r}: say which columns are blanks with --table-blanks COLUMN,COLUMN,..., or give "
            "--space NAME of one whose blanks bear the columns' names"
        )
    if config.runner != "in-process":
        raise OptionError(f"--runner {config.runner}: candidates of a table are looked up, not computed; drop it")
    header = table_columns(config.table)
    _check_objectives(config, header)
    goal = make_goal(config, header)
    space, options = None, dict.fromkeys(config.table_blanks)
    if not config.table_blanks:
        made_with = {"width": config.width, "timesteps": config.timesteps, "neuron": config.neuron}
        space, used = make_space(config.space, options=made_with, compiled=config.compile)
        config, options = replace(config, **used), {name: space.options(name) for name in space.blanks}
    constraints = [constraint.metric for constraint in goal.constraints]
    table = read_table(config.table, blanks=options, objectives=goal.objectives, constraints=constraints)
    space = space or flat_space(table)
    look_up = scorer(table, space, goal.objectives)

    def work(job: Job, folder: RunFolder, ledger: Ledger, stage: Stage) -> None:
        search_stage(job, folder, ledger, stage, in_process(lambda candidate, told: look_up(candidate)))

    return Job(
        config=replace(config, space=config.space or FLAT),
        space=space,
        goal=goal,
        data=config.table,
        provenance={"name": Path(config.table).name.partition(".csv")[0], "rows": table.rows, "sha256": table.sha256},
        work=work,
    )


def _check_objectives(config: Config, header: Sequence[str]) -> None:
    """Raises OptionError, with the way out, for objectives that a table lacks or whose sense is not known."""
    for text in config.objectives:
        name, _, way = text.rpartition(":")
        name = name if way in WAYS else text
        if name in header and (name != text or name in METRICS):
            continue
        if name in header:
            raise OptionError(f"--objectives {name}: say which way is better, {name}:max or {name}:min")
        near = unknown("column", name, header).split("; known")[0]
        numbers = [name for name in numeric_columns(config.table) if name not in config.table_blanks]
        raise OptionError(
            f"--objectives {text!r}: {near} in table {config.table!r}; write --objectives COLUMN:max,COLUMN:min of its "
            f"columns of numbers: {', '.join(numbers)}"
        )
