"""Raw samples: files, images of Pillow and arrays become what a data set's reader would have made of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from evaluators.tasks.form import form_of
from evaluators.tasks.load import load_task
from evaluators.tasks.samples import labels_of, read_samples, task_of
from evaluators.tasks.task import batches
from spaces.errors import OptionError, TaskError


def pixels(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.fixture
def grey(task):
    return form_of(task)  # 8x8x1


@pytest.fixture
def coloured(grey):
    return replace(grey, shape=(6, 5, 3), mean=(0.5,) * 3, std=(0.2,) * 3)


def test_arrays_may_be_one_or_several_channels_first_or_last(coloured):
    several = pixels(4, 6, 5, 3)
    wanted = torch.from_numpy(several).movedim(-1, 1)
    for given in (several, np.moveaxis(several, -1, 1), torch.from_numpy(several), list(several), several.astype(int)):
        found, names = read_samples(given, coloured)
        assert torch.equal(found, wanted)
        assert names == ["0", "1", "2", "3"]
    for given in (several[0], np.moveaxis(several[0], -1, 0), Image.fromarray(several[0])):
        assert torch.equal(read_samples(given, coloured)[0], wanted[:1])


def test_grey_arrays_need_no_channel(grey):
    several = pixels(3, 8, 8)
    for given in (
        several,
        several[..., None],
        several[:, None],
        list(several),
        [Image.fromarray(one) for one in several],
    ):
        assert torch.equal(read_samples(given, grey)[0], torch.from_numpy(several)[:, None])


def test_files_are_read_as_a_folder_of_them_is(tmp_path):
    for split in ("train", "test"):
        for number, name in enumerate(("cat", "dog")):
            (tmp_path / split / name).mkdir(parents=True)
            for place in range(3):
                image = Image.fromarray(np.roll(pixels(12 + place, 9, 3), number, 0))
                image.save(tmp_path / split / name / f"{place}.png")
    for fit in ("crop", "pad", "stretch"):
        task = load_task(tmp_path, image_size="8x6", image_fit=fit)
        form = form_of(task)
        assert (form.image_fit, form.class_names) == (fit, ("cat", "dog"))
        files = sorted((tmp_path / "test").rglob("*.png"))
        found, names = read_samples(files, form)
        assert torch.equal(found, task.test.images)
        assert names == list(map(str, files))
        seen = next(batches(task_of(form, found), task_of(form, found).test, batch_size=9))[0]
        assert torch.equal(seen, next(batches(task, task.test, batch_size=9))[0])


def test_an_image_of_another_size_is_refused_unless_it_is_said_how(tmp_path, grey):
    Image.fromarray(pixels(10, 12)).save(tmp_path / "a.png")
    with pytest.raises(TaskError, match=r"is 10x12 pixels, and the network sees 8x8: say how .* crop, pad or stretch"):
        read_samples(tmp_path / "a.png", grey)
    assert read_samples(str(tmp_path / "a.png"), grey, image_fit="pad")[0].shape == (1, 1, 8, 8)
    assert read_samples(pixels(10, 12), grey, image_fit="crop")[0].shape == (1, 1, 8, 8)
    with pytest.raises(OptionError, match="did you mean 'crop'"):
        read_samples(tmp_path / "a.png", grey, image_fit="crops")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.zeros((8, 8)), "is float64 from 0 to 0: give whole numbers 0 to 255"),
        (np.full((8, 8), 256), "from 256 to 256: give whole numbers"),
        (np.full((8, 8), -1), "give whole numbers"),
        (pixels(9, 8), r"is \[9, 8\]: the network sees \[H, W, C\] of \[8, 8, 1\]"),
        (pixels(0, 8, 8), "there are no samples"),
        ([], "there are no samples"),
        ([None], "sample 0 is a NoneType: give a file"),
        ([pixels(2, 8, 8)], "sample 0 is an array of 2 samples"),
        ("nowhere.png", "cannot read 'nowhere.png'"),
        ("a.npy", "'a.npy' is no image"),
        (Image.new("F", (8, 8)), "mode F: convert it"),
    ],
)
def test_what_is_no_sample_is_refused(grey, given, said):
    with pytest.raises(TaskError, match=said):
        read_samples(given, grey)


def test_a_network_of_floats_takes_floats_alone(grey):
    floats = replace(grey, dtype="float32", divide_by=1.0)
    assert torch.equal(read_samples(np.full((8, 8), 0.25), floats)[0], torch.full((1, 1, 8, 8), 0.25))
    with pytest.raises(TaskError, match="NaN"):
        read_samples(np.full((8, 8), np.nan), floats)
    with pytest.raises(TaskError, match="give such an array"):
        read_samples(Image.new("L", (8, 8)), floats)


def test_labels_may_be_numbers_or_names(grey):
    named = replace(grey, class_names=("left", "right"))
    assert labels_of(["right", 0, "left"], named, 3) == [1, 0, 0]
    assert labels_of(torch.tensor([1, 0]), named, 2) == [1, 0]
    for labels, said in (
        ([2], "is 2: give class numbers 0 to 1"),
        (["rigth"], "did you mean 'right'"),
        ([0, 1], "2 labels"),
    ):
        with pytest.raises(TaskError, match=said):
            labels_of(labels, named, 1)


def test_recordings_are_cut_as_those_that_were_trained_on(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("left", "right"):
            (tmp_path / split / name).mkdir(parents=True)
            for place in range(3):
                columns = [rng.integers(0, 12, 50), rng.integers(0, 10, 50), np.sort(rng.integers(0, 900, 50))]
                events = np.stack([*columns, rng.integers(0, 2, 50)], 1)
                np.save(tmp_path / split / name / f"{place}.npy", events)
    options = {"event_columns": "xytp", "event_scale": 2, "sensor": "10x12", "event_frames": "count"}
    task = load_task(tmp_path, frames=3, **options)
    form = form_of(task)
    assert form.events == {"by": "count", "scale": 2, "sensor": [10, 12], "columns": "xytp", "polarities": [0, 1]}
    found, _ = read_samples(sorted((tmp_path / "test").rglob("*.npy")), form)
    assert torch.equal(found, task.test.images)
    assert torch.equal(read_samples(found.movedim(2, -1).numpy(), form)[0], found)
    with pytest.raises(TaskError, match="is an image, and the network was trained on recordings"):
        read_samples(Image.new("L", (8, 8)), form)
