"""People's own data as files: ``train/`` and ``test/``, one folder of images a class in each."""

from pathlib import Path

import numpy as np

from evaluators.tasks.readers.guard import check_size, reading
from evaluators.tasks.readers.raw import RawData
from spaces.errors import TaskError

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".gif", ".tif", ".tiff"))
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "PPM", "GIF", "TIFF")
GREY = frozenset(("1", "L"))
DEEP = frozenset(("I", "F", "I;16", "I;16L", "I;16B", "I;16N"))


def read_folder(path: Path) -> RawData:
    """Read ``path/train/CLASS/*`` and ``path/test/CLASS/*`` as uint8 [N, H, W, C], classes and files sorted by name.

    Files below a class folder, at any depth, whose names end in one of SUFFIXES are images; hidden files and folders
    and all other files are passed over (the provenance counts the others). All images must have one size. They become
    grey if every one is grey, else RGB (palettes are looked up, transparency is dropped). 16-bit images are refused.
    Of several frames the first is taken.

    Raises:
        TaskError: no ``train`` or ``test``, no class folders, differing classes, a class without images, images that
            cannot be read, of more than one size, too large, or more than the memory holds.
    """
    names = _classes(path / "train")
    other = _classes(path / "test")
    if names != other:
        odd = sorted(set(names) ^ set(other))[0]
        where, lacks = ("train", "test") if odd in names else ("test", "train")
        raise TaskError(
            f"{str(path)!r}: class {odd!r} is in {where}/ but not in {lacks}/; both must have the same class folders"
        )
    files: list[tuple[Path, int]] = []
    ends, passed = [], 0
    for split in ("train", "test"):
        for label, name in enumerate(names):
            images, others = _images(path / split / name)
            files += [(image, label) for image in images]
            passed += others
        ends.append(len(files))
    height, width, mode = _common(files)
    channels = 1 if mode == "L" else 3
    check_size(repr(str(path)), (len(files), height, width, channels))
    pixels = np.empty((len(files), height, width, channels), np.uint8)
    for row, (file, _) in zip(pixels, files, strict=True):
        row[:] = _decode(file, mode).reshape(row.shape)
    labels = np.array([label for _, label in files], np.int64)
    return RawData(
        x_train=pixels[: ends[0]],
        y_train=labels[: ends[0]],
        x_test=pixels[ends[0] :],
        y_test=labels[ends[0] :],
        class_names=names,
        origin={"source": str(path.resolve()), "checksum": "none published", "files_passed_over": passed},
    )


def _classes(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise TaskError(
            f"{str(folder.parent)!r} has no folder {folder.name}/; it must hold train/ and test/, "
            "each with a folder of images a class"
        )
    with reading(folder, "a folder"):
        names = tuple(
            sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        )
    if len(names) < 2:
        raise TaskError(
            f"{str(folder)!r} has {len(names)} class folders; at least 2 are needed, each with images of one class"
        )
    return names


def _images(folder: Path) -> tuple[list[Path], int]:
    """Image files of one class, sorted, and the number of visible files that are not images."""
    with reading(folder, "a folder"):
        inside = (entry for entry in folder.rglob("*") if entry.is_file())
        seen = sorted(
            entry for entry in inside if not any(part.startswith(".") for part in entry.relative_to(folder).parts)
        )
    images = [entry for entry in seen if entry.suffix.lower() in SUFFIXES]
    if not images:
        raise TaskError(
            f"{str(folder)!r} holds no images; put some there ({', '.join(sorted(SUFFIXES))}) or remove the folder"
        )
    return images, len(seen) - len(images)


def _common(files: list[tuple[Path, int]]) -> tuple[int, int, str]:
    """Height, width and mode ("L" or "RGB") of all images, from their headers alone."""
    from PIL import Image

    size, grey = None, True
    for file, _ in files:
        with reading(file, "an image"), Image.open(file, formats=FORMATS) as image:
            found, mode = image.size, image.mode
        if mode in DEEP:
            raise TaskError(f"{str(file)!r} has more than 8 bits a channel (mode {mode}); convert it to 8 bits")
        size = size or found
        if found != size:
            raise TaskError(
                f"{str(files[0][0])!r} is {size[0]}x{size[1]} pixels and {str(file)!r} {found[0]}x{found[1]}; "
                "all images must have one size: resize them"
            )
        grey = grey and mode in GREY
    width, height = size or (0, 0)
    return height, width, "L" if grey else "RGB"


def _decode(file: Path, mode: str) -> np.ndarray:
    """Pixels uint8 [H, W] or [H, W, 3]."""
    from PIL import Image

    with reading(file, "an image"), Image.open(file, formats=FORMATS) as image:
        return np.asarray(image.convert(mode))
