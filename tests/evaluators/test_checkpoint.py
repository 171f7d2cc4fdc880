"""Files of weights: what was written is read, and a damaged one is never taken for a whole one."""

import json

import pytest
import torch
from safetensors.torch import load, save

from evaluators.checkpoint import checksum_of, read_stored, read_tensors, save_tensors
from spaces.errors import DamageWarning, RunError

TENSORS = {
    "weight": torch.arange(6.0).view(2, 3),
    "half": torch.tensor([0.5, -2.0], dtype=torch.bfloat16),
    "mask": torch.tensor([[True], [False]]),
    "steps": torch.tensor(7),
    "none": torch.empty(0, 4),
}


def equal(found):
    return found.keys() == TENSORS.keys() and all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)


def test_what_is_written_is_read_and_the_same_content_is_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        save_tensors(tmp_path / name, dict(sorted(TENSORS.items(), reverse=name == "two")), {"match": "a", "b": "c"})
    tensors, metadata = read_tensors(tmp_path / "one", match="a")
    assert equal(tensors)
    assert metadata == {"match": "a", "b": "c"}
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert read_tensors(tmp_path / "one", match="b") is None
    assert read_tensors(tmp_path / "gone", match="a") is None


def test_the_checksum_tells_tensors_apart_that_have_the_same_bytes():
    one = torch.arange(6.0)
    others = [{"a": one.view(2, 3)}, {"b": one}, {"a": one.view(torch.int32)}, {"a": one[:3], "b": one[3:]}]
    assert len({checksum_of(tensors) for tensors in [{"a": one}, *others]}) == 5
    assert checksum_of({"a": one.view(2, 3).t()}) == checksum_of({"a": one.view(2, 3).t().contiguous()})


def test_files_of_older_versions_have_no_checksum_and_are_read(tmp_path):
    path = tmp_path / "old.safetensors"
    path.write_bytes(save(TENSORS, metadata={"about": json.dumps({"match": "a"})}))
    assert equal(read_tensors(path, match="a")[0])
    path.write_bytes(save(TENSORS))
    assert equal(read_stored(path, "")[0])
    with pytest.warns(DamageWarning, match="does not say what run"):
        assert read_tensors(path, match="a") is None


def test_every_flipped_bit_is_noticed_or_changes_nothing(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_tensors(path, TENSORS, {"match": "a"})
    data, noticed = path.read_bytes(), 0
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            assert equal(read_stored(path, "")[0])
        except RunError:
            noticed += 1
    assert noticed > 0.9 * len(data)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "is not there"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "no whole safetensors file"),
        (lambda path: path.write_bytes(b""), "no whole safetensors file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"), "the checksum of its tensors is"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"match", b"catch")), "its contents give"),
        (lambda path: (path.unlink(), path.mkdir()), "not a regular file"),
        (lambda path: (path.unlink(), path.symlink_to("gone")), "a link to what is not there"),
    ],
)
def test_damaged_weights_are_named_with_the_way_out(tmp_path, damage, words):
    path = tmp_path / "weights.safetensors"
    save_tensors(path, TENSORS, {"match": "a"})
    assert load(path.read_bytes()).keys() == TENSORS.keys()
    damage(path)
    with pytest.raises(RunError, match=rf"weights\.safetensors' is damaged.*{words}.*: make it anew$") as caught:
        read_stored(path, "make it anew")
    assert "\n" not in str(caught.value)
