"""Finalists: a few candidates spread over the front, each built alone, trained, measured again and stored."""

import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from torch import nn

from evaluators.architecture import architecture
from evaluators.building import build_alone, set_initial
from evaluators.checkpoint import Place, drop, join, own_tensors, read_stored, save_tensors
from evaluators.energy import energy_statement
from evaluators.evaluation import Evaluation, evaluate, recalibrate
from evaluators.few_shot import supernet_of
from evaluators.figures import layer_rows
from evaluators.inherited import PRUNING
from evaluators.methods import METHODS, USUAL
from evaluators.methods.method import Method
from evaluators.plan import Plan
from evaluators.pruning.masks import detach
from evaluators.pruning.rules import Rule, begin_gradual
from evaluators.scores import SILENT, by_class, failure, score_of
from evaluators.setting import Setting
from evaluators.training import Epoch, fit
from evaluators.workers import Workers, in_parts
from results.folder import RunFolder
from results.front import named_spread, ranks
from results.ledger import Ledger, Outcome
from results.stored import read_drawing, read_metrics
from search.loop.goal import Goal
from search.loop.memory import fitting, is_open
from spaces import lookup
from spaces.candidate import ACCURACIES, COUNT_LIKE, Candidate, Score
from spaces.checksums import write_json
from spaces.errors import DamageError, DamageWarning
from spaces.faults import is_candidates
from spaces.seeds import derive, torch_generator
from spaces.sparsity import asked_sparsity
from spaces.weights import inherit


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A candidate picked to be trained.

    Attributes:
        outcome: of the search.
        picked_as: why (``best accuracy``, ``knee``, ``spread``, ``behind the front``).
        seconds: spent on its training before, where it was paused.
    """

    outcome: Outcome
    picked_as: str
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Training:
    """How finalists are trained, and where they are kept.

    Attributes:
        setting, supernet: what was searched, and the weights that it was searched with, if any.
        plan: of the training.
        inherited: whether it starts from the supernet's weights or from new ones.
        goal: judges what comes of it.
        folder: where it is kept.
        checkpoints: where checkpoints lie meanwhile; none: in the folder.
        match: what a checkpoint must bear to be gone on from.
        parts: of every batch, see ``in_parts``.
        method: how weights are found, a name in ``METHODS``.
    """

    setting: Setting
    supernet: nn.Module | None
    plan: Plan
    inherited: bool
    goal: Goal
    folder: RunFolder
    match: str
    checkpoints: Place | None = None
    parts: int = 1
    method: str = USUAL


def pick(outcomes: Sequence[Outcome], goal: Goal, k: int, *, deep: bool = False) -> list[Finalist]:
    """Up to ``k`` finalists of the searched outcomes' front: its ends, its knee, then the farthest from those.

    Only what is above the goal's floor of accuracy has a place on it. Where the front has fewer, ``deep`` takes the
    others from the front of the rest in the same way, and so on.
    """
    searched = [outcome for outcome in outcomes if outcome.batch >= 0]
    goal = goal.floored(outcome.score for outcome in searched)
    scored = [outcome for outcome in searched if goal.judge(outcome.score).state == "ok"]
    values = goal.values([outcome.score for outcome in scored])
    log = [name in COUNT_LIKE for name in goal.objectives]
    rank = ranks(values, goal.senses, k if deep else min(k, 1))
    picked: list[Finalist] = []
    for level in range(rank.max(initial=-1) + 1):
        layer = np.flatnonzero(rank == level)
        picks = named_spread(values[layer], goal.senses, k - len(picked), log=log, names=goal.objectives)
        for index, why in picks:
            picked.append(Finalist(outcome=scored[layer[index]], picked_as=why if level == 0 else "behind the front"))
    return picked


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A network after all or a part of its training, and how it does on the validation split."""

    network: nn.Module
    curve: Sequence[Epoch]
    validation: Evaluation
    score: Score


def train(
    finalist: Finalist,
    training: Training,
    *,
    until: int | None = None,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Trained:
    """Trains a finalist, to the end or the epoch ``until``, on from its checkpoint if there is one; never tests it.

    What is judged, and stored, has BN statistics of its weights as they are, see ``recalibrate``.
    """
    setting, start = training.setting, time.perf_counter()
    number, candidate = finalist.outcome.number, finalist.outcome.candidate
    method: Method = lookup(METHODS, "method", training.method)

    def part(workers: Workers) -> tuple[nn.Module, Sequence[Epoch]]:
        network = build_alone(setting, candidate)
        if training.inherited:
            inherit(network, supernet_of(training.supernet, candidate))
        else:
            set_initial(network, setting.recipe, torch_generator(setting.seed, "finalist", number, "weights"))
        curve = fit(
            network,
            setting.task,
            training.plan,
            seed=derive(setting.seed, "finalist", number),
            timesteps=setting.space.steps(candidate) if training.plan.time_schedule else None,
            until=until,
            device=setting.device,
            checkpoint=checkpoint_of(finalist, training),
            match=training.match,
            on_step=on_step,
            after_step=pruned_as_asked(network, candidate),
            method=method,
            workers=workers,
        )
        if workers.first:  # behind the last checkpoint, so a training that goes on knows nothing of it
            samples = setting.recipe.recalibration_samples
            recalibrate(network, setting.task, samples=samples, seed=setting.seed, device=setting.device)
            if until is None or until >= training.plan.epochs:
                method.finish(network, setting.task)
        return network, curve

    network, curve = in_parts(part, training.parts)
    validation = evaluate(
        network, setting.task, setting.task.validation, device=setting.device, with_readings=bool(setting.readings)
    )
    seconds = finalist.seconds + time.perf_counter() - start
    score = score_of(setting, candidate, network, validation, fidelity="trained", seconds=seconds)
    detach(network)  # what is pruned is zero
    return Trained(network=network, curve=curve, validation=validation, score=training.goal.judge(score))


def pruned_as_asked(network: nn.Module, candidate: Candidate) -> Rule:
    """How a candidate with a sparsity gets its ticket: by gradual magnitude pruning while it trains."""
    if not (sparsity := asked_sparsity(candidate)):
        return lambda step, total, optimiser: None
    return begin_gradual(network, sparsity, PRUNING)


Carry = Callable[[Sequence[Finalist], int], Iterator[Score]]
"""Has finalists trained to an epoch, on from their checkpoints; gives their scores, in order, as they come."""


def carried_here(training: Training, on_step: Callable[[int, int], None] = lambda done, total: None) -> Carry:
    """Trains one after the other, in this process, and tells of steps. What is no fault of a finalist's is raised."""

    def carry(finalists: Sequence[Finalist], until: int) -> Iterator[Score]:
        def carried(finalist: Finalist) -> Score:
            others = [one for one in finalists if one is not finalist]
            return fitting(lambda one: _trained(one, training, until, on_step), finalist, others, fidelity="trained")

        return (carried(finalist) for finalist in finalists)

    return carry


def _trained(finalist: Finalist, training: Training, until: int, on_step: Callable[[int, int], None]) -> Score:
    try:
        return train(finalist, training, until=until, on_step=on_step).score
    except Exception as error:
        if not is_candidates(error):
            raise
        return failure(error, fidelity="trained", seconds=finalist.seconds)


def checkpoint_of(finalist: Finalist, training: Training) -> Place:
    """Where a finalist's training is kept until it has ended."""
    home = training.folder.checkpoints if training.checkpoints is None else training.checkpoints
    return join(home, f"finalist-{finalist.outcome.number}.safetensors")


def recorded(finalist: Finalist, ledger: Ledger) -> Outcome | None:
    """What the ledger holds of a finalist's training, the last of several tries, if it has ended."""
    candidate = finalist.outcome.candidate
    return next((o for o in reversed(ledger.outcomes) if o.batch < 0 and o.candidate == candidate), None)


def record(finalist: Finalist, training: Training, ledger: Ledger, score: Score) -> Outcome:
    """Has the ledger hold what came of a finalist, once, and drops the checkpoint; see ``is_open`` for other tries."""
    outcome = recorded(finalist, ledger)
    if outcome is None or (is_open(outcome.score) and not is_open(score)):
        outcome = Outcome(number=len(ledger.outcomes), batch=-1, candidate=finalist.outcome.candidate, score=score)
        ledger.append(outcome)
    drop(checkpoint_of(finalist, training))
    return outcome


def train_finalist(
    finalist: Finalist,
    training: Training,
    ledger: Ledger,
    *,
    on_step: Callable[[int, int], None] = lambda done, total: None,
    others: Sequence[Finalist] = (),
) -> Outcome:
    """Trains one finalist to the end, reads the test split once, stores it under ``finalists/N`` and in the ledger.

    One that is recorded and stored already is returned as it is; one whose files are gone or damaged is made anew; one
    whose training was cut off goes on at its last epoch. A finalist that raises is a failed outcome; what is no
    fault of its own, such as a full disk, is raised. So is that memory ran short, unless one of ``others`` fits.
    """
    known = recorded(finalist, ledger)
    known = None if known is None or is_open(known.score) else known
    never_stored = known is not None and (known.score.state == "failed" or known.score.error == SILENT)
    if known is not None and (never_stored or is_stored(training.folder, finalist.outcome.number)):
        return record(finalist, training, ledger, known.score)
    start = time.perf_counter()
    try:
        score = fitting(lambda one: finish(one, training, on_step=on_step), finalist, others, fidelity="trained")
    except Exception as error:
        if not is_candidates(error):
            raise
        score = failure(error, fidelity="trained", seconds=time.perf_counter() - start)
    return record(finalist, training, ledger, score)


def finish(
    finalist: Finalist,
    training: Training,
    *,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Score:
    """Trains a finalist to the end, reads the test split, once, and stores it, unless it is silent or not finite."""
    setting = training.setting
    done = train(finalist, training, on_step=on_step)
    if done.validation.finite and not done.validation.silent:
        test = evaluate(done.network, setting.task, setting.task.test, device=setting.device)
        store(finalist, training, done, test)
    return done.score


def is_stored(folder: RunFolder, number: int) -> bool:
    """Whether the files of finalist ``number`` are there and whole; those of a silent one never were.

    What is damaged is told in a warning.
    """
    try:
        return check_stored(folder, number)
    except DamageError as error:
        warnings.warn(f"{error.fault}; finalist {number} is made anew", DamageWarning, stacklevel=2)
        return False


def check_stored(folder: RunFolder, number: int) -> bool:
    """Whether the files of finalist ``number`` are all there; raises DamageError where one of them is damaged."""
    if not read_metrics(folder, number) or not read_drawing(folder, number):
        return False
    weights = folder.finalist(number) / "weights.safetensors"
    return os.path.lexists(weights) and bool(read_stored(weights, "resume the run, which makes the finalist anew"))


def store(finalist: Finalist, training: Training, done: Trained, test: Evaluation) -> None:
    """Writes weights, architecture and metrics of a trained finalist."""
    setting, score, counts = training.setting, done.score, done.validation.counts
    number, candidate = finalist.outcome.number, finalist.outcome.candidate
    space, home = setting.space, training.folder.finalist(number)
    home.mkdir(parents=True, exist_ok=True)
    save_tensors(
        home / "weights.safetensors",
        own_tensors(done.network),
        {"space": space.name, "candidate": candidate.key, "timesteps": str(space.steps(candidate))},
    )
    write_json(home / "architecture.json", architecture(setting, training.plan, candidate, done.network))
    searched = finalist.outcome.score
    before = {name: searched.figure(name) for name in (*ACCURACIES, "spikes", "energy_nj")}
    before |= {name: searched.figure(name) for name in setting.readings}
    metrics = {
        "number": number,
        "picked_as": finalist.picked_as,
        "state": score.state,
        "error": score.error,
        "candidate": dict(candidate),
        "seed": setting.seed,
        "test_accuracy": test.accuracy,
        "val_accuracy": score.accuracy,
        **by_class(setting.task.class_names, done.validation, test),
        "spikes": score.spikes,
        "spikes_autosnn": counts.spikes_autosnn / counts.samples,
        "energy_nj": score.energy_nj,
        "sops": score.sops,
        "sops_by_rate": counts.sops_by_rate / counts.samples,
        "macs": score.macs,
        "parameters": score.parameters,
        "timesteps": score.timesteps,
        "epochs": len(done.curve),
        "seconds": score.seconds,
        "curve": [asdict(epoch) for epoch in done.curve],
        "supernet": before if searched.fidelity == "supernet" else None,
        "layers": layer_rows(counts, setting.model),
        "energy": energy_statement(counts, setting.model),
    }
    write_json(home / "metrics.json", metrics)
