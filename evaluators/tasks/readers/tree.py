"""Folders of samples, one a class: which files are there, which are passed over, and which are tested on."""

import stat
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evaluators.tasks.readers.guard import reading
from evaluators.tasks.split import TEST_SEED, stratified
from spaces.errors import TaskError

NOT_CLASSES = frozenset(("train", "test", "val", "valid", "validation"))  # what splits are called
RULE = "train/ and test/, each with a folder of images or recordings a class"
DRAW = "draw a test split with --test-share 0.2"
Sample = tuple[Path, int]  # a file and its label


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The samples below a folder.

    Attributes:
        class_names: sorted.
        train, test: samples by class, then by path.
        passed: how many visible files, links and folders are passed over.
        remarks: what the user is to be told of it all.
    """

    class_names: tuple[str, ...]
    train: list[Sample]
    test: list[Sample]
    passed: int
    remarks: list[str]


@dataclass(frozen=True)
class _Passed:
    """What is passed over, by what it is."""

    paths: dict[str, list[Path]] = field(default_factory=dict)

    def add(self, what: str, *paths: Path) -> None:
        if paths:
            self.paths.setdefault(what, []).extend(paths)

    def told(self) -> list[str]:
        return [f"{what} passed over: {len(paths)}, such as {str(paths[0])!r}" for what, paths in self.paths.items()]


def read_tree(path: Path, endings: Collection[str], test_share: float | None = None) -> Tree:
    """Find ``path/train/CLASS/*`` and ``path/test/CLASS/*``; with a share to test on, these without a ``test``.

    There may be no ``train`` either then, but ``path/CLASS/*``. Samples are the files below a class folder, at any
    depth, whose names end in one of ``endings``. Links are followed; a folder is read once a class, so loops end. Names
    that begin with a dot are hidden, and do not count.

    Args:
        path: the folder.
        endings: with their dots, in lower case.
        test_share: share of each class to test on, above 0 and below 1, where there is no ``test``. Drawn by a fixed
            seed, so that test figures of several seeds compare.

    Raises:
        TaskError: no ``train``, no ``test`` and no share, both a ``test`` and a share, fewer than two classes, a class
            in ``test`` alone, one without training samples or with too few to draw from, no test samples.
    """
    passed = _Passed()
    train, test = _sides(path, test_share)
    names = _classes(train)
    if len(names) < 2:
        raise TaskError(
            f"{str(train)!r} has {len(names)} class folders; at least 2 are needed, each with samples of one class"
        )
    if test is not None and (odd := sorted(set(_classes(test)) - set(names))):
        raise TaskError(f"{str(path)!r}: class {odd[0]!r} is in test/ but not in train/; add training samples of it")
    if train != path:
        passed.add(
            "files and folders beside train/ and test/",
            *(entry for entry in _visible(path) if entry not in (train, test)),
        )
    learnt = _labelled(train, names, endings, passed, above=(path, train))
    if empty := _without(learnt, names):
        raise TaskError(_nothing(train / empty[0], passed))
    if test is None:
        learnt, tested = _draw(repr(str(path)), learnt, names, test_share or 0)
        total = len(learnt) + len(tested)
        remarks = [f"{len(tested)} of {total} samples were drawn to test on, the same for every --seed"]
    else:
        tested = _labelled(test, names, endings, passed, above=(path, test))
        if not tested:
            raise TaskError(_nothing(test, passed))
        without = _without(tested, names)
        remarks = [f"classes without test samples: {len(without)}, such as {without[0]!r}"] if without else []
    return Tree(
        class_names=names,
        train=learnt,
        test=tested,
        passed=sum(map(len, passed.paths.values())),
        remarks=passed.told() + remarks,
    )


def _sides(path: Path, test_share: float | None) -> tuple[Path, Path | None]:
    """The folders that hold the classes of the training and of the test split; None: the latter is to be drawn."""
    train, test = (side if _classes(side := _side(path, split)) else None for split in ("train", "test"))
    if test is not None and test_share is not None:
        raise TaskError(f"{str(path)!r} has a test split in {test.name}/: drop --test-share {test_share:g}")
    if train is not None and test is None and test_share is None:
        raise TaskError(f"{str(path)!r} has no class folders in test/: put some there, or {DRAW}")
    if train is not None:
        return train, test
    names = _classes(path)
    if test is not None or not {name.lower() for name in names} - NOT_CLASSES:
        raise TaskError(f"{str(path)!r} has no class folders in train/; it must hold {RULE}")
    if test_share is None:
        raise TaskError(
            f"{str(path)!r} has class folders, such as {names[0]!r}, but neither train/ nor test/ around them: {DRAW}, "
            "or make those"
        )
    return path, None


def _side(path: Path, split: str) -> Path:
    """The folder of a split, which may begin with a capital as N-MNIST's do."""
    capital = path / split.capitalize()
    return capital if capital.is_dir() and not (path / split).is_dir() else path / split


def _visible(folder: Path) -> list[Path]:
    with reading(folder, "a folder"):
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _classes(folder: Path) -> tuple[str, ...]:
    with reading(folder, "a folder"):
        return tuple(entry.name for entry in _visible(folder) if entry.is_dir()) if folder.is_dir() else ()


def _labelled(
    side: Path, names: tuple[str, ...], endings: Collection[str], passed: _Passed, *, above: tuple[Path, ...]
) -> list[Sample]:
    """The samples of a split; ``above`` are folders that no link below leads back to."""
    passed.add(
        "files and links outside of the class folders", *(entry for entry in _visible(side) if entry.name not in names)
    )
    samples = []
    for label, name in enumerate(names):
        files = _files(side / name, above, passed) if (side / name).is_dir() else []
        samples += [(file, label) for file in files if file.suffix.lower() in endings]
        passed.add("files of other endings", *(file for file in files if file.suffix.lower() not in endings))
    return samples


def _files(folder: Path, above: tuple[Path, ...], passed: _Passed) -> list[Path]:
    """The visible files below a folder, sorted. What links lead to comes last, so that it is what is passed over."""
    seen = {_identity(one) for one in above}
    found, waiting, linked = [], [folder], []
    while waiting or linked:
        here = waiting.pop() if waiting else linked.pop(0)
        with reading(here, "a folder"):
            if (identity := _identity(here)) in seen:
                passed.add("linked folders that are read already", here)
                continue
            seen.add(identity)
            for entry in _visible(here):
                try:
                    kind = entry.stat().st_mode
                except PermissionError:
                    raise
                except OSError:  # no such file, or links in a circle
                    passed.add("links that lead nowhere", entry)
                    continue
                if stat.S_ISDIR(kind):
                    (linked if entry.is_symlink() else waiting).append(entry)
                elif stat.S_ISREG(kind):
                    found.append(entry)
                else:
                    passed.add("pipes, sockets or devices", entry)
    return sorted(found)


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def _without(samples: list[Sample], names: tuple[str, ...]) -> list[str]:
    """The classes that have no samples."""
    seen = {label for _, label in samples}
    return [name for label, name in enumerate(names) if label not in seen]


def _nothing(folder: Path, passed: _Passed) -> str:
    told = f" ({'; '.join(passed.told())})" if passed.paths else ""
    return f"{str(folder)!r} holds no images or recordings{told}; put some there, as .png, .jpg or .npy, or remove it"


def _draw(what: str, samples: list[Sample], names: tuple[str, ...], share: float) -> tuple[list[Sample], list[Sample]]:
    """Two stratified parts, to learn from and to test on, each sorted as before."""
    labels = np.array([label for _, label in samples])
    counts = np.bincount(labels)
    if counts.min() < 3:
        raise TaskError(
            f"{what}: class {names[counts.argmin()]!r} has {counts.min()} samples; to draw a test split at least 3 a "
            "class are needed, one each to train, validate and test on"
        )
    wanted = min(max(round(share * len(samples)), len(names)), len(samples) - 2 * len(names))
    parts = stratified(
        labels, second=wanted, first=None, seed=TEST_SEED, what=(f"{what}: training", f"{what}: test samples"), leave=2
    )
    first, second = ([samples[index] for index in part] for part in parts)
    return first, second
