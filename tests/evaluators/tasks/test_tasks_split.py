import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.tasks.split import shares, stratified
from spaces.errors import TaskError

class_sizes = st.lists(st.integers(2, 60), min_size=2, max_size=12)


def split(labels, *, second, first=None, seed=0):
    return stratified(labels, second=second, first=first, seed=seed, what=("training", "validation"))


@st.composite
def asked(draw):
    """Shuffled labels with sizes of a second and a first part that can be had."""
    sizes = draw(class_sizes)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    np.random.default_rng(draw(st.integers(0, 99))).shuffle(labels)
    second = draw(st.integers(len(sizes), len(labels) - len(sizes)))
    first = draw(st.none() | st.integers(len(sizes), len(labels) - second))
    return labels, second, first


@given(class_sizes, st.data())
def test_shares_differ_from_the_proportional_share_by_less_than_one(sizes, data):
    sizes = np.array(sizes)
    total = data.draw(st.integers(len(sizes), sizes.sum()))
    given_away = shares(sizes, total)
    ideal = sizes * total / sizes.sum()
    assert given_away.sum() == total
    assert (given_away >= 1).all()
    assert (given_away <= sizes).all()
    if (ideal >= 1).all():  # else some class got more than its share, and others had to pay for it
        assert (np.abs(given_away - ideal) < 1).all()


def test_rare_classes_get_one_and_the_common_ones_pay():
    np.testing.assert_array_equal(shares(np.array([2, 2, 2, 994]), 10), [1, 1, 1, 7])


@given(asked(), st.integers(0, 2**40))
def test_parts_are_disjoint_stratified_and_of_the_size_asked_for(case, seed):
    labels, second, first = case
    front, back = split(labels, second=second, first=first, seed=seed)
    assert len(back) == second
    assert len(front) == (len(labels) - second if first is None else first)
    assert len(np.intersect1d(front, back)) == 0
    assert len(np.unique(front)) == len(front)
    assert set(labels[front]) == set(labels[back]) == set(labels)
    sizes = np.bincount(labels)
    ideal = sizes * second / len(labels)
    if ((ideal >= 1) & (sizes - ideal >= 1)).all():
        assert (np.abs(np.bincount(labels[back]) - ideal) < 1).all()


@given(asked(), st.integers(0, 2**40))
def test_same_seed_same_parts_and_validation_does_not_depend_on_the_training_subset(case, seed):
    labels, second, first = case
    one = split(labels, second=second, first=first, seed=seed)
    again = split(labels, second=second, first=first, seed=seed)
    whole = split(labels, second=second, seed=seed)
    np.testing.assert_array_equal(one[0], again[0])
    np.testing.assert_array_equal(one[1], again[1])
    np.testing.assert_array_equal(one[1], whole[1])
    assert set(one[0]) <= set(whole[0])


def test_images_of_a_class_do_not_depend_on_how_classes_are_mixed():
    """Sorting a data set by class moves its images, but the same ones are chosen."""
    rng = np.random.default_rng(3)
    labels = rng.permutation(np.repeat(np.arange(5), 20))
    order = np.argsort(labels, kind="stable")
    mixed = split(labels, second=25, first=40, seed=7)
    by_class = split(labels[order], second=25, first=40, seed=7)
    for here, there in zip(mixed, by_class, strict=True):
        assert set(here) == set(order[there])


def test_classes_of_one_size_are_shuffled_apart():
    picked = split(np.repeat(np.arange(6), 30), second=60, seed=4)[1]
    ranks = {tuple(picked[picked // 30 == label] % 30) for label in range(6)}
    assert len(ranks) == 6


def test_training_subset_does_not_depend_on_how_many_validate():
    labels = np.repeat(np.arange(3), 20)
    subsets = [split(labels, second=second, first=15, seed=4)[0].tolist() for second in (3, 15, 45)]
    assert subsets[0] == subsets[1] == subsets[2]


def test_another_seed_gives_other_parts_and_each_image_is_chosen_alike():
    labels = np.repeat(np.arange(4), 10)
    times = np.zeros(40)
    for seed in range(400):
        times[split(labels, second=8, seed=seed)[1]] += 1
    # 400 draws of probability 0.2: mean 80, standard deviation 8; 40 images, so 5 deviations
    assert times.min() > 40
    assert times.max() < 120


@pytest.mark.parametrize("second", [0, 2, 28, 30, 31, -4])
def test_validation_must_have_and_leave_one_of_each_class(second):
    with pytest.raises(TaskError, match=rf"^validation {second}: must be 3..27"):
        split(np.arange(30) % 3, second=second)


@pytest.mark.parametrize("first", [0, 2, 21, -1])
def test_training_subset_must_have_one_of_each_class_and_fit(first):
    with pytest.raises(TaskError, match=rf"^training {first}: must be 3..20"):
        split(np.arange(30) % 3, second=10, first=first)
