"""Neurons in C are the eager ones to the bit, norms in front of them too; sums are right and gradients the same."""

import itertools
from contextlib import contextmanager

import torch
from hypothesis import given
from hypothesis import strategies as st

from spaces.current import Current, computed
from spaces.native import fire as native
from spaces.native.fire import Term
from spaces.neurons.neuron import Neuron
from spaces.neurons.scan import unrolled
from spaces.neurons.step import Rule
from spaces.neurons.surrogate import SURROGATES


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
    rule = Rule(
        step=step,
        reset=reset,
        decay_input=draw(st.booleans()),
        detach_reset=draw(st.booleans()),
        surrogate=draw(st.sampled_from(list(SURROGATES))),
    )
    width = torch.rand(draw(number), generator=generator) * 3 + 0.1
    return terms, {"decay": decay if step == "lif" else torch.zeros(1), "threshold": threshold, "width": width}, rule


def leak_of(rule):
    return {"decay_input": rule.decay_input and rule.step == "lif", "reset": rule.reset}


@contextmanager
def threads_of(number):
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(1)


@given(cases(), st.integers(1, 3))
def test_equals_the_eager_scan_of_the_computed_current_to_the_bit(vectors, case, threads):
    terms, parameters, rule = case
    assert native.suits(terms)
    with threads_of(threads):
        ready = native.in_order(terms)
        spikes, sums = native.fire(ready, native.figures_of(ready, **parameters), **leak_of(rule))
    rows = computed(Current(*terms)).movedim(2, -1)
    expected = unrolled(rows, parameters, rule, differentiable=False)[0].movedim(-1, 2)
    assert torch.equal(spikes, expected)
    assert torch.equal(sums, expected.float().sum((0, 1)))
    assert spikes.dtype == terms[0].map.dtype
    assert spikes.shape == terms[0].shape
    assert spikes.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


@given(cases(), st.integers(2, 3))
def test_gradients_are_those_of_the_eager_scan(vectors, case, threads):
    terms, parameters, rule = case
    terms = [term.convolved() for term in terms]
    rows = computed(Current(*terms)).movedim(2, -1).detach().requires_grad_()
    decay = parameters["decay"].requires_grad_(rule.step == "lif")
    spikes = unrolled(rows, parameters, rule)[0]
    slope = torch.randn(spikes.shape, generator=torch.Generator().manual_seed(0)).to(spikes.dtype)
    spikes.backward(slope)
    about = {**leak_of(rule), "detach_reset": rule.detach_reset, "surrogate": rule.surrogate}
    figures, slope = native.figures_of(terms, **parameters), slope.movedim(-1, 2)
    found, by_channel = native.fire_backward(slope, terms, figures, **about)
    assert (found.shape, found.dtype) == (terms[0].shape, rows.dtype)
    close_to(found, rows.grad.movedim(-1, 2), 2**-7 if rows.dtype == torch.bfloat16 else 1e-5)
    if rule.step == "lif":
        sizes = (rows.grad.float().norm() * rows.detach().float().norm()).item()  # terms of a sum that may cancel out
        close_to(by_channel.sum_to_size(decay.shape), decay.grad, 1e-5, sizes)
    with threads_of(threads):
        again, by_channel_again = native.fire_backward(slope.contiguous(), terms, figures, **about)
    assert torch.equal(again, found)
    assert torch.equal(by_channel_again, by_channel)


def close_to(found, expected, share, terms=0.0):
    """Within a share of the largest value, or of the size of terms."""
    assert (found - expected).abs().max() <= share * max(expected.abs().max().item(), terms)


def test_what_is_not_finite_comes_out_as_no_number():
    for number, at in itertools.product([float("nan"), float("inf"), -float("inf")], range(3)):
        for reset in native.RESETS:
            x = torch.full((3, 2, 3, 3, 20), 5.0).permute(0, 1, 4, 2, 3)
            x[at, 1, 19, 2, 2] = number
            neuron = Neuron("lif", reset=reset)
            figures = native.figures_of(
                [Term(x)], decay=torch.tensor([0.5]), threshold=torch.ones(1), width=torch.ones(1)
            )
            found = native.fire([Term(x)], figures, decay_input=True, reset=reset)
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
