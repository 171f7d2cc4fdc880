"""A script that trains small supernets: HOME NAME PROCESSES RANK PARTS THREADS.

Process RANK of PROCESSES, with its share of PARTS, THREADS at a time, writes to HOME/found-NAME-RANK.json what came.
"""

import json
import shutil
import sys
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from torch import distributed as dist

from evaluators import training
from evaluators.energy import HOROWITZ_45NM_FP32
from evaluators.plan import Plan
from evaluators.setting import Recipe, Setting
from evaluators.supernet import train_supernet
from evaluators.tasks.build import build_task
from evaluators.tasks.readers.raw import RawData
from evaluators.workers import in_parts
from spaces.autosnn import autosnn
from spaces.residual import residual


def sides():
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 2
    images = rng.integers(0, 80, (160, 8, 8, 1)).astype(np.uint8)
    images[labels == 0, :, :4] += 120
    images[labels == 1, :, 4:] += 120
    raw = RawData(x_train=images[:128], y_train=labels[:128], x_test=images[128:], y_test=labels[128:])
    return build_task(raw, name="sides", val_samples=32)


class Stopped(Exception):
    """Stands for a kill after the first epoch."""


@contextmanager
def in_double():
    """Within, training is in float64: what differs by rounding in float32 makes other spikes, and then other curves."""
    plain = training.batches
    training.batches = lambda *args, **options: (
        (images.double(), labels) for images, labels in plain(*args, **options)
    )
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        training.batches = plain


def trained(workers, make, *, epochs=2, checkpoint=None, stop=False, steps=None, path_rule="balanced", paths=1, **plan):
    """Batches of 16, so that three parts have 5, 5 and 6 samples; six batches an epoch; ``steps`` gets those told."""

    def on_step(done, total):
        if steps is not None:
            steps.append(done)
        if stop and done > total // 2:
            raise Stopped

    space = make(width=4, timesteps=2, compiled=False)
    plan = Plan(epochs=epochs, batch_size=16, logit_scale=10.0, **plan)
    recipe = Recipe(plan=plan, path_rule=path_rule, paths=paths, head_gain=8.0)
    setting = Setting(space=space, task=sides(), recipe=recipe, model=HOROWITZ_45NM_FP32, seed=0)
    network, curve = train_supernet(setting, workers=workers, checkpoint=checkpoint, match="a", on_step=on_step)
    weights = sum(weight.detach().double().abs().sum().item() for weight in network.parameters())
    return {"curve": [epoch.loss for epoch in curve], "weights": weights}


if __name__ == "__main__":
    home, name, processes, rank, parts, threads = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
    if processes > 1:
        store = dist.FileStore(str(home / f"store-{name}"), processes)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=processes, timeout=timedelta(seconds=60))

    def run(*args, **options):
        def part(workers):
            return trained(workers, *args, **options)

        return in_parts(part, parts, rank=rank, count=processes)

    torch.set_num_threads(threads)
    found = {
        "autosnn": run(autosnn, time_schedule=((1, 0.5),)),
        "sandwich": run(autosnn, path_rule="sandwich", paths=3, loss="tet"),
        "residual": run(residual, loss="mse"),
        "long": run(autosnn, epochs=12, time_schedule=((1, 0.8),)),
    }
    with in_double():
        found["double"] = run(autosnn, epochs=12, time_schedule=((1, 0.8),))
    kept = home / f"one-epoch-of-{parts}.safetensors"
    if processes == threads == 1:
        with suppress(Stopped):
            run(autosnn, time_schedule=((1, 0.5),), checkpoint=kept, stop=True)
    else:
        mine = home / f"{name}.safetensors"  # for all of its processes
        if rank == 0:
            shutil.copy(kept, mine)
        if processes > 1:
            dist.barrier()
        found["steps"] = []
        found["resumed"] = run(autosnn, time_schedule=((1, 0.5),), checkpoint=mine, steps=found["steps"])
    if processes > 1:
        dist.destroy_process_group()
    (home / f"found-{name}-{rank}.json").write_text(json.dumps(found))
