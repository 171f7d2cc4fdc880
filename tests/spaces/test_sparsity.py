"""Sparsity as a blank: what it adds to a space, and what it leaves as it was."""

import numpy as np
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution

from spaces import SPACES
from spaces.autosnn import autosnn
from spaces.candidate import Candidate
from spaces.errors import OptionError, SpaceError
from spaces.find import make_space
from spaces.snasnet import snasnet
from spaces.sparsity import SPARSITY, asked_sparsity, dense_part, with_sparsity
from spaces.spec import TaskSpec
from spaces.weights import initialise

SPEC = TaskSpec(channels=3, height=16, width=16, classes=10)


@pytest.mark.parametrize("name", SPACES)
def test_every_space_gains_one_blank_and_builds_the_same_networks(name):
    dense, _ = make_space(name)
    space = with_sparsity(dense, 0.9)
    assert list(space.blanks) == [*dense.blanks, SPARSITY]
    assert space.blanks[SPARSITY] == FloatDistribution(0.0, 0.9)
    assert space.halves["dynamics"][-1] == SPARSITY
    candidate = space.sample_sound(np.random.default_rng(0))
    plain = dense_part(candidate)
    assert list(plain) == list(dense.blanks)
    assert 0 < asked_sparsity(candidate) < 0.9
    assert asked_sparsity(plain) == 0
    mine, theirs = space.network(SPEC, candidate).state_dict(), dense.network(SPEC, plain).state_dict()
    assert {key: value.shape for key, value in mine.items()} == {key: value.shape for key, value in theirs.items()}
    assert space.features(candidate) == dense.features(plain)
    form = space.canonical(candidate)
    assert (dense_part(form), form[SPARSITY]) == (dense.canonical(plain), candidate[SPARSITY])
    for published, filling in space.published.items():
        assert dict(filling) == {**dense.published[published], SPARSITY: 0.0}


def test_the_supernet_takes_candidates_of_any_sparsity():
    space = with_sparsity(autosnn(width=4, timesteps=2), 0.5)
    network = space.network(SPEC).train()  # norms of the batch, so that it spikes
    initialise(network, torch.Generator().manual_seed(0), norm_scale=2.0, head_gain=8.0, identity=True)
    candidate = space.sample(np.random.default_rng(0))
    images = torch.rand(8, 3, 16, 16)
    with torch.no_grad():
        outputs = [network(images, Candidate({**candidate, SPARSITY: share})) for share in (0.0, 0.5)]
    assert torch.equal(*outputs)
    assert outputs[0].abs().sum() > 0


def test_what_is_no_network_is_none_at_any_sparsity():
    space = with_sparsity(snasnet(), 0.5)
    nothing = Candidate(dict.fromkeys(snasnet().blanks, "none") | {SPARSITY: 0.25})
    assert space.infeasible(nothing) == snasnet().infeasible(dense_part(nothing)) != ""


@pytest.mark.parametrize("most", [0.0, 1.0, -0.1, float("nan")])
def test_a_bound_that_is_none_is_named(most):
    with pytest.raises(OptionError, match="--search-sparsity"):
        with_sparsity(autosnn(), most)


def test_a_space_with_such_a_blank_and_a_candidate_out_of_range_are_refused():
    space = with_sparsity(autosnn(width=4), 0.5)
    with pytest.raises(OptionError, match="has a choice 'sparsity' of its own"):
        with_sparsity(space, 0.5)
    candidate = Candidate({**space.sample(np.random.default_rng(0)), SPARSITY: 0.6})
    with pytest.raises(SpaceError, match="choice 'sparsity'"):
        space.network(SPEC, candidate)
    assert all(isinstance(kind, CategoricalDistribution) for kind in autosnn().blanks.values())
