"""Training by several: the same to the bit whoever computes the parts, and that on whole batches but for rounding."""

import json
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from evaluators.workers import Workers, in_parts, normalise_together
from spaces.layers import Norm

ROOT = Path(__file__).parents[2]
# name: processes, parts, threads of each; those whose checkpoints others go on from come first
RUNS = {
    "whole": (1, 1, 1),
    "two": (1, 2, 1),
    "two-threads": (1, 2, 2),
    "two-processes": (2, 2, 1),
    "three": (1, 3, 1),
    "three-uneven": (2, 3, 2),
}
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
@pytest.mark.parametrize(
    ("one", "other"), [("two", "two-threads"), ("two", "two-processes"), ("three", "three-uneven")]
)
def test_who_computes_the_parts_changes_no_bit(found, case, one, other):
    assert [process[case] for process in found[other]] == [found[one][0][case]] * len(found[other])


@pytest.mark.parametrize("case", ["autosnn", "sandwich", "residual"])
@pytest.mark.parametrize("parts", ["two", "three"])
def test_parts_give_the_loss_curve_of_whole_batches(found, case, parts):
    whole, split = found["whole"][0][case], found[parts][0][case]
    assert split["curve"] == pytest.approx(whole["curve"], abs=1e-4)
    assert split["weights"] == pytest.approx(whole["weights"], rel=1e-6)
    assert whole["curve"][0] != whole["curve"][1]


def test_in_double_precision_it_stays_so_for_as_long_as_one_likes(found):
    """96 steps. In float32 they drift apart as whole batches do with another number of threads."""
    whole, split = found["whole"][0]["double"], found["two"][0]["double"]
    assert split["curve"] == pytest.approx(whole["curve"], abs=1e-6)
    assert split["weights"] == pytest.approx(whole["weights"], rel=1e-9)
    assert min(whole["curve"]) < whole["curve"][0] / 2


@pytest.mark.parametrize(
    ("one", "other"), [("two", "two-threads"), ("two", "two-processes"), ("three", "three-uneven")]
)
def test_any_number_of_workers_goes_on_from_a_checkpoint(found, one, other):
    assert all(process["resumed"] == found[one][0]["autosnn"] for process in found[other])


def normalised(parts):
    """Maps whose channels differ in spread by 300, normalised in parts: rows and slopes, and what parts share."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(7, 3, 4, 5, generator=generator) * torch.tensor([1.0, 0.1, 30.0]).view(1, 3, 1, 1) + 5
    slopes = torch.randn(7, 3, 4, 5, generator=generator)
    rows, shared = {}, {}

    def part(workers):
        mine = workers.part(7)
        x = maps[mine].contiguous(memory_format=torch.channels_last).requires_grad_()
        weight, bias = (torch.tensor(row, requires_grad=True) for row in ([1.0, 2.0, 0.5], [0.0, 1.0, -1.0]))
        mean, var = torch.zeros(3), torch.ones(3)
        function = partial(normalise_together, exchange=workers.exchange) if parts > 1 else F.batch_norm
        y = function(x, mean, var, weight, bias, training=True, momentum=0.3, eps=1e-5)
        (y * slopes[mine]).sum().backward()
        workers.add([weight.grad, bias.grad])
        rows[workers.rank] = torch.stack([y.detach(), x.grad])
        shared[workers.rank] = torch.stack([weight.grad, bias.grad, mean, var])

    in_parts(part, parts, threads=2)
    return torch.cat([rows[rank] for rank in range(parts)], dim=1), [shared[rank] for rank in range(parts)]


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_normalisation_over_parts_is_that_over_the_whole(parts):
    rows, (shared,) = normalised(1)
    split, shares = normalised(parts)
    torch.testing.assert_close(split, rows, rtol=1e-4, atol=1e-4)
    for share in shares:
        torch.testing.assert_close(share, shared, rtol=1e-4, atol=1e-4)


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
    assert in_parts(part, 4, threads=threads) == [[[rank, turn] for rank in range(4)] for turn in range(20)]
    assert most <= threads
    assert torch.get_num_threads() == before


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
        in_parts(part, 3, threads=1)
    assert threading.active_count() == count


def test_a_network_that_was_trained_in_parts_can_be_sent_and_used_alone():
    network = nn.Sequential(Norm(2))
    workers = Workers(rank=0, count=2, exchange=lambda row: (row, row))
    workers.join(network)
    assert network[0].normalise is not F.batch_norm
    workers.leave(network)
    assert network[0].normalise is F.batch_norm
