"""Candidates as people write them: a published cell, an object of choices, or a number in a run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from results.folder import RunFolder, open_existing
from results.ledger import read
from results.stored import read_metrics
from spaces.candidate import Candidate
from spaces.errors import OptionError, RunError, SpaceError, one_line, unknown
from spaces.paths import user_path
from spaces.space import Space

PUBLISHED = "published:"
WAYS = """give published:NAME, an object such as {"slot1": "SRB_k5", ...}, or RUN#N"""


def split_place(text: str) -> tuple[Path, int] | None:
    """The run's folder and the number that ``RUN#N`` names; None for any other text."""
    path, mark, number = text.rpartition("#")
    return (user_path(path, "run"), int(number)) if mark and path and number.isascii() and number.isdecimal() else None


def place_of(text: str) -> tuple[RunFolder, int]:
    """The run and the number that ``RUN#N`` names.

    Raises:
        OptionError: it names none.
        RunError: the folder is no run.
    """
    if (place := split_place(text)) is None:
        raise OptionError(f"{text!r} names no finalist: write RUN#N, such as runs/NAME#12, N as in finalists/N")
    return open_existing(place[0]), place[1]


def candidate_in(folder: RunFolder, number: int) -> Candidate:
    """The candidate of a finalist, or of that line of a run's ledger.

    Raises:
        RunError: the run has no such number.
    """
    if (metrics := read_metrics(folder, number)) is not None and metrics.get("candidate"):
        return Candidate(metrics["candidate"])
    outcomes, _ = read(folder.ledger)
    if number >= len(outcomes):
        raise RunError(
            f"run {str(folder.path)!r} has no candidate {number}: its candidates.csv has {len(outcomes)}, from 0 on"
        )
    return outcomes[number].candidate


def parse_candidate(said: str | Mapping[str, Any], space: Space) -> Candidate:
    """The candidate of a space that a person means, checked.

    Args:
        said: choices and their values; or as text ``published:NAME``, ``RUN#N``, or a JSON object.
        space: which it is of.

    Raises:
        OptionError: there is no such published cell, or the text is none of these.
        SpaceError: a choice is missing, unknown or of another value, or the candidate is no network.
        RunError: the run has no such candidate.
    """
    if isinstance(said, str):
        said = _spelled(said, space)
    try:
        candidate = Candidate(said)
    except (TypeError, ValueError) as error:
        raise SpaceError(f"candidate {str(said)[:200]!r} cannot be kept ({one_line(error)}): {WAYS}") from error
    space.check(candidate)
    if reason := space.infeasible(candidate):
        raise SpaceError(f"candidate {candidate.key} of space {space.name!r} is no network: {reason}")
    return candidate


def _spelled(text: str, space: Space) -> Mapping[str, Any]:
    """The choices that a text names."""
    if text.startswith(PUBLISHED):
        name = text.removeprefix(PUBLISHED)
        if name not in space.published:
            raise OptionError(
                f"--candidate: {unknown(f'published cell of space {space.name!r}', name, space.published)}"
            )
        return space.published[name]
    if (place := split_place(text)) is not None:
        return candidate_in(open_existing(place[0]), place[1])
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"--candidate {text[:80]!r} cannot be read ({one_line(error)}): {WAYS}") from error
    if not isinstance(found, dict):
        raise OptionError(f"--candidate {text[:80]!r} is no object: {WAYS}")
    return found
