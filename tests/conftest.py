"""Small, real pieces shared by tests: a task that can be learnt in seconds, a space, a setting."""

import os
import secrets

import numpy as np
import pytest
import torch
from hypothesis import settings

from evaluators.energy import HOROWITZ_45NM_FP32
from evaluators.plan import Plan
from evaluators.setting import Recipe, Setting
from evaluators.tasks.build import build_task
from evaluators.tasks.readers.raw import RawData
from spaces.autosnn import autosnn

# machines are slow at times, and nothing is asserted on time; CI draws the same examples every time
settings.register_profile("untimed", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("untimed")


def pytest_configure() -> None:
    """One token for every Ray of a process, which reads it once, when it is imported."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Two busy processes with two threads each on two cores slow down tenfold."""
    torch.set_num_threads(1)


def sides() -> dict[str, np.ndarray]:
    """Two classes of 8x8 images, bright on the left or on the right: 128 to train, 32 to test."""
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 2
    images = rng.integers(0, 80, (160, 8, 8)).astype(np.uint8)
    images[labels == 0, :, :4] += 120
    images[labels == 1, :, 4:] += 120
    return {"x_train": images[:128], "y_train": labels[:128], "x_test": images[128:], "y_test": labels[128:]}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """An .npz of two classes of 8x8 images."""
    path = tmp_path_factory.mktemp("data") / "sides.npz"
    np.savez(path, **sides())
    return path


@pytest.fixture(scope="session")
def task():
    """Two classes of 8x8 images, bright on the left or on the right: 96 to train, 32 to validate, 32 to test."""
    found = sides()
    raw = RawData(**found | {name: found[name][..., None] for name in ("x_train", "x_test")})
    return build_task(raw, name="sides", val_samples=32)


@pytest.fixture(scope="session")
def setting(task):
    """AutoSNN at C = 4, T = 2, two epochs."""
    return Setting(
        space=autosnn(width=4, timesteps=2, compiled=False),
        task=task,
        recipe=Recipe(plan=Plan(epochs=2, batch_size=16, logit_scale=10.0)),
        model=HOROWITZ_45NM_FP32,
        seed=0,
    )
