"""Every space passes the conformance suite; what a space does with all kinds of blanks."""

from dataclasses import replace

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from evaluators.conformance import SpaceConformance
from spaces import SPACES, lookup
from spaces.errors import SpaceError
from spaces.space import Space

SMALL = {"width": 4, "timesteps": 3, "compiled": False}


class TestSpaces(SpaceConformance):
    """All of them, small."""

    @pytest.fixture(params=[name for name in SPACES if name != "everything"])
    def space(self, request):
        return lookup(SPACES, "space", request.param)(**SMALL)


class TestEverything(SpaceConformance):
    """The union, whose thresholds of up to 2 leave most networks silent at a scale of 2."""

    norm_scale = 3.0

    @pytest.fixture
    def space(self):
        return lookup(SPACES, "space", "everything")(**SMALL)


def mixed_space():
    blanks = {
        "kind": CategoricalDistribution(["a", "b"]),
        "depth": IntDistribution(2, 8, step=3),
        "threshold": FloatDistribution(0.5, 1.5),
        "tau": FloatDistribution(1.0, 100.0, log=True),
        "rate": FloatDistribution(0.0, 1.0, step=0.25),
    }
    return Space(name="mixed", about="", blanks=blanks, timesteps=1, build=None)


def test_all_kinds_of_blanks_are_drawn_uniformly_and_checked():
    space = mixed_space()
    rng = np.random.default_rng(0)
    seen = [space.sample(rng) for _ in range(2000)]
    for candidate in seen:
        space.check(candidate)
    assert {candidate["depth"] for candidate in seen} == {2, 5, 8}
    assert {candidate["rate"] for candidate in seen} == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert np.mean([candidate["threshold"] for candidate in seen]) == pytest.approx(1.0, abs=0.03)
    assert np.mean(np.log10([candidate["tau"] for candidate in seen])) == pytest.approx(1.0, abs=0.05)
    assert space.size == float("inf")
    with pytest.raises(SpaceError, match="continuous"):
        next(space.all())
    for bad in ({"depth": 3}, {"depth": 5.0}, {"depth": True}, {"threshold": float("nan")}, {"rate": 0.3}, {"kind": 1}):
        with pytest.raises(SpaceError, match=next(iter(bad))):
            space.check({**seen[0], **bad})


def test_a_draw_takes_usual_values_three_times_in_four():
    space = replace(mixed_space(), usual={"kind": "b", "threshold": 1.0})
    rng = np.random.default_rng(0)
    seen = [space.sample(rng) for _ in range(2000)]
    assert np.mean([candidate["kind"] == "b" for candidate in seen]) == pytest.approx(0.75 + 0.25 / 2, abs=0.03)
    assert np.mean([candidate["threshold"] == 1.0 for candidate in seen]) == pytest.approx(0.75, abs=0.03)
    both = np.mean([candidate["kind"] == "b" and candidate["threshold"] == 1.0 for candidate in seen])
    assert both == pytest.approx(0.75 * (0.75 + 0.25 / 2), abs=0.03)  # blanks are independent
    assert list(seen[0]) == list(space.blanks)
