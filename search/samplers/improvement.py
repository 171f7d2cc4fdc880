"""Expected hypervolume improvement, exactly, for any number of objectives with independent beliefs.

What a front leaves undominated, up from the reference point, is a union of boxes. A point's improvement is the volume
that it takes of each: a product over objectives, whose expectation is the product of expectations,

    E[volume in a box] = prod_j (psi_j(low_j) - psi_j(high_j)),        psi_j(c) = E[max(y_j - c, 0)]

(Yang et al., Multi-objective Bayesian global optimization using expected hypervolume improvement gradient, Swarm and
Evolutionary Computation, 2019). Objectives are gains: larger is better. A figure that is modelled by its logarithm but
counts by itself has a log-normal belief.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Beliefs of one objective over a pool: normal, or of a figure whose logarithm is normal.

    Attributes:
        mean, deviation: [n], of the figure or of its logarithm.
        sense: +1 for a figure to maximise, -1 to minimise.
        logarithm: whether mean and deviation are the logarithm's.
    """

    mean: np.ndarray
    deviation: np.ndarray
    sense: int
    logarithm: bool = False

    def expected(self) -> np.ndarray:
        """The gain where the belief is centred, [n]: its median."""
        return self.sense * (np.exp(self.mean) if self.logarithm else self.mean)

    def beyond(self, bounds: np.ndarray) -> np.ndarray:
        """psi: the expected gain above each bound, [n, bounds]; 0 above infinity."""
        from scipy.special import ndtr

        mean, deviation = self.mean[:, None], self.deviation[:, None]
        finite = np.where(np.isfinite(bounds), bounds, 0.0)
        if not self.logarithm:
            z = (self.sense * mean - finite) / deviation
            result = deviation * (z * ndtr(z) + np.exp(-z * z / 2) / np.sqrt(2 * np.pi))
        else:  # as the price of an option (Black and Scholes, 1973): a call where large is good, a put where small is
            strike = self.sense * finite
            z = (mean - np.log(np.maximum(strike, 1e-300))) / deviation
            centre = np.exp(mean + deviation**2 / 2)
            result = self.sense * (centre * ndtr(self.sense * (z + deviation)) - strike * ndtr(self.sense * z))
            result = np.where(strike > 0, result, centre - strike if self.sense > 0 else 0.0)
        return np.where(np.isfinite(bounds), result, 0.0)


Boxes = tuple[np.ndarray, np.ndarray]


def boxes(front: np.ndarray, reference: np.ndarray) -> Boxes:
    """Lower and upper corners, each [boxes, m], of what ``front`` [n, m] leaves above ``reference`` [m]; disjoint."""
    left = reference[None], np.full((1, len(reference)), np.inf)
    for point in front[np.lexsort(front.T)]:
        left = without(left, point)
    return left


def without(left: Boxes, point: np.ndarray) -> Boxes:
    """The boxes without what a point [m] dominates: of each that it reaches into, up to m parts are left.

    Part j lies beyond the point in objective j, below it in those before, and anywhere in those behind.
    """
    low, high = left
    hit = (low < point).all(axis=1)
    lows, highs = [low[~hit]], [high[~hit]]
    low, high = low[hit], high[hit]
    for j, at in enumerate(point):
        beyond = high[:, j] > at
        part = low[beyond].copy()
        part[:, j] = at
        lows.append(part)
        highs.append(high[beyond])
        high = high.copy()
        high[:, j] = np.minimum(high[:, j], at)
    return np.concatenate(lows), np.concatenate(highs)


def expected_improvement(gains: Sequence[Gain], left: Boxes) -> np.ndarray:
    """Expected growth of the hypervolume [n] for every point of the pool, over the boxes that a front leaves."""
    low, high = left
    volume = 1.0
    for j, gain in enumerate(gains):
        bounds, place = np.unique(np.concatenate([low[:, j], high[:, j]]), return_inverse=True)
        beyond = gain.beyond(bounds)[:, place.reshape(-1)]
        volume = volume * (beyond[:, : len(low)] - beyond[:, len(low) :])
    return np.maximum(volume, 0.0).sum(axis=1)
