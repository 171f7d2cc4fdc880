"""The command line where the terminal, or a name, is not UTF-8: all is told, and nothing fails at the end."""

import io
import json
import os
import sys

import optuna
import pytest

import launch

TABLE = "op,val,cost\n" + "".join(f"{n},{n * n % 7},{n}\n" for n in range(1, 9))
SPACE = (
    "from spaces.autosnn import autosnn\n\n\ndef mine():\n    return autosnn(width=2, timesteps=1, compiled=False)\n"
)


@pytest.fixture
def terminal(monkeypatch):
    """Has the command line write to a terminal of some encoding, and gives what arrives there."""

    def run(args, encoding, status=0):
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=e) for e in ("strict", "backslashreplace"))
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            assert launch.main(args) == status
        for stream in (out, err):
            stream.flush()
        return (err if status else out).buffer.getvalue()

    return run


def search(tmp_path, name):
    (tmp_path / "made.csv").write_text(TABLE)
    args = ["--table", str(tmp_path / "made.csv"), "--table-choices", "op", "--objectives", "val:max,cost:min"]
    return [
        *args,
        "--reference",
        "val=0,cost=20",
        "--candidates",
        "3",
        "--sampler",
        "random",
        "--out",
        str(tmp_path / name),
    ]


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp437", "utf-8"])
def test_a_search_ends_in_every_encoding(terminal, tmp_path, encoding):
    said = terminal(search(tmp_path, "run"), encoding).decode(encoding)
    assert ("The front’s" if encoding == "utf-8" else "The front's") in said
    assert said.endswith(f"report: {tmp_path}/run/report.html\n")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp437", "utf-8"])
@pytest.mark.parametrize(
    "args", [["--help"], ["search", "--help"], ["sweep", "--help"], ["spaces"], ["spaces", "autosnn"]]
)
def test_help_and_spaces_are_printed_in_every_encoding(terminal, encoding, args):
    assert len(terminal(args, encoding)) > 100


def test_a_run_whose_name_is_no_text(terminal, tmp_path):
    home = tmp_path / "caf\udce9"
    home.mkdir()
    (home / "own\udce9.py").write_text(SPACE)
    study = home / "study\udce9.db"
    said = terminal([*search(home, "r\udce9"), "--export-optuna", str(study)], "utf-8")
    assert said.endswith(b"report: " + os.fsencode(home) + b"/r\xe9/report.html\n")
    assert terminal(["report", str(home / "r\udce9")], "utf-8") == os.fsencode(home) + b"/r\xe9/report.html\n"
    assert b"candidates" in terminal(["spaces", f"{home}/own\udce9.py:mine"], "utf-8")
    assert json.loads((home / "r\udce9" / "config.json").read_text())["config"]["out"] == str(home / "r\udce9")
    study.rename(tmp_path / "study.db")
    assert optuna.get_all_study_names(f"sqlite:///{tmp_path}/study.db") == ["r\\xe9"]
