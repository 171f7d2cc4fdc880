"""SpaceConformance: the suite that every search space passes, to be inherited by a test class.

    class TestMine(SpaceConformance):
        @pytest.fixture
        def space(self):
            return mine(width=4, timesteps=3)

Give a small space: the suite builds some hundred networks. ``spec`` is the task that they are built for. For a space
most of whose random networks do not spike at their readout raise ``norm_scale``, of norms at first, or ``silent``.
"""

import json
from dataclasses import replace

import numpy as np
import torch
from optuna.distributions import CategoricalDistribution
from torch import Tensor, nn

from evaluators.counting import counting
from spaces.candidate import Candidate
from spaces.errors import SpaceError
from spaces.layers import Conv, Norm
from spaces.network import Network
from spaces.space import Space
from spaces.spec import TaskSpec
from spaces.weights import count_parameters, crop, inherit, initialise


class SpaceConformance:
    """Tests of a fixture ``space``."""

    spec = TaskSpec(channels=3, height=16, width=17, classes=4)
    silent = 0.5
    norm_scale = 2.0

    def images(self) -> Tensor:
        """Five random images."""
        spec = self.spec
        images = torch.randn(5, spec.channels, spec.height, spec.width, generator=torch.Generator().manual_seed(0))
        return images.contiguous(memory_format=torch.channels_last)

    def supernet(self, space: Space, *, entangled: bool) -> Network:
        """A supernet with BN statistics and learnt numbers away from their initial values."""
        network = space.network(self.spec, entangled=entangled)
        initialise(network, torch.Generator().manual_seed(1), norm_scale=self.norm_scale, head_gain=20.0)
        for norm in (module for module in network.modules() if isinstance(module, Norm)):
            norm.momentum = 0.9
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for candidate in draws(space, 30):
                network.train()(self.images(), candidate)
            for parameter in network.parameters():
                if parameter.dim() < 2:
                    parameter.add_(0.2 * torch.rand(parameter.shape, generator=generator))
        return network.eval()

    def test_alone_equals_supernet_bit_for_bit(self, space: Space) -> None:
        """A candidate's own network with inherited weights gives the supernet's readout, whatever is shared."""
        for entangled in (True, False):
            supernet, spoken = self.supernet(space, entangled=entangled), 0
            for candidate in draws(space, 50):
                alone = space.network(self.spec, candidate)
                inherit(alone, supernet)
                with torch.no_grad():
                    expected = supernet(self.images(), candidate)
                    assert torch.equal(alone.eval()(self.images()), expected), candidate
                assert expected.shape == (space.steps(candidate), 5, self.spec.classes), candidate
                spoken += bool(expected.any())
            assert spoken > 50 * (1 - self.silent), "the comparison is mostly of silences"

    def test_alone_equals_supernet_in_training_and_backwards(self, space: Space) -> None:
        """So it does with batch statistics, and gradients are the same."""
        supernet = self.supernet(space, entangled=True)
        for candidate in draws(space, 10):
            alone = space.network(self.spec, candidate)
            inherit(alone, supernet)
            supernet.zero_grad()
            outputs = []
            for network, filling in ((supernet, candidate), (alone, None)):
                outputs.append(network.train()(self.images(), filling))
                outputs[-1].square().sum().backward()
            assert torch.equal(outputs[0], outputs[1]), candidate
            self.compare_gradients(supernet, alone)
            inherit(alone, supernet)

    def compare_gradients(self, supernet: nn.Module, alone: nn.Module) -> None:
        """Gradients of a candidate's network are those of its part of the supernet."""
        mine = dict(supernet.named_parameters(remove_duplicate=False))
        for name, parameter in alone.named_parameters():
            expected = mine[name].grad
            if parameter.grad is None:
                assert expected is None or not expected.any(), name
                continue
            torch.testing.assert_close(parameter.grad, crop(expected, parameter.shape), rtol=1e-4, atol=1e-5, msg=name)

    def test_the_alone_network_holds_the_chosen_options_only(self, space: Space) -> None:
        """Nothing but what the supernet has, and no kernel larger than it is used."""
        supernet = {name for name, _ in space.network(self.spec).named_modules()}
        for candidate in draws(space, 10):
            alone = space.network(self.spec, candidate)
            assert {name for name, _ in alone.named_modules()} <= supernet, candidate
            for conv in (module for module in alone.modules() if isinstance(module, Conv)):
                assert conv.weight.shape[-1] == conv.k, candidate

    def test_candidates_are_counted_whatever_the_batch(self, space: Space) -> None:
        """Every layer emits what it declares; spikes and operations do not depend on how samples are put together."""
        supernet, images = self.supernet(space, entangled=True), self.images()
        for candidate in draws(space, 15):
            alone = space.network(self.spec, candidate)
            inherit(alone, supernet)
            alone.eval()
            totals = []
            for parts in ([5], [2, 3]):
                with torch.no_grad(), counting(alone) as counter:
                    for part in images.split(parts):
                        alone(part)
                counts = counter.counts()
                totals.append([counts.total(field) for field in ("spikes", "macs", "updates", "additions", "biases")])
            assert totals[0] == totals[1], candidate
            assert counts.samples == 5
            assert counts.total("updates") > 0, candidate

    def test_draws_fill_the_space_and_make_keys(self, space: Space) -> None:
        """Every option is drawn, and candidates survive JSON."""
        seen = [space.sample(np.random.default_rng(seed)) for seed in range(400)]
        for candidate in seen:
            space.check(candidate)
            assert Candidate(json.loads(candidate.key)) == candidate
        for blank, distribution in space.blanks.items():
            if isinstance(distribution, CategoricalDistribution):
                assert {candidate[blank] for candidate in seen} == set(distribution.choices), blank

    def test_size_is_the_number_of_candidates(self, space: Space) -> None:
        """Where they can be counted."""
        if space.size <= 20_000:
            assert len({candidate.key for candidate in space.all()}) == space.size

    def test_what_stands_for_a_candidate_is_one(self, space: Space) -> None:
        """A canonical form is a candidate, its own form, no larger, and has the features of what it stands for."""
        for candidate in draws(space, 30):
            form = space.canonical(candidate)
            space.check(form)
            assert space.canonical(form) == form, candidate
            assert not space.infeasible(form), candidate
            assert space.features(form) == space.features(candidate), candidate
            assert all(isinstance(value, float) for value in space.features(form).values()), candidate
            sizes = [count_parameters(space.network(self.spec, c)) for c in (form, candidate)]
            assert sizes[0] <= sizes[1], candidate

    def test_published_cells_are_candidates(self, space: Space) -> None:
        """They fill the space and can be networks."""
        for name, filling in space.published.items():
            space.check(filling)
            assert not space.infeasible(Candidate(filling)), name

    def test_usual_values_are_of_their_blanks(self, space: Space) -> None:
        """All of them in one candidate."""
        space.check({**draws(space, 1)[0], **space.usual})

    def test_wrong_fillings_are_named(self, space: Space) -> None:
        """In one line that names the blank."""
        good = dict(draws(space, 1)[0])
        blank = next(iter(good))
        for bad, words in (
            ({**good, blank: "no such option"}, f"choice {blank!r}"),
            ({name: value for name, value in good.items() if name != blank}, f"choice {blank!r} of space"),
            ({**good, blank + "x": 1}, f"did you mean {blank!r}?"),
        ):
            message = refusal(space, self.spec, Candidate(bad))
            assert words in message
            assert "\n" not in message

    def test_pictures_are_json_and_show_what_is_built(self, space: Space) -> None:
        """From the input to the readout, every edge between nodes that are there."""
        for candidate in draws(space, 10):
            picture = space.picture(self.spec, candidate)
            assert json.loads(json.dumps(picture)) == picture
            names = [node["id"] for node in picture["nodes"]]
            assert len(set(names)) == len(names), candidate
            assert {name for edge in picture["edges"] for name in edge} <= set(names), candidate
            assert picture["nodes"][0]["shape"] == [self.spec.channels, self.spec.height, self.spec.width]
            assert picture["nodes"][-1]["shape"] == [self.spec.classes]
            assert names[-1] in reached(names[0], picture["edges"]), candidate


def draws(space: Space, n: int) -> list[Candidate]:
    """The same ``n`` draws each time, of those candidates that can be networks, without regard to what is usual."""
    rng, uniform = np.random.default_rng(0), replace(space, usual={})
    return [uniform.sample_sound(rng) for _ in range(n)]


def refusal(space: Space, spec: TaskSpec, candidate: Candidate) -> str:
    """Why a space does not build a candidate; empty if it does."""
    try:
        space.network(spec, candidate)
    except SpaceError as error:
        return str(error)
    return ""


def reached(start: str, edges: list[list[str]]) -> set[str]:
    """The nodes that edges lead to from ``start``."""
    found, left = set(), [start]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += [target for source, target in edges if source == name]
    return found
