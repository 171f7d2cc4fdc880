"""Why nothing is feasible and finalists are few: counted by bound, with the nearest figure and what helps."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.bounds import Constraint, bounds_of
from results.ledger import Outcome
from results.reasons import broken_bounds, failures, way_out, why_fewer, why_none
from search.loop.goal import Goal, parse_constraints
from spaces.candidate import Candidate, Score

CONFIG = {"width": 16, "timesteps": 4, "supernet_epochs": 10, "train_epochs": None, "table": None}


def stored(*bounds, **match):
    match = {"objectives": ["accuracy:max", "spikes:min"], "constraints": list(bounds), "finalists": 4} | match
    return {"match": match, "config": CONFIG, "space": {"blanks": ["slot1"]}, "chance": {"accuracy": 0.5}}


def scored(number, bounds=(), *, batch=0, **figures):
    score = Score(**{"state": "ok", "fidelity": "supernet", "accuracy": 0.9, "spikes": 10.0} | figures)
    goal = Goal(objectives=("accuracy",), constraints=parse_constraints(bounds))
    return Outcome(number, batch, Candidate({"x": number}), goal.judge(score))


def test_bounds_are_counted_each_with_the_nearest_figure():
    bounds = ["spikes<=5", "accuracy>=0.95"]
    outcomes = [scored(0, bounds), scored(1, bounds, spikes=7.5), scored(2, bounds, accuracy=0.97)]
    assert why_none(outcomes, stored(*bounds)) == [
        "3 of 3 break spikes<=5; the least reached is 7.5: lower --width (16 now) or --timesteps (4 now), or raise the "
        "bound",
        "2 of 3 break accuracy>=0.95; the most reached is 0.97",
    ]
    groups = [(group["count"], group["reason"]) for group in failures(outcomes, parse_constraints(bounds))]
    assert groups == [(2, "breaks spikes<=5 and breaks accuracy>=0.95"), (1, "breaks spikes<=5")]


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=20), st.floats(0, 1e9), st.booleans())
def test_the_count_and_the_nearest_figure_are_those_of_all_outcomes(figures, bound, most):
    text = str(Constraint(metric="spikes", most=most, bound=bound))
    outcomes = [scored(number, [text], spikes=figure) for number, figure in enumerate(figures)]
    told = broken_bounds(outcomes, stored(text))
    (exact,) = bounds_of({"constraints": [text]})
    count = sum(figure > exact.bound if most else figure < exact.bound for figure in figures)
    assert bool(told) == bool(count)
    if count:
        nearest = min(figures) if most else max(figures)
        assert told[0].startswith(
            f"{count} of {len(figures)} break {text}; the {'least' if most else 'most'} reached is "
        )
        assert f"reached is {nearest:,.6g}" in told[0]
        assert (": " in told[0]) == (count == len(figures))  # what one keeps needs no help


def test_other_reasons_stand_behind_the_bounds():
    bounds, silent = ["energy_nj<=5"], "silent: no spike at the readout for any sample"
    outcomes = [scored(0, bounds), scored(1, state="infeasible", error=silent), scored(2, state="failed", error="E 7")]
    outcomes.append(scored(3, state="failed", error="E 8"))
    assert why_none(outcomes, stored(*bounds)) == [
        "1 of 4 break energy_nj<=5; none of them has a figure of energy_nj",
        "2 of 4 failed: E 7",
        f"1 of 4 infeasible: {silent}",
    ]
    many = [scored(number, state="failed", error="x" * (number + 1)) for number in range(8)]
    assert why_none(many, stored())[-1] == "and 3 more reasons, see the report"


@pytest.mark.parametrize(
    ("bound", "config", "way"),
    [
        ("parameters<=9", {}, "lower --width (16 now), or raise the bound"),
        ("macs>=9", {}, "raise --width (16 now), or lower the bound"),
        ("parameters<=9", {"width": None}, "raise the bound"),
        ("timesteps<=2.5", {}, "give --timesteps 2, or raise the bound"),
        ("timesteps>=2.5", {}, "give --timesteps 3, or lower the bound"),
        ("timesteps<=0.5", {}, "raise the bound to 1 or more"),
        ("accuracy>=1", {}, "raise --supernet-epochs (10 now) or --width (16 now), or lower the bound"),
        ("accuracy>=1", {"train_epochs": 3}, "raise --train-epochs (3 now) or --width (16 now), or lower the bound"),
        ("separability>=1", {}, "lower the bound"),
        ("parameters<=9", {"table": "t.csv"}, "raise the bound"),
    ],
)
def test_the_option_that_helps(bound, config, way):
    (bound,) = bounds_of({"constraints": [bound]})
    assert way_out(bound, CONFIG | config) == way
    assert "--timesteps" not in way_out(bound, CONFIG | config, blanks=["timesteps"])


def test_what_is_no_bound_is_passed_over():
    assert bounds_of({"constraints": ["x", "spikes<=", "spikes<=7", 3]}) == [
        Constraint(metric="spikes", most=True, bound=7)
    ]
    assert bounds_of({}) == []


FRONT = [(0.9, 10.0), (0.8, 5.0), (0.85, 20.0), (0.6, 1.0)]  # the third is behind it, the last under the floor of .7


@pytest.mark.parametrize(
    ("options", "finalists", "words"),
    [
        ({"finalists": 2}, 2, ""),
        ({"finalists": 0}, 0, ""),
        (
            {"finalists": 3},
            2,
            "2 of the 3 finalists asked for: the front has 2 candidates: --finalist-pool 3 takes those behind it, too",
        ),
        (
            {"finalists": 4},
            2,
            "2 of the 4 finalists asked for: 3 of them keep accuracy>=0.7, the floor, which --floor lowers; the front "
            "has 2 candidates: --finalist-pool 4 takes those behind it, too",
        ),
        (
            {"finalists": 4, "finalist_pool": 4},
            3,
            "3 of the 4 finalists asked for: 3 of them keep accuracy>=0.7, the floor, which --floor lowers",
        ),
        (
            {"finalists": 9, "floor": 0.0, "finalist_pool": 9},
            4,
            "4 of the 9 finalists asked for: 4 of 4 candidates are feasible",
        ),
        (
            {"finalists": 3, "train_epochs": 2},
            2,
            "2 of the 3 finalists asked for: the front has 2 candidates",
        ),
    ],
)
def test_why_finalists_are_few(options, finalists, words):
    outcomes = [scored(number, accuracy=a, spikes=s) for number, (a, s) in enumerate(FRONT)]
    assert why_fewer(outcomes, stored(floor=0.5) | stored(**{"floor": 0.5} | options), finalists) == words


def test_few_are_feasible_for_a_bound_and_some_do_not_come_through_their_training():
    outcomes = [scored(n, ["spikes<=6"], accuracy=a, spikes=s) for n, (a, s) in enumerate(FRONT)]
    lost = scored(4, batch=-1, state="infeasible", error="silent", fidelity="trained")
    told = why_fewer([*outcomes, lost], stored("spikes<=6", finalists=3, floor=0.0, finalist_pool=3), 1)
    assert told == (
        "1 of the 3 finalists asked for: 2 of 4 candidates are feasible; 2 of 4 break spikes<=6; the least reached is "
        "1; 1 finalist did not come through the training"
    )
    table = stored("spikes<=6")
    assert why_fewer(outcomes, table | {"config": CONFIG | {"table": "t.csv"}}, 0) == ""
    assert replace(lost.score, state="ok").state == "ok"
