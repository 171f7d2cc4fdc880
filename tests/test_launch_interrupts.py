"""Ctrl-C, once and again: what is there is named, and how to go on with it; what a kill left is cleaned up."""

import csv

import pytest

import launch
import search.grid
import search.run
from search.options.config import configure


@pytest.fixture
def options(tmp_path):
    """Of a small search in a table."""
    path = tmp_path / "bench.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["op", "acc", "cost"], *([f"op{k}", 50 + k, 1 + k] for k in range(9))])
    table = ["--table", str(path), "--table-choices", "op", "--objectives", "acc:max,cost:min", "--sampler", "random"]
    return [*table, "--candidates", "6", "--out", str(tmp_path / "run")]


def stop(*_, **__):
    raise KeyboardInterrupt


WHERE = {
    "once": ["search.work.job.search"],
    "again in the report": ["search.work.job.search", "search.run.publish"],
    "in the report": ["search.run.publish"],
    "in the summary": ["search.summary.summary"],
}


@pytest.mark.parametrize("where", WHERE.values(), ids=WHERE)
def test_a_way_on_is_named_and_leads_on(options, tmp_path, capsys, monkeypatch, where):
    for name in where:
        monkeypatch.setattr(name, stop)
    way_on = f"go on with `python launch.py resume {tmp_path / 'run'}`"
    assert launch.main(options) == 130
    assert way_on in capsys.readouterr().err
    assert launch.main(["resume", str(tmp_path / "run")]) == 130
    assert way_on in capsys.readouterr().err
    monkeypatch.undo()
    assert launch.main(["resume", str(tmp_path / "run")]) == 0
    assert "6 candidates scored" in capsys.readouterr().out


def test_before_a_run_is_begun_there_is_none_to_go_on_with(options, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("search.run.prepare", stop)
    assert launch.main(options) == 130
    assert capsys.readouterr().err == "interrupted; nothing was begun or lost: give the same command again\n"
    assert not (tmp_path / "run").exists()


def test_a_grid_is_gone_on_with_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(search.grid, "run_search", stop)
    runs = search.grid.run_grid(configure(out=str(tmp_path)), ["autosnn"], ["digits"], [0, 1], console=None)
    with pytest.raises(KeyboardInterrupt) as caught:
        next(runs)
    assert caught.value.args == (str(tmp_path),)


def test_a_report_cleans_up_after_one_that_was_killed(options, tmp_path):
    assert launch.main(options) == 0
    left = tmp_path / "run" / ".report.html.4711.tmp"
    left.write_text("half")
    assert launch.main(["report", str(tmp_path / "run")]) == 0
    assert not left.exists()
