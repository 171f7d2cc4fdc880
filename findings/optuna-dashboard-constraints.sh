#!/usr/bin/env bash
# optuna-dashboard 0.21.0 beside Optuna 5.0.0: a trial that breaks a constraint counts as feasible. The dashboard reads
# the list under the system attribute "constraints", as Optuna 4 wrote it; Optuna 5 writes "constraints:NAME". Even with
# such a list its "best_trials" hold a trial that breaks the constraint: only its plots heed it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check optuna==5.0.0 optuna-dashboard==0.21.0
cd "$work"
venv/bin/python -W ignore - <<'PYTHON'
import io
import json
import sys

import optuna
import optuna_dashboard
from optuna.trial import create_trial

optuna.logging.set_verbosity(optuna.logging.WARNING)
storage = optuna.storages.InMemoryStorage()
study = optuna.create_study(storage=storage, directions=["maximize", "minimize"])
study.add_trial(create_trial(values=[0.5, 9.0], constraints={"cost": -1.0}))
study.add_trial(create_trial(values=[0.9, 5.0], constraints={"cost": 3.0}))
study.add_trial(create_trial(values=[0.95, 4.0], constraints={"cost": 4.0}, system_attrs={"constraints": [4.0]}))
environ = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/api/studies/{study._study_id}", "QUERY_STRING": ""}
environ |= {"SERVER_NAME": "x", "SERVER_PORT": "80", "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr}
environ |= {"wsgi.input": io.BytesIO(), "CONTENT_TYPE": "application/json"}
answer = b"".join(optuna_dashboard.wsgi(storage)(environ, lambda status, headers, fault=None: None))
shown = json.loads(answer)
constraints = [trial["constraints"] for trial in shown["trials"]]
best = [trial["number"] for trial in shown["best_trials"]]
print("Optuna", optuna.__version__, "dashboard", optuna_dashboard.__version__)
print("Optuna's best", [trial.number for trial in study.best_trials], "dashboard's", best, "constraints", constraints)
assert [trial.number for trial in study.best_trials] == [0]
assert best == [2]
assert constraints == [[], [], [4.0]]
PYTHON
