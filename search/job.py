"""The job: configuration in, run folder out. Supernet, search, finalists, tables and report, each resumable."""

import hashlib
import importlib.metadata
import math
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from evaluators.checkpoint import load_weights, own_tensors, read_tensors, save_tensors
from evaluators.energy import ENERGY_MODELS
from evaluators.prefix import PrefixCache
from evaluators.setting import Recipe, Setting
from evaluators.supernet import score_from_supernet, train_supernet, warm_up
from evaluators.tasks.load import load_task
from evaluators.tasks.task import Task
from evaluators.training import Plan
from results.folder import RunFolder, create_or_open, default_path, lock, open_existing
from results.ledger import Ledger, Outcome, read
from results.report import write_report
from results.table import write_tables
from search.config import Config, from_json, parse_time_schedule, to_json
from search.finalists import Training, pick, train_finalist
from search.goal import Goal, check_objectives, parse_constraints, parse_reference
from search.loop import Budget, search
from search.progress import stages
from search.racing import dominated_by
from search.samplers import SAMPLERS
from spaces import lookup
from spaces.candidate import Candidate, Score
from spaces.errors import OptionError, RunError, SearchError, SpaceError, unknown
from spaces.find import file_of, is_file, make_space
from spaces.space import Space

Stage = Callable[[str, str], Callable[[int, int], None]]
DEVICES = ("cpu", "cuda", "mps", "xpu")
PACKAGES = ("torch", "numpy", "optuna", "spikefront")


def config_space(config: Config) -> tuple[Space, Config]:
    """The space a configuration names, and the configuration with the space's own defaults spelt out."""
    options = {"width": config.width, "timesteps": config.timesteps, "neuron": config.neuron}
    space, used = make_space(config.space, options=options, compiled=config.compile)
    return space, replace(config, **used)


def make_goal(config: Config) -> Goal:
    """The goal a configuration states."""
    goal = Goal(
        objectives=config.objectives,
        constraints=parse_constraints(config.constraints),
        spike_weight=config.spike_weight,
        reference=parse_reference(config.reference),
    )
    check_objectives(goal.objectives)
    return goal


def make_setting(config: Config, space: Space, task: Task) -> Setting:
    """How a configuration trains and scores."""
    plan = Plan(
        epochs=config.supernet_epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        loss=config.loss,
        logit_scale=config.logit_scale,
        time_schedule=parse_time_schedule(config.time_schedule),
        precision=config.precision,
    )
    recipe = Recipe(
        plan=plan,
        path_rule=config.path_rule,
        paths=config.paths,
        entangled=config.supernet_weights == "entangled",
        norm_scale=config.norm_scale,
        head_gain=config.head_gain,
        identity=config.kernel_init == "identity",
        recalibration_samples=config.recalibration_samples,
    )
    model = ENERGY_MODELS[config.energy_model]
    return Setting(space=space, task=task, recipe=recipe, model=model, seed=config.seed, device=config.device)


def make_device(name: str) -> str:
    """The device to use; ``auto`` takes a GPU where there is one. Raises OptionError if it cannot be used."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.split(":")[0] not in DEVICES:
        raise OptionError(f"--device {name!r}: {unknown('device', name.split(':')[0], DEVICES)}")
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise OptionError(
            f"--device {name!r} cannot be used here ({str(error).splitlines()[0]}); use cpu or auto"
        ) from error
    return name


def run_search(config: Config, *, console: Console) -> RunFolder:
    """Starts the search a configuration describes, or goes on with it where ``config.out`` holds it already.

    Raises:
        SearchError: something the user can mend; nothing that was recorded is lost.
    """
    config = replace(config, device=make_device(config.device), threads=config.threads or torch.get_num_threads())
    (space, config), goal = config_space(config), make_goal(config)
    lookup(SAMPLERS, "sampler", config.sampler)
    if config.energy_model not in ENERGY_MODELS:
        raise OptionError(f"--energy-model: {unknown('energy model', config.energy_model, ENERGY_MODELS)}")
    task = load_config_task(config, space)
    _check_fit(space, task)
    path = Path(config.out).expanduser() if config.out else default_path(space.name, config.data, datetime.now())
    config = replace(config, out=str(path))
    folder = create_or_open(path, config=describe(config, task, space))
    return _run(folder, config, goal, make_setting(config, space, task), console)


def resume(path: Path, where: Mapping[str, Any], *, console: Console) -> RunFolder:
    """Goes on with the run in a folder; ``where`` may name new places: fields of Config in ``WHERE``.

    Raises:
        SearchError: the folder is not a run, or its data are not there or not the same any more.
    """
    folder = open_existing(path.expanduser())
    stored = folder.read_config()
    config = replace(from_json(stored.get("config")), out=str(folder.path), **where)
    config = replace(config, device=make_device(config.device))
    (space, _), goal = config_space(config), make_goal(config)
    task = load_config_task(config, space)
    described = describe(config, task, space)
    if (found := described["match"]["data_sha256"]) != (kept := stored["match"].get("data_sha256")):
        raise RunError(
            f"the data at {config.data!r} are not those of run {str(folder.path)!r} (SHA-256 {found[:12]}, run has "
            f"{str(kept)[:12]}): give the right ones with --data or --data-dir, or start a new run"
        )
    create_or_open(folder.path, config=described)  # says what else differs
    if (now := described["versions"]) != (then := stored.get("versions")):
        console.print(
            f"note: versions changed since the run began: {then} then, {now} now", markup=False, soft_wrap=True
        )
    return _run(folder, config, goal, make_setting(config, space, task), console)


def refresh(path: Path) -> RunFolder:
    """Writes tables and report of the run in a folder anew: finished, cut off, or still running elsewhere."""
    folder = open_existing(path.expanduser())
    config = from_json(folder.read_config().get("config"))
    publish(folder, read(folder.ledger)[0], config_space(config)[0], make_goal(config))
    return folder


def _check_fit(space: Space, task: Task) -> None:
    """Raises SpaceError early where space and task do not fit each other, or the supernet does not fit into memory."""
    try:
        space.network(task.spec)
    except (RuntimeError, MemoryError, OverflowError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise SpaceError(
            f"the supernet of {space.name!r} cannot be held in memory ({reason}): lower --width"
        ) from error


def load_config_task(config: Config, space: Space) -> Task:
    """The task a configuration names; recordings are cut into as many frames as the space has time steps."""
    return load_task(
        config.data,
        data_dir=config.data_dir,
        download=config.download,
        verify=config.verify,
        train_samples=config.train_samples,
        val_samples=config.val_samples,
        frames=space.timesteps,
        event_frames=config.event_frames,
        seed=config.seed,
    )


def describe(config: Config, task: Task, space: Space) -> dict[str, Any]:
    """What stands in config.json; ``match`` is what a resume must agree with."""
    match = config.match() | {"objectives": make_goal(config).spelled, "data_sha256": task.provenance["sha256"]}
    if is_file(config.space):
        match["space_sha256"] = hashlib.sha256(file_of(config.space).read_bytes()).hexdigest()
    return {
        "match": match,
        "config": to_json(config),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "task": {"name": task.name, "augment": task.augment, **dict(task.provenance)},
        "space": {
            "name": space.name,
            "about": space.about,
            "size": space.size if math.isfinite(space.size) else None,
            "blanks": list(space.blanks),
        },
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
    }


def publish(folder: RunFolder, outcomes: Sequence[Outcome], space: Space, goal: Goal) -> None:
    """Writes candidates.csv, pareto.csv and report.html from what the run holds."""
    write_tables(folder, outcomes, goal.objectives, goal.senses, list(space.blanks))
    write_report(folder)


def _run(folder: RunFolder, config: Config, goal: Goal, setting: Setting, console: Console) -> RunFolder:
    threads = config.threads or torch.get_num_threads()
    if console.is_terminal:
        console.print(f"run folder: {folder.path}", highlight=False, markup=False, soft_wrap=True)
    with lock(folder), Ledger.open(folder.ledger) as ledger, _threads(threads), stages(console) as stage:
        try:
            match = folder.read_config()["hash"]
            supernet = _supernet(folder, config, setting, match, stage)
            _search(config, goal, setting, supernet, ledger, stage)
            _finalists(folder, config, goal, setting, supernet, ledger, match, stage)
        except (KeyboardInterrupt, SearchError) as stop:
            with suppress(SearchError):  # what there is can be read; a second error would hide the first
                publish(folder, ledger.outcomes, setting.space, goal)
            raise (KeyboardInterrupt(str(folder.path)) if isinstance(stop, KeyboardInterrupt) else stop) from None
        publish(folder, ledger.outcomes, setting.space, goal)
    return folder


def _supernet(folder: RunFolder, config: Config, setting: Setting, match: str, stage: Stage) -> nn.Module:
    kept = read_tensors(folder.supernet, match=match)
    checkpoint = folder.checkpoints / "supernet.safetensors"
    if kept is not None:
        checkpoint.unlink(missing_ok=True)
        supernet = setting.space.network(setting.task.spec, entangled=setting.recipe.entangled)
        load_weights(supernet, kept[0])
        return supernet.to(setting.device, memory_format=torch.channels_last)
    if config.compile:
        warm_up(setting, on_step=stage("compile (kept on disk)", "kernels"))
    tell = stage("supernet", "steps")
    supernet, _ = train_supernet(setting, checkpoint=checkpoint, match=match, on_step=tell)
    save_tensors(folder.supernet, own_tensors(supernet), {"match": match})
    checkpoint.unlink(missing_ok=True)
    return supernet


def _search(config: Config, goal: Goal, setting: Setting, supernet: nn.Module, ledger: Ledger, stage: Stage) -> str:
    total = min(config.candidates, int(min(setting.space.size, 2**62)))
    tell = stage("search", "candidates")
    tell(len([outcome for outcome in ledger.outcomes if outcome.batch >= 0]), total)
    cache = PrefixCache(config.prefix_cache_mb)

    def score(candidate: Candidate, *, history: Sequence[Outcome]) -> Score:
        hopeless = dominated_by(history, goal) if config.racing else None
        return score_from_supernet(setting, supernet, candidate, cache=cache, hopeless=hopeless)

    return search(
        setting.space,
        ledger,
        lookup(SAMPLERS, "sampler", config.sampler),
        score,
        goal=goal,
        budget=Budget(candidates=config.candidates, minutes=config.minutes, batch=config.batch),
        seed=config.seed,
        on_outcome=lambda outcome: tell(outcome.number + 1, total),
    )


def _finalists(
    folder: RunFolder,
    config: Config,
    goal: Goal,
    setting: Setting,
    supernet: nn.Module,
    ledger: Ledger,
    match: str,
    stage: Stage,
) -> None:
    plan = replace(setting.recipe.plan, epochs=config.finalist_epochs, time_schedule=())
    training = Training(plan=plan, inherited=config.finalist_weights == "inherited")
    for finalist in pick(ledger.outcomes, goal, config.finalists):
        tell = stage(f"finalist {finalist.outcome.number} ({finalist.picked_as})", "steps")
        train_finalist(
            finalist,
            setting,
            supernet,
            training,
            folder=folder,
            ledger=ledger,
            goal=goal,
            match=match,
            on_step=tell,
        )


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before, deterministic = torch.get_num_threads(), torch.backends.cudnn.deterministic
    torch.set_num_threads(number)
    torch.backends.cudnn.deterministic = True  # the same seed gives the same run on a GPU, too
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.backends.cudnn.deterministic = deterministic


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
