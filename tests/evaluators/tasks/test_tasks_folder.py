import shutil
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluators.tasks.load import load_task
from evaluators.tasks.readers import guard, picture
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


def refused(folder, rule, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TaskError, match=rule) as caught:
            load_task(folder, **options)
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


def in_classes(folder, counts, size=(7, 5)):
    """Folders of classes alone, with so many images each; each image is of one value of its own."""
    value = 0
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("L", size, value := value + 1).save(folder / name / f"{number}.png")
    return folder


def values(images):
    return images[:, 0, 0, 0].tolist()


def test_a_test_split_is_drawn_by_class_and_not_by_the_seed(tmp_path):
    in_classes(tmp_path, {"cat": 50, "dog": 10, "owl": 20})
    one, other = (load_task(tmp_path, test_share=0.2, seed=seed) for seed in (0, 1))
    assert np.bincount(one.test.labels).tolist() == [10, 2, 4]
    assert values(one.test.images) == values(other.test.images)
    assert values(one.train.images) != values(other.train.images)
    splits = (one.train, one.validation, one.test)
    assert sorted(value for split in splits for value in values(split.images)) == list(range(1, 81))
    assert "16 of 80 samples were drawn to test on, the same for every --seed" in one.provenance["remarks"]


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_every_class_keeps_one_image_to_train_validate_and_test_on(tmp_path, share):
    task = load_task(in_classes(tmp_path, {"cat": 30, "dog": 3}), test_share=share)
    for split in (task.train, task.validation, task.test):
        assert set(split.labels.tolist()) == {0, 1}


def test_a_test_split_is_drawn_from_train_where_there_is_no_test(tmp_path):
    in_classes(tmp_path / "train", {"cat": 10, "dog": 10})
    in_classes(tmp_path / "val", {"cat": 1, "dog": 1})
    refused(tmp_path, "has no class folders in test/: put some there, or draw a test split with --test-share 0.2")
    raw = read_folder(tmp_path, Framing(frames=4), test_share=0.3)
    assert (len(raw.x_train), len(raw.x_test)) == (14, 6)
    assert f"files and folders beside train/ and test/ passed over: 1, such as '{tmp_path}/val'" in raw.remarks


def test_a_class_may_be_called_train_but_not_all_of_them_as_splits_are(tmp_path):
    in_classes(tmp_path / "vehicles", {"car": 3, "train": 3})
    assert read_folder(tmp_path / "vehicles", Framing(frames=4), test_share=0.3).class_names == ("car", "train")
    in_classes(tmp_path / "flat", {"train": 3, "test": 3, "Val": 3})
    refused(tmp_path / "flat", "has no class folders in train/; it must hold train/ and test/", test_share=0.3)


def test_what_cannot_be_drawn(tmp_path, write_images):
    refused(
        in_classes(tmp_path / "few", {"cat": 9, "dog": 2}), "class 'dog' has 2 samples; .* at least 3", test_share=0.2
    )
    refused(
        in_classes(tmp_path / "alone", {"cat": 9, "dog": 9}),
        "has class folders, such as 'cat', but neither train/ nor test/ around them: draw a test split",
    )
    refused(write_images(tmp_path / "both"), "has a test split in test/: drop --test-share 0.5", test_share=0.5)
    refused(in_classes(tmp_path / "one", {"cat": 9}), "one' has 1 class folders; at least 2", test_share=0.2)
    refused("digits", "'digits' has a test split, --test-share is of folders", test_share=0.2)


@pytest.mark.parametrize("kept", [True, False])
def test_a_class_without_test_images_is_told(tmp_path, write_images, kept):
    write_images(tmp_path, classes=("ant", "cat", "dog"))
    for file in (tmp_path / "test" / "cat").iterdir():
        file.unlink()
    if not kept:
        (tmp_path / "test" / "cat").rmdir()
    task = load_task(tmp_path)
    assert task.test.labels.tolist() == [0, 0, 2, 2]
    assert task.provenance["remarks"] == ["classes without test samples: 1, such as 'cat'"]
    shutil.rmtree(tmp_path / "test" / "ant")
    shutil.rmtree(tmp_path / "test" / "dog")
    refused(tmp_path, "test' holds no images|has no class folders in test/")


def test_links_in_circles_and_diamonds_end_and_each_image_is_read_once(tmp_path, write_images):
    write_images(tmp_path)
    home = tmp_path / "train" / "cat"
    (home / "up").symlink_to(tmp_path)
    levels = [tmp_path / ".levels" / str(number) for number in range(30)]
    for here, below in pairwise(levels):
        here.mkdir(parents=True)
        for name in ("left", "right"):  # 2 ** 29 paths to the end
            (here / name).symlink_to(below)
    levels[-1].mkdir()
    Image.new("RGB", (7, 5), (1, 2, 3)).save(levels[-1] / "end.png")
    (home / "more").symlink_to(levels[0])
    raw = read(tmp_path)
    assert len(raw.x_train) == 9
    assert raw.x_train[4].reshape(-1, 3).tolist() == [[1, 2, 3]] * 35
    assert raw.origin["files_passed_over"] == 30
    assert raw.remarks[0].startswith("linked folders that are read already passed over: 30, such as")


def test_a_class_of_broken_links_is_told_of_them(tmp_path, write_images):
    write_images(tmp_path)
    for file in (tmp_path / "train" / "dog").iterdir():
        file.unlink()
        file.symlink_to("annex/none")
    refused(
        tmp_path, r"train/dog' holds no images or recordings \(links that lead nowhere passed over: 4, such as .*dog/0"
    )


def test_folders_that_may_not_be_read_are_named(tmp_path, write_images, monkeypatch):
    (write_images(tmp_path) / "train" / "dog" / "more").mkdir()
    found = Path.iterdir

    def iterdir(path):
        if path.name == "more":
            raise PermissionError(13, "Permission denied", str(path))
        return found(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    refused(tmp_path, "cannot read .*dog/more' as a folder: PermissionError")


def test_images_of_any_size_are_brought_to_one(tmp_path):
    in_classes(tmp_path, {"cat": 4, "dog": 4})
    Image.new("L", (600, 900), 200).save(tmp_path / "dog" / "large.png")
    refused(tmp_path, "large.png' is 600x900 pixels; at most 512 a side: give --image-size", test_share=0.2)
    (tmp_path / "dog" / "large.png").rename(tmp_path / "cat" / "large.png")
    task = load_task(tmp_path, test_share=0.3, image_size="8x12", image_fit="pad")
    assert (task.spec.height, task.spec.width) == (8, 12)
    assert task.provenance["remarks"][-1] == (
        "images of 2 sizes, 5x7 to 900x600 pixels, were brought to 8x12 pixels: "
        "the longer side resized, the rest filled with white"
    )
    refused("digits", "'digits' has images of one size, --image-size is of folders", image_size="32")


def test_an_image_is_refused_that_cannot_be_decoded_in_the_memory(tmp_path, write_images, monkeypatch):
    write_images(tmp_path)
    monkeypatch.setattr(picture, "available_memory", lambda: 400)
    refused(tmp_path, "cat/0.png' is 7x5 pixels: decoding needs about 0.0 GB")


def test_recordings_may_lie_in_their_class_folders_alone(tmp_path, write_recordings):
    write_recordings(tmp_path)
    refused(tmp_path, "holds recordings of events, --image-size is of images: drop it", image_size="8")
    task = load_task(tmp_path / "train", test_share=0.25)
    assert [len(split) for split in (task.train, task.validation, task.test)] == [4, 2, 2]
    assert task.test.images.ndim == 5
