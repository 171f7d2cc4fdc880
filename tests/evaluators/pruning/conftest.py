"""A small network, and what tickets of it are made of."""

import pytest
import torch

from evaluators.plan import Plan
from evaluators.pruning.making import Making
from evaluators.pruning.pattern import Pruning
from spaces.autosnn import autosnn
from spaces.candidate import Candidate
from spaces.weights import initialise

CELL = {"slot1": "skip", "slot2": "SRB_k3", "slot3": "skip", "slot4": "skip", "slot5": "SCB_k3"}


@pytest.fixture(scope="session")
def build(task):
    """Makes AutoSNN at C = 2, T = 3, the same at every call."""
    space = autosnn(width=2, timesteps=3, compiled=False)

    def make(cell=CELL, seed=0):
        network = space.network(task.spec, Candidate(cell)).to(memory_format=torch.channels_last)
        initialise(network, torch.Generator().manual_seed(seed), norm_scale=2.0, head_gain=4.0, identity=True)
        return network

    return make


@pytest.fixture
def making(task, build, tmp_path):
    plan = Plan(epochs=3, batch_size=16, logit_scale=10.0)
    pruning = Pruning(floor=0.1, spec=task.spec)
    return Making(build=build, task=task, plan=plan, seed=0, folder=tmp_path / "work", pruning=pruning)
