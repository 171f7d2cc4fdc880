"""Fetching the public data sets, by torchvision."""

import contextlib
import io
import sys
from pathlib import Path

from spaces.errors import TaskError, one_line


def download(kind: str, root: Path) -> None:
    """Let ``torchvision.datasets.<kind>`` download its files below ``root`` and check the archives' MD5s.

    Raises:
        TaskError: no connection, no space, or an archive that fails its checksum.
    """
    from torchvision import datasets

    quiet = contextlib.nullcontext() if sys.stderr.isatty() else contextlib.redirect_stderr(io.StringIO())
    parts = ({"split": "train"}, {"split": "test"}) if kind == "SVHN" else ({"train": False},)
    try:
        with quiet:
            for part in parts:
                getattr(datasets, kind)(str(root), download=True, **part)
    except Exception as error:  # whatever urllib, tarfile, gzip or the disk raise
        reason = one_line(error)
        raise TaskError(
            f"download of {kind} into {str(root)!r} failed: {reason}; fetch its files by hand and give --data-dir"
        ) from error
