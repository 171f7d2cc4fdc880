"""Only regular files are read; what else stands at a path is said by name, wherever a path is given."""

import os
import shutil
import socket
from pathlib import Path

import pytest

import launch
from spaces.files import check_regular, kind_of, read_file

GOAL = ["--table-choices", "a", "--objectives", "val:max,cost:min", "--batch", "2", "--candidates", "4"]
ROWS = "a,val,cost\n" + "".join(f"{i},{i % 7},{i % 5}\n" for i in range(20))


def pipe(path):
    os.mkfifo(path)


def bound(path):
    here = Path.cwd()  # a socket's path is short
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)
    os.chdir(here)


KINDS = {
    "named pipe": pipe,
    "socket": bound,
    "device": lambda path: path.symlink_to(os.devnull),
    "folder": Path.mkdir,
}


@pytest.fixture
def run(tmp_path):
    """A small run in a table, and what there is to name of it."""
    table = tmp_path / "table.csv"
    table.write_text(ROWS)
    out = tmp_path / "run"
    assert launch.main(["--table", str(table), *GOAL, "--out", str(out)]) == 0
    return out


def test_what_stands_at_a_path_is_told_apart(tmp_path):
    for kind, make in KINDS.items():
        make(tmp_path / kind)
        assert kind_of(tmp_path / kind) == kind
        for reads in (check_regular, read_file):
            with pytest.raises(OSError, match=f"it is a {kind}, not a regular file"):
                reads(tmp_path / kind)
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert (kind_of(tmp_path / "link"), read_file(tmp_path / "link")) == ("file", b"x")
    with pytest.raises(FileNotFoundError):
        check_regular(tmp_path / "nothing")


@pytest.mark.parametrize("kind", KINDS)
def test_options_that_name_a_file_say_what_else_stands_there(kind, tmp_path, capsys):
    """Nothing waits for a writer that never comes."""
    table, odd = tmp_path / "table.csv", tmp_path / "odd.npz"
    table.write_text(ROWS)
    KINDS[kind](odd)
    space = tmp_path / "space.py"
    KINDS[kind](space)
    zips = tmp_path / "zips"
    zips.mkdir()
    for name in ("Train.zip", "Test.zip"):
        KINDS[kind](zips / name)
    search = ["--table", str(table), *GOAL, "--out", str(tmp_path / "run")]
    for args in (
        ["--table", str(odd), *GOAL],
        ["--space", f"{space}:mine"],
        ["spaces", f"{space}:mine"],
        *([] if kind == "folder" else [["--data", str(odd)], [*search, "--warm-start", str(odd)]]),
        [*search, "--export-optuna", str(odd)],
        *([] if kind == "folder" else [["--data", "nmnist", "--data-dir", str(zips)]]),
    ):
        assert launch.main(args) == 2, args
        said = capsys.readouterr().err
        assert f"a {kind}" in said
        assert said.count("\n") == 1
        assert said.startswith("error: ")


@pytest.mark.parametrize("kind", ["named pipe", "device", "folder"])
@pytest.mark.parametrize("name", ["config.json", "ledger.jsonl", "predictor.json"])
def test_files_of_a_run_that_are_none_are_named(kind, name, run, capsys):
    (run / name).unlink()
    KINDS[kind](run / name)
    assert launch.main(["report", str(run)]) == 2
    said = capsys.readouterr().err
    assert name in said
    assert f"it is a {kind}, not a regular file" in said
    assert said.count("\n") == 1


def test_a_pipe_where_a_table_or_a_lock_is_written_stops_nothing(run, capsys):
    for name in ("candidates.csv", "pareto.csv", "report.html", "lock.json"):
        (run / name).unlink(missing_ok=True)
        pipe(run / name)
    assert launch.main(["report", str(run)]) == 0
    assert (run / "candidates.csv").read_text().count("\n") == 5
    shutil.rmtree(run)
