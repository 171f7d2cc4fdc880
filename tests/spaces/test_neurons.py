"""Conformance of every neuron: spikes and gradients of an independent oracle, compiled or not, and its laws.

Oracles are spikingjelly's neurons where it has them, else the equations written out below.
"""

import itertools
import threading
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikingjelly.activation_based import neuron as reference
from spikingjelly.activation_based import surrogate as reference_surrogate
from torch.nn import functional as F

from evaluators.counting import check_kind, counting
from spaces.autosnn import autosnn
from spaces.blanks import Free, blanks_in, fill
from spaces.candidate import Candidate
from spaces.errors import SpaceError
from spaces.kinds import BINARY, TERNARY, Kind
from spaces.layers import Linear, Norm
from spaces.network import Network
from spaces.neurons import one_pass
from spaces.neurons import scan as scan_module
from spaces.neurons.neuron import NEURONS, RESETS, Neuron, stepwise
from spaces.neurons.steps import STEPS
from spaces.neurons.surrogate import SURROGATES, fire
from spaces.spec import TaskSpec
from spaces.timing import Repeat
from spaces.weights import inherit, initialise

REFERENCE_SURROGATES = {
    "atan": lambda width: reference_surrogate.ATan(alpha=width),
    "sigmoid": lambda width: reference_surrogate.Sigmoid(alpha=width),
    "triangle": lambda width: reference_surrogate.PiecewiseQuadratic(alpha=width),
    "rectangle": lambda width: reference_surrogate.Rect(alpha=width),
    "exponential": lambda width: reference_surrogate.PiecewiseExp(alpha=width),
}

GIVEN = {  # away from the defaults, and so that all fire
    "threshold": 0.75,
    "tau": 2.5,
    "beta": 0.6,
    "tau_a": 3.0,
    "m": 0.3,
    "alpha": 0.4,
    "gamma": 0.7,
    "leak": 0.1,
    "subtract": 0.6,
    "conduct": 0.8,
    "k": 1.2,
    "gap": 0.5,
    "coupling": 0.1,
    "weight": 0.05,
    "bias": -0.2,
    "mix": 0.9,
}
SIZES = {"timesteps": 6, "levels": 2, "spikes": 2, "buckets": 3}
BINARIES = {"mlf": Kind(1.0, 0, 2), "burst": Kind(1.0, 0, 2), "ternary": TERNARY}


def values(kind):
    """The parameters of a kind, and its whole number."""
    model = NEURONS[kind]
    size = {model.size[0]: SIZES[model.size[0]]} if model.size else {}
    return {name: GIVEN[name] for name in model.parameters} | size


def perturbed(neuron, seed=5):
    """A neuron that has learnt something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in neuron.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return neuron


def made(kind, **options):
    return perturbed(Neuron(kind, **values(kind) | options))


def current(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 1.5


def run(neuron, x, gradient):
    neuron.zero_grad()
    x = x.clone().requires_grad_()
    spikes = neuron(x)
    spikes.backward(gradient)
    return spikes.detach(), x.grad


def assert_close(found, expected, message="", terms=0.0):
    """Within 1e-5 of the largest value, or of the size of the terms of a sum that may cancel out."""
    assert (found - expected).abs().max() <= 1e-5 * max(expected.abs().max().item(), terms), message


class Reference(torch.nn.Module):
    """The equations of a neuron a step at a time; learnt parameters by name, the sign of their gradient beside them."""

    def __init__(self, neuron, width):
        super().__init__()
        self.rule, self.kind, self.p = neuron.rule, neuron.kind, values(neuron.kind)
        self.fire = REFERENCE_SURROGATES[neuron.rule.surrogate](width)
        self.learnt = {}
        for name in ("coupling", "mix"):
            if name in self.p:
                start = self.p[name] + getattr(neuron, f"w_{name}").detach()
                self.learnt[f"w_{name}"] = (torch.nn.Parameter(start), 1)

    def charged(self, v, x):
        return v + (x - v) / self.p["tau"] if self.rule.decay_input else v * (1 - 1 / self.p["tau"]) + x

    def after(self, v, spike, threshold, fired=None):
        spike = spike if fired is None or self.rule.reset != "hard" else fired
        spike = spike.detach() if self.rule.detach_reset else spike
        return {"hard": v * (1 - spike), "soft": v - threshold * spike, "none": v}[self.rule.reset]

    def forward(self, x):
        return torch.stack(list(getattr(self, self.kind)(x)))

    def alif(self, x):
        v, a, keep, theta = 0, 0, 1 - 1 / self.p["tau_a"], self.p["threshold"]
        for now in x:
            v = self.charged(v, now)
            spike = self.fire(v - (theta + self.p["beta"] * a))
            v, a = self.after(v, spike, theta + self.p["beta"] * a), keep * a + (1 - keep) * spike
            yield spike

    def asn(self, x):
        signal, estimate, a = 0, 0, 0
        for now in x:
            signal = self.charged(signal, now)
            estimate, a = estimate * (1 - 1 / self.p["tau"]), a * (1 - 1 / self.p["tau_a"])
            height = self.p["threshold"] + a
            spike = self.fire(signal - estimate - height / 2)
            estimate = estimate + height * (spike.detach() if self.rule.detach_reset else spike)
            a = a + self.p["m"] * height * spike
            yield spike

    def mlf(self, x):
        membranes = [torch.zeros_like(x[0]) for _ in range(self.p["levels"])]
        for now in x:
            total = 0
            for level in range(self.p["levels"]):
                theta = self.p["threshold"] + level * self.p["gap"]
                v = self.charged(membranes[level], now)
                spike = self.fire(v - theta)
                membranes[level] = self.after(v, spike, theta)
                total = total + spike
            yield total

    def eclif(self, x):
        left, right = self.learnt["w_coupling"][0]
        kernel = torch.stack([left, torch.zeros(()), right]).view(1, 1, 3)
        return self._coupled(x, lambda v: F.conv1d(v.movedim(1, -1).reshape(-1, 1, v.shape[1]), kernel, padding=1))

    def eclif2d(self, x):
        g = self.learnt["w_coupling"][0]
        kernel = torch.cat([g[:4], torch.zeros(1), g[4:]]).view(1, 1, 3, 3)
        return self._coupled(x, lambda v: F.conv2d(v.reshape(-1, 1, *v.shape[2:]), kernel, padding=1))

    def _coupled(self, x, near):
        v = torch.zeros_like(x[0])
        for now in x:
            shape = v.movedim(1, -1).shape if self.kind == "eclif" else v.shape
            other = near(v).view(shape)
            v = self.charged(v, now + (other.movedim(-1, 1) if self.kind == "eclif" else other))
            spike = self.fire(v - self.p["threshold"])
            v = self.after(v, spike, self.p["threshold"])
            yield spike

    def burst(self, x):
        v, theta = torch.zeros_like(x[0]), self.p["threshold"]
        for now in x:
            v = v + now
            spikes = [self.fire(v - count * theta) for count in range(1, self.p["spikes"] + 1)]
            assert torch.equal(sum(spikes), (v / theta).floor().clamp(0, self.p["spikes"]))
            v = self.after(v, sum(spikes), theta, spikes[0])
            yield sum(spikes)

    def gamma(self, x):
        """Buckets by their impulse response: the k-th step of a Pascal distribution."""
        d, theta, mix = 1 / self.p["tau"], self.p["threshold"], self.learnt["w_mix"][0]
        estimate = 0
        for t in range(len(x)):
            y = 0
            for k in range(1, self.p["buckets"] + 1):
                for n in range(k - 1, t + 1):
                    y = y + mix[k - 1] * d**k * comb(n, k - 1) * (1 - d) ** (n - k + 1) * x[t - n]
            y = torch.relu(y)
            estimate = estimate * (1 - d)
            spike = (y - estimate >= theta).float()
            estimate = (estimate + theta * spike).detach()
            yield spike + d / theta * (y - y.detach())


def oracle(neuron, width):
    """A module of the same spikes, and its learnt parameters: name of ours -> theirs, sign of its gradient."""
    kind, rule, p = neuron.kind, neuron.rule, values(neuron.kind)
    if kind not in ("if", "lif", "plif", "klif", "glif", "ternary", "psn"):
        theirs = Reference(neuron, width)
        return theirs, theirs.learnt
    learnt = {name: parameter.detach() for name, parameter in neuron.named_parameters()}
    surrogate = REFERENCE_SURROGATES[rule.surrogate](width)
    if kind == "psn":
        theirs = reference.PSN(p["timesteps"], surrogate)
        lag = np.subtract.outer(np.arange(p["timesteps"]), np.arange(p["timesteps"]))
        response = np.where(lag >= 0, 1 / p["tau"] * (1 - 1 / p["tau"]) ** np.maximum(lag, 0), 0)
        theirs.weight.data = torch.tensor(response, dtype=torch.float32) + p["weight"] + learnt["w_weight"]
        theirs.bias.data = -(p["threshold"] + p["bias"] + learnt["w_bias"])[:, None]
        return theirs, {"w_weight": (theirs.weight, 1), "w_bias": (theirs.bias, -1)}
    if kind == "glif":
        theirs = reference.GatedLIFNode(p["timesteps"], surrogate_function=surrogate)
        names = {"threshold": "v_threshold", "leak": "linear_decay", "subtract": "v_subreset"}
        found = {"w": (theirs.tau, -1)}  # of theirs, what is kept a step; of ours, what is lost
        theirs.tau.data = -(learnt["w"] - torch.tensor(p["tau"] - 1).log())
        for name in ("threshold", "alpha", "beta", "gamma", "leak", "subtract", "conduct"):
            parameter = getattr(theirs, names.get(name, name))
            parameter.data = learnt[f"w_{name}"] + torch.tensor(p[name]).logit()
            found[f"w_{name}"] = (parameter, 1)
        return theirs, found
    options = {
        "v_threshold": p["threshold"],
        "v_reset": 0.0 if rule.reset == "hard" else None,
        "detach_reset": rule.detach_reset,
        "surrogate_function": surrogate,
        "step_mode": "m",
    }
    if kind == "if":
        return reference.IFNode(**options), {}
    options |= {"decay_input": rule.decay_input}
    if kind == "plif":
        theirs = reference.ParametricLIFNode(init_tau=p["tau"], **options)
        theirs.w.data += learnt["w"]
        return theirs, {"w": (theirs.w, 1)}
    node = {"lif": reference.LIFNode, "klif": reference.KLIFNode, "ternary": reference.TernaryLIFNode}[kind]
    theirs = node(tau=p["tau"], **options)
    if kind == "klif":
        theirs.k.data = p["k"] + learnt["w_k"]
        return theirs, {"w_k": (theirs.k, 1)}
    return theirs, {}


CASES = [(kind, reset) for kind, model in NEURONS.items() for reset in model.resets]


@pytest.mark.parametrize(("kind", "reset"), CASES)
def test_spikes_and_gradients_are_the_oracle_s(kind, reset):
    if reset == "none" and kind in ("if", "lif", "plif", "klif", "ternary"):
        pytest.skip("the oracle has no such reset; test_threshold_and_decay_by_channel has its own")
    for decay_input, detach, surrogate in itertools.product([True, False], [True, False], SURROGATES):
        if kind == "glif" and detach:
            continue  # the oracle never detaches
        for width in (SURROGATES[surrogate].width, 1.5):
            options = {"reset": reset, "decay_input": decay_input, "detach_reset": detach, "surrogate": surrogate}
            ours = made(kind, width=width, compiled=False, **options)
            theirs, learnt = oracle(ours, width)
            assert set(learnt) == {name for name, _ in ours.named_parameters()}
            x, gradient = current(6, 3, 5, 4, 4), torch.randn(6, 3, 5, 4, 4, generator=torch.Generator().manual_seed(2))
            spikes, gradients = run(ours, x, gradient)
            expected, expected_gradients = run(theirs, x, gradient)
            assert 0.02 < (expected != 0).float().mean() < 0.8, options
            assert torch.equal(spikes, expected), options
            assert_close(gradients, expected_gradients, options)
            for name, (parameter, sign) in learnt.items():
                found = getattr(ours, name).grad
                assert found.any(), (name, options)
                assert_close(found, sign * parameter.grad.view(found.shape), (name, options), terms=1.0)


FUSIBLE = [kind for kind, model in NEURONS.items() if STEPS[model.step].fusible]


@pytest.mark.slow
@pytest.mark.parametrize("kind", NEURONS)
def test_compiled_equals_eager_at_every_time_and_batch_without_recompiling(kind, monkeypatch):
    """All by PyTorch's compiler, those that C has kernels for, too.

    Shapes are all a kernel's worth of values; blanks told at run time are as good as fixed numbers.
    """
    monkeypatch.setattr(one_pass, "STEPS", ())
    free = {name: Free(name, GIVEN[name]) for name in NEURONS[kind].parameters}
    size = {name: value for name, value in values(kind).items() if name in SIZES}
    compiled = perturbed(Neuron(kind, **free, **size))
    assert blanks_in(compiled) == tuple(free)
    graphs = 0
    for steps, others in ((1, (8, 16, 8, 9)), (2, (8, 16, 8, 9)), (2, (5, 32, 7, 7)), (2, (128, 100))):
        for scale in (1.0, 1.1):
            told = {name: GIVEN[name] * scale if GIVEN[name] < 0.9 or GIVEN[name] > 1 else GIVEN[name] for name in free}
            x = current(steps, *others) * 1.5
            if x.dim() == 5:
                x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, x.shape[:2])
            gradient = torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
            fill(compiled, told)
            eager = perturbed(Neuron(kind, **told, **size, compiled=False))
            spikes, gradients = run(compiled, x, gradient)
            expected, expected_gradients = run(eager, x, gradient)
            assert not scan_module._broken
            assert torch.equal(spikes, expected)
            assert_close(gradients, expected_gradients)
            for name, parameter in compiled.named_parameters():
                assert_close(parameter.grad, getattr(eager, name).grad, name, terms=gradient.norm().item())
            with torch.no_grad():
                assert torch.equal(compiled(x), expected)
            now = torch._dynamo.utils.counters["stats"]["unique_graphs"]
            if others != (8, 16, 8, 9) or scale > 1:  # one pair of kernels for each T
                assert now == graphs
            graphs = now
    assert graphs > 0 or kind not in FUSIBLE


@pytest.mark.parametrize("kind", NEURONS)
def test_step_by_step_is_the_scan(kind):
    for shape in ((4, 2, 3, 5, 5), (4, 2, 7)):
        neuron, x = made(kind, compiled=False), current(*shape) * 2
        if kind == "psn":
            with stepwise(neuron), pytest.raises(SpaceError, match="cannot run step by step: take another neuron"):
                neuron(x[:1])
            continue
        expected = neuron(x)
        assert expected.any()
        with stepwise(neuron):
            assert torch.equal(torch.cat([neuron(now[None]) for now in x]), expected)
        assert torch.equal(neuron(x), expected)


@pytest.mark.parametrize("kind", NEURONS)
def test_what_is_emitted_is_of_the_declared_kind(kind):
    neuron = made(kind, compiled=False)
    declared = neuron.emits()
    assert declared == BINARIES.get(kind, BINARY)
    spikes = neuron(current(6, 8, 5, 4, 4) * 3).detach()
    check_kind(kind, spikes, declared)
    assert spikes.min() == declared.low
    assert spikes.max() == declared.high
    with pytest.raises(SpaceError, match="declares"):
        check_kind(kind, spikes * 0.5, declared)


@pytest.mark.parametrize("kind", NEURONS)
def test_counted_are_spikes_and_one_operation_an_event_and_synapse(kind):
    class Encoded(torch.nn.Module):
        def forward(self, x):
            return x.flatten(2)

    neuron, linear = made(kind, compiled=False), Linear(12, 5)
    torch.nn.init.ones_(linear.weight)
    network = Network({"time": Repeat(4), "flat": Encoded(), "neuron": neuron, "linear": linear})
    images = current(2, 3, 2, 2) * 2
    spikes = neuron(images.flatten(1).expand(4, 2, 12)).detach()
    with counting(network) as counter:
        network(images)
    layers = {layer.name: layer for layer in counter.counts().layers}
    assert layers["neuron"].op == kind.upper()
    assert layers["neuron"].spikes == torch.count_nonzero(spikes) > 0
    assert layers["linear"].sops == 5 * spikes.abs().sum()
    assert layers["linear"].macs == 0


@pytest.mark.parametrize("kind", NEURONS)
def test_one_value_a_channel_and_maps_with_fewer_channels(kind):
    names = list(NEURONS[kind].parameters)
    size = {name: value for name, value in values(kind).items() if name in SIZES}
    by_channel = {name: GIVEN[name] * torch.tensor([1.0, 1.1, 0.9]) for name in names}
    neuron = Neuron(kind, **by_channel, **size, compiled=False)
    x = current(4, 2, 3, 4, 4) * 2
    spikes = neuron(x)
    assert spikes.any()
    if kind == "eclif":  # its channels are coupled
        assert spikes.shape == x.shape
    else:
        for channel in range(3):
            alone = Neuron(kind, **{n: by_channel[n][channel].item() for n in names}, **size, compiled=False)
            torch.testing.assert_close(spikes[:, :, channel], alone(x[:, :, channel : channel + 1])[:, :, 0])
        torch.testing.assert_close(neuron(x[:, :, :2]), spikes[:, :, :2])
    assert all(parameter.shape[-1] == 3 for parameter in neuron.parameters())
    for part in neuron.parameters():
        assert torch.autograd.grad(spikes.square().sum(), part, retain_graph=True)[0].any()


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from(sorted(NEURONS)),
    x=st.lists(st.lists(st.floats(-3, 3, width=32), min_size=4, max_size=4), min_size=1, max_size=6),
)
def test_laws_of_reset(kind, x):
    x = torch.tensor(x).reshape(-1, 1, 4)
    assert not Neuron(kind, compiled=False)(torch.zeros_like(x)).any()
    if kind in ("glif", "psn", "gamma", "mlf"):
        return  # no membrane of their own that is reset within the step
    states, spikes = {}, {}
    for reset in NEURONS[kind].resets:
        neuron = Neuron(kind, reset=reset, compiled=False, threshold=0.5)
        with stepwise(neuron):
            spikes[reset] = neuron(x[:1])[0]
            states[reset] = neuron.state[0].detach()
            if reset == "hard":
                for now in x[1:]:
                    fired = neuron(now[None])[0]
                    assert (neuron.state[0].view(fired.shape)[fired != 0] == 0).all()
    if "none" in states:
        assert torch.equal(spikes["none"], spikes["soft"])
        fallen = spikes["soft"].detach().view(states["soft"].shape) * 0.5
        assert torch.equal(states["none"] - fallen, states["soft"])


@pytest.mark.parametrize("kind", NEURONS)
def test_inherited_from_a_supernet_it_is_the_same_to_the_bit(kind):
    space = autosnn(width=4, timesteps=3, neuron=kind, compiled=False)
    spec = TaskSpec(channels=3, height=8, width=8, classes=2)
    supernet = space.network(spec)
    initialise(supernet, torch.Generator().manual_seed(1), norm_scale=3.0, head_gain=30.0)
    for norm in (module for module in supernet.modules() if isinstance(module, Norm)):
        norm.momentum = 1.0
    for number, neuron in enumerate(module for module in supernet.modules() if isinstance(module, Neuron)):
        perturbed(neuron, number)
    candidate = Candidate(space.published["AutoSNN"])
    alone = space.network(spec, candidate)
    inherit(alone, supernet)
    images = current(4, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        supernet.train()(images, candidate)
        inherit(alone, supernet)
        expected = supernet.eval()(images, candidate)
        assert expected.any()
        assert torch.equal(alone.eval()(images), expected)


def test_asn_is_decoded_from_its_spikes_alone():
    p = values("asn")
    neuron, x = Neuron("asn", **p, compiled=False), current(30, 2, 5).abs()
    signal, estimate, a = np.zeros((2, 5)), np.zeros((2, 5)), np.zeros((2, 5))
    with stepwise(neuron):
        for now in x:
            spike = neuron(now[None])[0].detach().numpy()
            signal += (now.numpy() - signal) / p["tau"]
            a *= 1 - 1 / p["tau_a"]
            estimate = estimate * (1 - 1 / p["tau"]) + spike * (p["threshold"] + a)
            a += p["m"] * (p["threshold"] + a) * spike
            np.testing.assert_allclose(estimate + neuron.state[0].detach().numpy(), signal, rtol=1e-4, atol=1e-5)
    assert np.abs(estimate - signal).mean() < 0.4 * p["threshold"]


def test_psn_starts_as_a_lif_without_reset_and_is_cropped_to_fewer_steps():
    x = current(8, 2, 3, 4, 4)
    psn = Neuron("psn", threshold=0.3, tau=3.0, compiled=False)
    assert torch.equal(psn(x), Neuron("lif", threshold=0.3, tau=3.0, reset="none", compiled=False)(x))
    perturbed(psn)
    with torch.no_grad():
        psn.w_weight.tril_()  # causal: what comes later changes nothing
    assert torch.equal(psn(x[:3]), psn(x)[:3])
    assert psn(x[:1]).shape == x[:1].shape
    with pytest.raises(SpaceError, match="made for 16 time steps gets 17: give timesteps=17"):
        psn(current(17, 1, 2))


def test_neutral_parameters_give_plainer_neurons():
    x = current(5, 2, 3, 4, 4)
    lif = Neuron("lif", compiled=False)(x)
    for kind, options in {
        "alif": {"beta": 0.0},
        "klif": {"k": 1.0},
        "eclif": {"coupling": 0.0},
        "eclif2d": {"coupling": 0.0},
        "mlf": {"threshold": 1.0, "tau": 2.0, "levels": 1, "decay_input": True},
    }.items():
        found = Neuron(kind, compiled=False, **options)(x.abs() if kind == "klif" else x)
        assert torch.equal(found, Neuron("lif", compiled=False)(x.abs()) if kind == "klif" else lif), kind
    signed = Neuron("ternary", compiled=False)
    assert torch.equal(signed(-x), -signed(x))
    once = Neuron("burst", spikes=1, compiled=False)(x)
    assert torch.equal(once, Neuron("if", reset="soft", compiled=False)(x))


def test_a_map_of_one_pixel_has_no_neighbours():
    x = current(4, 3, 6)
    assert torch.equal(made("eclif2d", compiled=False)(x), Neuron("lif", tau=2.5, threshold=0.75, compiled=False)(x))


@pytest.mark.parametrize(("found", "way"), [(None, r"install a C\+\+ compiler"), ("/usr/bin/g++", "mend that")])
def test_a_machine_that_cannot_compile_runs_eagerly_and_says_so_once(found, way, monkeypatch, recwarn):
    def broken(rule):
        raise torch._dynamo.exc.TorchDynamoException("No working C++ compiler found")

    monkeypatch.setattr(scan_module, "_forward_kernel", broken)
    monkeypatch.setattr(scan_module, "_broken", [])
    monkeypatch.setattr(scan_module.shutil, "which", lambda name: found)
    monkeypatch.delenv("CXX", raising=False)
    x = torch.randn(4, 8, 16, 8, 8)
    with pytest.warns(RuntimeWarning, match=way):
        spikes = Neuron("lif")(x)
    assert torch.equal(spikes, Neuron("lif", compiled=False)(x))
    recwarn.clear()
    Neuron("lif")(x)
    assert not recwarn.list


def test_every_thread_may_compile_for_as_many_rules_and_times():
    """The compiler's limits are a thread's own, eight at first; parts of a batch and GPUs bring threads of theirs."""
    layer, x = Neuron("lif"), torch.randn(2, 4, 32, 16, 16, requires_grad=True)
    found = []

    def run():
        found.append(torch._dynamo.config.recompile_limit)
        layer(x).sum().backward()
        found.append(torch._dynamo.config.recompile_limit)

    for thread in (threading.Thread(target=run), threading.Thread(target=run)):
        thread.start()
        thread.join()
    assert found == [found[0], scan_module.MOST_KERNELS] * 2
    assert found[0] < scan_module.MOST_KERNELS


def numpy_scan(x, threshold, decay, kind, reset):
    """The update written out a unit and a step at a time, in float32."""
    spikes, v = np.zeros_like(x), np.zeros(x.shape[1:], np.float32)
    for t in range(x.shape[0]):
        for index in np.ndindex(v.shape):
            c = index[1]
            if kind == "if":
                v[index] = v[index] + x[t][index]
            else:
                v[index] = v[index] + (x[t][index] - v[index]) * decay[c]
            spike, v[index] = with_sign_and_slope(kind, v[index], threshold[c], 1.25)
            if spike:
                spikes[t][index] = spike
                v[index] = {"hard": np.float32(0), "soft": v[index] - spike * threshold[c], "none": v[index]}[reset]
    return spikes


def with_sign_and_slope(kind, v, threshold, k):
    """Spike and membrane of one unit after charging."""
    v = max(np.float32(0), v * np.float32(k)) if kind == "klif" else v
    return np.float32(v >= threshold) - np.float32(kind == "ternary" and v <= -threshold), v


@pytest.mark.parametrize("kind", ["if", "lif", "plif", "klif", "ternary"])
@pytest.mark.parametrize("reset", RESETS)
def test_threshold_and_decay_by_channel(kind, reset):
    generator = torch.Generator().manual_seed(3)
    threshold, tau = torch.tensor([0.5, 1.0, 1.5]), torch.tensor([2.0, 4.0, 8.0])
    x = torch.randn(5, 2, 3, 3, 3, generator=generator) * 1.5
    slope = {"k": 1.25} if kind == "klif" else {}
    spikes = Neuron(kind, threshold=threshold, tau=tau, reset=reset, compiled=False, **slope)(x)
    expected = numpy_scan(x.numpy(), threshold.numpy(), (1 / tau).numpy(), kind, reset)
    assert 0 < (expected != 0).mean() < 1
    np.testing.assert_array_equal(spikes.detach().numpy(), expected)


@settings(max_examples=50, deadline=None)
@given(
    x=st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=12),
    kind=st.sampled_from(["if", "lif", "plif"]),
    threshold=st.floats(0.25, 2, width=32),
)
def test_laws_of_firing(x, kind, threshold):
    current = torch.tensor(x).reshape(-1, 1, 1)
    spikes = Neuron(kind, threshold=threshold, compiled=False)(current)
    assert set(spikes.unique().tolist()) <= {0.0, 1.0}
    if max(x) < threshold and kind != "if":  # a leaky membrane is a mean of its inputs
        assert spikes.sum() == 0
    if kind == "if":  # soft reset conserves charge: what came in is in the membrane or was paid out in spikes
        soft = Neuron("if", threshold=threshold, reset="soft", compiled=False)(current).flatten().tolist()
        membrane = 0.0
        for value, spike in zip(x, soft, strict=True):
            membrane += value - spike * threshold
        assert membrane == pytest.approx(sum(x) - sum(soft) * threshold, abs=1e-4)


def test_fires_at_threshold_and_not_below():
    below = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0)).item()
    assert Neuron("if")(torch.tensor([1.0]).reshape(1, 1, 1)).item() == 1
    assert Neuron("if")(torch.tensor([below]).reshape(1, 1, 1)).item() == 0


def test_spikes_of_a_membrane_that_is_not_finite_are_nan():
    assert torch.isnan(
        fire(torch.tensor([float("nan"), float("inf")]), torch.tensor(2.0), SURROGATES["atan"].derivative)
    ).all()


@pytest.mark.parametrize("name", SURROGATES)
def test_surrogates_are_the_derivative_of_a_step_of_height_one(name):
    x = torch.linspace(-400, 400, 800_001, dtype=torch.float64)
    area = torch.trapezoid(SURROGATES[name].derivative(x, torch.tensor(SURROGATES[name].width)), x)
    assert area.item() == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("kind", NEURONS)
def test_half_precision_input_keeps_float32_membranes(kind):
    x = (current(4, 2, 3, 4, 4, seed=0) * 2).bfloat16()
    neuron = made(kind, compiled=False)
    expected = neuron(x.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        spikes = neuron(x)
    assert spikes.dtype == torch.bfloat16
    assert expected.any()
    assert torch.equal(spikes.float(), expected)
    if kind != "psn":
        with torch.autocast("cpu", dtype=torch.bfloat16), stepwise(neuron):
            assert torch.equal(torch.cat([neuron(now[None]) for now in x]).float(), expected)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "plff"}, "unknown neuron 'plff' (did you mean 'plif'?)"),
        ({"surrogate": "attan"}, "did you mean 'atan'?"),
        ({"reset": "half"}, "known: hard, soft, none"),
        ({"threshold": 0.0}, "threshold 0"),
        ({"threshold": float("nan")}, "threshold nan"),
        ({"tau": 0.5}, "tau 0.5"),
        ({"tau": float("inf")}, "tau inf"),
        ({"tau": 1.0}, "tau 1 cannot be learnt"),
        ({"width": -1.0}, "surrogate width -1"),
        ({"width": 0.0}, "give a finite number above 0"),
        ({"tau": 1.0}, "give a finite number above 1, or take a neuron with a fixed one"),
        ({"kind": "asn", "reset": "hard"}, "neuron 'asn' has no reset 'hard': give soft"),
        ({"kind": "alif", "bet": 1.0}, "unknown parameter of neuron 'alif' 'bet' (did you mean 'beta'?)"),
        ({"kind": "lif", "levels": 2}, "unknown parameter of neuron 'lif' 'levels'"),
        ({"kind": "mlf", "levels": 0}, "levels 0 is out of range: give a whole number of at least 1"),
        ({"kind": "mlf", "levels": 2.5}, "levels 2.5"),
        ({"kind": "mlf", "gap": -1.0}, "gap -1 is out of range: give a finite number above 0"),
        ({"kind": "alif", "tau_a": 0.5}, "tau_a 0.5 is out of range: give a finite number of at least 1"),
        ({"kind": "asn", "m": 1.5}, "m 1.5 is out of range: give a number from 0 to 1"),
        ({"kind": "glif", "alpha": 1.0}, "alpha 1 cannot be learnt: give a number between 0 and 1"),
        ({"kind": "klif", "k": float("inf")}, "k inf is out of range: give a finite number"),
    ],
)
def test_bad_values_are_named(options, words):
    with pytest.raises(SpaceError) as error:
        Neuron(**options)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
