"""Payload: all that scoring out of a supernet needs, in a form that travels to another process, and made again there.

A space holds functions and cannot travel: it is made again from its name and options, or from its file's text. Tensors
travel as arrays, which the workers of a node read from shared memory.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evaluators.checkpoint import load_weights, own_tensors
from evaluators.inherited import score_from_supernet
from evaluators.prefix import PrefixCache
from evaluators.setting import Setting
from evaluators.supernet import new_supernet
from evaluators.tasks.task import Split, Task
from search.loop.memory import freeing
from search.loop.racing import Rivals
from search.options.config import Config, change
from search.setting import config_space, make_setting
from spaces.candidate import Candidate, Score
from spaces.find import file_of, is_file
from spaces.temporary import temporary_folder


@dataclass(frozen=True, eq=False, kw_only=True)
class Payload:
    """What a worker is sent.

    Attributes:
        config: names the space, its options, and how to score; its ``device`` and ``threads`` are the worker's.
        source: content of the space's own file; empty for a space of ours.
        task: the task's attributes, with empty splits.
        train, validation: images [N, ..., H, W, C] and labels [N]. The test split stays where it is.
        weights: of the supernet, by name.
    """

    config: Config
    source: bytes
    task: Mapping[str, Any]
    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    weights: Mapping[str, np.ndarray]


def pack(config: Config, setting: Setting, supernet: nn.Module, *, device: str, threads: int) -> Payload:
    """What workers of such a device and threads are sent of a setting that a configuration made, and its supernet."""
    task = setting.task
    return Payload(
        config=change(config, device=device, threads=threads),
        source=file_of(config.space.name).read_bytes() if is_file(config.space.name) else b"",
        task={name: value for name, value in vars(task).items() if name not in ("train", "validation", "test")},
        train=_arrays(task.train),
        validation=_arrays(task.validation),
        weights={name: tensor.cpu().numpy() for name, tensor in own_tensors(supernet).items()},
    )


def scorer(payload: Payload) -> Callable[[Candidate, Rivals | None], Score]:
    """The function that scores a candidate in a worker, as the driver would; sets the process up for it."""
    torch.set_num_threads(payload.config.machine.threads)
    torch.backends.cudnn.deterministic = True
    config, train = payload.config, _split(*payload.train)
    with temporary_folder() as folder:
        if payload.source:
            path = folder / Path(config.space.name.rpartition(":")[0]).name
            path.write_bytes(payload.source)
            config = change(config, space=f"{path}:{config.space.name.rpartition(':')[2]}")
        space, _ = config_space(config)
    empty = Split(images=train.images[:0], labels=train.labels[:0])
    task = Task(train=train, validation=_split(*payload.validation), test=empty, **payload.task)
    setting = make_setting(config, space, task)
    supernet = new_supernet(setting)
    load_weights(supernet, {name: _tensor(array) for name, array in payload.weights.items()})
    supernet.to(config.machine.device, memory_format=torch.channels_last)
    cache = PrefixCache(config.supernet.prefix_cache_mb)

    def score(candidate: Candidate, rivals: Rivals | None) -> Score:
        return score_from_supernet(setting, supernet, candidate, cache=cache, hopeless=rivals)

    return freeing(score, cache.clear)


def _arrays(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Images as they lie in memory, channels last."""
    return np.ascontiguousarray(split.images.movedim(-3, -1).cpu().numpy()), split.labels.cpu().numpy()


def _split(images: np.ndarray, labels: np.ndarray) -> Split:
    return Split(images=_tensor(images).movedim(-1, -3), labels=_tensor(labels))


def _tensor(array: np.ndarray) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # and nobody writes
        return torch.from_numpy(array)
