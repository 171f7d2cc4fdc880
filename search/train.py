"""Training one given architecture to the end, once a seed: a sweep of a space that has one candidate left."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from results.folder import RunFolder, open_existing
from results.trained import describe, sum_up, write_trained
from search.candidates import candidate_in, parse_candidate, split_place
from search.grid import run_grid
from search.loop.progress import Screen
from search.options.config import Config, change, configure, from_json, values_of
from search.options.declare import declared
from search.options.needs import check_effect
from search.options.what import DataOptions, SpaceOptions
from search.run import run_search
from search.setting import config_space

ALONE = {  # the sweep that is one training
    **{"candidates": 1, "batch": 1, "finalists": 1, "racing": False},
    **{"sampler": "random", "runner": "in-process", "finalist_weights": "fresh"},
}


def training_config(candidate: str | Mapping[str, Any], values: Mapping[str, Any]) -> Config:
    """The configuration that trains one candidate.

    A candidate of a run, RUN#N, brings the options on its space with it, and those on its data unless ``values`` name
    other data.

    Args:
        candidate: as of ``parse_candidate``.
        values: options by flat name, of the verb ``train``.

    Raises:
        SearchError: something the user can mend.
    """
    inherited: dict[str, Any] = {}
    place = split_place(candidate) if isinstance(candidate, str) else None
    if place is not None:
        folder = open_existing(place[0])
        candidate = candidate_in(folder, place[1])
        run = values_of(from_json(folder.read_config().get("config")))
        parts = [SpaceOptions] if "data" in values else [SpaceOptions, DataOptions]
        inherited = {name: run[name] for part in parts for name in declared(part) if name != "fix"}
    config = configure("sweep", **{**ALONE, **inherited, **values})
    space, config = config_space(config)
    chosen = parse_candidate(candidate, space)
    check_effect([config], values)
    return change(config, fix=tuple(f"{name}={value}" for name, value in chosen.items()))


def run_training(config: Config, seeds: Sequence[int], *, console: Screen) -> Iterator[RunFolder]:
    """Trains once a seed, or goes on with it; gives each run's folder once it is done.

    One seed is a run in ``--out``; several are runs in folders below it, beside a file that sums them up.

    Raises:
        SearchError: something the user can mend; the trainings before it are done.
    """
    if len(seeds) == 1:
        yield run_search(change(config, seed=seeds[0]), console=console)
        return
    folders = []
    for folder in run_grid(config, [config.space.name], [config.data.name], seeds, console=console):
        folders.append(folder)
        yield folder
    write_trained(folders[0].path.parent, folders)


def over_seeds(folders: Sequence[RunFolder]) -> str:
    """Mean and spread of the runs of several seeds, in a line."""
    return describe(sum_up(folders))
