"""Data sets by name or path. Importing this loads neither torch nor torchvision nor scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from evaluators.tasks.readers.cifar import CIFAR10, CIFAR100, read_cifar
from evaluators.tasks.readers.digits import read_digits
from evaluators.tasks.readers.fit import Fit, parse_fit
from evaluators.tasks.readers.folder import read_folder
from evaluators.tasks.readers.framing import Framing, parse_framing
from evaluators.tasks.readers.idx import FASHION_MNIST, MNIST, read_idx_set
from evaluators.tasks.readers.nmnist import read_nmnist
from evaluators.tasks.readers.npz import read_npz
from evaluators.tasks.readers.raw import RawData
from evaluators.tasks.readers.svhn import read_svhn
from spaces.errors import TaskError, unknown
from spaces.files import kind_of
from spaces.paths import user_path

if TYPE_CHECKING:
    from evaluators.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A public data set.

    Attributes:
        description: one line for the help.
        read: (data_dir, *, fetch, verify) -> RawData; ``fetch`` downloads what is not there.
        recordings: whether samples are recordings of events; ``read`` takes ``framing``, too.
        augment: the usual augmentation in training.
        val_share: share of the official training samples that is validated on by default.
    """

    description: str
    read: Callable[..., RawData]
    recordings: bool = False
    augment: str = "none"
    val_share: float = 1 / 6


def _digits(data_dir: Path, *, fetch: bool, verify: bool) -> RawData:
    """Read the digits, which need no folder, no download and no check."""
    return read_digits()


DATA_SETS: dict[str, DataSet] = {
    "digits": DataSet(description="1 797 handwritten digits, 16x16 grey; no download", read=_digits, val_share=0.2),
    "mnist": DataSet(description="70 000 handwritten digits, 28x28 grey", read=partial(read_idx_set, MNIST)),
    "fashion-mnist": DataSet(
        description="70 000 pieces of clothing, 28x28 grey, 10 classes", read=partial(read_idx_set, FASHION_MNIST)
    ),
    "cifar10": DataSet(
        description="60 000 photographs, 32x32 RGB, 10 classes", read=partial(read_cifar, CIFAR10), augment="crop-flip"
    ),
    "cifar100": DataSet(
        description="60 000 photographs, 32x32 RGB, 100 classes",
        read=partial(read_cifar, CIFAR100),
        augment="crop-flip",
    ),
    "svhn": DataSet(description="99 289 house numbers, 32x32 RGB, 10 classes", read=read_svhn, augment="crop"),
    "nmnist": DataSet(
        description="70 000 digits before a moving event camera, 34x34, 2 polarities",
        read=read_nmnist,
        recordings=True,
    ),
}


def load_task(
    name_or_path: str | Path,
    *,
    data_dir: str | Path = "data",
    download: bool = False,
    verify: bool = True,
    train_samples: int | None = None,
    val_samples: int | None = None,
    frames: int = 4,
    event_frames: str = "time",
    event_scale: int = 1,
    sensor: str | None = None,
    event_columns: str | None = None,
    image_size: str | None = None,
    image_fit: str = "crop",
    test_share: float | None = None,
    seed: int = 0,
) -> Task:
    """Load a data set and split it.

    The validation split is a stratified part of the official training split, chosen by ``seed``: ``val_samples``
    samples, by default 20 % of the digits and a sixth of the others (of ``train_samples``), at most 2 000. The test
    split is the official one; that of the digits, which have none, and the ``test_share`` of a folder are chosen by a
    fixed seed. So the test split never depends on ``seed``, and test figures compare across seeds.

    Args:
        name_or_path: one of DATA_SETS, an ``.npz`` (see ``read_npz``), or a folder with ``train/`` and ``test/``
            (see ``read_folder``).
        data_dir: folder that holds the public data sets, or the one of the data set asked for.
        download: fetch a public data set that is not there.
        verify: compare the files of a public data set with their published MD5s.
        train_samples: samples to train on, a stratified subset; None: all that are not validated on.
        val_samples: samples to validate on.
        frames: of a recording of events: how many frames it is cut into, one a time step. Of no effect on images.
        event_frames: ``time`` or ``count``: by equal time or by equal numbers of events, see ``Framing``.
        event_scale: of recordings: so many by so many pixels are summed up in one.
        sensor: of recordings: the camera's ``HxW``; events outside are left out. None: as the recordings show.
        event_columns: of recordings as arrays [N, 4]: the order of the columns, such as ``xytp``.
        image_size: of a folder of images: the size that all are brought to, ``N`` or ``HxW``; None: they have one size.
        image_fit: with ``image_size``: one of ``fit.FITS``.
        test_share: of a folder without a test split: share of each class to test on, see ``read_tree``.
        seed: chooses the validation and training samples; 0 or more.

    Raises:
        OptionError: ``image_size`` or ``sensor`` is no size, ``event_columns`` no order, ``event_scale`` out of
            range, or no file can have such a path, see ``user_path``.
        TaskError: no such data set or file, damaged or altered files, data that cannot be learnt from, or subsets that
            cannot be had; options of a folder for other data.
    """
    from evaluators.tasks.build import build_task

    name = str(name_or_path)
    known = DATA_SETS.get(name)
    framing = parse_framing(frames=frames, by=event_frames, scale=event_scale, sensor=sensor, columns=event_columns)
    fit = None if image_size is None else parse_fit(image_size, image_fit)
    if known is not None:
        _refuse_options(name, fit, test_share)
        cut = {"framing": framing} if known.recordings else {}
        raw = known.read(user_path(data_dir, "--data-dir"), fetch=download, verify=verify, **cut)
        extra = {"augment": known.augment, "val_share": known.val_share}
    else:
        raw, extra = _read_path(name, framing, fit, test_share), {}
    if (given := framing.options()) and "sensor" not in raw.origin:
        raise TaskError(f"{name!r} holds no recordings of events, {given[0]} is of these: drop it")
    return build_task(raw, name=name, **extra, train_samples=train_samples, val_samples=val_samples, seed=seed)


def _refuse_options(name: str, fit: Fit | None, test_share: float | None) -> None:
    """Raises TaskError where there are options that are of folders alone, and these data are no folder."""
    if fit is not None:
        raise TaskError(f"{name!r} has images of one size, --image-size is of folders of images: drop it")
    if test_share is not None:
        raise TaskError(f"{name!r} has a test split, --test-share is of folders without one: drop it")


def _read_path(name: str, framing: Framing, fit: Fit | None, test_share: float | None) -> RawData:
    path = user_path(name, "--data")
    there = bool(name) and path.exists()
    if not there and (path.suffix or any(mark in name for mark in ("/", "\\"))):
        known = ", ".join(DATA_SETS)
        raise TaskError(f"no such file or folder: {name!r}; give an .npz, a folder with train/ and test/, or {known}")
    if not there:
        raise TaskError(unknown("data set", name, DATA_SETS) + ", or the path of an .npz or a folder")
    if path.is_dir():
        return read_folder(path, framing, fit, test_share)
    if path.suffix.lower() != ".npz" or (kind := kind_of(path)) != "file":
        what = "neither an .npz nor a folder" if path.suffix.lower() != ".npz" else f"a {kind}, not a regular file"
        raise TaskError(f"{name!r} is {what}; write x_train, y_train, x_test and y_test with numpy.savez")
    _refuse_options(name, fit, test_share)
    return read_npz(path, frames=framing.frames)
