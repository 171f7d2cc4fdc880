"""Export to Optuna: what its own API reads is what the run holds."""

import os
import socket
import sqlite3
import subprocess
import sys
import warnings
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from results import optuna_tables
from results.ledger import Outcome
from results.optuna_study import MARK, check_target, export_optuna
from results.table import front_numbers
from search.loop.goal import Goal, parse_constraints
from search.samplers.constraints import misses
from spaces.candidate import Score
from spaces.errors import RunError
from spaces.space import Space

SPACE = Space(
    name="test",
    about="",
    blanks={
        "op": CategoricalDistribution(("a", "b", "c")),
        "skip": CategoricalDistribution((True, False)),
        "depth": IntDistribution(1, 9, step=2),
        "tau": FloatDistribution(1.0, 100.0, log=True),
    },
    timesteps=1,
    build=None,
)
GOAL = Goal(objectives=("accuracy", "spikes"), constraints=parse_constraints(["energy_nj<=80"]))
BEGAN = datetime(2026, 11, 22, 10, 0)
OPTIONS = {
    "name": "run",
    "run": "abc",
    "began": BEGAN,
    "distributions": SPACE.blanks,
    "objectives": dict(zip(GOAL.objectives, GOAL.senses, strict=True)),
    "misses": partial(misses, goal=GOAL),
}


def made(n=60, finalists=3):
    rng, outcomes = np.random.default_rng(0), []
    for number in range(n + finalists):
        state = ("ok", "ok", "ok", "pruned", "infeasible", "failed")[number % 6] if number < n else "ok"
        numbers = {"accuracy": float(rng.random()), "spikes": float(rng.integers(50, 500)), "energy_nj": 10.0}
        numbers = {} if state == "failed" else numbers | {"energy_nj": 100.0} if state == "infeasible" else numbers
        score = Score(
            state=state,
            fidelity="supernet" if number < n else "trained",
            seconds=0.5,
            error="" if state == "ok" else f"made {state}",
            **numbers,
        )
        batch = number // 20 if number < n else -1
        outcomes.append(Outcome(number, batch, SPACE.sample(rng), score))
    return outcomes


def load(path, name="run"):
    return optuna.load_study(study_name=name, storage=f"sqlite:///{path}")


def test_optuna_reads_back_what_the_ledger_holds(tmp_path):
    outcomes = made()
    assert export_optuna(tmp_path / "study.db", outcomes, **OPTIONS) == ["run", "run-trained"]
    study = load(tmp_path / "study.db")
    searched = [o for o in outcomes if o.batch >= 0]
    states = {"ok": "COMPLETE", "infeasible": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
    for trial, outcome in zip(study.trials, searched, strict=True):
        score = outcome.score
        assert trial.number == outcome.number
        assert trial.state.name == states[score.state]
        assert trial.params == dict(outcome.candidate)
        assert trial.distributions == SPACE.blanks
        if trial.state == TrialState.COMPLETE:
            assert trial.values == [score.accuracy, score.spikes]
        facts = {"state", "fidelity", "error", "accuracy", "energy_nj", "number"} & set(trial.user_attrs)
        assert {name: trial.user_attrs[name] for name in facts - {"number"}} == {
            name: getattr(score, name) for name in ("state", "fidelity", "error", "accuracy", "energy_nj")
        }
        assert (trial.datetime_start, trial.duration) == (
            BEGAN + timedelta(seconds=0.5 * outcome.number),
            timedelta(seconds=0.5),
        )
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["accuracy", "spikes"]
    front = front_numbers(searched, GOAL.objectives, GOAL.senses)
    assert {trial.number for trial in study.best_trials} == front
    assert len(front) > 1
    frame = study.trials_dataframe()
    assert len(frame) == 60
    assert frame["params_tau"].tolist() == [o.candidate["tau"] for o in searched]
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=4, seed=0)
    options = {"evaluator": evaluator, "target": lambda trial: trial.values[0]}
    importance = optuna.importance.get_param_importances(study, **options)
    assert set(importance) == set(SPACE.blanks)
    trained = load(tmp_path / "study.db", "run-trained")
    assert [trial.user_attrs["number"] for trial in trained.trials] == [60, 61, 62]
    assert [trial.values[0] for trial in trained.trials] == [o.score.accuracy for o in outcomes[60:]]


@pytest.mark.parametrize("before", [(), (5, 20)], ids=["new", "after others"])
def test_rows_are_those_that_optuna_itself_writes(tmp_path, before):
    """The same trials by ``add_trials``: every table is made alike, and holds the same rows."""
    outcomes = made(12, 0)
    for n in (*before, 12):
        export_optuna(tmp_path / "ours.db", made(n, 0), **OPTIONS)
    ours = load(tmp_path / "ours.db")
    theirs = optuna.create_study(
        study_name="run", storage=f"sqlite:///{tmp_path / 'theirs.db'}", directions=["maximize", "minimize"]
    )
    theirs.set_user_attr(MARK, "abc")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        theirs.set_metric_names(["accuracy", "spikes"])
    trials = []
    for trial in ours.trials:
        copy = create_trial(
            state=trial.state,
            params=trial.params,
            distributions=trial.distributions,
            values=trial.values,
            user_attrs=trial.user_attrs,
            system_attrs=trial.system_attrs,
        )
        copy.datetime_start, copy.datetime_complete = trial.datetime_start, trial.datetime_complete
        trials.append(copy)
    theirs.add_trials(trials)
    assert len(trials) == len(outcomes)
    assert rows(tmp_path / "ours.db") == rows(tmp_path / "theirs.db")


def rows(path):
    file = sqlite3.connect(path)
    columns = {
        "trials": "number, study_id, state, datetime_start, datetime_complete",
        "trial_params": "trial_id, param_name, param_value, distribution_json",
        "trial_values": "trial_id, objective, value, value_type",
        "trial_user_attributes": "trial_id, key, value_json",
        "trial_system_attributes": "trial_id, key, value_json",
        "studies": "study_name",
        "study_directions": "direction, study_id, objective",
        "study_user_attributes": "study_id, key, value_json",
        "study_system_attributes": "study_id, key, value_json",
        "version_info": "*",
        "alembic_version": "*",
        "sqlite_master": "type, name, tbl_name, sql",
    }
    found = {t: sorted(map(repr, file.execute(f"SELECT {names} FROM {t}"))) for t, names in columns.items()}
    file.close()
    assert all(found.values())
    return found


def test_a_run_is_written_anew_and_other_studies_stay(tmp_path):
    path = tmp_path / "study.db"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mine = optuna.create_study(study_name="mine", storage=f"sqlite:///{path}")
    mine.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    before = [trial.params for trial in mine.trials]
    for n in (30, 60):
        export_optuna(path, made(n), **OPTIONS)
    assert len(load(path).trials) == 60
    assert [trial.params for trial in load(path, "mine").trials] == before
    load(path).add_trial(load(path).trials[0])  # a study of ours goes on like any other
    assert len(load(path).trials) == 61
    assert [entry.name for entry in tmp_path.iterdir()] == ["study.db"]


def test_files_that_cannot_take_the_study_are_named(tmp_path):
    path = tmp_path / "study.db"
    export_optuna(path, made(6), **OPTIONS)
    content = path.read_bytes()
    with pytest.raises(RunError, match="holds a study 'run' of another run already: name another file"):
        export_optuna(path, made(6), **OPTIONS | {"run": "other"})
    assert path.read_bytes() == content
    export_optuna(path, made(6), **OPTIONS | {"run": "other", "name": "second"})
    assert len(load(path, "second").trials) == len(load(path).trials) == 6
    (tmp_path / "text").write_text("no data base at all, but a text of some length" * 9)
    with pytest.raises(RunError, match="is no Optuna study file"):
        check_target(tmp_path / "text", name="run", run="abc")
    with pytest.raises(RunError, match="is no Optuna study file"):
        export_optuna(tmp_path / "text", made(6), **OPTIONS)
    (tmp_path / "spoilt.db").write_bytes(content[:100] + b"?" * (len(content) - 100))
    with pytest.raises(RunError, match="is no Optuna study file"):
        export_optuna(tmp_path / "spoilt.db", made(6), **OPTIONS)
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE addresses (name TEXT)")
    other.close()
    with pytest.raises(RunError, match="holds other tables"):
        check_target(tmp_path / "other.db", name="run", run="abc")
    with pytest.raises(RunError, match="there is no folder"):
        check_target(tmp_path / "no" / "study.db", name="run", run="abc")
    assert check_target(tmp_path / "new.db", name="run", run="abc") is None


def test_an_empty_run_and_a_single_objective(tmp_path):
    path = tmp_path / "study.db"
    assert export_optuna(path, [], **OPTIONS) == ["run"]
    assert load(path).trials == []
    assert export_optuna(path, made(), **OPTIONS | {"objectives": {"accuracy": 1}}) == ["run", "run-trained"]
    best = max(o.score.accuracy for o in made() if o.batch >= 0 and o.score.state == "ok")
    assert load(path).best_trial.value == best


def test_optuna_dashboard_and_optuna_know_the_same_constraints(tmp_path):
    """The dashboard reads a list, as Optuna 4 wrote it; every trial must have as many, or Optuna's GP sampler stops."""
    export_optuna(tmp_path / "study.db", made(), **OPTIONS)
    trials = [trial for trial in load(tmp_path / "study.db").trials if trial.state != TrialState.FAIL]
    for trial in trials:
        listed = trial.system_attrs["constraints"]
        named = {key: value for key, value in trial.constraints.items() if not key.isdecimal()}
        assert listed == [named["energy_nj<=80"], named["a result"]]
        assert all(value <= 0 for value in listed) == (trial.user_attrs["state"] == "ok")
    assert {frozenset(trial.constraints) for trial in trials} == {frozenset(("0", "1", "energy_nj<=80", "a result"))}
    free = OPTIONS | {"misses": lambda score: {}, "name": "free"}
    export_optuna(tmp_path / "study.db", made(), **free)
    assert not any(trial.system_attrs for trial in load(tmp_path / "study.db", "free").trials)


NAMES = ("a?b", "50%", "a%20b", "?mode=memory", "x#y", "file:z?vfs=none", ":memory:", "sqlite:///q", "ü &=+;'\"")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("part", ["file", "folder"])
def test_names_that_mean_something_in_a_url_are_names(tmp_path, monkeypatch, name, part):
    path = Path(name.replace("/", "-")) / ("study.db" if part == "folder" else "")
    monkeypatch.chdir(tmp_path)
    path.parent.mkdir(exist_ok=True)
    (tmp_path / "a").write_bytes(b"another file")
    export_optuna(path, made(4, 0), **OPTIONS)
    check_target(path, name="run", run="abc")
    assert sorted(str(one) for one in Path().rglob("*") if one.is_file()) == sorted([str(path), "a"])
    assert Path("a").read_bytes() == b"another file"
    with closing(sqlite3.connect(path.absolute())) as file:
        assert file.execute("SELECT count(*) FROM trials").fetchone() == (4,)


def test_links_are_followed_and_the_file_stays_the_same(tmp_path):
    path, link, early = tmp_path / "study.db", tmp_path / "link.db", tmp_path / "early.db"
    early.symlink_to("study.db")
    export_optuna(early, made(4, 0), **OPTIONS)  # a link to where nothing is yet
    os.link(path, tmp_path / "hard.db")
    link.symlink_to(path)
    number = path.stat().st_ino
    export_optuna(link, made(8, 0), **OPTIONS)
    assert path.stat().st_ino == number == (tmp_path / "hard.db").stat().st_ino
    assert link.is_symlink()
    assert early.is_symlink()
    assert len(load(path).trials) == 8
    gone = tmp_path / "gone.db"
    gone.symlink_to("no/such.db")
    with pytest.raises(RunError, match=r"there is no folder .*no'; make it first"):
        check_target(gone, name="run", run="abc")
    gone.unlink()
    gone.symlink_to("gone.db")
    with pytest.raises(RunError, match=r"gone\.db' cannot be used"):
        check_target(gone, name="run", run="abc")


@pytest.mark.parametrize("use", [check_target, partial(export_optuna, outcomes=[])])
def test_what_is_no_regular_file_is_refused_by_its_kind(tmp_path, use):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "null").symlink_to(os.devnull)
    options = OPTIONS if use is not check_target else {"name": "run", "run": "abc"}
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        for name, kind in (("pipe", "named pipe"), ("folder", "folder"), ("null", "device"), ("socket", "socket")):
            with pytest.raises(RunError, match=f"{name}' is a {kind}: name a regular file, or a new one"):
                use(path=tmp_path / name, **options)
    assert (tmp_path / "null").is_symlink()


def test_what_others_wrote_into_a_study_of_ours_is_not_lost(tmp_path):
    """Notes stay, and trials keep their identity; trials that others have added are named, not overwritten."""
    path = tmp_path / "study.db"
    export_optuna(path, made(12), **OPTIONS)
    study = load(path)
    storage, number = study._storage, study._study_id
    storage.set_study_system_attr(number, "dashboard:note_str:0", "mine")
    storage.set_study_user_attr(number, "owner", "me")
    before = [trial._trial_id for trial in study.trials]
    export_optuna(path, made(18), **OPTIONS)
    study = load(path)
    assert [trial._trial_id for trial in study.trials][:12] == before
    assert len({trial._trial_id for trial in study.trials}) == 18
    assert (study._study_id, study.user_attrs["owner"]) == (number, "me")
    assert storage.get_study_system_attrs(number)["dashboard:note_str:0"] == "mine"
    study.add_trial(create_trial(values=[0.5, 100.0]))
    content = rows(path)
    for use in (check_target, partial(export_optuna, outcomes=made(24))):
        options = OPTIONS if use is not check_target else {"name": "run", "run": "abc"}
        with pytest.raises(RunError, match=r"study 'run' holds trials that this run did not write \(1\)"):
            use(path=path, **options)
    assert rows(path) == content


def test_an_export_that_fails_changes_nothing(tmp_path, monkeypatch):
    path = tmp_path / "study.db"
    export_optuna(path, made(6), **OPTIONS)
    content = rows(path)

    def stop(file, study):
        file.execute("DELETE FROM trials")
        raise sqlite3.OperationalError("disk is full")

    monkeypatch.setattr("results.optuna_study.put_study", stop)
    with pytest.raises(RunError, match=r"cannot be written \(disk is full\) and is as it was"):
        export_optuna(path, made(12), **OPTIONS)
    assert rows(path) == content
    monkeypatch.undo()
    monkeypatch.setattr(optuna_tables, "PATIENCE", 0.01)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RunError, match=r"database is locked.* let others end who write to it"):
            export_optuna(path, made(12), **OPTIONS)
    export_optuna(path, made(12), **OPTIONS)
    assert len(load(path).trials) == 12


def test_another_optuna_is_named(tmp_path, monkeypatch):
    path = tmp_path / "study.db"
    export_optuna(path, made(6), **OPTIONS)
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("UPDATE alembic_version SET version_num = 'v9.0.0.a'")
    with pytest.raises(RunError, match=r"its tables are of another Optuna, v9\.0\.0\.a"):
        check_target(path, name="run", run="abc")
    monkeypatch.setattr(optuna, "__version__", "6.0.0")
    with pytest.raises(RunError, match=r"knows the tables of Optuna 5, not those of 6\.0\.0: pip install"):
        export_optuna(tmp_path / "new.db", made(6), **OPTIONS)
    monkeypatch.undo()
    monkeypatch.setattr(optuna_tables, "SCHEMA", "v0")
    with pytest.raises(RunError, match="knows the tables of Optuna 5"):
        export_optuna(tmp_path / "new.db", made(6), **OPTIONS)


WORK = """
import sys
from datetime import datetime
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import optuna
from results.ledger import Outcome
from results.optuna_study import export_optuna
from spaces.candidate import Candidate, Score
path, who, count = Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
outcomes = [Outcome(k, 0, Candidate({"x": k}), Score(state="ok", fidelity="trained", accuracy=k / 9)) for k in range(4)]
print("ready", flush=True)
sys.stdin.readline()
if who == "optuna":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}})
    study = optuna.load_study(study_name="theirs", storage=storage)
    for k in range(count):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        study.tell(trial, float(k))
for k in range(count if who != "optuna" else 0):
    export_optuna(
        path,
        outcomes,
        name=f"{who}-{k}",
        run=f"{who} {k}",
        began=datetime(2026, 11, 22),
        distributions={"x": optuna.distributions.IntDistribution(0, 9)},
        objectives={"accuracy": 1},
        misses=lambda score: {},
    )
"""


def test_four_processes_and_optuna_write_at_once_and_nothing_is_lost(tmp_path):
    path = tmp_path / "study.db"
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA journal_mode = WAL")
    optuna.create_study(study_name="theirs", storage=f"sqlite:///{path}")
    root, said = Path(__file__).parents[2], (tmp_path / "work.py")
    said.write_text(WORK)
    jobs = [("optuna", "40"), *((f"run{k}", "10") for k in range(4))]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [
        subprocess.Popen([sys.executable, "-W", "ignore", said, root, path, *job], env=os.environ, **pipes)
        for job in jobs
    ]
    assert [process.stdout.readline() for process in started] == ["ready\n"] * 5
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        assert (process.communicate()[1], process.returncode) == ("", 0)
    names = optuna.get_all_study_names(f"sqlite:///{path}")
    assert sorted(names) == sorted(["theirs", *(f"run{k}-{number}" for k in range(4) for number in range(10))])
    assert [trial.value for trial in load(path, "theirs").trials] == list(range(40))
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        count = "SELECT study_name, count(*) FROM studies JOIN trials USING (study_id) GROUP BY study_id"
        assert {name: n for name, n in file.execute(count) if name != "theirs"} == dict.fromkeys(
            (name for name in names if name != "theirs"), 4
        )
