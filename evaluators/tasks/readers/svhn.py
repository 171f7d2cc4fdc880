"""SVHN, cropped street-view house numbers, from its two MATLAB files."""

from pathlib import Path

import numpy as np

from evaluators.tasks.readers.download import download
from evaluators.tasks.readers.guard import check_md5, check_size, find_folder, md5_of, reading
from evaluators.tasks.readers.raw import RawData
from spaces.errors import TaskError

FILES = {
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
}


def read_svhn(data_dir: Path, *, fetch: bool, verify: bool) -> RawData:
    """Read SVHN, uint8 [N, 32, 32, 3], 10 classes (the file's label 10 is digit 0), without the "extra" images.

    Args:
        data_dir: folder to look in.
        fetch: download with torchvision if the files are not there.
        verify: compare each file's MD5 with the published one.

    Raises:
        TaskError: files missing, damaged or altered.
    """
    inside, names = ("svhn", "SVHN", "."), [(name,) for name in FILES]
    try:
        paths = find_folder("SVHN", data_dir, inside, names)
    except TaskError:
        if not fetch:
            raise
        download("SVHN", data_dir)
        paths = find_folder("SVHN", data_dir, inside, names)
    if verify:
        for path in paths:
            check_md5(path, md5_of(path), FILES[path.name])
    (x_train, y_train), (x_test, y_test) = (_read(path) for path in paths)
    return RawData(
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        class_names=tuple("0123456789"),
        origin={
            "source": str(paths[0].parent.resolve()),
            "checksum": "published MD5 of both files" if verify else "not checked (--no-verify)",
        },
    )


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, 32, 32, 3] and labels int64 [N] of one file, X [32, 32, 3, N] and y [N, 1] in it."""
    from scipy.io import loadmat, whosmat

    with reading(path, "an SVHN file"):
        found = {name: (tuple(shape), kind) for name, shape, kind in whosmat(path)}
        shape, kind = found.get("X", ((), ""))
        labels_shape, labels_kind = found.get("y", ((), ""))
        numeric = kind == "uint8" and labels_kind in ("uint8", "double", "int64", "int32", "uint16", "int16")
        if not numeric or len(shape) != 4 or shape[:3] != (32, 32, 3) or labels_shape != (shape[3], 1):
            raise TaskError(
                f"{str(path)!r} must hold X, uint8 [32, 32, 3, N], and y [N, 1], not {found}; give SVHN's own files"
            )
        check_size(repr(str(path)), (shape[3], *shape[:3]))
        entries = loadmat(path, variable_names=["X", "y"])
        images, labels = entries["X"], entries["y"].reshape(-1).astype(np.int64)
    if images.shape != shape or images.dtype != np.uint8:
        raise TaskError(
            f"{str(path)!r}: X is {images.dtype} {list(images.shape)}, its header says {list(shape)}; fetch it again"
        )
    if len(labels) and not (labels.min() >= 1 and labels.max() <= 10):
        raise TaskError(f"{str(path)!r}: labels are {labels.min()}..{labels.max()}, SVHN's are 1..10; fetch it again")
    return np.ascontiguousarray(images.transpose(3, 0, 1, 2)), labels % 10
