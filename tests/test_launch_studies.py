"""Warm starts, Optuna studies and the choice of a sampler, from the command line; scores come from a small table."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pytest

import launch
from spaces.checksums import without_checksum

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of 4^4 networks: each cell adds to accuracy and to cost, and the second half of cells matters more."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("tables") / "bench.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["op0", "op1", "op2", "op3", "val_acc", "synops"])
        for cell in np.ndindex(4, 4, 4, 4):
            weights = np.array([1, 2, 3, 4])
            good = float(weights @ np.sqrt(cell)) + rng.normal() / 5
            writer.writerow(
                [*("abcd"[op] for op in cell), round(50 + good, 3), float(10 + weights @ np.array(cell) ** 2)]
            )
    return path


def options(table, out, *more):
    args = ["--table", str(table), "--table-choices", "op0,op1,op2,op3", "--objectives", "val_acc:max,synops:min"]
    return [*args, "--batch", "6", "--sampler", "nsga2", "--out", str(out), *more]


@pytest.fixture(scope="module")
def first(table, tmp_path_factory):
    """A run to begin others from."""
    out = tmp_path_factory.mktemp("runs") / "first"
    assert launch.main(options(table, out, "--candidates", "40", "--max", "synops=80", "--seed", "3")) == 0
    return out


def rows(run, name="candidates.csv"):
    with (run / name).open() as file:
        return [{key: cell for key, cell in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def blanks(row):
    return tuple(row[f"param.op{i}"] for i in range(4))


def error_of(capsys, args):
    capsys.readouterr()
    assert launch.main(args) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    return message


@pytest.mark.parametrize("kind", ["folder", "table"])
def test_a_warm_start_scores_the_earlier_front_first_and_doubles_nothing(table, first, tmp_path, kind):
    source = first if kind == "folder" else first / "candidates.csv"
    out = tmp_path / "warm"
    assert launch.main(options(table, out, "--candidates", "30", "--warm-start", str(source))) == 0
    warm, front = rows(out), {blanks(row) for row in rows(first, "pareto.csv")}
    assert len({blanks(row) for row in warm}) == len(warm) == 30
    assert len(front & {blanks(row) for row in warm[:6]}) == min(6, len(front))
    known = {blanks(row) for row in rows(first)} - front
    assert not known & {blanks(row) for row in warm}
    assert {row["number"] for row in rows(out, "pareto.csv")} <= {row["number"] for row in warm}
    assert len((out / "warm_start.jsonl").read_text().splitlines()) == 40


def test_a_warm_run_needs_the_old_one_no_more_after_a_kill(table, first, tmp_path, capsys):
    whole, old, out = tmp_path / "whole", tmp_path / "old", tmp_path / "run"
    budget = ["--candidates", "60", "--warm-start"]
    assert launch.main(options(table, whole, *budget, str(first))) == 0
    shutil.copytree(first, old)
    command = [sys.executable, "-W", "ignore", "launch.py"]
    begin = [*command, *options(table, out, *budget, str(old))]
    kills = 0
    for moment in (0, 1, 20):
        if (out / "config.json").exists():
            shutil.rmtree(old, ignore_errors=True)  # from here on the run stands alone
            begin = [*command, "resume", str(out)]
        process = subprocess.Popen(
            begin, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": "."}
        )
        while process.poll() is None and lines(out) < moment:
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 2
    assert launch.main(["resume", str(out)] if not old.exists() else begin[4:]) == 0
    assert rows(out) == rows(whole)
    kept = out / "warm_start.jsonl"
    kept.write_bytes(b"".join(kept.read_bytes().splitlines(keepends=True)[:-1]))
    assert "are not those that the run began from" in error_of(capsys, ["resume", str(out)])


def lines(out):
    return -1 if not (out / "ledger.jsonl").exists() else (out / "ledger.jsonl").read_bytes().count(b"\n")


def test_a_warm_start_that_does_not_fit_is_named(table, first, tmp_path, capsys):
    strange = tmp_path / "strange.csv"
    strange.write_text((first / "candidates.csv").read_text().replace("param.op3", "param.op9").replace(",d,", ",z,"))
    message = error_of(capsys, options(table, tmp_path / "a", "--warm-start", str(strange)))
    for words in ("'op3' is missing", "'op9' is unknown", "'op1' cannot be 'z'"):
        assert words in message
    assert not (tmp_path / "a").exists()
    message = error_of(capsys, options(table, tmp_path / "b", "--warm-start", "no/such.csv"))
    assert "'no/such.csv' cannot be read" in message
    other = tmp_path / "other.csv"
    other.write_text((first / "candidates.csv").read_text().replace("synops", "sinops"))
    message = error_of(capsys, options(table, tmp_path / "c", "--warm-start", str(other)))
    assert "lacks the objectives synops" in message


def test_another_warm_start_is_another_configuration(table, first, tmp_path, capsys):
    out = tmp_path / "run"
    assert launch.main(options(table, out, "--candidates", "8", "--warm-start", str(first))) == 0
    copied = first / "candidates.csv"
    assert launch.main(options(table, out, "--candidates", "8", "--warm-start", str(copied))) == 0  # the same results
    shorter = tmp_path / "shorter.csv"
    shorter.write_text("".join(copied.read_text().splitlines(keepends=True)[:-1]))
    args = options(table, out, "--candidates", "8", "--warm-start", str(shorter))
    assert "warm_start_sha256" in error_of(capsys, args)
    assert "warm_start_sha256" in error_of(capsys, options(table, out, "--candidates", "8"))


def test_studies_are_written_at_the_end_and_by_report(table, tmp_path, capsys):
    out, file = tmp_path / "run", tmp_path / "study.db"
    args = options(table, out, "--candidates", "20", "--max", "synops=80", "--export-optuna", str(file))
    assert launch.main(args) == 0
    front = {int(row["number"]) for row in rows(out, "pareto.csv")}
    for again in ([], ["resume", str(out)], ["report", str(out), "--export-optuna", str(file)], args):
        assert not again or launch.main(again) == 0
        study = optuna.load_study(study_name="run", storage=f"sqlite:///{file}")
        assert len(study.trials) == 20
        assert {trial.number for trial in study.best_trials} == front
        assert {blanks(row) for row in rows(out)} == {tuple(trial.params.values()) for trial in study.trials}
    elsewhere = tmp_path / "elsewhere.db"
    assert launch.main(["resume", str(out), "--export-optuna", str(elsewhere)]) == 0
    assert elsewhere.exists()
    shutil.copytree(out, tmp_path / "else" / "run")
    config = tmp_path / "else" / "run" / "config.json"
    config.write_text(
        json.dumps(without_checksum(json.loads(config.read_text())) | {"created": "2020-01-01T00:00:00+00:00"})
    )
    other = ["report", str(config.parent), "--export-optuna", str(file)]
    assert "holds a study 'run' of another run already" in error_of(capsys, other)


def test_a_study_file_that_cannot_be_used_is_named_before_anything_is_scored(table, tmp_path, capsys):
    file, out = tmp_path / "study.db", tmp_path / "run"
    file.write_text("notes, and no study\n" * 50)
    message = error_of(capsys, options(table, out, "--candidates", "6", "--export-optuna", str(file)))
    assert "is no Optuna study file" in message
    assert not out.exists()
    message = error_of(capsys, options(table, out, "--candidates", "6", "--export-optuna", str(tmp_path)))
    assert "is a folder: name a regular file, or a new one" in message
    assert not out.exists()
    fine = tmp_path / "fine.db"
    assert launch.main(options(table, out, "--candidates", "6", "--export-optuna", str(fine))) == 0
    assert lines(out) == 6
    assert "is no Optuna study file" in error_of(capsys, ["resume", str(out), "--export-optuna", str(file)])
    assert launch.main(options(table, out, "--candidates", "6", "--export-optuna", str(fine))) == 0


@pytest.mark.parametrize(("candidates", "took"), [("20", "dual"), ("256", "random")])
def test_auto_says_what_it_took_and_is_what_it_took(table, tmp_path, capsys, candidates, took):
    chosen, plain = tmp_path / "chosen", tmp_path / "plain"
    args = ["--candidates", candidates, "--sampler"]
    assert launch.main(options(table, chosen, *args, "auto")) == 0
    assert f"sampler: {took}, chosen by auto: " in capsys.readouterr().out
    config = json.loads((chosen / "config.json").read_text())
    assert config["config"]["sampler"] == config["match"]["sampler"] == took
    assert config["sampler"].startswith(f"{took}, chosen by auto")
    assert launch.main(options(table, plain, *args, took)) == 0
    assert rows(chosen) == rows(plain)
    assert launch.main(options(table, chosen, *args, "auto")) == 0
    assert launch.main(["resume", str(chosen)]) == 0
    assert "did you mean 'auto'?" in error_of(capsys, options(table, plain, *args, "aute"))
