"""Sparse storage gives back every bit, and takes less room."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evaluators.checkpoint import load_weights, save_tensors
from evaluators.pruning.masks import attach, prunable
from evaluators.pruning.one_shot import one_shot
from evaluators.pruning.pattern import Pruning
from evaluators.pruning.rules import begin_bits
from evaluators.pruning.storage import LAYOUTS, pack, plain_tensors, read_sparse, save_sparse, unpack


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("bits", [None, 8, 4, 1])
def test_what_is_stored_is_read_back(build, tmp_path, layout, bits):
    network = build()
    attach(network, one_shot(network, 0.9, Pruning(floor=0.05)))
    begin_bits(network, bits)
    path = tmp_path / "sparse.safetensors"
    save_sparse(path, network, layout=layout, bits=bits, metadata={"space": "autosnn"})
    tensors, expected = read_sparse(path), plain_tensors(network)
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, expected[name]), name
    again = build()
    load_weights(again, tensors)
    assert all(torch.equal(w, prunable(again)[name]) for name, w in prunable(network).items())


def test_sizes_fall_with_bits(build, tmp_path):
    network = build({**dict.fromkeys(["slot1", "slot2", "slot3", "slot4"], "skip"), "slot5": "SCB_k5"})
    attach(network, one_shot(network, 0.8, Pruning(floor=0.05)))
    save_tensors(tmp_path / "dense", plain_tensors(network), {})
    sizes = [(tmp_path / "dense").stat().st_size]
    for bits in (None, 8, 4, 1):
        begin_bits(network, bits)
        save_sparse(tmp_path / "sparse", network, layout="coo", bits=bits, metadata={})
        sizes.append((tmp_path / "sparse").stat().st_size)
    assert sizes == sorted(sizes, reverse=True)


@given(st.sampled_from([8, 4, 1]), st.data())
def test_packed_numbers_come_back(bits, data):
    top = 2 ** (bits - 1) - 1
    one = st.sampled_from([-1, 1]) if bits == 1 else st.integers(-top, top)
    whole = torch.tensor(data.draw(st.lists(one, max_size=20)), dtype=torch.int8)
    packed = pack(whole, bits)
    assert len(packed) == -(-len(whole) * bits // 8)
    assert torch.equal(unpack(packed, bits, len(whole)), whole)
