"""Paths and names on the command line: what can be no path is one line, and no name leads out of the run's folder."""

import json

import pytest

import launch
from results.folder import default_path
from search.grid import PLAN, read_plan
from spaces.errors import RunError

HOME = "~nobody-by-this-name/x"
TABLE = "op,val,cost\n" + "".join(f"{n},{n * n % 7},{n}\n" for n in range(1, 9))
OF_A_TABLE = ["--table-choices", "op", "--objectives", "val:max,cost:min", "--candidates", "3", "--sampler", "random"]
SPACE = """
from optuna.distributions import IntDistribution
from spaces.space import Space

def mine():
    name = "../../outside/\\n\\0" + "x" * 300
    return Space(name=name, about="", blanks={"op": IntDistribution(1, 8)}, timesteps=1, build=None)
"""


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made.csv").write_text(TABLE)
    return ["--table", "made.csv", *OF_A_TABLE]


@pytest.mark.parametrize(
    "args",
    [
        ["--out", HOME],
        ["--export-optuna", HOME],
        ["--warm-start", HOME],
        ["--space", f"{HOME}.py:mine"],
        ["--storage", HOME, "--runner", "ray"],
        ["--storage", f"file://{HOME}", "--runner", "ray"],
        ["--data", HOME],
        ["--data", "mnist", "--data-dir", HOME],
        ["--table", HOME, *OF_A_TABLE],
        ["resume", HOME],
        ["report", HOME],
        ["prune", HOME],
        ["spaces", f"{HOME}.py:mine"],
        ["sweep", "--seeds", "0,1", "--out", HOME],
        ["sweep", "--out", HOME],
    ],
    ids=" ".join,
)
def test_a_home_that_nobody_has_is_one_line_and_leaves_nothing(args, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert launch.main(args) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert "nobody knows the home folder '~nobody-by-this-name'" in said
    assert not list(tmp_path.iterdir())


def test_a_table_is_found_below_a_home(table, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert launch.main(["--table", "~/made.csv", *OF_A_TABLE, "--out", "~/run"]) == 0
    assert (tmp_path / "run" / "report.html").exists()


def test_a_report_whose_study_has_no_place_writes_nothing(table, tmp_path, capsys):
    assert launch.main([*table, "--out", "run"]) == 0
    (tmp_path / "run" / "report.html").unlink()
    assert launch.main(["report", "run", "--export-optuna", HOME]) == 2
    assert not (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize("data", ["../../outside.npz", "..", "/", "a\0b\nc.npz", "x" * 400 + ".npz", "CON", "\udce9"])
def test_a_name_of_a_space_or_of_data_stays_in_runs(data, tmp_path, monkeypatch):
    from datetime import datetime

    monkeypatch.chdir(tmp_path)
    for name in ("../../outside", "..", "a\0b\nc", "x" * 400, data):
        path = default_path(name, data, datetime(2026, 11, 22, 1, 2, 3))
        path.mkdir(parents=True)
        assert path.resolve().parent == tmp_path / "runs"
    assert [entry.name for entry in tmp_path.iterdir()] == ["runs"]


def test_a_space_whose_name_leads_away_writes_in_runs_alone(tmp_path, monkeypatch):
    home = tmp_path / "a" / "b"
    home.mkdir(parents=True)
    monkeypatch.chdir(home)
    (home / "own.py").write_text(SPACE)
    (home / "made.csv").write_text(TABLE)
    assert launch.main(["--space", "own.py:mine", "--table", "made.csv", *OF_A_TABLE[2:]]) == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    assert [entry.name for entry in (tmp_path / "a").iterdir()] == ["b"]
    assert {entry.name for entry in home.iterdir()} - {"__pycache__"} == {"own.py", "made.csv", "runs"}
    assert len(list((home / "runs").iterdir())) == 1


def test_runs_of_a_sweep_have_folders_of_their_own_whatever_files_are_called(tmp_path, monkeypatch):
    from search.grid import run_grid
    from search.options.config import configure

    monkeypatch.chdir(tmp_path)
    names = ["a/own.py:mine", "b/own.py:mine", "../own.py:" + "x" * 400]
    grid = run_grid(configure("sweep"), names, ["one/x.npz", "two/x.npz"], [0], console=None)
    monkeypatch.setattr("search.grid.resume_grid", lambda *rest, **options: iter(()))
    assert list(grid) == []
    home = next((tmp_path / "runs").iterdir())
    plan = read_plan(home)
    assert len(plan) == 6
    assert {(config.space.name, config.data.name) for config in plan.values()} == {
        (space, data) for space in names for data in ("one/x.npz", "two/x.npz")
    }
    for name in plan:
        (home / name).mkdir()
    stored = json.loads((home / PLAN).read_text())
    for name in ("../outside", "..", "/outside", "a\0b"):
        (home / PLAN).write_text(json.dumps({name: next(iter(stored.values()))}))
        with pytest.raises(RunError, match="no folder of its own"):
            read_plan(home)
