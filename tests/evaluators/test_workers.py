"""Training by several workers: the same as by one, whatever the norm, the parts and the loss."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evaluators.workers import Workers

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What one worker and each of two came to."""
    home = tmp_path_factory.mktemp("workers")
    script = str(Path(__file__).with_name("worker.py"))

    def run(count):
        processes = [
            subprocess.Popen([sys.executable, script, str(home), str(rank), str(count)], env={"PYTHONPATH": str(ROOT)})
            for rank in range(count)
        ]
        assert [process.wait() for process in processes] == [0] * count
        return [json.loads((home / f"found-{count}-{rank}.json").read_text()) for rank in range(count)]

    return {"one": run(1)[0], "two": run(2)}


@pytest.mark.parametrize("case", ["autosnn", "sandwich", "residual"])
def test_the_loss_curve_of_two_workers_is_that_of_one(found, case):
    one, two = found["one"][case], found["two"]
    assert two[0][case] == two[1][case]  # to the bit
    assert two[0][case]["curve"] == pytest.approx(one["curve"], abs=1e-4)
    assert two[0][case]["weights"] == pytest.approx(one["weights"], rel=1e-6)
    assert one["curve"][0] != one["curve"][1]


def test_in_double_precision_it_stays_so_for_as_long_as_one_likes(found):
    """72 steps. In float32 two workers drift apart as one worker does with another number of threads."""
    one, two = found["one"]["long"], found["two"]
    assert two[0]["long"] == two[1]["long"]
    assert two[0]["long"]["curve"] == pytest.approx(one["curve"], abs=1e-6)
    assert two[0]["long"]["weights"] == pytest.approx(one["weights"], rel=1e-9)
    assert min(one["curve"]) < one["curve"][0] / 2


def test_any_number_of_workers_goes_on_from_a_checkpoint(found):
    one, two = found["one"], found["two"]
    assert two[0]["resumed"]["curve"] == pytest.approx(one["autosnn"]["curve"], abs=1e-4)
    assert two[0]["resumed"]["curve"][0] == one["autosnn"]["curve"][0]  # read, not trained


def test_normalisation_over_two_parts_is_that_over_the_whole(found):
    one, two = found["one"]["norm"], [part["norm"] for part in found["two"]]
    for whole, *parts in zip(one["rows"], *(part["rows"] for part in two), strict=True):
        joined = torch.cat([torch.tensor(part) for part in parts])
        torch.testing.assert_close(joined, torch.tensor(whole), rtol=1e-4, atol=1e-4)
    for part in two:
        for shared, whole in zip(part["shared"], one["shared"], strict=True):
            torch.testing.assert_close(torch.tensor(shared), torch.tensor(whole), rtol=1e-4, atol=1e-4)


@given(st.integers(1, 200), st.data())
def test_parts_make_up_a_batch(samples, data):
    count = data.draw(st.integers(1, samples))
    parts = [range(samples)[Workers(rank=rank, count=count).part(samples)] for rank in range(count)]
    assert [sample for part in parts for sample in part] == list(range(samples))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert min(map(len, parts)) >= 1
