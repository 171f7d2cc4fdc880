"""What is judged has the statistics of its weights, whatever its norms are and whatever is beside them."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from evaluators import evaluation as evaluation_module
from evaluators.checkpoint import own_tensors, read_checkpoint
from evaluators.evaluation import calibration_batches, evaluate, recalibrate, renewing_statistics
from evaluators.plan import Plan
from results.folder import create_or_open
from results.ledger import Outcome
from search.loop.goal import Goal
from search.work.finalists import Finalist, Training, checkpoint_of, train
from spaces.candidate import Candidate, Score
from spaces.norms import NORMS
from spaces.residual import residual
from spaces.seeds import numpy_generator

SCORE = Score(state="ok", fidelity="supernet", accuracy=0.5, spikes=1.0)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def statistics(tensors):
    return {name: tensor for name, tensor in tensors.items() if "running" in name}


def training_of(setting, folder, **options):
    goal = Goal(objectives=("accuracy", "spikes"))
    return Training(setting=setting, supernet=None, inherited=False, goal=goal, folder=folder, match="x", **options)


@pytest.mark.parametrize(("norm", "parts"), [*((name, 1) for name in NORMS), ("bn", 2)])
def test_a_training_is_judged_by_the_statistics_of_its_weights_at_every_pause_and_goes_on_as_if_it_had_not_been(
    setting, tmp_path, norm, parts
):
    space = residual(width=2, timesteps=2, compiled=False)
    depths = {f"stage{stage}_depth": 1 for stage in (1, 2, 3)}
    candidate = Candidate({**space.sample(numpy_generator(0)), **depths, "norm": norm})
    here = replace(setting, space=space)
    folder = create_or_open(tmp_path / "run", config={"match": {}})
    training = training_of(here, folder, plan=Plan(epochs=2, batch_size=16, logit_scale=10.0), parts=parts)
    finalist = Finalist(outcome=Outcome(0, 0, candidate, SCORE), picked_as="")
    seen = {}
    for until in (1, None):
        done = train(finalist, training, until=until)
        judged = {name: tensor.clone() for name, tensor in own_tensors(done.network).items()}
        assert done.score.accuracy == evaluate(done.network, here.task, here.task.validation).accuracy
        recalibrate(done.network, here.task, samples=128, seed=here.seed)
        assert same(own_tensors(done.network), judged)  # they were those already
        seen[until] = read_checkpoint(checkpoint_of(finalist, training), match="x").weights
        assert not same(statistics(seen[until]), statistics(judged))
    other = training_of(here, create_or_open(tmp_path / "other", config={"match": {}}), plan=training.plan, parts=parts)
    whole = train(finalist, other)  # without a pause
    assert same(own_tensors(whole.network), judged)
    assert same(read_checkpoint(checkpoint_of(finalist, other), match="x").weights, seen[None])


def test_none_are_renewed_where_none_are_asked_for(setting, task):
    network = nn.Sequential(nn.BatchNorm2d(1))
    network[0].running_mean.fill_(7.0)
    recalibrate(network, task, samples=0, seed=0)
    assert network[0].running_mean.item() == 7.0


def test_a_space_of_ones_own_has_pytorchs_norms_renewed_and_dropout_lets_all_through(task):
    network = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(1), nn.Flatten(), nn.Dropout(0.9), nn.BatchNorm1d(64))
    state = torch.get_rng_state()
    recalibrate(network, task, samples=96, seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    (images,) = calibration_batches(task, samples=96, seed=0)
    torch.testing.assert_close(network[1].running_mean, images.mean((0, 2, 3)))
    torch.testing.assert_close(network[1].running_var, images.var((0, 2, 3)))
    with torch.no_grad():
        torch.testing.assert_close(network[4].running_mean, network[:3](images).mean(0), rtol=1e-4, atol=1e-4)
    assert network[1].momentum == 0.1
    assert not any(module.training for module in network.modules())


def test_norms_that_keep_no_statistics_are_left_alone():
    network = nn.Sequential(
        nn.BatchNorm2d(1, track_running_stats=False), nn.InstanceNorm2d(1, track_running_stats=True)
    )
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with renewing_statistics(network):
        network(torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(0)))
    assert same(network.state_dict(), before)


@pytest.mark.parametrize(("samples", "sizes"), [(50, [25, 25]), (96, [48, 48]), (49, [25, 24]), (7, [7]), (1, [1])])
def test_batches_are_of_about_the_same_size_since_each_weighs_alike(task, samples, sizes, monkeypatch):
    monkeypatch.setattr(evaluation_module, "CALIBRATION_BATCH", 48)
    batches = list(calibration_batches(task, samples=samples, seed=0))
    assert [len(batch) for batch in batches] == sizes
    whole = next(iter(calibration_batches(task, samples=96, seed=0)))
    assert torch.equal(torch.cat(batches)[:24], whole[:samples][:24])
