"""Export to Optuna: what its own API reads is what the run holds."""

import sqlite3
import warnings
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from results.ledger import Outcome
from results.optuna_study import check_target, export_optuna
from results.table import front_numbers
from search.goal import Goal, parse_constraints
from search.samplers.standing import misses
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


def test_rows_are_those_that_optuna_itself_writes(tmp_path):
    """The same trials by ``add_trials``: every table holds the same rows."""
    outcomes = made(12, 0)
    export_optuna(tmp_path / "ours.db", outcomes, **OPTIONS)
    ours = load(tmp_path / "ours.db")
    theirs = optuna.create_study(
        study_name="run", storage=f"sqlite:///{tmp_path / 'theirs.db'}", directions=["maximize", "minimize"]
    )
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
        check_target(tmp_path, name="run", run="abc")
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
