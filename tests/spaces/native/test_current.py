"""A current not yet computed is, to all who ask, the tensor that it stands for."""

import pytest
import torch
from torch import nn

from spaces.current import Current, computed, terms_of
from spaces.layers import AvgPool, Conv, Norm
from spaces.neurons.catalog import NEURONS
from spaces.neurons.neuron import Neuron
from spaces.timing import Repeat


def maps(*shape, seed=0, dtype=torch.float32):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    return x.contiguous(memory_format=torch.channels_last)


@pytest.fixture
def norm():
    """A norm that has statistics, weights and biases of its own."""
    norm = Norm(4).eval()
    for number, tensor in enumerate((norm.running_mean, norm.running_var, norm.weight.data, norm.bias.data)):
        tensor.copy_(torch.rand(4, generator=torch.Generator().manual_seed(number)) + 0.5)
    return norm


def both(norm, x):
    """What a norm gives in inference, and the same computed at once."""
    with torch.no_grad():
        current = norm(x)
        norm.compiled = False
        plain = norm(x)
        norm.compiled = True
    assert isinstance(current, Current)
    assert not isinstance(plain, Current)
    return current, plain


@pytest.mark.parametrize("training", [False, True])
def test_a_norm_where_no_gradient_is_wanted_gives_one_and_the_same_values(norm, training):
    norm.train(training)
    before = {name: tensor.clone() for name, tensor in norm.state_dict().items()}
    current, plain = both(norm, maps(3, 4, 5, 5))
    torch.testing.assert_close(computed(current), plain)
    norm.load_state_dict(before)
    with_gradient = norm(maps(3, 4, 5, 5))
    assert torch.equal(with_gradient.detach(), computed(current)) or not training
    torch.testing.assert_close(with_gradient.detach(), computed(current))


ASKS = pytest.mark.parametrize(
    "ask",
    [
        lambda x: x * 2,
        lambda x: 1 - x,
        lambda x: x.flatten(1),
        lambda x: torch.cat([x, x], dim=1),
        lambda x: torch.stack([x] * 3),
        lambda x: nn.functional.avg_pool2d(x, 2),
        lambda x: x.mean((-1, -2)),
        lambda x: x.clone().add_(1),
        lambda x: x + x,
        lambda x: x + x + x,
        lambda x: x + 1.0,
        lambda x: x[:, :2] + x[:, 2:],
        lambda x: x.to(torch.bfloat16),
        lambda x: torch.where(x > 0, x, -x),
        lambda x: x.unflatten(0, (3, 1)).flatten(0, 1),
        AvgPool(),
        Repeat(2),
        Conv(4, 4, 3),
    ],
)


@ASKS
@torch.no_grad()
def test_whatever_asks_gets_its_values(norm, ask):
    if isinstance(ask, Conv):
        nn.init.ones_(ask.weight)
    current, _ = both(norm, maps(3, 4, 6, 6))
    plain = computed(current)
    assert torch.equal(computed(ask(current)), ask(plain))
    assert (current.shape, current.dtype, current.stride()) == (plain.shape, plain.dtype, plain.stride())


@ASKS
@pytest.mark.parametrize("fires", [False, True])
def test_gradients_come_through_whatever_asks_and_fires(norm, ask, fires):
    if isinstance(ask, Conv):
        nn.init.ones_(ask.weight)
    norm.train()
    found = []
    for compiled in (True, False):
        norm.compiled = compiled
        neuron = Neuron("plif", compiled=compiled)
        x = maps(3, 4, 6, 6).requires_grad_()
        current = norm(x)
        assert isinstance(current, Current) == compiled
        assert current.requires_grad
        out = (
            ask(current) if not fires else neuron(Repeat(2)(current)) + neuron(Repeat(2)(current + 1)).mean() * current
        )
        weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.dtype)
        wanted = [x, *norm.parameters(), *(neuron.parameters() if fires else [])]
        found.append(torch.autograd.grad(out, wanted, weights))
    for in_c, eager in zip(*found, strict=True):
        torch.testing.assert_close(in_c, eager, rtol=1e-4, atol=1e-4)


def test_a_sum_of_currents_and_spikes_fires_and_learns_as_its_values_do(norm):
    norm.train()
    found = []
    for compiled in (True, False):
        norm.compiled = compiled
        first, second = Neuron("lif", compiled=compiled), Neuron("plif", reset="soft", compiled=compiled)
        x = maps(12, 4, 9, 9).unflatten(0, (3, 4)).requires_grad_()
        spikes = first(norm(x))
        for total in (norm(2 * x) + norm(x), norm(x) + spikes, spikes + norm(x)):
            assert not compiled or len(terms_of(total)) == 2
            out = second(total)
            weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
            wanted = [x, *norm.parameters(), *second.parameters()]
            found.append((out.detach(), *torch.autograd.grad(out, wanted, weights, retain_graph=True)))
    for in_c, eager in zip(found[:3], found[3:], strict=True):
        assert torch.equal(in_c[0], eager[0])
        assert 0.05 < in_c[0].mean() < 0.95
        for one, other in zip(in_c, eager, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.fixture
def conv():
    """A convolution to the norm's channels and more."""
    conv = Conv(6, 8, 3)
    nn.init.normal_(conv.weight, generator=torch.Generator().manual_seed(3))
    return conv


@pytest.mark.parametrize("others", [False, True])
@torch.no_grad()
def test_a_convolution_of_what_may_be_spikes_waits_for_its_neurons(conv, others):
    x = (maps(12, 6, 5, 5) > 0.5).float().contiguous(memory_format=torch.channels_last).unflatten(0, (3, 4))
    x[0, 0, 0, 0, 0] = 2 if others else 1
    expected = nn.functional.conv2d(x.flatten(0, 1).double(), conv.weight.double(), padding=1).unflatten(0, (3, 4))
    norm, neuron = Norm(8).eval(), Neuron("lif")
    norm.running_mean.normal_(generator=torch.Generator().manual_seed(4))
    waiting = conv(x)
    assert (waiting.shape, waiting.stride()) == (expected.shape, conv(x).clone().stride())
    (term,) = terms_of(norm(waiting))
    assert torch.equal(term.map, x)
    assert term.kernel.data_ptr() == conv.weight.data_ptr()
    assert len(terms_of(norm(waiting) + norm(conv(x)))) == 2
    assert terms_of(norm.train()(waiting))[0].kernel is None  # its moments were wanted
    norm.eval()
    done = computed(waiting)
    torch.testing.assert_close(done, expected.float(), rtol=1e-5, atol=1e-5)
    assert torch.equal(waiting * 2, done * 2)
    assert torch.equal(computed(norm(conv(x))), computed(norm(done)))
    assert torch.equal(neuron(norm(conv(x))), neuron(norm(done)))
    assert torch.equal(neuron(norm(conv(x)) + done), neuron(norm(done) + done))
    assert torch.equal(neuron(norm(conv(x)) + norm(conv(x))), neuron(norm(done) + norm(done)))
    assert torch.equal(computed(norm(norm(conv(x)))), computed(norm(computed(norm(done)))))
    for plain in (conv(x[0]), conv(x.permute(0, 1, 2, 4, 3)), conv(x[:, :2])):
        assert not isinstance(plain, Current)


@torch.no_grad()
def test_sums_of_two_are_currents_still(norm):
    x, _ = both(norm, maps(6, 4, 5, 5))
    y = maps(6, 4, 5, 5, seed=1)
    for total in (x + y, y + x):
        assert isinstance(total, Current)
        assert len(terms_of(total)) == 2
    assert torch.equal(computed(x + y), computed(x) + y)
    assert torch.equal(computed((y + x).unflatten(0, (2, 3))), (y + computed(x)).unflatten(0, (2, 3)))
    assert not isinstance(x + y + x, Current)  # three
    other = y.contiguous()  # lies otherwise, and so would views of it
    assert torch.equal((x + other).flatten(2), (computed(x) + other).flatten(2))
    still = Repeat(2)(x)  # one memory for all time steps, which cannot be flattened
    assert torch.equal((y.expand(2, *y.shape) + still).flatten(0, 1), torch.cat([computed(x) + y] * 2))
    moving = torch.stack([y, 2 * y])
    assert torch.equal((moving + still).flatten(0, 1), torch.cat([computed(x) + y, computed(x) + 2 * y]))
    assert not isinstance(x + y.bfloat16(), Current)
    assert not isinstance(torch.add(x, y, alpha=2), Current)
    assert torch.equal(torch.add(x, y, alpha=2), computed(x) + 2 * y)


@torch.no_grad()
def test_marks_stay_on_its_values(norm):
    x, _ = both(norm, maps(6, 4, 5, 5))
    x.kind = "kind"
    assert computed(x).kind == "kind"
    assert set(vars(computed(x))) == {"kind"}
    assert computed(x) is computed(x)
    plain = maps(1, 4, 2, 2)
    assert computed(plain) is plain


@pytest.mark.parametrize("kind", NEURONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_neuron_spikes_alike_whether_a_gradient_is_wanted_or_not(norm, kind, dtype):
    neuron = Neuron(kind)
    x = maps(12, 4, 9, 9, dtype=dtype)
    with torch.no_grad():
        current = norm(x.unflatten(0, (3, 4)))
        spikes = neuron(current)
        assert 0 < spikes.abs().float().mean() < 1
    plain = computed(current).clone()
    assert torch.equal(spikes, neuron(plain.requires_grad_()).detach())
    marked = NEURONS[kind].step in ("if", "lif")
    assert hasattr(spikes, "events") == marked
    if marked:
        assert torch.equal(spikes.events, spikes.double().sum((0, 1)))


@torch.no_grad()
def test_features_have_no_maps_and_fire_in_one_pass_too():
    x = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0)) * 2
    eager, fast = Neuron("lif", compiled=False)(x), Neuron("lif")(x)
    assert torch.equal(eager, fast)
    assert torch.equal(fast.events, eager.double().sum((0, 1)))
