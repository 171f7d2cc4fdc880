"""CIFAR-10 and CIFAR-100 from their Python pickles, read by an unpickler that can make nothing but plain data."""

import codecs
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.tasks.readers.download import download
from evaluators.tasks.readers.guard import check_md5, check_size, find_folder, md5_of, reading
from evaluators.tasks.readers.raw import RawData
from spaces.errors import TaskError

MAX_FILE = 1 << 28  # bytes; the largest real one, CIFAR-100's train, has 155 MB


@dataclass(frozen=True, kw_only=True)
class CifarSet:
    """A data set in CIFAR's layout: torchvision class, folder, keys, and files with their published MD5s.

    The last file of ``files`` is the meta file with the class names, the one before it the test split.
    """

    kind: str
    folder: str
    archive: str
    label_key: str
    names_key: str
    classes: int
    files: dict[str, str]


CIFAR10 = CifarSet(
    kind="CIFAR10",
    folder="cifar-10-batches-py",
    archive="cifar-10-python.tar.gz",
    label_key="labels",
    names_key="label_names",
    classes=10,
    files={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
)
CIFAR100 = CifarSet(
    kind="CIFAR100",
    folder="cifar-100-python",
    archive="cifar-100-python.tar.gz",
    label_key="fine_labels",
    names_key="fine_label_names",
    classes=100,
    files={
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    },
)


def read_cifar(data_set: CifarSet, data_dir: Path, *, fetch: bool, verify: bool) -> RawData:
    """Read ``data_set``, uint8 [N, 32, 32, 3], from its folder in ``data_dir``, which may be that folder itself.

    Args:
        data_set: CIFAR10 or CIFAR100.
        data_dir: folder to look in.
        fetch: download with torchvision if the files are not there.
        verify: compare each file's MD5 with the published one.

    Raises:
        TaskError: files missing, damaged, altered, or holding anything but plain data.
    """
    *batches, meta = _find(data_set, data_dir, fetch)
    if verify:
        for path in (*batches, meta):
            check_md5(path, md5_of(path), data_set.files[path.name])
    names = _names(meta, data_set)
    parts = [_read_batch(path, data_set.label_key) for path in batches]
    x_test, y_test = parts.pop()
    x_train = np.concatenate([images for images, _ in parts])
    y_train = np.concatenate([labels for _, labels in parts])
    origin = {
        "source": str(meta.parent.resolve()),
        "checksum": "published MD5 of all files" if verify else "not checked (--no-verify)",
    }
    return RawData(x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test, class_names=names, origin=origin)


def _find(data_set: CifarSet, data_dir: Path, fetch: bool) -> list[Path]:
    inside = (data_set.folder, f"{data_set.kind.lower()}/{data_set.folder}", data_set.kind.lower(), ".")
    names = [(name,) for name in data_set.files]
    try:
        return find_folder(data_set.kind, data_dir, inside, names)
    except TaskError as error:
        if not fetch:
            if (data_dir / data_set.archive).is_file():
                raise TaskError(
                    f"{data_set.kind} is still packed in {str(data_dir / data_set.archive)!r}; unpack it there (tar xf)"
                ) from error
            raise
    download(data_set.kind, data_dir)
    return find_folder(data_set.kind, data_dir, inside, names)


def _names(meta: Path, data_set: CifarSet) -> tuple[str, ...]:
    listed = _entry(_load(meta), data_set.names_key, meta)
    if isinstance(listed, list) and len(listed) == data_set.classes:
        names = tuple(name.decode("latin1") if isinstance(name, bytes) else name for name in listed)
        if all(isinstance(name, str) for name in names):
            return names
    raise TaskError(f"{str(meta)!r} must hold {data_set.classes} class names; fetch {data_set.kind} again")


def _read_batch(path: Path, label_key: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, 32, 32, 3] and labels int64 [N] of one file."""
    batch = _load(path)
    pixels, labels = _entry(batch, "data", path), _entry(batch, label_key, path)
    if not isinstance(pixels, _Array) or pixels.shape[1:] != (3072,):
        raise TaskError(f"{str(path)!r}: 'data' must be a uint8 array [N, 3072]; give CIFAR's own files")
    if not isinstance(labels, list) or not all(type(label) is int and abs(label) < 1 << 31 for label in labels):
        raise TaskError(f"{str(path)!r}: {label_key!r} must be a list of whole numbers; give CIFAR's own files")
    count = pixels.shape[0]
    if count != len(labels) or count * 3072 != len(pixels.raw):
        raise TaskError(
            f"{str(path)!r}: {count} images, {len(labels)} labels and {len(pixels.raw)} bytes of pixels "
            "do not agree; fetch it again"
        )
    check_size(repr(str(path)), (count, 32, 32, 3))
    planes = np.frombuffer(pixels.raw, np.uint8).reshape(count, 3, 32, 32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), np.array(labels, np.int64)


def _entry(batch: object, key: str, path: Path) -> Any:  # noqa: ANN401  (whatever the pickle holds)
    """Value of ``key`` in a batch, whose keys are bytes in Python 2's pickles and strings in others."""
    if isinstance(batch, dict):
        for name in (key.encode(), key):
            if name in batch:
                return batch[name]
    raise TaskError(f"{str(path)!r} has no entry {key!r}; give CIFAR's own files")


def _load(path: Path) -> object:
    with reading(path, "a CIFAR file"), path.open("rb") as file:
        if path.stat().st_size > MAX_FILE:
            raise TaskError(
                f"{str(path)!r} has {path.stat().st_size} bytes, a CIFAR file at most {MAX_FILE}; give the right file"
            )
        return _PlainUnpickler(file, encoding="bytes").load()


class _Array:
    """Stands in for a pickled numpy array of bytes: its ``shape`` and its ``raw`` bytes, nothing computed."""

    shape: tuple[int, ...] = ()
    raw: bytes = b""

    def __setstate__(self, state: tuple[object, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        self.fill(raw, dtype, shape, "F" if fortran else "C")

    def fill(self, raw: object, dtype: object, shape: object, order: object) -> "_Array":
        plain = isinstance(shape, tuple) and all(type(side) is int and side >= 0 for side in shape)
        if not plain or not isinstance(raw, bytes | bytearray) or order != "C" or getattr(dtype, "kind", "") != "u1":
            raise pickle.UnpicklingError("an array that is not of unsigned bytes in C order")
        self.shape, self.raw = shape, bytes(raw)
        return self


class _Dtype:
    """Stands in for a pickled numpy dtype: its ``kind`` as written, such as 'u1'."""

    def __init__(self, kind: object = "", *_: object) -> None:
        self.kind = kind.decode("latin1") if isinstance(kind, bytes) else kind

    def __setstate__(self, state: object) -> None:
        pass


def _encode(text: str, encoding: str) -> bytes:
    """Python 3's way to write bytes in old pickles; only the codec that it uses."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"codec {encoding!r}")
    return codecs.encode(text, "latin1")


_ALLOWED: dict[tuple[str, str], Callable[..., object]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): lambda *_: _Array() for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): lambda *args: _Array().fill(*args) for core in ("core", "_core")},
}


class _PlainUnpickler(pickle._Unpickler):
    """Admits plain data and byte arrays. The Python unpickler, for the C one fills a table as long as the file asks."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, and a data file may hold plain arrays only")
        return _ALLOWED[module, name]
