"""The union holds the networks of others."""

import numpy as np
import pytest
import torch

from spaces.autosnn import autosnn
from spaces.candidate import Candidate
from spaces.everything import everything
from spaces.spec import TaskSpec
from spaces.weights import initialise

SPEC = TaskSpec(channels=3, height=16, width=16, classes=4)
BLOCKS = {"skip": "skip", "SCB_k3": "plain_k3", "SCB_k5": "plain_k5"}


@pytest.mark.parametrize("second", BLOCKS)
def test_plain_blocks_and_usual_values_are_a_network_of_autosnn(second):
    theirs = {"slot1": "SCB_k3", "slot2": "SCB_k5", "slot3": "skip", "slot4": "skip", "slot5": second}
    space, other = everything(width=4, timesteps=3, compiled=False), autosnn(width=4, timesteps=3, compiled=False)
    slots = {"stage1_block1": "slot1", "stage2_block1": "slot2", "stage2_block2": "slot3"}
    slots |= {"stage3_block1": "slot4", "stage3_block2": "slot5"}
    mine = {**space.sample(np.random.default_rng(0)), **space.usual}
    mine |= {"stage1_depth": 1, "stage2_depth": 2, "stage3_depth": 2}
    mine |= {block: BLOCKS[theirs[slot]] for block, slot in slots.items()}
    images = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    readouts = []
    for one, candidate in ((space, mine), (other, theirs)):
        network = one.network(SPEC, Candidate(candidate))
        initialise(network, torch.Generator().manual_seed(0), norm_scale=2.0, head_gain=4.0)
        with torch.no_grad():
            readouts.append(network(images))
    assert readouts[0].abs().sum() > 0
    assert torch.equal(*readouts)
