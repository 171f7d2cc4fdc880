"""Sampling rules: what each promises, on spaces of all kinds of blanks."""

from collections import Counter
from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from evaluators.paths import PATH_RULES, sound
from spaces import space as space_module
from spaces.errors import SpaceError
from spaces.seeds import numpy_generator
from spaces.space import Space

BLANKS = st.sampled_from(
    [
        CategoricalDistribution(("a", "b", "c", "d", "e")),
        CategoricalDistribution((1, 2)),
        IntDistribution(1, 9, step=4),
        FloatDistribution(0.5, 2.0),
        FloatDistribution(0.0, 1.0, step=0.5),
    ]
)
SPACE = st.lists(BLANKS, min_size=1, max_size=5).map(
    lambda blanks: Space(
        name="any", about="", blanks={f"b{i}": b for i, b in enumerate(blanks)}, timesteps=1, build=None
    )
)


@pytest.mark.parametrize("rule", PATH_RULES)
@given(space=SPACE, paths=st.integers(2, 7), seed=st.integers(0, 99))
def test_every_rule_gives_whole_candidates_and_the_same_for_a_seed(rule, space, paths, seed):
    groups = list(islice(PATH_RULES[rule](space, paths, numpy_generator(seed)), 5))
    assert groups == list(islice(PATH_RULES[rule](space, paths, numpy_generator(seed)), 5))
    for group in groups:
        assert len(group) == paths
        for candidate in group:
            space.check(candidate)


@given(space=SPACE, paths=st.integers(1, 7), seed=st.integers(0, 99))
def test_fair_runs_every_option_as_often_as_any_other(space, paths, seed):
    length = max((len(values) for name in space.blanks if (values := space.options(name))), default=1)
    groups = PATH_RULES["fair"](space, paths, numpy_generator(seed))
    row = [candidate for group in islice(groups, length * 4) for candidate in group]
    for name in space.blanks:
        if (values := space.options(name)) is None:
            continue
        for start in range(0, len(row), length):
            counts = Counter(candidate[name] for candidate in row[start : start + length])
            assert len(counts) == len(values)
            assert max(counts.values()) <= -(-length // len(values))


def test_sandwich_holds_both_ends(setting):
    group = next(PATH_RULES["sandwich"](setting.space, 4, numpy_generator(0)))
    assert set(group[0].values()) == {"skip"}
    assert set(group[1].values()) == {"SRB_k5"}
    assert len({candidate.key for candidate in group}) == 4


def test_balanced_draws_families_alike_and_their_options_alike(setting):
    draws = list(islice(PATH_RULES["balanced"](setting.space, 1, numpy_generator(0)), 6000))
    counts = Counter(candidate["slot2"] for (candidate,) in draws)
    assert counts["skip"] / 6000 == pytest.approx(1 / 3, abs=0.03)
    for name in ("SCB_k3", "SCB_k5", "SRB_k3", "SRB_k5"):
        assert counts[name] / 6000 == pytest.approx(1 / 6, abs=0.03)
    pairs = Counter((candidate["slot1"], candidate["slot3"]) for (candidate,) in draws)
    assert pairs["skip", "skip"] / 6000 == pytest.approx(1 / 9, abs=0.03)  # blanks are independent


def test_without_families_balanced_is_uniform():
    space = Space(
        name="any",
        about="",
        blanks={"a": CategoricalDistribution(("x", "y", "z")), "b": IntDistribution(1, 2)},
        timesteps=1,
        build=None,
    )
    counts = Counter(c.key for (c,) in islice(PATH_RULES["balanced"](space, 1, numpy_generator(0)), 6000))
    assert len(counts) == 6
    assert max(counts.values()) - min(counts.values()) < 250


def test_balanced_keeps_the_usual_values_that_were_drawn():
    blanks = {"a": CategoricalDistribution(("x", "y", "z")), "b": CategoricalDistribution((0, 1))}
    space = Space(name="any", about="", blanks=blanks, usual={"a": "y"}, timesteps=1, build=None)
    draws = list(islice(PATH_RULES["balanced"](space, 1, numpy_generator(0)), 6000))
    counts = Counter(candidate["a"] for (candidate,) in draws)
    assert counts["y"] / 6000 == pytest.approx(1 - 0.25 * (2 / 3) ** 2, abs=0.02)

    assert sum(candidate["b"] for (candidate,) in draws) / 6000 == pytest.approx(0.5, abs=0.02)


def test_dense_leaves_out_the_least_option_where_others_are_left():
    blanks = {
        "edge": CategoricalDistribution((0, 1, 2)),
        "pair": CategoricalDistribution((0, 1)),
        "attention": CategoricalDistribution(("none", "se", "sctfa")),
        "norm": CategoricalDistribution(("bn", "tdbn", "tebn")),
    }
    usual = {"attention": "none", "norm": "tdbn"}
    space = Space(name="any", about="", blanks=blanks, usual=usual, timesteps=1, build=None)
    draws = [candidate for (candidate,) in islice(PATH_RULES["dense"](space, 1, numpy_generator(0)), 6000)]
    shares = {
        name: {value: count / 6000 for value, count in Counter(draw[name] for draw in draws).items()} for name in blanks
    }
    assert shares["edge"] == pytest.approx({1: 1 / 2, 2: 1 / 2}, abs=0.02)
    assert shares["pair"] == pytest.approx({0: 1 / 2, 1: 1 / 2}, abs=0.02)
    assert shares["attention"] == pytest.approx({"none": 5 / 6, "se": 1 / 12, "sctfa": 1 / 12}, abs=0.02)
    assert shares["norm"] == pytest.approx({"tdbn": 7 / 8, "tebn": 1 / 8}, abs=0.02)


def test_dense_seldom_draws_an_identity_beside_one_kind_of_operation():
    blanks = {
        "edge": CategoricalDistribution(("none", "skip", "conv_1", "conv_2", "conv_3")),
        "kinds": CategoricalDistribution(("none", "skip", "conv_1", "conv_2", "pool_1", "pool_2")),
        "usual": CategoricalDistribution(("none", "skip", "conv_1", "conv_2")),
    }
    family = lambda value: value.split("_")[0]  # noqa: E731
    usual = {"usual": "skip"}
    space = Space(name="any", about="", blanks=blanks, usual=usual, family=family, timesteps=1, build=None)
    draws = [candidate for (candidate,) in islice(PATH_RULES["dense"](space, 1, numpy_generator(0)), 6000)]
    shares = {
        name: {value: count / 6000 for value, count in Counter(draw[name] for draw in draws).items()} for name in blanks
    }
    assert shares["edge"] == pytest.approx({"skip": 0.1} | {f"conv_{k}": 0.3 for k in (1, 2, 3)}, abs=0.02)
    assert shares["kinds"] == pytest.approx(dict.fromkeys(blanks["kinds"].choices[1:], 0.2), abs=0.02)
    assert shares["usual"]["skip"] > 0.75


def flawed(space, reason):
    """The space, with candidates that are no networks."""
    return replace(space, infeasible=reason)


@pytest.mark.parametrize("rule", PATH_RULES)
def test_paths_that_are_no_networks_are_drawn_anew(rule):
    blanks = {"a": CategoricalDistribution([0, 1, 2]), "b": CategoricalDistribution([0, 1])}
    whole = Space(name="any", about="", blanks=blanks, timesteps=1, build=None)
    space = flawed(whole, lambda candidate: "none" if candidate["a"] == candidate["b"] else "")
    rng = numpy_generator(0, rule)
    groups = list(islice(sound(space, PATH_RULES[rule](space, 3, rng), rng), 200))
    assert all(len(group) == 3 and not any(map(space.infeasible, group)) for group in groups)
    seen = {(candidate["a"], candidate["b"]) for group in groups for candidate in group}
    assert seen == {(0, 1), (1, 0), (2, 0), (2, 1)}


def test_a_space_without_networks_is_named(monkeypatch):
    monkeypatch.setattr(space_module, "TRIES", 5)
    whole = Space(name="hollow", about="", blanks={"a": CategoricalDistribution([0])}, timesteps=1, build=None)
    space = flawed(whole, lambda candidate: "it joins nothing")
    rng = numpy_generator(0)
    with pytest.raises(SpaceError, match=r"5 random candidates of space 'hollow' is a network: it joins nothing"):
        next(sound(space, PATH_RULES["uniform"](space, 1, rng), rng))
