"""A script: worker RANK of COUNT trains small supernets and writes what came of it to HOME/found-COUNT-RANK.json."""

import json
import sys
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from torch import distributed as dist
from torch.nn import functional as F

from evaluators import training
from evaluators.energy import HOROWITZ_45NM_FP32
from evaluators.setting import Recipe, Setting
from evaluators.supernet import train_supernet
from evaluators.tasks.build import build_task
from evaluators.tasks.readers.raw import RawData
from evaluators.training import Plan
from evaluators.workers import Workers, normalise_together
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


def trained(workers, make, *, epochs=2, checkpoint=None, stop=False, path_rule="balanced", paths=1, **plan):
    """Batches of 15, so that two workers have 7 and 8 samples; six batches an epoch."""

    def on_step(done, total):
        if stop and done > total // 2:
            raise Stopped

    space = make(width=4, timesteps=2, compiled=False)
    plan = Plan(epochs=epochs, batch_size=15, logit_scale=10.0, **plan)
    recipe = Recipe(plan=plan, path_rule=path_rule, paths=paths, head_gain=8.0)
    setting = Setting(space=space, task=sides(), recipe=recipe, model=HOROWITZ_45NM_FP32, seed=0)
    network, curve = train_supernet(setting, workers=workers, checkpoint=checkpoint, match="a", on_step=on_step)
    weights = sum(weight.detach().double().abs().sum().item() for weight in network.parameters())
    return {"curve": [epoch.loss for epoch in curve], "weights": weights}


def normalised(workers):
    """Seven maps whose channels differ in spread by 300, and their slopes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(7, 3, 4, 5, generator=generator) * torch.tensor([1.0, 0.1, 30.0]).view(1, 3, 1, 1) + 5
    slope = torch.randn(7, 3, 4, 5, generator=generator)[workers.part(7)]
    x = x[workers.part(7)].contiguous(memory_format=torch.channels_last).requires_grad_()
    weight, bias = (torch.tensor(row, requires_grad=True) for row in ([1.0, 2.0, 0.5], [0.0, 1.0, -1.0]))
    mean, var = torch.zeros(3), torch.ones(3)
    function = F.batch_norm if workers.count == 1 else normalise_together
    y = function(x, mean, var, weight, bias, training=True, momentum=0.3, eps=1e-5)
    (y * slope).sum().backward()
    workers.add([weight.grad, bias.grad])
    shared = (weight.grad, bias.grad, mean, var)
    return {"rows": [y.tolist(), x.grad.tolist()], "shared": [tensor.tolist() for tensor in shared]}


if __name__ == "__main__":
    home, rank, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    if count > 1:
        store = dist.FileStore(str(home / f"store-{count}"), count)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=timedelta(seconds=60))
    workers = Workers(rank=rank, count=count)
    found = {
        "norm": normalised(workers),
        "autosnn": trained(workers, autosnn, time_schedule=((1, 0.5),)),
        "sandwich": trained(workers, autosnn, path_rule="sandwich", paths=3, loss="tet"),
        "residual": trained(workers, residual, loss="mse"),
    }
    with in_double():
        found["long"] = trained(workers, autosnn, epochs=12, time_schedule=((1, 0.8),))
    kept = home / "one-epoch.safetensors"  # by one worker
    if count == 1:
        with suppress(Stopped):
            trained(workers, autosnn, time_schedule=((1, 0.5),), checkpoint=kept, stop=True)
    else:
        found["resumed"] = trained(workers, autosnn, time_schedule=((1, 0.5),), checkpoint=kept)
        dist.destroy_process_group()
    (home / f"found-{count}-{rank}.json").write_text(json.dumps(found))
