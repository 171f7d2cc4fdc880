"""Rules that are of several options, or of one but more than a range."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from spaces.errors import OptionError

if TYPE_CHECKING:
    from search.options.config import Config

LADDER_SAMPLERS = ("dual", "joint", "auto")
LEAST_GPUS = 1e-4
LEAST_SHARE = 1e-6  # of the steps of a training


def check_together(config: "Config") -> None:
    """Raises OptionError where options exclude each other."""
    for holds, said in (*_of_training(config), *_of_tables(config)):
        if holds:
            raise OptionError(said)


def _of_training(config: "Config") -> Iterable[tuple[bool, str]]:
    """What cannot be trained together, and why."""
    finalists, supernet, sweep = config.finalists, config.supernet, config.sweep
    pool, epochs = finalists.pool, finalists.epochs
    yield (
        supernet.path_rule == "sandwich" and supernet.paths < 2,
        f"--path-rule sandwich runs the smallest and the largest path: give --paths 2 or more, not {supernet.paths}",
    )
    yield (
        pool is not None and not 1 <= finalists.count <= pool,
        f"--finalist-pool {pool} of which --finalists {finalists.count} are trained to the end: give 1 finalist or "
        "more, and a pool of at least as many",
    )
    yield (
        (pool or 0) > finalists.count and epochs < 2,
        f"--finalist-pool {pool} is thinned out during the training: give --finalist-epochs 2 or more, not {epochs}",
    )
    yield (
        sweep.train_epochs is not None and sweep.proxy != "supernet" and finalists.weights == "inherited",
        "--train-weights inherited are a supernet's: add --proxy supernet, or drop it",
    )
    yield (
        config.training.method == "readout" and config.space.search_sparsity is not None,
        "--method readout trains no layers, so it prunes none: drop --search-sparsity",
    )
    yield (
        config.tickets.prune is not None and config.search.minutes is not None,
        f"--minutes {config.search.minutes:g} plans no tickets: drop --prune, and run launch.py prune afterwards"
        if config.search.minutes is not None
        else "",
    )


def _of_tables(config: "Config") -> Iterable[tuple[bool, str]]:
    """What a table does not go with, and why."""
    choices, space, sampler = config.table.choices, config.space.name, config.search.sampler
    yield (
        bool(config.table.fidelities) and sampler not in LADDER_SAMPLERS,
        f"--sampler {sampler} cannot tell what a part of an evaluation says of the whole: with --fidelities "
        f"take {', '.join(LADDER_SAMPLERS)}",
    )
    yield (
        config.sweep.train_epochs is not None and config.table.path is not None,
        "a sweep trains its candidates, a table has their scores: drop --table",
    )
    yield (
        bool(choices) and space not in (None, "table"),
        f"--table-choices makes a space of its own: drop it, or --space {space}",
    )
    yield len(set(choices)) < len(choices), f"--table-choices {','.join(choices)}: name each column once"


def check_gpus(value: float) -> None:
    """Raises OptionError for a share of a GPU that is too small to be handed out."""
    if 0 < value < LEAST_GPUS:
        raise OptionError(f"--gpus-per-worker {value} is out of range: give 0, or 0.0001 to 1024")


def check_share(value: float) -> None:
    """Raises OptionError unless a share leaves some of both."""
    if not 0 < value < 1:
        raise OptionError(f"--test-share {value} is out of range: give more than 0 and less than 1")


def parse_time_schedule(text: str) -> tuple[tuple[int, float], ...]:
    """``full``, or ``T:SHARE,T:SHARE,...`` with shares of the training steps that leave some for the full T.

    Raises:
        OptionError: anything else.
    """
    if text == "full":
        return ()
    try:
        pairs = tuple((int(t), float(share)) for t, share in (part.split(":") for part in text.split(",")))
    except ValueError:
        pairs = ()
    short = any(t < 1 or share < LEAST_SHARE for t, share in pairs)
    if not pairs or short or not sum(share for _, share in pairs) < 1:
        raise OptionError(
            f"--time-schedule {text!r}: write full, or T:SHARE,... with T of at least 1 and shares that sum up to less "
            "than 1, e.g. 1:0.6,2:0.2: 60 % of the steps at T = 1, 20 % at 2, the rest at --timesteps"
        )
    return pairs
