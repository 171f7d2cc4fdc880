"""Ledger: the truth of a run, one JSON line an outcome, appended and never rewritten."""

import json
import os
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spaces.candidate import FIDELITIES, METRICS, STATES, Candidate, Score
from spaces.checksums import CHECKSUM, read_regular, with_checksum, without_checksum
from spaces.errors import LedgerError, one_line
from spaces.files import check_regular, reason
from spaces.rules import (
    AMOUNT,
    AMOUNT_OR_NULL,
    FILLING,
    SHARE_OR_NULL,
    TEXT,
    WHOLE,
    Rule,
    check_fields,
    finite,
    is_whole,
    object_of,
    or_null,
)

SYNC_SECONDS = 1.0


@dataclass(frozen=True)
class Outcome:
    """One line of the ledger.

    Attributes:
        number: 0, 1, 2, ... in line order.
        batch: index of the ask that proposed the candidate; -1 for a finalist trained after the search.
        candidate: the filling of the space's blanks.
        score: what scoring it gave.
    """

    number: int
    batch: int
    candidate: Candidate
    score: Score


def record(outcome: Outcome) -> dict[str, Any]:
    """The outcome as the JSON object that stands in the ledger; empty ``traceback`` and ``columns`` are left out."""
    score = outcome.score
    line: dict[str, Any] = {"number": outcome.number, "batch": outcome.batch}
    line |= {"state": score.state, "fidelity": score.fidelity}
    line |= {metric: getattr(score, metric) for metric in METRICS}
    line |= {"seconds": score.seconds, "error": score.error}
    if score.traceback:
        line["traceback"] = score.traceback
    if score.columns:
        line["columns"] = dict(score.columns)
    line["param"] = dict(outcome.candidate)
    return line


def encode(outcome: Outcome, number: int) -> tuple[bytes, Outcome]:
    """Line ``number`` of a ledger, and the outcome that is read back from it; ValueError or TypeError says what not.

    Its last field is a checksum of the others.
    """
    line = json.dumps(with_checksum(record(outcome)), separators=(",", ":"), allow_nan=False).encode() + b"\n"
    kept = _decode(line, number)
    if kept != outcome:
        raise ValueError("a value would not be read back as it was written: use plain str, int, float and bool")
    return line, kept


def read(path: Path, *, way_out: str = "") -> tuple[list[Outcome], int]:
    """Outcomes of the ledger at ``path`` and the length in bytes of its intact part; the file is not changed.

    A last line without a newline was torn by a kill: it is not counted. Where there is no file, the ledger is empty.
    ``way_out`` says what to do where it is damaged; by default, how to keep the lines before.

    Raises:
        LedgerError: the file cannot be read, is none (a folder, a link to nothing), or a line is not the outcome that
            it should be, or its checksum is wrong. Lines of older versions have none.
    """
    path = Path(path)
    try:
        data = read_regular(path)
    except OSError as error:
        raise LedgerError(
            f"ledger {str(path)!r} cannot be read ({reason(error)}): "
            f"{way_out or 'restore it or make it readable, then run again'}"
        ) from error
    if data is None:
        return [], 0
    intact = data.rfind(b"\n") + 1
    outcomes = []
    for number, line in enumerate(data[:intact].split(b"\n")[:-1]):
        try:
            outcomes.append(_decode(line, number))
        except (ValueError, RecursionError) as error:
            raise LedgerError(_corrupt(path, number, error, way_out)) from error
    if _is_line(data[intact:-1], len(outcomes)):
        error = ValueError("another byte stands where the line should end")
        raise LedgerError(_corrupt(path, len(outcomes), error, way_out))
    return outcomes, intact


def _is_line(text: bytes, number: int) -> bool:
    """Whether a text is line ``number``, whole: a kill can tear what is behind its end, but not change it."""
    try:
        return bool(_decode(text, number))
    except (ValueError, RecursionError):
        return False


class Ledger:
    """A ledger open for appending; made by :meth:`open`, closed by :meth:`close` or a ``with`` block.

    Durability: a line is with the operating system when ``append`` returns, so it survives ``kill -9`` at once. It is
    forced to disk by the next append that comes a second or more after the last time, and on close, so a power
    loss may cost what was appended within a second of that. One process at a time writes: see ``folder.lock``.

    Attributes:
        path: the file.
        outcomes: all outcomes, in order; read only.
    """

    def __init__(self, path: Path, descriptor: int, outcomes: list[Outcome], size: int) -> None:
        self.path = path
        self.outcomes = outcomes
        self._descriptor = descriptor
        self._size = size
        self._synced = time.monotonic()

    @classmethod
    def open(cls, path: Path) -> "Ledger":
        """Open the ledger at ``path``, made if missing; a torn last line is moved to ``ledger.torn`` beside it.

        Raises:
            LedgerError: a line is corrupt, or the file cannot be opened or written.
        """
        path = Path(path)
        outcomes, intact = read(path)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise LedgerError(_unwritable(path, error)) from error
        try:
            torn = os.pread(descriptor, os.fstat(descriptor).st_size - intact, intact)
            if torn:
                torn_file = path.with_suffix(".torn")
                if torn_file.exists():
                    check_regular(torn_file)
                with torn_file.open("ab") as file:
                    file.write(torn + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
                os.ftruncate(descriptor, intact)
        except OSError as error:
            os.close(descriptor)
            raise LedgerError(_unwritable(path, error)) from error
        return cls(path, descriptor, outcomes, intact)

    def append(self, outcome: Outcome) -> None:
        """Write one line and hand it to the operating system.

        Raises:
            LedgerError: the outcome is not the next one or holds a value that a ledger cannot hold (a NaN, say), or
                the file cannot be written; in each case the file is as it was before.
        """
        number = len(self.outcomes)
        try:
            line, kept = encode(outcome, number)
        except (TypeError, ValueError) as error:
            raise LedgerError(
                f"outcome {outcome.number} cannot be line {number + 1} of ledger {str(self.path)!r}: "
                f"{one_line(error)}; record the candidate with state 'failed' and the reason as its error"
            ) from error
        try:
            _write(self._descriptor, line)
        except OSError as error:
            self._undo()
            raise LedgerError(_unwritable(self.path, error)) from error
        self._size += len(line)
        self.outcomes.append(kept)
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Force all lines to disk.

        Raises:
            LedgerError: the disk did not take them.
        """
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise LedgerError(_unwritable(self.path, error)) from error
        self._synced = time.monotonic()

    def close(self) -> None:
        """Force all lines to disk and close the file; closing twice does nothing.

        Raises:
            LedgerError: the disk did not take the lines.
        """
        if self._descriptor < 0:
            return
        try:
            self.sync()
        finally:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _undo(self) -> None:
        """Cut a partly written line; should this fail too, nothing may follow it: reopening cuts it."""
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1


def _write(descriptor: int, line: bytes) -> None:
    """One write; a short one (the disk is nearly full) is followed by another, which then says why."""
    written = os.write(descriptor, line)
    while written < len(line):
        written += os.write(descriptor, line[written:])


_RULES: dict[str, Rule] = {
    "number": WHOLE,
    "batch": (lambda value: is_whole(value) or (value == -1 and finite(value)), "a whole number >= -1"),
    "state": (lambda value: value in STATES, f"one of {', '.join(STATES)}"),
    "fidelity": (lambda value: value in FIDELITIES, f"one of {', '.join(FIDELITIES)}"),
    **dict.fromkeys(METRICS, AMOUNT_OR_NULL),
    "accuracy": SHARE_OR_NULL,
    "parameters": (or_null(is_whole), "null or a whole number >= 0"),
    "timesteps": (or_null(is_whole), "null or a whole number >= 0"),
    "seconds": AMOUNT,
    "error": TEXT,
    "traceback": TEXT,
    "columns": (object_of(finite), "an object of finite numbers"),
    "param": FILLING,
}
_REQUIRED = tuple(name for name in _RULES if name not in ("traceback", "columns"))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field stands twice")
    return fields


def _constant(name: str) -> float:
    raise ValueError(f"{name} is not a finite number")


_JSON = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def _decode(line: bytes, number: int) -> Outcome:
    """The outcome in ``line``; ValueError (or RecursionError, from absurd nesting) says what is wrong."""
    try:
        fields = _JSON.decode(line.decode())
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at column {error.colno})") from error
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    whole, fields = fields, {name: value for name, value in fields.items() if name != CHECKSUM}
    check_fields(fields, _RULES, _REQUIRED)
    if strange := [name for name in fields if name not in _RULES]:
        raise ValueError(f"unknown field {strange[0]!r}")
    if fields["number"] != number:
        raise ValueError(f"field 'number' is {fields['number']}, must be {number}: a line is missing, doubled or moved")
    without_checksum(whole)  # last: what a rule says is plainer
    batch, candidate = fields.pop("batch"), Candidate(fields.pop("param"))
    return Outcome(fields.pop("number"), batch, candidate, Score(**fields))


def _corrupt(path: Path, number: int, error: BaseException, way_out: str) -> str:
    fault = "nested too deeply" if isinstance(error, RecursionError) else one_line(error)
    if way_out:
        return f"ledger {str(path)!r} line {number + 1}: {fault}; {way_out}"
    ledger, good, bad = (shlex.quote(str(path.with_suffix(suffix))) for suffix in (path.suffix, ".good", ".bad"))
    return (
        f"ledger {str(path)!r} line {number + 1}: {fault}; the {number} lines before it are intact: keep them with "
        f"`head -n {number} {ledger} > {good} && mv {ledger} {bad} && mv {good} {ledger}`, then resume the run"
    )


def _unwritable(path: Path, error: OSError) -> str:
    run = shlex.quote(str(path.parent))
    return (
        f"ledger {str(path)!r} cannot be written ({one_line(error)}): all lines before are safe; free space or "
        f"make it writable, then `launch.py resume {run}`"
    )
