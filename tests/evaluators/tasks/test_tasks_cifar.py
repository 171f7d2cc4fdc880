import pickle
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from evaluators.tasks.load import load_task
from evaluators.tasks.readers.cifar import CIFAR10, CIFAR100, read_cifar
from evaluators.tasks.readers.guard import md5_of
from spaces.errors import TaskError

FOLDER = CIFAR10.folder


@pytest.fixture
def torchvision_reads(monkeypatch):
    """Torchvision's reader without its checksums."""
    for listed in ("train_list", "test_list"):
        monkeypatch.setattr(datasets.CIFAR10, listed, [[name, None] for name, _ in getattr(datasets.CIFAR10, listed)])
    monkeypatch.setattr(datasets.CIFAR10, "meta", datasets.CIFAR10.meta | {"md5": None})
    return datasets.CIFAR10


def read(data_set, data_dir, verify=False):
    return read_cifar(data_set, data_dir, fetch=False, verify=verify)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("inside", [True, False])
def test_reads_what_torchvision_reads(tmp_path, write_cifar, torchvision_reads, protocol, inside):
    write_cifar(tmp_path / FOLDER, protocol=protocol, text=True)
    raw = read(CIFAR10, tmp_path / FOLDER if inside else tmp_path)
    for train, images, labels in ((True, raw.x_train, raw.y_train), (False, raw.x_test, raw.y_test)):
        oracle = torchvision_reads(str(tmp_path), train=train)
        np.testing.assert_array_equal(images, oracle.data)
        np.testing.assert_array_equal(labels, oracle.targets)
    assert list(raw.class_names) == oracle.classes


def test_python_2_byte_keys(tmp_path, write_cifar):
    written = write_cifar(tmp_path / FOLDER, text=False)
    raw = read(CIFAR10, tmp_path)
    planes = np.concatenate([data for data, _ in written[:5]]).reshape(-1, 3, 32, 32)
    np.testing.assert_array_equal(raw.x_train, planes.transpose(0, 2, 3, 1))
    assert raw.class_names[3] == "class 3"


def test_old_and_new_numpy_module_names(tmp_path, write_cifar):
    write_cifar(tmp_path / FOLDER)
    path = tmp_path / FOLDER / "test_batch"
    expected = read(CIFAR10, tmp_path).x_test
    data = path.read_bytes()
    new, old = b"numpy._core.multiarray", b"numpy.core.multiarray"
    assert (new in data) != (old in data)
    path.write_bytes(data.replace(new, old) if new in data else data.replace(old, new))
    np.testing.assert_array_equal(read(CIFAR10, tmp_path).x_test, expected)


def test_checksums_are_torchvisions():
    for ours, theirs in ((CIFAR10, datasets.CIFAR10), (CIFAR100, datasets.CIFAR100)):
        files = [*theirs.train_list, *theirs.test_list, [theirs.meta["filename"], theirs.meta["md5"]]]
        assert list(ours.files.items()) == [tuple(file) for file in files]
        assert ours.folder == theirs.base_folder
        assert ours.archive == theirs.filename
        assert ours.names_key == theirs.meta["key"]


def test_verify(tmp_path, write_cifar):
    write_cifar(tmp_path / FOLDER)
    known = replace(CIFAR10, files={name: md5_of(tmp_path / FOLDER / name) for name in CIFAR10.files})
    assert read(known, tmp_path, verify=True).origin["checksum"] == "published MD5 of all files"
    with pytest.raises(TaskError, match=r"data_batch_1' has MD5 .*published is c99cafc.*--no-verify"):
        load_task("cifar10", data_dir=tmp_path)


def test_cifar100(tmp_path):
    folder = tmp_path / CIFAR100.folder
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, count in (("train", 300), ("test", 100)):
        data, labels = rng.integers(0, 256, (count, 3072), np.uint8), (np.arange(count) % 100).tolist()
        batch = {b"data": data, b"fine_labels": labels, b"coarse_labels": [0] * count}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "meta").write_bytes(pickle.dumps({b"fine_label_names": [f"n{i}".encode() for i in range(100)]}))
    task = load_task("cifar100", data_dir=tmp_path, verify=False)
    assert (task.spec.classes, task.augment, task.class_names[99]) == (100, "crop-flip", "n99")
    assert (len(task.train), len(task.validation), len(task.test)) == (200, 100, 100)


def test_missing_still_packed_and_incomplete(tmp_path, write_cifar):
    with pytest.raises(TaskError, match=r"CIFAR10 is not in .*cifar-10-batches-py.*--download"):
        load_task("cifar10", data_dir=tmp_path)
    (tmp_path / CIFAR10.archive).write_bytes(b"")
    with pytest.raises(TaskError, match=r"still packed in .*cifar-10-python.tar.gz'; unpack it"):
        load_task("cifar10", data_dir=tmp_path)
    write_cifar(tmp_path / "other" / FOLDER)
    (tmp_path / "other" / FOLDER / "data_batch_4").unlink()
    with pytest.raises(TaskError, match="lacks data_batch_4"):
        load_task("cifar10", data_dir=tmp_path / "other")


class Runs:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ["data_batch_2", "batches.meta"])
def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path, write_cifar, protocol, name):
    write_cifar(tmp_path / FOLDER)
    trace = tmp_path / "it_ran"
    attacks = [
        Runs(Path.touch, trace),
        Runs(eval, f"open({str(trace)!r}, 'w')"),
        Runs(subprocess.getoutput, f"touch {trace}"),
        {b"data": Runs(eval, f"open({str(trace)!r}, 'w')"), b"labels": [0]},
        np.array([Runs(eval, f"open({str(trace)!r}, 'w')")], dtype=object),
    ]
    for attack in attacks:
        (tmp_path / FOLDER / name).write_bytes(pickle.dumps(attack, protocol=protocol))
        with pytest.raises(TaskError, match=r"cannot read .* as a CIFAR file") as caught:
            load_task("cifar10", data_dir=tmp_path, verify=False)
        assert "\n" not in str(caught.value)
    assert not trace.exists()


@pytest.mark.parametrize(
    "opcodes",
    [
        b"\x80\x02]r\xff\xff\xff\xff.",  # a memo entry of number 2**32 - 1
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x0f.",  # bytes longer than any memory
        b"\x80\x05\x96\x00\x00\x00\x00\x00\x00\x00\x0f.",  # a bytearray likewise
        b"\x80\x02c_codecs\nencode\n(X\x01\x00\x00\x00aX\x04\x00\x00\x00zliltR.",
        b"\x80\x02cnumpy\nndarray\n(K\x01K\x02K\x03tb.",
        b"(" * 10_000,
        b".",
        b"",
        b"N.",
    ],
)
def test_pickles_made_to_harm(tmp_path, write_cifar, opcodes):
    write_cifar(tmp_path / FOLDER)
    (tmp_path / FOLDER / "test_batch").write_bytes(opcodes)
    with pytest.raises(TaskError):
        load_task("cifar10", data_dir=tmp_path, verify=False)


def test_a_memo_entry_of_a_huge_number_takes_no_memory(tmp_path, write_cifar):
    """The C unpickler would fill a table of 1 GB for this one."""
    write_cifar(tmp_path / FOLDER)
    (tmp_path / FOLDER / "batches.meta").write_bytes(b"\x80\x02]r\x00\x00\x00\x04.")
    tracemalloc.start()
    with pytest.raises(TaskError, match="has no entry"):
        load_task("cifar10", data_dir=tmp_path, verify=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000


ROWS = np.zeros((10, 3072), np.uint8)


@pytest.mark.parametrize(
    ("batch", "rule"),
    [
        ({"data": ROWS}, "has no entry 'labels'"),
        ({"labels": [0]}, "has no entry 'data'"),
        ([1, 2], "has no entry 'data'"),
        ({"data": ROWS[:, :3000], "labels": [0] * 10}, r"uint8 array \[N, 3072\]"),
        ({"data": ROWS.tolist(), "labels": [0] * 10}, r"uint8 array \[N, 3072\]"),
        ({"data": ROWS.astype(np.int16), "labels": [0] * 10}, "unsigned bytes"),
        ({"data": np.asfortranarray(ROWS), "labels": [0] * 10}, "C order"),
        ({"data": ROWS, "labels": [0] * 9}, "10 images, 9 labels"),
        ({"data": ROWS[:0], "labels": []}, "no images"),
        ({"data": ROWS, "labels": [0.5] * 10}, "whole numbers"),
        ({"data": ROWS, "labels": [True] * 10}, "whole numbers"),
        ({"data": ROWS, "labels": [2**80] * 10}, "whole numbers"),
        ({"data": ROWS, "labels": [-1] * 10}, "label -1 is out of range"),
        ({"data": ROWS, "labels": [10] * 10}, "label 10 is out of range"),
    ],
)
def test_foreign_batches(tmp_path, write_cifar, batch, rule):
    write_cifar(tmp_path / FOLDER)
    (tmp_path / FOLDER / "test_batch").write_bytes(pickle.dumps(batch))
    with pytest.raises(TaskError, match=rule):
        load_task("cifar10", data_dir=tmp_path, verify=False)


def test_meta_must_name_ten_classes(tmp_path, write_cifar):
    write_cifar(tmp_path / FOLDER)
    for names in (["one"], 3, [1] * 10, None):
        (tmp_path / FOLDER / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
        with pytest.raises(TaskError, match="must hold 10 class names"):
            load_task("cifar10", data_dir=tmp_path, verify=False)


LOAD_AND_MEASURE = """
import sys
import evaluators.tasks.build, evaluators.tasks.load

def peak():  # unlike ru_maxrss, not inherited from the process that started this one
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

before = peak()
task = evaluators.tasks.load.load_task("cifar10", data_dir=sys.argv[1], verify=False)
print(len(task.train) + len(task.validation) + len(task.test), peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_all_60_000_images_add_less_than_1_gb(tmp_path, write_cifar):
    write_cifar(tmp_path / FOLDER)
    rows = np.random.default_rng(0).integers(0, 256, (10_000, 3072), np.uint8)
    (tmp_path / "batch").write_bytes(pickle.dumps({"data": rows, "labels": (np.arange(10_000) % 10).tolist()}))
    for name in list(CIFAR10.files)[:-1]:
        (tmp_path / FOLDER / name).unlink()
        (tmp_path / FOLDER / name).hardlink_to(tmp_path / "batch")
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", LOAD_AND_MEASURE, str(tmp_path)], cwd=root, capture_output=True, text=True, check=True
    )
    images, kib = map(int, done.stdout.split())
    assert images == 60_000
    assert 180_000 < kib < 1_000_000  # the pixels alone take 180 000
