"""The console script ``spikefront``: the verbs of launch.py under its own name."""

import re
import sys
from typing import Any, TextIO

from spikefront.rooms import foreign_room

LAUNCHED = re.compile(r"(?<![\w/.'\"-])(?:python )?launch\.py(?=[ `\n]|$)")  # as commands are told, never as a path


def main() -> int:
    """Runs the command line; returns the exit status, as ``launch.main`` does."""
    if fault := foreign_room():
        print(f"error: {fault}", file=sys.stderr)
        return 2
    import launch

    stdout, stderr = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Renamed(stdout), _Renamed(stderr)
    try:
        return launch.main()
    finally:
        sys.stdout, sys.stderr = stdout, stderr


class _Renamed:
    """A stream on which commands are told as this script's."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(LAUNCHED.sub("spikefront", text))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._stream, name)
