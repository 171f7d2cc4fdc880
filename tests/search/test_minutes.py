"""A run that is given minutes: it plans by pace, keeps the plan, and a resume trains and scores what it says."""

import csv
import json
import time

import pytest

import launch
from evaluators.plan import Plan
from results.folder import RunFolder
from results.ledger import read
from results.timing import TimePlan, read_plan, told, write_plan
from search.options.commands import parse_search
from search.work.pace import Pace
from search.work.planning import REPORT, Clock
from spaces.checksums import write_json
from spaces.errors import DamageError, OptionError

SMALL = "--width 3 --timesteps 2 --supernet-epochs 3 --candidates 12 --batch 4 --finalists 2 --finalist-epochs 3"
ARGS = [
    *SMALL.split(),
    "--train-samples",
    "120",
    "--val-samples",
    "40",
    "--threads",
    "1",
    "--no-compile",
    "--seed",
    "1",
]


def test_a_pace_is_shared_out_over_the_times_of_a_schedule():
    pace = Pace(least=1.0, full=4.0)
    assert pace.of(Plan(epochs=1), 4) == 4.0
    assert pace.of(Plan(epochs=1, time_schedule=((1, 1.0),)), 4) == 1.0
    assert pace.of(Plan(epochs=1, time_schedule=((1, 0.8),)), 4) == pytest.approx(0.8 * 1 + 0.2 * 4)
    assert pace.of(Plan(epochs=1, time_schedule=((1, 0.5), (2, 0.25))), 4) == pytest.approx(0.5 + 0.25 * 2 + 0.25 * 4)
    assert Pace(least=2.0, full=2.0).of(Plan(epochs=1), 1) == 2.0


def test_what_is_left_counts_all_sessions_and_leaves_time_for_the_report(tmp_path):
    clock = Clock(RunFolder(tmp_path), TimePlan(minutes=2.0), time.monotonic() - 10, before=30.0)
    assert clock.left() == pytest.approx(120 - 40 - REPORT, abs=0.5)
    with pytest.raises(KeyboardInterrupt), clock.spending("supernet"):
        raise KeyboardInterrupt
    assert set(read_plan(RunFolder(tmp_path)).spent) == {"supernet"}


def test_a_plan_is_kept_and_a_damaged_one_is_named(tmp_path):
    folder = RunFolder(tmp_path)
    assert read_plan(folder) is None
    plan = TimePlan(minutes=1.5, supernet_epochs=2, pace=(0.1, 0.4), spent={"start": 1.0})
    write_plan(folder, plan)
    kept = read_plan(folder)
    assert (kept.minutes, kept.supernet_epochs, tuple(kept.pace), kept.spent) == (1.5, 2, (0.1, 0.4), {"start": 1.0})
    for wrong in (
        {"minutes": "1"},
        {"minutes": 1.0, "spent": {"nap": 1.0}},
        {"minutes": 1.0, "spent": []},
        {"minutes": 1.0, "finalists": 1.5},
        {"minutes": 1.0, "pace": [1.0]},
        {},
    ):
        write_json(folder.plan, wrong)
        with pytest.raises(DamageError, match=r"plan\.json' is damaged or was edited"):
            read_plan(folder)


def test_how_time_was_shared_out_is_one_sentence():
    config = {"supernet_epochs": 10, "finalists": 4, "finalist_epochs": 5}
    spent = {"start": 3.0, "supernet": 14.0, "scoring": 9.4, "finalists": 22.0}
    plan = TimePlan(minutes=1.0, supernet_epochs=2, candidates=22, finalists=1, finalist_epochs=5, spent=spent)
    assert told(plan, config) == (
        "time: 48 s of 60 s: start 3 s, supernet 14 s (2 of 10 epochs), scoring 9 s (22 candidates), finalists 22 s "
        "(1 of 4, 5 epochs each)"
    )
    assert told(TimePlan(minutes=1.0), config) == "time: 0 s of 60 s: "


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    out = tmp_path_factory.mktemp("minutes") / "run"
    assert launch.main([*ARGS, "--minutes", "0.2", "--out", str(out)]) == 0
    return out


def test_a_run_plans_at_most_what_was_asked_and_its_report_says_how_time_went(planned, capsys):
    plan = read_plan(RunFolder(planned))
    assert 1 <= plan.supernet_epochs <= 3
    assert 1 <= plan.finalists <= 2
    assert 1 <= plan.finalist_epochs <= 3
    assert set(plan.spent) == {"start", "supernet", "scoring", "finalists"}
    searched = [one for one in read(planned / "ledger.jsonl")[0] if one.batch >= 0]
    assert plan.candidates == len(searched) >= 4
    assert "time: " in (planned / "report.html").read_text()
    assert "supernet " in told(plan, json.loads((planned / "config.json").read_text())["config"])


def test_a_resume_keeps_to_the_plan(planned, tmp_path):
    """What was cut off behind half of the scoring is scored and trained as before, whatever the pace is now."""
    import shutil

    out = tmp_path / "run"
    shutil.copytree(planned, out)
    whole = read(planned / "ledger.jsonl")[0]
    lines = (out / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (out / "ledger.jsonl").write_bytes(b"".join(lines[:3]))
    (out / "candidates.csv").unlink()
    shutil.rmtree(out / "finalists", ignore_errors=True)
    assert launch.main(["resume", str(out)]) == 0
    again = read(out / "ledger.jsonl")[0]
    figures = [(one.candidate, one.score.accuracy, one.score.spikes, one.score.state) for one in whole]
    assert [(one.candidate, one.score.accuracy, one.score.spikes, one.score.state) for one in again] == figures
    plan, before = read_plan(RunFolder(out)), read_plan(RunFolder(planned))
    assert (plan.supernet_epochs, plan.candidates, plan.finalists) == (
        before.supernet_epochs,
        before.candidates,
        before.finalists,
    )
    with (out / "candidates.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(again)


def test_tickets_have_no_plan_and_are_refused():
    with pytest.raises(OptionError, match="--minutes 1 plans no tickets: drop --prune"):
        parse_search(["--minutes", "1", "--prune", "imp"])
