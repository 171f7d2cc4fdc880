"""Steps: the batch is chosen by how many samples there are, and the user is told of few steps."""

import doctest
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import launch
from search.options.config import Config, configure
from search.work import steps
from search.work.steps import ENOUGH, USUAL, batch_for, with_steps

SEARCH = ["--width", "2", "--timesteps", "2", "--candidates", "2", "--supernet-epochs", "1", "--finalists", "0"]
SEARCH += ["--no-compile", "--sampler", "random", "--floor", "0", "--threads", "1"]


def test_examples():
    assert doctest.testmod(steps).failed == 0


@given(st.integers(1, 10**7))
def test_an_epoch_has_enough_steps_of_as_many_samples_as_that_allows(samples):
    batch = batch_for(samples)
    assert batch in (2, 4, 8, 16, USUAL)
    assert samples // batch >= ENOUGH or batch == 2
    assert batch == USUAL or samples // (2 * batch) < ENOUGH


@pytest.mark.parametrize(
    ("options", "batch", "said"),
    [
        ({}, 4, ["a training step takes 4 of the 96 training samples; --batch-size N changes that"]),
        ({"batch_size": 4}, 4, []),
        ({"batch_size": 32}, 32, ["3 steps of 32 samples", "begin anew with --batch-size 4, or --supernet-epochs 54,"]),
        ({"batch_size": 500, "train_epochs": 3}, 500, ["1 step of 96 samples", "or --train-epochs 160,"]),
        ({"batch_size": 32, "supernet_epochs": 54}, 32, []),
    ],
)
def test_what_is_chosen_and_what_is_few_is_told(task, options, batch, said):
    options = {"finalist_weights": "fresh"} | options if "train_epochs" in options else options
    config, told = with_steps(configure(**options), task)
    assert (config.training.batch_size, config.workers.train_parts) == (batch, 1)
    remarks = told.provenance.get("remarks", [])
    assert len(remarks) == bool(said)
    assert all(text in remarks[0] for text in said)


def test_what_readers_remarked_is_told_before(task):
    read = replace(task, provenance={**task.provenance, "remarks": ["one"]})
    assert with_steps(Config(), read)[1].provenance["remarks"][0] == "one"
    assert len(with_steps(Config(), read)[1].provenance["remarks"]) == 2


def test_parts_are_of_the_batch_that_was_chosen(data, capsys):
    assert launch.main(["--data", str(data), *SEARCH, "--train-parts", "5"]) == 2
    assert "--train-parts 5: a batch has 4 samples, and each needs one; give at most 4" in capsys.readouterr().err


def test_few_samples_are_searched_in_small_batches_which_the_run_tells_of(tmp_path, capsys):
    rng = np.random.default_rng(0)
    labels = np.arange(70) % 2
    images = rng.integers(0, 80, (70, 8, 8)).astype(np.uint8)
    images[labels == 0, :, :4] += 120
    np.savez(tmp_path / "few.npz", x_train=images[:40], y_train=labels[:40], x_test=images[40:], y_test=labels[40:])
    assert launch.main(["--data", str(tmp_path / "few.npz"), *SEARCH, "--out", str(tmp_path / "run")]) == 0
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert stored["config"]["batch_size"] == 2
    assert "note: a training step takes 2 of the" in capsys.readouterr().err
    assert any("a training step takes 2" in remark for remark in stored["task"]["remarks"])
