"""The supernet's training by several workers at once, carried by Ray Train.

What they leave is the checkpoint that one worker would leave, so whoever goes on from it, with how many workers ever,
goes on with the same training; after the last epoch there is nothing left to train. A worker that is lost takes its
group with it, and the group begins again from the checkpoint.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from threading import Thread
from typing import Any

from evaluators.checkpoint import Place
from evaluators.setting import Setting
from search.runners.cluster import Cluster, node_resources, room
from search.storage import check_shared
from spaces.errors import ClusterError, SearchError
from spaces.temporary import temporary_folder

OFTEN = 0.5  # seconds between two looks at the progress


def train_together(
    setting: Setting,
    cluster: Cluster,
    count: int,
    parts: int,
    *,
    checkpoint: Place,
    match: str,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Trains a supernet by ``count`` workers, until ``checkpoint``, which all nodes see, is of its last epoch.

    Every batch is computed in ``parts``, of which there are at least as many as workers.

    To be called where Ray is connected.

    Raises:
        TrainingError: the loss is not finite.
        RunError: not all nodes see the checkpoint.
        ClusterError: there is no room for so many workers at once, or they were lost too often.
    """
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    if (there := room(cluster, node_resources())) < count:
        raise ClusterError(
            f"--train-workers {count}: there is room for {there} at once; lower it, --cpus-per-worker or "
            "--gpus-per-worker, or join a larger cluster with --address"
        )
    check_shared(checkpoint.rpartition("/")[0] if isinstance(checkpoint, str) else checkpoint.parent)
    board = ray.remote(num_cpus=0)(Board).remote()
    told: dict[str, Any] = {}

    def carry(storage: str) -> None:
        try:
            TorchTrainer(
                work,
                train_loop_config={
                    "setting": ray.put(setting),
                    "checkpoint": checkpoint if isinstance(checkpoint, str) else checkpoint.absolute(),
                    "match": match,
                    "threads": cluster.threads,
                    "parts": parts,
                    "board": board,
                },
                scaling_config=ScalingConfig(
                    num_workers=count, use_gpu=cluster.gpus_per_worker > 0, resources_per_worker=cluster.demand
                ),
                run_config=RunConfig(storage_path=storage, failure_config=FailureConfig(max_failures=cluster.retries)),
            ).fit()
        except BaseException as error:  # SystemExit, too: with it Ray ends the threads that outlive it
            told["error"] = error

    with temporary_folder() as storage:
        thread = Thread(target=carry, args=(str(storage),), daemon=True)  # off the main one: Ctrl-C stays ours
        thread.start()
        while thread.is_alive():
            thread.join(OFTEN)
            progress, fault = ray.get(board.look.remote())
            if progress:
                on_step(*progress)
            if fault is not None:
                raise fault
    if "error" in told:
        reason = " ".join(str(told["error"]).split())
        raise ClusterError(
            f"--train-workers {count}: workers were lost more than {cluster.retries} times ({reason[:300]}); mend it, "
            "then resume, or raise --retries"
        ) from told["error"]


class Board:
    """Where the first worker says how far they are, or why it cannot be done."""

    def __init__(self) -> None:
        self.progress: tuple[int, int] | None = None
        self.fault: SearchError | None = None

    def tell(self, done: int, total: int) -> None:
        """So many steps of all are done."""
        self.progress = done, total

    def fail(self, fault: SearchError) -> None:
        """What the user must mend; trying again would not help."""
        self.fault = fault

    def look(self) -> tuple[tuple[int, int] | None, SearchError | None]:
        """What was said last."""
        return self.progress, self.fault


def work(config: dict[str, Any]) -> None:
    """What each worker does; ``torch.distributed`` is there already."""
    import ray
    import torch
    from ray import train
    from ray.train.torch import get_device

    from evaluators.supernet import train_supernet
    from evaluators.workers import Workers, in_parts

    context = train.get_context()
    torch.set_num_threads(config["threads"])
    torch.backends.cudnn.deterministic = True
    board, last = config["board"], 0.0

    def on_step(done: int, total: int) -> None:
        nonlocal last
        if done == total or time.monotonic() - last > OFTEN:
            last = time.monotonic()
            board.tell.remote(done, total)

    setting = replace(ray.get(config["setting"]), device=str(get_device()))

    def part(workers: Workers) -> None:
        train_supernet(
            setting, checkpoint=config["checkpoint"], match=config["match"], on_step=on_step, workers=workers
        )

    try:
        in_parts(
            part,
            config["parts"],
            rank=context.get_world_rank(),
            count=context.get_world_size(),
        )
    except SearchError as fault:
        ray.get(board.fail.remote(fault))
        raise
