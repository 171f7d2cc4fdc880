"""Ends what a run began once that run is gone: a program of its own, since it outlives the run.

    python reaper.py NAME VALUE SECONDS

It waits until its standard input is closed, which the end of the run does however that comes. Then all processes with
NAME=VALUE in their environment, and all that those began, have SECONDS to end by themselves; what is left is killed.
"""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path


def running() -> dict[int, tuple[int, int]]:
    """The parent and the starting time of every process, by its number."""
    found = {}
    for home in Path("/proc").glob("[0-9]*"):
        try:
            fields = (home / "stat").read_text().rpartition(")")[2].split()  # after the name, which may be anything
        except OSError:
            continue
        if fields[0] != "Z":
            found[int(home.name)] = int(fields[1]), int(fields[19])
    return found


def marked(number: int, mark: bytes) -> bool:
    """Whether a process has that in its environment."""
    try:
        return mark in Path(f"/proc/{number}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def left(mark: bytes, known: dict[int, int]) -> list[int]:
    """Which of the run's processes are there; ``known`` gains all that are seen, each with its starting time.

    Children are looked for, since Ray's agents write their title over their environment.
    """
    now = running()
    found = {number for number, (_, start) in now.items() if known.get(number) == start or marked(number, mark)}
    more = found
    while more:
        more = {number for number, (parent, _) in now.items() if parent in more} - found
        found |= more
    known.update({number: now[number][1] for number in found})
    return sorted(found)


def main(name: str, value: str, seconds: str) -> None:
    """Waits for the run's end, and ends the rest."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the run
    sys.stdin.buffer.read()
    mark, known = f"{name}={value}".encode(), {}
    end, looks = time.monotonic() + float(seconds), 0
    there = left(mark, known)
    while (
        looks < 2 and time.monotonic() < end
    ):  # one that has just been started shows its environment at the second look
        looks = 0 if there else looks + 1
        time.sleep(0.2)
        there = left(mark, known)
    for number in there:
        with suppress(OSError):
            os.kill(number, signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
