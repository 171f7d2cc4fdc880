"""The job by a supernet: train it, search with its scores, train the finalists; each part can be resumed."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from evaluators.checkpoint import drop, join, load_weights, own_tensors, read_tensors, save_tensors
from evaluators.energy import ENERGY_MODELS
from evaluators.prefix import PrefixCache
from evaluators.setting import Recipe, Setting
from evaluators.supernet import abreast, checkpoints, new_supernet, score_from_supernet, train_supernet, warm_up
from evaluators.tasks.classes import balanced_weights, chance
from evaluators.tasks.load import load_task
from evaluators.tasks.task import Task
from evaluators.training import Plan
from evaluators.workers import Workers, in_parts
from results.classes import remarks
from results.folder import RunFolder
from results.ledger import Ledger
from search.checks import check_fit, check_parts
from search.config import Config, parse_time_schedule
from search.exact import check_reachable
from search.finalists import Carry, Training, carried_here, pick, recorded, train_finalist
from search.goal import Goal, make_goal
from search.halving import forget, halve
from search.loop import in_process
from search.memory import freeing, is_open
from search.progress import Stage
from search.racing import Rivals, rivals_of
from search.run import Job, search_stage
from search.steps import batch_for, with_steps
from search.storage import check_storage, place_of
from spaces.candidate import READINGS, Candidate, Score
from spaces.errors import OptionError, one_line, unknown
from spaces.find import make_space
from spaces.space import Space
from spaces.sparsity import with_sparsity

DEVICES = ("cpu", "cuda", "mps", "xpu")
DEFAULT_SPACE = "autosnn"


def config_space(config: Config) -> tuple[Space, Config]:
    """The space a configuration names, and the configuration with the space's own defaults spelt out."""
    options = {"width": config.width, "timesteps": config.timesteps, "neuron": config.neuron}
    name = config.space or DEFAULT_SPACE
    space, used = make_space(name, options=options, compiled=config.compile)
    if config.search_sparsity is not None:
        space = with_sparsity(space, config.search_sparsity)
    return space, replace(config, space=name, **used)


def make_setting(config: Config, space: Space, task: Task) -> Setting:
    """How a configuration trains and scores."""
    plan = Plan(
        epochs=config.supernet_epochs,
        batch_size=config.batch_size or batch_for(len(task.train)),
        learning_rate=config.learning_rate,
        loss=config.loss,
        logit_scale=config.logit_scale,
        time_schedule=parse_time_schedule(config.time_schedule),
        precision=config.precision,
        class_weights=balanced_weights(task) if config.class_weights == "balanced" else (),
    )
    recipe = Recipe(
        plan=plan,
        path_rule=config.path_rule,
        paths=config.paths,
        entangled=config.supernet_weights == "entangled",
        norm_scale=config.norm_scale,
        head_gain=config.head_gain,
        identity=config.kernel_init == "identity",
        few_shot=config.few_shot,
        few_shot_epochs=config.few_shot_epochs,
        supernets=config.supernets,
        recalibration_samples=config.recalibration_samples,
        threshold_balancing=config.threshold_balancing,
    )
    model = ENERGY_MODELS[config.energy_model]
    columns = make_goal(config).columns
    readings = tuple(name for name in READINGS if name in columns)
    return Setting(
        space=space,
        task=task,
        recipe=recipe,
        model=model,
        seed=config.seed,
        device=config.device,
        readings=readings,
    )


def make_device(name: str) -> str:
    """The device to use; ``auto`` takes a GPU where there is one. Raises OptionError if it cannot be used."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.split(":")[0] not in DEVICES:
        raise OptionError(f"--device {name!r}: {unknown('device', name.split(':')[0], DEVICES)}")
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise OptionError(f"--device {name!r} cannot be used here ({one_line(error)}); use cpu or auto") from error
    return name


def prepare_setting(config: Config) -> tuple[Config, Setting, Goal]:
    """A configuration spelt out, how it trains and scores, and its goal; checked, and nothing begun.

    Raises:
        SearchError: something the user can mend.
    """
    if config.storage is not None:
        check_storage(config.storage)  # early
    config = replace(config, device=make_device(config.device), threads=config.threads or torch.get_num_threads())
    (space, config), goal = config_space(config), make_goal(config)
    if config.energy_model not in ENERGY_MODELS:
        raise OptionError(f"--energy-model: {unknown('energy model', config.energy_model, ENERGY_MODELS)}")
    config, task = with_steps(config, load_config_task(config, space))
    goal = replace(goal, floor=config.floor, chance=chance(task))
    check_fit(space, task, config.space)
    setting = make_setting(config, space, task)
    check_parts(config, setting)
    check_reachable(setting, goal, config)
    setting.recipe.families(space)  # early, where --few-shot names none
    return config, setting, goal


def prepare(config: Config) -> Job:
    """A search by a supernet: its configuration spelt out, its space, goal and data checked, nothing begun.

    Raises:
        SearchError: something the user can mend.
    """
    config, setting, goal = prepare_setting(config)
    if config.prune is not None:
        from search.tickets import prune_finalists  # it builds on this
        from search.wish import wish_of

        wish = wish_of(config)
    space, task = setting.space, setting.task

    def work(job: Job, folder: RunFolder, ledger: Ledger, stage: Stage) -> None:
        with held(config.threads):
            match = folder.read_config()["hash"]
            supernet = trained_supernet(folder, config, setting, match, stage)
            _search(job, folder, setting, supernet, ledger, stage)
            training = make_training(config, setting, goal, supernet, folder, epochs=config.finalist_epochs)
            _finalists(training, ledger, config, stage)
            if config.prune is not None:
                prune_finalists(setting, config, folder, wish, stage)

    provenance = provenance_of(task, config, goal)
    return Job(config=config, space=space, goal=goal, data=config.data, provenance=provenance, work=work)


def provenance_of(task: Task, config: Config, goal: Goal) -> dict[str, Any]:
    """Facts about the data for config.json, with what is to be told of them."""
    facts = {"name": task.name, "augment": task.augment, **task.provenance}
    bounded = [constraint.metric for constraint in goal.constraints]
    told = [*facts.get("remarks", ()), *remarks(facts, goal.objectives, bounded, config.class_weights)]
    return facts | ({"remarks": told} if told else {})


def make_training(
    config: Config, setting: Setting, goal: Goal, supernet: nn.Module | None, folder: RunFolder, *, epochs: int
) -> Training:
    """How a run trains candidates alone, at full T throughout, and where it keeps them."""
    return Training(
        setting=setting,
        supernet=supernet,
        plan=replace(setting.recipe.plan, epochs=epochs, time_schedule=()),
        inherited=config.finalist_weights == "inherited",
        goal=goal,
        folder=folder,
        match=folder.read_config()["hash"],
        checkpoints=place_of(config.storage, folder),
        parts=config.train_parts,
    )


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
        event_scale=config.event_scale,
        sensor=config.sensor,
        event_columns=config.event_columns,
        image_size=config.image_size,
        image_fit=config.image_fit,
        test_share=config.test_share,
        seed=config.seed,
    )


def trained_supernet(folder: RunFolder, config: Config, setting: Setting, match: str, stage: Stage) -> nn.Module:
    """The supernet of a run: read, or trained and kept."""
    kept = read_tensors(folder.supernet, match=match)
    checkpoint = join(place_of(config.storage, folder), "supernet.safetensors")

    def forget_training() -> None:
        for place in checkpoints(checkpoint, setting):
            drop(place)

    if kept is not None:
        forget_training()
        supernet = new_supernet(setting)
        load_weights(supernet, kept[0])
        return supernet.to(setting.device, memory_format=torch.channels_last)
    if config.compile:
        with held(torch.get_num_threads() // abreast(setting) if config.train_parts == 1 else 1):
            warm_up(setting, on_step=stage("compile (kept on disk)", "kernels"))
    tell = stage("supernet", "steps")
    if config.train_workers > 1:
        from search.cluster import config_cluster
        from search.together import train_together

        cluster, count = config_cluster(config), config.train_workers
        train_together(setting, cluster, count, config.train_parts, checkpoint=checkpoint, match=match, on_step=tell)

    def train(workers: Workers) -> nn.Module:
        return train_supernet(setting, checkpoint=checkpoint, match=match, on_step=tell, workers=workers)[0]

    supernet = in_parts(train, config.train_parts)
    save_tensors(folder.supernet, own_tensors(supernet), {"match": match})
    forget_training()
    return supernet


def _search(job: Job, folder: RunFolder, setting: Setting, supernet: nn.Module, ledger: Ledger, stage: Stage) -> None:
    config = job.config
    brief = rivals_of(job.goal) if config.racing else lambda history: None
    if config.runner in ("ray", "tune"):
        from search.cluster import config_cluster
        from search.parcel import pack, scorer
        from search.pool import pooled

        cluster = config_cluster(config)
        device = worker_device(config.device, cluster.gpus_per_worker)
        parcel = pack(config, setting, supernet, device=device, threads=cluster.threads)
        with pooled(cluster, scorer, parcel, fidelity="supernet", brief=brief) as (runner, status):
            search_stage(job, folder, ledger, stage, runner, status)
        return
    cache = PrefixCache(config.prefix_cache_mb)

    def score(candidate: Candidate, rivals: Rivals | None) -> Score:
        return score_from_supernet(setting, supernet, candidate, cache=cache, hopeless=rivals)

    search_stage(job, folder, ledger, stage, in_process(freeing(score, cache.clear), brief))


def worker_device(device: str, gpus: float) -> str:
    """The device of a worker with so many GPUs, of those that Ray gives it, where the driver has another.

    >>> worker_device("cpu", 0.5), worker_device("cuda:1", 1), worker_device("cuda", 0), worker_device("mps", 0)
    ('cuda', 'cuda', 'cpu', 'mps')
    """
    if gpus:
        return "cuda"
    return "cpu" if device.startswith("cuda") else device


def _finalists(training: Training, ledger: Ledger, config: Config, stage: Stage) -> None:
    pool = config.finalist_pool or config.finalists
    chosen = pick(ledger.outcomes, training.goal, pool, deep=config.finalist_pool is not None)
    with carried(training, config) if config.runner == "tune" else nullcontext() as carry:
        left = halve(chosen, training, ledger, config.finalists, stage, carry)
        if carry is not None:
            tell = stage("finalists", "trained")
            waiting = [one for one in left if (known := recorded(one, ledger)) is None or is_open(known.score)]
            for done, _ in enumerate(carry(waiting, training.plan.epochs)):
                tell(done + 1, len(waiting))
    for finalist in left:
        tell = stage(f"finalist {finalist.outcome.number} ({finalist.picked_as})", "steps")
        others = [one for one in left if one is not finalist]
        train_finalist(finalist, training, ledger, on_step=tell, others=others)
    forget(training.folder)


def carried(training: Training, config: Config) -> AbstractContextManager[Carry]:
    """What has finalists trained side by side by the workers of a Ray, or here, one after the other."""
    if config.runner == "in-process":
        return nullcontext(carried_here(training))
    from search.cluster import config_cluster
    from search.tuned import tuned

    cluster = config_cluster(config)
    device = worker_device(config.device, cluster.gpus_per_worker)
    supernet = None if training.supernet is None else deepcopy(training.supernet).cpu()
    sent = replace(training, setting=replace(training.setting, device=device), supernet=supernet)
    return tuned(sent, cluster, log=config.log)


@contextmanager
def held(number: int) -> Iterator[None]:
    """Within, PyTorch has so many threads, and the same seed gives the same run on a GPU, too."""
    before, deterministic = torch.get_num_threads(), torch.backends.cudnn.deterministic
    torch.set_num_threads(number)
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.backends.cudnn.deterministic = deterministic
