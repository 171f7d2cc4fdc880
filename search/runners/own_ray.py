"""A Ray of this machine alone, for one run: out of reach of other machines, and gone when the run ends or is killed."""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from search.runners import reaper
from search.runners.private_ray import loopback_kept
from spaces.errors import ClusterError
from spaces.temporary import temporary_folder

LOOPBACK = "127.0.0.1"
MARK = "SPIKEFRONT_RAY"  # in the environment of all that Ray starts
SOCKET = 107  # bytes that the path of a socket may have
OF_RAY = len("/spikefront-12345678/r/session_2026-12-01_00-57-54_367666_1234567/sockets/plasma_store")
GRACE = 5.0  # seconds that Ray's processes have to end by themselves once the run is gone: most take 2, two of them 60


@contextmanager
def own_ray() -> Iterator[Mapping[str, Any]]:
    """Within, options for a ``ray.init`` of this machine; to be left once that Ray is shut down.

    Raises:
        ClusterError: no folder is there whose path is short enough for Ray's sockets.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder(_short_home()))  # Ray opens its own, within, to all
        stack.enter_context(_watched())
        stack.enter_context(loopback_kept())
        yield {"_node_ip_address": LOOPBACK, "_temp_dir": str(folder / "r"), "include_dashboard": False}


def loopback_only() -> dict[str, str]:
    """Environment of workers that keeps what they say to each other in a training on this machine."""
    name = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), None)
    names = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
    return {one: name for one in names if name and one not in os.environ}


def warn_of_listening() -> None:
    """Says so where the Ray that is connected listens on other addresses than this machine's own."""
    import ray

    if any(node["NodeManagerAddress"] != LOOPBACK for node in ray.nodes()):
        warnings.warn(
            "this version of Ray listens on all addresses of this machine; a token keeps others from giving it orders",
            RuntimeWarning,
            stacklevel=2,
        )


def _short_home() -> Path:
    """Where Ray's folder is made: the temporary folder, or another one, with a word, where its path is too long."""
    named = os.environ.get("RAY_TMPDIR")
    first = Path(named or tempfile.gettempdir()).absolute()
    others = [Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp"), Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")]
    for home in (first, *others):
        if len(os.fsencode(home)) <= SOCKET - OF_RAY and home.is_dir() and os.access(home, os.W_OK | os.X_OK):
            break
    else:
        raise ClusterError(
            f"Ray finds no folder for its sockets: {str(first)!r} is too long a path or cannot be written, as are all "
            f"other temporary ones; name a folder of at most {SOCKET - OF_RAY} bytes in RAY_TMPDIR"
        )
    if home != first:
        warnings.warn(
            f"Ray's temporary files are in {str(home)!r}: {str(first)!r} cannot be written, or is too long for its "
            f"sockets (at most {SOCKET - OF_RAY} bytes); RAY_TMPDIR names another",
            RuntimeWarning,
            stacklevel=2,
        )
    return home


@contextmanager
def _watched() -> Iterator[None]:
    """Within, all that this process starts is marked, and ended soon after this process, however that ends."""
    before, mark = os.environ.get(MARK), secrets.token_hex(8)
    command = [sys.executable, "-I", str(Path(reaper.__file__)), MARK, mark, str(GRACE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as watch:  # Ray ends its own group
        os.environ[MARK] = mark
        try:
            yield
        finally:
            os.environ.pop(MARK) if before is None else os.environ.update({MARK: before})
            watch.stdin.close()  # as happens where this process is killed
