import numpy as np
import pytest
from scipy.io import savemat
from torchvision import datasets

from evaluators.tasks.load import load_task
from evaluators.tasks.readers import svhn
from evaluators.tasks.readers.guard import md5_of
from spaces.errors import TaskError


@pytest.fixture
def files(tmp_path):
    for seed, name in enumerate(svhn.FILES):
        images = np.random.default_rng(seed).integers(0, 256, (32, 32, 3, 40), np.uint8)
        savemat(tmp_path / name, {"X": images, "y": (np.arange(40) % 10 + 1).astype(np.uint8)[:, None]})
    return tmp_path


def test_checksums_are_torchvisions():
    assert {name: md5 for _, name, md5 in (datasets.SVHN.split_list[s] for s in ("train", "test"))} == svhn.FILES


def test_reads_what_torchvision_reads(files, monkeypatch):
    raw = svhn.read_svhn(files, fetch=False, verify=False)
    monkeypatch.setattr(datasets.SVHN, "_check_integrity", lambda self: True)
    for split, images, labels in (("train", raw.x_train, raw.y_train), ("test", raw.x_test, raw.y_test)):
        oracle = datasets.SVHN(str(files), split=split)
        np.testing.assert_array_equal(images.transpose(0, 3, 1, 2), oracle.data)
        np.testing.assert_array_equal(labels, oracle.labels)


def test_task_and_checksum(files, monkeypatch):
    task = load_task("svhn", data_dir=files, verify=False, val_samples=10)
    assert (len(task.train), len(task.validation), len(task.test), task.augment) == (30, 10, 40, "crop")
    with pytest.raises(TaskError, match=r"train_32x32.mat' has MD5 .*--no-verify"):
        load_task("svhn", data_dir=files)
    monkeypatch.setattr(svhn, "FILES", {name: md5_of(files / name) for name in svhn.FILES})
    assert svhn.read_svhn(files, fetch=False, verify=True).origin["checksum"] == "published MD5 of both files"


@pytest.mark.parametrize(
    "entries",
    [
        {"X": np.zeros((32, 32, 3, 4), np.uint8)},
        {"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.ones((5, 1))},
        {"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.full((4, 1), 11)},
        {"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.full((4, 1), np.nan)},
        {"X": np.zeros((32, 32, 3, 4)), "y": np.ones((4, 1))},
        {"X": np.zeros((4, 32, 32, 3), np.uint8), "y": np.ones((4, 1))},
        {"X": np.array([{"a": 1}], dtype=object), "y": np.ones((4, 1))},
    ],
)
def test_foreign_files(files, entries):
    savemat(files / "test_32x32.mat", entries)
    with pytest.raises(TaskError) as caught:
        load_task("svhn", data_dir=files, verify=False)
    assert "\n" not in str(caught.value)
    (files / "test_32x32.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(TaskError, match=r"cannot read .* as an SVHN file"):
        load_task("svhn", data_dir=files, verify=False)
