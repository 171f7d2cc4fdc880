"""Trainings carried by Ray: a supernet by several workers, finalists side by side; kills, and faults in one line."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
import torch

from evaluators.building import set_initial
from evaluators.checkpoint import read_checkpoint
from evaluators.supernet import train_supernet
from evaluators.training import TrainingError
from evaluators.workers import in_parts
from results.folder import RunFolder
from results.ledger import Outcome
from search.loop.goal import Goal
from search.runners.cluster import Cluster, connected
from search.runners.together import train_together
from search.storage import check_shared
from search.work.finalists import Finalist, Training, carried_here, checkpoint_of
from spaces.candidate import Score
from spaces.errors import ClusterError, RunError
from spaces.seeds import numpy_generator, torch_generator

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]  # Ray's own
CLUSTER = Cluster(cpus_per_worker=0.5, object_store_mb=128, retries=1)


@pytest.fixture(scope="module")
def ray():
    with connected(CLUSTER):
        import ray

        yield ray


def curve(setting, checkpoint):
    """What is read of a training that has ended: nothing may be trained here."""
    more = pytest.fail
    _, found = train_supernet(setting, checkpoint=checkpoint, match="a", on_step=lambda done, total: more("trained"))
    return [epoch.loss for epoch in found]


def own_workers(kind="RayTrainWorker"):
    """Processes of workers of a kind under a Ray that this process began."""
    found = []
    for home in Path("/proc").iterdir():
        if home.name.isdecimal():
            try:
                line, parents = (home / "cmdline").read_text(errors="replace"), [int(home.name)]
                while parents[-1] > 1:
                    parents.append(
                        int((home.parent / str(parents[-1]) / "stat").read_text().rpartition(")")[2].split()[1])
                    )
            except OSError:
                continue
            if f"ray::{kind}" in line and os.getpid() in parents:
                found.append(int(home.name))
    return found


def test_two_workers_one_of_which_is_killed_end_like_one(ray, setting, tmp_path):
    """To the bit, in three parts."""
    setting = replace(setting, recipe=replace(setting.recipe, head_gain=8.0))
    _, alone = in_parts(lambda workers: train_supernet(setting, workers=workers), 3)
    path, kills, seen = tmp_path / "checkpoints" / "supernet.safetensors", [], []

    def on_step(done, total):
        seen.append((done, total))
        if not kills and path.exists() and done < total:
            kills.append(own_workers()[0])
            os.kill(kills[0], signal.SIGKILL)

    train_together(setting, CLUSTER, 2, 3, checkpoint=path, match="a", on_step=on_step)
    assert curve(setting, path) == [epoch.loss for epoch in alone]
    assert seen[-1] == (12, 12)


def finalists_of(setting, n):
    rng = numpy_generator(3)
    score = Score(state="ok", fidelity="supernet")
    outcomes = [Outcome(number, 0, setting.space.sample(rng), score) for number in range(n)]
    return [Finalist(outcome=outcome, picked_as="knee") for outcome in outcomes]


def test_finalists_are_trained_side_by_side_as_in_process(ray, setting, tmp_path):
    """Through a rung, from a supernet's weights, one worker killed, with curves for TensorBoard."""
    from search.runners.tuned import tuned

    goal = Goal(objectives=("accuracy", "spikes"))
    supernet = setting.space.network(setting.task.spec)
    set_initial(supernet, replace(setting.recipe, head_gain=8.0), torch_generator(0))
    plan = replace(setting.recipe.plan, epochs=3)
    where = {"plan": plan, "inherited": True, "goal": goal, "match": "a"}
    here, there = (
        Training(setting=setting, supernet=supernet, folder=RunFolder(tmp_path / name), **where)
        for name in ("here", "there")
    )
    pool, kills = finalists_of(setting, 3), []

    def kill_one() -> None:
        end = time.monotonic() + 60
        while not kills and time.monotonic() < end:
            kills.extend(own_workers("ResourceTrainable")[:1])
            time.sleep(0.01)
        os.kill(kills[0], signal.SIGKILL)

    with tuned(there, CLUSTER, log="tensorboard") as carry:
        for until in (1, 3):
            expected = list(carried_here(here)(pool, until))
            killer = Thread(target=kill_one)
            if until == 3:
                killer.start()
            found = [replace(score, seconds=0.0) for score in carry(pool, until)]
            assert found == [replace(score, seconds=0.0) for score in expected]
            assert all(score.state == "ok" for score in found)
    killer.join()
    assert kills
    for one in pool:
        kept = [read_checkpoint(checkpoint_of(one, training), match="a") for training in (here, there)]
        assert [entry["epoch"] for entry in kept[0].curve] == [1, 2, 3]
        assert all(torch.equal(tensor, kept[1].weights[name]) for name, tensor in kept[0].weights.items())
    boards = tmp_path / "there" / "tensorboard"
    assert {path.parent.name for path in boards.rglob("events*")} == {"trial-0", "trial-1", "trial-2"}
    assert not own_workers("ResourceTrainable")


def test_a_storage_that_is_not_shared_is_said_at_once(ray, setting, tmp_path):
    with pytest.raises(RunError, match=r"storage 'memory://here' is not shared: node .* give --storage a folder or"):
        check_shared("memory://here")  # each process has its own
    check_shared(tmp_path / "new")
    check_shared(f"local://{tmp_path}/remote")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_faults_are_one_line_each(ray, setting, tmp_path):
    path = tmp_path / "supernet.safetensors"
    with pytest.raises(ClusterError, match=r"--train-workers 16: there is room for \d at once"):
        train_together(setting, replace(CLUSTER, cpus_per_worker=1000.0), 16, 16, checkpoint=path, match="a")
    plan = replace(setting.recipe.plan, learning_rate=1e38)
    with pytest.raises(TrainingError, match="training diverged"):
        train_together(
            replace(setting, recipe=replace(setting.recipe, plan=plan)), CLUSTER, 2, 2, checkpoint=path, match="a"
        )
