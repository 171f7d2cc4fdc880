"""Ways to find weights: what holds for each of METHODS, and the least squares of the readout by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import launch
from evaluators.building import build_alone, set_initial
from evaluators.evaluation import evaluate
from evaluators.methods import METHODS
from evaluators.methods.method import Progress
from evaluators.methods.readout import GAINS, RIDGE, last_linear, rates_before, solve
from evaluators.plan import Plan, loss_of
from evaluators.tasks.task import batches
from evaluators.training import fit
from results.ledger import read
from search.options.commands import parse_search
from spaces import lookup
from spaces.errors import OptionError, SpaceError
from spaces.layers import Linear
from spaces.seeds import torch_generator

SMALL = "--width 3 --timesteps 2 --supernet-epochs 1 --candidates 4 --batch 4 --finalists 1 --finalist-epochs 2"
QUICK = [*SMALL.split(), "--val-samples", "60", "--train-samples", "300", "--threads", "1", "--no-compile"]


@pytest.fixture
def made(setting):
    """A candidate's network with its first weights, anew at every call."""
    candidate = setting.space.sample_sound(np.random.default_rng(3))

    def make():
        network = build_alone(setting, candidate)
        set_initial(network, setting.recipe, torch_generator(0, "weights"))
        return network

    return make


def trained(make, setting, name, *, until=None, checkpoint=None):
    method, network = lookup(METHODS, "method", name), make()
    plan = replace(setting.recipe.plan, epochs=3, batch_size=16, time_schedule=())
    curve = fit(network, setting.task, plan, seed=1, until=until, checkpoint=checkpoint, method=method)
    if until is None:
        method.finish(network, setting.task)
    return network, curve


def weights(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one, other):
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_named_and_changes_weights_to_finite_ones_the_same_each_time(name, made, setting):
    assert lookup(METHODS, "method", name).name == name
    before, after = weights(made()), weights(trained(made, setting, name)[0])
    assert all(tensor.isfinite().all() for tensor in after.values())
    assert not same(before, after)
    assert same(after, weights(trained(made, setting, name)[0]))


@pytest.mark.parametrize("name", METHODS)
def test_a_method_that_was_cut_off_goes_on_to_the_same_weights(name, made, setting, tmp_path):
    whole, curve = trained(made, setting, name)
    trained(made, setting, name, until=1, checkpoint=tmp_path / "kept.safetensors")
    on, again = trained(made, setting, name, checkpoint=tmp_path / "kept.safetensors")
    assert same(weights(whole), weights(on))
    assert curve == again
    assert len(curve) == (3 if lookup(METHODS, "method", name).passes else 0)


def test_bptt_leaves_the_gradients_of_its_loss(made, setting):
    """Equal to the bit to the loss written out, halved by a share and with a penalty on top."""
    images, labels = next(iter(batches(setting.task, setting.task.train, batch_size=8)))
    plan, ours, plain = Plan(epochs=1, logit_scale=3.0), made().train(), made().train()
    now = Progress(step=0, total=1, plan=plan, share=0.5, penalty=lambda: 0.25)
    (loss,) = lookup(METHODS, "method", "bptt").step(ours, images, labels, now)
    expected = (loss_of(plain(images).float(), labels, plan) + 0.25) * 0.5
    expected.backward()
    assert torch.equal(loss, expected.detach())
    for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        assert one.grad is None or torch.equal(one.grad, other.grad)


@pytest.mark.parametrize("with_bias", [False, True])
def test_least_squares_are_numpy_s_of_the_ridge_as_more_rows(with_bias):
    rng = np.random.default_rng(0)
    x, y = rng.random((40, 5)), np.eye(3)[rng.integers(0, 3, 40)]
    ones = np.ones((40, 1)) if with_bias else np.zeros((40, 0))
    ridge = np.hstack([np.eye(5) * np.sqrt(RIDGE * 40), np.zeros((5, ones.shape[1]))])
    expected = np.linalg.lstsq(np.vstack([np.hstack([x, ones]), ridge]), np.vstack([y, np.zeros((5, 3))]), rcond=None)[
        0
    ]
    weight, bias = solve(torch.from_numpy(x), torch.from_numpy(y), with_bias=with_bias)
    np.testing.assert_allclose(weight.numpy(), expected[:5].T, atol=1e-12)
    np.testing.assert_allclose(bias.numpy(), expected[5] if with_bias else np.zeros(3), atol=1e-12)


def test_the_readout_alone_is_solved_and_beats_the_one_it_had(made, setting):
    before, (network, curve) = made(), trained(made, setting, "readout")
    layer = last_linear(network, setting.task.spec.classes)
    name = next(name for name, module in network.named_modules() if module is layer)
    changed = [key for key, tensor in weights(network).items() if not torch.equal(tensor, before.state_dict()[key])]
    assert {key.rpartition(".")[0] for key in changed} == {name}
    assert curve == []
    rates, labels = rates_before(network, layer, setting.task)
    targets = nn.functional.one_hot(labels, setting.task.spec.classes).double()
    solved, _ = solve(rates, targets, with_bias=layer.bias is not None)
    voters = len(layer.weight) // setting.task.spec.classes
    gain = float(layer.weight.detach().double().norm() / (solved.norm() * voters**0.5))
    assert min(abs(gain - one) for one in GAINS) < 1e-3
    torch.testing.assert_close(layer.weight.detach()[::voters].double(), gain * solved, atol=1e-5, rtol=1e-3)
    first, last = (evaluate(one, setting.task, setting.task.train).accuracy for one in (before, network))
    assert last > first


def test_a_network_without_a_linear_readout_is_refused():
    with pytest.raises(SpaceError, match="solves a last linear layer of 4 outputs"):
        last_linear(nn.Sequential(Linear(3, 5)), 4)
    with pytest.raises(SpaceError, match="there is none"):
        last_linear(nn.Sequential(nn.ReLU()), 4)


def test_finalists_are_trained_by_the_method_that_is_named_and_a_resume_must_agree(tmp_path, capsys):
    out = tmp_path / "run"
    assert launch.main([*QUICK, "--method", "readout", "--seed", "3", "--out", str(out)]) == 0
    trained = [one for one in read(out / "ledger.jsonl")[0] if one.score.fidelity == "trained"]
    assert [one.score.state for one in trained] in (["ok"], ["infeasible"])
    assert launch.main(["resume", str(out)]) == 0
    capsys.readouterr()
    assert launch.main([*QUICK, "--seed", "3", "--out", str(out)]) == 2
    assert 'method: run has "readout", now "bptt"' in capsys.readouterr().err
    with pytest.raises(OptionError, match=r"unknown value 'bpt'.*did you mean 'bptt'"):
        parse_search(["--method", "bpt"])
    with pytest.raises(OptionError, match="drop --search-sparsity"):
        parse_search(["--method", "readout", "--search-sparsity", "0.9"])
