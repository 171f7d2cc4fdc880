"""N-MNIST: MNIST's digits shown on a screen to a moving event camera of 34x34 pixels.

G. Orchard, A. Jayawant, G. K. Cohen, N. Thakor, "Converting Static Image Datasets to Spiking Neuromorphic Datasets
Using Saccades", Front. Neurosci. 9:437, 2015; CC BY-SA 4.0.
"""

import zipfile
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePosixPath

from evaluators.tasks.readers.framing import Framing
from evaluators.tasks.readers.guard import reading
from evaluators.tasks.readers.raw import RawData
from evaluators.tasks.readers.recordings import Recording, check_classes, read_recordings
from spaces.errors import TaskError
from spaces.files import check_regular

SIDE = 34  # pixels
DIGITS = tuple("0123456789")
INSIDE = (".", "nmnist", "NMNIST", "N-MNIST")
SPLITS = ("Train", "Test")
PAGE = "https://data.mendeley.com/datasets/468j46mzdv/1"  # where its authors publish it


def read_nmnist(data_dir: Path, *, fetch: bool, verify: bool, framing: Framing) -> RawData:
    """Read ``Train/DIGIT/*.bin`` and ``Test/DIGIT/*.bin``, from these folders or from ``Train.zip`` and ``Test.zip``.

    They are looked for in ``data_dir`` and in its sub-folder nmnist. Names may be in lower case. The recordings have
    no published checksums, so ``verify`` changes nothing: the zips' own checksums are always compared.

    Raises:
        TaskError: not there (it cannot be fetched from here), a digit without recordings, or one that cannot be read.
    """
    sources = _find(data_dir, fetch)
    with ExitStack() as stack:
        splits = []
        for source in sources:
            if source.is_dir():
                recordings = _in_folder(source)
            else:
                with reading(source, "a zip of N-MNIST"):
                    check_regular(source)
                    archive = stack.enter_context(zipfile.ZipFile(source))
                recordings = _in_zip(source, archive)
            check_classes(repr(str(source)), DIGITS, recordings)
            splits.append(recordings)
        zipped = any(source.is_file() for source in sources)
        origin = {
            "source": str(sources[0].parent.resolve()),
            "checksum": "of the zips' members" if zipped else "none published",
        }
        return read_recordings(
            *splits,
            framing,
            what=repr(str(data_dir)),
            class_names=DIGITS,
            origin=origin,
            sensor=(SIDE, SIDE),
        )


def _find(data_dir: Path, fetch: bool) -> list[Path]:
    """Folder or zip of the training and of the test split."""
    best: list[Path | None] = [None, None]
    at = data_dir
    for at in (data_dir / inside for inside in INSIDE):
        with reading(data_dir, "a folder"):
            there = {entry.name.lower(): entry for entry in sorted(at.iterdir())} if at.is_dir() else {}
        found = [there.get(split.lower()) or there.get(split.lower() + ".zip") for split in SPLITS]
        if all(found):
            return found
        best = found if any(found) else best
    way_out = f"get Train.zip and Test.zip at {PAGE} and name their folder with --data-dir"
    if any(best):
        lacking = SPLITS[best.index(None)]
        raise TaskError(f"N-MNIST in {str(data_dir)!r} lacks {lacking}/ or {lacking}.zip; {way_out}")
    cannot = "; --download cannot fetch it" if fetch else ""
    raise TaskError(
        f"N-MNIST is not in {str(data_dir)!r} (looked for Train/ and Train.zip there and in nmnist/){cannot}; {way_out}"
    )


def _in_folder(folder: Path) -> list[Recording]:
    with reading(folder, "a folder"):
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".bin" and path.is_file())
    return _recordings(
        (path.relative_to(folder).parts, str(path), path.stat().st_size, path.read_bytes) for path in files
    )


def _in_zip(path: Path, archive: zipfile.ZipFile) -> list[Recording]:
    members = {info.filename: info for info in archive.infolist() if info.filename.lower().endswith(".bin")}
    found = ((PurePosixPath(name).parts, name, info) for name, info in sorted(members.items()))
    return _recordings(
        (parts[parts[0].lower() in ("train", "test") :], f"{path}/{name}", info.file_size, partial(archive.read, info))
        for parts, name, info in found
    )


def _recordings(files: Iterable[tuple]) -> list[Recording]:
    """Recordings of (parts of the name below the split, name in full, size, load); hidden files are passed over."""
    found = []
    for parts, name, size, load in files:
        if any(part.startswith((".", "__")) for part in parts):  # __MACOSX, too
            continue
        if len(parts) < 2 or parts[0] not in DIGITS:
            raise TaskError(f"{name!r} is not in a folder named after its digit, 0 to 9; put it there or remove it")
        found.append(Recording(name=name, label=int(parts[0]), size=size, load=load))
    return found
