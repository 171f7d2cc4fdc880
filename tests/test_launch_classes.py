"""Unequal classes from the command line: what is told of them, searched by, weighed and kept."""

import csv
import json

import numpy as np
import pytest

import launch
from results.folder import RunFolder
from results.report.gather import gather
from spaces.checksums import write_json

BALANCED = "test_balanced_accuracy"
SMALL = ["--width", "3", "--timesteps", "2", "--candidates", "4", "--batch", "4", "--supernet-epochs", "2"]
SMALL += ["--finalists", "1", "--finalist-epochs", "2", "--batch-size", "16", "--threads", "1", "--no-compile"]
SMALL += ["--sampler", "evolution", "--head-gain", "4", "--floor", "0"]
OPTIONS = ["--objectives", "balanced_accuracy,spikes", "--class-weights", "balanced", "--min", "balanced_accuracy=0.3"]


@pytest.fixture(scope="module")
def unequal(tmp_path_factory):
    """Classes of 152 and 8 images to train on and validate, 16 each to test."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part, sizes in (("train", (152, 8)), ("test", (16, 16))):
        labels = np.repeat([0, 1], sizes)
        images = rng.integers(0, 80, (len(labels), 8, 8)).astype(np.uint8)
        images[labels == 0, :, :4] += 120
        images[labels == 1, :, 4:] += 120
        arrays |= {f"x_{part}": images, f"y_{part}": labels}
    path = tmp_path_factory.mktemp("data") / "unequal.npz"
    np.savez(path, **arrays)
    return path


def test_a_search_by_balanced_accuracy(unequal, tmp_path, capsys):
    out = tmp_path / "run"
    options = [option for option in SMALL if option not in ("--floor", "0")]  # a bound of its own takes its place
    args = ["--data", str(unequal), *options, "--val-samples", "40", "--out", str(out)]
    assert launch.main([*args, *OPTIONS]) == 0
    told = capsys.readouterr()
    assert "note: The classes are unequal. Class '0' has 38 of 40 validation samples" in told.err
    assert "(balanced 0." in told.out or "(balanced 1." in told.out
    config = json.loads((out / "config.json").read_text())
    assert config["chance"] == {"accuracy": 0.95, "balanced_accuracy": 0.5}
    assert config["task"]["remarks"][-1].startswith("The classes are unequal.")
    with (out / "candidates.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["state"] == "ok"]
    assert all(0.3 <= float(row["balanced_accuracy"]) <= 1 for row in rows)
    (one,) = gather(RunFolder(out)).finalists
    for split, samples in (("val", [38, 2]), ("test", [16, 16])):
        shares = [row[f"{split}_accuracy"] for row in one.metrics["classes"]]
        assert [row[f"{split}_samples"] for row in one.metrics["classes"]] == samples
        assert np.average(shares, weights=samples) == pytest.approx(one.metrics[f"{split}_accuracy"])
        assert np.mean(shares) == pytest.approx(one.metrics[f"{split}_balanced_accuracy"])
    assert [row["name"] for row in one.metrics["classes"]] == ["0", "1"]
    page = (out / "report.html").read_text()
    assert "Balanced accuracy" in page
    assert f">Accuracy by class: balanced accuracy, the mean over classes, is {100 * one.metrics[BALANCED]:.1f}" in page
    assert "The classes are unequal." in page
    path = out / "finalists" / str(one.number) / "metrics.json"  # as before there was balanced accuracy
    write_json(path, {name: value for name, value in one.metrics.items() if "balanced" not in name})
    assert launch.main(["resume", str(out)]) == 0
    assert "(balanced" not in capsys.readouterr().out


def test_weights_change_what_is_learnt(unequal, tmp_path):
    """Of the supernet, and so of its finalists; a resume needs no word of it."""
    losses = []
    for name, weights in (("plain", []), ("weighed", ["--class-weights", "balanced"])):
        out = tmp_path / name
        assert launch.main(["--data", str(unequal), *SMALL, *weights, "--out", str(out)]) == 0
        (path,) = (out / "finalists").glob("*/metrics.json")
        losses.append([epoch["loss"] for epoch in json.loads(path.read_text())["curve"]])
        assert launch.main(["resume", str(out)]) == 0
    assert losses[0] != losses[1]
