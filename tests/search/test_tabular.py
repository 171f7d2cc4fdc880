"""Searches in a table, from the command line: what they leave, kill -9 and resume, and each kind of bad input."""

import csv
import json
import shutil
import signal
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import launch
from evaluators.table import Table, read_table
from results.folder import RunFolder, lock, match_hash
from results.report.gather import gather
from search.loop.goal import Goal, parse_constraints
from search.work.table import check_reachable
from spaces.candidate import Candidate
from spaces.checksums import without_checksum
from spaces.errors import OptionError
from spaces.spikenas_bench import BLANKS, spikenas_bench

ROOT = Path(__file__).parents[2]
OPS = ("none", "skip", "conv")
GOAL = ["--objectives", "val:max,cost:min"]


def rows():
    """27 networks: val is best in the middle of cost, one has no val, one row is not there."""
    for number, (a, b, c) in enumerate(product(OPS, OPS, (1, 3, 5))):
        work = OPS.index(a) + OPS.index(b) + c
        if number == 4:
            continue
        val = "" if number == 11 else 60 + 7 * work - 0.5 * work**2 + number / 100
        yield {"a": a, "b": b, "kernel": c, "val": val, "cost": work, "note": "x", "same": 3}


def write(path, table):
    table = list(table)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write(tmp_path_factory.mktemp("tables") / "made.csv", rows())


def options(table, *more):
    asked = ["--table", str(table), "--table-choices", "a,b,kernel", *GOAL, "--sampler", "evolution"]
    return [*asked, "--batch", "4", "--candidates", "22", *more]


@pytest.fixture(scope="module")
def whole(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert launch.main([*options(table), "--out", str(out)]) == 0
    return out


def cells(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def keep_lines(path, count):
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:count]))


def error_of(capsys, args):
    assert launch.main(args) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_a_search_that_another_process_has_begun_leaves_its_configuration(table, tmp_path, capsys):
    out = tmp_path / "run"
    out.mkdir()
    with lock(RunFolder(out)):
        assert "locked by a living process" in error_of(capsys, [*options(table), "--out", str(out)])
        assert not (out / "config.json").exists()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "is gone or empty"),
        (lambda path: path.write_bytes(b""), "is gone or empty"),
        (lambda path: keep_lines(path, 21), "has only 21 outcomes"),
        (lambda path: (path.unlink(), path.symlink_to("nowhere")), "link to what is not there"),
        (lambda path: (path.unlink(), path.mkdir()), "not a regular file"),
    ],
)
def test_a_ledger_that_is_gone_leaves_the_tables_as_they_are(whole, tmp_path, capsys, damage, words):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    damage(run / "ledger.jsonl")
    before = {name: (run / name).read_bytes() for name in ("candidates.csv", "pareto.csv", "report.html")}
    assert words in error_of(capsys, ["report", str(run)])
    assert before == {name: (run / name).read_bytes() for name in before}


@pytest.mark.parametrize("kept", [None, 0, 5])
def test_outcomes_that_a_ledger_lost_are_made_anew(whole, tmp_path, kept):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    ledger = run / "ledger.jsonl"
    ledger.unlink() if kept is None else keep_lines(ledger, kept)
    assert launch.main(["resume", str(run)]) == 0
    assert [r | {"seconds": ""} for r in cells(run / "candidates.csv")] == [
        r | {"seconds": ""} for r in cells(whole / "candidates.csv")
    ]


def test_all_of_a_table_is_found_as_it_stands_there(table, tmp_path, capsys):
    args = [*options(table, "--sampler", "random"), "--candidates", "99", "--reference", "cost=9,val=60"]
    assert launch.main([*args, "--out", str(tmp_path / "run")]) == 0
    known = {(row["a"], row["b"], str(row["kernel"])): row for row in rows()}
    scored = cells(tmp_path / "run" / "candidates.csv")
    found = {tuple(row[f"param.{name}"] for name in ("a", "b", "kernel")): row for row in scored}
    assert len(found) == 27
    assert set(known) < set(found)
    for key, row in found.items():
        true = known.get(key)
        if true is None:
            assert (row["state"], row["error"]) == ("infeasible", "the table has no row of this candidate")
        elif true["val"] == "":
            assert (row["state"], row["error"]) == ("failed", "row 11 of the table has no val")
        else:
            assert (row["state"], float(row["val"]), float(row["cost"])) == (
                "ok",
                known[key]["val"],
                known[key]["cost"],
            )
    whole = [row for row in known.values() if row["val"] != ""]
    front = [
        one
        for one in whole
        if not any(
            (other["val"] >= one["val"] and other["cost"] <= one["cost"])
            and (other["val"], other["cost"]) != (one["val"], one["cost"])
            for other in whole
        )
    ]
    pareto = {float(row["val"]) for row in cells(tmp_path / "run" / "pareto.csv")}
    assert pareto == {row["val"] for row in front}
    printed = capsys.readouterr().out
    assert "27 candidates scored: 25 ok, 1 infeasible, 1 failed" in printed
    best = max(front, key=lambda row: row["val"])
    assert (
        f"val {best['val']:.5g}  cost {best['cost']}  highest val: {best['a']} {best['b']} {best['kernel']}" in printed
    )
    steps = sorted(front, key=lambda row: row["cost"])
    gains = [max(0.0, row["val"] - 60) for row in steps]
    ends = [*(row["cost"] for row in steps[1:]), 9]
    volume = sum(g * (max(e, 0) - row["cost"]) for g, e, row in zip(gains, ends, steps, strict=True) if row["cost"] < 9)
    assert f"hypervolume is {volume:.5g}, from the reference point val 60, cost 9" in printed


def test_the_page_talks_of_the_tables_columns(whole):
    run = gather(whole_folder(whole))
    assert (run.quality, run.table, run.figures) == ("val", "made.csv", ["val", "cost"])
    page = (whole / "report.html").read_text().split("<script")[0]
    assert "<h1>table made</h1>" in page
    assert "highest val and lowest cost" in page
    assert "looked up in the table made.csv" in page
    for word in ("accuracy", "spikes a sample", "supernet", "Finalist", "nJ"):
        assert word not in page.split("<header>")[1].split('id="reading"')[0]


def whole_folder(path):
    from results.folder import RunFolder

    return RunFolder(path)


@pytest.mark.parametrize("sampler", ["evolution", "tpe"])
def test_a_search_finds_the_best_of_a_table_sooner_than_it_could_by_going_through(table, tmp_path, sampler):
    """Three seeds: the best val of 26 rows, within 16 of 27 candidates."""
    best = max(row["val"] for row in rows() if row["val"] != "")
    found = []
    for seed in range(3):
        out = tmp_path / str(seed)
        args = [*options(table, "--sampler", sampler), "--candidates", "16", "--seed", str(seed), "--out", str(out)]
        assert launch.main(args) == 0
        found.append(max(float(row["val"] or 0) for row in cells(out / "candidates.csv")))
    assert best in found


KILLED = """
import os, signal, sys, launch
from results.ledger import Ledger
append, count = Ledger.append, 0
def dying(ledger, outcome):
    global count
    if count == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    count += 1
    assert "torch" not in sys.modules  # to look up needs none
    append(ledger, outcome)
Ledger.append = dying
assert launch.main(sys.argv[2:]) == 0
"""


def test_killed_with_9_again_and_again_and_resumed_ends_the_same(whole, table, tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-W", "ignore", "-c", KILLED]
    for alive in (0, 5, 3, 8):
        done = subprocess.run([*command, str(alive), *options(table), "--out", str(out)], cwd=ROOT, check=False)
        assert done.returncode == -signal.SIGKILL
    ledger = out / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-9])  # killed in the middle of a line
    subprocess.run([*command, "99", "resume", str(out)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    for name in ("ledger.jsonl", "candidates.csv", "pareto.csv", "predictor.json"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_a_table_that_moved_is_taken_and_one_that_changed_is_not(whole, table, tmp_path, capsys):
    out, moved = tmp_path / "run", tmp_path / "moved.csv"
    shutil.copytree(whole, out)
    ledger = (out / "ledger.jsonl").read_bytes()
    (out / "ledger.jsonl").write_bytes(b"".join(ledger.splitlines(keepends=True)[:9]))
    shutil.copy(table, moved)
    assert launch.main(["resume", str(out), "--table", str(moved)]) == 0
    assert (out / "ledger.jsonl").read_bytes() == ledger
    changed = write(tmp_path / "changed.csv", [row | {"note": "y"} for row in rows()])
    assert "SHA-256" in error_of(capsys, ["resume", str(out), "--table", str(changed)])
    assert "data_sha256" in error_of(capsys, [*options(changed), "--out", str(out)])
    assert "table_choices" in error_of(capsys, [*options(table), "--table-choices", "a,kernel,b", "--out", str(out)])
    moved.unlink()
    assert "is not there" in error_of(capsys, ["resume", str(out), "--table", str(moved)])
    assert launch.main(["report", str(out)]) == 0  # needs no table


def test_a_run_from_before_an_option_was_there_is_resumed_at_its_default(whole, table, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    stored = without_checksum(json.loads((out / "config.json").read_text()))
    for part in ("match", "config"):
        del stored[part]["minutes"]
    (out / "config.json").write_text(json.dumps(stored | {"hash": match_hash(stored["match"])}))
    again = [*options(table), "--out", str(out)]
    for args in (["resume", str(out)], ["report", str(out)], again):
        assert launch.main(args) == 0, args
    assert cells(out / "candidates.csv") == cells(whole / "candidates.csv")
    assert "minutes: run has" in error_of(capsys, [*again, "--minutes", "9"])


def test_a_run_by_a_supernet_takes_no_table(whole, table, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    stored = without_checksum(json.loads((out / "config.json").read_text()))
    stored["config"] |= {"table": None, "table_choices": []}
    (out / "config.json").write_text(json.dumps(stored))
    assert "drop --table" in error_of(capsys, ["resume", str(out), "--table", str(table)])


@pytest.mark.parametrize(
    ("more", "count"),
    [
        (["--candidates", "3", "--batch", "20"], 3),
        (["--candidates", "27", "--max", "cost=4", "--min", "val=70"], None),
        (["--candidates", "5", "--objectives", "cost:min"], 5),
        (["--candidates", "5", "--objectives", "val:min,cost:max", "--sampler", "random"], 5),
    ],
    ids=str,
)
def test_budgets_bounds_and_other_goals(table, tmp_path, more, count):
    assert launch.main([*options(table), *more, "--out", str(tmp_path / "run")]) == 0
    found = cells(tmp_path / "run" / "candidates.csv")
    if count:
        assert len(found) == count
        assert any(row["state"] == "ok" for row in found)
    else:
        kept = [row for row in rows() if row["val"] != "" and row["val"] >= 70 and row["cost"] <= 4]
        assert sum(row["state"] == "ok" for row in found) == len(kept) > 0
        assert any(row["error"].endswith("breaks cost<=4") for row in found)


def test_parts_of_an_evaluation_steer_and_stay_out_of_the_front(tmp_path, capsys):
    """On rung 0.5 the column ``half`` stands for val; a network that the table knows costs two outcomes in the end."""
    full = [row | {"half": float(row["val"]) - 30 - row["cost"]} for row in rows() if row["val"] != ""]
    path = write(tmp_path / "parts.csv", full)
    args = [*options(path), "--fidelities", "0.5:val=half", "--sampler", "auto", "--out", str(tmp_path / "run")]
    assert launch.main(args) == 0
    found, front = cells(tmp_path / "run" / "candidates.csv"), cells(tmp_path / "run" / "pareto.csv")
    by_key = {(row["a"], row["b"], str(row["kernel"])): row for row in full}
    for row in found:
        true = by_key.get(tuple(row[f"param.{name}"] for name in ("a", "b", "kernel")))
        if true is None:
            assert row["state"] == "infeasible"
            continue
        shown = {"pruned": "half", "ok": "val"}[row["state"]]
        assert (float(row["val"]), float(row["cost"])) == (float(true[shown]), float(true["cost"]))
        assert float(row["evaluations"]) == 0.5
        assert "half" not in row
    assert any("a share of 0.5 is paid: val is half" in row["error"] for row in found)
    assert {row["state"] for row in front} == {"ok"}
    assert sum(row["state"] == "pruned" for row in found) >= sum(row["state"] == "ok" for row in found) >= 10
    again = [row for row in found if row["state"] == "ok"]
    assert len({row["param.a"] + row["param.b"] + row["param.kernel"] for row in again}) == len(again)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["config"]["sampler"] == "dual"


def test_a_space_that_knows_its_graph_scores_by_the_table(tmp_path):
    """Rows of 40 cells, whole and flawed; what the space calls no network is not asked for though the table has it."""
    names, ways = list(BLANKS), list(product((0, 1), repeat=6))[:40]
    path = write(
        tmp_path / "cells.csv",
        [dict(zip(names, ops, strict=True)) | {"val": i, "cost": -i} for i, ops in enumerate(ways)],
    )
    args = ["--space", "spikenas-bench", "--table", str(path), *GOAL, "--sampler", "random", "--candidates", "400"]
    assert launch.main([*args, "--out", str(tmp_path / "run")]) == 0
    found = cells(tmp_path / "run" / "candidates.csv")
    space = spikenas_bench()
    assert not any(space.infeasible(Candidate({name: int(row[f"param.{name}"]) for name in names})) for row in found)
    errors = {row["error"] for row in found if row["state"] == "infeasible"}
    assert errors == {"the table has no row of this candidate"}
    scored = [row for row in found if row["state"] == "ok"]
    assert scored
    for row in scored:
        assert ways[int(float(row["val"]))] == tuple(int(row[f"param.{name}"]) for name in names)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["match"]["space"] == "spikenas-bench"
    assert config["space"]["size"] == 5**6


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--table-choices", "a,b,kernel"], "COLUMN:max,COLUMN:min of its columns of numbers: val, cost"),
        (
            ["--table-choices", "a", *GOAL, "--sampler", "tpe", "--fidelities", "0.5:val=cost"],
            "with --fidelities take dual, joint, auto",
        ),
        (["--table-choices", "a", *GOAL, "--sampler", "dual", "--fidelities", "0.5:val=hal"], "unknown column 'hal'"),
        (["--table-choices", "a", "--objectives", "val"], "say which way is better, val:max or val:min"),
        (["--table-choices", "a", "--objectives", "vall:max"], "did you mean 'val'?"),
        (["--table-choices", "a", "--objectives", "val:up"], "unknown column 'val:up'"),
        (["--table-choices", "a,kernl", *GOAL], "did you mean 'kernel'?"),
        (["--table-choices", "a,a", *GOAL], "name each column once"),
        (["--table-choices", "a,b,kernel", "--objectives", "note:max"], "column 'note' holds 'x' in row 1"),
        (["--table-choices", "a,b,kernel", "--objectives", "same:max"], "objective 'same' is the same in all rows"),
        (["--table-choices", "a,b", *GOAL], "rows 1 and 2"),
        (["--table-choices", "a,b,kernel", *GOAL, "--max", "csot=3"], "did you mean 'cost'?"),
        (["--table-choices", "a,b,kernel", *GOAL, "--max", "note=3"], "column 'note' holds 'x' in row 1"),
        (["--table-choices", "a,b,kernel", *GOAL, "--max", "cost=3", "--min", "cost=4"], "cost>=4 and cost<=3"),
        (["--table-choices", "a,b,kernel", *GOAL, "--reference", "val=3"], "leaves out cost"),
        (["--table-choices", "a,b,kernel", *GOAL, "--reference", "val=3,cots=4"], "did you mean 'cost'?"),
        (["--table-choices", "a,b,kernel", *GOAL, "--space", "autosnn"], "drop it, or --space autosnn"),
        (["--space", "autosnn", *GOAL], "choice 'slot1' is no column of table"),
        (["--space", "autosn", *GOAL], "did you mean 'autosnn'?"),
        (["--table-choices", "a,b,kernel", *GOAL, "--sampler", "rndom"], "did you mean 'random'?"),
        (GOAL, "say which columns are choices with --table-choices"),
        (["--space", "table", *GOAL], "say which columns are choices with --table-choices"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_with_the_value_and_the_way_out(args, words, table, tmp_path, capsys):
    out = tmp_path / "run"
    assert words in error_of(capsys, ["--table", str(table), *args, "--out", str(out)])
    assert not out.exists()


def test_bad_input_without_a_table(tmp_path, capsys):
    assert "give its file with --table" in error_of(capsys, ["--table-choices", "a"])
    missing = str(tmp_path / "no.csv")
    assert "no.csv' is not there" in error_of(capsys, ["--table", missing, "--table-choices", "a", *GOAL])
    assert "unknown objective 'val'" in error_of(capsys, ["--objectives", "val:max"])
    with pytest.raises(OptionError):
        read_table(write(tmp_path / "t.csv", rows()), blanks={"a": None}, objectives=["note"])


def test_a_run_folder_is_named_by_the_table(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert launch.main([*options(table), "--candidates", "1"]) == 0
    assert [path.name.startswith("table-made-") for path in (tmp_path / "runs").iterdir()] == [True]


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        (["cost<=0"], "--max cost=0: none of the 4 rows of table 't.csv' keeps it, the least is 5: raise the bound"),
        (["acc>=91"], "--min acc=91: none of the 4 rows of table 't.csv' keeps it, the most is 90: lower the bound"),
        (["empty<=1"], "none of the 4 rows of table 't.csv' keeps it, no row has it: raise the bound"),
        (["cost<=6", "size<=8"], "--max cost=6 --max size=8: no row of table 't.csv' keeps all of them, though each"),
        (["cost<=7", "size<=8"], ""),
    ],
)
def test_bounds_that_no_row_keeps_are_told_before_the_search(bounds, words):
    figures = {"acc": [80, 82, 84, 90], "cost": [5, 6, 7, 9], "size": [10, 9, 8, 7], "empty": [np.nan] * 4}
    table = Table(
        path=Path("t.csv"),
        sha256="",
        blanks={"op": list("abcd")},
        figures={k: np.array(v, dtype=float) for k, v in figures.items()},
    )
    goal = Goal(objectives=("acc:max",), constraints=parse_constraints(bounds, figures))
    if not words:
        check_reachable(table, goal)
        return
    with pytest.raises(OptionError) as error:
        check_reachable(table, goal)
    assert words in str(error.value)
