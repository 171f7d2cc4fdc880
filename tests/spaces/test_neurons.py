"""Conformance of every neuron: spikes and gradients of spikingjelly, laws of charge, fire and reset."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikingjelly.activation_based import neuron as reference
from spikingjelly.activation_based import surrogate as reference_surrogate

from spaces.errors import SpaceError
from spaces.neurons import scan as scan_module
from spaces.neurons.neuron import NEURONS, RESETS, Neuron
from spaces.neurons.surrogate import SURROGATES, fire

REFERENCE_SURROGATES = {
    "atan": lambda width: reference_surrogate.ATan(alpha=width),
    "sigmoid": lambda width: reference_surrogate.Sigmoid(alpha=width),
    "triangle": lambda width: reference_surrogate.PiecewiseQuadratic(alpha=width),
}


def reference_neuron(
    kind, *, tau=2.0, threshold=1.0, reset="hard", decay_input=True, detach_reset=True, surrogate, width
):
    options = {
        "v_threshold": threshold,
        "v_reset": 0.0 if reset == "hard" else None,
        "detach_reset": detach_reset,
        "surrogate_function": REFERENCE_SURROGATES[surrogate](width),
        "step_mode": "m",
    }
    if kind == "if":
        return reference.IFNode(**options)
    if kind == "lif":
        return reference.LIFNode(tau=tau, decay_input=decay_input, **options)
    return reference.ParametricLIFNode(init_tau=tau, decay_input=decay_input, **options)


def run(neuron, x, gradient):
    x = x.clone().requires_grad_()
    spikes = neuron(x)
    spikes.backward(gradient)
    return spikes.detach(), x.grad


@pytest.mark.parametrize("kind", NEURONS)
@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("decay_input", [True, False])
@pytest.mark.parametrize("detach_reset", [True, False])
def test_same_spikes_and_gradients_as_spikingjelly(kind, surrogate, reset, decay_input, detach_reset):
    options = {"reset": reset, "decay_input": decay_input, "detach_reset": detach_reset, "surrogate": surrogate}
    generator = torch.Generator().manual_seed(1)
    for width, tau, threshold in ((SURROGATES[surrogate].width, 2.0, 1.0), (1.5, 4.0, 0.75)):
        ours = Neuron(kind, tau=tau, threshold=threshold, width=width, compiled=False, **options)
        theirs = reference_neuron(kind, tau=tau, threshold=threshold, width=width, **options)
        x = torch.randn(6, 3, 5, 4, 4, generator=generator) * 1.5
        gradient = torch.randn(x.shape, generator=generator)
        spikes, gradients = run(ours, x, gradient)
        expected, expected_gradients = run(theirs, x, gradient)
        assert 0.02 < expected.mean() < 0.8
        assert torch.equal(spikes, expected)
        torch.testing.assert_close(gradients, expected_gradients, rtol=1e-5, atol=1e-5)
        if kind == "plif":
            torch.testing.assert_close(ours.w.grad, theirs.w.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", NEURONS)
def test_the_compiled_kernels_agree_with_spikingjelly(kind):
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(4, 8, 16, 8, 9, generator=generator) * 1.5
    gradient = torch.randn(x.shape, generator=generator)
    options = {"reset": "hard", "decay_input": True, "detach_reset": True, "surrogate": "atan", "width": 2.0}
    ours = Neuron(kind, **options)
    theirs = reference_neuron(kind, tau=2.0, threshold=1.0, **options)
    spikes, gradients = run(ours, x, gradient)
    expected, expected_gradients = run(theirs, x, gradient)
    assert not scan_module._broken
    assert torch.equal(spikes, expected)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-5, atol=1e-5)
    if kind == "plif":
        torch.testing.assert_close(ours.w.grad, theirs.w.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", NEURONS)
def test_compiled_equals_eager(kind):
    generator = torch.Generator().manual_seed(2)
    for shape in ((4, 8, 16, 8, 9), (4, 5, 32, 7, 7), (4, 128, 100)):  # each a kernel's worth of values
        x = torch.randn(shape, generator=generator) * 1.5
        if x.dim() == 5:
            x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, shape[:2])
        gradient = torch.randn(shape, generator=generator)
        compiled, eager = Neuron(kind), Neuron(kind, compiled=False)
        spikes, gradients = run(compiled, x, gradient)
        expected, expected_gradients = run(eager, x, gradient)
        assert not scan_module._broken
        assert torch.equal(spikes, expected)
        torch.testing.assert_close(gradients, expected_gradients, rtol=1e-5, atol=1e-6)
        if kind == "plif":
            torch.testing.assert_close(compiled.w.grad, eager.w.grad, rtol=1e-3, atol=1e-3)
        with torch.no_grad():
            assert torch.equal(compiled(x), expected)


def test_a_machine_that_cannot_compile_runs_eagerly_and_says_so_once(monkeypatch, recwarn):
    def broken(rule):
        raise torch._dynamo.exc.TorchDynamoException("No working C++ compiler found")

    monkeypatch.setattr(scan_module, "_forward_kernel", broken)
    monkeypatch.setattr(scan_module, "_broken", [])
    x = torch.randn(4, 8, 16, 8, 8)
    with pytest.warns(RuntimeWarning, match="install a C\\+\\+ compiler"):
        spikes = Neuron("lif")(x)
    assert torch.equal(spikes, Neuron("lif", compiled=False)(x))
    recwarn.clear()
    Neuron("lif")(x)
    assert not recwarn.list


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
            if v[index] >= threshold[c]:
                spikes[t][index] = 1
                v[index] = {"hard": np.float32(0), "soft": v[index] - threshold[c], "none": v[index]}[reset]
    return spikes


@pytest.mark.parametrize("kind", NEURONS)
@pytest.mark.parametrize("reset", RESETS)
def test_threshold_and_decay_by_channel(kind, reset):
    generator = torch.Generator().manual_seed(3)
    threshold, tau = torch.tensor([0.5, 1.0, 1.5]), torch.tensor([2.0, 4.0, 8.0])
    x = torch.randn(5, 2, 3, 3, 3, generator=generator) * 1.5
    spikes = Neuron(kind, threshold=threshold, tau=tau, reset=reset, compiled=False)(x)
    expected = numpy_scan(x.numpy(), threshold.numpy(), (1 / tau).numpy(), kind, reset)
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(spikes.detach().numpy(), expected)


@settings(max_examples=50, deadline=None)
@given(
    x=st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=12),
    kind=st.sampled_from(sorted(NEURONS)),
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


def test_half_precision_input_keeps_float32_membranes():
    x = torch.randn(4, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    spikes = Neuron("lif", compiled=False)(x)
    assert spikes.dtype == torch.bfloat16
    assert torch.equal(spikes.float(), Neuron("lif", compiled=False)(x.float()))


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
    ],
)
def test_bad_values_are_named(options, words):
    with pytest.raises(SpaceError) as error:
        Neuron(**options)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
