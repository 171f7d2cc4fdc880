import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import interpolate

from evaluators.tasks.build import fingerprint
from evaluators.tasks.load import DATA_SETS, load_task
from spaces.errors import OptionError, TaskError


def rows(split):
    return [row.numpy().tobytes() for row in split.images.flatten(1)]


def all_rows(task):
    return rows(task.train) + rows(task.validation) + rows(task.test)


def test_digits_are_scikit_learns_upsampled_bilinearly():
    task = load_task("digits")
    images, labels = load_digits(return_X_y=True)
    small = torch.from_numpy(images).view(-1, 1, 8, 8)
    exact = interpolate(small, (16, 16), mode="bilinear", align_corners=False) * 255 / 16
    expected = [row.numpy().tobytes() for row in torch.floor(exact + 0.5).to(torch.uint8).flatten(1)]
    got_labels = torch.cat([task.train.labels, task.validation.labels, task.test.labels]).tolist()
    assert task.train.images.dtype == torch.uint8
    assert sorted(zip(all_rows(task), got_labels, strict=True)) == sorted(zip(expected, labels, strict=True))


def test_digits_splits_are_disjoint_stratified_and_complete():
    task = load_task("digits", seed=1)
    assert [len(split) for split in (task.train, task.validation, task.test)] == [1150, 287, 360]
    assert sorted(all_rows(task)) == sorted(all_rows(load_task("digits", seed=2)))
    everything = np.bincount(load_digits().target)
    for split in (task.train, task.validation, task.test):
        share = everything * len(split) / 1797
        assert (np.abs(np.bincount(split.labels) - share) < 2).all()  # two roundings: test, then validation


def test_the_digits_test_split_is_the_same_for_ever():
    """Published figures stand on these images: if this fails, figures no longer compare with earlier ones."""
    assert fingerprint(load_task("digits").test).startswith("f21c935b1a91b03e")


def test_test_split_does_not_depend_on_the_seed_and_the_others_do():
    one, same, other = load_task("digits", seed=1), load_task("digits", seed=1), load_task("digits", seed=2)
    assert one.provenance["sha256"] == same.provenance["sha256"] != other.provenance["sha256"]
    assert torch.equal(one.test.images, other.test.images)
    assert rows(one.train) == rows(same.train) != rows(other.train)
    assert rows(one.validation) != rows(other.validation)


def test_subsets():
    whole = load_task("digits", val_samples=100)
    task = load_task("digits", train_samples=200, val_samples=100)
    assert (len(task.train), len(task.validation), len(task.test)) == (200, 100, 360)
    assert rows(task.validation) == rows(whole.validation)
    assert set(rows(task.train)) <= set(rows(whole.train))
    share = torch.bincount(whole.train.labels) * 200 / len(whole.train)
    assert (torch.bincount(task.train.labels) - share).abs().max() < 1
    pixels = task.train.images.double() / 255
    np.testing.assert_allclose(task.mean[0], pixels.mean(), rtol=1e-12)
    np.testing.assert_allclose(task.std[0], pixels.std(correction=0), rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"train_samples": 1151, "val_samples": 287}, r"^'digits': training samples 1151: must be 10\.\.1150"),
        ({"train_samples": 9}, r"training samples 9: must be 10\.\."),
        ({"train_samples": 0}, "training samples 0"),
        ({"train_samples": -5}, "training samples -5"),
        ({"val_samples": 1437}, r"validation samples 1437: must be 10\.\.1427"),
        ({"val_samples": 9}, "validation samples 9"),
        ({"train_samples": 1000, "val_samples": 438}, r"training samples 1000: must be 10\.\.999"),
        ({"seed": -1}, "seed -1 is negative"),
    ],
)
def test_subsets_that_cannot_be_had(options, rule):
    with pytest.raises(TaskError, match=rule):
        load_task("digits", **options)


def test_provenance_is_json_and_counts_right():
    task = load_task("digits", train_samples=300)
    told = json.loads(json.dumps(task.provenance))
    assert told["samples"] == {"train": 300, "validation": 60, "test": 360}  # a fifth of what is trained on
    counts = torch.bincount(task.test.labels)
    assert told["per_class"]["test"]["min"] == counts.min()
    assert told["per_class"]["test"]["max_share"] == counts.max() / 360
    assert len(told["sha256"]) == 64


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("digit", r"unknown data set 'digit' \(did you mean 'digits'\?\); known: digits, .*path"),
        ("cifar-10", "did you mean 'cifar10'"),
        ("zzz", "unknown data set 'zzz'; known: digits, mnist"),
        ("", "unknown data set ''"),
        ("nowhere/data", "no such file or folder: 'nowhere/data'"),
        ("own.npz", "no such file or folder: 'own.npz'"),
        ("a\nb", r"unknown data set 'a\\nb'"),
    ],
)
def test_names_that_are_none(name, rule, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TaskError, match=rule) as caught:
        load_task(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "~nobody-by-this-name/a"])
def test_paths_that_no_file_can_have(name):
    with pytest.raises(OptionError, match=r"--data .* cannot be looked up"):
        load_task(name)
    with pytest.raises(OptionError, match=r"--data-dir .* cannot be looked up"):
        load_task("mnist", data_dir=name)


def test_a_file_of_another_kind(tmp_path):
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(TaskError, match=r"a.csv' is neither an .npz nor a folder"):
        load_task(tmp_path / "a.csv")
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(TaskError, match=r"pipe.npz' is a named pipe, not a regular file"):
        load_task(tmp_path / "pipe.npz")


def test_data_dir_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    for name in ("mnist", "cifar10", "cifar100", "svhn", "fashion-mnist", "nmnist"):
        for folder in (tmp_path / "file", tmp_path / "none"):
            with pytest.raises(TaskError):
                load_task(name, data_dir=folder)


def test_help_can_list_the_data_sets_without_heavy_libraries():
    script = (
        "import sys; from evaluators.tasks.load import DATA_SETS; "
        "print(*DATA_SETS); print(sorted({'torch', 'torchvision', 'sklearn', 'scipy', 'PIL'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    out = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True).stdout
    assert out == "digits mnist fashion-mnist cifar10 cifar100 svhn nmnist\n[]\n"
    assert all(data_set.description for data_set in DATA_SETS.values())


def test_the_default_validation_split_has_a_cap(monkeypatch):
    monkeypatch.setattr("evaluators.tasks.build.LARGEST_VALIDATION", 40)
    assert len(load_task("digits").validation) == 40
    assert len(load_task("digits", val_samples=50).validation) == 50
