"""Kinds of arrays that people keep in an .npz: each is read as NumPy reads it, or refused in one line.

``python -m tests.evaluators.tasks.test_tasks_npz_kinds`` prints the table of docs/arrays.md.
"""

import os
import pickle
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evaluators.tasks.load import load_task
from evaluators.tasks.readers.npz import read_npz
from spaces.errors import TaskError

DOCS = Path(__file__).parents[3] / "docs" / "arrays.md"
EXAMPLES = settings(max_examples=int(os.environ.get("EXAMPLES", "40")), deadline=None)
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (39, 8, 6, 3), np.uint8)
BANDS = RNG.random((39, 9, 9, 13), np.float32)
FRAMES = RNG.integers(0, 4, (39, 5, 2, 8, 6), np.uint8)  # [N, T, C, H, W]
Y = np.arange(39) % 3


def written(path, x=RGB, y=Y, **more):
    """An .npz of which 30 samples are to train on; ``more`` are other arrays, or stand in place of these."""
    np.savez(path, **{"x_train": x[:30], "x_test": x[30:], "y_train": y[:30], "y_test": y[30:]} | more)
    return path


def as_structured(values):
    out = np.zeros(values.shape, [("r", "u1"), ("g", "u1")])
    out["r"] = values
    return out


READ = {  # kind: what is given, and the images [N, H, W, C] or frames [N, T, H, W, C] that it must become
    "uint8 NHWC": ({"x": RGB}, RGB),
    "uint8 NCHW": ({"x": RGB.transpose(0, 3, 1, 2)}, RGB),
    "uint8 NHW": ({"x": RGB[..., 0]}, RGB[..., :1]),
    "two channels": ({"x": RGB[..., :2]}, RGB[..., :2]),
    "four channels, first": ({"x": BANDS[..., :4].transpose(0, 3, 1, 2)}, BANDS[..., :4]),
    "13 bands, last": ({"x": BANDS}, BANDS),
    "13 bands, first": ({"x": BANDS.transpose(0, 3, 1, 2)}, BANDS),
    "13 bands on oblongs, told": ({"x": BANDS[:, :7], "layout": "NHWC"}, BANDS[:, :7]),
    "3x3 pixels, told against the rule": ({"x": RGB[:, :3, :3], "layout": np.array([b"NCHW"])}, "swapped"),
    "int64": ({"x": RGB.astype("i8")}, RGB),
    "uint16, big-endian": ({"x": RGB.astype(">u2")}, RGB),
    "int8 from 0": ({"x": (RGB // 2).astype("i1")}, RGB // 2),
    "booleans": ({"x": RGB > 99}, (RGB > 99).astype("u1")),
    "float16": ({"x": BANDS[..., :3].astype("f2")}, BANDS[..., :3].astype("f2").astype("f4")),
    "float64, big-endian": ({"x": (BANDS[..., :3] - 9).astype(">f8")}, BANDS[..., :3] - 9),
    "Fortran order": ({"x": np.asfortranarray(RGB)}, RGB),
    "strided view": ({"x": RGB[:, ::2, ::-1]}, RGB[:, ::2, ::-1]),
    "one pixel": ({"x": RGB[:, :1, :1]}, RGB[:, :1, :1]),
    "frames NTCHW": ({"x": FRAMES}, FRAMES.transpose(0, 1, 3, 4, 2)),
    "frames NTHWC": ({"x": FRAMES.transpose(0, 1, 3, 4, 2)}, FRAMES.transpose(0, 1, 3, 4, 2)),
    "frames NTHW, told": ({"x": FRAMES[:, :, 0], "layout": "NTHW"}, FRAMES[:, :, :1].transpose(0, 1, 3, 4, 2)),
    "frames of whole floats": ({"x": FRAMES.astype("f4")}, FRAMES.transpose(0, 1, 3, 4, 2)),
    "frames of booleans": ({"x": FRAMES > 1}, (FRAMES > 1).transpose(0, 1, 3, 4, 2).astype("u1")),
    "frames above 255": (
        {"x": FRAMES * 99.0 + 200},
        np.minimum(FRAMES * 99.0 + 200, 255).transpose(0, 1, 3, 4, 2).astype("u1"),
    ),
    "labels [N, 1]": ({"y": Y[:, None]}, RGB),
    "labels of whole floats": ({"y": Y.astype("f4")}, RGB),
    "labels of float16": ({"y": Y.astype("f2")}, RGB),
    "labels, unsigned and big-endian": ({"y": Y.astype(">u8")}, RGB),
    "labels of booleans": ({"y": Y > 0}, RGB),
    "more arrays": ({"names": np.array(["a"])}, RGB),
}


@pytest.mark.parametrize("kind", READ)
def test_read_as_numpy_reads_it(tmp_path, kind):
    given_, expected = READ[kind]
    if isinstance(expected, str):
        expected = RGB[:, :3, :3].transpose(0, 2, 3, 1)
    path = written(tmp_path / "a.npz", **given_)
    raw = read_npz(path, frames=4)
    assert raw.x_train.dtype == expected.dtype
    np.testing.assert_array_equal(np.concatenate([raw.x_train, raw.x_test]), expected)
    np.testing.assert_array_equal(np.concatenate([raw.y_train, raw.y_test]), given_.get("y", Y).reshape(-1))
    task = load_task(path)
    np.testing.assert_array_equal(task.test.images.movedim(-3, -1), expected[30:])
    assert len(task.train) + len(task.validation) == 30
    spec = task.spec
    assert (spec.frames, spec.height, spec.width, spec.channels) == (0, *expected.shape[1:])[-4:]


REFUSED = {
    "labels with a gap": ({"y": Y * 2}, r"no image of class 1, 3; .*renumber"),
    "labels from 1": ({"y": Y + 1}, "no image of class 0; .*renumber"),
    "negative labels": ({"y": Y - 1}, r"y_train holds -1\.\.1; labels must be whole numbers"),
    "one-hot labels": ({"y": np.eye(3)[Y]}, r"y_train is \[30, 3\]; .*y.argmax\(1\)"),
    "labels that are names": ({"y": np.array(["cat", "dog", "emu"])[Y]}, r"'<U3'; .*numpy.unique"),
    "labels that are bytes": ({"y": np.array([b"cat", b"dog", b"emu"])[Y]}, r"'.S3'; .*numpy.unique"),
    "labels with fractions": ({"y": Y + 0.25}, "holds 0.25; labels must be whole"),
    "labels that are NaN": ({"y": np.where(Y == 1, np.nan, Y)}, "holds nan; labels must be whole"),
    "labels 0-d": ({"y_train": np.int64(1)}, r"y_train is \[\]; labels must be \[N\]"),
    "fewer labels": ({"y_train": Y[:29]}, "30 training images but 29 labels"),
    "no labels": ({"y_train": Y[:0]}, "30 training images but 0 labels"),
    "pickled objects": ({"y": np.array([{"a": 1}] * 39, object)}, "'object'; it must hold plain numbers"),
    "complex": ({"x": RGB * 1j}, "'complex128'; it must hold plain numbers"),
    "dates": ({"x": RGB.astype("M8[s]")}, "'datetime64.s.'; it must"),
    "structured": ({"x": as_structured(RGB)}, "it must hold plain numbers"),
    "NaN": ({"x": np.where(RGB.max() == RGB, np.nan, RGB)}, "pixel is NaN, infinite"),
    "infinite": ({"x": np.where(RGB.max() == RGB, np.inf, RGB)}, "pixel is NaN, infinite"),
    "12 bits in uint16": ({"x": RGB.astype("u2") * 16}, r"whole numbers 0\.\..*give floats, such as x.astype"),
    "negative int8": ({"x": RGB.astype("i1")}, r"whole numbers -128\.\.127; they must be 0\.\.255"),
    "no pixels": ({"x": RGB[:, :0]}, r"0x6 pixels .*must be at least 1"),
    "no images": ({"x": RGB[:30]}, "x_test 0; neither may be empty"),
    "0-d": ({"x_train": np.float32(1), "x_test": np.float32(1)}, r"x_train is \[\]; give images"),
    "1-d": ({"x": RGB.reshape(-1)[:39]}, r"x_train is \[30\]; give images"),
    "features": ({"x": RGB.reshape(39, -1)}, r"x_train is \[30, 144\]; give images"),
    "6-d": ({"x": FRAMES[:, None]}, r"x_train is \[30, 1, 5, 2, 8, 6\]; give images"),
    "another size of test images": ({"x_test": RGB[30:, :7]}, "of one size"),
    "another type of test images": ({"x_test": RGB[30:] / 2}, "they must agree"),
    "bands on oblongs": ({"x": BANDS[:, :7]}, r"\[30, 7, 9, 13\], which does not say .*layout='NHWC'"),
    "a cube": ({"x": RNG.random((39, 8, 8, 8))}, r"\[30, 8, 8, 8\], which does not say"),
    "a layout that is none": ({"layout": "HWCN"}, r"x_train is \[30, 8, 6, 3\], and layout says 'HWCN'; give"),
    "a layout of other axes": ({"layout": "NTCHW"}, "and layout says 'NTCHW'; give"),
    "a layout that is a number": ({"layout": 3}, "layout must be one text such as"),
    "more than 512 channels": ({"x": RNG.random((39, 5, 5, 513))}, "513 channels .as NHWC.; at most 512"),
    "more than 512 pixels a side": ({"x": np.zeros((39, 513, 2), "u1")}, "at most 512 a side"),
    "fewer frames than time steps": ({"x": FRAMES[:, :3]}, "3 frames a sample and .* 4 time steps: give --timesteps 3"),
    "more than 512 frames": ({"x": np.zeros((39, 513, 1, 1, 1), "u1")}, "513 frames a sample; at most 512"),
    "frames with fractions": ({"x": FRAMES / 2}, r"x_train holds \d.5; frames hold counts"),
    "frames that are NaN": ({"x": np.where(FRAMES == 3, np.nan, FRAMES)}, "holds nan; frames hold counts"),
    "frames that are infinite": ({"x": np.where(FRAMES == 3, np.inf, FRAMES)}, r"holds 0.0\.\.inf; frames hold counts"),
    "frames with signs": ({"x": FRAMES.astype("i8") - 1}, r"holds -1\.\.2; .*each polarity a channel"),
    "test frames with signs": ({"x": FRAMES, "x_test": FRAMES[30:] * -1.0}, "x_test holds -3.0"),
    "frames, time first": ({"x_train": FRAMES[:30].swapaxes(0, 1), "x_test": FRAMES[30:].swapaxes(0, 1)}, "first"),
}


def refused(path, rule):
    with pytest.raises(TaskError, match=rule) as caught:
        load_task(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_in_one_line(tmp_path, kind):
    changes, rule = REFUSED[kind]
    refused(written(tmp_path / "a.npz", **changes), rule)


def table():
    """Kinds of arrays and what becomes of them, as Markdown."""
    rows = ["| kind of arrays | what happens |", "| --- | --- |"]
    with tempfile.TemporaryDirectory() as folder:
        for kind, (given_, _) in (READ | REFUSED).items():
            path = written(Path(folder) / "a.npz", **given_)
            try:
                raw = read_npz(path, frames=4)
                load_task(path)
                told = f"; told: {' '.join(raw.remarks)}" if raw.remarks else ""
                becomes = f"read as {raw.origin['layout']}, {raw.x_train.dtype}{told}"
            except TaskError as error:
                becomes = f"error: {error}"
            rows.append(f"| {kind} | {becomes.replace(repr(str(path)), 'FILE').replace('|', '/')} |")
    return "\n".join(rows)


def test_the_documentation_holds_the_table():
    assert table() in DOCS.read_text()


def test_files_that_are_no_such_npz(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, X_train=RGB, y_train=Y)
    refused(path, "has no x_train, x_test, y_test; it holds 'X_train', 'y_train'")
    np.savez(path)
    refused(path, "it holds nothing, and must hold x_train")
    path.write_bytes(pickle.dumps({"x_train": RGB}))
    refused(path, "as an .npz file")
    np.save(tmp_path / "a.npy", RGB)
    (tmp_path / "a.npy").rename(path)
    refused(path, "as an .npz file")
    whole = bytearray(written(path).read_bytes())
    whole[2000] ^= 1  # a pixel
    path.write_bytes(whole)
    refused(path, "cannot read .*Bad CRC-32")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", b"no array")
    refused(path, "has no y_train, x_test, y_test")


def test_what_the_shape_leaves_open_is_told(tmp_path):
    (remark,) = read_npz(written(tmp_path / "a.npz", x=BANDS), frames=4).remarks
    assert "[30, 9, 9, 13], is read as [N, H, W, C], 13 channels; a text `layout` in the file, NCHW or NTHW" in remark
    told = read_npz(written(tmp_path / "b.npz", x=BANDS, layout="NHWC"), frames=4)
    assert (told.remarks, told.origin["layout"]) == ((), "NHWC")
    frames = FRAMES.astype("i8") * 99  # to 297
    summed, cut = load_task(written(tmp_path / "c.npz", x=frames)).provenance["remarks"]
    assert "has 5 frames a sample, which are summed up in 4 time steps; --timesteps 5" in summed
    assert f"cut there: {42 * int((FRAMES == 3).sum())} events are left out" in cut
    assert read_npz(written(tmp_path / "d.npz", x=FRAMES), frames=5).remarks == ()


def independent(path):
    """Images or frames [N, ..., H, W, C] and labels [N] by NumPy alone, where the channels' axis is of 1 to 3."""
    with np.load(path) as found:
        x = np.concatenate([found["x_train"], found["x_test"]])
        y = np.concatenate([found["y_train"], found["y_test"]])
    if x.ndim == 3:
        x = x[..., None]
    elif x.shape[-1] > 3:
        x = np.moveaxis(x, -3, -1)
    if x.ndim == 5:
        x = np.minimum(x, 255)
    return x.astype("f4" if x.dtype.kind == "f" and x.ndim == 4 else "u1"), y.ravel().astype(int)


kinds = st.sampled_from(["|u1", "|b1", "<i8", ">i2", ">u4", "<f2", "<f4", ">f8"])


@st.composite
def data_sets(draw):
    """Arrays [12, ...] of any layout in which the channels' axis is certain, and labels."""
    sides = draw(st.tuples(st.integers(5, 7), st.integers(5, 7)))
    channels, frames = draw(st.integers(1, 3)), draw(st.integers(4, 6))
    shapes = [sides, (*sides, channels), (channels, *sides), (frames, channels, *sides), (frames, *sides, channels)]
    shape = draw(st.sampled_from(shapes))
    kind = np.dtype(draw(kinds))
    if kind.kind == "b":
        values = st.booleans()
    elif kind.kind == "f" and len(shape) < 4:
        values = st.floats(-1000, 1000, width=16).map(float)
    else:
        values = st.integers(0, 300 if len(shape) == 4 and kind.itemsize > 1 else 255)
    x = draw(arrays(kind, (12, *shape), elements=values))
    y = (np.arange(12) % 2).astype(draw(kinds)).reshape(draw(st.sampled_from([(12,), (12, 1)])))
    return np.asfortranarray(x) if draw(st.booleans()) else x, y


SPOILT = {  # what no reading is right for
    "labels with fractions": lambda split: split | {"y_test": split["y_test"] + 0.5},
    "negative labels": lambda split: split | {"y_train": -1.0 - split["y_train"]},
    "a gap in the labels": lambda split: split | {"y_train": split["y_train"] * 2.0, "y_test": split["y_test"] * 2.0},
    "fewer labels": lambda split: split | {"y_train": split["y_train"][1:]},
    "a NaN": lambda split: split | {"x_test": np.full(split["x_test"].shape, np.nan)},
    "negative numbers": lambda split: split | {"x_train": np.full(split["x_train"].shape, -1)},
    "texts": lambda split: split | {"x_train": split["x_train"].astype("U")},
    "objects": lambda split: split | {"x_train": split["x_train"].astype(object)},
    "one axis less": lambda split: split | {"x_test": split["x_test"][:, 0]},
    "a missing array": lambda split: {key: split[key] for key in split if key != "y_test"},
}


@EXAMPLES
@given(data_sets(), st.booleans(), st.none() | st.sampled_from(sorted(SPOILT)))
def test_any_arrays_are_read_as_numpy_reads_them_or_refused(tmp_path_factory, made, packed, spoilt):
    path = tmp_path_factory.getbasetemp() / "law.npz"
    x, y = made
    split = {"x_train": x[:8], "x_test": x[8:], "y_train": y[:8], "y_test": y[8:]}
    (np.savez_compressed if packed else np.savez)(path, **(SPOILT[spoilt](split) if spoilt else split))
    if spoilt:
        refused(path, "law.npz'")
        return
    raw = read_npz(path, frames=4)
    expected, labels = independent(path)
    assert raw.x_train.dtype == raw.x_test.dtype == expected.dtype
    np.testing.assert_array_equal(np.concatenate([raw.x_train, raw.x_test]), expected)
    np.testing.assert_array_equal(np.concatenate([raw.y_train, raw.y_test]), labels)
    load_task(path)


if __name__ == "__main__":
    print(table())
