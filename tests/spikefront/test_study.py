"""Ask and tell: the samplers, as the search's own loop uses them, for other loops."""

from functools import partial

import numpy as np
import pytest

import spikefront
from results.ledger import Ledger
from search.loop.goal import Goal
from search.loop.loop import Budget, in_process, search
from search.samplers import SAMPLERS
from spaces import lookup
from spaces.candidate import Score
from spaces.spec import TaskSpec


def worth(candidate):
    """Two figures that disagree."""
    sizes = [("skip", "SCB_k3", "SRB_k3", "SCB_k5", "SRB_k5").index(value) for value in candidate.values()]
    return {"mine": float(np.sqrt(sum(sizes))), "spikes": float(sum(size**2 for size in sizes))}


def filled(study, batches, n):
    asked = []
    for _ in range(batches):
        batch = study.ask(n)
        asked += batch
        for candidate in sorted(batch, key=study.space.place):
            study.tell(candidate, worth(candidate))
    return asked


@pytest.mark.parametrize("sampler", ["random", "evolution", "nsga2", "local"])
def test_a_study_asks_what_the_loop_of_a_search_asks(sampler, tmp_path):
    study = spikefront.Study("autosnn", ("mine:max", "spikes"), sampler=sampler, seed=3)
    filled(study, 3, 6)
    goal = Goal(objectives=("mine:max", "spikes"))

    def score(candidate, _):
        figures = worth(candidate)
        return Score(state="ok", fidelity="trained", spikes=figures["spikes"], columns={"mine": figures["mine"]})

    with Ledger.open(tmp_path / "ledger.jsonl") as ledger:
        runner = in_process(score)
        search(
            study.space,
            ledger,
            lookup(SAMPLERS, "sampler", sampler),
            runner,
            goal=goal,
            budget=Budget(candidates=18, batch=6),
            seed=3,
        )
        assert [outcome.candidate for outcome in ledger.outcomes] == [outcome.candidate for outcome in study._outcomes]


def test_none_is_asked_twice_and_the_same_calls_ask_the_same():
    one, other = (spikefront.Study("autosnn", ["mine:max", "spikes"], sampler="random", seed=1) for _ in range(2))
    first = one.ask(5) + one.ask(5)  # before any is told
    assert len(set(first)) == 10
    assert first == other.ask(5) + other.ask(5)
    for candidate in first:
        one.tell(candidate, worth(candidate))
    assert not set(one.ask(20)) & set(first)
    assert "10 told, 20 asked" in repr(one)


def test_a_small_space_is_asked_to_its_end():
    space = spikefront.space("autosnn")
    from spaces.fixed import with_fixed

    small = with_fixed(space, dict.fromkeys(list(space.blanks)[:4], "skip"))
    study = spikefront.Study(small, "mine:max", sampler="random")
    assert len(study.ask(9)) == 5
    assert study.ask(1) == []


def test_the_front_is_that_of_brute_force():
    study = spikefront.Study("autosnn", ("mine:max", "spikes"), sampler="random")
    filled(study, 4, 10)
    rows = study.candidates[["mine", "spikes"]].to_numpy()
    beaten = [
        any((other[0] >= row[0] and other[1] <= row[1]) and tuple(other) != tuple(row) for other in rows)
        for row in rows
    ]
    assert list(study.front.index) == [number for number, lost in enumerate(beaten) if not lost]
    assert {"param.slot1", "mine", "spikes", "state"} <= set(study.candidates)


def test_bounds_and_failures_keep_candidates_off_the_front():
    study = spikefront.Study("autosnn", ("mine:max",), sampler="random", constraints=["spikes<=20"])
    first, second, third = study.ask(3)
    study.tell(first, {"mine": 9, "spikes": 21})
    study.tell(second, error="out of memory")
    study.tell(third, {"mine": np.float32(1), "spikes": np.int64(20)})
    assert list(study.candidates.state) == ["infeasible", "failed", "ok"]
    assert list(study.front.index) == [2]
    assert study.candidates.error[1] == "out of memory"


def test_ones_own_candidates_can_be_told():
    study = spikefront.Study("autosnn", ("mine:max",))
    own = study.space.published["AutoSNN"]
    study.tell(own, {"mine": 1.0})
    assert spikefront.Candidate(own) not in study.ask(4)


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (lambda study, one: study.tell(one, {"spikes": 1}), "figure 'mine' is missing"),
        (lambda study, one: study.tell(one, {"mine": float("nan")}), "is no finite number"),
        (lambda study, one: study.tell(one, {"mine": "1"}), "is no finite number"),
        (lambda study, one: study.tell(one, {"mine": 1, "state": 2}), "has a place of its own"),
        (lambda study, one: study.tell(one), "neither figures nor an error"),
        (lambda study, one: (study.tell(one, {"mine": 1}), study.tell(one, {"mine": 1})), "was told before"),
        (lambda study, one: study.tell({**one, "slot9": "skip"}, {"mine": 1}), "unknown choice"),
        (lambda study, one: study.ask(0), "ask for 1 or more"),
    ],
)
def test_what_cannot_be_told_is_refused(do, said):
    study = spikefront.Study("autosnn", ("mine:max",), sampler="random")
    with pytest.raises(spikefront.SearchError, match=said):
        do(study, study.ask()[0])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (partial(spikefront.Study, "autosn"), "did you mean 'autosnn'"),
        (partial(spikefront.Study, "autosnn", ("mine",)), "mine"),
        (partial(spikefront.Study, "autosnn", sampler="randm"), "did you mean 'random'"),
        (partial(spikefront.Study, "autosnn", widht=3), "widht"),
        (partial(spikefront.Study, "autosnn", ("state:max",)), "has a place of its own"),
    ],
)
def test_a_study_that_cannot_be_is_refused(make, said):
    with pytest.raises(spikefront.SearchError, match=said):
        make()


def test_what_there_is_can_be_listed():
    assert {"autosnn", "everything"} <= set(spikefront.spaces())
    assert {"auto", "random", "tpe"} <= set(spikefront.samplers())
    space = spikefront.space("autosnn", width=8, timesteps=3)
    assert space.timesteps == 3
    network = space.network(
        TaskSpec(channels=1, height=16, width=16, classes=2), spikefront.Candidate(space.published["AutoSNN"])
    )
    assert sum(parameter.numel() for parameter in network.parameters()) > 0
