"""Making tickets: what all methods share. Every training is a stage that is kept, so that any kill costs an epoch."""

import json
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from evaluators.checkpoint import load_weights, own_tensors, read_tensors, save_tensors
from evaluators.evaluation import evaluate, recalibrate
from evaluators.plan import Plan
from evaluators.pruning.masks import Masks, attach
from evaluators.pruning.pattern import Pruning
from evaluators.pruning.rules import Rule, begin_bits, holding, spike_penalty
from evaluators.tasks.task import Task, batch_count
from evaluators.training import Epoch, fit
from evaluators.workers import Workers, in_parts
from spaces.seeds import derive
from spaces.timing import Timed, set_timesteps


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a training took: epochs, samples x time steps that were trained on, and seconds (of a whole training)."""

    epochs: int = 0
    sample_steps: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(**{name: value + getattr(other, name) for name, value in asdict(self).items()})


@dataclass(frozen=True, kw_only=True)
class Making:
    """What tickets are made of, and where what has been done is kept.

    Attributes:
        build: the network with its initial weights; the same at every call.
        task, plan, seed, device: how it is trained.
        parts: of every batch, see ``in_parts``.
        recalibration_samples: that a network which is judged gets its BN statistics from, see ``recalibrate``.
        folder: where stages are kept; a stage that is there is not done again.
        match: what they must bear.
        twin: where the stages of the dense twin are kept, which several methods share; by default in ``folder``.
        pruning: what may go.
        rewind: weights go back to those after this epoch of the dense training.
        spike_penalty: see ``spike_penalty`` in rules; of every training, the dense one's too.
        weight_bits: of the weights of a ticket; None for floats.
        fading_rate: spikes a neuron and step under which a channel fades.
        stage: opens a display of progress.
    """

    build: Callable[[], nn.Module]
    task: Task
    plan: Plan
    seed: int
    folder: Path
    match: str = ""
    twin: Path | None = None
    device: str = "cpu"
    parts: int = 1
    recalibration_samples: int = 128
    pruning: Pruning = field(default_factory=Pruning)
    rewind: int = 1
    spike_penalty: float = 0.0
    weight_bits: int | None = None
    fading_rate: float = 0.02
    stage: Callable[[str, str], Callable[[int, int], None]] = lambda title, unit: lambda done, total: None


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """A sparse network, trained.

    Attributes:
        method, sparsity: how it was found, and what was asked for.
        network: trained, its masks in it.
        curve: of its training.
        find, train: what it cost to find the masks, and then to train what they leave.
        notes: what the method has to say.
        rounds: one plain row for each round, where there are rounds.
    """

    method: str
    sparsity: float
    network: nn.Module
    curve: Sequence[Epoch]
    find: Cost
    train: Cost
    notes: dict[str, Any] = field(default_factory=dict)
    rounds: Sequence[dict[str, Any]] = ()


def timesteps_of(network: nn.Module) -> int:
    """T of a network, as it is now; 1 where nothing gives its maps time."""
    return max((part.steps for part in network.modules() if isinstance(part, Timed)), default=1)


def trained(
    making: Making,
    name: str,
    network: nn.Module,
    *,
    rule: Callable[[nn.Module], Rule] | None = None,
    until: int | None = None,
    title: str = "",
) -> tuple[list[Epoch], Cost]:
    """Trains a network in place, to the end or the epoch ``until``: a stage called ``name``, on from where it was.

    Buffers that its weights have beside them (masks, latent values) are kept and put back with these. It runs at the T
    that it has. At the end it is recalibrated, as it is judged and stored; what goes on from an epoch is not. ``rule``
    gives the rule of a network, of which there is a copy for each part of a batch. The seconds of a training that was
    cut off are those that all of it would have taken at its pace since.
    """
    done, checkpoint = making.folder / f"{name}.safetensors", making.folder / f"{name}.checkpoint.safetensors"
    if until is None and (kept := read_tensors(done, match=making.match)) is not None:
        load_weights(network.to(making.device, memory_format=torch.channels_last), kept[0])
        curve = [Epoch(**entry) for entry in json.loads(kept[1]["curve"])]
        return curve, Cost(**json.loads(kept[1]["cost"]))
    start, steps, tell = time.perf_counter(), [0, 0], making.stage(title or name, "steps")

    def told(now: int, total: int) -> None:
        steps[0] = steps[0] or now
        steps[1] = now
        tell(now, total)

    copies = [network, *(deepcopy(network) for _ in range(making.parts - 1))]

    def part(workers: Workers) -> list[Epoch]:
        mine = copies[workers.rank]
        with spike_penalty(mine, making.spike_penalty) as penalty:
            curve = fit(
                mine,
                making.task,
                making.plan,
                seed=making.seed,
                until=until,
                device=making.device,
                checkpoint=checkpoint,
                match=making.match,
                on_step=told,
                after_step=rule(mine) if rule else lambda done, total, optimiser: None,
                penalty=penalty,
                workers=workers,
            )
        if until is None and workers.first:
            renew(making, mine)
        return curve

    curve = in_parts(part, making.parts)
    ran = steps[1] - steps[0] + 1 if steps[1] else 0
    seconds = (time.perf_counter() - start) * (steps[1] / ran if ran else 0.0)
    cost = cost_of(making, network, len(curve), seconds)
    if until is None:
        about = {"match": making.match, "curve": _json(curve), "cost": json.dumps(asdict(cost))}
        save_tensors(done, own_tensors(network), about)
        checkpoint.unlink(missing_ok=True)
    return curve, cost


def renew(making: Making, network: nn.Module) -> None:
    """Gives a network BN statistics of its weights as they are, at the T that it has, so that it can be judged."""
    samples, seed = making.recalibration_samples, making.seed
    recalibrate(network, making.task, samples=samples, seed=seed, device=making.device)
    network.eval()


def cost_of(making: Making, network: nn.Module, epochs: int, seconds: float) -> Cost:
    """The cost of so many epochs at the T that a network has."""
    size = min(making.plan.batch_size, len(making.task.train))
    samples = batch_count(making.task.train, making.plan.batch_size, drop_last=True) * size
    return Cost(epochs=epochs, sample_steps=epochs * samples * timesteps_of(network), seconds=seconds)


def dense(making: Making) -> tuple[nn.Module, list[Epoch], Cost]:
    """The dense twin, trained like every ticket; its weights after the epoch ``rewind`` are kept on the way."""
    mine = replace(making, folder=making.twin or making.folder)
    network = making.build()
    path = _rewind(making)
    if making.rewind and read_tensors(path, match=making.match) is None:
        trained(mine, "dense", network, until=making.rewind, title="dense twin")
        save_tensors(path, own_tensors(network), {"match": making.match})
        network = making.build()
    curve, cost = trained(mine, "dense", network, title="dense twin")
    return network, curve, cost


def rewound(making: Making) -> nn.Module:
    """The network with the weights that ``dense`` kept, bit for bit; with its initial ones after no epoch."""
    network = making.build()
    if making.rewind:
        kept = read_tensors(_rewind(making), match=making.match)
        load_weights(network, kept[0])
    return network


def _rewind(making: Making) -> Path:
    return (making.twin or making.folder) / f"rewind-{making.rewind}.safetensors"


def train_ticket(
    making: Making, name: str, network: nn.Module, masks: Masks, *, title: str = ""
) -> tuple[list[Epoch], Cost]:
    """Trains what masks leave of a network from the weights that it has, at its full T."""
    attach(network, masks)
    begin_bits(network, making.weight_bits)
    rule = partial(holding, bits=making.weight_bits)
    return trained(making, name, network, rule=rule, title=title or "ticket")


def kept_masks(making: Making, name: str, find: Callable[[], tuple[Masks, dict[str, Any]]]) -> tuple[Masks, dict]:
    """Masks and plain facts about them: found once, and kept as a stage called ``name``."""
    path = making.folder / f"{name}.safetensors"
    kept = read_tensors(path, match=making.match)
    if kept is None:
        masks, facts = find()
        save_tensors(path, masks, {"match": making.match, "facts": json.dumps(facts)})
        return {name: mask.cpu() for name, mask in masks.items()}, facts  # as they are once they are read
    return kept[0], json.loads(kept[1]["facts"])


def accuracy_of(making: Making, network: nn.Module) -> float:
    """Share of right answers on the validation split."""
    return evaluate(network, making.task, making.task.validation, device=making.device).accuracy


def inside(making: Making, name: str) -> Making:
    """The same with a folder of its own in the folder."""
    return replace(making, folder=making.folder / name)


def round_seed(making: Making, number: int) -> Making:
    """The same with random streams of its own for a round; round 0 is the dense twin's."""
    return replace(making, seed=derive(making.seed, "round", number)) if number else making


def limit(network: nn.Module, timesteps: int) -> None:
    """Makes a network run at no more than this T."""
    set_timesteps(network, timesteps)


def _json(curve: Sequence[Epoch]) -> str:
    return json.dumps([asdict(epoch) for epoch in curve])
