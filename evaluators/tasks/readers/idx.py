"""MNIST and Fashion-MNIST: images and labels in idx files, plain or gzipped, checked against their published MD5s."""

import gzip
import hashlib
import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluators.tasks.readers.download import download
from evaluators.tasks.readers.guard import check_md5, check_size, find_folder, reading
from evaluators.tasks.readers.raw import RawData
from spaces.errors import TaskError

STEMS = ("train-images", "train-labels", "t10k-images", "t10k-labels")


@dataclass(frozen=True, kw_only=True)
class IdxSet:
    """A data set in the four files of MNIST: its torchvision class, class names, and MD5s of the plain files."""

    kind: str
    class_names: tuple[str, ...]
    md5: tuple[str, str, str, str]


MNIST = IdxSet(
    kind="MNIST",
    class_names=tuple("0123456789"),
    md5=(
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
)
FASHION_MNIST = IdxSet(
    kind="FashionMNIST",
    class_names=(
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
    md5=(
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
)  # fmt: skip


def read_idx_set(data_set: IdxSet, data_dir: Path, *, fetch: bool, verify: bool) -> RawData:
    """Read the four idx files of ``data_set``, grey [N, H, W, 1] uint8, from ``data_dir`` or the usual places below it.

    Files ``train-images-idx3-ubyte`` and so on (``.idx3-ubyte`` too), plain or ``.gz``, in the folder itself, ``raw``,
    ``MNIST/raw`` (torchvision's place), ``MNIST`` or ``mnist``. Gzipped files are unpacked in memory.

    Args:
        data_set: MNIST or FASHION_MNIST.
        data_dir: folder to look in.
        fetch: download with torchvision if the files are not there.
        verify: compare the MD5 of each plain file with the published one.

    Raises:
        TaskError: files missing, damaged, or not those of this data set.
    """
    paths = _find(data_set, data_dir, fetch)
    arrays = [
        read_idx(path, dims=1 if "labels" in path.name else 3, md5=md5 if verify else None)
        for path, md5 in zip(paths, data_set.md5, strict=True)
    ]
    return RawData(
        x_train=arrays[0][..., None],
        y_train=arrays[1].astype(np.int64),
        x_test=arrays[2][..., None],
        y_test=arrays[3].astype(np.int64),
        class_names=data_set.class_names,
        origin={
            "source": str(paths[0].parent.resolve()),
            "checksum": "published MD5 of all four files" if verify else "not checked (--no-verify)",
        },
    )


def _find(data_set: IdxSet, data_dir: Path, fetch: bool) -> list[Path]:
    kind = data_set.kind
    snake = kind.lower().replace("nm", "n_m") if kind != "MNIST" else "mnist"
    inside = (f"{kind}/raw", kind, f"{snake}/raw", snake, snake.replace("_", "-"), "raw", ".")
    names = []
    for stem in STEMS:
        dims = 1 if "labels" in stem else 3
        plain = (f"{stem}-idx{dims}-ubyte", f"{stem}.idx{dims}-ubyte")
        names.append((*plain, *(f"{name}.gz" for name in plain)))
    try:
        return find_folder(kind, data_dir, inside, names)
    except TaskError:
        if not fetch:
            raise
    download(kind, data_dir)
    return find_folder(kind, data_dir, inside, names)


def read_idx(path: Path, *, dims: int, md5: str | None = None) -> np.ndarray:
    """Read one idx file of unsigned bytes, gzipped if its name ends in ``.gz``.

    Args:
        path: the file.
        dims: 3 for images [N, H, W], 1 for labels [N].
        md5: expected MD5 of the unpacked file; None: not checked.

    Returns:
        uint8 [N, H, W] or [N], read-only.

    Raises:
        TaskError: wrong magic number, wrong length, absurd size, or another MD5.
    """
    with reading(path, "an idx file"), gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        head = file.read(4 + 4 * dims)
        if len(head) < 4 + 4 * dims:
            raise TaskError(
                f"{str(path)!r} is cut short: {len(head)} bytes, its header alone has {4 + 4 * dims}; fetch it again"
            )
        magic, *shape = struct.unpack(f">{1 + dims}I", head)
        if magic != 0x0800 + dims:
            raise TaskError(
                f"{str(path)!r} begins with {magic:#010x}, an idx file of {'images' if dims == 3 else 'labels'} "
                f"with {0x0800 + dims:#010x}; give the right file"
            )
        check_size(repr(str(path)), (*shape, 1) if dims == 3 else (*shape, 1, 1, 1))
        size = math.prod(shape)
        body = file.read(size + 1)
    if len(body) != size:
        length = f"{len(body)}" if len(body) < size else "more"
        raise TaskError(f"{str(path)!r} has {length} bytes of data where its header says {size}; fetch it again")
    if md5 is not None:
        digest = hashlib.md5(head, usedforsecurity=False)
        digest.update(body)
        if digest.hexdigest() != md5:
            _check_not_swapped(path, digest.hexdigest())
        check_md5(path, digest.hexdigest(), md5)
    return np.frombuffer(body, np.uint8).reshape(shape)


def _check_not_swapped(path: Path, found: str) -> None:
    """Both data sets use the same file names: say so if ``path`` is a file of either.

    Raises:
        TaskError: it is.
    """
    for kind, name in ((MNIST, "mnist"), (FASHION_MNIST, "fashion-mnist")):
        if found in kind.md5:
            stem = STEMS[kind.md5.index(found)]
            raise TaskError(f"{str(path)!r} is the {stem} file of {name}; give --data {name}, or another --data-dir")
