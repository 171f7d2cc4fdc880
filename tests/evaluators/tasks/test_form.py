"""Form: what a raw sample is, kept with a network and read again."""

import json

import numpy as np
import pytest

from evaluators.tasks.form import form_from_json, form_of, form_to_json
from evaluators.tasks.load import load_task


def test_a_form_comes_back_from_json(task):
    form = form_of(task)
    assert (form.kind, form.shape, form.dtype, form.divide_by) == ("images", (8, 8, 1), "uint8", 255.0)
    assert form.spec == task.spec
    assert form_from_json(json.loads(json.dumps(form_to_json(form)))) == form


def test_floats_keep_their_scale(tmp_path):
    images = np.random.default_rng(0).random((12, 6, 5, 3), np.float32)
    labels = np.arange(12) % 3
    np.savez(tmp_path / "a.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    task = load_task(tmp_path / "a.npz")
    form = form_of(task)
    assert (form.shape, form.dtype, form.divide_by) == ((6, 5, 3), "float32", 1.0)
    assert form_from_json(json.loads(json.dumps(form_to_json(form)))) == form


def test_frames_have_time_first(tmp_path):
    frames = np.random.default_rng(0).integers(0, 4, (12, 2, 6, 5, 2)).astype(np.uint8)
    labels = np.arange(12) % 3
    np.savez(tmp_path / "a.npz", x_train=frames, y_train=labels, x_test=frames, y_test=labels)
    form = form_of(load_task(tmp_path / "a.npz", frames=2))
    assert (form.kind, form.shape, form.divide_by, form.events) == ("recordings", (2, 6, 5, 2), 1.0, {})
    assert form.spec.frames == 2


@pytest.mark.parametrize("lost", ["shape", "mean", "kind"])
def test_what_is_no_form_is_an_error(task, lost):
    values = form_to_json(form_of(task))
    del values[lost]
    with pytest.raises(KeyError):
        form_from_json(values)
