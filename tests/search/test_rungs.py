"""Searches on a ladder: what is paid, what goes on, what a reading tells of the end, and replay after any kill."""

import math
from dataclasses import replace
from itertools import accumulate

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution

from evaluators.ladder import COST, Rung, cost, parse_ladder, price
from results.ledger import Ledger, Outcome, read
from search.loop.goal import Goal, parse_constraints
from search.loop.loop import Budget, in_process, search
from search.loop.rungs import affordable, is_partial, latest, rungs_passed
from search.samplers import SAMPLERS
from search.samplers.modelled import Scale
from search.samplers.partial import as_at_the_end, calibrate, joined
from search.samplers.surrogate import covariance, encoder, fit
from spaces import lookup
from spaces.candidate import Candidate, Score
from spaces.errors import OptionError
from spaces.space import Space

pytestmark = pytest.mark.usefixtures("quick_samplers")
SPACE = Space(
    name="test",
    about="",
    blanks={f"slot{i}": CategoricalDistribution(tuple("abcd")) for i in range(4)}
    | {"threshold": FloatDistribution(0.5, 2.0)},
    timesteps=1,
    build=None,
)
LADDER = parse_ladder(("0.2:val=early", "0.6:val=later"), ("val", "work"))
GOAL = Goal(objectives=("val:max", "work:min"), ladder=LADDER)
SAMPLERS_ON_LADDERS = ("dual", "joint")


def end(candidate):
    """The true figures: val grows with the letters and near a threshold of 1."""
    letters = [ord(value) - 97 for value in candidate.values() if isinstance(value, str)]
    work = 1.0 + sum(letters)
    return 60 + 3 * math.sqrt(work) + letters[0] - 4 * abs(candidate["threshold"] - 1), work


def score(candidate, passed):
    val, work = end(candidate)
    columns = {"work": work, COST: price(LADDER, passed)}
    if passed == len(LADDER):
        return Score(state="ok", fidelity="trained", columns={**columns, "val": val})
    wobble = (hash_of(candidate) % 7 - 3) / (1 + 4 * passed)
    seen = 0.5 * val + 10 * passed + wobble
    return Score(state="pruned", fidelity="trained", columns={**columns, "val": seen}, error="in part")


def hash_of(candidate):
    return sum(ord(letter) * (place + 1) for place, letter in enumerate(candidate.key))


def run(path, sampler, *, candidates=18, batch=4, stop=None):
    """A search into a ledger; ``stop`` outcomes and then a kill."""
    told = []

    def on_outcome(outcome):
        told.append(outcome)
        if stop is not None and len(told) == stop:
            raise KeyboardInterrupt

    runner = in_process(lambda candidate, passed: score(candidate, passed[candidate]), rungs_passed)
    with Ledger.open(path) as ledger:
        return search(
            SPACE,
            ledger,
            lookup(SAMPLERS, "sampler", sampler),
            runner,
            goal=GOAL,
            budget=Budget(candidates=candidates, batch=batch),
            seed=3,
            on_outcome=on_outcome,
        )


@pytest.fixture(scope="module", params=SAMPLERS_ON_LADDERS)
def sampler(request):
    return request.param


def test_every_candidate_climbs_rung_by_rung_and_the_budget_is_what_it_costs(tmp_path, sampler):
    ended = run(tmp_path / "ledger.jsonl", sampler)
    outcomes = read(tmp_path / "ledger.jsonl")[0]
    seen = {}
    for outcome in outcomes:
        seen.setdefault(outcome.candidate, []).append(outcome.score)
    for scores in seen.values():
        assert [s.columns[COST] for s in scores] == [0.2, 0.4, 0.4][: len(scores)]
        assert [s.state for s in scores] == ["pruned", "pruned", "ok"][: len(scores)]
    total = sum(o.score.columns[COST] for o in outcomes)
    assert 18 - 0.2 < total <= 18 + 1e-9
    whole = [scores for scores in seen.values() if len(scores) == 3]
    assert 10 <= len(whole) < len(seen)  # as many as a model needs; and some were given up
    words = f"{len(seen)} candidates begun and {len(whole)} of them scored to the end"
    assert ended == f"{words} for {total:.4g} evaluations, as asked"


def test_killed_at_any_outcome_and_resumed_ends_the_same(tmp_path, sampler):
    run(tmp_path / "whole.jsonl", sampler, candidates=14)
    outcomes = read(tmp_path / "whole.jsonl")[0]
    for stop in range(1, len(outcomes), 6):
        path = tmp_path / f"{stop}.jsonl"
        with pytest.raises(KeyboardInterrupt):
            run(path, sampler, candidates=14, stop=stop)
        assert len(read(path)[0]) == stop
        run(path, sampler, candidates=14)
        assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_finite_space_ends_with_all_of_it_scored_to_the_end(sampler):
    space = Space(name="few", about="", blanks=dict(list(SPACE.blanks.items())[:2]), timesteps=1, build=None)
    history, sample = [], lookup(SAMPLERS, "sampler", sampler)
    for batch in range(60):
        asked = sample(space, history, 5, batch, GOAL)
        if not asked:
            break
        for candidate in asked:
            whole = Candidate({**dict.fromkeys(SPACE.blanks, "a"), "threshold": 1.0, **candidate})
            passed = rungs_passed(history)[candidate]
            history.append(Outcome(len(history), batch, candidate, score(whole, passed)))
    assert {o.candidate for o in history if o.score.state == "ok"} == set(space.all())
    assert len(history) == 3 * space.size


def test_a_bound_on_what_is_read_is_one_on_the_end(sampler):
    """On the first rung no reading keeps it, at the end many do."""
    goal = replace(GOAL, constraints=parse_constraints(["val>=66", "work<=9"], ("val", "work")))
    history, sample = [], lookup(SAMPLERS, "sampler", sampler)
    for batch in range(30):
        for candidate in sample(SPACE, history, 6, batch, goal):
            found = goal.judge(score(candidate, rungs_passed(history)[candidate]))
            history.append(Outcome(len(history), batch, candidate, found))
    assert max(o.score.figure("val") for o in history if o.score.columns[COST] == 0.2) < 66
    ends = [o for o in history if o.score.state != "pruned"]
    kept = [o.score.state == "ok" for o in ends]
    assert len(kept) > 12
    assert np.mean(kept[8:]) > 0.5


def outcome(number, name, columns, state="pruned"):
    return Outcome(number, 0, Candidate({"slot": name}), Score(state=state, fidelity="trained", columns=columns))


HISTORY = [
    outcome(0, "x", {"val": 1.0, COST: 0.2}),
    outcome(1, "y", {"val": 2.0, COST: 0.2}),
    outcome(2, "x", {"val": 3.0, COST: 0.4}),
    outcome(3, "x", {"val": 5.0, COST: 0.4}, "ok"),
    outcome(4, "z", {"val": 4.0}),  # pruned for another reason: racing
]


def test_outcomes_by_hand():
    assert [is_partial(o) for o in HISTORY] == [True, True, True, False, False]
    assert rungs_passed(HISTORY) == {Candidate({"slot": "x"}): 2, Candidate({"slot": "y"}): 1}
    assert [o.number for o in latest(HISTORY)] == [1, 3, 4]
    assert [cost(o.score) for o in HISTORY] == [0.2, 0.2, 0.4, 0.4, 1.0]


@given(st.lists(st.integers(0, 2), min_size=1, max_size=12), st.floats(0, 4))
def test_what_is_affordable_is_the_longest_choice_first_come_first_served(rungs, left):
    asked = [Candidate({"slot": i}) for i in range(len(rungs))]
    passed = rungs_passed([])
    passed.update(dict(zip(asked, rungs, strict=True)))
    chosen = affordable(asked, left, passed, LADDER)
    prices = {candidate: (0.2, 0.4, 0.4)[rung] for candidate, rung in zip(asked, rungs, strict=True)}
    assert sum(prices[candidate] for candidate in chosen) <= left + 1e-6
    spent = 0.0
    for candidate in asked:
        fits = spent + prices[candidate] <= left + 1e-9
        assert fits == (candidate in chosen)
        spent += prices[candidate] * fits


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=5, unique=True))
def test_all_rungs_together_cost_one_evaluation(shares):
    ladder = [Rung(share=share, readings={}) for share in sorted(shares)]
    assert sum(price(ladder, passed) for passed in range(len(ladder) + 1)) == pytest.approx(1.0)
    steps = list(accumulate(price(ladder, passed) for passed in range(len(ladder))))
    assert steps == pytest.approx([rung.share for rung in ladder])


def test_a_calibration_is_the_line_through_those_that_matter():
    rng = np.random.default_rng(0)
    readings = rng.uniform(65, 75, 60)
    figures = 20 + 0.8 * readings + rng.normal(0, 0.5, 60)
    slope, offset = np.polyfit(readings, figures, 1)
    left = figures - offset - slope * readings
    told = calibrate(readings, figures, 1)
    assert (told.slope, told.offset) == pytest.approx((slope, offset))
    assert told.variance == pytest.approx((left**2).sum() / 58)
    bad = np.append(readings, [10.0, 12.0]), np.append(figures, [-200.0, -180.0])
    assert calibrate(*bad, 1) == told
    assert calibrate(*bad, -1).slope > 2  # where small is good, these are the best there are
    assert calibrate(readings, -figures, 1).slope == 0.02  # never the other way round
    assert calibrate(np.ones(10), figures[:10], 1).slope == 0.02


def test_partial_outcomes_stand_as_what_they_will_come_to():
    scale = Scale(name="val", sense=1, logarithm=False, worth_logarithm=False)
    history, finals = [], [5.0, 7.0, 9.0, 10.0]
    for name, final in zip("abcd", finals, strict=True):
        for columns, state in (({"val": final / 2, COST: 0.2}, "pruned"), ({"val": final - 1, COST: 0.4}, "pruned")):
            history.append(outcome(len(history), name, columns, state))
        history.append(outcome(len(history), name, {"val": final, COST: 0.4}, "ok"))
    history.append(outcome(12, "e", {"val": 4.0, COST: 0.2}))
    history += [outcome(13, "f", {"val": 3.0, COST: 0.2}), outcome(14, "f", {"val": 7.5, COST: 0.4})]
    history.append(outcome(15, "g", {"val": 0.1, COST: 0.2}))
    ends, extra = as_at_the_end(latest(history), history, LADDER, scale)
    assert ends == pytest.approx([*finals, 8.0, 8.5, 5.0])  # the last is no worse than the worst at the end
    assert extra == pytest.approx(np.zeros(7), abs=1e-9)
    assert (extra[4:] > 0).all()
    assert not extra[:4].any()
    work = Scale(name="val", sense=1, logarithm=True, worth_logarithm=False)
    plain = parse_ladder(("0.2:other=early", "0.6:other=later"), ("other",))
    assert as_at_the_end(latest(history), history, plain, work)[0][4] == pytest.approx(math.log(4.0))


def test_what_is_ahead_is_the_model_without_it_joined_with_its_own_reading():
    """Against a process that is told of all others alone, with the same hyperparameters."""
    rng = np.random.default_rng(1)
    candidates = [SPACE.sample(rng) for _ in range(30)]
    points = encoder(SPACE, candidates)(candidates)
    ends = np.array([end(candidate)[0] for candidate in candidates])
    extra = np.where(np.arange(30) % 3 == 0, 0.7, 0.0)
    process, begun = fit(points, ends, extra), [0, 6, 21]
    ahead = joined(process, ends, extra, begun)
    y, noise = (ends - process.shift) / process.scale, process.noise + extra / process.scale**2
    for place, mean, deviation in zip(begun, ahead.mean, ahead.deviation, strict=True):
        rest = [i for i in range(30) if i != place]
        with torch.no_grad():
            k = covariance(process.logs, points, points).numpy()
        inverse = np.linalg.inv(k[np.ix_(rest, rest)] + np.diag(noise[rest]))
        across = k[place, rest]
        prior = process.shift + process.scale * (across @ inverse @ y[rest])
        variance = process.scale**2 * (k[place, place] - across @ inverse @ across + process.noise)
        share = extra[place] / (extra[place] + variance)
        assert mean == pytest.approx(share * prior + (1 - share) * ends[place], rel=1e-6)
        assert deviation**2 == pytest.approx(variance * share, rel=1e-6)
    known = joined(process, ends, np.zeros(30), begun)
    assert known.mean.tolist() == ends[begun].tolist()
    assert (known.deviation < 1e-4).all()


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["1.5:val=early"], "--fidelities '1.5:val=early': write SHARE:OBJECTIVE=COLUMN"),
        (["nan:val=early"], "write SHARE:OBJECTIVE=COLUMN"),
        *(([f"{share}:val=early"], "a share is from 1e-06") for share in ("1e-300", "5e-324", "0.9999999999", "-0")),
        (["0.5:val=early", "0.5000000001:val=later"], "shares 0.5 and 0.5000000001 are nearly the same: give one"),
        (["0.2:val"], "write SHARE:OBJECTIVE=COLUMN"),
        (["0.2:other=early"], "'other' is no objective; give one of val, work"),
        (["0.2:val=early", "0.2:val=later"], "'val' has two columns at 0.2"),
        (["0.2:val=early", "0.6:work=later"], "has no column at"),
    ],
)
def test_a_ladder_that_is_spelled_wrongly_is_named(texts, says):
    with pytest.raises(OptionError) as error:
        parse_ladder(texts, ("val", "work"))
    assert says in str(error.value)


def test_rungs_stand_in_order_whatever_the_order_given():
    ladder = parse_ladder(("0.6:val=b", "0.2:val=a", "0.2:work=c", "0.6:work=d"), ("val", "work"))
    assert [rung.share for rung in ladder] == [0.2, 0.6]
    assert [dict(rung.readings) for rung in ladder] == [{"val": "a", "work": "c"}, {"val": "b", "work": "d"}]
