"""Candidates that a person gives: from a CSV or JSON file, to be scored first."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from results.cells import plain
from spaces.candidate import Candidate
from spaces.errors import OptionError, SpaceError, one_line
from spaces.files import check_regular, read_file, reason
from spaces.fixed import parse_value
from spaces.space import Space

PREFIX = "param."  # of the columns of candidates.csv that are choices
FORMS = "write a CSV file with a column a choice, as candidates.csv, or a JSON list of objects"


def read_candidates(path: Path, space: Space) -> list[Candidate]:
    """The candidates in a file, each once, in its order.

    Args:
        path: a .csv file, whose choices are the columns ``param.NAME`` where there are such, else all columns; or a
            .json file with a list of objects, choice -> value.
        space: that they are of.

    Raises:
        OptionError: the file cannot be read, or holds none.
        SpaceError: a choice is missing or unknown, or cannot have a value; the message names the row.
    """
    where = f"--try {str(path)!r}"
    try:
        check_regular(path)
        text = read_file(path).decode("utf-8-sig")
        rows = _of_json(text) if path.suffix.lower() == ".json" else _of_csv(text)
    except (OSError, ValueError, csv.Error, RecursionError) as error:
        raise OptionError(f"{where} cannot be read ({reason(error)}): {FORMS}") from error
    if not rows:
        raise OptionError(f"{where} holds no candidate: {FORMS}")
    return list(dict.fromkeys(_candidate(row, space, f"{where} row {at}") for at, row in enumerate(rows, 1)))


def candidates_of(fillings: Sequence[Mapping[str, Any]], space: Space) -> list[Candidate]:
    """Candidates as a run's config.json keeps them; raises SpaceError where one is not of the space."""
    return [_candidate(filling, space, "config.json, candidate") for filling in fillings]


def _of_json(text: str) -> list[Mapping[str, Any]]:
    rows = json.loads(text)
    rows = [rows] if isinstance(rows, dict) else rows
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it is no list of objects")
    return rows


def _of_csv(text: str) -> list[Mapping[str, Any]]:
    table = csv.DictReader(io.StringIO(text), strict=True)
    names = [name for name in table.fieldnames or () if name]
    chosen = [name for name in names if name.startswith(PREFIX)] or names
    return [{name.removeprefix(PREFIX): plain(row[name] or "") for name in chosen} for row in table]


def _candidate(row: Mapping[str, Any], space: Space, where: str) -> Candidate:
    """A candidate of a space; texts are read as the space's values."""
    try:
        values = {
            name: parse_value(space.blanks[name], name, value)
            if isinstance(value, str) and name in space.blanks
            else value
            for name, value in row.items()
        }
        space.check(values)
        return Candidate(values)
    except (SpaceError, TypeError) as error:
        raise SpaceError(f"{where}: {one_line(error)}") from error
