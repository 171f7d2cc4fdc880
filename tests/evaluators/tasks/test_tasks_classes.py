"""Unequal classes: what a guess scores, and weights that make classes count alike."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier
from sklearn.utils.class_weight import compute_class_weight

from evaluators.tasks.build import build_task
from evaluators.tasks.classes import balanced_weights, chance
from evaluators.tasks.readers.raw import RawData

SIZES = st.lists(st.integers(4, 40), min_size=2, max_size=6)


def made(sizes):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    images = np.zeros((len(labels), 2, 2, 1), np.uint8)
    images[0] = 1
    raw = RawData(x_train=images, y_train=labels, x_test=images, y_test=labels)
    return build_task(raw, name="unequal", val_samples=max(len(sizes), len(labels) // 3))


@given(SIZES)
def test_chance_is_what_always_saying_the_largest_class_scores(sizes):
    task = made(sizes)
    labels = task.validation.labels.numpy()
    guess = DummyClassifier(strategy="most_frequent").fit(labels[:, None], labels)
    assert chance(task)["accuracy"] == pytest.approx(guess.score(labels[:, None], labels))
    assert chance(task)["balanced_accuracy"] == 1 / len(sizes)


@given(SIZES)
def test_balanced_weights_are_those_of_scikit_learn(sizes):
    task = made(sizes)
    labels = task.train.labels.numpy()
    weights = balanced_weights(task)
    assert weights == pytest.approx(compute_class_weight("balanced", classes=np.unique(labels), y=labels))
    assert torch.tensor(weights)[task.train.labels].mean().item() == pytest.approx(1.0, rel=1e-5)
