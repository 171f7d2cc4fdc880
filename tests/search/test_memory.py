"""Memory that runs short: a run stops and goes on, and only a candidate that is too large by itself is passed over."""

from dataclasses import replace

import pytest
from optuna.distributions import IntDistribution

from results.ledger import Ledger, Outcome, read
from search.loop.goal import Goal
from search.loop.loop import Budget, in_process, search
from search.loop.memory import AGAIN, fitting, freeing, is_open, repeats, settled
from search.samplers import SAMPLERS
from spaces import lookup
from spaces.candidate import Candidate, Score
from spaces.space import Space

GOAL = Goal(objectives=("accuracy", "spikes"))
SPACE = Space(
    name="made", about="", blanks={"a": IntDistribution(0, 9), "b": IntDistribution(0, 9)}, build=None, timesteps=1
)
SHORT = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"


@pytest.fixture(autouse=True)
def nothing_to_free(monkeypatch):
    """Collecting the garbage of all that the tests have loaded takes long."""
    monkeypatch.setattr("search.loop.memory.free_memory", lambda: None)


class Machine:
    """Scores candidates in so much memory, of which each takes ``a``, and what is kept for later takes some, too."""

    def __init__(self, room, kept=0):
        self.room, self.kept, self.scored = room, kept, []

    def free(self):
        self.kept = 0

    def score(self, candidate, told=None):
        self.scored.append(candidate)
        if candidate["a"] + self.kept > self.room:
            raise RuntimeError(SHORT)
        return Score(state="ok", fidelity="supernet", accuracy=candidate["a"] / 9, spikes=float(candidate["b"]))


def sizes(*numbers):
    return [Candidate({"a": number, "b": place}) for place, number in enumerate(numbers)]


def states(runner, candidates, history=()):
    return [score.state for score in runner(candidates, history)]


def searched(path, machine, candidates=30, batch=6):
    with Ledger.open(path) as ledger:
        runner = in_process(freeing(machine.score, machine.free))
        budget = Budget(candidates=candidates, batch=batch)
        search(SPACE, ledger, lookup(SAMPLERS, "sampler", "random"), runner, goal=GOAL, budget=budget, seed=0)
        return list(ledger.outcomes)


@pytest.mark.parametrize("place", [0, 2, 4])
def test_the_one_that_is_too_large_is_failed_and_all_others_are_scored(place):
    candidates = sizes(*(9 if number == place else 1 for number in range(5)))
    scores = list(in_process(Machine(room=5).score)(candidates, ()))
    assert [score.state for score in scores] == ["failed" if n == place else "ok" for n in range(5)]
    assert is_open(scores[place])
    assert scores[place].error.startswith("it alone needs more memory than there is, others fit (RuntimeError: Default")
    assert scores[place].error.endswith(AGAIN)


def test_where_none_fits_any_more_the_error_is_raised_and_what_was_scored_is_told():
    machine, told = Machine(room=5), []
    with pytest.raises(RuntimeError, match="allocate"):  # noqa: PT012
        for score in in_process(machine.score)(sizes(1, 2, 3), ()):
            told.append(score)
            machine.room = 0
    assert len(told) == 1


def test_a_known_candidate_tells_whose_fault_it_is():
    history = [Outcome(0, 0, sizes(2)[0], Score(state="ok", fidelity="supernet"))]
    assert states(in_process(Machine(room=2).score), sizes(9), history) == ["failed"]
    with pytest.raises(RuntimeError, match="allocate"):
        states(in_process(Machine(room=1).score), sizes(9, 0), history)  # though the other would fit


def test_what_is_kept_for_later_goes_before_anyone_is_failed():
    machine = Machine(room=9, kept=5)
    assert states(in_process(freeing(machine.score, machine.free)), sizes(9, 1)) == ["ok", "ok"]
    assert len(machine.scored) == 3  # the first one twice


def test_other_errors_are_raised_at_once():
    calls = []

    def attempt(one):
        calls.append(one)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fitting(attempt, 1, [2, 3], fidelity="supernet")
    assert calls == [1]


def test_a_search_that_ran_short_goes_on_as_if_it_had_not(tmp_path):
    whole = searched(tmp_path / "whole.jsonl", Machine(room=9))
    machine = Machine(room=9)
    real = machine.score

    def score(candidate, told=None):
        if len(machine.scored) == 13:
            machine.room = -1
        return real(candidate, told)

    machine.score = score
    with pytest.raises(RuntimeError, match="allocate"):
        searched(tmp_path / "ledger.jsonl", machine)
    assert len(read(tmp_path / "ledger.jsonl")[0]) == 13
    assert searched(tmp_path / "ledger.jsonl", Machine(room=9)) == whole


def test_a_resume_with_more_memory_tries_the_large_ones_again(tmp_path):
    path = tmp_path / "ledger.jsonl"
    short = searched(path, Machine(room=6), candidates=15)
    large = [outcome for outcome in short if is_open(outcome.score)]
    assert 0 < len(large) < len(short) == 15
    assert all((outcome.candidate["a"] > 6) == is_open(outcome.score) for outcome in short)
    before = path.read_bytes()
    assert searched(path, Machine(room=6), candidates=15) == short  # with as little they stay as they are
    assert path.read_bytes() == before
    more = searched(path, Machine(room=9), candidates=15)
    assert more[:15] == short
    assert [outcome.candidate for outcome in more[15:]] == [outcome.candidate for outcome in large]
    assert all(outcome.score.state == "ok" for outcome in more[15:])
    assert repeats(more) == {outcome.number for outcome in more[15:]}
    assert len(settled(more)) == 15
    assert not any(is_open(outcome.score) for outcome in settled(more))
    assert searched(path, Machine(room=9), candidates=15) == more  # once


@pytest.mark.parametrize("cut", [3, 19, 21, 28])
def test_cut_at_any_line_and_gone_on_with_ends_the_same(tmp_path, cut):
    """A try is no candidate of its own to the budget, and what follows it depends on it."""
    path = tmp_path / "ledger.jsonl"
    searched(path, Machine(room=6), candidates=18)
    whole = searched(path, Machine(room=9), candidates=27)
    tries = repeats(whole)
    assert len(tries) >= 3
    assert len({outcome.candidate for outcome in whole if outcome.number not in tries}) == 27 == len(whole) - len(tries)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:cut]))
    again = searched(path, Machine(room=9), candidates=27)
    assert len({outcome.candidate for outcome in again}) == 27
    assert not any(is_open(outcome.score) for outcome in settled(again))
    assert again == whole or cut < 18  # where a batch was cut, it is scored with what memory there is now


def test_a_failed_candidate_is_no_open_one():
    score = Score(state="failed", fidelity="supernet", error="boom")
    assert not is_open(score)
    assert is_open(replace(score, error=f"boom{AGAIN}"))
    assert not is_open(replace(score, state="ok", error=f"boom{AGAIN}"))
