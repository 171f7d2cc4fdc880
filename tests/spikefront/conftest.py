"""A small run, made by the front door itself: two classes of 8x8 images, bright on the left or on the right."""

import numpy as np
import pytest

import spikefront

SMALL = {"width": 4, "timesteps": 2, "threads": 1, "compile": False, "batch_size": 16, "head_gain": 4}


@pytest.fixture(scope="session")
def images():
    """Raw images [160, 8, 8], uint8, and their labels; the last 32 are to test on."""
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 2
    images = rng.integers(0, 80, (160, 8, 8)).astype(np.uint8)
    images[labels == 0, :, :4] += 120
    images[labels == 1, :, 4:] += 120
    return images, labels


@pytest.fixture(scope="session")
def npz(tmp_path_factory, images):
    path = tmp_path_factory.mktemp("data") / "sides.npz"
    pixels, labels = images
    np.savez(path, x_train=pixels[:128], y_train=labels[:128], x_test=pixels[128:], y_test=labels[128:])
    return path


@pytest.fixture(scope="session")
def told():
    """What the search of ``run`` told of its progress."""
    return []


@pytest.fixture(scope="session")
def run(tmp_path_factory, npz, told):
    budget = {"candidates": 8, "batch": 4, "supernet_epochs": 6, "finalists": 2, "finalist_epochs": 4}
    budget |= {"finalist_pool": 2}
    out = tmp_path_factory.mktemp("runs") / "run"
    return spikefront.search(data=npz, out=out, progress=lambda *one: told.append(one), **budget, **SMALL)
