"""Finalists: who is picked, what is stored, and that a failing one is an outcome."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from evaluators.evaluation import evaluate
from evaluators.inherited import score_from_supernet
from evaluators.plan import Plan
from evaluators.supernet import train_supernet
from results.folder import create_or_open
from results.ledger import Ledger, Outcome, read
from results.report.page import write_report
from search.loop.goal import Goal
from search.work import finalists as finalists_module
from search.work.finalists import Training, pick, train_finalist
from spaces.candidate import Candidate, Score
from spaces.seeds import numpy_generator
from spaces.sparsity import SPARSITY, with_sparsity

GOAL = Goal(objectives=("accuracy", "spikes"))


@pytest.fixture(scope="module")
def supernet(setting):
    return train_supernet(replace(setting, recipe=replace(setting.recipe, plan=Plan(epochs=6, batch_size=16))))[0]


@pytest.fixture
def folder(tmp_path):
    return create_or_open(tmp_path / "run", config={"match": {"objectives": GOAL.spelled}})


def searched(setting, supernet, ledger, n=6):
    rng = numpy_generator(0)
    for number in range(n):
        candidate = setting.space.sample(rng)
        ledger.append(Outcome(number, 0, candidate, score_from_supernet(setting, supernet, candidate)))


def train(setting, supernet, folder, ledger, *, inherited=True, epochs=3):
    (finalist, *_) = pick(ledger.outcomes, GOAL, 1)
    plan = replace(setting.recipe.plan, epochs=epochs)
    where = {"folder": folder, "goal": GOAL, "match": "x"}
    training = Training(setting=setting, supernet=supernet, plan=plan, inherited=inherited, **where)
    return finalist, train_finalist(finalist, training, ledger)


@pytest.mark.parametrize("inherited", [True, False])
def test_what_is_stored_is_what_was_measured(setting, supernet, folder, inherited):
    with Ledger.open(folder.ledger) as ledger:
        searched(setting, supernet, ledger)
        finalist, outcome = train(setting, supernet, folder, ledger, inherited=inherited, epochs=6)
        assert outcome.score.state == "ok"
        assert (outcome.batch, outcome.score.fidelity) == (-1, "trained")
        _, repeated = train(setting, supernet, folder, ledger, inherited=inherited)
        assert repeated == outcome  # trained once
    home = folder.finalist(finalist.outcome.number)
    metrics = json.loads((home / "metrics.json").read_text())
    network = setting.space.network(setting.task.spec, outcome.candidate)
    network.load_state_dict(load_file(home / "weights.safetensors"))
    for split, name in ((setting.task.validation, "val_accuracy"), (setting.task.test, "test_accuracy")):
        assert evaluate(network, setting.task, split).accuracy == metrics[name]
    assert metrics["val_accuracy"] == outcome.score.accuracy
    assert metrics["spikes"] == outcome.score.spikes
    assert not any(folder.checkpoints.iterdir())
    assert [o.score.fidelity for o in read(folder.ledger)[0]] == ["supernet"] * 6 + ["trained"]


def test_a_finalist_with_a_sparsity_is_pruned_while_it_trains(setting, supernet, folder):
    sparse = replace(setting, space=with_sparsity(setting.space, 0.9))
    rng = numpy_generator(0)
    candidate = Candidate({**setting.space.sample(rng), SPARSITY: 0.6})
    with Ledger.open(folder.ledger) as ledger:
        ledger.append(Outcome(0, 0, candidate, score_from_supernet(sparse, supernet, candidate)))
        _, outcome = train(sparse, supernet, folder, ledger, epochs=4)
    assert outcome.score.state == "ok"
    stored = load_file(folder.finalist(0) / "weights.safetensors")
    network = sparse.space.network(setting.task.spec, candidate)
    network.load_state_dict(stored)
    weights = [p for p in network.parameters() if p.dim() > 1]
    total = sum(weight.numel() for weight in weights)
    assert sum(int((weight == 0).sum()) for weight in weights) == round(0.6 * total)
    assert outcome.score.parameters == sum(p.numel() for p in network.parameters()) - round(0.6 * total)
    assert evaluate(network, setting.task, setting.task.validation).accuracy == outcome.score.accuracy


def test_a_finalist_that_raises_is_a_failed_outcome(setting, supernet, folder, monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("no memory left")

    monkeypatch.setattr(finalists_module, "fit", broken)
    with Ledger.open(folder.ledger) as ledger:
        searched(setting, supernet, ledger)
        finalist, outcome = train(setting, supernet, folder, ledger)
    assert (outcome.score.state, outcome.score.error) == ("failed", "RuntimeError: no memory left")
    assert "in broken" in outcome.score.traceback
    assert not (folder.finalist(finalist.outcome.number) / "metrics.json").exists()
    assert "no memory left" in write_report(folder).read_text()


def test_a_finalist_that_falls_silent_is_infeasible_and_never_sees_the_test_split(
    setting, supernet, folder, monkeypatch
):
    monkeypatch.setattr(
        finalists_module, "fit", lambda network, *args, **options: torch.nn.init.zeros_(network.head[1].weight)
    )
    with Ledger.open(folder.ledger) as ledger:
        searched(setting, supernet, ledger)
        finalist, outcome = train(setting, supernet, folder, ledger)
    assert outcome.score.state == "infeasible"
    assert not folder.finalist(finalist.outcome.number).exists()


def made(points):
    scores = [Score(state=state, fidelity="supernet", accuracy=a, spikes=s) for a, s, state in points]
    return [Outcome(i, 0, Candidate({"x": i}), score) for i, score in enumerate(scores)]


def test_ends_and_knee_are_picked_first_and_only_of_the_feasible():
    points = [(0.5, 10.0, "ok"), (0.6, 20.0, "ok"), (0.9, 30.0, "ok"), (0.92, 100.0, "ok"), (0.95, 1000.0, "ok")]
    points += [(0.99, 5.0, "infeasible"), (0.4, 2000.0, "ok")]
    picked = [(f.outcome.number, f.picked_as) for f in pick(made(points), GOAL, 3)]
    assert picked == [(4, "best accuracy"), (2, "knee"), (0, "best spikes")]
    assert len(pick(made(points), GOAL, 100)) == 5
    assert pick(made(points[5:6]), GOAL, 3) == []
    assert pick([], GOAL, 3) == []
    assert pick(made(points), GOAL, 0) == []
    # at least .61 of .95: the two cheapest have no place any more
    floored = replace(GOAL, chance={"accuracy": 0.1}, floor=0.6)
    picked = [(f.outcome.number, f.picked_as) for f in pick(made(points), floored, 9)]
    assert picked == [(4, "best accuracy"), (3, "knee"), (2, "best spikes")]
