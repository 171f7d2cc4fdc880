"""Runs and finalists in Python: the same figures as in the run's folder."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import spikefront
from spaces.checksums import write_json


def same(frame, path):
    """A frame has the values of a CSV file."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = frame.reset_index()
    assert list(table) == list(rows[0])
    for name in table:
        for value, text in zip(table[name], (row[name] for row in rows), strict=True):
            empty = value is None or value == "" or value != value
            assert (text == "") if empty else text == value if isinstance(value, str) else float(text) == value


def test_tables_are_those_in_the_folder(run):
    same(run.candidates, run.path / "candidates.csv")
    same(run.front, run.path / "pareto.csv")
    assert len(run.candidates) >= 8
    assert run.report == run.path / "report.html"
    assert run.report.exists()
    assert (run.options["candidates"], run.options["width"]) == (8, 4)
    assert repr(run).startswith(f"<Run '{run.path}': autosnn on ")
    assert "8 candidates, 2 finalists" in repr(run)


def test_progress_is_told_and_nothing_printed(run, told, tmp_path, npz, capfd):
    titles = [title for title, _, _ in told]
    assert {"supernet", "search"} <= set(titles)
    assert any(title.startswith("finalist ") for title in titles)
    assert all(0 <= done <= total for _, done, total in told)
    again = spikefront.resume(run.path)
    assert again == run
    assert spikefront.open_run(run.path) == run
    assert capfd.readouterr() == ("", "")


def test_a_finalist_is_the_network_that_was_measured(run, npz):
    best = run.finalists[0]
    assert best.metrics["val_accuracy"] == max(one.metrics["val_accuracy"] for one in run.finalists)
    network = best.network()
    assert not network.training
    data, task = best.architecture["data"], spikefront.load_data(npz)
    x = (task.test.images.double() / data["divide_by"] - data["mean"][0]) / data["std"][0]
    with torch.no_grad():
        right = (network(x.float()).mean(0).argmax(1) == task.test.labels).double().mean().item()
    assert right == best.metrics["test_accuracy"]
    tested, validated = best.score(), best.score(split="validation")
    assert tested.accuracy == best.metrics["test_accuracy"]
    for name in ("spikes", "sops", "macs", "energy_nj", "parameters", "timesteps", "spikes_autosnn", "sops_by_rate"):
        assert validated[name] == best.metrics[name], name
    assert validated.accuracy == best.metrics["val_accuracy"]
    assert validated["layers"] == best.metrics["layers"]
    assert validated.layers.spikes.sum() == pytest.approx(validated.spikes)
    assert spikefront.score(network, npz, split="test").accuracy == tested.accuracy
    assert repr(best).startswith(f"<Finalist {best.number}: test accuracy {tested.accuracy:.4f}, ")


def test_predictions_of_arrays_files_and_images_agree(run, images, tmp_path):
    best, (pixels, labels) = run.finalists[0], images
    found = best.predict(pixels[128:])
    assert found.probabilities.shape == (32, 2)
    np.testing.assert_allclose(found.probabilities.sum(1), 1)
    right = np.mean([int(label) == wanted for label, wanted in zip(found.labels, labels[128:], strict=True)])
    assert right == best.metrics["test_accuracy"]
    files = []
    for number, one in enumerate(pixels[128:132]):
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(one).save(files[-1])
    for given in (files, list(map(str, files)), [Image.open(file) for file in files], pixels[128:132, ..., None]):
        np.testing.assert_array_equal(best.predict(given).probabilities, found.probabilities[:4])
    assert best.predict(files).rows()[0]["file"] == str(files[0])
    assert len(best.predict(files[0])) == 1
    assert best.predict(pixels[0].repeat(2, 0), image_fit="stretch").probabilities.shape == (1, 2)


def test_ones_own_batch_is_scored_with_labels_or_without(run, images):
    best, (pixels, labels) = run.finalists[0], images
    with_labels = best.score((pixels[128:], labels[128:]))
    assert with_labels.accuracy == best.metrics["test_accuracy"]
    assert best.score((pixels[128:], list(map(str, labels[128:])))).accuracy == with_labels.accuracy
    without = best.score(pixels[128:])
    assert "accuracy" not in without
    assert without.spikes == with_labels.spikes
    assert "32 samples" in repr(without)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"candidate": 3}, "unknown option 'candidate' .did you mean 'candidates'"),
        ({"candidates": "many"}, "candidates='many' is of another type: give a whole number"),
        ({"candidates": 0}, "--candidates 0 is out of range"),
        ({"train_epochs": 3}, "it is of sweep"),
        ({"space": "autosn"}, "did you mean 'autosnn'"),
        ({"max": {"energy": 3}}, "did you mean 'energy_nj'"),
        ({"preset": "quik"}, "did you mean 'quick'"),
    ],
)
def test_options_that_are_wrong_are_refused(options, said, tmp_path):
    with pytest.raises(spikefront.OptionError, match=said):
        spikefront.search(out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_bounds_are_mappings(tmp_path):
    from spikefront.options import configured

    config = configured("search", {"max": {"energy_nj": 500}, "min": {"accuracy": 0.5}, "objectives": ["accuracy"]})
    assert config.goal.constraints == ("energy_nj<=500", "accuracy>=0.5")
    assert config.goal.objectives == ("accuracy",)


def test_what_is_not_there_is_told(run, tmp_path, npz):
    numbers = sorted(one.number for one in run.finalists)
    with pytest.raises(spikefront.RunError, match=f"no trained finalist 999: it has {numbers[0]}, {numbers[1]}"):
        run.finalist(999)
    with pytest.raises(spikefront.RunError, match="no folder"):
        spikefront.open_run(tmp_path / "none")
    with pytest.raises(spikefront.TaskError, match="the network was trained on"):
        run.finalists[0].score("digits")
    with pytest.raises(spikefront.OptionError, match="did you mean 'validation'"):
        run.finalists[0].score(split="validaton")


@pytest.fixture
def copied(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "copy")
    return spikefront.open_run(tmp_path / "copy")


def edit(finalist, change):
    path = finalist.path / "architecture.json"
    stored = json.loads(path.read_text())
    change(stored)
    del stored["crc32"]
    write_json(path, stored)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda plan: plan.update(format=3), "is of format 3, and this program reads 2: update the program"),
        (lambda plan: plan.pop("format"), "is of an earlier version, .* and resume the run, which makes it anew"),
        (lambda plan: plan["data"].pop("mean"), "is damaged or was edited .KeyError: 'mean'."),
        (lambda plan: plan["readout"].pop("scale"), "is damaged or was edited"),
    ],
)
def test_another_format_is_told(copied, change, said):
    best = copied.finalists[0]
    edit(best, change)
    with pytest.raises(spikefront.RunError, match=said):
        best.network()


def test_lost_or_foreign_weights_are_told(copied):
    best, other = copied.finalists
    shutil.copy(other.path / "weights.safetensors", best.path / "weights.safetensors")
    if best.candidate != other.candidate:
        with pytest.raises(spikefront.RunError, match="weights of another network"):
            best.network()
    (best.path / "weights.safetensors").unlink()
    with pytest.raises(spikefront.RunError, match="it is not there"):
        best.predict(np.zeros((8, 8), np.uint8))


def test_a_pruned_finalist_has_the_parameters_that_are_left(npz, tmp_path):
    options = {"candidates": 2, "batch": 2, "supernet_epochs": 2, "finalists": 1, "finalist_epochs": 2}
    small = {"width": 4, "timesteps": 2, "threads": 1, "compile": False, "head_gain": 4, "floor": 0.0}
    run = spikefront.search(data=npz, search_sparsity=0.8, out=tmp_path / "run", **options, **small)
    (best,) = run.finalists
    left = sum(int(weight.count_nonzero()) for weight in best.network().parameters() if weight.dim() > 1)
    found = best.score(split="validation")
    assert found.parameters == best.metrics["parameters"]
    assert left < found.parameters < sum(weight.numel() for weight in best.network().parameters())
    assert found.sops == best.metrics["sops"]


def test_what_a_space_of_ones_own_was_is_asked_for(npz, tmp_path):
    lines = ["from spaces.autosnn import autosnn", "def mine(*, width: int = 4, timesteps: int = 2):"]
    (tmp_path / "own.py").write_text("\n".join([*lines, "    return autosnn(width=width, timesteps=timesteps)"]))
    options = {"candidates": 2, "batch": 2, "supernet_epochs": 2, "finalists": 1, "finalist_epochs": 1}
    small = {"threads": 1, "compile": False, "head_gain": 4, "floor": 0.0}
    run = spikefront.search(space=f"{tmp_path / 'own.py'}:mine", data=npz, out=tmp_path / "run", **options, **small)
    (best,) = run.finalists
    assert best.score().accuracy == best.metrics["test_accuracy"]
    with (tmp_path / "own.py").open("a") as file:
        file.write("\n")
    with pytest.raises(spikefront.RunError, match="has changed since run"):
        best.network()
