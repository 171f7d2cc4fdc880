"""The loop: replay at every cut, budgets, exhaustion, foreign ledgers."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution

from results.front import pareto_mask
from results.ledger import Ledger, Outcome, read
from search.loop.goal import Goal, parse_constraints
from search.loop.loop import Budget, ask, in_process, search
from search.samplers import SAMPLERS
from spaces import lookup
from spaces.candidate import Candidate, Score
from spaces.errors import LedgerError
from spaces.space import Space

pytestmark = pytest.mark.usefixtures("quick_samplers")

SPACE = Space(
    name="test",
    about="",
    blanks={f"slot{i}": CategoricalDistribution(("a", "b", "c")) for i in range(4)},
    timesteps=1,
    build=None,
)
GOAL = Goal(objectives=("accuracy", "spikes"))
FLOORED = replace(GOAL, chance={"accuracy": 0.25}, floor=0.5)
GOALS = {"plain": GOAL, "floored": FLOORED}


class Killed(Exception):
    """Stands for a kill between two candidates."""


def score(candidate, told=None, *, seconds=1.0, calls=None, die_at=None):
    if calls is not None:
        calls.append(candidate)
        if len(calls) == die_at:
            raise Killed
    goodness = sum(value == "b" for value in candidate.values()) / 4
    return Score(state="ok", fidelity="supernet", accuracy=goodness, spikes=10.0 + 5 * goodness, seconds=seconds)


def go(path, *, sampler="evolution", budget=None, seed=0, scorer=score, earlier=(), goal=GOAL):
    budget = budget or Budget(candidates=45, batch=10)
    sampler = lookup(SAMPLERS, "sampler", sampler) if isinstance(sampler, str) else sampler
    with Ledger.open(path) as ledger:
        why = search(SPACE, ledger, sampler, in_process(scorer), goal=goal, budget=budget, seed=seed, earlier=earlier)
        return why, [(o.batch, o.candidate.key, o.score) for o in ledger.outcomes]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("goal", GOALS.values(), ids=GOALS)
def test_killed_at_any_candidate_and_resumed_ends_the_same(tmp_path, sampler, goal):
    _, expected = go(tmp_path / "whole", sampler=sampler, goal=goal)
    assert len(expected) == 45
    rng = np.random.default_rng(0)
    for cut in (1, 10, 11, *rng.integers(12, 45, 2)):
        path = tmp_path / f"cut{cut}"
        with pytest.raises(Killed):
            go(path, sampler=sampler, goal=goal, scorer=partial(score, calls=[], die_at=cut))
        assert len(read(path)[0]) == cut - 1
        calls = []
        _, resumed = go(path, sampler=sampler, goal=goal, scorer=partial(score, calls=calls))
        assert resumed == expected
        assert len(calls) == 45 - (cut - 1)  # nothing is scored twice


def test_a_torn_last_line_is_scored_again(tmp_path):
    _, expected = go(tmp_path / "ledger")
    content = (tmp_path / "ledger").read_bytes()
    (tmp_path / "ledger").write_bytes(content[:-30])
    assert go(tmp_path / "ledger")[1] == expected
    assert (tmp_path / "ledger").read_bytes() == content


def test_an_exhausted_space_ends_the_search(tmp_path):
    why, outcomes = go(tmp_path / "ledger", budget=Budget(candidates=1000, batch=16))
    assert why == "all 81 candidates of the space are scored"
    assert len({key for _, key, _ in outcomes}) == 81
    assert go(tmp_path / "ledger", budget=Budget(candidates=1000, batch=16))[1] == outcomes


def test_minutes_of_scoring_end_the_search_and_hold_on_resume(tmp_path):
    budget = Budget(candidates=1000, minutes=0.25, batch=10)
    why, outcomes = go(tmp_path / "ledger", budget=budget)
    assert why == "0.2 minutes of scoring, as asked"
    assert len(outcomes) == 15  # a second each
    calls = []
    assert len(go(tmp_path / "ledger", budget=budget, scorer=partial(score, calls=calls))[1]) == 15
    assert not calls


def test_a_larger_budget_goes_on(tmp_path):
    go(tmp_path / "a", budget=Budget(candidates=20, batch=10))
    _, extended = go(tmp_path / "a", budget=Budget(candidates=45, batch=10))
    assert extended == go(tmp_path / "b")[1]


def test_a_ledger_of_another_search_is_refused(tmp_path):
    go(tmp_path / "ledger")
    with pytest.raises(LedgerError, match="batch 4 of the ledger is not what this search asks for"):
        go(tmp_path / "ledger", seed=1)
    assert len(read(tmp_path / "ledger")[0]) == 45


def earlier_results(candidates=None, seed=5):
    """Of another search: accuracy as ``score`` says, spikes of its own."""
    rng = np.random.default_rng(seed)
    candidates = candidates or list({SPACE.sample(rng): None for _ in range(30)})
    scores = [replace(score(candidate), spikes=float(rng.integers(50, 500))) for candidate in candidates]
    return [Outcome(number, number // 7, *pair) for number, pair in enumerate(zip(candidates, scores, strict=True))]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_warm_start_replays_exactly_and_doubles_nothing(tmp_path, sampler):
    earlier = earlier_results()
    _, expected = go(tmp_path / "whole", sampler=sampler, earlier=earlier)
    assert len({key for _, key, _ in expected}) == 45
    values = GOAL.values([outcome.score for outcome in earlier])
    front = {outcome.candidate.key for outcome, kept in zip(earlier, pareto_mask(values, (1, -1)), strict=True) if kept}
    first = {key for batch, key, _ in expected if batch == 0}
    assert 2 <= len(front) < 10
    assert front <= first
    rest = {outcome.candidate.key for outcome in earlier} - front
    assert not rest & {key for _, key, _ in expected}  # known well enough
    for cut in (4, 11):
        path = tmp_path / f"cut{cut}"
        with pytest.raises(Killed):
            go(path, sampler=sampler, scorer=partial(score, calls=[], die_at=cut), earlier=earlier)
        assert go(path, sampler=sampler, earlier=earlier)[1] == expected
    assert go(tmp_path / "cold", sampler=sampler)[1] != expected


def test_what_a_sampler_sees_after_a_warm_start(tmp_path):
    """Earlier results as the first batch, without those scored anew; then what this search scored."""
    earlier, told = earlier_results(), []

    def sampler(space, history, n, seed, goal):
        told.append(list(history))
        known = {outcome.candidate for outcome in history}
        return [candidate for candidate in space.all() if candidate not in known][:n]

    _, outcomes = go(tmp_path / "ledger", sampler=sampler, earlier=earlier, budget=Budget(candidates=30, batch=10))
    first, second, third = told
    assert [o.candidate for o in first] == [o.candidate for o in earlier]
    assert {o.batch for o in first} == {0}
    own = [(o.batch - 1, o.candidate.key, o.score) for o in third if o.batch > 0]
    assert own == outcomes[:20]
    anew = {key for _, key, _ in outcomes}
    left = [o.candidate for o in earlier if o.candidate.key not in anew]
    assert [o.candidate for o in second if o.batch == 0] == left
    assert 2 <= len(left) < len(earlier)
    assert len({o.candidate for o in third}) == len(third)
    assert [o.number for o in third if o.batch > 0] == list(range(len(earlier), len(earlier) + 20))


def test_a_front_larger_than_a_batch_is_spread(tmp_path):
    """Six points of a front in a first batch of three: both ends and the knee."""
    front = [Candidate({f"slot{i}": "abc"[(place >> i) % 2] for i in range(4)}) for place in range(6)]
    scores = [Score(state="ok", fidelity="supernet", accuracy=0.1 * i, spikes=10.0 + i**3) for i in range(6)]
    earlier = [Outcome(i, 0, *pair) for i, pair in enumerate(zip(front, scores, strict=True))]
    _, outcomes = go(tmp_path / "ledger", earlier=earlier, budget=Budget(candidates=3, batch=3))
    assert {front[0].key, front[5].key} < {key for _, key, _ in outcomes} < {candidate.key for candidate in front}


def test_what_breaks_a_constraint_now_is_not_of_the_earlier_front():
    earlier = earlier_results()
    goal = Goal(objectives=("accuracy",), constraints=parse_constraints(["accuracy<=0.3"]))
    judged = [replace(outcome, score=goal.judge(outcome.score)) for outcome in earlier]
    first = ask(SPACE, lambda *_: [], judged, [], 20, seed=0, goal=goal)
    assert {score(candidate).accuracy for candidate in first} == {0.25}


@pytest.mark.parametrize("warm", [False, True])
def test_a_sampler_sees_the_floor_of_accuracy_as_one_more_bound(warm):
    seen = []

    def sampler(space, history, n, seed, goal):
        seen.append((history, goal))
        return []

    outcomes = [Outcome(i, i // 20, c, score(c)) for i, c in enumerate(SPACE.all())][:60]
    history, earlier = (outcomes[40:], outcomes[:40]) if warm else (outcomes, [])
    best = max(outcome.score.accuracy for outcome in outcomes)
    assert ask(SPACE, sampler, earlier, history, 20, seed=0, goal=FLOORED) == []
    (told, goal) = seen[0]
    assert [str(bound) for bound in goal.constraints] == [f"accuracy>={0.25 + 0.5 * (best - 0.25):.15g}"]
    assert [o.candidate for o in told] == [o.candidate for o in outcomes]
    for mine, before in zip(told, outcomes, strict=True):
        assert mine.score.accuracy == before.score.accuracy
        assert (mine.score.state == "ok") == (before.score.accuracy >= 0.25 + 0.5 * (best - 0.25))
    assert {o.score.state for o in told} == {"ok", "infeasible"}


def test_a_space_that_earlier_results_exhaust_ends(tmp_path):
    earlier = earlier_results(list(SPACE.all()))
    why, outcomes = go(tmp_path / "ledger", earlier=earlier, budget=Budget(candidates=1000, batch=16))
    assert why == f"all {len(outcomes)} candidates of the space are scored, but for earlier ones"
    front = pareto_mask(GOAL.values([outcome.score for outcome in earlier]), (1, -1))
    assert {key for _, key, _ in outcomes} == {o.candidate.key for o, on in zip(earlier, front, strict=True) if on}
