"""Neurons in C are the eager ones to the bit, with norms in front of them, and their spikes are summed up right."""

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from spaces.current import Current, computed
from spaces.native import fire as native
from spaces.native.fire import Term
from spaces.neurons.neuron import Neuron
from spaces.neurons.scan import unrolled
from spaces.neurons.step import Rule


def map_of(shape, dtype, generator, *, repeated):
    """A map [T, B, C, H, W], channels last; every time step the same memory if ``repeated``."""
    steps, batch, c, h, w = shape
    x = torch.randn(batch if repeated else steps * batch, h, w, c, generator=generator).mul_(3).to(dtype)
    return (x.expand(steps, *x.shape) if repeated else x.unflatten(0, (steps, batch))).permute(0, 1, 4, 2, 3)


def spikes_of(shape, dtype, generator, *, others):
    """Spikes [T, B, C, H, W], channels last, and, if wanted, one value that is none."""
    steps, batch, c, h, w = shape
    x = (torch.rand(steps, batch, h, w, c, generator=generator) < 0.3).to(dtype)
    if others:
        x[-1, -1, -1, -1, -1] = 2
    return x.permute(0, 1, 4, 2, 3)


@st.composite
def cases(draw):
    sizes = [st.integers(1, 5), st.integers(1, 3), st.sampled_from([1, 3, 8, 16, 20, 48]), *[st.integers(1, 9)] * 2]
    shape, dtype = [draw(size) for size in sizes], draw(st.sampled_from([torch.float32, torch.bfloat16]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    terms = []
    for normed in draw(st.lists(st.booleans(), min_size=1, max_size=2)):
        figures = torch.randn(2, shape[2], generator=generator) if normed else (None, None)
        if shape[2] % 8 == 0 and draw(st.booleans()):
            c_in, k = draw(st.integers(1, 20)), draw(st.sampled_from([3, 5]))
            x = spikes_of((*shape[:2], c_in, *shape[3:]), dtype, generator, others=draw(st.booleans()))
            kernel = torch.randn(shape[2], c_in, k, k, generator=generator)
            terms.append(Term(x, *figures, kernel=kernel))
        else:
            terms.append(Term(map_of(shape, dtype, generator, repeated=draw(st.booleans())), *figures))
    number = st.sampled_from([1, shape[2]])
    decay, threshold = (torch.rand(draw(number), generator=generator) + 0.1 for _ in range(2))
    step, reset = draw(st.sampled_from(["if", "lif"])), draw(st.sampled_from(native.RESETS))
    return terms, decay, threshold, Rule(step=step, reset=reset, decay_input=draw(st.booleans()))


@given(cases(), st.integers(1, 3))
def test_equals_the_eager_scan_of_the_computed_current_to_the_bit(vectors, case, threads):
    terms, decay, threshold, rule = case
    assert native.suits(terms)
    leak = {"decay": torch.zeros(1), "decay_input": False}
    if rule.step == "lif":
        leak = {"decay": decay, "decay_input": rule.decay_input}
    torch.set_num_threads(threads)
    try:
        spikes, sums = native.fire(terms, threshold=threshold, reset=rule.reset, **leak)
    finally:
        torch.set_num_threads(1)
    rows = computed(Current(*terms)).movedim(2, -1)
    parameters = {"threshold": threshold, "decay": decay, "width": torch.ones(1)}
    expected = unrolled(rows, parameters, rule, differentiable=False)[0].movedim(-1, 2)
    assert torch.equal(spikes, expected)
    assert torch.equal(sums, expected.float().sum((0, 1)))
    assert spikes.dtype == terms[0].map.dtype
    assert spikes.shape == terms[0].shape
    assert spikes.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


def test_what_is_not_finite_comes_out_as_no_number():
    for number, at in itertools.product([float("nan"), float("inf"), -float("inf")], range(3)):
        for reset in native.RESETS:
            x = torch.full((3, 2, 3, 3, 20), 5.0).permute(0, 1, 4, 2, 3)
            x[at, 1, 19, 2, 2] = number
            neuron = Neuron("lif", reset=reset)
            found = native.fire(
                [Term(x)], decay=torch.tensor([0.5]), threshold=torch.ones(1), decay_input=True, reset=reset
            )
            with torch.no_grad():
                spikes = neuron(x)
            eager = neuron(x.clone().requires_grad_()).detach()
            torch.testing.assert_close(spikes, eager, rtol=0, atol=0, equal_nan=True)
            assert eager.isnan().any()
            assert found is None


def test_maps_that_lie_in_another_way_are_not_for_it():
    good = map_of((2, 2, 8, 4, 4), torch.float32, torch.Generator(), repeated=False)
    assert native.suits([Term(good)] * 2)
    assert not native.suits([Term(good)] * 3)
    assert not native.suits([Term(good.contiguous())])
    assert not native.suits([Term(good), Term(good.bfloat16())])
    assert not native.suits([Term(good.double())])
    assert not native.suits([Term(good), Term(good[:, :1])])
    assert not native.suits([Term(good[0])])
    assert not native.suits([Term(good[:0])])
