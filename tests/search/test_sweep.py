"""Sweeps: who is stopped, what a sampler sees, kills at any moment, and the command line."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import launch
from evaluators.building import build_alone, set_initial
from evaluators.checkpoint import load_weights, read_tensors
from evaluators.evaluation import evaluate, recalibrate
from evaluators.inherited import score_from_supernet
from evaluators.plan import Plan
from evaluators.prefix import PrefixCache
from evaluators.training import fit
from results.folder import RunFolder
from results.ledger import Ledger, Outcome, read
from results.trust import agreement, in_words
from search.loop.goal import Goal
from search.loop.loop import Budget, search
from search.options.config import configure, from_json
from search.options.needs import check_effect
from search.samplers.random import sample
from search.work.finalists import Training
from search.work.prepare import prepare_setting
from search.work.sweep import complete_only, room_of, trainer, with_supernet
from spaces.candidate import Candidate, Score
from spaces.checksums import without_checksum
from spaces.errors import OptionError
from spaces.seeds import derive, torch_generator
from spaces.weights import inherit

ROOT = Path(__file__).parents[2]
GOAL = Goal(objectives=("accuracy", "spikes"))
SMALL = [
    "--width",
    "3",
    "--timesteps",
    "2",
    "--candidates",
    "8",
    "--batch",
    "4",
    "--train-epochs",
    "3",
    "--threads",
    "1",
]
SMALL += ["--finalists", "2", "--batch-size", "16", "--no-compile", "--head-gain", "4", "--sampler", "evolution"]


class Killed(Exception):
    """Stands for a kill."""


def made_up(candidate, epochs):
    """What a candidate is worth after so many epochs: better with each, by a pace of its own."""
    rng = np.random.default_rng([*candidate.key.encode()])
    start, pace, spikes = rng.random(3)
    return Score(state="ok", fidelity="trained", accuracy=start * (1 - 0.5 ** (pace * epochs)), spikes=100 * spikes)


def untrained(candidate):
    """What a made-up proxy says, which has nothing to do with what training will."""
    worth, spikes = np.random.default_rng([1, *candidate.key.encode()]).random(2)
    return Score(state="ok", fidelity="proxy", spikes=spikes, columns={"sahd": worth, "synflow": -worth})


def swept(setting, path, *, moment=None, stops=True, epochs=4, proxy="none", look=untrained):
    """A sweep of 12 by batches of 6, killed when the ``moment``-th score is due; gives trainings that were begun."""
    folder = RunFolder(path)
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    asked = []

    def carry(finalists, until):
        for one in finalists:
            asked.append((one.outcome.number, until))
            if len(asked) == moment:
                raise Killed
            yield made_up(one.outcome.candidate, until)

    training = Training(
        setting=setting, supernet=None, plan=Plan(epochs=epochs), inherited=False, goal=GOAL, folder=folder, match="x"
    )
    with Ledger.open(folder.ledger) as ledger:
        options = {"stops": stops, "proxy": proxy}
        runner = trainer(training, ledger, carry, lambda *words: lambda done, total: None, look, **options)
        try:
            search(setting.space, ledger, sample, runner, goal=GOAL, budget=Budget(candidates=12, batch=6), seed=0)
        except Killed:
            return None, asked
        return list(ledger.outcomes), asked


def dominates(one, other):
    return one != other and one[0] >= other[0] and one[1] <= other[1]


def test_who_is_stopped_by_hand(setting, tmp_path):
    outcomes, asked = swept(setting, tmp_path)
    assert [outcome.number for outcome in outcomes] == list(range(12))
    for first in (0, 6):
        left = list(range(first, first + 6))
        for epochs in (1, 2):
            values = {n: made_up(outcomes[n].candidate, epochs) for n in left}
            values = {n: (score.accuracy, score.spikes) for n, score in values.items()}
            front = {n for n in left if not any(dominates(values[m], values[n]) for m in left)}
            on = [n for n in left if f"stopped after {epochs} of 4" not in outcomes[n].score.error]
            assert front <= set(on)
            assert len(on) == max(-(-len(left) // 2), len(front))
            for n in set(left) - set(on):
                assert replace(outcomes[n].score, state="ok", error="") == made_up(outcomes[n].candidate, epochs)
                assert outcomes[n].score.state == "pruned"
            left = on
        assert [outcomes[n].score for n in left] == [made_up(outcomes[n].candidate, 4) for n in left]
    assert any(outcome.score.state == "pruned" for outcome in outcomes)
    assert len(asked) == len(set(asked))


def test_who_is_stopped_untrained_by_hand(setting, tmp_path):
    outcomes, asked = swept(setting, tmp_path, proxy="sahd")
    for first in (0, 6):
        batch = outcomes[first : first + 6]
        seen = [untrained(outcome.candidate) for outcome in batch]
        values = [(score.columns["sahd"], score.spikes) for score in seen]
        stopped = [outcome.score.fidelity == "proxy" for outcome in batch]
        assert sum(stopped) == 3
        left, layers = list(range(6)), []
        while left:
            layers.append([n for n in left if not any(dominates(values[m], values[n]) for m in left)])
            left = [n for n in left if n not in layers[-1]]
        rank = {n: level for level, layer in enumerate(layers) for n in layer}
        assert max(rank[n] for n in range(6) if not stopped[n]) <= min(rank[n] for n in range(6) if stopped[n])
        for n in range(6):
            assert batch[n].score.columns == seen[n].columns
            if stopped[n]:
                assert (batch[n].score.state, batch[n].score.accuracy) == ("pruned", None)
                assert "by sahd" in batch[n].score.error
                assert first + n not in {number for number, _ in asked}


def test_without_stops_a_proxy_is_told_only(setting, tmp_path):
    outcomes, asked = swept(setting, tmp_path, proxy="synflow", stops=False)
    assert asked == [(number, 4) for number in range(12)]
    assert all(o.score.columns == untrained(o.candidate).columns for o in outcomes)


def test_what_cannot_be_looked_at_is_not_trained(setting, tmp_path):
    lost = Score(state="failed", fidelity="proxy", error="made to fail")
    outcomes, asked = swept(setting, tmp_path, proxy="sahd", look=lambda candidate: lost)
    assert not asked
    assert [outcome.score for outcome in outcomes] == [lost] * 12


@pytest.mark.parametrize(
    ("proxy", "moment"), [("none", n) for n in range(1, 20, 2)] + [("sahd", n) for n in range(1, 16, 2)]
)
def test_killed_at_any_score_and_gone_on_with_ends_the_same(setting, tmp_path, moment, proxy):
    whole, _ = swept(setting, tmp_path / "whole", proxy=proxy)
    cut, _ = swept(setting, tmp_path / "run", moment=moment, proxy=proxy)
    recorded = (tmp_path / "run" / "ledger.jsonl").read_bytes()
    again, asked = swept(setting, tmp_path / "run", proxy=proxy)
    assert cut is None
    assert again == whole
    assert (tmp_path / "run" / "ledger.jsonl").read_bytes().startswith(recorded)
    assert not {number for number, until in asked if until == 4} & set(range(recorded.count(b"\n")))


def test_without_stops_all_are_trained_to_the_end(setting, tmp_path):
    outcomes, asked = swept(setting, tmp_path, stops=False)
    assert asked == [(number, 4) for number in range(12)]
    assert all(outcome.score.state == "ok" for outcome in outcomes)


def test_a_sampler_never_sees_what_a_stopped_candidate_was_worth():
    ok = Score(state="ok", fidelity="trained", accuracy=0.5, spikes=3.0, seconds=1.0)
    history = [
        Outcome(n, 0, Candidate({"x": n}), replace(ok, state=s)) for n, s in enumerate(("ok", "pruned", "failed"))
    ]
    seen = []
    complete_only(lambda space, history, *rest: seen.extend(history) or [])(None, history, 1, 0, GOAL)
    assert [outcome.candidate for outcome in seen] == [outcome.candidate for outcome in history]
    assert (seen[0], seen[2]) == (history[0], history[2])
    assert (seen[1].score.state, seen[1].score.accuracy, seen[1].score.spikes) == ("pruned", None, None)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from(["ok", "infeasible", "failed"]))))
def test_there_is_room_for_half_and_for_the_front(rows):
    scores = [Score(state=state, fidelity="trained", accuracy=a / 4, spikes=float(s)) for a, s, state in rows]
    measured = [Outcome(n, 0, Candidate({"x": n}), score) for n, score in enumerate(scores)]
    points = [(score.accuracy, score.spikes) for score in scores if score.state == "ok"]
    front = sum(not any(dominates(other, point) for other in points) for point in points)
    assert room_of(GOAL)(measured, 1) == max((len(rows) + 1) // 2, front)


@pytest.fixture(scope="module")
def here(data, tmp_path_factory):
    """A sweep over two seeds in this process, one after the other."""
    out = tmp_path_factory.mktemp("sweeps") / "here"
    assert (
        launch.main(
            ["sweep", "--runner", "in-process", "--data", str(data), *SMALL, "--seeds", "0,1", "--out", str(out)]
        )
        == 0
    )
    return out


def digest(run):
    """All that equal runs share: every table cell but seconds, and every byte of the finalists' weights."""
    with (run / "candidates.csv").open() as file:
        rows = [{name: cell for name, cell in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    stored = {}
    for home in sorted((run / "finalists").iterdir()):
        metrics = without_checksum(json.loads((home / "metrics.json").read_text()))
        metrics.pop("seconds")
        stored[home.name] = metrics, (home / "weights.safetensors").read_bytes()
    return rows, stored


def test_a_sweep_leaves_a_run_for_each_seed(here, capsys):
    names = sorted(path.name for path in here.iterdir() if path.name != ".lock")
    assert names == ["autosnn-sides-seed0", "autosnn-sides-seed1", "sweep.json"]
    fillings = []
    for run in (here / "autosnn-sides-seed0", here / "autosnn-sides-seed1"):
        rows, stored = digest(run)
        fillings.append([row["param.slot1"] for row in rows])
        assert len(rows) == 8
        assert {row["fidelity"] for row in rows} == {"trained"}
        assert {"ok", "pruned"} == {row["state"] for row in rows}
        assert 1 <= len(stored) <= 2
        for number, (metrics, _) in stored.items():
            row = rows[int(number)]
            assert row["state"] == "ok"
            assert float(row["accuracy"]) == metrics["val_accuracy"]
            assert (metrics["supernet"], metrics["epochs"]) == (None, 3)
        assert not list((run / "checkpoints").iterdir())
        assert "There was no supernet" not in (run / "report.html").read_text()
        assert "All were trained alone; there was no supernet." in (run / "report.html").read_text()
    before = [digest(run) for run in sorted(here.glob("auto*"))]
    assert fillings[0] != fillings[1]
    assert launch.main(["resume", str(here), "--runner", "in-process"]) == 0
    assert [digest(run) for run in sorted(here.glob("auto*"))] == before
    assert capsys.readouterr().out.count("8 candidates scored") == 2


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--seeds", "0,x"], "--seeds '0,x': write numbers with commas"),
        (["--runner", "in-process", "--log", "tensorboard"], "--log tensorboard is of trainings by Ray Tune"),
        (["--log", "paper"], "unknown value 'paper'"),
        (["--table", "a.csv"], "--table"),
        (["--train-epochs", "0"], "--train-epochs 0 is out of range"),
        (["--proxy", "synflo"], "did you mean 'synflow'?"),
        (
            ["--supernet-epochs", "3"],
            "--supernet-epochs 3 is of a supernet, which a sweep has with --proxy supernet alone",
        ),
        (["--proxy", "sahd", "--objectives", "spikes,energy_nj"], "--proxy sahd stands for accuracy"),
        (["--train-weights", "inherited"], "--train-weights inherited are a supernet's: add --proxy supernet"),
        (["--proxy", "supernet", "--train-weights", "old"], "--train-weights: invalid choice: 'old'"),
        (["--runner", "in-process", "--storage", "nowhere://x", *SMALL], "--storage"),
    ],
)
def test_bad_input_is_one_line(args, words, capsys, tmp_path):
    assert launch.main(["sweep", *args, "--out", str(tmp_path / "run")]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1


def test_a_search_by_a_supernet_has_no_proxy():
    with pytest.raises(OptionError, match="--proxy sahd is of a sweep"):
        check_effect([configure(proxy="sahd")], ["proxy"])


def test_a_sweep_with_a_proxy_tells_how_each_ranked(data, tmp_path):
    """Columns for all; the stopped have no accuracy and cost no training; the report judges every proxy."""
    out = tmp_path / "run"
    options = ["--proxy", "synflow", "--runner", "in-process", "--data", str(data), *SMALL, "--no-racing"]
    assert launch.main(["sweep", *options, "--out", str(out)]) == 0
    rows, _ = digest(out)
    assert all(row[name] for row in rows for name in ("sahd", "naswot", "synflow"))
    assert {row["fidelity"] for row in rows} == {"trained"}
    text = (out / "report.html").read_text()
    assert "How far proxies can be trusted" in text
    ranked = agreement([float(row["sahd"]) for row in rows], [float(row["accuracy"]) for row in rows])
    assert in_words(ranked, "sahd") in text
    assert "stopped are not among them" not in text


def test_a_look_with_a_supernet_is_its_score_as_a_column(setting):
    supernet, cache = setting.space.network(setting.task.spec), PrefixCache(16)
    set_initial(supernet, replace(setting.recipe, head_gain=8.0), torch_generator(0))
    asked = []

    def look(candidate):
        asked.append(candidate)
        return replace(untrained(candidate), state="failed" if len(asked) == 3 else "ok")

    looked = with_supernet(look, setting, supernet, cache)
    for number, candidate in enumerate(setting.space.sample(np.random.default_rng(seed)) for seed in range(3)):
        seen, scored = looked(candidate), score_from_supernet(setting, supernet, candidate)
        if number == 2:
            assert seen == replace(untrained(candidate), state="failed")
            continue
        assert seen.columns == {**untrained(candidate).columns, "supernet": scored.accuracy}
        assert (seen.spikes, seen.energy_nj, seen.fidelity) == (scored.spikes, scored.energy_nj, "supernet")
        assert (seen.state, seen.accuracy) == ("ok", None)


def test_a_sweep_whose_supernet_stops_half_trains_the_other_half_alone(data, tmp_path):
    """Killed once the supernet is there, it goes on with that."""
    out, options = tmp_path / "run", ["--proxy", "supernet", "--supernet-epochs", "1", "--runner", "in-process"]
    assert launch.main(["sweep", *options, "--data", str(data), *SMALL, "--out", str(out)]) == 0
    rows, stored = digest(out)
    stopped = [row for row in rows if row["fidelity"] == "supernet"]
    assert len(stopped) == 4
    for row in stopped:
        assert (row["state"], row["accuracy"]) == ("pruned", "")
        assert "by supernet" in row["error"]
    assert all(row[name] for row in rows for name in ("sahd", "naswot", "synflow", "supernet"))
    assert {row["fidelity"] for row in rows if row["state"] == "ok"} == {"trained"}
    text = (out / "report.html").read_text()
    assert "All were trained alone; a supernet only said who was worth it." in text
    assert "Those that supernet stopped are not among them" in text
    supernet, ledger = (out / "supernet.safetensors").stat().st_mtime_ns, out / "ledger.jsonl"
    ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:5]))
    assert launch.main(["resume", str(out)]) == 0
    assert digest(out) == (rows, stored)
    assert (out / "supernet.safetensors").stat().st_mtime_ns == supernet  # read, not trained


def test_a_sweep_from_inherited_weights_trains_what_the_supernet_hands_down(data, tmp_path):
    """Each score is what the candidate's network has after so many epochs from those weights, and no others."""
    out, options = tmp_path / "run", ["--proxy", "supernet", "--supernet-epochs", "2", "--train-weights", "inherited"]
    options += ["--runner", "in-process", "--no-racing", "--data", str(data), *SMALL]
    assert launch.main(["sweep", *options, "--out", str(out)]) == 0
    assert "each began with the weights of a supernet" in (out / "report.html").read_text()
    folder = RunFolder(out)
    kept = folder.read_config()
    _, setting, _ = prepare_setting(from_json(kept["config"]))
    supernet = setting.space.network(setting.task.spec)
    load_weights(supernet, read_tensors(folder.supernet, match=kept["hash"])[0])
    plan = replace(setting.recipe.plan, epochs=3, time_schedule=())
    for outcome in read(folder.ledger)[0][:3]:
        network = build_alone(setting, outcome.candidate)
        inherit(network, supernet)
        fit(network, setting.task, plan, seed=derive(setting.seed, "finalist", outcome.number))
        recalibrate(network, setting.task, samples=128, seed=setting.seed)
        mine = evaluate(network, setting.task, setting.task.validation)
        assert (outcome.score.accuracy, outcome.score.spikes) == (mine.accuracy, mine.counts.mean("spikes"))


@pytest.mark.ray
def test_a_sweep_on_ray_killed_with_9_trains_nothing_twice_and_ends_as_in_process(here, data, tmp_path):
    out = tmp_path / "autosnn-sides-seed0"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    options = [*SMALL, "--workers", "2", "--object-store-mb", "128", "--out", str(out)]
    command = [sys.executable, "-W", "ignore", "launch.py", "sweep", "--data", str(data), *options]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT, "env": environment}

    def recorded():
        return (out / "ledger.jsonl").read_bytes() if (out / "ledger.jsonl").exists() else b""

    process = subprocess.Popen(command, **quiet)
    while process.poll() is None and recorded().count(b"\n") < 5:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = recorded()
    files = {path: path.stat().st_ino for path in (out / "checkpoints").iterdir()}
    done = {number for number in range(8) if f'"number":{number},'.encode() in kept}
    process, touched = subprocess.Popen([*command[:4], "resume", str(out)], **quiet), set()
    while process.poll() is None:
        touched |= {p.name for p in (out / "checkpoints").iterdir() if inode_of(p) not in (None, files.get(p))}
        time.sleep(0.005)
    assert process.wait() == 0
    assert recorded().startswith(kept)
    assert digest(out) == digest(here / "autosnn-sides-seed0")
    assert done
    assert not touched & {f"finalist-{number}.safetensors" for number in done}


def inode_of(path):
    """None for a file that has been dropped meanwhile."""
    try:
        return path.stat().st_ino
    except OSError:
        return None
