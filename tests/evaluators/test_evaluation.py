"""Answers by class: as scikit-learn counts them, whatever classes occur and however they come in batches."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix

from evaluators.building import set_initial
from evaluators.evaluation import Answers, evaluate
from evaluators.scores import score_of
from evaluators.tasks.task import Split
from spaces.seeds import torch_generator


@pytest.mark.filterwarnings("ignore:A single label was found")  # scikit-learn's, where one class alone occurs
@settings(max_examples=50)
@given(data=st.data(), classes=st.integers(2, 7), samples=st.integers(1, 60))
def test_accuracies_are_those_of_scikit_learn(data, classes, samples):
    labels = np.array(data.draw(st.lists(st.integers(0, classes - 1), min_size=samples, max_size=samples)))
    rates = np.random.default_rng(samples).random((3, samples, classes))
    known = np.unique(labels)
    rates[:, :, np.setdiff1d(np.arange(classes), known)] = -1.0  # scikit-learn warns of answers that never are right
    answers = Answers("cpu", classes)
    for part in np.array_split(np.arange(samples), data.draw(st.integers(1, samples))):
        answers.add(torch.tensor(rates[:, part]), torch.tensor(labels[part]))
    found, told = answers.evaluation(()), rates.mean(0).argmax(1)
    assert found.accuracy == pytest.approx(accuracy_score(labels, told))
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, told))
    matrix = confusion_matrix(labels, told, labels=np.arange(classes))
    assert (found.right, found.seen) == (tuple(matrix.diagonal()), tuple(matrix.sum(1)))
    assert [recall is None for recall in found.by_class] == [label not in known for label in range(classes)]


def test_an_evaluation_of_unequal_classes_is_one_pass(setting, task):
    """A network that always says the larger class: accuracy is its share, balanced accuracy a half."""
    candidate = setting.space.largest
    network = setting.space.network(task.spec, candidate)
    set_initial(network, setting.recipe, torch_generator(0))
    passes = []

    def say_class_1(module, arriving, readout):
        passes.append(len(arriving[0]))
        return torch.tensor([0.0, 1.0]).expand(*readout.shape[:2], 2)

    network.register_forward_hook(say_class_1)
    rows = torch.cat([torch.nonzero(task.validation.labels == label)[:n, 0] for label, n in ((1, 15), (0, 5))])
    split = Split(task.validation.images[rows], task.validation.labels[rows])
    found = evaluate(network, task, split)
    assert (found.accuracy, found.balanced_accuracy, found.by_class) == (0.75, 0.5, (0.0, 1.0))
    assert passes == [20]
    score = score_of(setting, candidate, network, found, fidelity="trained", seconds=0.0)
    assert (score.accuracy, score.figure("balanced_accuracy")) == (0.75, 0.5)
