"""Whatever bytes the readers are given, they end in a one-line TaskError or in a Task that keeps every rule."""

import gzip
import io
import pickle
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.tasks.load import load_task
from evaluators.tasks.task import batches
from spaces.errors import OptionError, TaskError

EXAMPLES = settings(max_examples=60, deadline=None)

edits = st.lists(
    st.tuples(
        st.sampled_from(["flip", "set", "cut", "insert", "delete", "repeat"]),
        st.floats(0, 1) | st.floats(0, 0.02) | st.floats(0.98, 1),  # headers stand at the ends
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=4,
)


def mutate(data, changes):
    for kind, place, value in changes:
        at = int(place * max(len(data) - 1, 0))
        head, byte, tail = data[:at], data[at : at + 1], data[at + 1 :]
        data = {
            "flip": lambda h, b, t, v: h + bytes(x ^ (1 << v % 8) for x in b) + t,
            "set": lambda h, b, t, v: h + bytes([v]) + t,
            "cut": lambda h, b, t, v: h,
            "insert": lambda h, b, t, v: h + bytes([v]) + b + t,
            "delete": lambda h, b, t, v: h + t[v % 16 :],
            "repeat": lambda h, b, t, v: h + b * v + t,
        }[kind](head, byte, tail, value)
    return data


def load(source, **options):
    """The Task, checked, or None if it was refused as it should be."""
    refusal = ""
    try:
        task = load_task(source, **options)
    except (OptionError, TaskError) as error:
        refusal = str(error)
    if refusal:
        assert "\n" not in refusal
        assert len(refusal) < 1000
        return None
    spec = task.spec
    for split in (task.train, task.validation, task.test):
        images, labels = map(torch.cat, zip(*batches(task, split, batch_size=16), strict=True))
        frames = (spec.frames,) if spec.frames else ()
        assert images.shape == (len(split), *frames, spec.channels, spec.height, spec.width)
        assert images.isfinite().all()
        assert labels.min() >= 0
        assert labels.max() < spec.classes == len(task.class_names)
    assert set(task.train.labels.tolist()) == set(task.validation.labels.tolist()) == set(range(spec.classes))
    return task


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def npz(folder, own_arrays):
    """The bytes of a plain and of a compressed .npz, and the fingerprint of their data."""
    plain, packed = io.BytesIO(), io.BytesIO()
    np.savez(plain, **own_arrays())
    np.savez_compressed(packed, **own_arrays())
    (folder / "own.npz").write_bytes(plain.getvalue())
    return plain.getvalue(), packed.getvalue(), load(folder / "own.npz").provenance["sha256"]


@EXAMPLES
@given(edits, st.booleans())
def test_npz_bytes(folder, npz, changes, packed):
    path = folder / "own.npz"
    path.write_bytes(mutate(npz[packed], changes))
    task = load(path)
    assert task is None or task.provenance["sha256"] == npz[2]  # zip's checksums let no change of the data pass


@EXAMPLES
@given(edits, st.sampled_from(["x_train", "y_train", "x_test", "y_test"]))
def test_npy_bytes_within_a_sound_zip(folder, own_arrays, changes, key):
    with zipfile.ZipFile(folder / "npy.npz", "w") as archive:
        for name, array in own_arrays().items():
            data = io.BytesIO()
            np.save(data, array)
            archive.writestr(f"{name}.npy", mutate(data.getvalue(), changes) if name == key else data.getvalue())
    load(folder / "npy.npz")


sides = st.integers(0, 6)
dtypes = st.sampled_from(["u1", "i8", "f4", "f8", ">f2", "?", "c8", "U2", "u8", "M8[s]", "i1"])
numbers = st.sampled_from([0, 1, 2, 3, -1, 255, 256, 2**40, 0.5, np.nan, np.inf, 1e39])


@st.composite
def arrays(draw):
    shape = draw(st.lists(sides | st.just(12), max_size=5))
    dtype = np.dtype(draw(dtypes))
    if dtype.kind in "UM":
        return np.zeros(shape, dtype)
    choices = np.array(draw(st.lists(numbers, min_size=1, max_size=3)))
    with np.errstate(all="ignore"):
        return np.resize(choices, shape).astype(dtype)


@EXAMPLES
@given(
    st.dictionaries(st.sampled_from(["x_train", "y_train", "x_test", "y_test", "x", "y/../z"]), arrays(), max_size=6),
    st.booleans(),
)
def test_npz_of_any_arrays(folder, own_arrays, changes, keep):
    np.savez(folder / "any.npz", **((own_arrays() if keep else {}) | changes))
    load(folder / "any.npz")


@EXAMPLES
@given(edits, st.integers(0, 3), st.booleans())
def test_idx_bytes(folder, write_idx, changes, number, packed):
    place = folder / f"idx{packed}"
    if not place.exists():
        write_idx(place, packed=packed)
    path = sorted(place.iterdir())[number]
    sound = path.read_bytes()
    expected = load("mnist", data_dir=place, verify=False).provenance["sha256"]
    try:
        path.write_bytes(mutate(sound, changes))
        task = load("mnist", data_dir=place, verify=False)
        if packed and task is not None:
            assert task.provenance["sha256"] == expected  # gzip's checksum
        assert load("mnist", data_dir=place) is None  # these are not MNIST's own pixels
    finally:
        path.write_bytes(sound)


@EXAMPLES
@given(edits)
def test_idx_bytes_within_a_sound_gzip(folder, write_idx, changes):
    place = folder / "gz"
    if not place.exists():
        write_idx(place, packed=True)
    path = place / "train-images-idx3-ubyte.gz"
    sound = path.read_bytes()
    try:
        path.write_bytes(gzip.compress(mutate(gzip.decompress(sound), changes), 1))
        load("mnist", data_dir=place, verify=False)
    finally:
        path.write_bytes(sound)


@EXAMPLES
@given(edits, st.sampled_from(["data_batch_3", "test_batch", "batches.meta"]), st.sampled_from([0, 2, 3, 5]))
def test_cifar_bytes(folder, write_cifar, changes, name, protocol):
    place = folder / f"cifar{protocol}"
    if not place.exists():
        write_cifar(place, a_batch=10, protocol=protocol)
    sound = (place / name).read_bytes()
    try:
        (place / name).write_bytes(mutate(sound, changes))
        load("cifar10", data_dir=place, verify=False)
    finally:
        (place / name).write_bytes(sound)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=3) | arrays(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "labels", b"data", b"labels", b"label_names"]), inner, max_size=4)
    ),
    max_leaves=6,
)


@EXAMPLES
@given(values, st.sampled_from(["data_batch_3", "batches.meta"]), st.integers(0, 5))
def test_pickles_of_anything(folder, write_cifar, value, name, protocol):
    place = folder / "any"
    if not place.exists():
        write_cifar(place, a_batch=10)
    sound = (place / name).read_bytes()
    try:
        (place / name).write_bytes(pickle.dumps(value, protocol=protocol))
        assert load("cifar10", data_dir=place, verify=False) is None
    finally:
        (place / name).write_bytes(sound)


@EXAMPLES
@given(
    edits,
    st.sampled_from([".png", ".jpg", ".bmp", ".webp", ".tiff", ".ppm", ".gif"]),
    st.sampled_from(["RGB", "L", "P"]),
)
def test_image_bytes(folder, write_images, changes, suffix, mode):
    if mode == "P" and suffix in (".jpg", ".webp", ".ppm"):  # formats without palettes
        mode = "L"
    place = folder / f"images{suffix}{mode}"
    if not place.exists():
        write_images(place, suffix=suffix, mode=mode)
    path = place / "train" / "dog" / f"1{suffix}"
    sound = path.read_bytes()
    try:
        path.write_bytes(mutate(sound, changes))
        load(place)
    finally:
        path.write_bytes(sound)


@EXAMPLES
@given(
    st.lists(
        st.tuples(st.sampled_from(["remove", "empty", "folder", "link", "rename"]), st.integers(0, 30)),
        min_size=1,
        max_size=6,
    )
)
def test_folders_in_disorder(folder, write_images, changes):
    place = write_images(folder / "disorder", train=2, test=1)
    try:
        for kind, number in changes:
            entries = sorted(place.rglob("*"))
            if not entries:
                break
            entry = entries[number % len(entries)]
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
            if kind == "empty":
                entry.write_bytes(b"")
            elif kind == "folder":
                entry.mkdir()
            elif kind == "link":
                entry.symlink_to(entry.parent)
            elif kind == "rename":
                entry.with_name(f"new\n{len(entries)}.png").write_bytes(b"")
        load(place)
    finally:
        shutil.rmtree(place)


@EXAMPLES
@given(edits)
def test_svhn_bytes(folder, changes):
    from scipy.io import savemat

    place = folder / "svhn"
    if not place.exists():
        place.mkdir()
        images = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 20), np.uint8)
        for name in ("train_32x32.mat", "test_32x32.mat"):
            savemat(place / name, {"X": images, "y": (np.arange(20) % 10 + 1)[:, None]}, do_compression=True)
    path = place / "test_32x32.mat"
    sound = path.read_bytes()
    try:
        path.write_bytes(mutate(sound, changes))
        load("svhn", data_dir=place, verify=False)
    finally:
        path.write_bytes(sound)


@EXAMPLES
@given(edits, st.sampled_from([".bin", ".npy", ".npz"]), st.sampled_from(["time", "count"]))
def test_recording_bytes(folder, write_recordings, changes, suffix, by):
    place = folder / f"recordings{suffix}"
    path = place / "train" / "right" / f"00001{suffix}"
    if not place.exists():
        write_recordings(place)
        array = np.zeros(9, [("x", "u1"), ("y", "u1"), ("t", "<i8"), ("p", "?")])
        if suffix == ".npy":
            np.save(path, array)
        elif suffix == ".npz":
            np.savez(path, **{field: array[field] for field in array.dtype.names})
    sound = path.read_bytes()
    try:
        path.write_bytes(mutate(sound, changes))
        load(place, event_frames=by)
    finally:
        path.write_bytes(sound)


@EXAMPLES
@given(edits)
def test_nmnist_zip_bytes(folder, write_recordings, changes):
    place = folder / "nmnist"
    path = place / "Train.zip"
    if not place.exists():
        write_recordings(place, classes=tuple("0123456789"), splits=("Train", "Test"), counts=(2, 1), count=9)
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted((place / "Train").rglob("*.bin")):
                archive.write(file, file.relative_to(place).as_posix())
        shutil.rmtree(place / "Train")
    sound = path.read_bytes()
    whole = load("nmnist", data_dir=place).provenance["sha256"]
    try:
        path.write_bytes(mutate(sound, changes))
        task = load("nmnist", data_dir=place)
        assert task is None or len(task.train) + len(task.validation) < 20 or task.provenance["sha256"] == whole
    finally:
        path.write_bytes(sound)


@settings(max_examples=100, deadline=None)
@given(
    st.text(max_size=30)
    | st.sampled_from(["digits ", "CIFAR10", "mnist/", "..", "/", "~", "~root/x.npz", "/dev/null", "C:\\data"])
)
def test_any_name(name):
    if name != "digits":
        assert load(name, data_dir="no such folder") is None
