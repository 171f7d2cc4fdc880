"""Checks of a search before anything is begun: whether space, task, memory and workers fit each other."""

import re

from evaluators.setting import Setting
from evaluators.tasks.task import Task
from search.options.config import Config
from spaces.errors import OptionError, SpaceError, one_line
from spaces.find import is_file, own_code
from spaces.sound import try_out
from spaces.space import Space

MEMORY = re.compile("alloc|memory|overflow", re.IGNORECASE)  # in what PyTorch says where it cannot have more


def check_fit(space: Space, task: Task, name: str) -> None:
    """Raises SpaceError early where space and task do not fit each other, or the supernet does not fit into memory.

    A space of a person's own, by its ``name``, is tried out, too.
    """
    own = is_file(name)
    with own_code(name, whole=True):
        try:
            try_out(space, task.spec) if own else space.network(task.spec)
        except (RuntimeError, MemoryError, OverflowError) as error:
            if own and not (isinstance(error, MemoryError) or MEMORY.search(one_line(error))):
                raise
            raise SpaceError(
                f"the supernet of {space.name!r} cannot be held in memory ({one_line(error)}): lower --width"
            ) from error


def check_parts(config: Config, setting: Setting) -> None:
    """Raises OptionError where a worker has no part of a batch, or a part no sample."""
    least = min(setting.recipe.plan.batch_size, len(setting.task.train))
    parts, workers = config.workers.train_parts, config.workers.train_workers
    if workers > least or parts > least:
        name, number = ("--train-workers", workers) if workers > least else ("--train-parts", parts)
        raise OptionError(
            f"{name} {number}: a batch has {least} samples, and each needs one; give at most {least}, or a "
            "larger --batch-size"
        )
    if workers > parts:
        raise OptionError(
            f"--train-workers {workers}: batches are in {parts} parts, and each worker needs one; give at most "
            f"{parts}, or begin anew with --train-parts {workers}"
        )
