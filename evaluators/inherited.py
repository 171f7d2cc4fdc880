"""Scores of candidates with the weights that they inherit from a supernet."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import nn

from evaluators.balance import add_rates
from evaluators.building import build_alone
from evaluators.ensemble import mean_score, members
from evaluators.evaluation import Evaluation
from evaluators.few_shot import key_of, supernet_of
from evaluators.prefix import Key, PrefixCache, evaluate_from
from evaluators.pruning.masks import attach
from evaluators.pruning.one_shot import one_shot
from evaluators.pruning.pattern import Pruning
from evaluators.readings import Readings, measured, without_skips
from evaluators.scores import failure, score_of
from evaluators.setting import Setting
from evaluators.tasks.classes import class_sizes
from spaces.candidate import ALIGNMENT, Candidate, Score
from spaces.faults import is_candidates
from spaces.sparsity import asked_sparsity
from spaces.weights import inherit

PRUNING = Pruning(floor=0.01)  # of candidates with a sparsity: the smallest of all layers go, no layer is emptied


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
    if reason := setting.space.infeasible(candidate):
        return Score(state="infeasible", fidelity="supernet", seconds=time.perf_counter() - start, error=reason)

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
