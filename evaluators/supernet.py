"""The supernet: every option of a space in one network, trained on one path a step; see ``inherited`` for scores."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from threading import Event, Lock

import torch
from torch import nn

from evaluators.balance import add_rates
from evaluators.building import set_initial
from evaluators.checkpoint import Place
from evaluators.ensemble import Ensemble, member_seed
from evaluators.few_shot import FewShot
from evaluators.paths import PATH_RULES, sound, within
from evaluators.plan import Plan
from evaluators.rates import measure_rates
from evaluators.setting import Setting
from evaluators.tasks.task import batch_count
from evaluators.training import Epoch, fit
from evaluators.workers import ALONE, Workers, at_once
from spaces.candidate import Candidate
from spaces.seeds import derive, numpy_generator, torch_generator
from spaces.timing import set_timesteps


def warm_up(setting: Setting, *, on_step: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Compiles what training will need, one step for every T of its schedule, so that training shows its own pace."""
    plan, spec = setting.recipe.plan, setting.task.spec
    network = setting.space.network(spec).to(setting.device, memory_format=torch.channels_last)
    set_initial(network, setting.recipe, torch_generator(setting.seed, "warm-up"))
    shape = [plan.batch_size, spec.height, spec.width, spec.channels]  # in memory, see ``batches``
    if spec.frames:
        shape.insert(1, spec.frames)
    images = torch.zeros(shape, device=setting.device).movedim(-1, -3)
    times = sorted({timesteps for timesteps, _ in plan.time_schedule} | {setting.space.timesteps})
    for number, timesteps in enumerate(times):
        on_step(number, len(times))
        set_timesteps(network, timesteps)
        network(images, setting.space.largest).sum().backward()
    on_step(len(times), len(times))


def train_supernet(
    setting: Setting,
    *,
    checkpoint: Place | None = None,
    match: str = "",
    on_step: Callable[[int, int], None] = lambda done, total: None,
    workers: Workers = ALONE,
) -> tuple[nn.Module, list[Epoch]]:
    """Trains a supernet on the paths that the recipe's sampling rule draws; or an ``Ensemble`` of them.

    Of an ensemble as many are trained at once as ``trained_at_once`` says.

    Raises:
        TrainingError: the loss is not finite.
    """
    count, places = setting.recipe.supernets, checkpoints(checkpoint, setting)
    each = len(places) // count
    done, lock, ended = [0] * count, Lock(), Event()

    def train(number: int) -> tuple[nn.Module, list[Epoch]]:
        def tell(steps: int, total: int) -> None:
            if ended.is_set():
                raise _EndedError
            with lock:
                done[number] = steps
                on_step(sum(done), count * total)

        one = replace(setting, seed=member_seed(setting.seed, number))
        kept = places[number * each : (number + 1) * each]
        trained = _train_one(one, kept, match=match, on_step=tell, workers=workers)
        done[number] = steps_of(setting)  # of one that was trained before, too
        return trained

    several, trained = trained_at_once(setting, workers), []
    threads = torch.get_num_threads() // several
    for first in range(0, count, several):
        now = range(first, min(first + several, count))
        trained += at_once(lambda which, now=now: train(now[which]), len(now), threads=threads, end=ended.set)
    networks, curves = zip(*trained, strict=True)
    curve = [epoch for epochs in curves for epoch in epochs]
    curve = [replace(epoch, epoch=number) for number, epoch in enumerate(curve, 1)]
    return (networks[0] if count == 1 else Ensemble(networks)), curve


class _EndedError(Exception):
    """Ends the training of a supernet, of which another beside it has failed."""


def trained_at_once(setting: Setting, workers: Workers = ALONE) -> int:
    """How many supernets of an ensemble are trained at once: as many as PyTorch has threads, which they share.

    On one core a network is trained at more than half of its speed on two, as not all of a step is shared among them.
    On a GPU they are trained one after the other, and so they are where several share every batch.
    """
    alone = workers.count == 1 and setting.device == "cpu"
    return min(setting.recipe.supernets, torch.get_num_threads()) if alone else 1


def steps_of(setting: Setting) -> int:
    """Steps of one supernet's training, with those of each of several where the recipe is few-shot."""
    recipe = setting.recipe
    epochs = recipe.plan.epochs + len(recipe.families(setting.space)) * recipe.few_shot_epochs
    return epochs * batch_count(setting.task.train, recipe.plan.batch_size, drop_last=True)


def _train_one(
    setting: Setting,
    places: Sequence[Place | None],
    *,
    match: str,
    on_step: Callable[[int, int], None],
    workers: Workers,
) -> tuple[nn.Module, list[Epoch]]:
    """Trains one supernet, and from it each of several where the recipe is few-shot; ``places`` keep them."""
    space, recipe, plan = setting.space, setting.recipe, setting.recipe.plan
    groups = recipe.families(space)
    on = replace(plan, epochs=recipe.few_shot_epochs)  # of each of several
    steps, total = batch_count(setting.task.train, plan.batch_size, drop_last=True), steps_of(setting)

    def train(network: nn.Module, plan: Plan, number: int | None = None) -> list[Epoch]:
        def paths(generator: torch.Generator) -> Iterator[list[Candidate]]:
            rng = numpy_generator(int(torch.randint(2**62, (), generator=generator)))
            drawn = PATH_RULES[recipe.path_rule](space, recipe.paths, rng)
            if number is None:
                return sound(space, drawn, rng)
            return within(space, drawn, rng, blank=recipe.few_shot, values=groups[number])

        which, before = (), 0
        if number is not None:
            which, before = (number,), steps * (recipe.plan.epochs + number * on.epochs)
        return fit(
            network,
            setting.task,
            plan,
            seed=derive(setting.seed, "supernet", *which),
            paths=paths,
            timesteps=space.timesteps,
            device=setting.device,
            checkpoint=places[0 if number is None else number + 1],
            match=match,
            on_step=lambda done, of: on_step(before + done, total),
            workers=workers,
        )

    network = space.network(setting.task.spec, entangled=recipe.entangled)
    set_initial(network, recipe, torch_generator(setting.seed, "supernet", "weights"))
    curve = train(network, plan)
    if groups:
        supernets = []
        for number in range(len(groups)):
            supernets.append(deepcopy(network))
            trained = train(supernets[-1], on, number)
            curve += [replace(epoch, epoch=len(curve) + epoch.epoch) for epoch in trained]
        network = FewShot(space, recipe.few_shot, supernets)
    if recipe.threshold_balancing and workers.first:
        measure_rates(setting, network)
    return network, curve


def new_supernet(setting: Setting) -> nn.Module:
    """A supernet, or several, as ``train_supernet`` returns them, with whatever weights."""
    space, recipe = setting.space, setting.recipe

    def one() -> nn.Module:
        made = [space.network(setting.task.spec, entangled=recipe.entangled) for _ in recipe.families(space) or [None]]
        return FewShot(space, recipe.few_shot, made) if recipe.few_shot else made[0]

    supernet = one() if recipe.supernets == 1 else Ensemble([one() for _ in range(recipe.supernets)])
    if recipe.threshold_balancing:
        add_rates(supernet)
    return supernet


def checkpoints(checkpoint: Place | None, setting: Setting) -> list[Place | None]:
    """Where the supernet's training is kept and, beside it, that of each of several; an ensemble's members in turn."""
    recipe = setting.recipe
    firsts = ["", *(f"-member{number}" for number in range(1, recipe.supernets))]
    beside = ["", *(f"-{number}" for number in range(len(recipe.families(setting.space))))]
    ends = [first + end for first in firsts for end in beside]
    return [None if checkpoint is None else type(checkpoint)(f"{checkpoint}{end}") for end in ends]
