"""The predictor: known functions are predicted, noise is not, folds are sound, and a run keeps what was found."""

import csv
import json
import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.stats import kendalltau

import launch
from results.folder import create_or_open
from results.ledger import Outcome
from results.predicted import Forecast, Predicted, read_predicted, write_predicted
from results.report.page import write_report
from results.trust import agreement
from search.loop.goal import Goal
from search.predictor import FEWEST, MOST, cross_validate, deal, keep_predicted
from spaces.candidate import Candidate, Score
from spaces.checksums import without_checksum
from spaces.errors import RunError
from spaces.seeds import numpy_generator
from spaces.space import Space

GOAL = Goal(objectives=("accuracy", "spikes"))
SPACE = Space(
    name="made",
    about="",
    blanks={
        "op": CategoricalDistribution(("a", "b", "c")),
        "depth": IntDistribution(1, 9),
        "tau": FloatDistribution(1.0, 100.0, log=True),
    },
    timesteps=1,
    build=None,
)


def smooth(candidate):
    """A known function of all blanks: accuracy and spikes."""
    gain = {"a": 0.0, "b": 0.1, "c": 0.3}[candidate["op"]]
    accuracy = 0.2 + gain + 0.03 * candidate["depth"] + 0.02 * np.log(candidate["tau"])
    return float(accuracy), float(np.exp(candidate["depth"] / 2 + 3 * gain))


def outcomes(score, n=40, space=SPACE, seed=0):
    rng = numpy_generator(seed)
    found = []
    for number in range(n):
        candidate = space.sample(rng)
        accuracy, spikes = score(candidate)
        found.append(
            Outcome(number, 0, candidate, Score(state="ok", fidelity="supernet", accuracy=accuracy, spikes=spikes))
        )
    return found


def test_a_known_function_is_predicted():
    searched = outcomes(smooth)
    found = cross_validate(SPACE, searched, GOAL, seed=0)
    assert (found.searched, found.usable, found.used, found.why) == (40, 40, 40, "")
    assert [one.name for one in found.forecasts] == ["accuracy", "spikes"]
    assert [one.logarithm for one in found.forecasts] == [False, True]
    for one in found.forecasts:
        numbers, scored, guessed = zip(*one.points, strict=True)
        assert list(numbers) == list(range(40))
        assert list(scored) == [outcome.score.figure(one.name) for outcome in searched]
        assert one.found.tau == pytest.approx(kendalltau(scored, guessed).statistic)
        assert one.found.tau > 0.9
        assert one.found.low > 0.8
    _, spikes, guessed = zip(*found.forecasts[1].points, strict=True)
    assert np.median(np.abs(np.log(guessed) - np.log(spikes))) < 0.1  # in its own units


def test_noise_is_not_predicted():
    rng = np.random.default_rng(2)
    found = cross_validate(SPACE, outcomes(lambda candidate: (rng.random(), rng.random())), GOAL, seed=0)
    assert all(one.found.low <= 0 <= one.found.high for one in found.forecasts)


def test_a_part_is_predicted_without_its_own_scores():
    """Another figure for one candidate changes what is predicted for others, and not for those of its own part."""
    searched = outcomes(smooth, 30)
    values = np.array([outcome.score.accuracy for outcome in searched])
    own = next(set(fold.tolist()) for fold in deal(values, 5, numpy_generator(0, "predictor", "accuracy")) if 7 in fold)
    below = np.sort(values)[np.searchsorted(np.sort(values), values[7]) - 1]
    moved = Score(state="ok", fidelity="supernet", accuracy=(values[7] + below) / 2, spikes=searched[7].score.spikes)
    changed = [*searched[:7], Outcome(7, 0, searched[7].candidate, moved), *searched[8:]]
    before, after = (cross_validate(SPACE, one, GOAL, seed=0).forecasts[0].points for one in (searched, changed))
    same = {a[0] for a, b in zip(before, after, strict=True) if a[2] == b[2]}
    assert same == own


def test_features_are_used():
    """Where only a feature tells candidates' worth, it predicts, and blanks that cannot be learnt do not."""
    blanks = {f"bit{i}": CategoricalDistribution((0, 1)) for i in range(8)}

    def parity(candidate):
        return sum(candidate.values()) % 2 + 0.001 * candidate["bit0"]

    plain = Space(name="bits", about="", blanks=blanks, timesteps=1, build=None)
    told = Space(
        name="bits", about="", blanks=blanks, timesteps=1, build=None, features=lambda c: {"parity": parity(c)}
    )
    searched = outcomes(lambda candidate: (parity(candidate) / 2, 1.0), space=plain)
    taus = [cross_validate(space, searched, GOAL, seed=0).forecasts[0].found.tau for space in (plain, told)]
    assert taus[0] < 0.4 < 0.8 < taus[1]


def test_few_outcomes_and_constant_objectives_are_said_to_be_so():
    few = outcomes(smooth, FEWEST - 1) + [
        Outcome(
            FEWEST - 1 + n,
            0,
            Candidate({"op": "a", "depth": 1, "tau": 2.0 + n}),
            Score(state="failed", fidelity="supernet"),
        )
        for n in range(5)
    ]
    found = cross_validate(SPACE, few, GOAL, seed=0)
    assert (found.forecasts, found.usable) == ((), FEWEST - 1)
    assert found.why == "19 could be learnt from, 20 are needed"
    found = cross_validate(SPACE, outcomes(lambda candidate: (0.1, smooth(candidate)[1]), FEWEST), GOAL, seed=0)
    assert [one.why for one in found.forecasts] == ["it is the same for all", ""]
    assert found.forecasts[1].found.tau > 0.5


def test_a_long_history_is_capped():
    found = cross_validate(SPACE, outcomes(smooth, MOST + 40), Goal(objectives=("accuracy",)), seed=0)
    assert (found.usable, found.used, len(found.forecasts[0].points)) == (MOST + 40, MOST, MOST)


@given(st.lists(st.integers(0, 6).map(float), min_size=5, max_size=60), st.integers(2, 5), st.integers(0, 9))
def test_folds_are_disjoint_cover_all_and_are_alike(values, folds, seed):
    dealt = deal(np.array(values), folds, np.random.default_rng(seed))
    assert sorted(np.concatenate(dealt).tolist()) == list(range(len(values)))
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    for most in set(values):  # of the k least each fold has a k-th, but for one
        least = [sum(values[place] <= most for place in fold) for fold in dealt]
        assert max(least) - min(least) <= 1


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A search in a table of 27 networks."""
    folder = tmp_path_factory.mktemp("predictor")
    with (folder / "made.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "c", "val", "cost"])
        for a, b, c in product(range(3), repeat=3):
            writer.writerow([a, b, c, 50 + a + 3 * b - c / 2, a * b])
    args = ["--table", str(folder / "made.csv"), "--table-choices", "a,b,c", "--objectives", "val:max,cost:min"]
    assert launch.main([*args, "--sampler", "random", "--candidates", "24", "--out", str(folder / "run")]) == 0
    return folder / "run"


def test_a_run_keeps_it_and_the_page_says_it(run):
    stored = json.loads((run / "predictor.json").read_text())
    assert (stored["searched"], stored["used"]) == (24, 24)
    page = (run / "report.html").read_text()
    tau = kendalltau(*zip(*[point[1:] for point in stored["forecasts"][0]["points"]], strict=True)).statistic
    assert f"(tau {tau:.2f}, 95 % interval" in page
    assert page.count("<title>Candidate ") == 2 * 24


@pytest.mark.parametrize("loss", ["gone", "torn", "of fewer"])
def test_what_is_lost_is_made_anew_to_the_byte(run, loss, capsys):
    path = run / "predictor.json"
    before = path.read_bytes()
    if loss == "gone":
        path.unlink()
    elif loss == "torn":
        path.write_bytes(before[:40])
        assert launch.main(["report", str(run)]) == 2
        assert "remove it and resume" in capsys.readouterr().err
    else:
        path.write_text(json.dumps(without_checksum(json.loads(before)) | {"searched": 20}))
    assert launch.main(["resume", str(run)]) == 0
    assert path.read_bytes() == before


def test_what_is_whole_is_left_as_it_is(run):
    path = run / "predictor.json"
    before = path.stat().st_mtime_ns
    assert launch.main(["resume", str(run)]) == 0
    assert path.stat().st_mtime_ns == before


@pytest.fixture
def folder(tmp_path):
    return create_or_open(tmp_path / "run", config={"match": {"objectives": GOAL.spelled}})


def test_what_is_not_known_is_said(folder):
    assert "can be predicted</h2>" not in write_report(folder).read_text()  # the search has not ended
    keep_predicted(folder, SPACE, outcomes(smooth, 3), GOAL, 0)
    assert "Not known: of 3 candidates 3 could be learnt from, 20 are needed." in write_report(folder).read_text()
    keep_predicted(folder, SPACE, outcomes(lambda candidate: (0.5, smooth(candidate)[1]), 25), GOAL, 0)
    page = write_report(folder).read_text()
    assert "There is nothing to predict of validation accuracy: it is the same for all." in page
    assert "Ranked by spikes, " in page


def test_a_tau_that_is_not_defined_is_kept_and_shown(folder):
    equal = Forecast(name="spikes", points=[(0, 1.0, 5.0), (1, 2.0, 5.0)], found=agreement([1, 2], [5, 5]))
    assert math.isnan(equal.found.tau)
    write_predicted(folder, Predicted(searched=2, usable=2, used=2, folds=2, forecasts=(equal,)))
    assert math.isnan(read_predicted(folder).forecasts[0].found.tau)
    assert "Ranked by spikes, no two of them can be told apart." in write_report(folder).read_text()


@pytest.mark.parametrize("change", [{"used": None}, {"forecasts": [1]}, {"forecasts": [{"name": "a"}]}, {"why": ...}])
def test_a_damaged_file_is_one_line(folder, change):
    keep_predicted(folder, SPACE, outcomes(smooth, 3), GOAL, 0)
    stored = without_checksum(json.loads(folder.predictor.read_text())) | change
    folder.predictor.write_text(json.dumps({name: value for name, value in stored.items() if value is not ...}))
    with pytest.raises(RunError, match=r"predictor.json' is damaged .* remove it and resume"):
        write_report(folder)
