"""Earlier results for a warm start: out of a run's folder, or a table like its candidates.csv."""

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from results.cells import plain
from results.folder import open_existing
from results.ledger import Outcome, encode, read, record
from results.table import COLUMNS
from spaces.candidate import FIDELITIES, METRICS, Candidate, Score, Value
from spaces.errors import OptionError, SpaceError
from spaces.files import check_regular, reason
from spaces.space import Space

WHOLE = ("parameters", "timesteps")


def read_earlier(source: Path, space: Space, objectives: Sequence[str]) -> list[Outcome]:
    """The searched outcomes of another run of ``space``, numbered anew, each candidate once; batch is 0 throughout.

    Of several fidelities, which are never mixed, the one with the most outcomes is taken.

    Args:
        source: the folder of a run, or a .csv file with the columns of candidates.csv.
        space: what they must be fillings of.
        objectives: columns that the results must have.

    Raises:
        SpaceError: they are of another space; says which blanks differ.
        OptionError: an objective is missing, or nothing is there that could be used.
        RunError, LedgerError: the folder is no run, or its ledger is damaged.
    """
    if source.is_dir():
        outcomes = read(open_existing(source).ledger)[0]
        _check([outcome.candidate for outcome in outcomes], space, source)
    else:
        outcomes = _from_csv(source, space)
    counts = [sum(outcome.score.fidelity == fidelity for outcome in outcomes) for fidelity in FIDELITIES]
    fidelity = FIDELITIES[counts.index(max(counts))]
    chosen: dict[Candidate, Score] = {}
    for outcome in outcomes:
        if outcome.score.fidelity == fidelity:
            chosen.setdefault(outcome.candidate, outcome.score)
    scored = [score for score in chosen.values() if score.state == "ok"]
    if not scored:
        raise OptionError(f"--warm-start {str(source)!r} holds no outcome that is ok: there is nothing to begin from")
    if missing := [name for name in objectives if all(score.figure(name) is None for score in scored)]:
        raise OptionError(
            f"--warm-start {str(source)!r} lacks the objectives {', '.join(missing)}: give results that have them, or "
            "other --objectives"
        )
    return [Outcome(number, 0, candidate, score) for number, (candidate, score) in enumerate(chosen.items())]


def to_lines(outcomes: Sequence[Outcome]) -> bytes:
    """Outcomes as the lines of a ledger."""
    return b"".join(encode(outcome, number)[0] for number, outcome in enumerate(outcomes))


def fingerprint(outcomes: Sequence[Outcome]) -> str:
    """SHA-256, in hex, of outcomes as a ledger's lines without their checksums."""
    lines = (json.dumps(record(outcome), separators=(",", ":"), allow_nan=False) for outcome in outcomes)
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def _check(fillings: Sequence[Mapping[str, Value]], space: Space, source: Path) -> None:
    """Raises SpaceError that names all blanks that are missing, unknown, or hold a value that the space does not."""
    held = {blank for filling in fillings for blank in filling}
    faults = [f"{blank!r} is missing" for blank in space.blanks if any(blank not in filling for filling in fillings)]
    faults += [f"{blank!r} is unknown" for blank in sorted(held - set(space.blanks))]
    for blank in space.blanks:
        values = dict.fromkeys(filling[blank] for filling in fillings if blank in filling)
        outside = [value for value in values if not _holds(space, blank, value)]
        faults += [f"{blank!r} cannot be {outside[0]!r}"] if outside else []
    if faults:
        more = f"; and {len(faults) - 8} more" if len(faults) > 8 else ""
        raise SpaceError(
            f"--warm-start {str(source)!r} is not of space {space.name!r}: choice {'; choice '.join(faults[:8])}{more}"
            "; give results of the same space with the same options"
        )


def _holds(space: Space, blank: str, value: Value) -> bool:
    try:
        replace(space, blanks={blank: space.blanks[blank]}).check({blank: value})
    except SpaceError:
        return False
    return True


def _from_csv(path: Path, space: Space) -> list[Outcome]:
    try:
        check_regular(path)
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file, strict=True)
            rows = [{plain(name): plain(cell or "") for name, cell in row.items() if name is not None} for row in table]
    except (OSError, ValueError, csv.Error) as error:
        raise OptionError(
            f"--warm-start {str(path)!r} cannot be read ({reason(error)}): give the folder of a run, or a .csv file "
            "like its candidates.csv"
        ) from error
    if rows and (missing := [name for name in ("state", "fidelity") if name not in rows[0]]):
        raise OptionError(
            f"--warm-start {str(path)!r} has no column {' and no '.join(missing)}: give a table like candidates.csv"
        )
    fillings = [_filling(row, space) for row in rows]
    _check(fillings, space, path)
    outcomes = []
    for number, (row, filling) in enumerate(zip(rows, fillings, strict=True)):
        try:
            outcomes.append(encode(Outcome(number, 0, Candidate(filling), _score(row)), number)[1])
        except (ValueError, TypeError) as error:
            raise OptionError(
                f"--warm-start {str(path)!r} row {number + 1}: {reason(error)}; mend it, or leave the row out"
            ) from error
    return outcomes


def _filling(row: Mapping[str, str], space: Space) -> dict[str, Value]:
    """The blanks of a row; a text that is no value of its blank stays a text. Those of other blanks stay, too."""
    cells = {name.removeprefix("param."): cell for name, cell in row.items() if name and name.startswith("param.")}
    return {
        blank: _value(space.blanks[blank], cell) if blank in space.blanks else cell for blank, cell in cells.items()
    }


def _value(distribution: BaseDistribution, cell: str) -> Value:
    if isinstance(distribution, CategoricalDistribution):
        return next((choice for choice in distribution.choices if str(choice) == cell), cell)
    try:
        return int(cell) if isinstance(distribution, IntDistribution) else float(cell)
    except ValueError:
        return cell


def _score(row: Mapping[str, str]) -> Score:
    """The score in a row: empty cells are figures it lacks; ValueError says what is no number."""
    own = {name: _number(name, row.get(name)) for name in (*METRICS, "seconds")}
    further = [name for name in row if name and name not in COLUMNS and not name.startswith("param.")]
    columns = {name: figure for name in further if (figure := _number(name, row[name])) is not None}
    own["seconds"] = own["seconds"] or 0.0
    return Score(state=row["state"], fidelity=row["fidelity"], error=row.get("error") or "", columns=columns, **own)


def _number(name: str, cell: str | None) -> float | None:
    if not cell:
        return None
    try:
        return int(cell) if name in WHOLE else float(cell)
    except ValueError as error:
        raise ValueError(f"column {name!r} holds {cell[:40]!r}, which is no number") from error
