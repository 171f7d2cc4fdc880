"""A grid of sweeps: spaces x data sets x seeds, a run each, one after the other, on the same workers."""

import os
from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import count, product
from pathlib import Path
from typing import Any

from results.folder import RunFolder, default_path, lock
from search.loop.progress import Screen
from search.options.config import Config, change, from_json, to_json
from search.options.needs import check_effect, idle
from search.run import going_on_with, resume, run_search, workers
from spaces.checksums import read_json, write_json
from spaces.credentials import without_credentials
from spaces.errors import RunError
from spaces.files import reason
from spaces.paths import is_plain, plain_name, user_path

WAY_OUT = "restore it, or start the sweep anew with another --out"
PLAN = "sweep.json"  # in the grid's folder: name -> configuration of each of its runs


def is_grid(path: Path) -> bool:
    """Whether a folder holds the runs of a grid."""
    return os.path.lexists(path / PLAN)


def run_grid(
    config: Config, spaces: Sequence[str], data: Sequence[str], seeds: Sequence[int], *, console: Screen
) -> Iterator[RunFolder]:
    """Starts a run for each space, data set and seed, or goes on with it, in folders below ``--out``.

    Gives each folder once its run is done.

    Raises:
        SearchError: something the user can mend; the runs before it are done, those after it are not begun.
    """
    out, storage = config.machine.out, config.workers.storage
    home = user_path(out, "--out") if out else default_path("sweep", "grid", datetime.now())
    plan: dict[str, Config] = {}
    for space, where, seed in product(spaces, data, seeds):
        plan[_name(space, where, seed, plan)] = change(config, space=space, data=where, seed=seed, out=None)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"folder {str(home)!r} cannot be made ({reason(error)}): choose another with --out") from error
    with lock(RunFolder(home)):  # of two that begin another sweep here at once, one is refused
        if is_grid(home) and read_plan(home) != {name: from_json(to_json(one)) for name, one in plan.items()}:
            raise RunError(
                f"folder {str(home)!r} holds another sweep: resume it as it is, or choose another with --out"
            )
        write_json(home / PLAN, {name: to_json(one) for name, one in plan.items()})
    secret = storage is not None and without_credentials(storage) != storage  # not in the plan
    yield from resume_grid(home, {"storage": storage} if secret else {}, console=console)


def resume_grid(home: Path, where: Mapping[str, Any], *, console: Screen) -> Iterator[RunFolder]:
    """Goes on with the runs of a grid, and begins those that are not begun; see ``run_grid`` and ``run.resume``."""
    plan = {name: change(one, **where) for name, one in read_plan(home).items()}
    check_effect(list(plan.values()), where)
    with going_on_with(home / PLAN), workers(next(iter(plan.values()))):
        for name, config in plan.items():
            if (home / name / "config.json").exists():
                without = idle(config, where)  # what another run of the grid takes up
                yield resume(home / name, {k: v for k, v in where.items() if k not in without}, console=console)
            else:
                yield run_search(change(config, out=str(home / name)), console=console)


def read_plan(home: Path) -> dict[str, Config]:
    """Name -> configuration of a grid's runs; raises RunError where the file is damaged or names no runs."""
    stored = read_json(home / PLAN, "sweep", WAY_OUT)
    if not stored:
        raise RunError(f"sweep {str(home / PLAN)!r} names no runs: {WAY_OUT}")
    if foreign := [name for name in stored if not is_plain(name)]:
        raise RunError(f"sweep {str(home / PLAN)!r} names run {foreign[0]!r}, which is no folder of its own: {WAY_OUT}")
    return {name: from_json(values) for name, values in stored.items()}


def _name(space: str, data: str, seed: int, taken: Container[str]) -> str:
    """Of a run's folder; files of one name in two folders are counted up."""
    name = f"{plain_name(space.rpartition('/')[2], 'space')}-{plain_name(Path(data).stem, 'data')}-seed{seed}"
    return name if name not in taken else next(f"{name}-{n}" for n in count(2) if f"{name}-{n}" not in taken)
