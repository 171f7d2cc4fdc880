"""The union holds the networks of others."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spaces.attention import SCTFA, SE
from spaces.autosnn import autosnn
from spaces.candidate import Candidate
from spaces.everything import everything
from spaces.layers import Conv
from spaces.residuals import SEW, Spiking
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


def test_a_candidate_and_what_stands_for_it_are_one_network():
    space = everything(width=8, timesteps=4, compiled=False)
    rng, uniform = np.random.default_rng(2), replace(space, usual={})
    speaking = 0
    for drawn in (uniform.sample(rng) for _ in range(60)):
        candidate = Candidate({**drawn, **{name: space.usual[name] for name in space.halves["dynamics"]}})
        form = space.canonical(candidate)
        networks = [space.network(SPEC, one) for one in (candidate, form)]
        images = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            for network in networks:
                initialise(network, torch.Generator().manual_seed(0), norm_scale=2.0, head_gain=4.0)
            readouts = [network(images) for network in networks]
        assert torch.equal(*readouts), candidate
        speaking += form != candidate and bool(readouts[0].any())
    assert speaking > 20


def test_forms_that_differ_in_structure_are_other_networks():
    space = everything(width=4, timesteps=2)
    rng, uniform = np.random.default_rng(3), replace(space, usual={})
    for candidate in (space.canonical(uniform.sample(rng)) for _ in range(25)):
        for blank in space.halves["structure"]:
            moved = space.canonical(Candidate({**candidate, blank: uniform.sample(rng)[blank]}))
            if moved == candidate:
                continue
            shown = [repr(space.network(SPEC, one)) for one in (candidate, moved)]
            assert shown[0] != shown[1], (blank, candidate)


def test_features_are_what_is_built():
    """Weights of convolutions behind the stem in units of C ** 2, and on how much of the image they work."""
    space = everything(width=4)
    rng, uniform = np.random.default_rng(0), replace(space, usual={})
    for candidate in (uniform.sample(rng) for _ in range(30)):
        network, found = space.network(SPEC, candidate), space.features(candidate)
        weights = operations = depth = 0.0
        residuals = 0
        for name, link in network.named_children():
            area = 4.0 ** -(int(name[5]) - 1) / (4 if name.endswith("pool") else 1) if name.startswith("stage") else 0
            gates = {conv for module in link.modules() if isinstance(module, SE | SCTFA) for conv in module.modules()}
            convs = [m for m in link.modules() if isinstance(m, Conv) and m not in gates]
            here = sum(conv.used(conv.weight.shape[1]).numel() for conv in convs) / 4**2
            weights, operations = weights + here * (area > 0), operations + here * area
            depth += sum(conv.k > 1 for conv in convs) * (area > 0)
            residuals += sum(isinstance(m, Spiking | SEW) for m in link.modules())
        widening = sum(candidate[f"{stage}_block1"] == "skip" for stage in ("stage2", "stage3"))
        assert found["weights"] == pytest.approx(weights)
        assert found["operations"] == pytest.approx(operations)
        assert found["depth"] == depth + widening
        assert found["residuals"] == residuals
        assert found["stage2 drive"] == pytest.approx(np.log(candidate["stage2_threshold"] * candidate["stage2_tau"]))
