"""The ledger as tables: candidates.csv, and pareto.csv with the rows that stand on the front."""

import csv
from collections.abc import Sequence
from typing import Any

import numpy as np

from results.cells import csv_text
from results.folder import RunFolder
from results.front import pareto_mask
from results.ledger import Outcome
from spaces.candidate import FIDELITIES, METRICS, figure_names
from spaces.files import check_regular, write_atomic

COLUMNS = ("number", "state", "fidelity", *METRICS, "seconds", "error")


def write_tables(
    folder: RunFolder,
    outcomes: Sequence[Outcome],
    objectives: Sequence[str],
    senses: Sequence[int],
    blanks: Sequence[str],
) -> None:
    """Write candidates.csv (every outcome, ledger order) and pareto.csv; the same ledger gives the same bytes.

    Numbers stand as their shortest exact text, so ``pandas.read_csv`` gives back equal values (pandas 2 needs its
    ``float_precision="round_trip"`` for the last digit). A value that is not there is an empty cell. Further figures of
    the scores are columns of their own names, between the fixed ones and the blanks. Texts are guarded, see ``cells``.

    Args:
        folder: the run.
        outcomes: the ledger's outcomes.
        objectives: columns the front is taken over.
        senses: +1 (maximise) or -1 (minimise) for each of them.
        blanks: the space's blanks; each is a column ``param.NAME``.

    Raises:
        RunError: a table cannot be written.
    """
    front = front_numbers(outcomes, objectives, senses)
    for path, chosen in (
        (folder.candidates_csv, outcomes),
        (folder.pareto_csv, [outcome for outcome in outcomes if outcome.number in front]),
    ):
        write_atomic(path, csv_text(table_rows(chosen, further_columns(outcomes), blanks)))


def further_columns(outcomes: Sequence[Outcome]) -> list[str]:
    """Names of the figures that outcomes have beside METRICS."""
    return figure_names(outcome.score for outcome in outcomes)[len(METRICS) :]


def count_rows(folder: RunFolder) -> int:
    """Outcomes that candidates.csv holds; 0 where it is not there or not readable."""
    try:
        check_regular(folder.candidates_csv)
        with folder.candidates_csv.open(newline="", encoding="utf-8", errors="replace") as file:
            return max(sum(1 for _ in csv.reader(file)) - 1, 0)
    except (OSError, csv.Error):
        return 0


def front_numbers(outcomes: Sequence[Outcome], objectives: Sequence[str], senses: Sequence[int]) -> set[int]:
    """Numbers of the ``ok`` outcomes on the front of their own fidelity."""
    numbers: set[int] = set()
    for fidelity in FIDELITIES if objectives else ():
        scored = [o for o in outcomes if o.score.state == "ok" and o.score.fidelity == fidelity]
        values = np.array([[o.score.figure(name) for name in objectives] for o in scored], dtype=float)
        mask = pareto_mask(values, senses)
        numbers |= {outcome.number for outcome, kept in zip(scored, mask, strict=True) if kept}
    return numbers


def table_rows(outcomes: Sequence[Outcome], columns: Sequence[str], blanks: Sequence[str]) -> list[list[Any]]:
    """The table of outcomes, its head first: fixed columns, further ones, and the choices as ``param.NAME``."""
    rows: list[list[Any]] = [[*COLUMNS, *columns, *(f"param.{blank}" for blank in blanks)]]
    for outcome in outcomes:
        score, candidate = outcome.score, outcome.candidate
        rows.append(
            [
                *(outcome.number, score.state, score.fidelity),
                *(getattr(score, metric) for metric in METRICS),
                *(score.seconds, " ".join(score.error.replace("\0", " ").split())),
                *(score.columns.get(name) for name in columns),
                *(candidate.get(blank) for blank in blanks),
            ]
        )
    return rows
