"""A Ray of this machine alone: out of reach of others, in a short and private folder, and gone with its run."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from search.runners import own_ray, reaper
from search.runners.cluster import Cluster, connected
from spaces.errors import ClusterError

ROOT = Path(__file__).parents[2]


def environment_of(number):
    try:
        return Path(f"/proc/{number}/environ").read_bytes()
    except OSError:
        return b""


def until(moment):
    last = time.monotonic() + 60
    while not moment() and time.monotonic() < last:
        time.sleep(0.05)
    assert moment()


def listening(mark):
    """Addresses at which processes of that mark listen, in hex as in /proc/net/tcp."""
    wanted = f"{own_ray.MARK}={mark}".encode()
    sockets = set()
    for home in Path("/proc").glob("[0-9]*"):
        if wanted in environment_of(home.name):
            for link in (home / "fd").iterdir():
                try:
                    sockets.add(str(link.readlink()))
                except OSError:
                    continue
    found = set()
    for kind in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
            cells = row.split()
            if cells[3] == "0A" and f"socket:[{cells[9]}]" in sockets:
                found.add(cells[1].partition(":")[0])
    return found


@pytest.mark.ray
@pytest.mark.filterwarnings("default")  # Ray's own
def test_ray_with_a_long_temporary_folder_listens_on_this_machine_alone(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with ExitStack() as stack:
        with pytest.warns(RuntimeWarning, match="Ray's temporary files are in '/tmp': .*x' cannot be written"):
            stack.enter_context(connected(Cluster(cpus_per_worker=0.5, object_store_mb=80)))
        import ray

        assert ray.get(ray.remote(num_cpus=0.5)(lambda: os.getpid()).remote()) != os.getpid()
        (node,) = ray.nodes()
        assert node["NodeManagerAddress"] == "127.0.0.1"
        found = listening(os.environ[own_ray.MARK])
        assert found
        assert found <= {"0100007F", "0000000000000000FFFF00000100007F"}  # 127.0.0.1, as IPv4 and in IPv6
        folder = Path(ray._private.worker._global_node.get_session_dir_path()).parents[1]
        assert folder.parent == Path("/tmp")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
    assert own_ray.MARK not in os.environ


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Has the temporary folders be of these lengths, if they are there at all."""

    def made(*lengths):
        homes = [Path("/" + "x" * (length - 1)) for length in lengths]
        monkeypatch.setattr(own_ray.tempfile, "gettempdir", lambda: str(homes[0]))
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(homes[1]))
        monkeypatch.delenv("RAY_TMPDIR", raising=False)
        monkeypatch.setattr(own_ray.Path, "is_dir", lambda path: path in homes)
        monkeypatch.setattr(own_ray.os, "access", lambda path, mode: True)
        return homes

    return made


def test_the_temporary_folder_is_taken_while_its_sockets_have_room(folders, monkeypatch):
    longest = own_ray.SOCKET - own_ray.OF_RAY
    homes = folders(longest, 5)
    assert own_ray._short_home() == homes[0]
    homes = folders(longest + 1, 5)
    with pytest.warns(RuntimeWarning, match="RAY_TMPDIR names another"):
        assert own_ray._short_home() == homes[1]
    monkeypatch.setenv("RAY_TMPDIR", str(homes[1]))
    assert own_ray._short_home() == homes[1]  # without a word
    folders(longest + 1, longest + 2)
    with pytest.raises(ClusterError, match=rf"name a folder of at most {longest} bytes in RAY_TMPDIR"):
        own_ray._short_home()


def test_sockets_fit_where_the_folder_is_of_the_longest_kind():
    home = "x" * (own_ray.SOCKET - own_ray.OF_RAY)
    name = f"{home}/spikefront-abcdefgh/r/session_2026-12-01_00-57-54_367666_4194304/sockets/plasma_store"
    assert len(name) == own_ray.SOCKET


UNMARKED = """
import subprocess
child = subprocess.Popen(["sleep", "1000"], env={}, start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""  # as Ray's agents are, which write their titles over their environment

DRIVER = f"""
import subprocess, sys
from search.runners import own_ray

own_ray.GRACE = 0.3
with own_ray._watched():
    subprocess.Popen([sys.executable, "-c", {UNMARKED!r}], start_new_session=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["ends", "is killed"])
def test_what_a_run_began_ends_with_it_however_that_ends(end):
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, end], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        child = int(driver.stdout.readline())
        parent, _ = reaper.running()[child]
        assert own_ray.MARK.encode() in environment_of(parent)
        assert own_ray.MARK.encode() not in environment_of(child)
        if end == "is killed":
            driver.send_signal(signal.SIGKILL)
        driver.stdin.close()
        driver.wait()
    until(lambda: not {child, parent} & set(reaper.running()))
    assert driver.returncode == (0 if end == "ends" else -signal.SIGKILL)
