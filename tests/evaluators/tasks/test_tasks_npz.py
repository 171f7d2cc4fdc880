import io
import pickle
import zipfile

import numpy as np
import pytest

from evaluators.tasks.load import load_task
from evaluators.tasks.readers import guard
from evaluators.tasks.readers.npz import read_npz
from spaces.errors import TaskError


@pytest.fixture
def save(tmp_path, own_arrays):
    def write(*, without=(), compressed=False, **changes):
        arrays = own_arrays(**changes)
        path = tmp_path / "own.npz"
        (np.savez_compressed if compressed else np.savez)(path, **{k: v for k, v in arrays.items() if k not in without})
        return path

    return write


@pytest.mark.parametrize("compressed", [False, True])
def test_every_layout_gives_the_same_images(save, own_arrays, compressed):
    own = own_arrays()
    last = read_npz(frames=4, path=save(compressed=compressed))
    first = read_npz(
        save(
            x_train=own["x_train"].transpose(0, 3, 1, 2), x_test=np.asfortranarray(own["x_test"].transpose(0, 3, 1, 2))
        ),
        frames=4,
    )
    for raw, layout in ((last, "NHWC"), (first, "NCHW")):
        np.testing.assert_array_equal(raw.x_train, own["x_train"])
        np.testing.assert_array_equal(raw.x_test, own["x_test"])
        np.testing.assert_array_equal(raw.y_train, own["y_train"])
        assert raw.origin["layout"] == layout


def test_grey(save, own_arrays):
    own = own_arrays()
    raw = read_npz(frames=4, path=save(x_train=own["x_train"][..., 0], x_test=own["x_test"][..., 0]))
    np.testing.assert_array_equal(raw.x_train, own["x_train"][..., :1])


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((9, 9, 3), "NHWC"),
        ((3, 9, 9), "NCHW"),
        ((3, 9, 3), "NHWC"),  # both read, neither is square: the last axis
        ((3, 4, 4), "NCHW"),  # both read, this one is square
        ((4, 4, 3), "NHWC"),
        ((3, 3, 3), "NHWC"),
        ((1, 28, 3), "NHWC"),
        ((2, 20, 30), "NCHW"),
    ],
)
def test_which_axis_is_the_channels(save, shape, layout):
    values = np.random.default_rng(0).integers(0, 256, (39, *shape), np.uint8)
    raw = read_npz(frames=4, path=save(x_train=values[:30], x_test=values[30:]))
    assert raw.origin["layout"] == layout
    np.testing.assert_array_equal(raw.x_train, values[:30] if layout == "NHWC" else values[:30].transpose(0, 2, 3, 1))


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "f8", "f2"])
def test_floats_of_any_kind_become_float32_unscaled(save, own_arrays, dtype):
    own = own_arrays()
    changes = {key: (own[key] / 8 - 3).astype(dtype) for key in ("x_train", "x_test")}
    task = load_task(save(**changes))
    assert str(task.test.images.dtype) == "torch.float32"
    np.testing.assert_array_equal(task.test.images.permute(0, 2, 3, 1).numpy(), changes["x_test"].astype(np.float32))


@pytest.mark.parametrize("dtype", ["i8", ">i4", "u2", "i2"])
def test_whole_numbers_within_a_byte_become_uint8(save, own_arrays, dtype):
    own = own_arrays()
    raw = read_npz(frames=4, path=save(x_train=own["x_train"].astype(dtype), x_test=own["x_test"].astype(dtype)))
    assert raw.x_train.dtype == np.uint8
    np.testing.assert_array_equal(raw.x_train, own["x_train"])


@pytest.mark.parametrize("make", [lambda y: y[:, None], lambda y: y.astype(float), lambda y: y.astype(">u8")])
def test_labels_of_any_kind(save, own_arrays, make):
    own = own_arrays()
    raw = read_npz(frames=4, path=save(y_train=make(own["y_train"]), y_test=make(own["y_test"])))
    assert raw.y_train.dtype == np.int64
    np.testing.assert_array_equal(raw.y_train, own["y_train"])


def test_a_line_break_in_the_path_stays_out_of_the_message(save, tmp_path, own_arrays):
    path = save().rename(tmp_path / "a\nb.npz")
    for options in ({"val_samples": 1}, {"train_samples": 99}, {"seed": -1}):
        with pytest.raises(TaskError) as caught:
            load_task(path, **options)
        assert "\n" not in str(caught.value)
    assert load_task(path).name == str(path)


def test_task(save):
    task = load_task(save(), val_samples=6, seed=2)
    assert (task.spec.channels, task.spec.height, task.spec.width, task.spec.classes) == (3, 5, 7, 3)
    assert (len(task.train), len(task.validation), len(task.test)) == (24, 6, 9)
    assert task.class_names == ("0", "1", "2")
    assert task.augment == "none"


RNG = np.random.default_rng(0)
Y = np.arange(30) % 3


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"x_train": RNG.random((30, 35))}, "of one size"),
        ({"x_train": RNG.random((30, 1, 5, 7, 3))}, "of one size"),
        ({"x_train": np.uint8(3)}, "of one size"),
        ({"x_test": RNG.integers(0, 256, (9, 5, 8, 3), np.uint8)}, "of one size"),
        (
            {"x_train": np.zeros((30, 8, 8, 8)), "x_test": np.zeros((9, 8, 8, 8))},
            "does not say which axis is the channels",
        ),
        ({"x_train": np.zeros((30, 5, 7, 3), np.float32)}, "training images are .*float32.*test images.*uint8"),
        ({"x_train": np.zeros((30, 600, 7, 3), "u1"), "x_test": np.zeros((9, 600, 7, 3), "u1")}, "at most 512"),
        ({"x_train": np.zeros((30, 0, 7, 3), "u1"), "x_test": np.zeros((9, 0, 7, 3), "u1")}, "at least 1"),
        ({"x_train": np.zeros((0, 5, 7, 3), "u1"), "y_train": Y[:0]}, "x_train has 0 images"),
        ({"x_test": np.zeros((0, 5, 7, 3), "u1"), "y_test": Y[:0]}, "x_test 0; neither may be empty"),
        ({"x_train": np.full((30, 5, 7, 3), 256)}, r"256\.\.256; they must be 0\.\.255"),
        ({"x_train": np.full((30, 5, 7, 3), -1)}, r"-1\.\.-1; they must be 0\.\.255"),
        ({"x_train": np.zeros((30, 5, 7, 3), complex)}, "of type 'complex128'"),
        ({"x_train": np.full((30, 5, 7, 3), "a")}, "of type"),
        ({"y_train": Y[:29]}, "30 training images but 29 labels"),
        ({"y_test": Y[:8]}, "9 test images but 8 labels"),
        ({"y_train": np.eye(3)[Y]}, "class numbers .of one-hot ones y.argmax"),
        ({"y_train": Y + 0.5}, "holds 0.5; labels must be whole"),
        ({"y_train": np.where(Y == 1, np.nan, Y)}, "holds nan; labels must be whole"),
        ({"y_train": np.where(Y == 1, np.inf, Y)}, "labels must be whole"),
        ({"y_train": Y - 1}, r"-1\.\.1; labels must be whole numbers 0"),
        ({"y_train": Y.astype("u8") + np.uint64(2**63)}, "labels must be whole numbers 0"),
        ({"y_train": np.where(Y == 1, 3, Y)}, "no image of class|never in training"),
        ({"y_train": Y * 2, "y_test": Y[:9] * 2}, "no image of class 1, 3; labels up to 4"),
        ({"y_train": Y * 10**9}, "no image of class 3, 4, 5, 6, 7 and 199999999. more"),
        ({"y_train": Y * 0, "y_test": Y[:9] * 0}, "all labels are 0; at least 2 classes"),
        ({"y_train": np.minimum(Y, 1)}, "class 2 is in the test split but never in training"),
        ({"y_train": np.where(np.arange(30) == 0, 2, Y % 2)}, "class 2 has 1 training image; at least 2"),
    ],
)
def test_each_rule_is_told_in_one_line(save, changes, rule):
    with pytest.raises(TaskError, match=rule) as caught:
        load_task(save(**changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("key", ["x_train", "x_test"])
def test_pixels_must_be_finite(save, own_arrays, bad, key):
    own = own_arrays()
    changes = {name: own[name].astype(float) for name in ("x_train", "x_test")}
    changes[key][3, 2, 2, 1] = bad
    with pytest.raises(TaskError, match=f"a {'training' if key == 'x_train' else 'test'} pixel is NaN, infinite"):
        load_task(save(**changes))


def test_missing_keys_are_named_and_those_there_listed(save):
    with pytest.raises(TaskError, match="has no y_train, x_test; it holds 'x_train', 'y_test'"):
        load_task(save(without=("y_train", "x_test")))


def test_not_an_npz(tmp_path):
    for content in (b"", b"PK", b"hello" * 100):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(TaskError, match=r"cannot read .*a.npz' as an .npz file"):
            load_task(tmp_path / "a.npz")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_truncated(save, kept):
    path = save()
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(TaskError, match="cannot read"):
        load_task(path)


def test_an_array_of_pickled_objects_is_refused_unread(save):
    with pytest.raises(TaskError, match="y_train is of type 'object'"):
        load_task(save(y_train=np.array([{"a": 1}] * 30, dtype=object)))


def put(path, key, data):
    """Replace one member by raw bytes."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()} | {f"{key}.npy": data}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def header(shape, descr="|u1"):
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"shape": shape, "fortran_order": False, "descr": descr})
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x09\x00",
        header((30, 5, 7, 3)),
        header((30, 5, 7, 3)) + bytes(3149),
        header((30, 5, 7, 3)) + bytes(3151),
        header((-30, 5, -7, 3)) + bytes(3150),
        header((10**9, 500, 500, 4)),
        header((30, 5, 7, 3), "|O") + pickle.dumps([1]),
        header((30, 5, 7, 3), [("a", "|u1")]) + bytes(3150),
        header((30, 5, 7, 3), "|V1") + bytes(3150),
        header((30, 5, 7, 3)).replace(b"30,", b"30L"),
        header((30, 5, 7, 3)).replace(b"False", b"Fa\\se") + bytes(3150),
        header((30, 5, 7, 3)).replace(b"'shape'", b"'shope'"),
    ],
)
def test_headers_that_lie(save, data):
    path = save()
    put(path, "x_train", data)
    with pytest.raises(TaskError) as caught:
        load_task(path)
    assert "\n" not in str(caught.value)


def test_a_data_set_beyond_the_memory_is_refused_before_it_is_read(save, monkeypatch):
    path = save()
    monkeypatch.setattr(guard, "available_memory", lambda: 10_000)
    with pytest.raises(
        TaskError, match=r"39 images of 5x7x3: loading needs about 0.0 GB of memory and 0.0 GB are free"
    ):
        load_task(path)


def test_available_memory_is_what_the_machine_has():
    assert 10**7 < guard.available_memory() < 10**14
