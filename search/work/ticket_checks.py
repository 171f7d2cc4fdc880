"""What tickets are made of, and what there is of them already, checked before anything is made."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluators.checkpoint import read_stored
from results.folder import RunFolder
from results.stored import read_metrics, read_ticket
from spaces.candidate import Candidate
from spaces.errors import DamageError, DamageWarning, RunError, SpaceError
from spaces.space import Space


def candidate_of(folder: RunFolder, space: Space, number: int) -> Candidate:
    """The candidate that a finalist is of; raises RunError where its file is damaged or of another space."""
    metrics, path = read_metrics(folder, number), folder.finalist(number) / "metrics.json"
    if metrics is None or "candidate" not in metrics:
        raise RunError(f"finalist file {str(path)!r} names no candidate: resume the run, which makes the finalist anew")
    try:
        space.check(metrics["candidate"])
    except SpaceError as error:
        raise DamageError(
            f"finalist file {str(path)!r} is damaged or was edited ({error})",
            f"remove the folder {str(path.parent)!r} and resume the run, which makes it anew",
        ) from error
    return Candidate(metrics["candidate"])


def is_made(home: Path, options: Mapping[str, Any], name: str) -> bool:
    """Whether a ticket is there and whole; what is damaged is told in a warning, to be made anew.

    Raises:
        RunError: it was made with other options.
    """
    try:
        metrics = read_ticket(home)
        if metrics is None:
            return False
        for file in metrics["bytes"]:
            read_stored(home / file, "prune again")
    except DamageError as error:
        warnings.warn(f"{error.fault}; ticket {name!r} is made anew", DamageWarning, stacklevel=2)
        return False
    apart = ("sparsities", "fading_rate" if options["method"] != "fading" else "")
    kept, now = ({k: v for k, v in table.items() if k not in apart} for table in (metrics["options"], options))
    if kept != now:
        differ = ", ".join(f"{k}: has {kept.get(k)}, now {v}" for k, v in now.items() if kept.get(k) != v)
        raise RunError(
            f"ticket {name!r} is there, made with other options ({differ}): remove its folder {str(home)!r} to make it "
            "anew, or give the same ones"
        )
    return True
