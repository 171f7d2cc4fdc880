"""A benchmark table as an evaluator: networks that others have trained, looked up instead of trained.

A table is a CSV file, compressed or not, with a row a network. Some columns are blanks, the others its figures.
"""

import hashlib
import lzma
import math
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from optuna.distributions import CategoricalDistribution

from evaluators.ladder import COST, Ladder, price
from spaces.candidate import METRICS, Candidate, Score, Value, is_taken
from spaces.errors import OptionError, SpaceError, TaskError, unknown
from spaces.files import check_regular, reason
from spaces.space import Space
from spaces.spec import TaskSpec

if TYPE_CHECKING:
    from pandas import DataFrame

    from spaces.draft import Draft

UNREADABLE = (OSError, EOFError, ValueError, ImportError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
WHOLE = ("parameters", "timesteps")
WHOLE_TEXT = re.compile(r"-?(0|[1-9][0-9]{0,17})")  # a code such as 007 stays a text
NUMBER_TEXT = re.compile(r"-?((0|[1-9][0-9]{0,17})(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,2})?")
LOOKED_AT = 1000  # rows, to tell which columns are numbers


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table that was read and checked.

    Attributes:
        path: where it was read.
        sha256: of the file, in hex.
        blanks: column -> value in each row.
        figures: column -> its number in each row, float64 [rows]; NaN where the cell is empty.
    """

    path: Path
    sha256: str
    blanks: Mapping[str, Sequence[Value]]
    figures: Mapping[str, np.ndarray]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.blanks.values())))


def table_columns(path: str | Path) -> list[str]:
    """The header of a table.

    Raises:
        TaskError: the file is not there or cannot be read, or two columns have one name.
    """
    names = _read(path, header=None, nrows=1).iloc[0].tolist()
    if repeated := [name for name in names if names.count(name) > 1]:
        raise TaskError(f"table {str(path)!r} has two columns {repeated[0]!r}: rename one of them")
    return names


def numeric_columns(path: str | Path) -> list[str]:
    """Names of the columns that hold numbers, as far as the first rows tell."""
    head = _read(path, nrows=LOOKED_AT)
    return [name for name in head if any(head[name]) and all(_number(cell) is not None for cell in head[name])]


def read_table(
    path: str | Path,
    *,
    blanks: Mapping[str, Sequence[Value] | None],
    objectives: Sequence[str],
    constraints: Sequence[str] = (),
    readings: Sequence[str] = (),
) -> Table:
    """Reads what a search needs of a table, and checks it.

    Args:
        path: a CSV file; its compression follows from its ending, such as ``.gz``.
        blanks: columns that name a candidate, each with the values that it may have; None for those that it has.
        objectives: columns to search by; they must vary.
        constraints: columns that are bounded.
        readings: columns that stand for objectives on lower rungs.

    Raises:
        TaskError: the file cannot be read, is empty, or rows of one candidate disagree.
        OptionError: a column is not there, holds no numbers, or is of no use.
    """
    header = table_columns(path)
    if missing := [name for name in blanks if name not in header]:
        also = f" (nor is {', '.join(missing[1:])})" if missing[1:] else ""
        raise OptionError(
            f"choice {missing[0]!r} is no column of table {str(path)!r}{also}: {unknown('column', missing[0], header)}"
        )
    wanted = list(dict.fromkeys((*objectives, *constraints, *readings)))
    for name in wanted:
        if name not in header:
            raise OptionError(f"{name!r} is no column of table {str(path)!r}: {unknown('column', name, header)}")
        if name in blanks and name in objectives:
            raise OptionError(f"column {name!r} of table {str(path)!r} is a choice and an objective: it is one of them")
        if is_taken(name) and name not in METRICS:
            raise OptionError(f"column {name!r} of table {str(path)!r} has a name of candidates.csv's: rename it")
    wanted += [name for name in METRICS if name in header and name not in wanted]
    frame = _read(path)
    if frame.empty:
        raise TaskError(f"table {str(path)!r} has a header but no row: give a table of trained candidates")
    values = {name: _blank(frame[name].tolist(), name, path, options) for name, options in blanks.items()}
    figures, needed = {}, {*objectives, *constraints, *readings}
    for name in wanted:
        found = _figures(frame[name].tolist(), name, path, needed=name in needed)
        if found is not None:
            figures[name] = found
    for name in objectives:
        if len(np.unique(figures[name][np.isfinite(figures[name])])) < 2:
            raise OptionError(
                f"objective {name!r} is the same in all rows of table {str(path)!r}: leave it out, there is nothing to "
                "search for"
            )
    table = Table(path=Path(path), sha256=_sha256(path), blanks=values, figures=figures)
    _check_duplicates(table)
    return table


def flat_space(table: Table) -> Space:
    """The space of all combinations of the values in a table's blanks; what it makes cannot be built."""

    def build(spec: TaskSpec, draft: "Draft") -> NoReturn:
        raise SpaceError(f"the candidates of table {str(table.path)!r} have no networks: give --space one that has")

    return Space(
        name="table",
        about=f"the {table.rows} rows of {table.path.name}, flat",
        blanks={name: CategoricalDistribution(sorted(set(values))) for name, values in table.blanks.items()},
        timesteps=1,
        build=build,
    )


def scorer(table: Table, space: Space, objectives: Sequence[str], ladder: Ladder = ()) -> Callable[..., Score]:
    """The function that scores a candidate of a space by its row: fidelity ``trained``, in no time.

    It is called as ``score(candidate, passed)`` with the number of rungs of a ladder that the candidate has passed, by
    default none; what it gives on a rung is ``pruned``. A candidate that cannot be a network, or has no row, is
    infeasible; one whose row lacks an objective has failed.
    Equal tables give equal scores, whatever the name of the file.

    Raises:
        OptionError: no row of the table is a candidate of the space.
    """
    rows = {key: row for row, key in enumerate(zip(*table.blanks.values(), strict=True))}
    options = [set(space.options(name) or ()) for name in table.blanks]
    if not any(all(value in known for value, known in zip(key, options, strict=True)) for key in rows):
        raise OptionError(f"no row of table {str(table.path)!r} is a candidate of space {space.name!r}: give another")

    hidden = {column for rung in ladder for column in rung.readings.values()} - set(objectives)

    def score(candidate: Candidate, passed: int = 0) -> Score:
        if reason := space.infeasible(candidate):
            return Score(state="infeasible", fidelity="trained", error=reason)
        row = rows.get(tuple(candidate[name] for name in table.blanks))
        if row is None:
            return Score(state="infeasible", fidelity="trained", error="the table has no row of this candidate")
        rung = ladder[passed] if passed < len(ladder) else None
        readings = rung.readings if rung else {}
        seen = {name: values[row] for name, values in table.figures.items() if name not in hidden}
        seen |= {name: table.figures[column][row] for name, column in readings.items()}
        found = {name: float(value) for name, value in seen.items() if math.isfinite(value)}
        fields = {name: int(found[name]) if name in WHOLE else found[name] for name in METRICS if name in found}
        columns = {name: value for name, value in found.items() if name not in fields}
        columns |= {COST: price(ladder, passed)} if ladder else {}
        lacking = [name for name in objectives if name not in found]
        error = f"row {row + 1} of the table has no {', '.join(lacking)}" if lacking else ""
        if rung and not lacking:
            error = f"a share of {rung.share:g} is paid: {', '.join(f'{n} is {c}' for n, c in readings.items())}"
        state = "failed" if lacking else "pruned" if rung else "ok"
        return Score(state=state, fidelity="trained", columns=columns, error=error, **fields)

    return score


def _read(path: str | Path, **options: object) -> "DataFrame":
    """Cells as texts, an empty one as ''."""
    from pandas import read_csv
    from pandas.errors import ParserWarning

    if not Path(path).exists():
        raise TaskError(f"table {str(path)!r} is not there: give the path of a CSV file with --table")
    texts = {"dtype": str, "keep_default_na": False, "index_col": False, "encoding": "utf-8-sig"}
    try:
        check_regular(Path(path))
        with warnings.catch_warnings():
            warnings.simplefilter("error", ParserWarning)  # rows longer than the header would be cut
            return read_csv(Path(path), **texts, **options).fillna("")
    except (*UNREADABLE, ParserWarning) as error:
        raise TaskError(
            f"table {str(path)!r} cannot be read ({reason(error)}): give a whole CSV file with a header, plain or "
            "compressed as its ending says"
        ) from error


def _sha256(path: str | Path) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _number(cell: str) -> float | None:
    """The number in a cell, NaN if it is empty, None if it holds something else."""
    try:
        return float(cell) if cell.strip() else math.nan
    except ValueError:
        return None


def _figures(cells: Sequence[str], name: str, path: str | Path, *, needed: bool) -> np.ndarray | None:
    """A column's numbers; what is not needed and does not fit its field is left out."""
    numbers = [_number(cell) for cell in cells]
    for row, (cell, value) in enumerate(zip(cells, numbers, strict=True)):
        where = f"row {row + 1} of table {str(path)!r}"
        if value is None:
            if not needed:
                return None
            raise OptionError(
                f"column {name!r} holds {cell[:40]!r} in {where}, which is no number: mend it or name another"
            )
        if name in METRICS and math.isfinite(value) and not _is_valid(name, value):
            if not needed:
                return None
            rule = {"accuracy": "a share from 0 to 1"} | dict.fromkeys(WHOLE, "a whole number from 0")
            raise OptionError(
                f"column {name!r} holds {cell} in {where}, and {name} is {rule.get(name, 'a number from 0')}: "
                "rename the column"
            )
    return np.array(numbers, dtype=float)


def _is_valid(name: str, value: float) -> bool:
    if name in WHOLE and value != int(value):
        return False
    return 0 <= value <= (1 if name == "accuracy" else 1e299)


def _blank(cells: Sequence[str], name: str, path: str | Path, options: Sequence[Value] | None) -> list[Value]:
    """A blank's values: those of ``options`` by their text; else whole numbers, numbers or booleans if all are."""
    if "" in cells:
        raise TaskError(
            f"row {cells.index('') + 1} of table {str(path)!r} leaves choice {name!r} empty: fill it or drop it"
        )
    read = next(read for read in (_whole, _finite, _truth, str) if all(read(cell) is not None for cell in set(cells)))
    known = {str(option): option for option in options or ()}
    values = {cell: known.get(cell, read(cell)) for cell in set(cells)}
    return [values[cell] for cell in cells]


def _whole(cell: str) -> int | None:
    return int(cell) if WHOLE_TEXT.fullmatch(cell) else None


def _finite(cell: str) -> float | None:
    return float(cell) if NUMBER_TEXT.fullmatch(cell) else None


def _truth(cell: str) -> bool | None:
    return {"True": True, "False": False}.get(cell)


def _check_duplicates(table: Table) -> None:
    """Raises TaskError where two rows of one candidate differ in a figure."""
    first: dict[tuple[Value, ...], int] = {}
    for row, key in enumerate(zip(*table.blanks.values(), strict=True)):
        other = first.setdefault(key, row)
        if other == row:
            continue
        for name, values in table.figures.items():
            if not np.array_equal(values[other], values[row], equal_nan=True):
                raise TaskError(
                    f"rows {other + 1} and {row + 1} of table {str(table.path)!r} are one candidate "
                    f"({', '.join(f'{k}={v}' for k, v in zip(table.blanks, key, strict=True))}) but differ in {name}: "
                    f"{values[other]:.15g} and {values[row]:.15g}; keep one, or their mean"
                )
