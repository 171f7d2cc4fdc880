import gzip
import hashlib
import shutil
import struct
from dataclasses import replace

import numpy as np
import pytest
from torchvision import datasets

from evaluators.tasks.load import DATA_SETS, load_task
from evaluators.tasks.readers import idx
from evaluators.tasks.readers.idx import FASHION_MNIST, MNIST, read_idx, read_idx_set
from spaces.errors import TaskError


@pytest.mark.parametrize("packed", [False, True])
def test_reads_what_torchvision_reads(tmp_path, write_idx, packed):
    write_idx(tmp_path / "MNIST" / "raw")
    if packed:
        write_idx(tmp_path / "packed", packed=True)
    raw = read_idx_set(MNIST, tmp_path / "packed" if packed else tmp_path, fetch=False, verify=False)
    for train, images, labels in ((True, raw.x_train, raw.y_train), (False, raw.x_test, raw.y_test)):
        oracle = datasets.MNIST(str(tmp_path), train=train)
        np.testing.assert_array_equal(images[..., 0], oracle.data.numpy())
        np.testing.assert_array_equal(labels, oracle.targets.numpy())


@pytest.mark.parametrize("place", [".", "raw", "MNIST/raw", "MNIST", "mnist", "mnist/raw"])
@pytest.mark.parametrize("packed", [False, True])
def test_finds_the_files_where_people_have_them_and_writes_nothing(tmp_path, write_idx, place, packed):
    arrays = write_idx(tmp_path / place, packed=packed)
    before = sorted(tmp_path.rglob("*"))
    raw = read_idx_set(MNIST, tmp_path, fetch=False, verify=False)
    np.testing.assert_array_equal(raw.x_train[..., 0], arrays[0])
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("place", ["FashionMNIST/raw", "fashion_mnist", "fashion-mnist"])
def test_finds_fashion_mnist_beside_mnist(tmp_path, write_idx, place):
    write_idx(tmp_path / "MNIST" / "raw", train=40)
    write_idx(tmp_path / place, train=50)
    assert len(read_idx_set(FASHION_MNIST, tmp_path, fetch=False, verify=False).x_train) == 50


def test_class_names_are_torchvisions():
    assert list(FASHION_MNIST.class_names) == datasets.FashionMNIST.classes


def md5s(folder):
    names = [f"{stem}-idx{1 if 'labels' in stem else 3}-ubyte" for stem in idx.STEMS]
    return tuple(hashlib.md5((folder / name).read_bytes()).hexdigest() for name in names)


def test_checks_published_md5s_of_the_plain_bytes(tmp_path, write_idx):
    write_idx(tmp_path / "plain")
    write_idx(tmp_path / "packed", packed=True)
    known = replace(MNIST, md5=md5s(tmp_path / "plain"))
    for folder in ("plain", "packed"):
        raw = read_idx_set(known, tmp_path / folder, fetch=False, verify=True)
        assert raw.origin["checksum"] == "published MD5 of all four files"
    with pytest.raises(TaskError, match=r"published is 6bbc9ace898e44ae57da46a324031adb.*--no-verify"):
        read_idx_set(MNIST, tmp_path / "plain", fetch=False, verify=True)


def test_tells_fashion_mnist_given_as_mnist(tmp_path, write_idx, monkeypatch):
    write_idx(tmp_path)
    monkeypatch.setattr(idx, "FASHION_MNIST", replace(FASHION_MNIST, md5=md5s(tmp_path)))
    with pytest.raises(TaskError, match="is the train-images file of fashion-mnist; give --data fashion-mnist"):
        read_idx_set(MNIST, tmp_path, fetch=False, verify=True)


def test_nothing_there_says_where_it_looked_and_download(tmp_path):
    with pytest.raises(TaskError, match=r"MNIST is not in '.*nowhere'.*MNIST/raw.*--download.*--data-dir") as caught:
        load_task("mnist", data_dir=tmp_path / "nowhere")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path, write_idx):
    write_idx(tmp_path / "MNIST" / "raw")
    (tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(TaskError, match=r"MNIST/raw' lacks t10k-labels-idx1-ubyte; give --download"):
        load_task("mnist", data_dir=tmp_path)


def test_download_fetches_only_what_is_not_there(tmp_path, write_idx, monkeypatch):
    calls = []

    class Fetched:
        def __init__(self, root, *, train, download):
            calls.append((root, train, download))
            write_idx(tmp_path / "new" / "MNIST" / "raw")

    monkeypatch.setattr(datasets, "MNIST", Fetched)
    for _ in range(2):
        task = load_task("mnist", data_dir=tmp_path / "new", download=True, verify=False)
        assert len(task.test) == 20
    assert calls == [(str(tmp_path / "new"), False, True)]


def test_a_download_that_fails_is_one_line(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("Error downloading\ntrain-images")

    monkeypatch.setattr(datasets, "FashionMNIST", broken)
    with pytest.raises(TaskError, match=r"^download of FashionMNIST into .* failed: Error downloading train-images; "):
        load_task("fashion-mnist", data_dir=tmp_path, download=True)


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "cut short"),
        (b"\x00\x00\x08\x03\x00\x00", "cut short"),
        (struct.pack(">4I", 0x0801, 2, 2, 2) + bytes(8), "begins with 0x00000801"),
        (struct.pack(">4I", 0x0D03, 2, 2, 2) + bytes(32), "begins with 0x00000d03"),
        (struct.pack(">4I", 0x0803, 2, 2, 2) + bytes(7), "has 7 bytes of data where its header says 8"),
        (struct.pack(">4I", 0x0803, 2, 2, 2) + bytes(9), "has more bytes of data where its header says 8"),
        (struct.pack(">4I", 0x0803, 0, 2, 2), "no images"),
        (struct.pack(">4I", 0x0803, 2, 0, 2), "at least 1"),
        (struct.pack(">4I", 0x0803, 2, 513, 2) + bytes(2052), "at most 512"),
        (struct.pack(">4I", 0x0803, 2**32 - 1, 512, 512), "GB are free"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_damaged_files(tmp_path, data, rule, packed):
    path = tmp_path / ("images.gz" if packed else "images")
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(TaskError, match=rule) as caught:
        read_idx(path, dims=3)
    assert "\n" not in str(caught.value)


def test_a_gzip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(struct.pack(">4I", 0x0803, 2, 2, 2) + bytes(50_000_000)))
    with pytest.raises(TaskError, match="more bytes of data where its header says 8"):
        read_idx(path, dims=3)


def test_truncated_and_false_gzip(tmp_path, idx_bytes):
    packed = gzip.compress(idx_bytes(np.ones((9, 4, 4))))
    for data in (packed[:-12], packed[:15], idx_bytes(np.ones((9, 4, 4)))):
        (tmp_path / "images.gz").write_bytes(data)
        with pytest.raises(TaskError, match=r"cannot read .*images.gz' as an idx file"):
            read_idx(tmp_path / "images.gz", dims=3)


def test_counts_of_images_and_labels_must_agree(tmp_path, write_idx, idx_bytes):
    write_idx(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(59) % 10))
    with pytest.raises(TaskError, match="60 training images but 59 labels"):
        load_task("mnist", data_dir=tmp_path, verify=False)


def test_labels_beyond_the_ten_classes(tmp_path, write_idx, idx_bytes):
    write_idx(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(60) % 11))
    with pytest.raises(TaskError, match=r"label 10 is out of range; labels are 0\.\.9"):
        load_task("mnist", data_dir=tmp_path, verify=False)


def test_task(tmp_path, write_idx):
    arrays = write_idx(tmp_path, train=600, size=9)
    task = load_task("mnist", data_dir=shutil.copytree(tmp_path, tmp_path / "mnist"), verify=False)
    assert (len(task.train), len(task.validation), len(task.test)) == (500, 100, 20)
    assert (task.spec.channels, task.spec.height, task.spec.width, task.spec.classes) == (1, 9, 9, 10)
    assert task.augment == DATA_SETS["mnist"].augment == "none"
    np.testing.assert_array_equal(task.test.images[:, 0].numpy(), arrays[2])
    assert task.provenance["checksum"] == "not checked (--no-verify)"
