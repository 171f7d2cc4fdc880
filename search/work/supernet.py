"""The job by a supernet: train it, search with its scores, train the finalists; each part can be resumed."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import replace

import torch
from torch import nn

from evaluators.checkpoint import drop, join, load_weights, own_tensors, read_tensors, save_tensors
from evaluators.inherited import score_from_supernet
from evaluators.methods import METHODS
from evaluators.prefix import PrefixCache
from evaluators.setting import Setting
from evaluators.supernet import checkpoints, new_supernet, train_supernet, trained_at_once, warm_up
from evaluators.workers import Workers, in_parts
from results.folder import RunFolder
from results.ledger import Ledger
from search.loop.goal import Goal
from search.loop.loop import in_process
from search.loop.memory import freeing, is_open
from search.loop.progress import Stage
from search.loop.racing import Rivals, rivals_of
from search.options.config import Config
from search.options.pruning import pruning_options_of
from search.setting import held
from search.storage import place_of
from search.work.finalists import Carry, Training, carried_here, pick, recorded, train_finalist
from search.work.halving import forget, halve
from search.work.job import Job, search_stage
from search.work.planning import Clock, Scoring, clock_of, planned_finalists, planned_supernet, scored, spending
from search.work.prepare import prepare_setting, provenance_of
from search.work.tickets import prune_finalists
from spaces import lookup
from spaces.candidate import Candidate, Score


def prepare(config: Config) -> Job:
    """A search by a supernet: its configuration spelt out, its space, goal and data checked, nothing begun.

    Raises:
        SearchError: something the user can mend.
    """
    config, setting, goal = prepare_setting(config)
    if config.tickets.prune is not None:
        pruning = pruning_options_of(config)
    space, task = setting.space, setting.task

    def work(job: Job, folder: RunFolder, ledger: Ledger, stage: Stage) -> None:
        with held(config.machine.threads):
            match, clock = folder.read_config()["hash"], clock_of(folder, config, job.began)
            with spending(clock, "supernet"):
                own = planned_supernet(clock, config, setting)
                supernet = trained_supernet(folder, config, own, match, stage)
            with spending(clock, "scoring"):
                _search(job, folder, own, supernet, ledger, stage, clock)
            with spending(clock, "finalists"):
                training = make_training(config, own, goal, supernet, folder, epochs=config.finalists.epochs)
                _finalists(training, ledger, config, stage, clock)
            if config.tickets.prune is not None:
                prune_finalists(setting, config, folder, pruning, stage)

    provenance = provenance_of(task, config, goal)
    return Job(config=config, space=space, goal=goal, data=config.data.name, provenance=provenance, work=work)


def make_training(
    config: Config, setting: Setting, goal: Goal, supernet: nn.Module | None, folder: RunFolder, *, epochs: int
) -> Training:
    """How a run trains candidates alone, at full T throughout, and where it keeps them."""
    passes = lookup(METHODS, "method", config.training.method).passes
    return Training(
        setting=setting,
        supernet=supernet,
        plan=replace(setting.recipe.plan, epochs=epochs if passes else 1, time_schedule=()),
        inherited=config.finalists.weights == "inherited",
        goal=goal,
        folder=folder,
        match=folder.read_config()["hash"],
        checkpoints=place_of(config.workers.storage, folder),
        parts=config.workers.train_parts,
        method=config.training.method,
    )


def trained_supernet(folder: RunFolder, config: Config, setting: Setting, match: str, stage: Stage) -> nn.Module:
    """The supernet of a run: read, or trained and kept."""
    kept = read_tensors(folder.supernet, match=match)
    checkpoint = join(place_of(config.workers.storage, folder), "supernet.safetensors")

    def forget_training() -> None:
        for place in checkpoints(checkpoint, setting):
            drop(place)

    if kept is not None:
        forget_training()
        supernet = new_supernet(setting)
        load_weights(supernet, kept[0])
        return supernet.to(setting.device, memory_format=torch.channels_last)
    if config.machine.compile:
        with held(torch.get_num_threads() // trained_at_once(setting) if config.workers.train_parts == 1 else 1):
            warm_up(setting, on_step=stage("compile (kept on disk)", "kernels"))
    tell = stage("supernet", "steps")
    if config.workers.train_workers > 1:
        from search.runners.cluster import config_cluster
        from search.runners.together import train_together

        cluster, count = config_cluster(config), config.workers.train_workers
        train_together(
            setting, cluster, count, config.workers.train_parts, checkpoint=checkpoint, match=match, on_step=tell
        )

    def train(workers: Workers) -> nn.Module:
        return train_supernet(setting, checkpoint=checkpoint, match=match, on_step=tell, workers=workers)[0]

    supernet = in_parts(train, config.workers.train_parts)
    save_tensors(folder.supernet, own_tensors(supernet), {"match": match})
    forget_training()
    return supernet


def _search(
    job: Job,
    folder: RunFolder,
    setting: Setting,
    supernet: nn.Module,
    ledger: Ledger,
    stage: Stage,
    clock: Clock | None = None,
) -> None:
    config = job.config
    timed = None if clock is None else Scoring(clock, config, ledger)
    stop = None if timed is None else timed.stop
    brief = rivals_of(job.goal) if config.search.racing else lambda history: None
    if config.workers.runner in ("ray", "tune"):
        from search.runners.cluster import config_cluster
        from search.runners.payload import pack, scorer
        from search.runners.pool import pooled

        cluster = config_cluster(config)
        device = worker_device(config.machine.device, cluster.gpus_per_worker)
        payload = pack(config, setting, supernet, device=device, threads=cluster.threads)
        with pooled(cluster, scorer, payload, fidelity="supernet", brief=brief) as (runner, status):
            search_stage(job, folder, ledger, stage, runner, status, stop=stop)
        scored(clock, ledger)
        return
    cache = PrefixCache(config.supernet.prefix_cache_mb)

    def score(candidate: Candidate, rivals: Rivals | None) -> Score:
        return score_from_supernet(setting, supernet, candidate, cache=cache, hopeless=rivals)

    status = str if timed is None else timed.status
    search_stage(job, folder, ledger, stage, in_process(freeing(score, cache.clear), brief), status, stop=stop)
    scored(clock, ledger)


def worker_device(device: str, gpus: float) -> str:
    """The device of a worker with so many GPUs, of those that Ray gives it, where the driver has another.

    >>> worker_device("cpu", 0.5), worker_device("cuda:1", 1), worker_device("cuda", 0), worker_device("mps", 0)
    ('cuda', 'cuda', 'cpu', 'mps')
    """
    if gpus:
        return "cuda"
    return "cpu" if device.startswith("cuda") else device


def _finalists(training: Training, ledger: Ledger, config: Config, stage: Stage, clock: Clock | None = None) -> None:
    pool = config.finalists.pool or config.finalists.count
    chosen = pick(ledger.outcomes, training.goal, pool, deep=config.finalists.pool is not None)
    training, count = planned_finalists(clock, training, chosen, config.finalists.count)
    if count < config.finalists.count:  # no time for all of them, let alone for a pool
        chosen = chosen[:count]
    with carried(training, config) if config.workers.runner == "tune" else nullcontext() as carry:
        left = halve(chosen, training, ledger, count, stage, carry)
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


def carried(
    training: Training, config: Config, on_step: Callable[[int, int], None] = lambda done, total: None
) -> AbstractContextManager[Carry]:
    """What has finalists trained side by side by the workers of a Ray, or here, one after the other, told of steps."""
    if config.workers.runner == "in-process":
        return nullcontext(carried_here(training, on_step))
    from search.runners.cluster import config_cluster
    from search.runners.tuned import tuned

    cluster = config_cluster(config)
    device = worker_device(config.machine.device, cluster.gpus_per_worker)
    supernet = None if training.supernet is None else deepcopy(training.supernet).cpu()
    sent = replace(training, setting=replace(training.setting, device=device), supernet=supernet)
    return tuned(sent, cluster, log=config.workers.log)
