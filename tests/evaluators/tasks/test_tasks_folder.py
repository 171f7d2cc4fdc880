import warnings

import numpy as np
import pytest
from PIL import Image

from evaluators.tasks.load import load_task
from evaluators.tasks.readers import guard
from evaluators.tasks.readers.events import Framing
from evaluators.tasks.readers.folder import read_folder
from spaces.errors import TaskError


def read(folder):
    return read_folder(folder, Framing(frames=4))


def test_reads_what_pillow_decodes_in_the_order_of_names(tmp_path, write_images):
    raw = read(write_images(tmp_path, classes=("dog", "Cat", "ant")))
    assert raw.class_names == ("Cat", "ant", "dog")
    files = sorted((tmp_path / "train").rglob("*.png"))
    expected = np.stack([np.asarray(Image.open(file)) for file in files])
    np.testing.assert_array_equal(raw.x_train, expected)
    assert [raw.class_names[label] for label in raw.y_train] == [file.parent.name for file in files]
    assert raw.x_train.shape == (12, 5, 7, 3)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".ppm", ".tiff", ".webp", ".jpg", ".JPEG"])
def test_formats(tmp_path, write_images, suffix):
    raw = read(write_images(tmp_path, suffix=suffix))
    with Image.open(sorted((tmp_path / "test" / "dog").iterdir())[1]) as image:
        np.testing.assert_array_equal(raw.x_test[3], np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("1", 1), ("RGB", 3), ("RGBA", 3), ("LA", 1), ("P", 3)])
def test_modes(tmp_path, write_images, mode, channels):
    assert read(write_images(tmp_path, mode=mode)).x_train.shape[-1] == channels


def test_grey_among_coloured_becomes_rgb(tmp_path, write_images):
    write_images(tmp_path, mode="L")
    grey = read(tmp_path).x_train
    Image.new("RGB", (7, 5), (1, 2, 3)).save(tmp_path / "test" / "cat" / "0.png")
    raw = read(tmp_path)
    np.testing.assert_array_equal(raw.x_train, grey.repeat(3, axis=-1))
    assert raw.x_test[0, 0, 0].tolist() == [1, 2, 3]


def test_hidden_and_other_files_are_passed_over_and_folders_within_a_class_are_read(tmp_path, write_images):
    write_images(tmp_path)
    (tmp_path / "train" / ".cache" / "deep").mkdir(parents=True)
    (tmp_path / "train" / "README.md").write_text("read me")
    (tmp_path / "train" / "cat" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "train" / "cat" / "._0.png").write_bytes(b"x")
    (tmp_path / "train" / "cat" / "labels.csv").write_text("x")
    (tmp_path / "train" / "cat" / "more").mkdir()
    Image.new("RGB", (7, 5)).save(tmp_path / "train" / "cat" / "more" / "9.png")
    raw = read(tmp_path)
    assert len(raw.x_train) == 9
    assert raw.origin["files_passed_over"] == 2
    assert raw.remarks == (
        f"files and links outside of the class folders passed over: 1, such as '{tmp_path}/train/README.md'",
        f"files of other endings passed over: 1, such as '{tmp_path}/train/cat/labels.csv'",
    )


def test_task(tmp_path, write_images):
    task = load_task(write_images(tmp_path, train=12))
    assert (len(task.train), len(task.validation), len(task.test)) == (20, 4, 4)
    assert (task.spec.channels, task.spec.height, task.spec.width) == (3, 5, 7)
    assert task.class_names == ("cat", "dog")


def refused(folder, rule):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TaskError, match=rule) as caught:
            load_task(folder)
    assert "\n" not in str(caught.value)


def test_structure(tmp_path, write_images):
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", r"has no class folders in train/; it must hold train/ and test/")
    write_images(tmp_path / "one", classes=("cat",))
    refused(tmp_path / "one", "has 1 class folders; at least 2")
    write_images(tmp_path / "own")
    (tmp_path / "own" / "test" / "bird").mkdir()
    refused(tmp_path / "own", "class 'bird' is in test/ but not in train/")
    (tmp_path / "own" / "train" / "bird").mkdir()
    refused(tmp_path / "own", "train/bird' holds no images")
    write_images(tmp_path / "few", train=1)
    refused(tmp_path / "few", "class 'cat' has 1 training image")


def test_sizes_must_agree(tmp_path, write_images):
    write_images(tmp_path)
    Image.new("RGB", (7, 6)).save(tmp_path / "train" / "dog" / "2.png")
    refused(tmp_path, r"cat/0.png' is 7x5 pixels and .*dog/2.png' is 7x6 pixels; all images must have one size")


def test_unreadable_and_truncated_images_are_named(tmp_path, write_images):
    write_images(tmp_path, size=(40, 40))
    victim = tmp_path / "train" / "dog" / "2.png"
    whole = victim.read_bytes()
    for data in (b"", b"hello", whole[: len(whole) // 2], whole[:40], b"%!PS-Adobe-3.0 EPSF-3.0\n"):
        victim.write_bytes(data)
        refused(tmp_path, "cannot read .*train/dog/2.png' as an image")


@pytest.mark.parametrize("side", [513, 12_000, 60_000])
def test_absurd_sizes_are_refused_from_the_header(tmp_path, write_images, side):
    write_images(tmp_path)
    for split, name in (("train", "cat"), ("train", "dog"), ("test", "cat"), ("test", "dog")):
        for file in (tmp_path / split / name).iterdir():
            file.with_suffix(".ppm").write_bytes(f"P6 {side} {side} 255\n".encode())
            file.unlink()
    refused(tmp_path, "at most 512 a side|bomb")


def test_more_than_the_memory(tmp_path, write_images, monkeypatch):
    write_images(tmp_path)
    monkeypatch.setattr(guard, "available_memory", lambda: 100)
    refused(tmp_path, "12 images of 5x7x3: loading needs")
