"""The supernet trained by several workers under Ray Train: as by one, through a kill, and faults in one line."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from evaluators.supernet import train_supernet
from evaluators.training import TrainingError
from search.cluster import Cluster, connected
from search.together import train_together
from spaces.errors import ClusterError, OptionError

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


def own_workers():
    """Processes of workers under a Ray that this process began."""
    found = []
    for home in Path("/proc").iterdir():
        if home.name.isdecimal():
            try:
                line, parents = (home / "cmdline").read_text(), [int(home.name)]
                while parents[-1] > 1:
                    parents.append(
                        int((home.parent / str(parents[-1]) / "stat").read_text().rpartition(")")[2].split()[1])
                    )
            except OSError:
                continue
            if "RayTrainWorker" in line and os.getpid() in parents:
                found.append(int(home.name))
    return found


def test_two_workers_one_of_which_is_killed_end_like_one(ray, setting, tmp_path):
    setting = replace(setting, recipe=replace(setting.recipe, head_gain=8.0))
    _, alone = train_supernet(setting)
    path, kills, seen = tmp_path / "checkpoints" / "supernet.safetensors", [], []

    def on_step(done, total):
        seen.append((done, total))
        if not kills and path.exists() and done < total:
            kills.append(own_workers()[0])
            os.kill(kills[0], signal.SIGKILL)

    train_together(setting, CLUSTER, 2, checkpoint=path, match="a", on_step=on_step)
    assert curve(setting, path) == pytest.approx([epoch.loss for epoch in alone], abs=1e-4)
    assert seen[-1] == (12, 12)


def test_faults_are_one_line_each(ray, setting, tmp_path):
    path = tmp_path / "supernet.safetensors"
    with pytest.raises(OptionError, match=r"--train-workers 17: a batch has 16 samples"):
        train_together(setting, CLUSTER, 17, checkpoint=path, match="a")
    with pytest.raises(ClusterError, match=r"--train-workers 16: there is room for \d at once"):
        train_together(setting, replace(CLUSTER, cpus_per_worker=1000.0), 16, checkpoint=path, match="a")
    plan = replace(setting.recipe.plan, learning_rate=1e30)
    with pytest.raises(TrainingError, match="training diverged"):
        train_together(
            replace(setting, recipe=replace(setting.recipe, plan=plan)), CLUSTER, 2, checkpoint=path, match="a"
        )
