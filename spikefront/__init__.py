"""Spikefront in Python: search spiking networks, train one, take a trained one along.

    import spikefront

    run = spikefront.search(space="autosnn", data="digits", candidates=60)
    run.front  # a DataFrame
    best = run.finalists[0]
    best.predict(["a.png"])

Everything is made when it is first asked for, so that the import itself is light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluators.predicting import Predictions
    from evaluators.tasks.task import Task
    from spaces.candidate import Candidate
    from spaces.errors import (
        ClusterError,
        DamageError,
        LedgerError,
        OptionError,
        RunError,
        SearchError,
        SpaceError,
        TaskError,
    )
    from spaces.space import Space
    from spikefront.catalogue import load_data, samplers, space, spaces
    from spikefront.run import Finalist, Run, open_run, resume, search, sweep
    from spikefront.scores import Scores, score
    from spikefront.study import Study
    from spikefront.training import Training, train

_ERRORS = (
    "SearchError",
    "OptionError",
    "SpaceError",
    "TaskError",
    "LedgerError",
    "RunError",
    "DamageError",
    "ClusterError",
)
_HOMES = {
    **dict.fromkeys(_ERRORS, "spaces.errors"),
    **dict.fromkeys(("Finalist", "Run", "open_run", "resume", "search", "sweep"), "spikefront.run"),
    **dict.fromkeys(("Scores", "score"), "spikefront.scores"),
    **dict.fromkeys(("Training", "train"), "spikefront.training"),
    **dict.fromkeys(("load_data", "samplers", "space", "spaces"), "spikefront.catalogue"),
    "Study": "spikefront.study",
    "Candidate": "spaces.candidate",
    "Space": "spaces.space",
    "Predictions": "evaluators.predicting",
    "Task": "evaluators.tasks.task",
}
__all__ = [
    "Candidate",
    "ClusterError",
    "DamageError",
    "Finalist",
    "LedgerError",
    "OptionError",
    "Predictions",
    "Run",
    "RunError",
    "Scores",
    "SearchError",
    "Space",
    "SpaceError",
    "Study",
    "Task",
    "TaskError",
    "Training",
    "__version__",
    "load_data",
    "open_run",
    "resume",
    "samplers",
    "score",
    "search",
    "space",
    "spaces",
    "sweep",
    "train",
]
__version__: str


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """What is asked for the first time."""
    if name == "__version__":
        from spaces.version import program_version

        found: Any = program_version()
    elif name in _HOMES:
        from spikefront.rooms import check_rooms

        check_rooms()
        found = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'spikefront' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
