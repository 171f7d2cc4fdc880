"""Several supernets: few-shot ones, each of one family of a blank, and ensembles, whose scores are means.

A family is trained and scored with weights that no other has touched; a member is the supernet of its own seed.
"""

import threading
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution

from evaluators.checkpoint import load_weights, own_tensors
from evaluators.ensemble import Ensemble, mean_score, member_seed, members
from evaluators.evaluation import evaluate, recalibrate
from evaluators.few_shot import FewShot, families, supernet_of
from evaluators.inherited import inherited, score_from_supernet
from evaluators.paths import within
from evaluators.prefix import PrefixCache
from evaluators.readings import Readings, measured, without_skips
from evaluators.supernet import checkpoints, new_supernet, train_supernet, trained_at_once
from evaluators.training import TrainingError
from evaluators.workers import Workers
from search.options.config import configure
from search.setting import held
from spaces.candidate import READINGS, Score
from spaces.errors import OptionError, SpaceError
from spaces.layers import Linear
from spaces.seeds import numpy_generator

SLOT1 = [["skip"], ["SCB_k3", "SCB_k5"], ["SRB_k3", "SRB_k5"]]


@pytest.fixture(scope="module")
def few(setting):
    return replace(setting, recipe=replace(setting.recipe, few_shot="slot1", few_shot_epochs=1))


@pytest.fixture(scope="module")
def trained(few):
    return train_supernet(few)


@pytest.fixture(scope="module")
def three(setting):
    recipe = replace(setting.recipe, supernets=3, head_gain=8.0)  # so that readouts have something to say
    return replace(setting, recipe=recipe, readings=READINGS)


@pytest.fixture(scope="module")
def ensemble(three):
    return train_supernet(three)


def alone(three, number):
    """How a member would be trained if it were the only one."""
    return replace(three, seed=member_seed(three.seed, number), recipe=replace(three.recipe, supernets=1))


def tensors(network):
    return {name: tensor.clone() for name, tensor in own_tensors(network).items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def timeless(score):
    return replace(score, seconds=0.0)


def told_by_all(setting, ensemble, candidate):
    """What the rates tell that arrive at all members' readouts, the better of with and without a last skip."""
    whole, other = (
        told_within(setting, ensemble, candidate, context) for context in (lambda network: nullcontext(), without_skips)
    )
    return whole | {"alignment": max(whole["alignment"], other["alignment"])}


def told_within(setting, ensemble, candidate, context):
    """The same of networks in a context, gathered one network after the other."""
    rates = []
    for one in members(ensemble):
        network = inherited(setting, one, candidate)
        readout = next(module for module in network.links()[-1].modules() if isinstance(module, Linear))
        seen = []
        hook = readout.register_forward_pre_hook(lambda module, arriving, seen=seen: seen.append(arriving[0].mean(0)))
        with context(network):
            recalibrate(network, setting.task, samples=setting.recipe.recalibration_samples, seed=setting.seed)
            seen.clear()
            evaluate(network, setting.task, setting.task.validation)
        hook.remove()
        rates.append(torch.cat(seen))
    return measured([Readings(torch.cat(rates, dim=1), setting.task.validation.labels)], READINGS)


def candidates(setting, n):
    rng = numpy_generator(3)
    return [setting.space.sample(rng) for _ in range(n)]


def test_families_are_those_of_the_space(setting):
    assert families(setting.space, "slot1") == SLOT1


def test_a_candidate_is_scored_as_its_own_supernet_scores_it(few, trained):
    supernet, _ = trained
    for candidate in candidates(few, 12):
        number = next(k for k, values in enumerate(SLOT1) if candidate["slot1"] in values)
        own = supernet_of(supernet, candidate)
        assert own is supernet.supernets[number]
        assert timeless(score_from_supernet(few, supernet, candidate)) == timeless(
            score_from_supernet(few, own, candidate)
        )


def test_each_goes_on_from_the_one_for_all_and_leaves_the_norms_of_other_options_as_they_were(few, trained):
    shared = tensors(train_supernet(replace(few, recipe=replace(few.recipe, few_shot=None)))[0])
    supernet, _ = trained
    for number, own in enumerate(supernet.supernets):
        for k, values in enumerate(SLOT1):
            norms = [name for name in shared if any(f"slot1.options.{value}.norm" in name for value in values)]
            assert k == 0 or len(norms) >= 8 * len(values)
            assert all(torch.equal(tensors(own)[name], shared[name]) for name in norms) == (k == 0 or k != number)
        assert not torch.equal(tensors(own)["stem.0.weight"], shared["stem.0.weight"])
    assert not equal(tensors(supernet.supernets[0]), tensors(supernet.supernets[1]))


def test_the_curve_and_the_steps_are_those_of_all(few):
    told = []
    _, curve = train_supernet(few, on_step=lambda done, total: told.append((done, total)))
    assert [epoch.epoch for epoch in curve] == [1, 2, 3, 4, 5]  # two of one for all, one of each of three
    assert told == [(done, 30) for done in range(1, 31)]


def test_common_beginnings_are_those_of_one_supernet(few, trained):
    supernet, _ = trained
    cache = PrefixCache(64)
    for candidate in candidates(few, 25):
        cached = score_from_supernet(few, supernet, candidate, cache=cache)
        assert timeless(cached) == timeless(score_from_supernet(few, supernet, candidate))
    assert cache.held > 0


def test_a_new_one_takes_the_weights_of_a_trained_one(few, trained):
    supernet, _ = trained
    new = new_supernet(few)
    assert isinstance(new, FewShot)
    assert [(name, tensor.shape) for name, tensor in own_tensors(new).items()] == [
        (name, tensor.shape) for name, tensor in own_tensors(supernet).items()
    ]


def test_paths_within_a_family_are_networks_of_it(setting):
    space = replace(setting.space, infeasible=lambda candidate: "odd" if candidate["slot2"] == "skip" else "")
    rng = numpy_generator(0)
    drawn = iter(lambda: [space.sample(rng), space.sample(rng)], None)
    groups = within(space, drawn, rng, blank="slot1", values=SLOT1[1])
    seen = [candidate for _ in range(40) for candidate in next(groups)]
    assert {candidate["slot1"] for candidate in seen} == set(SLOT1[1])
    assert all(candidate["slot2"] != "skip" for candidate in seen)
    hopeless = replace(space, infeasible=lambda candidate: "none")
    with pytest.raises(SpaceError, match="none is a network"):
        next(within(hopeless, drawn, rng, blank="slot1", values=SLOT1[1]))


@pytest.mark.parametrize(
    ("blank", "says"),
    [("slot9", "slot9"), ("decay", "decay"), ("one", "all of one kind")],
)
def test_a_blank_that_tells_nothing_apart_is_named(setting, blank, says):
    more = {"decay": FloatDistribution(0, 1), "one": CategoricalDistribution(["SCB_k3", "SCB_k5"])}
    space = replace(setting.space, blanks={**setting.space.blanks, **more})
    with pytest.raises(OptionError, match=says):
        families(space, blank)


def test_members_are_the_supernets_of_their_seeds_and_the_first_is_the_runs_own(three, ensemble):
    ensemble, curve = ensemble
    assert isinstance(ensemble, Ensemble)
    each = [train_supernet(alone(three, number)) for number in range(3)]
    assert member_seed(three.seed, 0) == three.seed
    assert [equal(tensors(one), tensors(other)) for one, (other, _) in zip(members(ensemble), each, strict=True)] == [
        True
    ] * 3
    assert not equal(tensors(each[0][0]), tensors(each[1][0]))
    assert [epoch.loss for epoch in curve] == [epoch.loss for _, epochs in each for epoch in epochs]
    assert [epoch.epoch for epoch in curve] == list(range(1, len(curve) + 1))


@pytest.fixture
def two_threads():
    with held(2):
        yield


@pytest.mark.usefixtures("two_threads")
def test_members_trained_at_once_are_those_trained_one_after_the_other_on_one_core(three, ensemble):
    seen = set()
    told = []

    def on_step(done, total):
        seen.add(threading.get_ident())
        assert torch.get_num_threads() == 1
        told.append((done, total))

    trained, curve = train_supernet(three, on_step=on_step)
    assert equal(tensors(trained), tensors(ensemble[0]))
    assert curve == ensemble[1]
    assert len(seen) == 2
    assert torch.get_num_threads() == 2
    total = told[0][1]
    assert told == [(done, total) for done in range(1, total + 1)]


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("fault", [RuntimeError("killed"), KeyboardInterrupt()])
def test_those_trained_at_once_end_together_and_go_on_from_where_each_was(three, ensemble, tmp_path, fault):
    place, total = tmp_path / "supernet.safetensors", []

    def kill(done, of):
        total.append(of)
        if done > of / 2:
            raise fault

    count = threading.active_count()
    with pytest.raises(type(fault)):
        train_supernet(three, checkpoint=place, match="a", on_step=kill)
    assert threading.active_count() == count
    assert torch.get_num_threads() == 2
    told = []
    resumed, curve = train_supernet(three, checkpoint=place, match="a", on_step=lambda done, of: told.append(done))
    assert equal(tensors(resumed), tensors(ensemble[0]))
    assert curve == ensemble[1]
    assert told == sorted(told)
    assert len(told) < total[0] == told[-1]


@pytest.mark.usefixtures("two_threads")
def test_a_member_that_diverges_is_the_fault_of_all(three):
    plan = replace(three.recipe.plan, learning_rate=1e30)
    with pytest.raises(TrainingError, match="diverged"):
        train_supernet(replace(three, recipe=replace(three.recipe, plan=plan)))


def test_only_on_the_cpu_and_with_whole_batches_are_members_trained_at_once(three, two_threads):
    assert [
        trained_at_once(three),
        trained_at_once(alone(three, 0)),
        trained_at_once(replace(three, device="cuda")),
    ] == [2, 1, 1]
    assert trained_at_once(three, Workers(rank=0, count=2)) == 1


def test_a_score_is_the_mean_over_the_members_and_no_cache_or_judge_changes_it(three, ensemble):
    ensemble, cache = ensemble[0], PrefixCache(64)
    for candidate in candidates(three, 12):
        score = score_from_supernet(three, ensemble, candidate)
        each = [score_from_supernet(three, one, candidate) for one in members(ensemble)]
        assert all(one.state == "ok" for one in each)
        for name in ("accuracy", "balanced_accuracy", "spikes", "energy_nj", "sops"):
            assert score.figure(name) == pytest.approx(sum(one.figure(name) for one in each) / 3, rel=1e-12)
        told = {name: value for name, value in score.columns.items() if name != "balanced_accuracy"}
        assert told == pytest.approx(told_by_all(three, ensemble, candidate), abs=1e-9)
        assert (score.state, score.parameters, score.timesteps) == ("ok", each[0].parameters, each[0].timesteps)
        asked = []
        judged = score_from_supernet(
            three, ensemble, candidate, cache=cache, hopeless=lambda *seen, asked=asked: asked.append(seen) or "bad"
        )
        assert timeless(judged) == timeless(score)
        assert not asked
        assert supernet_of(ensemble, candidate) is members(ensemble)[0]
    assert cache.held > 0


def test_one_failure_or_silence_is_the_whole_candidates():
    ok = Score(state="ok", fidelity="supernet", accuracy=0.5, spikes=1.0, energy_nj=1.0, sops=1.0, macs=1.0, seconds=1)
    silent = replace(ok, state="infeasible", error="silent", accuracy=0.1)
    failed = Score(state="failed", fidelity="supernet", error="NaN", seconds=1.0)
    assert mean_score([ok, silent, ok]) == replace(silent, seconds=3.0)
    assert mean_score([ok, silent, failed]) == replace(failed, seconds=3.0)


def test_a_new_ensemble_takes_the_weights_of_a_trained_one(three, ensemble):
    new = new_supernet(three)
    load_weights(new, tensors(ensemble[0]))
    assert equal(tensors(new), tensors(ensemble[0]))


@pytest.mark.parametrize("few_shot", [None, "slot1"])
def test_every_training_has_a_place_of_its_own(three, tmp_path, few_shot):
    one = replace(three, recipe=replace(three.recipe, few_shot=few_shot))
    places = checkpoints(tmp_path / "supernet.safetensors", one)
    assert len(set(places)) == len(places) == 3 * (1 if few_shot is None else 4)
    assert places[0] == tmp_path / "supernet.safetensors"


def test_none_is_no_number_of_supernets():
    with pytest.raises(OptionError, match="--supernets 0"):
        configure(supernets=0)
