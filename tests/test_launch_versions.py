"""Runs that an earlier version left: read, gone on with, and pruned. ``tests/runs/COMMIT`` holds what it wrote."""

import csv
import json
import shutil
from pathlib import Path

import pytest

import launch

RUNS = Path(__file__).parent / "runs" / "9d0bd9f"
COLUMNS = ("number", "state", "fidelity", "accuracy", "spikes", "energy_nj", "sops", "macs", "parameters", "timesteps")


@pytest.fixture
def copied(tmp_path):
    def copy(name):
        return Path(shutil.copytree(RUNS / name, tmp_path / name))

    return copy


def rows_of(run):
    with (run / "candidates.csv").open() as file:
        return [
            {name: row[name] for name in row if name in COLUMNS or "param." in name} for row in csv.DictReader(file)
        ]


def test_a_report_is_written_of_it_with_the_same_candidates(copied):
    run = copied("whole")
    assert launch.main(["report", str(run)]) == 0
    assert rows_of(run) == rows_of(RUNS / "whole")
    assert "autosnn on digits" in (run / "report.html").read_text()


def test_a_whole_run_is_resumed_without_anything_computed_anew(copied, capsys):
    run = copied("whole")
    kept = {path: path.read_bytes() for path in run.rglob("*.safetensors")}
    ledger, config = (run / "ledger.jsonl").read_bytes(), (run / "config.json").read_bytes()
    assert launch.main(["resume", str(run)]) == 0
    assert "finalist    4" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in run.rglob("*.safetensors")} == kept
    assert ((run / "ledger.jsonl").read_bytes(), (run / "config.json").read_bytes()) == (ledger, config)


def test_a_half_done_run_is_gone_on_with_from_its_supernet_and_candidates(copied, capsys):
    run = copied("half")
    begun = (run / "ledger.jsonl").read_bytes()
    assert launch.main(["resume", str(run)]) == 0
    assert (run / "ledger.jsonl").read_bytes().startswith(begun)
    whole, mine = rows_of(RUNS / "whole"), rows_of(run)
    assert [{k: v for k, v in row.items() if "param." in k} for row in mine[:8]] == [
        {k: v for k, v in row.items() if "param." in k} for row in whole[:8]
    ]
    assert (run / "finalists" / "4" / "weights.safetensors").exists()
    assert "finalist    4  test 0." in capsys.readouterr().out


def test_its_finalist_is_pruned(copied):
    run = copied("whole")
    assert launch.main(["prune", str(run), "--method", "gmp", "--epochs", "1"]) == 0
    with (run / "tickets.csv").open() as file:
        assert [row["method"] for row in csv.DictReader(file)] == ["gmp"]


def test_a_search_of_a_table_is_resumed_though_an_option_bears_another_name_now(copied, capsys):
    run = copied("table")
    table = run / "made.csv"
    before = (run / "ledger.jsonl").read_bytes()
    assert launch.main(["resume", str(run), "--table", str(table)]) == 0
    assert (run / "ledger.jsonl").read_bytes() == before
    assert "table_blanks" in json.loads((run / "config.json").read_text())["match"]
    words = ["--objectives", "val:max,cost:min", "--candidates", "10", "--batch", "5", "--seed", "1", "--out", str(run)]
    capsys.readouterr()
    assert launch.main(["--table", str(table), "--table-choices", "width,op", *words]) == 2
    assert "table_choices: run has" in capsys.readouterr().err
