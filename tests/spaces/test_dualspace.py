"""Dual search space: skips are concatenations, structure and dynamics both reach the network."""

import numpy as np
import pytest
import torch
from optuna.distributions import FloatDistribution
from torch.nn import functional as F

from evaluators.counting import counting
from spaces.blanks import fill
from spaces.candidate import Candidate
from spaces.dualspace import DYNAMICS, LAYERS, SKIPS, dualspace
from spaces.errors import SpaceError
from spaces.layers import Conv, Norm
from spaces.spec import TaskSpec
from spaces.weights import count_parameters, initialise

SPEC = TaskSpec(channels=3, height=16, width=17, classes=4)
SPACE = dualspace(width=4, timesteps=4, compiled=False)
WIDTHS = {1: 4, 2: 6, 3: 2, 4: 8, 5: 4}
CLASSES = {1: "lif", 2: "plif", 3: "if", 4: "lif", 5: "plif"}
POOLS_BEFORE = {1: 0, 2: 0, 3: 1, 4: 1, 5: 2}
IMAGES = torch.rand(3, 3, 16, 17, generator=torch.Generator().manual_seed(0)).double()


def values(*, on=(), **changes):
    found = {name: "concat" if name in on else "none" for name in SKIPS}
    for j in LAYERS:
        found[f"layer{j}_width"] = WIDTHS[j]
        found[f"layer{j}_neuron"] = CLASSES[j]
        found |= {f"layer{j}_threshold": 0.6 + j / 10, f"layer{j}_tau": 1.2 + j / 2, f"layer{j}_surrogate": 2.0}
    return Candidate(found | changes)


def ready(candidate=None):
    """A network in inference, with weights and statistics with which all layers fire."""
    network = SPACE.network(SPEC, candidate)
    generator = torch.Generator().manual_seed(2)
    initialise(network, generator, norm_scale=2.0, head_gain=60.0)
    for module in network.modules():
        if isinstance(module, Norm):
            module.running_mean.uniform_(-0.3, 0.3, generator=generator)
            module.running_var.uniform_(0.2, 1.0, generator=generator)
            torch.nn.init.uniform_(module.bias, 0.0, 1.2, generator=generator)
    return network.double().eval()


def spikes(currents, threshold, decay):
    """Membranes of IF (decay None) and LIF neurons with hard reset, step by step."""
    v, fired = 0.0, []
    for current in currents:
        v = v + current if decay is None else v + (current - v) * decay
        fired.append((v >= threshold).to(current.dtype))
        v = v * (1 - fired[-1])
    return torch.stack(fired)


def reading(network, candidate):
    """The network in plain torch: sources max-pooled to one size, concatenated, and convolved by one kernel."""
    s = network.state_dict()
    made = {0: IMAGES.repeat(4, 1, 1, 1, 1)}
    for j in LAYERS:
        sources = [j - 1] + [i for name, (i, end) in SKIPS.items() if end == j and candidate[name] == "concat"]
        kernels, maps = [], []
        for i in sources:
            stem = f"layers.layer{j}"
            pools = POOLS_BEFORE[j] - POOLS_BEFORE.get(i, 0)
            place = f"{stem}.conv" if i == j - 1 else f"{stem}.skips.skip{i}{j}.options.concat.{pools}"
            kernels.append(s[f"{place}.weight"])
            x = made[i].flatten(0, 1)
            for _ in range(pools):
                x = F.max_pool2d(x, 2)
            maps.append(x)
        current = F.conv2d(torch.cat(maps, 1), torch.cat(kernels, 1), padding=1)
        norm = f"{stem}.norm.0"
        statistics = [s[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        current = F.batch_norm(current, *statistics).unflatten(0, (4, -1))
        decay = None if candidate[f"layer{j}_neuron"] == "if" else 1 / candidate[f"layer{j}_tau"]
        made[j] = spikes(current, candidate[f"layer{j}_threshold"], decay)
    features = made[5].flatten(2)
    return spikes(features @ s["head.1.weight"].T, 1.0, 0.5).unflatten(-1, (4, 10)).mean(-1), made


@pytest.mark.parametrize("on", [(), ("skip13",), ("skip25", "skip35"), tuple(SKIPS)])
@torch.no_grad()
def test_skips_concatenate_spikes_to_the_input_of_their_target(on):
    candidate = values(on=on)
    network = ready(candidate)
    expected, made = reading(network, candidate)
    torch.testing.assert_close(network(IMAGES), expected)
    assert 0 < expected.mean() < 1
    assert all(0 < made[j].mean() < 1 for j in LAYERS)


@pytest.mark.parametrize("name", SKIPS)
def test_a_skip_costs_a_kernel_from_its_source_to_its_target(name):
    source, target = SKIPS[name]
    extra = count_parameters(SPACE.network(SPEC, values(on=(name,)))) - count_parameters(SPACE.network(SPEC, values()))
    assert extra == 9 * WIDTHS[source] * WIDTHS[target]


def test_spikes_stay_spikes_over_a_pooling():
    network = ready(values(on=tuple(SKIPS)))
    with counting(network) as counter, torch.no_grad():
        network(IMAGES)
    layers = counter.counts().layers
    assert [layer.name for layer in layers if layer.macs] == ["layers.layer1.conv"]
    assert sum(layer.sops > 0 for layer in layers if layer.op == "conv 3x3") == 4 + len(SKIPS)
    assert counter.counts().total("additions") == 0


def fired(network, candidate):
    """The spikes of every layer."""
    fill(network, candidate)
    found = {}
    handles = [
        network.layers[f"layer{j}"].register_forward_hook(lambda m, i, out, j=j: found.update({j: out.detach()}))
        for j in LAYERS
    ]
    network(IMAGES)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("name", ["threshold", "tau"])
def test_thresholds_and_decays_change_a_layers_spikes_and_none_before_it(name):
    supernet = ready()
    base = values()
    before, after = (fired(supernet, Candidate({**base, f"layer2_{name}": value})) for value in (1.1, 1.9))
    assert torch.equal(before[1], after[1])
    assert before[2].sum() > after[2].sum() > 0


def test_tau_means_nothing_to_neurons_that_do_not_leak():
    network = ready(values())
    assert torch.equal(*(fired(network, values(layer3_tau=tau))[3] for tau in (1.5, 8.0)))


def test_surrogates_change_gradients_and_no_spikes():
    network = ready(values())
    outcomes = []
    for width in (0.5, 4.0):
        network.zero_grad()
        fill(network, values(layer1_surrogate=width))
        out = network(IMAGES)
        out.square().sum().backward()
        outcomes.append((out.detach(), network.layers.layer1.conv.weight.grad.clone()))
    (first, gradient), (second, other) = outcomes
    assert torch.equal(first, second)
    assert not torch.allclose(gradient, other)


def test_both_halves_are_there():
    continuous = {name for name, one in SPACE.blanks.items() if isinstance(one, FloatDistribution)}
    assert continuous == {f"layer{j}_{name}" for j in LAYERS for name in DYNAMICS}
    assert len(SPACE.blanks) - len(continuous) == len(SKIPS) + 2 * len(LAYERS) == 16
    assert [SPACE.options(f"layer{j}_width") for j in LAYERS] == [[2, 4, 6, 8]] * 5


@pytest.mark.parametrize(
    ("options", "words"), [({"width": 0}, "width 0"), ({"timesteps": 0}, "timesteps 0"), ({"neuron": "fi"}, "'fi'")]
)
def test_bad_options(options, words):
    with pytest.raises(SpaceError) as error:
        dualspace(**options)
    assert words in str(error.value)


def test_images_too_small_for_the_poolings():
    with pytest.raises(SpaceError, match=r"3x32 pixels are too small.*at least 4x4"):
        dualspace().network(TaskSpec(channels=1, height=3, width=32, classes=2))


def test_features_are_what_is_built():
    """Weights of convolutions behind the first layer in units of C ** 2, and on how much of the image they work."""
    space = dualspace(width=4)
    rng = np.random.default_rng(0)
    for candidate in (space.sample(rng) for _ in range(10)):
        network, found = space.network(SPEC, candidate), space.features(candidate)
        weights = {
            name: sum(conv.weight.numel() for conv in layer.modules() if isinstance(conv, Conv)) / 4**2
            for name, layer in network.layers.items()
            if name.startswith("layer") and name != "layer1"
        }
        assert found["weights"] == sum(weights.values())
        shares = {"layer2": 1, "layer3": 1 / 4, "layer4": 1 / 4, "layer5": 1 / 16}
        assert found["operations"] == sum(weights[name] * share for name, share in shares.items())
        assert found["skips"] == sum(value == "concat" for value in candidate.values())


def test_time_constants_of_neurons_that_do_not_leak_are_one_candidate():
    space = dualspace(width=4)
    rng = np.random.default_rng(1)
    for candidate in (space.sample(rng) for _ in range(20)):
        for j in range(1, 6):
            other = Candidate({**candidate, f"layer{j}_tau": 3.0})
            same = space.canonical(other) == space.canonical(Candidate({**candidate, f"layer{j}_tau": 5.0}))
            assert same == (candidate[f"layer{j}_neuron"] == "if")
