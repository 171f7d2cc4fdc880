"""SNASNet's recipe: published sizes, the cell against its equations, disconnected cells, feedback."""

from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from spaces.candidate import Candidate
from spaces.errors import SpaceError
from spaces.layers import Norm
from spaces.neurons.neuron import stepwise
from spaces.snasnet import PAIRS, PUBLISHED, live, snasnet
from spaces.spec import TaskSpec
from spaces.weights import count_parameters, initialise

SPEC = TaskSpec(channels=3, height=16, width=17, classes=4)
SMALL = {"width": 4, "timesteps": 4, "compiled": False, "pool": 2, "hidden": 32}
FORWARD = dict(zip(PAIRS, ("f_conv3", "f_skip", "f_avgpool", "f_conv1", "f_conv3", "f_conv1"), strict=True))
BACKWARD = dict(zip(PAIRS, ("b_conv3", "f_conv1", "b_skip", "b_avgpool", "f_conv3", "b_conv1"), strict=True))
FED_ONLY = dict(zip(PAIRS, ("none", "f_conv1", "f_skip", "b_conv3", "f_conv3", "none"), strict=True))


@pytest.mark.parametrize(
    ("name", "classes", "options", "millions"),
    [("CIFAR-10", 10, {"width": 256}, 19.52), ("CIFAR-100", 100, {"width": 128, "pool": 2, "voters": 5}, 20.62)],
)
def test_published_parameter_counts(name, classes, options, millions):
    space = snasnet(**options)
    spec = TaskSpec(channels=3, height=32, width=32, classes=classes)
    network = space.network(spec, Candidate(space.published[name]))
    assert count_parameters(network) / 1e6 == pytest.approx(millions, abs=0.005)


def test_published_matrices_are_read_row_by_row():
    assert PUBLISHED["CIFAR-10"] == {  # 0303 0030 2002 0200
        "pair01": "f_conv3",
        "pair02": "b_conv1",
        "pair03": "f_conv3",
        "pair12": "f_conv3",
        "pair13": "b_conv1",
        "pair23": "f_conv1",
    }
    assert PUBLISHED["CIFAR-100"]["pair13"] == "none"


def neuron(decay=0.75):
    v = 0.0

    def fire(x):
        nonlocal v
        v = v + decay * (x - v)
        spikes = (v >= 1).to(x.dtype)
        v = v * (1 - spikes)
        return spikes

    return fire


def norm(state, name):
    def normalise(x):
        return F.batch_norm(
            x,
            state[f"{name}.running_mean"],
            state[f"{name}.running_var"],
            state[f"{name}.weight"],
            state[f"{name}.bias"],
        )

    return normalise


def conv(state, name):
    return lambda x: F.conv2d(x, state[f"{name}.weight"], padding=state[f"{name}.weight"].shape[-1] // 2)


def neuron_conv(state, name):
    fire, current, normalise = neuron(), conv(state, f"{name}.conv"), norm(state, f"{name}.norm")
    return lambda x: normalise(current(fire(x)))


def cell(state, name, values):
    """The recipe's equations, word for word."""

    def edge(i, j):
        pair = f"pair{min(i, j)}{max(i, j)}"
        direction, _, operation = values[pair].partition("_")
        if direction != ("f" if i < j else "b"):
            return lambda x: 0 * x
        if operation == "skip":
            return lambda x: x
        if operation == "avgpool":
            return lambda x: F.avg_pool2d(x, 3, 1, 1)
        return neuron_conv(state, f"{name}.pairs.{pair}.options.{values[pair]}")

    f = {(i, j): edge(i, j) for i in range(4) for j in range(4) if i != j}
    b0 = b1 = b2 = 0.0

    def step(x0):
        nonlocal b0, b1, b2
        x1 = f[0, 1](x0 + b0)
        x2 = f[0, 2](x0 + b0) + f[1, 2](x1 + b1)
        x3 = f[0, 3](x0 + b0) + f[1, 3](x1 + b1) + f[2, 3](x2 + b2)
        c0 = f[1, 0](x1 + b1) + f[2, 0](x2 + b2) + f[3, 0](x3)
        c1 = f[2, 1](x2 + b2) + f[3, 1](x3)
        b0, b1, b2 = c0, c1, f[3, 2](x3)
        return x3

    return step


def reading(network, values, images, steps):
    """The whole network in plain torch, one time step after the other."""
    s = network.state_dict()
    stem = norm(s, "stem.1")(conv(s, "stem.0")(images))
    first, second = cell(s, "cell1", values), cell(s, "cell2", values)
    reduce, last, hidden = neuron_conv(s, "reduction.1"), neuron(), neuron()
    readout = []
    for _ in range(steps):
        x = F.avg_pool2d(reduce(norm(s, "reduction.0")(first(stem))), 2)
        x = F.avg_pool2d(last(norm(s, "head.0")(second(x))), 2).flatten(1)
        x = hidden(x @ s["head.4.weight"].T) @ s["head.6.weight"].T
        readout.append(x.unflatten(1, (SPEC.classes, -1)).mean(-1))
    return torch.stack(readout)


def ready(space, values):
    """A candidate's network in inference, with statistics and weights away from their initial values."""
    network = space.network(SPEC, Candidate(values))
    generator = torch.Generator().manual_seed(2)
    initialise(network, generator, norm_scale=2.0, head_gain=12.0)
    for module in network.modules():
        if isinstance(module, Norm):
            module.running_mean.uniform_(-0.3, 0.3, generator=generator)
            module.running_var.uniform_(0.2, 1.0, generator=generator)
            torch.nn.init.uniform_(module.bias, -0.3, 0.6, generator=generator)
    return network.double().eval()


def all_live(space, n):
    rng = np.random.default_rng(5)
    found = []
    while len(found) < n:
        candidate = space.sample(rng)
        edges = [pair for pair, value in candidate.items() if value != "none"]
        if edges and sorted(live(candidate, timesteps=4)) == sorted(edges):
            found.append(dict(candidate))
    return found


IMAGES = torch.rand(3, 3, 16, 17, generator=torch.Generator().manual_seed(0)).double()
DRAWN = all_live(snasnet(), 6)


@pytest.mark.parametrize("values", [FORWARD, BACKWARD, FED_ONLY, *PUBLISHED.values(), *DRAWN])
@torch.no_grad()
def test_networks_follow_the_equations(values):
    values = dict(values)
    if not live(values, timesteps=4):  # its output is reached by nothing: turn one pair
        values["pair03"] = "f_conv3"
    network = ready(snasnet(**SMALL), values)
    expected = reading(network, values, IMAGES, 4)
    torch.testing.assert_close(network(IMAGES), expected, rtol=1e-6, atol=1e-8)
    assert expected.abs().sum() > 0
    assert not torch.equal(expected[0], expected[-1])


@torch.no_grad()
def test_a_cell_without_feedback_is_the_same_step_by_step():
    network = ready(snasnet(**SMALL), FORWARD)
    x = torch.rand(4, 3, 4, 8, 9, generator=torch.Generator().manual_seed(1)).double() * 2
    cell = network.cell1
    with stepwise(cell):
        steps = [cell.step(frame[None], cell.edges(), {})[0] for frame in x]
    torch.testing.assert_close(torch.cat(steps), cell(x))
    assert not torch.equal(steps[0], steps[1])


def walked(directions, steps, doubled=None):
    """What comes out of node 3 over all steps where each edge passes on what it gets, or twice that."""
    gain = {}
    for (pair, (i, j)), direction in zip(PAIRS.items(), directions, strict=True):
        gain[i, j] = (direction == "f") * (2 if pair == doubled else 1)
        gain[j, i] = (direction == "b") * (2 if pair == doubled else 1)
    back, total = [0, 0, 0, 0], 0
    for _ in range(steps):
        n = [1 + back[0], back[1], back[2], 0]
        for j in (1, 2, 3):
            n[j] += sum(gain[i, j] * n[i] for i in range(j))
        back = [sum(gain[i, j] * n[i] for i in range(j + 1, 4)) for j in range(4)]
        total += n[3]
    return total


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_edges_are_live_where_doubling_them_is_felt(steps):
    space = snasnet(timesteps=steps)
    connected = 0
    for directions in product("nfb", repeat=len(PAIRS)):
        values = {pair: "none" if d == "n" else f"{d}_skip" for pair, d in zip(PAIRS, directions, strict=True)}
        out = walked(directions, steps)
        felt = {pair for pair in PAIRS if walked(directions, steps, doubled=pair) != out}
        assert set(live(values, timesteps=steps)) == felt
        assert bool(space.infeasible(Candidate(values))) == (out == 0)
        connected += (out > 0) * 4 ** sum(direction != "n" for direction in directions)
    if steps > 1:
        assert connected == 357_316  # of the 531 441 in the space
    assert space.size == 531_441


def test_a_disconnected_cell_says_what_to_change():
    values = FORWARD | {"pair03": "none", "pair13": "b_skip", "pair23": "none"}
    with pytest.raises(SpaceError, match=r"let one of pair03, pair13, pair23 be an edge from 0 or 1 or 2") as error:
        snasnet().network(SPEC, Candidate(values))
    assert "\n" not in str(error.value)


def test_edges_on_no_way_to_the_output_cost_nothing():
    space = snasnet(**SMALL)
    bare = dict.fromkeys(PAIRS, "none") | {"pair03": "f_conv3"}
    dead = bare | {"pair01": "f_conv3", "pair12": "b_conv3"}
    small, large = (space.network(SPEC, Candidate(values)) for values in (bare, dead))
    assert count_parameters(small) == count_parameters(large)


def backward_edges(values):
    picture = snasnet(**SMALL).picture(SPEC, Candidate(values))
    order = {node["id"]: number for number, node in enumerate(picture["nodes"])}
    return [(source, target) for source, target in picture["edges"] if order[source] >= order[target]]


def test_feedback_is_an_edge_backward_in_the_picture():
    assert backward_edges(FORWARD) == []
    found = [(source, target) for source, target in backward_edges(PUBLISHED["CIFAR-10"]) if "cell1" in source]
    assert set(found) == {
        ("cell1.pairs.pair02.conv", "stem.0"),  # node 0 is written into the stem's box
        ("cell1.pairs.pair13.conv", "cell1.pairs.pair01.conv"),  # node 1 into that of the edge forward to it
    }
    for values in (BACKWARD, FED_ONLY, *PUBLISHED.values()):
        values = {**values, "pair03": "f_conv3"}
        feedback = [pair for pair, (i, j) in live(values, timesteps=4).items() if i > j]
        assert len(backward_edges(values)) == 2 * len(feedback)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 0}, "width 0"),
        ({"timesteps": 0}, "timesteps 0"),
        ({"voters": -1}, "voters -1"),
        ({"neuron": "liff"}, "did you mean 'lif'?"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(SpaceError) as error:
        snasnet(**options)
    assert words in str(error.value)


def test_images_too_small_for_the_poolings():
    with pytest.raises(SpaceError, match=r"7x32 pixels are too small.*at least 8x8"):
        snasnet().network(TaskSpec(channels=1, height=7, width=32, classes=2))


def test_one_candidate_stands_for_all_with_the_same_live_edges():
    space = snasnet(width=4, timesteps=3)
    rng = np.random.default_rng(0)
    for candidate in (space.sample_sound(rng) for _ in range(50)):
        form, edges = space.canonical(candidate), live(candidate, timesteps=3)
        assert live(form, timesteps=3) == edges
        assert {pair for pair, value in form.items() if value != "none"} == set(edges)
        found = space.features(candidate)
        assert sum(value for name, value in found.items() if name.startswith("edges of")) == len(edges)
        assert found["edges of conv3"] == sum(str(form[pair]).endswith("conv3") for pair in form)
        assert found["edges back in time"] == sum(str(form[pair]).startswith("b_") for pair in form)


def test_delay_is_the_steps_until_the_output_hears_the_input():
    space = snasnet(width=4, timesteps=5)
    forward = Candidate(dict.fromkeys(PAIRS, "none") | {"pair03": "f_skip"})
    # 0 -> 2 forward, 2 -> 1 back in time, 1 -> 3 forward
    late = Candidate(dict.fromkeys(PAIRS, "none") | {"pair02": "f_skip", "pair12": "b_skip", "pair13": "f_skip"})
    assert [space.features(candidate)["delay"] for candidate in (forward, late)] == [0.0, 1.0]
