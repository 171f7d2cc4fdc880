"""What there is: search spaces, samplers and data sets."""

from pathlib import Path
from typing import Any

from evaluators.tasks.load import load_task
from evaluators.tasks.task import Task
from search.samplers import SAMPLERS
from search.samplers.auto import AUTO
from spaces import SPACES
from spaces.find import make_space
from spaces.space import Space


def spaces() -> dict[str, str]:
    """The search spaces: name -> what it is."""
    return {name: about for name, (_, about) in SPACES.items()}


def space(name: str, **options: Any) -> Space:  # noqa: ANN401
    """A search space.

    Args:
        name: one of ``spaces()``, or FILE.py:NAME of your own.
        options: its own, such as ``width``, ``timesteps`` and ``neuron``.

    Raises:
        SearchError: there is no such space or option, or the file does not load.
    """
    return make_space(name, options=options)[0]


def samplers() -> dict[str, str]:
    """The samplers: name -> what it is."""
    return {AUTO: "one of the others, by space and budget", **{name: about for name, (_, about) in SAMPLERS.items()}}


def load_data(name: str | Path, **options: Any) -> Task:  # noqa: ANN401
    """A data set, by its name or path, in three splits.

    Args:
        name: as ``data`` of a search.
        options: those of ``evaluators.tasks.load.load_task``, such as ``data_dir``, ``train_samples`` and ``seed``.

    Raises:
        SearchError: there is no such data set, or it cannot be read.
    """
    return load_task(name, **options)
