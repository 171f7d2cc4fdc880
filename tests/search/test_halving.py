"""Successive halving of finalists: who goes on, what is left of the others, and kills at any moment."""

import doctest
import json
import math
import shutil
from contextlib import nullcontext
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from evaluators import training as training_module
from evaluators.evaluation import evaluate
from evaluators.inherited import score_from_supernet
from evaluators.plan import Plan
from evaluators.supernet import train_supernet
from results.folder import create_or_open
from results.front import crowding
from results.ledger import Ledger, Outcome, read
from results.report.page import write_report
from results.table import front_numbers
from search.loop.goal import Goal, parse_constraints
from search.options.config import configure
from search.work import finalists as finalists_module
from search.work import halving
from search.work.finalists import Training, pick, train_finalist
from search.work.halving import forget, halve, ranking
from spaces.candidate import Candidate, Score
from spaces.checksums import without_checksum
from spaces.errors import DamageWarning, OptionError
from spaces.seeds import numpy_generator

GOAL = Goal(objectives=("accuracy", "spikes"))
EPOCHS, POOL, LEFT = 4, 6, 2  # rungs after 1 and 2: 6 -> 3 -> 2


class Killed(BaseException):
    """Stands for a kill -9: nothing catches it."""


def silent_stage(title, unit):
    return lambda done, total: None


@pytest.fixture(scope="module")
def supernet(setting):
    return train_supernet(
        replace(setting, recipe=replace(setting.recipe, plan=Plan(epochs=8, batch_size=16, logit_scale=10.0)))
    )[0]


@pytest.fixture(scope="module")
def searched(setting, supernet, tmp_path_factory):
    """A run folder after its search."""
    folder = create_or_open(tmp_path_factory.mktemp("runs") / "run", config={"match": {"objectives": GOAL.spelled}})
    rng = numpy_generator(0)
    with Ledger.open(folder.ledger) as ledger:
        for number in range(12):
            candidate = setting.space.sample(rng)
            score = replace(score_from_supernet(setting, supernet, candidate), seconds=0.0)
            ledger.append(Outcome(number, 0, candidate, score))
    return folder


def copy_of(searched, path):
    shutil.copytree(searched.path, path)
    return replace(searched, path=path)


def work(folder, setting, supernet, *, pool=POOL, left=LEFT, inherited=True):
    """All that a run does after its search."""
    with Ledger.open(folder.ledger) as ledger:
        plan = replace(setting.recipe.plan, epochs=EPOCHS)
        where = {"folder": folder, "goal": GOAL, "match": "x"}
        training = Training(setting=setting, supernet=supernet, plan=plan, inherited=inherited, **where)
        for finalist in halve(pick(ledger.outcomes, GOAL, pool, deep=True), training, ledger, left, silent_stage):
            train_finalist(finalist, training, ledger)
        forget(folder)


def digest(folder):
    """All that equal runs share."""
    outcomes = [replace(o, score=replace(o.score, seconds=0.0)) for o in read(folder.ledger)[0]]
    stored = {}
    for home in sorted(folder.finalists.iterdir()):
        metrics = without_checksum(json.loads((home / "metrics.json").read_text()))
        metrics.pop("seconds")
        stored[home.name] = metrics, (home / "weights.safetensors").read_bytes()
    return outcomes, stored


@pytest.fixture(scope="module")
def whole(searched, setting, supernet, tmp_path_factory):
    folder = copy_of(searched, tmp_path_factory.mktemp("runs") / "whole")
    work(folder, setting, supernet)
    return folder


def dominates(one, other):
    return all(a >= b for a, b in zip(one, other, strict=True)) and one != other


def ranked_by_hand(gains):
    """Non-dominated ranks, counted front by front."""
    rank, left, level = {}, set(range(len(gains))), 0
    while left:
        front = {i for i in left if not any(dominates(gains[j], gains[i]) for j in left)}
        rank |= dict.fromkeys(front, level)
        left, level = left - front, level + 1
    return [rank[i] for i in range(len(gains))]


def test_the_half_of_best_rank_goes_on_and_the_others_are_kept_with_what_they_had(whole, setting, supernet):
    outcomes = read(whole.ledger)[0]
    pool = [one.outcome for one in pick(outcomes, GOAL, POOL, deep=True)]
    assert len(pool) == POOL
    ended = {o.candidate: o.score for o in outcomes if o.batch < 0}
    assert set(ended) == {o.candidate for o in pool}
    left = [o.candidate for o in pool]
    for epochs, room in ((1, 3), (2, 2)):
        measured = []
        for candidate in left:  # trained again, without rungs, and cut off
            number = next(o.number for o in pool if o.candidate == candidate)
            finalist = next(one for one in pick(outcomes, GOAL, POOL, deep=True) if one.outcome.number == number)
            training = Training(
                setting=setting,
                supernet=supernet,
                plan=replace(setting.recipe.plan, epochs=EPOCHS),
                inherited=True,
                goal=GOAL,
                folder=replace(whole, path=whole.path / "none"),
                match=f"{epochs}",
            )
            measured.append(finalists_module.train(finalist, training, until=epochs).score)
        assert all(score.state == "ok" for score in measured)
        ranks = ranked_by_hand([(score.accuracy, -score.spikes) for score in measured])
        stopped = [score.state == "pruned" for score in (ended[c] for c in left)]
        stopped = [s and f"after {epochs} of 4" in ended[c].error for s, c in zip(stopped, left, strict=True)]
        assert stopped.count(False) == room
        on, off = ([r for r, s in zip(ranks, stopped, strict=True) if s == kind] for kind in (False, True))
        assert max(on) <= min(off)
        for candidate, score, was in zip(left, measured, stopped, strict=True):
            if was:
                told = replace(ended[candidate], error="", state="ok", seconds=0.0)
                assert told == replace(score, seconds=0.0)
                assert ended[candidate].error.startswith(f"stopped after {epochs} of 4 epochs: ")
                assert ended[candidate].fidelity == "trained"
        left = [c for c, was in zip(left, stopped, strict=True) if not was]
    assert {ended[c].state for c in left} == {"ok"}
    assert {home.name for home in whole.finalists.iterdir()} == {str(o.number) for o in pool if o.candidate in left}
    assert not any(whole.checkpoints.iterdir())


def test_those_stopped_are_on_no_front_and_the_page_says_so(whole):
    outcomes = read(whole.ledger)[0]
    stopped = {o.number for o in outcomes if o.batch < 0 and o.score.state == "pruned"}
    assert len(stopped) == POOL - LEFT
    assert not stopped & front_numbers(outcomes, GOAL.objectives, GOAL.senses)
    assert "4 more began to be trained and were stopped." in write_report(whole).read_text()


def test_who_comes_through_is_trained_as_without_rungs(whole, searched, setting, supernet, tmp_path):
    """One schedule that is paused: the same weights and the same measurements."""
    plain = copy_of(searched, tmp_path / "plain")
    work(plain, setting, supernet, pool=POOL, left=POOL)
    through, all_of_them = digest(whole)[1], digest(plain)[1]
    assert len(through) == LEFT
    assert len(all_of_them) == POOL
    assert {number: all_of_them[number] for number in through} == through
    for number, (metrics, _) in through.items():
        network = setting.space.network(setting.task.spec, Candidate(metrics["candidate"]))
        network.load_state_dict(load_file(whole.finalist(int(number)) / "weights.safetensors"))
        assert evaluate(network, setting.task, setting.task.test).accuracy == metrics["test_accuracy"]


def test_the_test_split_is_read_only_by_those_that_come_through(searched, setting, supernet, tmp_path, monkeypatch):
    read_by = []

    def spied(network, task, split, **options):
        read_by.append("test" if split is task.test else "validation" if split is task.validation else "?")
        return evaluate(network, task, split, **options)

    monkeypatch.setattr(finalists_module, "evaluate", spied)
    work(copy_of(searched, tmp_path / "run"), setting, supernet)
    assert read_by == ["validation"] * (6 + 3) + ["validation", "test"] * 2


EVENTS = {  # name -> where it is, whether the kill comes after it, at which of its times
    "write_checkpoint": (
        training_module,
        True,
        (1, 5, 6, 7, 9, 10, 11, 13),
    ),  # 6 to the rung of 1, 3 to 2, 2 to the end
    "evaluate": (finalists_module, False, (1, 6, 7, 10, 11, 13)),
    "write_atomic": (halving, True, (1, 2)),
    "append": (Ledger, True, (1, 2, 3, 4, 5, 6)),
    "store": (finalists_module, True, (1, 2)),
}


def dying(name, when):
    """The event, that kills the ``when``-th time."""
    place, after, _ = EVENTS[name]
    function, count = getattr(place, name), 0

    def event(*args, **options):
        nonlocal count
        count += 1
        if count == when and not after:
            raise Killed
        result = function(*args, **options)
        if count == when:
            raise Killed
        return result

    return place, name, event


@pytest.mark.parametrize(("name", "when"), [(name, time) for name, (_, _, times) in EVENTS.items() for time in times])
def test_killed_at_any_moment_and_resumed_ends_the_same(whole, searched, setting, supernet, tmp_path, name, when):
    folder = copy_of(searched, tmp_path / "run")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(*dying(name, when))
        with pytest.raises(Killed):
            work(folder, setting, supernet)
    work(folder, setting, supernet)
    assert digest(folder) == digest(whole)
    assert not any(folder.checkpoints.iterdir())
    before = folder.ledger.read_bytes()
    work(folder, setting, supernet)  # finished: nothing happens any more
    assert folder.ledger.read_bytes() == before


@pytest.mark.parametrize("lost", ["checkpoints", "rungs", "rungs torn", "a finalist"])
def test_what_is_lost_after_a_kill_is_made_anew(whole, searched, setting, supernet, tmp_path, lost):
    folder = copy_of(searched, tmp_path / "run")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(*dying("append", 5))  # four stopped, one trained
        with pytest.raises(Killed):
            work(folder, setting, supernet)
    rungs = sorted(folder.checkpoints.glob("rung-*"))
    assert len(rungs) == 2
    if lost == "checkpoints":
        shutil.rmtree(folder.checkpoints)
    elif lost == "a finalist":
        shutil.rmtree(next(folder.finalists.iterdir()))
    else:
        for path in rungs:
            path.write_bytes(b"{}\n") if "torn" in lost else path.unlink()
    with pytest.warns(DamageWarning, match="made anew|measured anew") if "torn" in lost else nullcontext():
        work(folder, setting, supernet)
    assert digest(folder) == digest(whole)


def test_one_that_raises_on_the_way_is_a_failed_outcome_and_another_goes_on(
    searched, setting, supernet, tmp_path, monkeypatch
):
    folder = copy_of(searched, tmp_path / "run")
    pool = [one.outcome.candidate for one in pick(read(folder.ledger)[0], GOAL, POOL, deep=True)]
    build = finalists_module.build_alone

    def broken(setting, candidate):
        if candidate in pool[:4]:
            raise RuntimeError("no such kernel")
        return build(setting, candidate)

    monkeypatch.setattr(finalists_module, "build_alone", broken)
    work(folder, setting, supernet)
    ended = {o.candidate: o.score for o in read(folder.ledger)[0] if o.batch < 0}
    assert [ended[candidate].state for candidate in pool] == ["failed"] * 4 + ["ok"] * 2
    assert ended[pool[0]].error == "RuntimeError: no such kernel"


def test_silent_ones_go_on_only_where_nothing_else_is_left(searched, setting, supernet, tmp_path, monkeypatch):
    folder = copy_of(searched, tmp_path / "run")
    fit = finalists_module.fit

    def numb(network, *args, **options):
        curve = fit(network, *args, **options)
        torch.nn.init.zeros_(network.head[1].weight)
        return curve

    monkeypatch.setattr(finalists_module, "fit", numb)
    work(folder, setting, supernet)
    ended = [o.score for o in read(folder.ledger)[0] if o.batch < 0]
    assert [score.state for score in ended] == ["pruned"] * 4 + ["infeasible"] * 2
    assert "stopped after 1 of 4 epochs: silent: " in ended[0].error
    assert not folder.finalists.exists()


def made(points):
    """Outcomes of (accuracy, spikes, state)."""
    scores = [Score(state=state, fidelity="supernet", accuracy=a, spikes=s) for a, s, state in points]
    return [Outcome(i, 0, Candidate({"x": i}), score) for i, score in enumerate(scores)]


def test_standing_is_by_rank_then_crowding_then_constraints_then_silence():
    points = [(0.5, 10.0, "ok"), (0.6, 11.0, "ok"), (0.7, 80.0, "ok"), (0.9, 100.0, "ok")]  # the front
    points += [(0.4, 12.0, "ok"), (0.1, 5000.0, "infeasible"), (0.1, 900.0, "infeasible"), (0.2, 0.0, "infeasible")]
    goal = replace(GOAL, constraints=parse_constraints(["spikes<=500"]))
    outcomes = [*made(points), Outcome(8, 0, Candidate({"x": 8}), Score(state="failed", fidelity="trained"))]
    # by hand: ends first; of the two between, on log spikes, the third's neighbours are farther apart
    gaps = {1: 0.2 / 0.4 + math.log(80 / 10) / math.log(10), 2: 0.3 / 0.4 + math.log(100 / 11) / math.log(10)}
    assert crowding([p[:2] for p in points[:4]], (1, -1), log=(False, True))[1:3] == pytest.approx(list(gaps.values()))
    assert gaps[2] > gaps[1]
    assert ranking(outcomes, goal) == [0, 3, 2, 1, 4, 6, 5, 7]


def test_a_pool_reaches_behind_the_front_and_its_first_are_the_finalists_of_old():
    rng = np.random.default_rng(0)
    outcomes = made([(float(a), float(s), "ok") for a, s in zip(rng.random(40), rng.lognormal(size=40), strict=True)])
    rank = ranked_by_hand([(o.score.accuracy, -o.score.spikes) for o in outcomes])
    front = pick(outcomes, GOAL, 100)
    assert {one.outcome.number for one in front} == {i for i, level in enumerate(rank) if level == 0}
    for k in (1, 3, len(front), len(front) + 2, 40, 50):
        picked = pick(outcomes, GOAL, k, deep=True)
        assert len({one.outcome.number for one in picked}) == min(k, 40)
        assert [rank[one.outcome.number] for one in picked] == sorted(rank[one.outcome.number] for one in picked)
        if k <= len(front):
            assert picked == pick(outcomes, GOAL, k)
        assert all((one.picked_as == "behind the front") == (rank[one.outcome.number] > 0) for one in picked)


@pytest.mark.parametrize(("epochs", "pool", "left"), [*product((2, 3, 8), (5, 16), (1, 4))])
def test_as_many_are_left_as_were_asked_for_however_few_the_epochs(
    searched, setting, supernet, tmp_path, monkeypatch, epochs, pool, left
):
    """Rungs of a made-up training: those left at each rung are halved, the last leaves what is asked for."""
    seen = []

    def made_up(finalist, training, *, until=None, on_step=None):
        seen.append(until)
        number = finalist.outcome.number
        score = Score(state="ok", fidelity="trained", accuracy=number / 100, spikes=100.0 - number)
        return finalists_module.Trained(network=None, curve=[], validation=None, score=score)

    monkeypatch.setattr(finalists_module, "train", made_up)
    folder = create_or_open(tmp_path / "made", config={"match": {}})
    with Ledger.open(folder.ledger) as ledger:
        for outcome in made([(0.5 + n / 100, 10.0 + n, "ok") for n in range(pool)]):
            ledger.append(outcome)
        training = Training(
            setting=setting,
            supernet=supernet,
            plan=Plan(epochs=epochs),
            inherited=True,
            goal=GOAL,
            folder=folder,
            match="x",
        )
        through = halve(pick(ledger.outcomes, GOAL, pool, deep=True), training, ledger, left, silent_stage)
        assert sorted(one.outcome.number for one in through) == list(range(pool - left, pool))
        assert sum(o.score.state == "pruned" for o in ledger.outcomes) == pool - left
    expected, n = [], pool
    for rung in (1, 2, 4):
        if rung < epochs and n > left:
            expected += [rung] * n
            n = left if rung * 2 >= epochs else max(left, n // 2)
    assert seen == expected


@pytest.mark.parametrize(
    "options",
    [
        {"finalist_pool": 3},
        {"finalist_pool": 3, "finalists": 0},
        {"finalist_pool": 8, "finalist_epochs": 1},
        {"finalist_pool": 0},
    ],
)
def test_a_pool_that_cannot_be_is_named(options):
    with pytest.raises(OptionError, match=r"--finalist-pool"):
        configure(**options)
    few = configure(finalist_pool=4, finalist_epochs=1).finalists
    assert (few.pool, few.count) == (4, 4)  # nothing to thin out


def test_examples_hold():
    assert doctest.testmod(halving).failed == 0
    assert doctest.testmod(halving).attempted == 1
