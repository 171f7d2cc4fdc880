"""What becomes of each kind of image file; the tests hold the reader to it and to Pillow's own rendering on white.

``PYTHONPATH=. python tests/evaluators/tasks/test_tasks_images.py`` prints the table of docs/images.md.
"""

import io
import json
import os
import re
import struct
import tempfile
import zlib
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps, features

import launch
from evaluators.tasks.build import build_task
from evaluators.tasks.readers.events import Framing
from evaluators.tasks.readers.fit import parse_fit
from evaluators.tasks.readers.folder import read_folder
from evaluators.tasks.readers.raw import RawData
from spaces.errors import TaskError

DOCS = Path(__file__).parents[3] / "docs" / "images.md"
HEIGHT, WIDTH = 16, 24
ORIENTATION = 0x0112
EXAMPLES = int(os.environ.get("EXAMPLES", "40"))  # 2000 were tried by hand
BRIEF = (
    *("--space", "autosnn", "--width", "2", "--timesteps", "1", "--no-compile", "--threads", "1"),
    *("--batch-size", "2", "--supernet-epochs", "1", "--time-schedule", "full"),
    *("--candidates", "1", "--finalists", "0", "--sampler", "random"),
)


def drawn(mode="RGB", size=(WIDTH, HEIGHT), seed=0):
    """An image of random values of a mode."""
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 4), np.uint8)
    if mode == "I;16":
        return Image.fromarray(values[..., 0].astype(np.uint16) * 257 + values[..., 1] % 7)
    if mode in ("I", "F"):
        return Image.fromarray(values[..., 0].astype({"I": np.int32, "F": np.float32}[mode]))
    if mode in ("LA", "PA"):
        return Image.merge("LA", [Image.fromarray(np.ascontiguousarray(values[..., i])) for i in (0, 1)]).convert(mode)
    if mode == "CMYK":
        return Image.fromarray(values, "CMYK")
    whole = Image.fromarray(values, "RGBA")
    return whole if mode == "RGBA" else whole.convert("RGB").convert(mode)


def encoded(image, form, **options):
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


def exif(orientation):
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def png(depth, kind, rows, *chunks):
    """A PNG of raw rows, all of WIDTH pixels, of a bit depth and colour type that Pillow does not write."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", WIDTH, len(rows), depth, kind, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def random_rows(length):
    return [bytes(row) for row in np.random.default_rng(1).integers(0, 256, (HEIGHT, length), np.uint8)]


def rendered(data, mode):
    """Pillow's own rendering of a file's first frame: upright and on white; of 16 bits the upper 8."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        upright = Image.fromarray((np.asarray(upright).astype(np.int64) >> 8).astype(np.uint8))
    canvas = Image.new("RGBA", upright.size, "white")
    canvas.alpha_composite(upright.convert("RGBA"))
    values = np.asarray(canvas.convert(mode))
    return values.reshape(*values.shape[:2], -1)


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        make: gives its bytes.
        ending: of its name.
        outcome: grey or RGB, as it is read; or the start of what the user is told, FILE standing for its path.
        also: what the user is told of a file that is read.
        pixels: as they should be, where Pillow's own rendering is not right.
        needs: the part of Pillow that reads it.
        put: puts at a path what is no file.
    """

    make: Callable[[], bytes] | None
    ending: str
    outcome: str
    also: str = ""
    pixels: Callable[[], np.ndarray] | None = None
    needs: str = ""
    put: Callable[[Path], object] | None = None


def saved(form, ending, outcome, mode="RGB", also="", needs="", **options):
    return Kind(lambda: encoded(drawn(mode), form, **options), ending, outcome, also, None, needs)


def several(form, mode="RGB", **options):
    more = [drawn(mode, seed=seed) for seed in (1, 2)]
    return Kind(
        lambda: encoded(drawn(mode), form, save_all=True, append_images=more, **options),
        {"JPEG": ".jpg", "MPO": ".jpg"}.get(form, f".{form.lower()}"),
        "RGB",
        "images of several frames or pages, of which the first is read: 1",
    )


def low_depth(depth, key):
    """A PNG of greys of few bits, one of which is transparent; and its pixels."""
    top, rows = 2**depth - 1, random_rows(WIDTH * depth // 8)
    bits = np.unpackbits(np.array([list(row) for row in rows], np.uint8), axis=1).reshape(HEIGHT, WIDTH, depth)
    values = (bits * 2 ** np.arange(depth)[::-1]).sum(-1)
    pixels = np.where(values == key, 255, values * 255 // top).astype(np.uint8)[..., None]
    return Kind(lambda: png(depth, 0, rows, (b"tRNS", struct.pack(">H", key))), ".png", "grey", pixels=lambda: pixels)


def deep_keyed():
    values = np.asarray(drawn("I;16"))
    key = int(values[3, 3])
    rows = [row.astype(">u2").tobytes() for row in values]
    pixels = np.where(values == key, 255, values >> 8).astype(np.uint8)[..., None]
    made = png(16, 0, rows, (b"tRNS", struct.pack(">H", key)))
    return Kind(lambda: made, ".png", "grey", DEEP, lambda: pixels)


def white_is_zero():
    image = drawn("I;16")
    pixels = (65535 - np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)[..., None]
    return Kind(lambda: encoded(image, "TIFF", tiffinfo={262: 0}), ".tif", "grey", DEEP, lambda: pixels)


def twelve_bits():
    """A TIFF of greys of 12 bits, two in three bytes."""
    values = np.random.default_rng(1).integers(0, 4096, (HEIGHT, WIDTH))
    one, other = values.ravel()[::2], values.ravel()[1::2]
    data = np.stack([one >> 4, (one & 15) << 4 | other >> 8, other & 255], 1).astype(np.uint8).tobytes()
    tags = {256: WIDTH, 257: HEIGHT, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: HEIGHT, 279: len(data)}
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items())
    made = b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)
    return Kind(lambda: made, ".tif", "grey", DEEP, lambda: (values >> 4).astype(np.uint8)[..., None])


def put(how, ending, outcome, also=""):
    return Kind(None, ending, outcome, also, put=how)


def folder(path):
    path.mkdir()
    (path / "in.png").write_bytes(PNG)


def linked_folder(path):
    folder(path.parents[2] / ".elsewhere")
    path.symlink_to(path.parents[2] / ".elsewhere")


def folder_in_a_circle(path):
    folder(path)
    (path / "again").symlink_to(path)


PNG = encoded(drawn(), "PNG")
DEEP = "images of more than 8 bits a pixel"
UNREADABLE = "cannot read FILE as an image: "
BROKEN = "links that lead nowhere passed over: 1"
AGAIN = "linked folders that are read already passed over: 1"
CASTS = "FILE has pixels of mode {}, of which the file does not say what is black and what is white"
KINDS = {
    "PNG, RGB": saved("PNG", ".png", "RGB"),
    "PNG, ending in capitals": saved("PNG", ".PNG", "RGB"),
    "PNG, 1 bit": saved("PNG", ".png", "grey", "1"),
    "PNG, grey": saved("PNG", ".png", "grey", "L"),
    "PNG, grey of 2 bits, one transparent": low_depth(2, 1),
    "PNG, grey of 4 bits, one transparent": low_depth(4, 10),
    "PNG, grey, one transparent": saved("PNG", ".png", "grey", "L", transparency=7),
    "PNG, grey of 16 bits": saved("PNG", ".png", "grey", "I;16", also=DEEP),
    "PNG, grey of 16 bits, one transparent": deep_keyed(),
    "PNG, grey with alpha": saved("PNG", ".png", "grey", "LA"),
    "PNG, grey of 16 bits with alpha": Kind(lambda: png(16, 4, random_rows(WIDTH * 4)), ".png", "grey"),
    "PNG, palette": saved("PNG", ".png", "RGB", "P"),
    "PNG, palette, one transparent": saved("PNG", ".png", "RGB", "P", transparency=5),
    "PNG, palette with alpha": saved("PNG", ".png", "RGB", "P", transparency=bytes(range(0, 250, 5))),
    "PNG, RGB, one transparent": saved("PNG", ".png", "RGB", transparency=tuple(np.asarray(drawn())[3, 3].tolist())),
    "PNG, RGB of 16 bits": Kind(lambda: png(16, 2, random_rows(WIDTH * 6)), ".png", "RGB"),
    "PNG, RGB of 16 bits, one transparent": Kind(
        lambda: png(16, 2, random_rows(WIDTH * 6), (b"tRNS", struct.pack(">3H", 9, 9, 900))),
        ".png",
        "FILE has one transparent colour of 16 bits a channel, of which Pillow reads 8: save it with an alpha channel",
    ),
    "PNG, RGBA": saved("PNG", ".png", "RGB", "RGBA"),
    "PNG, RGBA of 16 bits": Kind(lambda: png(16, 6, random_rows(WIDTH * 8)), ".png", "RGB"),
    "PNG, turned by EXIF": saved("PNG", ".png", "RGB", exif=exif(6)),
    "PNG, RGBA, turned by EXIF": saved("PNG", ".png", "RGB", "RGBA", exif=exif(7)),
    "PNG, animated": several("PNG"),
    "PNG, colour profile": saved(
        "PNG", ".png", "RGB", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    ),
    "JPEG": saved("JPEG", ".jpg", "RGB"),
    "JPEG, progressive": saved("JPEG", ".jpeg", "RGB", progressive=True),
    "JPEG as .jpe": saved("JPEG", ".jpe", "RGB"),
    "JPEG as .jfif": saved("JPEG", ".jfif", "RGB"),
    "JPEG, grey": saved("JPEG", ".jpg", "grey", "L"),
    "JPEG, CMYK": saved("JPEG", ".jpg", "RGB", "CMYK"),
    **{
        f"JPEG, EXIF orientation {number}": saved("JPEG", ".jpg", "RGB", exif=exif(number))
        for number in (1, 2, 3, 4, 5, 6, 7, 8, 9)
    },
    "JPEG of several pictures (MPO)": several("MPO"),
    "JPEG 2000": saved("JPEG2000", ".jp2", "RGB", needs="jpg_2000"),
    "JPEG 2000, grey of 16 bits": saved("JPEG2000", ".j2k", "grey", "I;16", also=DEEP, needs="jpg_2000"),
    "WebP, RGBA": saved("WEBP", ".webp", "RGB", "RGBA", lossless=True),
    "WebP, turned by EXIF": saved("WEBP", ".webp", "RGB", exif=exif(8)),
    "WebP, EXIF cannot be read": Kind(
        lambda: encoded(drawn(), "WEBP", lossless=True, exif=b"Exif\0\0none"),
        ".webp",
        "RGB",
        "images whose EXIF data cannot be read, and which are taken as they lie: 1",
        lambda: np.asarray(drawn()),
    ),
    "WebP, animated": several("WEBP", lossless=True),
    "AVIF": saved("AVIF", ".avif", "RGB", needs="avif"),
    "AVIF, RGBA": saved("AVIF", ".avif", "RGB", "RGBA", needs="avif"),
    "GIF": saved("GIF", ".gif", "RGB", "P"),
    "GIF, one transparent": saved("GIF", ".gif", "RGB", "P", transparency=3),
    "GIF, animated": several("GIF", "P"),
    "BMP": saved("BMP", ".bmp", "RGB"),
    "BMP, 1 bit": saved("BMP", ".bmp", "grey", "1"),
    "BMP without its file header (DIB)": saved("DIB", ".dib", "RGB"),
    "TIFF": saved("TIFF", ".tif", "RGB"),
    "TIFF, turned": saved("TIFF", ".tif", "RGB", "RGBA", tiffinfo={ORIENTATION: 6}),
    "TIFF, LZW, turned": saved("TIFF", ".tiff", "RGB", compression="tiff_lzw", tiffinfo={ORIENTATION: 5}),
    "TIFF, 1 bit": saved("TIFF", ".tif", "grey", "1"),
    "TIFF, grey with alpha": saved("TIFF", ".tif", "grey", "LA"),
    "TIFF, palette with alpha": saved("TIFF", ".tif", "RGB", "PA"),
    "TIFF, CMYK": saved("TIFF", ".tif", "RGB", "CMYK"),
    "TIFF, YCbCr": saved("TIFF", ".tif", "RGB", "YCbCr"),
    "TIFF, grey of 16 bits": saved("TIFF", ".tif", "grey", "I;16", also=DEEP),
    "TIFF, grey of 16 bits, white is zero": white_is_zero(),
    "TIFF, grey of 12 bits": twelve_bits(),
    "TIFF, whole numbers of 32 bits": saved("TIFF", ".tif", CASTS.format("I"), "I"),
    "TIFF, floating-point numbers": saved("TIFF", ".tif", CASTS.format("F"), "F"),
    "TIFF, CIELAB": saved("TIFF", ".tif", CASTS.format("LAB"), "LAB"),
    "TIFF of several pages": several("TIFF"),
    "PBM": saved("PPM", ".pbm", "grey", "1"),
    "PGM": saved("PPM", ".pgm", "grey", "L"),
    "PGM of 16 bits": saved("PPM", ".pgm", "grey", "I", also=DEEP),
    "PGM of 101 greys": Kind(
        lambda: f"P5 {WIDTH} {HEIGHT} 100\n".encode() + bytes(range(96)) * 4,
        ".pgm",
        "grey",
    ),
    "PPM as .pnm": saved("PPM", ".pnm", "RGB"),
    "PFM": saved("PPM", ".pfm", CASTS.format("F"), "F"),
    "QOI": saved("QOI", ".qoi", "RGB", "RGBA"),
    "TGA, RGBA": saved("TGA", ".tga", "RGB", "RGBA"),
    "PCX": saved("PCX", ".pcx", "RGB"),
    "SGI": saved("SGI", ".rgb", "RGB"),
    "ICO": Kind(lambda: encoded(drawn("RGBA", (48, 48)), "ICO", sizes=[(48, 48), (16, 16)]), ".ico", "RGB"),
    "of another size": Kind(
        lambda: encoded(drawn(size=(WIDTH, 9)), "PNG"),
        ".png",
        f"OTHER is {WIDTH}x{HEIGHT} pixels and FILE is {WIDTH}x9 pixels; all images must have one size",
    ),
    "JPEG under .png": saved("JPEG", ".png", "RGB"),
    "TGA under .png": saved("TGA", ".png", UNREADABLE),
    "text under .jpg": Kind(lambda: b"<html>not found</html>", ".jpg", UNREADABLE),
    "PostScript under .png": Kind(lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n", ".png", UNREADABLE),
    "empty file": Kind(lambda: b"", ".png", UNREADABLE),
    "PNG, cut off": Kind(lambda: PNG[: len(PNG) // 2], ".png", UNREADABLE),
    "JPEG, cut off": Kind(lambda: encoded(drawn(), "JPEG")[:300], ".jpg", UNREADABLE),
    "header of 60 000 x 60 000": Kind(lambda: b"P6 60000 60000 255\n", ".ppm", UNREADABLE + "DecompressionBombError"),
    "header of 8 000 x 8 000": Kind(
        lambda: b"P6 8000 8000 255\n", ".ppm", "FILE is 8000x8000 pixels; at most 512 a side: give --image-size 32"
    ),
    "other ending": Kind(lambda: PNG, ".heic", "files of other endings passed over: 1, such as FILE"),
    "no ending": Kind(lambda: PNG, "", "files of other endings passed over: 1, such as FILE"),
    "recording beside images": Kind(lambda: b"12345", ".bin", "OTHER is an image and FILE a recording of events"),
    "link to a file": put(lambda path: path.symlink_to("0.png"), ".png", "grey"),
    "link to nowhere": put(lambda path: path.symlink_to("none.png"), ".png", f"{BROKEN}, such as FILE"),
    "link to itself": put(lambda path: path.symlink_to(path), ".png", f"{BROKEN}, such as FILE"),
    "folder": put(folder, "", "RGB"),
    "linked folder": put(linked_folder, "", "RGB"),
    "folder with a link to itself": put(folder_in_a_circle, "", "RGB", f"{AGAIN}, such as FILE/again"),
    "link to the folder above": put(lambda path: path.symlink_to(".."), "", f"{AGAIN}, such as FILE"),
    "pipe": put(os.mkfifo, ".png", "pipes, sockets or devices passed over: 1, such as FILE"),
}


def place(home, kind):
    """Writes a folder with a file among grey ones of its size; returns its path and its bytes, if it is a file."""
    data, size = kind.make() if kind.make else None, (WIDTH, HEIGHT)
    if data is not None and kind.outcome in ("grey", "RGB"):
        size = kind.pixels().shape[1::-1] if kind.pixels else rendered(data, "L").shape[1::-1]
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (home / split / name).mkdir(parents=True)
            for number in range(2):
                drawn("L", size, number).save(home / split / name / f"{number}.png")
    path = home / "train" / "cat" / f"kind{kind.ending}"
    if kind.put:
        kind.put(path)
    else:
        path.write_bytes(data)
    return path, data


@pytest.mark.parametrize("name", KINDS)
def test_kinds_of_files(tmp_path, name):
    kind = KINDS[name]
    if kind.needs and not features.check(kind.needs):
        pytest.skip(f"this Pillow has no {kind.needs}")
    path, data = place(tmp_path, kind)
    try:
        raw = read_folder(tmp_path, Framing(frames=4))
    except TaskError as error:
        line = str(error)
        assert "\n" not in line
        assert (
            line.replace(repr(str(path)), "FILE")
            .replace(repr(str(path.with_name("0.png"))), "OTHER")
            .startswith(kind.outcome)
        )
        return
    told = [line.replace(f"'{path}", "'FILE").replace("'", "") for line in raw.remarks]
    if kind.outcome not in ("grey", "RGB"):
        assert (len(raw.x_train), raw.origin["files_passed_over"]) == (4, 1)
        assert told == [kind.outcome]
        return
    assert [line.startswith(kind.also) for line in told] == ([True] if kind.also else [])
    mode = {"grey": "L", "RGB": "RGB"}[kind.outcome]
    if data is None:
        data = (path / "in.png" if path.is_dir() else path).read_bytes()
    expected = kind.pixels() if kind.pixels else rendered(data, mode)
    np.testing.assert_array_equal(raw.x_train[2], expected)


def table():
    """Kinds of files and what becomes of them, as Markdown."""

    def becomes(kind):
        if kind.outcome in ("grey", "RGB"):
            return f"read, {kind.outcome}" + (f"; told: {kind.also}" if kind.also else "")
        over = "passed over: " in kind.outcome
        return f"passed over; told: {kind.outcome}" if over else f"error: {kind.outcome.rstrip(': ')} ..."

    rows = [f"| {name} | {kind.ending} | {becomes(kind)} |" for name, kind in KINDS.items()]
    return "\n".join(["| kind of file | ending | what happens |", "| --- | --- | --- |", *rows])


def test_the_table_in_the_documentation():
    assert table() in DOCS.read_text()
    assert len(KINDS) > 40


FORMS = {  # what Pillow writes without loss of a mode, or reads the same way twice
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("P",),
    "TIFF": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "LAB", "I", "F"),
    "BMP": ("1", "L", "RGB"),
    "PPM": ("1", "L", "RGB", "I", "F"),
    "TGA": ("L", "LA", "RGB", "RGBA"),
    "QOI": ("RGB", "RGBA"),
    "PCX": ("L", "RGB"),
    "SGI": ("L", "RGB", "RGBA"),
} | ({"JPEG2000": ("L", "LA", "RGB", "RGBA", "I;16")} if features.check("jpg_2000") else {})
ENDINGS = {form: [end for end, name in Image.registered_extensions().items() if name == form] for form in FORMS}
SOUND = {form: [mode for mode in modes if mode not in ("LAB", "I", "F")] for form, modes in FORMS.items()}


@st.composite
def images(draw, size, sound=True):
    """Bytes and ending of an image of this size, upright."""
    form = draw(st.sampled_from(sorted(FORMS)))
    mode = draw(st.sampled_from((SOUND if sound else FORMS)[form]))
    turn = draw(st.integers(1, 8)) if form in ("PNG", "JPEG", "WEBP", "TIFF") else 1
    image = drawn(mode, size[::-1] if turn > 4 else size, draw(st.integers(0, 99)))
    options = {"lossless": True} if form == "WEBP" else {}
    if turn > 1:
        options |= {"tiffinfo": {ORIENTATION: turn}} if form == "TIFF" else {"exif": exif(turn)}
    if form in ("PNG", "GIF") and mode in ("L", "P", "RGB") and draw(st.booleans()):
        key = np.asarray(image)[0, 0].tolist()
        options["transparency"] = tuple(key) if mode == "RGB" else key
    ending = draw(st.sampled_from(sorted(ENDINGS[form])))
    return encoded(image, form, **options), ending.upper() if draw(st.booleans()) else ending


sizes = st.tuples(st.integers(8, 40), st.integers(8, 40))
fits = st.none() | st.tuples(st.sampled_from(["8", "12x9", "8x40"]), st.sampled_from(["crop", "pad", "stretch"]))


@st.composite
def folders(draw):
    """Six images of a folder, train/cat, train/cat, train/dog, train/dog, test/cat, test/dog, and how to fit them."""
    fit = draw(fits)
    odd = draw(st.sampled_from(["none"] * 5 + ["mode", "size", "cut", "text"]))
    size = draw(sizes)
    found = [draw(images(size if fit is None else draw(sizes))) for _ in range(6)]
    number = draw(st.integers(0, 5))
    if odd in ("mode", "size"):
        found[number] = draw(images(draw(sizes) if odd == "size" else size, sound=odd == "size"))
    elif odd in ("cut", "text"):
        data, ending = found[number]
        cut = data[: int(len(data) * draw(st.floats(0, 1)))]
        found[number] = (cut if odd == "cut" else b"no image of any kind", ending)
    return found, fit


def write_folder(home, found):
    paths = []
    for number, (data, ending) in enumerate(found):
        place = home / ("train" if number < 4 else "test") / ("cat", "cat", "dog", "dog", "cat", "dog")[number]
        place.mkdir(parents=True, exist_ok=True)
        paths.append(place / f"{number}{ending}")
        paths[-1].write_bytes(data)
    return paths


def fitted(values, fit):
    """As Pillow's ImageOps brings an image to a size."""
    how = {"crop": ImageOps.fit, "pad": ImageOps.pad, "stretch": Image.Image.resize}[fit[1]]
    height, width = (int(side) for side in (fit[0].split("x") * 2)[:2])
    image = Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)
    options = {"color": "white"} if fit[1] == "pad" else {}
    done = np.asarray(how(image, (width, height), Image.Resampling.BICUBIC, **options))
    return done.reshape(height, width, -1)


def foreseen(found, fit):
    """Pixels [6, H, W, C] as Pillow has them, or the number of an image that is not to be read, or of another size."""
    modes = []
    for number, (data, _) in enumerate(found):
        try:  # a real file: a plugin may go back beyond its beginning, which bytes in memory let pass
            with tempfile.TemporaryFile() as file:
                file.write(data)
                image = Image.open(file)
                modes.append(image.mode)
                image.load()
        except Exception:
            return number
        if image.mode in ("LAB", "F") or (image.mode == "I" and image.format != "PPM"):
            return number
    mode = "L" if all(mode in ("1", "L", "LA", "I", "I;16") for mode in modes) else "RGB"
    pixels = [rendered(data, mode) for data, _ in found]
    if fit is not None:
        pixels = [fitted(values, fit) for values in pixels]
    for number, values in enumerate(pixels):
        if values.shape != pixels[0].shape:
            return number
    return np.stack(pixels)


@settings(max_examples=EXAMPLES)
@given(folders())
def test_any_folder_is_read_as_pillow_draws_it_or_a_file_is_named(case):
    found, fit = case
    expected = foreseen(found, fit)
    with tempfile.TemporaryDirectory() as name:
        paths = write_folder(Path(name), found)
        if isinstance(expected, int):
            with pytest.raises(TaskError) as caught:
                read_folder(Path(name), Framing(frames=4), None if fit is None else parse_fit(*fit))
            assert "\n" not in str(caught.value)
            assert any(repr(str(path)) in str(caught.value) for path in paths)
            return
        raw = read_folder(Path(name), Framing(frames=4), None if fit is None else parse_fit(*fit))
    np.testing.assert_array_equal(np.concatenate([raw.x_train, raw.x_test]), expected)
    assert raw.y_train.tolist() == [0, 0, 1, 1]


@settings(max_examples=max(1, EXAMPLES // 20), phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(folders())
def test_any_folder_on_the_command_line(case):
    found, fit = case
    expected = foreseen(found, fit)
    with tempfile.TemporaryDirectory() as name, redirect_stderr(io.StringIO()) as told, redirect_stdout(io.StringIO()):
        write_folder(Path(name) / "images", found)
        options = [] if fit is None else ["--image-size", fit[0], "--image-fit", fit[1]]
        code = launch.main([*BRIEF, "--data", f"{name}/images", "--out", f"{name}/run", *options])
        if isinstance(expected, int):
            assert code == 2
            assert re.fullmatch(r"error: .*\n", told.getvalue())
            return
        assert code == 0
        stored = json.loads((Path(name) / "run" / "config.json").read_text())
    labels = np.array([0, 0, 1, 1, 0, 1])
    raw = RawData(x_train=expected[:4], y_train=labels[:4], x_test=expected[4:], y_test=labels[4:])
    assert stored["match"]["data_sha256"] == build_task(raw, name="expected").provenance["sha256"]


if __name__ == "__main__":
    print(table())
