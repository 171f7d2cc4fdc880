"""The supernet: every option of a space in one network, trained on one path a step; candidates are scored out of it."""

import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from threading import Event, Lock

import torch
from torch import nn

from evaluators.balance import add_rates, gathering, keep_rates
from evaluators.checkpoint import Place
from evaluators.ensemble import Ensemble, mean_score, member_seed, members
from evaluators.evaluation import Evaluation, recalibrate
from evaluators.few_shot import FewShot, key_of, supernet_of
from evaluators.paths import PATH_RULES, sound, within
from evaluators.precision import autocast
from evaluators.prefix import Key, PrefixCache, evaluate_from
from evaluators.pruning.masks import Pruning, attach
from evaluators.pruning.one_shot import one_shot
from evaluators.readings import Readings, measured, without_skips
from evaluators.scores import failure, score_of
from evaluators.setting import Recipe, Setting
from evaluators.tasks.classes import class_sizes
from evaluators.tasks.task import batch_count
from evaluators.training import Epoch, Plan, fit
from evaluators.workers import ALONE, Workers, at_once
from spaces.candidate import ALIGNMENT, Candidate, Score
from spaces.faults import is_candidates
from spaces.seeds import derive, numpy_generator, torch_generator
from spaces.sparsity import asked_sparsity
from spaces.timing import set_timesteps
from spaces.weights import inherit, initialise

RATES_FROM = 64  # random candidates, whose mean rates thresholds are balanced to
PRUNING = Pruning(floor=0.01)  # of candidates with a sparsity: the smallest of all layers go, no layer is emptied


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

    Of an ensemble as many are trained at once as ``abreast`` says.

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
        done[number] = _steps(setting)  # of one that was trained before, too
        return trained

    several, trained = abreast(setting, workers), []
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


def abreast(setting: Setting, workers: Workers = ALONE) -> int:
    """How many supernets of an ensemble are trained at once: as many as PyTorch has threads, which they share.

    On one core a network is trained at more than half of its speed on two, as not all of a step is shared among them.
    On a GPU they are trained one after the other, and so they are where several share every batch.
    """
    alone = workers.count == 1 and setting.device == "cpu"
    return min(setting.recipe.supernets, torch.get_num_threads()) if alone else 1


def _steps(setting: Setting) -> int:
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
    steps, total = batch_count(setting.task.train, plan.batch_size, drop_last=True), _steps(setting)

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


def measure_rates(setting: Setting, supernet: nn.Module) -> None:
    """Keeps with a supernet the mean firing rate of each layer over random candidates, see ``evaluators.balance``."""
    add_rates(supernet)
    rng = numpy_generator(setting.seed, "rates")
    found: dict[nn.Module, dict[str, list[float]]] = {}
    for _ in range(RATES_FROM):
        candidate = setting.space.sample_sound(rng)
        network, rates = inherited(setting, supernet, candidate), found.setdefault(supernet_of(supernet, candidate), {})
        with autocast(setting.recipe.plan.precision, setting.device), gathering(network, rates):
            samples = setting.recipe.recalibration_samples
            recalibrate(network, setting.task, samples=samples, seed=setting.seed, device=setting.device)
    for source, rates in found.items():
        keep_rates(source, rates)


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


def score_from_supernet(
    setting: Setting,
    supernet: nn.Module,
    candidate: Candidate,
    *,
    cache: PrefixCache | None = None,
    hopeless: Callable[[Score, Sequence[int], Sequence[int]], str] | None = None,
) -> Score:
    """Score of a candidate on the validation split, with weights out of the supernet and its own BN statistics.

    One with a sparsity is pruned in one shot: the smallest of the weights that it inherits are set to zero.

    A pure function of the supernet's weights and the candidate: what was scored before has no effect. A candidate that
    raises is a failed outcome with its traceback. A cache, of this supernet and setting alone, saves computing again
    what candidates have in common; the score is the same to the bit. ``hopeless`` is asked after an eighth, a quarter
    and half of the samples, with the score on these, how many they are of each class, and how many there are in all; a
    candidate for which it gives a reason is ``pruned`` for it, with the score that it had. In an ensemble none is asked
    for, as the mean over its supernets is not known before the last.
    """
    supernets = members(supernet)
    readings: list[Readings] = []
    asked = hopeless if len(supernets) == 1 else None
    each = [
        _score_from_one(setting, one, candidate, readings, cache=cache, root=(number,), hopeless=asked)
        for number, one in enumerate(supernets)
    ]
    score = mean_score(each)
    if not setting.readings or len(readings) < len(supernets):  # of one that failed, or was given up
        return score
    start = time.perf_counter()
    try:
        columns = _told(setting, supernets, candidate, readings)
    except Exception as error:
        if not is_candidates(error):
            raise
        return failure(error, fidelity="supernet", seconds=score.seconds + time.perf_counter() - start)
    columns = {**score.columns, **columns}
    return replace(score, columns=columns, seconds=score.seconds + time.perf_counter() - start)


def _told(
    setting: Setting, supernets: Sequence[nn.Module], candidate: Candidate, readings: Sequence[Readings]
) -> dict[str, float]:
    """What a candidate's readings tell; its alignment is the better one of with skips into its last sum and without."""
    columns = measured(readings, setting.readings)
    if ALIGNMENT in columns and readings[0].skipped:
        others = []
        for supernet in supernets:
            network = inherited(setting, supernet, candidate)
            with without_skips(network):
                others.append(evaluate_inherited(setting, supernet, candidate, network).readings)
        if all(others):  # or it has a readout that is not finite
            columns[ALIGNMENT] = max(columns[ALIGNMENT], measured(others, [ALIGNMENT])[ALIGNMENT])
    return columns


def _score_from_one(
    setting: Setting,
    supernet: nn.Module,
    candidate: Candidate,
    readings: list[Readings],
    *,
    cache: PrefixCache | None,
    root: Key,
    hopeless: Callable[[Score, Sequence[int], Sequence[int]], str] | None,
) -> Score:
    """``score_from_supernet`` out of one supernet, whose readings are added to ``readings`` in place of what they tell.

    ``root`` tells its beginnings from those of others in the cache.
    """
    start = time.perf_counter()
    reason = ""
    if flaw := setting.space.flaw(candidate):
        return Score(state="infeasible", fidelity="supernet", seconds=time.perf_counter() - start, error=flaw)

    def stop(evaluation: Evaluation) -> bool:
        nonlocal reason
        partial = score_of(setting, candidate, network, evaluation, fidelity="supernet", seconds=0.0)
        in_all = class_sizes(setting.task.validation, setting.task.spec.classes)
        reason = hopeless(partial, evaluation.seen, in_all) if partial.state == "ok" else ""
        return bool(reason)

    try:
        network = inherited(setting, supernet, candidate)
        stops = stop if hopeless else None
        evaluation = evaluate_inherited(setting, supernet, candidate, network, cache=cache, root=root, stop=stops)
    except Exception as error:  # a candidate that cannot be scored is an outcome, never a lost row
        if not is_candidates(error):
            raise
        return failure(error, fidelity="supernet", seconds=time.perf_counter() - start)
    if evaluation.readings is not None:
        readings.append(evaluation.readings)
    evaluation = replace(evaluation, readings=None)
    score = score_of(setting, candidate, network, evaluation, fidelity="supernet", seconds=time.perf_counter() - start)
    return replace(score, state="pruned", error=reason) if reason else score


def inherited(setting: Setting, supernet: nn.Module, candidate: Candidate) -> nn.Module:
    """A candidate's network with weights out of the supernet, pruned where the candidate has a sparsity."""
    network = build_alone(setting, candidate)
    if setting.recipe.threshold_balancing:
        add_rates(network)
    inherit(network, supernet_of(supernet, candidate))
    if sparsity := asked_sparsity(candidate):
        attach(network, one_shot(network, sparsity, PRUNING))
    return network


def evaluate_inherited(
    setting: Setting,
    supernet: nn.Module,
    candidate: Candidate,
    network: nn.Module,
    *,
    cache: PrefixCache | None = None,
    root: Key = (),
    stop: Callable[[Evaluation], bool] | None = None,
) -> Evaluation:
    """What the ``inherited`` network of a candidate does on the validation split, with BN statistics of its own."""
    if cache is None or asked_sparsity(candidate):  # all of its weights decide on which go, so it begins like no other
        cache = PrefixCache(0)
    return evaluate_from(
        network,
        candidate,
        setting.task,
        setting.task.validation,
        recalibration_samples=setting.recipe.recalibration_samples,
        seed=setting.seed,
        cache=cache,
        root=(*root, *key_of(supernet, candidate)),
        precision=setting.recipe.plan.precision,
        device=setting.device,
        stop=stop,
        with_readings=bool(setting.readings),
    )


def set_initial(network: nn.Module, recipe: Recipe, generator: torch.Generator) -> None:
    """Draws a network's initial weights as the recipe says."""
    initialise(network, generator, norm_scale=recipe.norm_scale, head_gain=recipe.head_gain, identity=recipe.identity)


def build_alone(setting: Setting, candidate: Candidate) -> nn.Module:
    """A candidate's network on the setting's device, channels last, weights not yet set."""
    return setting.space.network(setting.task.spec, candidate).to(setting.device, memory_format=torch.channels_last)
