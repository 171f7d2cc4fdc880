"""Photographs as people have them, through the command line: of five sizes, turned, with alpha, linked, without a test
split.
"""

import json

import numpy as np
import pytest
from PIL import Image

import launch

SIZES = ((40, 30), (30, 40), (64, 64), (50, 20), (37, 91))
BRIEF = (
    *("--space", "autosnn", "--width", "4", "--timesteps", "2", "--no-compile", "--threads", "1"),
    *("--batch-size", "4", "--supernet-epochs", "4", "--candidates", "3", "--sampler", "random"),
    *("--finalists", "1", "--finalist-epochs", "2"),
)
OPTIONS = ("--image-size", "16x12", "--image-fit", "pad", "--test-share", "0.2")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Three classes of 15 images, of five sizes, red, green and blue; some of each sort that people have."""
    home = tmp_path_factory.mktemp("data") / "photographs"
    rng = np.random.default_rng(0)
    for channel, name in enumerate(("cat", "dog", "owl")):
        (home / name).mkdir(parents=True)
        for number in range(15):
            width, height = SIZES[number % 5]
            values = rng.integers(0, 90, (height, width, 3)).astype(np.uint8)
            values[..., channel] += 120
            image, turned = Image.fromarray(values), Image.Exif()
            turned[0x0112] = number % 8 + 1
            if number % 3:
                image.save(home / name / f"{number}{('.jpg', '.jfif', '.JPE')[number % 3]}", "JPEG", exif=turned)
            else:
                image.putalpha(Image.fromarray(rng.integers(0, 256, (height, width)).astype(np.uint8)))
                image.save(home / name / f"{number}.png")
    (home / "notes.txt").write_text("none")
    (home / "cat" / "lost.jpg").symlink_to("annex")
    (home / "cat" / "more").symlink_to(home / "cat")
    return home


@pytest.fixture(scope="module")
def run(photographs, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    assert launch.main([*BRIEF, *OPTIONS, "--data", str(photographs), "--out", str(out)]) == 0
    return out


def error_of(capsys, args):
    capsys.readouterr()
    assert launch.main(args) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_photographs_of_any_size_end_in_a_report(run):
    stored = json.loads((run / "config.json").read_text())
    assert {name: stored["match"][name] for name in ("image_size", "image_fit", "test_share")} == {
        "image_size": "16x12",
        "image_fit": "pad",
        "test_share": 0.2,
    }
    assert stored["task"]["samples"] == {"train": 30, "validation": 6, "test": 9}
    (finalist,) = (run / "finalists").iterdir()
    assert 0 <= json.loads((finalist / "metrics.json").read_text())["test_accuracy"] <= 1
    assert (run / "report.html").stat().st_size > 10_000


def test_what_is_done_to_them_is_told(run, photographs, capsys):
    again = [*BRIEF, *OPTIONS, "--data", str(photographs), "--out", str(run)]
    assert launch.main(again) == 0
    told = capsys.readouterr().err
    for remark in (
        f"files and links outside of the class folders passed over: 1, such as '{photographs}/notes.txt'",
        f"links that lead nowhere passed over: 1, such as '{photographs}/cat/lost.jpg'",
        f"linked folders that are read already passed over: 1, such as '{photographs}/cat/more'",
        "9 of 45 samples were drawn to test on, the same for every --seed",
        "images of 7 sizes, 50x20 to 64x64 pixels, were brought to 16x12 pixels: the longer side resized, ",
    ):
        assert f"note: {remark}" in told


def test_a_resume_goes_on_with_the_same_images(run, photographs, capsys):
    assert launch.main(["resume", str(run)]) == 0
    for name, value, shown in (
        ("--image-size", "16", 'image_size: run has "16x12", now "16"'),
        ("--image-fit", "crop", 'image_fit: run has "pad", now "crop"'),
        ("--test-share", "0.3", "test_share: run has 0.2, now 0.3"),
    ):
        args = [*BRIEF, *OPTIONS, name, value, "--data", str(photographs), "--out", str(run)]
        assert shown in error_of(capsys, args)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (
            ["--image-fit", "pad"],
            "--image-fit pad is of images that are brought to a size: add --image-size 32, or drop --image-fit",
        ),
        (["--image-fit", "bend", "--image-size", "8"], "--image-fit: unknown value 'bend'"),
        (["--image-size", "0"], "--image-size '0': write a number of pixels or HEIGHTxWIDTH, each 1 to 512"),
        (["--test-share", "1"], "--test-share 1.0 is out of range: give more than 0 and less than 1"),
        (["--test-share", "nan"], "--test-share nan is out of range"),
        (["--test-share", "0.2"], "'digits' has a test split, --test-share is of folders without one: drop it"),
        (["--image-size", "8"], "'digits' has images of one size, --image-size is of folders of images: drop it"),
    ],
)
def test_options_that_cannot_be(options, rule, capsys):
    assert error_of(capsys, [*BRIEF, *options]).startswith(f"error: {rule}")
