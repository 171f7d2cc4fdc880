"""Ensembles of supernets: each is the supernet of its own seed, and a score is the mean over them."""

from dataclasses import replace

import pytest
import torch

from evaluators.checkpoint import load_weights, own_tensors
from evaluators.ensemble import Ensemble, mean_score, member_seed, members
from evaluators.few_shot import supernet_of
from evaluators.prefix import PrefixCache
from evaluators.supernet import checkpoints, new_supernet, score_from_supernet, train_supernet
from search.config import Config
from spaces.candidate import Score
from spaces.errors import OptionError
from spaces.seeds import numpy_generator


@pytest.fixture(scope="module")
def three(setting):
    recipe = replace(setting.recipe, supernets=3, head_gain=8.0)  # so that readouts have something to say
    return replace(setting, recipe=recipe, separable=True)


@pytest.fixture(scope="module")
def trained(three):
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


def candidates(setting, n):
    rng = numpy_generator(3)
    return [setting.space.sample(rng) for _ in range(n)]


def test_members_are_the_supernets_of_their_seeds_and_the_first_is_the_runs_own(three, trained):
    ensemble, curve = trained
    assert isinstance(ensemble, Ensemble)
    each = [train_supernet(alone(three, number)) for number in range(3)]
    assert member_seed(three.seed, 0) == three.seed
    assert [equal(tensors(one), tensors(other)) for one, (other, _) in zip(members(ensemble), each, strict=True)] == [
        True
    ] * 3
    assert not equal(tensors(each[0][0]), tensors(each[1][0]))
    assert [epoch.loss for epoch in curve] == [epoch.loss for _, epochs in each for epoch in epochs]
    assert [epoch.epoch for epoch in curve] == list(range(1, len(curve) + 1))


def test_a_score_is_the_mean_over_the_members_and_no_cache_or_judge_changes_it(three, trained):
    ensemble, cache = trained[0], PrefixCache(64)
    for candidate in candidates(three, 12):
        score = score_from_supernet(three, ensemble, candidate)
        each = [score_from_supernet(three, one, candidate) for one in members(ensemble)]
        assert all(one.state == "ok" for one in each)
        for name in ("accuracy", "spikes", "energy_nj", "sops", "separability"):
            assert score.figure(name) == pytest.approx(sum(one.figure(name) for one in each) / 3, rel=1e-12)
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


def test_a_new_one_takes_the_weights_of_a_trained_one(three, trained):
    new = new_supernet(three)
    load_weights(new, tensors(trained[0]))
    assert equal(tensors(new), tensors(trained[0]))


@pytest.mark.parametrize("few_shot", [None, "slot1"])
def test_every_training_has_a_place_of_its_own(three, tmp_path, few_shot):
    one = replace(three, recipe=replace(three.recipe, few_shot=few_shot))
    places = checkpoints(tmp_path / "supernet.safetensors", one)
    assert len(set(places)) == len(places) == 3 * (1 if few_shot is None else 4)
    assert places[0] == tmp_path / "supernet.safetensors"


def test_none_is_no_number_of_supernets():
    with pytest.raises(OptionError, match="--supernets 0"):
        Config(supernets=0)
