"""Steps of a training: how many samples each takes, in how many parts, and a word where there are too few of them."""

from dataclasses import replace

from evaluators.tasks.task import Task, batch_count
from search.options.config import Config, change

USUAL = 32  # samples a step
ENOUGH, IN_ALL = 16, 160  # steps an epoch, and of a training: networks that had fewer stayed silent at times


def batch_for(samples: int) -> int:
    """Samples a step where it is not said: 32, or the largest power of two that leaves 16 steps an epoch, 2 at least.

    >>> [batch_for(samples) for samples in (60_000, 1078, 512, 511, 64, 40, 5)]
    [32, 32, 32, 16, 4, 2, 2]
    """
    batch = USUAL
    while batch > 2 and samples // batch < ENOUGH:
        batch //= 2
    return batch


def with_steps(config: Config, task: Task) -> tuple[Config, Task]:
    """The configuration with batch and parts spelt out, and the task with remarks on what the user is to be told."""
    samples = len(task.train)
    batch = config.training.batch_size or batch_for(samples)
    steps = batch_count(task.train, batch, drop_last=True)
    epochs = config.supernet.epochs if config.sweep.train_epochs is None else config.sweep.train_epochs
    remarks = []
    if config.training.batch_size is None and batch != USUAL:
        remarks.append(f"a training step takes {batch} of the {samples} training samples; --batch-size N changes that")
    if steps < ENOUGH and steps * epochs < IN_ALL:
        more = "--supernet-epochs" if config.sweep.train_epochs is None else "--train-epochs"
        smaller = f"--batch-size {batch_for(samples)}, or " if batch_for(samples) < batch else ""
        remarks.append(
            f"an epoch has {steps} step{'s' * (steps > 1)} of {min(batch, samples)} samples: networks learn little in "
            f"so few, and may stay silent; begin anew with {smaller}{more} {-(-IN_ALL // steps)}, or more samples"
        )
    config = change(config, batch_size=batch)
    config = change(config, train_parts=config.workers.train_parts or _parts(config))
    told = [*task.provenance.get("remarks", ()), *remarks]
    return config, replace(task, provenance={**task.provenance, "remarks": told}) if remarks else task


def _parts(config: Config) -> int:
    """How many parts a batch is in where it is not said: one for each core, or GPU, of several workers."""
    from search.runners.cluster import config_cluster

    cluster, workers = config_cluster(config), config.workers.train_workers
    each = 1 if cluster.gpus_per_worker else cluster.threads
    return 1 if workers == 1 else max(workers, min(workers * each, config.training.batch_size))
