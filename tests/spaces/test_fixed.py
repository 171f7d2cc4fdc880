"""Frozen choices: one value left, in the space, the supernet and every candidate a sampler asks for."""

import numpy as np
import pytest

from search.loop.goal import Goal
from search.samplers import SAMPLERS
from spaces import SPACES, lookup
from spaces.errors import OptionError
from spaces.find import make_space
from spaces.fixed import parse_fixed, with_fixed
from spaces.space import Space
from spaces.spec import TaskSpec

SPEC = TaskSpec(channels=1, height=8, width=8, classes=3)
GOAL = Goal(objectives=("accuracy", "spikes"))


def a_space(name="autosnn", **options) -> Space:
    return make_space(name, options={"width": 4, "timesteps": 2, **options}, compiled=False)[0]


@pytest.mark.parametrize("name", SPACES)
def test_every_space_takes_every_choice_fixed(name):
    """Each value of a draw, fixed in turn or all at once: the supernet holds what the candidate's own network does."""
    space = a_space(name)
    drawn = space.sample_sound(np.random.default_rng(0))
    fixed = with_fixed(space, parse_fixed(space, [f"{choice}={value}" for choice, value in drawn.items()]))
    assert fixed.size == 1
    assert fixed.sample(np.random.default_rng(1)) == drawn
    whole, alone = (
        {name: tuple(weight.shape) for name, weight in network.named_parameters()}
        for network in (fixed.network(SPEC), space.network(SPEC, drawn))
    )
    assert set(alone) <= set(whole)
    for choice in list(drawn)[:3]:
        one = with_fixed(space, {choice: drawn[choice]})
        assert one.size <= space.size
        assert one.sample_sound(np.random.default_rng(2))[choice] == drawn[choice]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_asks_for_fixed_values_alone(sampler):
    space = with_fixed(a_space(), {"slot1": "SRB_k5", "slot2": "skip"})
    asked = lookup(SAMPLERS, "sampler", sampler)(space, [], 12, 0, GOAL)
    assert len(set(asked)) == len(asked) == 12
    assert {(one["slot1"], one["slot2"]) for one in asked} == {("SRB_k5", "skip")}


def test_the_supernet_holds_no_option_that_is_fixed_away():
    space = a_space()
    fixed = with_fixed(space, {"slot1": "skip"})
    few, all_ = (sum(weight.numel() for weight in one.network(SPEC).parameters()) for one in (fixed, space))
    assert few < all_


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("slot9=skip", "did you mean 'slot5'"),
        ("slot1=SRB_5", "did you mean 'SRB_k5'"),
        ("slot1", "write CHOICE=VALUE"),
        ("slot1=", "write CHOICE=VALUE"),
        ("=skip", "write CHOICE=VALUE"),
    ],
)
def test_what_cannot_be_fixed_is_named_with_what_is_near(text, said):
    with pytest.raises(OptionError, match="--fix") as error:
        parse_fixed(a_space(), [text])
    assert said in str(error.value)


def test_numbers_are_of_their_range_and_steps():
    space = a_space("dualspace")
    ints = [name for name, kind in space.blanks.items() if isinstance(getattr(kind, "low", None), int)]
    floats = [name for name, kind in space.blanks.items() if isinstance(getattr(kind, "low", None), float)]
    for name in (ints + floats)[:4]:
        low = space.blanks[name].low
        assert parse_fixed(space, [f"{name}={low}"]) == {name: low}
        with pytest.raises(OptionError, match="choose"):
            parse_fixed(space, [f"{name}={space.blanks[name].high + 1}"])
        with pytest.raises(OptionError, match="choose"):
            parse_fixed(space, [f"{name}=nan"])
    with pytest.raises(OptionError, match="fixed already"):
        parse_fixed(space, [f"{floats[0]}={space.blanks[floats[0]].low}"] * 2)
