"""A run, whatever scores its candidates: configuration in, run folder out, and on with it after any kill."""

import hashlib
import importlib.metadata
import json
import math
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from optuna.distributions import distribution_to_json

from results.earlier import fingerprint, read_earlier, to_lines
from results.folder import RunFolder, claimed, default_path, open_existing
from results.given import candidates_of, read_candidates
from results.ledger import Ledger, read
from search.loop.progress import Screen, stages
from search.options.config import Config, change, from_json, matched, renamed, to_json
from search.options.declare import flag
from search.options.needs import check_effect, check_recordings
from search.options.rules import LADDER_SAMPLERS
from search.options.sources import write_toml
from search.publish import all_outcomes, export, publish, study_of
from search.samplers import SAMPLERS
from search.samplers.auto import AUTO, choose
from search.work.job import Job, check_data
from spaces.credentials import without_credentials
from spaces.errors import OptionError, RunError, SearchError, unknown
from spaces.faults import fault_line, machine_fault
from spaces.find import file_of, is_file, own_code
from spaces.paths import user_path

PACKAGES = ("torch", "numpy", "optuna", "spikefront")


def prepare(config: Config) -> Job:
    """The job that a configuration describes: by a table if it names one, by training each alone, or by a supernet.

    Raises:
        SearchError: something the user can mend.
    """
    if config.search.sampler not in (*SAMPLERS, AUTO):
        raise OptionError(f"--sampler: {unknown('sampler', config.search.sampler, (*SAMPLERS, AUTO))}")
    for name in ("out", "warm_start", "export_optuna"):
        if path := getattr(config.search if name == "warm_start" else config.machine, name):
            user_path(path, flag(name))
    if config.table.path is not None:
        from search.work.table import prepare as prepare_by
    elif config.sweep.train_epochs is not None:
        from search.work.sweep import prepare as prepare_by
    else:
        from search.work.supernet import prepare as prepare_by
    with own_code(config.space.name):
        job = prepare_by(config)
    if config.search.sampler != AUTO:
        return job
    name, why = choose(
        job.space, config.search.candidates, LADDER_SAMPLERS if config.table.fidelities else tuple(SAMPLERS)
    )
    return replace(job, config=change(job.config, sampler=name), sampler=why)


def run_search(config: Config, *, console: Screen, began: float | None = None) -> RunFolder:
    """Starts the search a configuration describes, or goes on with it where ``--out`` holds it already.

    Args:
        config: what is searched, and how.
        console: for progress.
        began: when the time began that the run is given, by ``time.monotonic``; now.

    Raises:
        SearchError: something the user can mend; nothing that was recorded is lost.
    """
    began = time.monotonic() if began is None else began
    job = replace(prepare(config), began=began)
    check_recordings(config, job.provenance)
    path = (
        user_path(config.machine.out, "--out")
        if config.machine.out
        else default_path(job.space.name, job.data, datetime.now())
    )
    source = user_path(config.search.warm_start, "--warm-start") if config.search.warm_start else None
    earlier = read_earlier(source, job.space, job.goal.objectives) if source else []
    given = config.search.try_first
    first = read_candidates(user_path(given, "--try"), job.space) if given else []
    job = replace(job, config=change(job.config, out=str(path)), earlier=earlier, first=first)
    with going_on_with(RunFolder(path).config), workers(job.config):
        return _run(path, job, describe(job), console)


def resume(path: Path, where: Mapping[str, Any], *, console: Screen, began: float | None = None) -> RunFolder:
    """Goes on with the run in a folder; ``where`` may name new places: options of the verb ``resume``.

    Raises:
        SearchError: the folder is not a run, or its data are not there or not the same any more.
    """
    folder = open_existing(path)
    stored = folder.read_config()
    config = from_json(stored.get("config"))
    if config.table.path is None and "table" in where:
        raise RunError(f"run {str(folder.path)!r} has its scores from a supernet, not from a table: drop --table")
    config = change(config, out=str(folder.path), **where)
    check_effect([config], where)
    began = time.monotonic() if began is None else began
    job = replace(prepare(config), began=began)
    way_out = "restore the file, or start a new run with --warm-start and another --out"
    first = candidates_of(stored["match"].get("tried", ()), job.space)
    job = replace(job, earlier=read(folder.warm_start, way_out=way_out)[0], first=first)
    described = describe(job)
    check_data(folder, described["match"]["data_sha256"], job.data)
    if described["match"].get("warm_start_sha256") != stored["match"].get("warm_start_sha256"):
        raise RunError(
            f"earlier results {str(folder.warm_start)!r} are not those that the run began from: restore the file, or "
            "start a new run with --warm-start"
        )
    if (now := described["versions"]) != (then := stored.get("versions")):
        console.print(
            f"note: versions changed since the run began: {then} then, {now} now", markup=False, soft_wrap=True
        )
    with going_on_with(folder.config), workers(job.config):
        return _run(folder.path, job, described, console)


@contextmanager
def going_on_with(begun: Path) -> Iterator[None]:
    """Each KeyboardInterrupt that leaves this, be it the second, names the folder to resume once it holds ``begun``."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(*([str(begun.parent)] if begun.exists() else [])) from None


def workers(config: Config) -> AbstractContextManager[None]:
    """Within, the workers that a configuration asks for can be had; raises ClusterError where they cannot."""
    if config.workers.runner == "in-process" and config.workers.train_workers == 1:
        return nullcontext()
    from search.runners.cluster import config_cluster, connected

    return connected(config_cluster(config))


def describe(job: Job) -> dict[str, Any]:
    """What stands in config.json; ``match`` is what a resume must agree with."""
    config, space = job.config, job.space
    match = matched(config) | {"objectives": job.goal.spelled, "data_sha256": job.provenance["sha256"]}
    if is_file(config.space.name):
        match["space_sha256"] = hashlib.sha256(file_of(config.space.name).read_bytes()).hexdigest()
    if job.earlier:
        match["warm_start_sha256"] = fingerprint(job.earlier)
    if job.first:
        match["tried"] = [dict(candidate) for candidate in job.first]
    chosen = {"sampler": job.sampler} if job.sampler else {}
    return {
        "match": match,
        "config": to_json(config),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join([Path(sys.argv[0]).name, *map(without_credentials, sys.argv[1:])]),
        "task": dict(job.provenance),
        "chance": dict(job.goal.chance),
        "space": {
            "name": space.name,
            "about": space.about,
            "size": space.size if math.isfinite(space.size) else None,
            "blanks": list(space.blanks),
            "distributions": [json.loads(distribution_to_json(kind)) for kind in space.blanks.values()],
        },
        **chosen,
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
    }


@contextmanager
def machine(folder: RunFolder) -> Iterator[None]:
    """Within, a fault of the machine is raised as a RunError that says how to go on with the run."""
    try:
        yield
    except SearchError:
        raise
    except Exception as error:
        if not (fault := machine_fault(error)):
            raise
        go_on = f"go on with `launch.py resume {shlex.quote(str(folder.path))}`"
        raise RunError(f"{fault_line(error, fault, go_on)}; all so far is kept") from error


def _run(path: Path, job: Job, described: Mapping[str, Any], console: Screen) -> RunFolder:
    earlier = to_lines(job.earlier)
    target = job.config.machine.export_optuna and user_path(job.config.machine.export_optuna, "--export-optuna")
    if target:  # before anything is begun
        from results.optuna_study import check_target

        check_target(target, **study_of(RunFolder(path)))
    with claimed(path, config=described, warm_start=earlier, defaults=to_json(Config()), of_today=renamed) as folder:
        write_toml(folder.settings, job.config)
        if console.is_terminal:
            console.print(f"run folder: {folder.path}", highlight=False, markup=False, soft_wrap=True)
        with Ledger.open(folder.ledger) as ledger, stages(console) as stage:
            for remark in job.provenance.get("remarks", ()):
                console.print(f"note: {remark}", highlight=False, markup=False, soft_wrap=True)
            try:
                with own_code(job.config.space.name), machine(folder):
                    job.work(job, folder, ledger, stage)
            except (KeyboardInterrupt, SearchError):
                with suppress(Exception):  # what there is can be read; a second error would hide the first
                    publish(folder, all_outcomes(folder))
                raise
            publish(folder, ledger.outcomes)
            if target:
                export(folder, ledger.outcomes, target)
    return folder


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
