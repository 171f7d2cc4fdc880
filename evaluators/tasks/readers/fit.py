"""Fit: how images of any size are brought to one. Importing this loads neither NumPy nor Pillow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluators.tasks.readers.guard import MAX_SIDE
from spaces.errors import OptionError

if TYPE_CHECKING:
    from PIL.Image import Image

FITS = {
    "crop": "the shorter side resized, the middle cut out",
    "pad": "the longer side resized, the rest filled with white",
    "stretch": "both sides resized, whatever their ratio",
}


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The size that all images get.

    Attributes:
        height, width: pixels, 1 to MAX_SIDE.
        how: one of FITS.
    """

    height: int
    width: int
    how: str = "crop"

    def apply(self, image: Image) -> Image:
        """An ``image`` of mode L or RGB at this size, resampled bicubically over all of the pixels that it takes in."""
        from PIL import Image, ImageOps

        size, filtered = (self.width, self.height), Image.Resampling.BICUBIC
        if self.how == "crop":
            return ImageOps.fit(image, size, filtered)
        if self.how == "stretch":
            return image.resize(size, filtered)
        scale = min(self.width / image.width, self.height / image.height)
        inner = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), filtered)
        canvas = Image.new(image.mode, size, "white")
        canvas.paste(inner, (round((self.width - inner.width) / 2), round((self.height - inner.height) / 2)))
        return canvas

    def __str__(self) -> str:
        return f"{self.height}x{self.width} pixels: {FITS[self.how]}"


def parse_fit(size: str, how: str = "crop") -> Fit:
    """The Fit that ``N`` or ``HxW`` names.

    >>> parse_fit("24x32")
    Fit(height=24, width=32, how='crop')

    Raises:
        OptionError: anything else, or a side that is out of range.
    """
    found = re.fullmatch(r"(\d{1,4})(?:x(\d{1,4}))?", size, re.ASCII)
    height, width = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise OptionError(
            f"--image-size {size!r}: write a number of pixels or HEIGHTxWIDTH, each 1 to {MAX_SIDE}, e.g. 32 or 24x32"
        )
    return Fit(height=height, width=width, how=how)
