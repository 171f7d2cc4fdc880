"""Paths that people write, and the names of files that are made of what people call things."""

import os
import re
from pathlib import Path

from spaces.credentials import without_credentials
from spaces.errors import OptionError
from spaces.files import reason

LONGEST = 80  # bytes of a plain name: two of them, a date and a number make a file's name on every file system


def user_path(text: str | Path, what: str) -> Path:
    """The path that a person wrote, with ``~`` and ``~NAME`` filled in; it need not exist.

    Args:
        text: as written.
        what: what it is of, such as ``--out``, for the message.

    Raises:
        OptionError: nobody has such a home, or no file can have such a path or be looked up there; or it is a URI.
    """
    if "://" in str(text):
        raise OptionError(f"{what} {without_credentials(str(text))!r} is a URI: give the path of a file or folder here")
    try:
        path = Path(text).expanduser()
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return path
    except RuntimeError as error:
        fault, raised = f"nobody knows the home folder {Path(text).parts[0]!r}", error
    except (OSError, ValueError) as error:  # too long, a zero byte, a folder that may not be entered
        fault, raised = reason(error), error
    else:
        return path
    shown = str(text) if len(str(text)) <= 100 else f"{str(text)[:100]}..."
    raise OptionError(f"{what} {shown!r} cannot be looked up ({fault}): give another path") from raised


def is_plain(name: str) -> bool:
    """Whether a name is of word characters, dots and dashes, and stays in the folder that it is put in."""
    return bool(re.fullmatch(r"[\w.-]+", name) and name.strip("-."))


def plain_name(text: str, default: str) -> str:
    """A text as a part of a file's name: word characters, dots and dashes, none at its ends, not too long.

    >>> plain_name("../my space", "space"), plain_name("..", "space"), plain_name("a" * 100, "space") == "a" * 80
    ('my-space', 'space', True)
    """
    plain = re.sub(r"[^\w.-]+", "-", text).strip("-.")
    return plain.encode()[:LONGEST].decode(errors="ignore").strip("-.") or default
