"""One image file: its header, and its pixels upright, on white and in 8 bits."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluators.tasks.readers.guard import available_memory, reading
from spaces.errors import TaskError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "JPEG2000", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "PPM", "QOI", "ICO")  # told by their bytes
BY_ENDING = ("DIB", "TGA", "PCX", "SGI", "SUN")  # whose first bytes say too little: only under an ending of theirs
GREY = frozenset(("1", "L", "LA"))
MODES = GREY | frozenset(("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"))
STEPS = {"L;2": 85, "L;4": 17}  # greys of 2 and 4 bits, of 255, by Pillow's raw mode
ORIENTATION, PHOTOMETRIC, BITS = 0x0112, 0x0106, 0x0102  # tags of EXIF and TIFF
TURNS = (  # by orientation, 2 to 8: Pillow's name of what makes the image upright
    "FLIP_LEFT_RIGHT",
    "ROTATE_180",
    "FLIP_TOP_BOTTOM",
    "TRANSPOSE",
    "ROTATE_270",
    "TRANSVERSE",
    "ROTATE_90",
)
WORKING = 12  # bytes a pixel while an image is decoded: three copies of RGBA


@dataclass(frozen=True)
class Header:
    """What a file says of itself before it is decoded.

    Attributes:
        size: width and height in pixels; its orientation may exchange them.
        grey: whether it has grey values alone, with or without transparency.
    """

    size: tuple[int, int]
    grey: bool


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image.

    Attributes:
        image: upright and on white, of mode L or RGB.
        frames: whether the file holds more than this first frame or page.
        top: the largest value of an image of more than 8 bits a pixel, as stored; None: it has 8 or fewer.
        lost_exif: whether its EXIF data, which might say how to turn it, cannot be read.
    """

    image: "Image"
    frames: bool
    top: int | None
    lost_exif: bool


@cache
def image_endings() -> dict[str, str]:
    """Endings of the files that are read as images, and their formats, as far as this Pillow can read them."""
    from PIL import Image

    Image.init()
    read = {*FORMATS, *BY_ENDING, "MPO"} & ({*Image.OPEN} | {"MPO"})  # Pillow opens an MPO as a JPEG
    return {ending: name for ending, name in Image.registered_extensions().items() if name in read}


def read_header(file: Path) -> Header:
    """The header of an image.

    Raises:
        TaskError: no image of these formats, a bomb, or of a mode that has no fixed black and white.
    """
    with _opened(file) as image:
        raw, deep = _raw_mode(image), _deep(image)
        if image.mode not in MODES and deep is None:
            raise TaskError(
                f"{str(file)!r} has pixels of mode {image.mode}, of which the file does not say what is black and what "
                "is white: convert it to 8 bits"
            )
        if raw == "RGB;16B" and "transparency" in image.info:
            raise TaskError(
                f"{str(file)!r} has one transparent colour of 16 bits a channel, of which Pillow reads 8: save it with "
                "an alpha channel"
            )
        return Header(image.size, image.mode in GREY or deep is not None or raw.startswith("LA"))


def read_picture(file: Path, mode: str) -> Picture:
    """The pixels of an image whose header was read.

    Turned as its EXIF orientation says. What is transparent is drawn on white. Of more than 8 bits the upper 8 are
    taken. Of several frames the first is. Colour profiles are not applied.

    Args:
        file: of a format in ``image_endings``, whatever its ending.
        mode: L or RGB.

    Raises:
        TaskError: damaged, or too large for the memory.
    """
    with _opened(file) as image:
        need, room = WORKING * image.width * image.height, available_memory()
        if need > room:
            raise TaskError(
                f"{str(file)!r} is {image.width}x{image.height} pixels: decoding needs about {need / 1e9:.1f} GB of "
                f"memory and {room / 1e9:.1f} GB are free: shrink it first"
            )
        return picture_of(image, mode)


def picture_of(image: "Image", mode: str) -> Picture:
    """The pixels of an image that is open or was made, as ``read_picture`` gives them; of mode L or RGB."""
    raw, deep, frames = _raw_mode(image), _deep(image), bool(getattr(image, "is_animated", False))
    image.load()
    turn, lost = _turn(image)
    key = image.info.get("transparency")
    if raw in STEPS and isinstance(key, int) and key * STEPS[raw] <= 255:  # Pillow spreads the greys, not the key
        image.info["transparency"] = key * STEPS[raw]
    eight, top = (image, None) if deep is None else _eight_bits(image, deep, key)
    drawn = _on_white(eight, mode)
    return Picture(drawn if turn is None else drawn.transpose(turn), frames, top, lost)


@contextmanager
def _opened(file: Path) -> Iterator["Image"]:
    from PIL import Image

    kind = image_endings().get(file.suffix.lower())
    formats = [name for name in (*FORMATS, *((kind,) if kind in BY_ENDING else ())) if name in Image.OPEN]
    # not by its path: Pillow 11 to 13 then map an uncompressed TIFF of orientation 5 to 8 with the wrong length of rows
    with reading(file, "an image"), file.open("rb") as data, Image.open(data, formats=formats) as image:
        yield image


def _raw_mode(image: "Image") -> str:
    """How Pillow's decoder calls the pixels as stored; empty where it is another decoder that knows."""
    args = image.tile[0][3] if getattr(image, "tile", None) else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _deep(image: "Image") -> int | None:
    """Bits a pixel of a grey image of more than 8, where 0 and the largest number are black and white."""
    sixteen = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if not sixteen:
        return None
    return int(image.tag_v2.get(BITS, (16,))[0]) if image.format == "TIFF" else 16


def _eight_bits(image: "Image", bits: int, key: object) -> tuple["Image", int]:
    """The upper 8 of so many bits as an image of mode L, white where the value is ``key``; and the largest value."""
    from PIL import Image

    values = np.asarray(image).astype(np.int64)
    top = int(values.max())
    if image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == 0:  # white is zero
        values = 2**bits - 1 - values
    eight = (values >> (bits - 8)).clip(0, 255).astype(np.uint8)
    if isinstance(key, int):
        eight[values == key] = 255
    return Image.fromarray(eight), top


def _on_white(image: "Image", mode: str) -> "Image":
    from PIL import Image

    if image.mode not in ("LA", "PA", "RGBA") and "transparency" not in image.info:
        return image.convert(mode)
    canvas = Image.new("RGBA", image.size, "white")
    canvas.alpha_composite(image.convert("RGBA"))
    return canvas.convert(mode)


def _turn(image: "Image") -> tuple[object | None, bool]:
    """How to make an image upright, if it is not; and whether its EXIF data cannot be read."""
    from PIL import Image

    try:
        found = image.getexif().get(ORIENTATION)
    except Exception:  # as in ``reading``: foreign bytes; what else there is of the image is sound
        return None, True
    sound = isinstance(found, int) and 2 <= found <= 8
    return (getattr(Image.Transpose, TURNS[found - 2]) if sound else None), False
