"""Stratified, seeded choice of samples: every class gets its proportional share, to the nearest whole number."""

import numpy as np

from spaces.errors import TaskError

TEST_SEED = 1797  # never the run's seed: test figures of runs with different seeds are on the same samples


def shares(counts: np.ndarray, total: int, *, leave: int = 0) -> np.ndarray:
    """Divide ``total`` among classes in proportion to ``counts``, each getting at least 1 and keeping ``leave``.

    Each class gets its share rounded up or down, unless that would break one of the two minima in some class.

    Args:
        counts: samples of each class, int64 [K], each at least 1 + leave.
        total: K <= total <= sum(counts) - leave * K.
        leave: samples of each class that must not be given away.

    Returns:
        int64 [K] that sums to ``total``.
    """
    ideal = counts * (total / counts.sum())
    most = counts - leave
    given = np.clip(np.floor(ideal).astype(np.int64), 1, most)
    while (rest := total - given.sum()) != 0:
        if rest > 0:
            given[np.argmax(np.where(given < most, ideal - given, -np.inf))] += 1
        else:
            given[np.argmin(np.where(given > 1, ideal - given, np.inf))] -= 1
    return given


def stratified(
    labels: np.ndarray, *, second: int, first: int | None, seed: int, what: tuple[str, str], leave: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Split samples in two disjoint stratified parts.

    Each class is shuffled by its own stream of ``seed``; the second part is taken from the front and the first from
    the back. So the second part does not depend on ``first``, a smaller first part lies within a larger one
    of the same seed (but for rounding), and the images of one class do not depend on the other classes.

    Args:
        labels: int64 [N], classes 0..K-1, at least 1 + leave samples of each.
        second: samples of the second part (validation, test).
        first: samples of the first part (training); None: all that are left.
        seed: 0 or more.
        what: names of ``first`` and ``second`` in error messages.
        leave: samples of each class that must not go into the second part.

    Returns:
        Indices into ``labels`` of the first and the second part, each ascending.

    Raises:
        TaskError: a part is smaller than one a class, or more is asked for than there is.
    """
    counts = np.bincount(labels)
    classes, total = len(counts), len(labels)
    if not classes <= second <= total - classes:
        raise TaskError(
            f"{what[1]} {second}: must be {classes}..{total - classes}, so that of {total} samples "
            f"each of the {classes} classes has one to train on and one to validate on"
        )
    back = shares(counts, second, leave=leave)
    left = counts - back
    if first is None:
        front = left
    elif not classes <= first <= left.sum():
        raise TaskError(
            f"{what[0]} {first}: must be {classes}..{left.sum()}, one a class at least and at most what is left of "
            f"{total} samples beside {second} held out"
        )
    else:
        front = shares(left, first)
    chosen: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for label in range(classes):
        members = np.flatnonzero(labels == label)
        order = members[np.random.default_rng((seed, label)).permutation(len(members))]
        chosen[0].append(order[len(order) - front[label] :])
        chosen[1].append(order[: back[label]])
    return np.sort(np.concatenate(chosen[0])), np.sort(np.concatenate(chosen[1]))
