"""AutoSNN's published figures, and bad input to its options."""

import numpy as np
import pytest

from spaces.autosnn import autosnn
from spaces.candidate import Candidate
from spaces.errors import SpaceError
from spaces.layers import Conv
from spaces.neurons.neuron import Neuron
from spaces.spec import TaskSpec
from spaces.weights import count_parameters

CIFAR10 = TaskSpec(channels=3, height=32, width=32, classes=10)


@pytest.mark.parametrize(("width", "millions"), [(16, 0.418), (32, 1.463), (64, 5.437), (128, 20.917)])
def test_published_parameter_counts(width, millions):
    space = autosnn(width=width)
    network = space.network(CIFAR10, Candidate(space.published["AutoSNN"]))
    assert count_parameters(network) / 1e6 == pytest.approx(millions, abs=0.0005)


def test_an_entangled_supernet_is_as_large_as_its_largest_options():
    space = autosnn(width=16)
    entangled, separate = (space.network(CIFAR10, entangled=flag) for flag in (True, False))
    assert count_parameters(entangled) < 0.45 * count_parameters(separate)


@pytest.mark.parametrize(("height", "width"), [(7, 32), (32, 7), (1, 1)])
def test_images_too_small_for_the_poolings(height, width):
    with pytest.raises(SpaceError, match=f"{height}x{width} pixels are too small.*at least 8x8"):
        autosnn().network(TaskSpec(channels=1, height=height, width=width, classes=2))


@pytest.mark.parametrize(
    ("options", "words"),
    [({"width": 0}, "width 0"), ({"timesteps": -1}, "timesteps -1"), ({"neuron": "liff"}, "did you mean 'lif'?")],
)
def test_bad_options(options, words):
    with pytest.raises(SpaceError) as error:
        autosnn(**options)
    assert words in str(error.value)


def test_features_are_what_is_built():
    """Weights of convolutions behind the stem in units of C ** 2, and on how much of the image they work."""
    space, spec = autosnn(width=4), TaskSpec(channels=3, height=16, width=16, classes=10)
    rng = np.random.default_rng(0)
    for candidate in (space.sample(rng) for _ in range(10)):
        network, found = space.network(spec, candidate), space.features(candidate)
        slots = {name: link for name, link in network.named_children() if name.startswith("slot")}
        weights = {
            name: sum(conv.weight.numel() for conv in link.modules() if isinstance(conv, Conv)) / 4**2
            for name, link in slots.items()
        }
        assert found["weights"] == sum(weights.values())
        shares = {"slot1": 1, "slot2": 1 / 4, "slot3": 1 / 4, "slot4": 1 / 16, "slot5": 1 / 16}
        assert found["operations"] == sum(weights[name] * share for name, share in shares.items())
        neurons = [m for link in slots.values() for m in link.modules() if isinstance(m, Neuron)]
        assert found["depth"] == len(neurons)
        assert found["residuals"] == sum(str(value).startswith("SRB") for value in candidate.values())
