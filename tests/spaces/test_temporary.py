"""What dead processes left half-written goes; what a living one writes stays, whatever its number is."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spaces import temporary
from spaces.files import write_atomic
from spaces.temporary import sweep, temporary_folder, temporary_of

HOLDING = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from spaces.temporary import hold, temporary_folder, temporary_of
target = Path(sys.argv[2])
with temporary_folder(target.parent) as folder, temporary_of(target).open("wb") as file:
    (folder / "half").touch()
    hold(file)
    file.write(b"x" * 9999)
    print(folder, flush=True)
    sys.stdin.readline()
"""


def test_files_and_folders_go_once_their_process_is_dead(tmp_path):
    home = tmp_path / "run" / "finalists"
    home.mkdir(parents=True)
    target = home / "report.html"
    command = [sys.executable, "-c", HOLDING, Path(__file__).parents[2], target]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        folder = Path(process.stdout.readline().strip())
        half = home / f".report.html.{process.pid}.tmp"
        for name in (".report.html.1.tmp", ".a b.csv.99999999.tmp"):  # of a dead process whose number lives again
            (home / name).write_text("half")
        (home / ".notes.tmp").write_text("mine")
        (home / f"{temporary.FOLDER}mine").mkdir()
        for _ in range(2):
            sweep(tmp_path)
            with temporary_folder(home) as mine:
                assert sorted(entry.name for entry in home.iterdir()) == sorted(
                    [".notes.tmp", half.name, folder.name, mine.name, f"{temporary.FOLDER}mine"]
                )
        process.send_signal(signal.SIGKILL)
    assert half.exists()
    sweep(tmp_path)
    with temporary_folder(home) as mine:
        assert sorted(entry.name for entry in home.iterdir()) == sorted(
            [".notes.tmp", mine.name, f"{temporary.FOLDER}mine"]
        )
    assert not mine.exists()


def test_what_is_no_file_of_ours_is_left_alone(tmp_path):
    os.mkfifo(tmp_path / ".pipe.1.tmp")
    (tmp_path / "target").write_text("mine")
    (tmp_path / ".link.1.tmp").symlink_to("target")
    (tmp_path / ".folder.1.tmp").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / temporary.LOCK).touch()
    (tmp_path / f"{temporary.FOLDER}link").symlink_to("elsewhere")
    names = {entry.name for entry in tmp_path.iterdir()}
    sweep(tmp_path)
    with temporary_folder(tmp_path):
        pass
    assert {entry.name for entry in tmp_path.iterdir()} == names
    assert (tmp_path / "elsewhere" / temporary.LOCK).exists()


def test_a_file_that_is_taken_before_it_is_held_is_written_again(tmp_path, monkeypatch):
    taken = []

    def hold(file):
        if not taken:
            taken.append(file)
            sweep(tmp_path)

    monkeypatch.setattr("spaces.files.hold", hold)
    write_atomic(tmp_path / "file", "whole")
    assert taken
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "whole"


def test_a_file_system_without_locks_is_written_to_and_nothing_is_removed(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(temporary.fcntl, "flock", flock)
    left = tmp_path / ".file.1.tmp"
    left.touch()
    write_atomic(tmp_path / "file", "whole")
    sweep(tmp_path)
    with temporary_folder(tmp_path) as folder:
        assert folder.is_dir()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [left.name, "file"]


@pytest.mark.parametrize("name", ["report.html", "a b", ".hidden", "ü"])
def test_temporary_names_are_known_again(name):
    assert temporary.NAME.fullmatch(temporary_of(Path(name)).name)
