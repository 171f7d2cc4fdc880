"""Training by several: the same to the bit whoever computes the parts, and that on whole batches but for rounding."""

import json
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from evaluators.plan import Plan
from evaluators.tasks.task import Split, Task
from evaluators.training import fit
from evaluators.workers import Workers, in_parts
from spaces.batch_norm import batch_norm
from spaces.layers import Norm
from spaces.spec import TaskSpec

ROOT = Path(__file__).parents[2]
# name: processes, parts, threads of each; "one", whose checkpoint others go on from, comes before them
RUNS = {"whole": (1, 1, 1), "one": (1, 3, 1), "threads": (1, 3, 2), "processes": (2, 3, 2)}
CASES = ["autosnn", "sandwich", "residual", "long", "double"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What every run came to, in each of its processes."""
    home = tmp_path_factory.mktemp("workers")
    script = str(Path(__file__).with_name("worker.py"))

    def run(name):
        count, parts, threads = RUNS[name]
        processes = [
            subprocess.Popen(
                [sys.executable, script, home, name, *map(str, (count, rank, parts, threads))],
                env={"PYTHONPATH": str(ROOT)},
            )
            for rank in range(count)
        ]
        assert [process.wait() for process in processes] == [0] * count
        return [json.loads((home / f"found-{name}-{rank}.json").read_text()) for rank in range(count)]

    return {name: run(name) for name in RUNS}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("other", ["threads", "processes"])
def test_who_computes_the_parts_changes_no_bit(found, case, other):
    assert [process[case] for process in found[other]] == [found["one"][0][case]] * len(found[other])


@pytest.mark.parametrize("case", ["autosnn", "sandwich", "residual"])
def test_parts_give_the_loss_curve_of_whole_batches(found, case):
    whole, split = found["whole"][0][case], found["one"][0][case]
    assert split["curve"] == pytest.approx(whole["curve"], abs=1e-4)
    assert split["weights"] == pytest.approx(whole["weights"], rel=1e-6)
    assert whole["curve"][0] != whole["curve"][1]


def test_in_double_precision_it_stays_so_for_as_long_as_one_likes(found):
    """72 steps. In float32 they drift apart as whole batches do with another number of threads."""
    whole, split = found["whole"][0]["double"], found["one"][0]["double"]
    assert split["curve"] == pytest.approx(whole["curve"], abs=1e-6)
    assert split["weights"] == pytest.approx(whole["weights"], rel=1e-9)
    assert min(whole["curve"]) < whole["curve"][0] / 2


@pytest.mark.parametrize("other", ["threads", "processes"])
def test_any_number_of_workers_goes_on_from_a_checkpoint(found, other):
    assert all(process["resumed"] == found["one"][0]["autosnn"] for process in found[other])
    assert found[other][0]["steps"] == [7, 8, 9, 10, 11, 12]  # the first epoch was read, not trained


@given(st.integers(1, 200), st.data())
def test_parts_make_up_a_batch(samples, data):
    count = data.draw(st.integers(1, samples))
    parts = [range(samples)[Workers(rank=rank, count=count).part(samples)] for rank in range(count)]
    assert [sample for part in parts for sample in part] == list(range(samples))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert min(map(len, parts)) >= 1


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_rows_come_to_all_in_order_and_so_many_run_at_a_time(threads):
    running, most, lock = 0, 0, threading.Lock()

    def part(workers):
        nonlocal running, most
        seen = []
        for turn in range(20):
            with lock:
                running += 1
                most = max(most, running)
            assert torch.get_num_threads() == 1
            row = torch.tensor([workers.rank, turn])
            with lock:
                running -= 1
            seen.append([row.tolist() for row in workers.exchange(row)])
        return seen

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert in_parts(part, 4) == [[[rank, turn] for rank in range(4)] for turn in range(20)]
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert most <= threads


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("fault", [ValueError("one"), KeyboardInterrupt()])
def test_a_part_that_fails_ends_the_others(rank, fault):
    def part(workers):
        for turn in range(9):
            if workers.rank == rank and turn == 4:
                raise fault
            workers.exchange(torch.zeros(1))

    count = threading.active_count()
    with pytest.raises(type(fault)):
        in_parts(part, 3)
    assert threading.active_count() == count


class Small(nn.Sequential):
    def forward(self, images, candidate):
        return super().forward(images).mean((2, 3))[None]


def test_a_network_that_was_trained_in_parts_can_be_sent_and_used_alone():
    rng = np.random.default_rng(0)
    images = torch.tensor(rng.integers(0, 255, (6, 1, 4, 4)), dtype=torch.uint8)
    split = Split(images, torch.arange(6) % 2)
    spec = TaskSpec(channels=1, height=4, width=4, classes=2)
    common = {"mean": (0.5,), "std": (0.3,), "augment": "none", "class_names": ("a", "b"), "provenance": {}}
    task = Task(name="six", spec=spec, train=split, validation=split, test=split, **common)

    def part(workers):
        network = Small(Norm(1), nn.Conv2d(1, 2, 1))
        with torch.no_grad():
            network[1].weight.fill_(0.5)
            network[1].bias.zero_()
        fit(network, task, Plan(epochs=1, batch_size=6), seed=0, workers=workers)
        return network

    network = pickle.loads(pickle.dumps(in_parts(part, 2).eval()))
    assert network(images.float(), None).isfinite().all()
    assert network[0].normalise is batch_norm
