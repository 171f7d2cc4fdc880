"""Threshold balancing: layers fire at the supernet's rates, and what a candidate decides on itself stays as it is."""

from dataclasses import replace

import pytest
import torch

from evaluators.balance import RATE, balance, gathering, layers, rate_of
from evaluators.building import build_alone
from evaluators.checkpoint import load_weights, own_tensors
from evaluators.evaluation import calibration_batches, recalibrate, renewing_statistics
from evaluators.few_shot import supernet_of
from evaluators.inherited import evaluate_inherited, inherited, score_from_supernet
from evaluators.prefix import PrefixCache
from evaluators.rates import RATES_FROM
from evaluators.supernet import new_supernet, train_supernet
from spaces.dualspace import dualspace
from spaces.neurons.catalog import NEURONS
from spaces.neurons.neuron import Neuron
from spaces.seeds import numpy_generator
from spaces.snasnet import snasnet
from spaces.spikenas_bench import spikenas_bench
from spaces.weights import inherit

WIDEST = 7.3  # less than e^2


@pytest.fixture(scope="module")
def balanced(setting):
    space = spikenas_bench(width=4, timesteps=3, compiled=False)
    recipe = replace(setting.recipe, threshold_balancing=True, head_gain=8.0)
    return replace(setting, space=space, recipe=recipe)


@pytest.fixture(scope="module")
def supernet(balanced):
    return train_supernet(balanced)[0]


def candidates(setting, n):
    rng = numpy_generator(3)
    return [setting.space.sample_sound(rng) for _ in range(n)]


def timeless(score):
    return replace(score, seconds=0.0)


def rates_of(supernet):
    return {name: layer.get_buffer(RATE).item() for name, layer in layers(supernet).items()}


@pytest.mark.parametrize("share", [0.1, 0.5, 1.5])
@pytest.mark.parametrize("kind", sorted(set(NEURONS) - {"glif"}))
def test_a_layer_is_brought_to_a_rate(kind, share):
    layer = Neuron(kind, compiled=False)
    current = torch.randn(4, 8, 3, 6, 6, generator=torch.Generator().manual_seed(0)) + 0.8
    with torch.no_grad():
        given, before = layer.threshold.clone(), rate_of(layer(current))
        asked = share * before
        balance(layer, current, asked)
        found = layer.threshold / given
        assert 0 < before < 1
        assert torch.allclose(found, found[:1].expand_as(found))
        factor = found.flatten()[0].item()
        assert (factor > 1) == (share < 1)
        if 1 / WIDEST < factor < WIDEST:
            assert rate_of(layer(current)) == pytest.approx(asked, rel=0.1)
        else:
            assert (rate_of(layer(current)) > asked) == (factor > 1)  # out of reach


def test_what_is_silent_at_any_threshold_keeps_its_own():
    layer = Neuron("lif", threshold=0.7, compiled=False)
    balance(layer, torch.zeros(2, 3, 4), 0.2)
    assert layer.threshold.tolist() == pytest.approx([0.7])


def test_mean_rates_are_those_of_random_candidates(balanced, supernet):
    images = next(calibration_batches(balanced.task, samples=128, seed=balanced.seed))
    found = {}
    rng = numpy_generator(balanced.seed, "rates")
    for _ in range(RATES_FROM):
        candidate = balanced.space.sample_sound(rng)
        network = build_alone(balanced, candidate)
        network.train()
        inherit(network, supernet)
        for name, module in network.named_modules():
            if isinstance(module, Neuron):
                module.register_forward_hook(
                    lambda m, i, o, name=name: found.setdefault(name, []).append((o != 0).double().mean().item())
                )
        with torch.no_grad():
            network(images)
    fired = {name: [rate for rate in rates if rate] for name, rates in found.items()}
    expected = {name: sum(rates) / len(rates) if rates else 0.0 for name, rates in fired.items()}
    assert rates_of(supernet) == pytest.approx(expected, rel=1e-6)
    assert 0 < expected["down.1"] < 1


def test_a_candidates_layers_fire_at_the_mean_rates(balanced, supernet):
    mean = rates_of(supernet)
    changed = 0
    for candidate in candidates(balanced, 12):
        plain, network = inherited(balanced, supernet, candidate), inherited(balanced, supernet, candidate)
        evaluate_inherited(balanced, supernet, candidate, network)
        rates = {}
        with gathering(network, rates):
            recalibrate(network, balanced.task, samples=128, seed=balanced.seed)
        before = {name: layer.threshold.item() for name, layer in layers(plain).items()}
        for name, layer in layers(network).items():
            if name not in rates:  # silent, as a node is that nothing arrives at
                continue
            factor = layer.threshold.item() / before[name]
            changed += factor != 1
            if 1 / WIDEST < factor < WIDEST:
                assert rates[name][0] == pytest.approx(mean[name], rel=0.3, abs=0.01)
    assert changed > 50


def test_a_cache_changes_nothing(balanced, supernet):
    cache = PrefixCache(64)
    for candidate in candidates(balanced, 12):
        alone = score_from_supernet(balanced, supernet, candidate)
        for _ in range(2):
            assert timeless(score_from_supernet(balanced, supernet, candidate, cache=cache)) == timeless(alone)


@pytest.mark.parametrize("few_shot", [None, "op_e03"])
def test_rates_are_kept_with_the_weights(balanced, few_shot):
    one = replace(balanced, recipe=replace(balanced.recipe, few_shot=few_shot, few_shot_epochs=1))
    supernet, again = train_supernet(one)[0], new_supernet(one)
    load_weights(again, own_tensors(supernet))
    for candidate in candidates(one, 6):
        assert timeless(score_from_supernet(one, again, candidate)) == timeless(
            score_from_supernet(one, supernet, candidate)
        )
        assert any(rates_of(supernet_of(again, candidate)).values())


def test_without_the_option_nothing_is_measured_or_balanced(balanced, supernet):
    plain = replace(balanced, recipe=replace(balanced.recipe, threshold_balancing=False))
    trained = train_supernet(plain)[0]
    weights, others = own_tensors(supernet), own_tensors(trained)
    assert all(torch.equal(weights[name], others[name]) for name in others)
    assert {name.rpartition(".")[2] for name in weights.keys() - others.keys()} == {RATE}
    candidate = candidates(plain, 1)[0]
    network = inherited(plain, trained, candidate)
    given = {name: layer.threshold.item() for name, layer in layers(network).items()}
    evaluate_inherited(plain, trained, candidate, network)
    assert {name: layer.threshold.item() for name, layer in layers(network).items()} == given


def test_thresholds_that_a_candidate_decides_on_are_its_own(setting):
    space = dualspace(width=4, timesteps=2, compiled=False)
    one = replace(setting, space=space, recipe=replace(setting.recipe, threshold_balancing=True, head_gain=20.0))
    supernet = train_supernet(one)[0]
    free = [name for name, layer in layers(supernet).items() if "threshold" in layer.free]
    assert free
    assert not any(rates_of(supernet)[name] for name in free)
    for candidate in candidates(one, 6):
        network = inherited(one, supernet, candidate)
        given = {name: layer.threshold.clone() for name, layer in layers(network).items()}
        evaluate_inherited(one, supernet, candidate, network)
        assert all(torch.equal(given[name], layers(network)[name].threshold) for name in free if name in given)


def test_feedback_in_time_is_run_as_before(setting):
    space = snasnet(width=4, timesteps=2, compiled=False)
    recipe = replace(setting.recipe, threshold_balancing=True, head_gain=20.0)
    one = replace(setting, space=space, recipe=recipe)
    supernet = train_supernet(one)[0]
    for candidate in candidates(one, 6):
        assert score_from_supernet(one, supernet, candidate).state in ("ok", "infeasible")


def test_statistics_are_renewed_behind_the_balanced_neurons(balanced, supernet):
    """A norm's statistics are those of the current that the balanced neurons in front of it send."""
    candidate = candidates(balanced, 1)[0]
    network = inherited(balanced, supernet, candidate)
    evaluate_inherited(balanced, supernet, candidate, network)
    held = {name: tensor.clone() for name, tensor in network.state_dict().items() if "running_mean" in name}
    images = next(calibration_batches(balanced.task, samples=128, seed=balanced.seed))
    with torch.no_grad(), renewing_statistics(network):
        network(images)
    found = network.state_dict()
    assert all(torch.allclose(held[name], found[name], atol=1e-5) for name in held)
