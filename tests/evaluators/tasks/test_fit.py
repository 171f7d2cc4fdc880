import numpy as np
import pytest
from PIL import Image

from evaluators.tasks.readers.fit import FITS, Fit, parse_fit
from spaces.errors import OptionError


def test_sizes():
    assert parse_fit("32") == Fit(height=32, width=32, how="crop")
    assert parse_fit("1x512", "pad") == Fit(height=1, width=512, how="pad")


@pytest.mark.parametrize(
    "size", ["", "0", "-3", "513", "8x0", "8x513", "8x", "x8", "8x8x3", "8.0", "big", "8 x 8", "\u0663", "8\n"]
)
def test_no_sizes(size):
    with pytest.raises(OptionError, match=r"--image-size .*: write a number of pixels or HEIGHTxWIDTH, each 1 to 512"):
        parse_fit(size)


def stripes(width, height):
    """An image that is dark on the left, grey in the middle third, and bright on the right."""
    return Image.fromarray(
        np.repeat(np.arange(width) * 3 // width * 100, height).reshape(width, height).T.astype(np.uint8)
    )


def test_crop_takes_the_middle_pad_all_and_stretch_all():
    image = stripes(90, 30)
    assert (np.asarray(parse_fit("12").apply(image))[:, 3:-3] == 100).all()
    padded = np.asarray(parse_fit("9", "pad").apply(image))
    assert (padded[:3] == 255).all()
    assert (padded[6:] == 255).all()
    assert np.abs(padded[3:6, [1, 4, 7]].astype(int) - (0, 100, 200)).max() <= 2  # bicubic: overshoots a little
    stretched = np.asarray(parse_fit("9", "stretch").apply(image))
    assert np.abs(stretched[:, [1, 4, 7]].astype(int) - (0, 100, 200)).max() <= 2


@pytest.mark.parametrize("how", FITS)
@pytest.mark.parametrize("size", [(1, 1), (500, 1), (1, 500), (7, 5)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_any_ratio(how, size, mode):
    """A line of one pixel stays one, where its share of the height would be none."""
    fitted = parse_fit("6x4", how).apply(Image.new(mode, size, 9 if mode == "L" else (9, 9, 9)))
    assert (fitted.size, fitted.mode) == ((4, 6), mode)
    assert np.asarray(fitted).min() == 9
