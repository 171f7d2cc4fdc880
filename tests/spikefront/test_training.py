"""One given architecture, trained: by Python and by the command line, under one seed and several."""

import json
import statistics
from functools import partial

import numpy as np
import pytest
from PIL import Image

import launch
import spikefront

SMALL = {"width": 4, "timesteps": 2, "threads": 1, "compile": False, "batch_size": 16, "head_gain": 4}
FLAGS = ["--width", "4", "--timesteps", "2", "--threads", "1", "--no-compile", "--batch-size", "16", "--head-gain", "4"]
CELL = {"slot1": "skip", "slot2": "SCB_k3", "slot3": "skip", "slot4": "skip", "slot5": "SRB_k3"}


@pytest.fixture(scope="module")
def two(tmp_path_factory, npz):
    steps = []
    out = tmp_path_factory.mktemp("trained") / "two"
    done = spikefront.train(
        "autosnn", CELL, npz, epochs=3, seeds=(0, 4), out=out, progress=lambda *one: steps.append(one), **SMALL
    )
    return done, steps, out


def test_several_seeds_have_mean_spread_and_curves(two):
    done, steps, out = two
    assert [run.options["seed"] for run in done.runs] == [0, 4]
    assert all(one.candidate == spikefront.Candidate(CELL) for one in done.finalists)
    stored = [one.metrics for one in done.finalists]
    assert stored[0]["curve"] != stored[1]["curve"]
    for name in ("test_accuracy", "val_accuracy", "spikes", "energy_nj"):
        values = [metrics[name] for metrics in stored]
        assert list(done.table[name]) == values
        assert done.figures.loc[name, "mean"] == pytest.approx(np.mean(values))
        assert done.figures.loc[name, "spread"] == pytest.approx(statistics.stdev(values))
    assert list(done.curves.columns) == ["seed", "epoch", "loss"]
    assert list(done.curves.loss) == [point["loss"] for metrics in stored for point in metrics["curve"]]
    kept = json.loads((out / "trained.json").read_text())
    assert kept["figures"]["spikes"]["values"] == [metrics["spikes"] for metrics in stored]
    assert "2 seeds: test " in repr(done)
    assert max(done for title, done, _ in steps if title == "training") == 3 * 6  # of 96 samples, 16 a step


def test_a_training_that_is_there_is_gone_on_with(two, npz):
    done, _, out = two
    ledger = (done.runs[0].path / "ledger.jsonl").read_bytes()
    again = spikefront.train("autosnn", CELL, npz, epochs=3, seeds=(0, 4), out=out, **SMALL)
    assert again == done
    assert (done.runs[0].path / "ledger.jsonl").read_bytes() == ledger
    with pytest.raises(spikefront.RunError, match="holds another sweep"):
        spikefront.train("autosnn", CELL, npz, epochs=4, seeds=(0, 4), out=out, **SMALL)


def test_one_seed_is_one_run_with_the_same_network(two, npz, tmp_path):
    one = spikefront.train("autosnn", CELL, npz, epochs=3, seeds=[4], out=tmp_path / "one", **SMALL)
    assert [run.path for run in one.runs] == [tmp_path / "one"]
    assert one.finalists[0].metrics["curve"] == two[0].finalists[1].metrics["curve"]
    assert one.finalists[0].metrics["test_accuracy"] == two[0].finalists[1].metrics["test_accuracy"]
    assert np.isnan(one.figures.loc["spikes", "spread"])


def test_a_training_that_was_cut_off_goes_on_at_its_last_epoch(two, npz, tmp_path):
    told = []

    def stop(title, done, total):
        told.append((title, done))
        if len(told) == 12 + 3:  # in the third epoch, of 6 steps each
            raise KeyboardInterrupt

    train = partial(spikefront.train, "autosnn", CELL, npz, epochs=3, seeds=[4], out=tmp_path / "one", **SMALL)
    with pytest.raises(KeyboardInterrupt):
        train(progress=stop)
    assert list((tmp_path / "one" / "checkpoints").iterdir())
    steps = []
    done = train(progress=lambda title, done, total: steps.append(done) if title == "training" else None)
    assert min(steps) > 6
    wanted = two[0].finalists[1].metrics
    got = done.finalists[0].metrics
    assert {**got, "seconds": 0} == {**wanted, "seconds": 0}


def test_several_runs_are_not_resumed_as_one(two):
    with pytest.raises(spikefront.RunError, match="holds several runs: call sweep or train as before"):
        spikefront.resume(two[2])


def test_a_sweep_is_a_list_of_runs(npz, tmp_path):
    options = {**SMALL, "runner": "in-process", "candidates": 2, "batch": 2, "finalists": 1, "train_epochs": 1}
    runs = spikefront.sweep(data=npz, seed=[0, 1], out=tmp_path / "sweep", sampler="random", **options)
    assert [run.options["seed"] for run in runs] == [0, 1]
    assert all(len(run.candidates) == 2 for run in runs)
    assert all((run.candidates.fidelity == "trained").all() for run in runs)


def test_a_candidate_of_a_run_brings_its_space_and_data(run, tmp_path):
    best = run.finalists[0]
    done = spikefront.train("autosnn", best, epochs=1, out=tmp_path / "more", threads=1, compile=False, batch_size=16)
    found = done.runs[0].options
    assert (found["width"], found["timesteps"], found["data"]) == (4, 2, run.options["data"])
    assert found["fix"] == tuple(f"{name}={value}" for name, value in best.candidate.items())


@pytest.mark.parametrize(
    ("candidate", "said"),
    [
        ({**CELL, "slot6": "skip"}, "unknown choice of space 'autosnn' 'slot6' .did you mean 'slot5'"),
        (
            {name: CELL[name] for name in list(CELL)[:4]},
            "leaves choice 'slot5' of space 'autosnn' empty; choose one of skip",
        ),
        ({**CELL, "slot1": "SRB_k4"}, "cannot be 'SRB_k4' .did you mean 'SRB_k5'"),
        ("published:AutoSN", "did you mean 'AutoSNN'"),
        ("AutoSNN", "cannot be read .*: give published:NAME"),
        ("[1]", "is no object: give published:NAME"),
        ("{", "cannot be read"),
        ("nowhere#3", "no folder 'nowhere'"),
    ],
)
def test_a_candidate_that_is_none_is_refused(candidate, said, tmp_path, capsys):
    with pytest.raises(spikefront.SearchError, match=said):
        spikefront.train("autosnn", candidate, out=tmp_path / "run")
    text = candidate if isinstance(candidate, str) else json.dumps(candidate)
    assert launch.main(["train", "--space", "autosnn", "--candidate", text, "--out", str(tmp_path / "run")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_options_that_a_training_has_not_are_refused(tmp_path):
    for options, said in (
        ({"candidates": 3}, "it is of search"),
        ({"epochs": "3"}, "give a whole number"),
        ({"seeds": ()}, "seeds are empty"),
        ({"seeds": ["1"]}, "seed='1' is of another type: give a whole number"),
        ({"seeds": [-1]}, "--seed -1 is out of range"),
    ):
        with pytest.raises(spikefront.OptionError, match=said):
            spikefront.train("autosnn", CELL, out=tmp_path / "run", **options)


def test_the_verbs_train_score_and_predict(npz, images, tmp_path, capsys):
    out = tmp_path / "run"
    train = ["train", "--space", "autosnn", "--candidate", json.dumps(CELL), "--data", str(npz), "--epochs", "3"]
    assert launch.main([*train, "--seeds", "0,4", "--out", str(out), *FLAGS]) == 0
    said = capsys.readouterr().out
    assert "2 seeds: test " in said.splitlines()[-1]
    assert said.splitlines()[-1].count("±") == 4
    (one, _) = sorted(path for path in out.iterdir() if path.is_dir())
    metrics = json.loads((one / "finalists" / "0" / "metrics.json").read_text())

    assert launch.main(["score", f"{one}#0", "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["accuracy"] == metrics["test_accuracy"]
    assert launch.main(["score", f"{one}#0", "--split", "validation", "--data", str(npz)]) == 0
    said = capsys.readouterr().out
    assert f"accuracy {metrics['val_accuracy']:.4f}" in said
    assert f"{metrics['energy_nj']:,.1f} nJ" in said

    files = []
    for number in range(4):
        files.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(images[0][128 + number]).save(files[-1])
    assert launch.main(["predict", f"{one}#0", *files, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["file"] for row in rows] == files
    assert all(
        row["probabilities"][row["class"]] == row["probability"] == max(row["probabilities"].values()) for row in rows
    )
    assert launch.main(["predict", f"{one}#0", *files]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["file", "class", "probability"]
    assert [line.split() for line in lines[1:]] == [
        [row["file"], row["class"], f"{row['probability']:.4f}"] for row in rows
    ]

    for args, said in (
        (["predict", str(one), files[0]], "names no finalist: write RUN#N"),
        (["predict", f"{one}#7", files[0]], "has no trained finalist 7: it has 0"),
        (["predict", f"{one}#0"], "the following arguments are required: FILE"),
        (["score", f"{one}#0", "--splt", "test"], "did you mean '--split'"),
    ):
        assert launch.main(args) == 2
        assert said in capsys.readouterr().err
