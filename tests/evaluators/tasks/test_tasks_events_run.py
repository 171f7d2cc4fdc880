"""Recordings through the whole path: counts by hand, supernet, scoring, a run of the command line."""

import json
import shutil

import numpy as np
import pytest
import torch

import launch
from evaluators.building import build_alone
from evaluators.counting import counting
from evaluators.energy import HOROWITZ_45NM_FP32
from evaluators.evaluation import evaluate, recalibrate
from evaluators.inherited import score_from_supernet
from evaluators.plan import Plan
from evaluators.prefix import PrefixCache
from evaluators.setting import Recipe, Setting
from evaluators.supernet import train_supernet, warm_up
from evaluators.tasks.load import load_task
from spaces.autosnn import autosnn
from spaces.seeds import numpy_generator
from spaces.weights import inherit


@pytest.fixture(scope="module")
def recordings(tmp_path_factory, write_recordings):
    """Events on the left or on the right half of 18x18 pixels, which poolings do not divide."""
    home = tmp_path_factory.mktemp("recordings")
    write_recordings(home, counts=(64, 16), count=300, side=18)
    return home


@pytest.fixture(scope="module")
def setting(recordings):
    return Setting(
        space=autosnn(width=4, timesteps=3, compiled=False),
        task=load_task(recordings, frames=3, val_samples=32),
        recipe=Recipe(plan=Plan(epochs=4, batch_size=16, logit_scale=10.0, time_schedule=((1, 0.5),)), head_gain=4.0),
        model=HOROWITZ_45NM_FP32,
        seed=0,
    )


@pytest.fixture(scope="module")
def supernet(setting):
    warm_up(setting)
    return train_supernet(setting)[0]


def hand_count(frames, c_out):
    """Synaptic operations of a 3x3 convolution, padding 1, stride 1: every event times the targets it reaches."""
    height, width = frames.shape[-2:]
    total = 0
    for place in zip(*np.nonzero(frames), strict=True):
        y, x = place[-2:]
        reached = sum(0 <= y + dy < height and 0 <= x + dx < width for dy in (-1, 0, 1) for dx in (-1, 0, 1))
        total += int(frames[place]) * reached * c_out
    return total


def test_the_stems_work_is_synaptic_operations(setting, supernet):
    network = build_alone(setting, setting.space.smallest)
    inherit(network, supernet)
    network.eval()
    images = setting.task.test.images[:3]
    with counting(network) as counter, torch.no_grad():
        network(images.float())
    stem = counter.counts().layers[0]
    assert (stem.name, stem.op, stem.shape) == ("stem.0", "conv 3x3", (4, 18, 18))
    assert stem.macs == 0
    assert stem.events == images.sum() == 3 * 300
    assert stem.sops == hand_count(images.numpy(), 4)
    assert counter.counts().total("macs") == 0  # nothing in the network sees real values


def test_at_fewer_time_steps_frames_are_summed_up(setting, supernet):
    from spaces.timing import set_timesteps

    network = build_alone(setting, setting.space.smallest)
    images = setting.task.test.images[:3].float()
    for steps, expected in ((1, images.sum(1)[None]), (3, images.transpose(0, 1))):
        set_timesteps(network, steps)
        assert torch.equal(network.start(images), expected)
        assert len(network(images)) == steps
    set_timesteps(network, 2)
    assert torch.equal(network.start(images)[0], images[:, :2].sum(1))


def test_scores_with_common_beginnings_kept_are_those_of_a_candidate_alone(setting, supernet):
    rng, cache = numpy_generator(0, "test"), PrefixCache(64)
    for candidate in (setting.space.smallest, setting.space.sample(rng), setting.space.largest, setting.space.smallest):
        score = score_from_supernet(setting, supernet, candidate, cache=cache)
        assert score.state == "ok", score.error
        network = build_alone(setting, candidate)
        inherit(network, supernet)
        recalibrate(network, setting.task, samples=setting.recipe.recalibration_samples, seed=setting.seed)
        alone = evaluate(network, setting.task, setting.task.validation)
        assert (score.accuracy, score.spikes, score.sops) == (
            alone.accuracy,
            alone.counts.mean("spikes"),
            alone.counts.mean("sops"),
        )
        assert score.macs == 0
    assert cache.held > 0


def test_sides_are_told_apart(setting, supernet):
    scores = [score_from_supernet(setting, supernet, c) for c in (setting.space.smallest, setting.space.largest)]
    assert max(score.accuracy for score in scores) > 0.8


def test_the_command_line_from_recordings_to_a_report(recordings, tmp_path, capsys):
    out, home = tmp_path / "run", shutil.copytree(recordings, tmp_path / "recordings")
    args = ["--data", str(home), "--width", "3", "--timesteps", "2", "--candidates", "6", "--batch", "3"]
    args += ["--supernet-epochs", "3", "--finalists", "1", "--finalist-epochs", "2", "--batch-size", "16"]
    args += ["--threads", "1", "--no-compile", "--head-gain", "4", "--event-frames", "count", "--out", str(out)]
    args[:0] = ["--event-scale", "2", "--sensor", "18x18"]
    stray = home / "train" / "left" / "00000.bin"
    stray.write_bytes(stray.read_bytes() + bytes((18, 3, 0, 0, 9)))
    assert launch.main(args) == 0
    said = capsys.readouterr()
    assert "finalist" in said.out
    assert "note: 1 of 48,001 events are outside the sensor and left out, such as event 300 of '" in said.err
    told = json.loads((out / "config.json").read_text())
    assert (told["task"]["frames"], told["task"]["frames_by"], told["match"]["event_frames"]) == (2, "count", "count")
    assert [told["match"][name] for name in ("event_scale", "sensor", "event_columns")] == [2, "18x18", None]
    (home,) = (out / "finalists").iterdir()
    architecture = json.loads((home / "architecture.json").read_text())
    assert architecture["nodes"][0]["label"] == "events"
    assert architecture["nodes"][0]["detail"] == "2 frames"
    metrics = json.loads((home / "metrics.json").read_text())
    assert metrics["layers"][0]["sops"] > 0
    assert metrics["macs"] == 0
    assert "events" in (out / "report.html").read_text()
    before = (out / "ledger.jsonl").read_bytes()
    assert launch.main(["resume", str(out)]) == 0
    assert (out / "ledger.jsonl").read_bytes() == before
    capsys.readouterr()
    assert launch.main([*args, "--event-scale", "1"]) == 2
    assert "event_scale: run has 2, now 1" in capsys.readouterr().err
    assert launch.main([*args[:-2], "--timesteps", "600"]) == 2
    assert "600 frames" in capsys.readouterr().err
