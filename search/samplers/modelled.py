"""How figures are modelled: by themselves or their logarithms, and what far outliers count."""

import math
from dataclasses import dataclass

import numpy as np

from spaces.candidate import COUNT_LIKE

OUTLIER = 8.0  # median absolute deviations on the bad side, beyond which all is equally bad
TINY = 1e-300  # stands for 0 where logarithms are taken: no figure there is, but a bound on one may be


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How a figure is modelled and what it is worth.

    Attributes:
        name: of the figure.
        sense: +1 to maximise, -1 to minimise.
        logarithm: whether its logarithm is modelled.
        worth_logarithm: whether the hypervolume is measured in its logarithm, too.
    """

    name: str
    sense: int
    logarithm: bool
    worth_logarithm: bool

    def as_modelled(self, values: np.ndarray) -> np.ndarray:
        """Figures, or bounds on them, as they are modelled."""
        return _log(values) if self.logarithm else values

    def modelled(self, values: np.ndarray) -> np.ndarray:
        """Figures as they are modelled; far outliers on the bad side are drawn in."""
        values = self.as_modelled(values)
        middle = np.median(values)
        reach = OUTLIER * np.median(np.abs(values - middle))
        if reach == 0:
            return values
        return np.maximum(values, middle - reach) if self.sense > 0 else np.minimum(values, middle + reach)

    def gains(self, values: np.ndarray) -> np.ndarray:
        """What figures, or bounds on them, are worth: the more the better."""
        return self.sense * (_log(values) if self.worth_logarithm else values)


def scale_of(name: str, sense: int, values: np.ndarray, *, own_units: bool) -> Scale:
    """The scale of a figure with these values: see the module."""
    positive = bool((values > 0).all())
    logarithm = positive and (name in COUNT_LIKE or _more_likely_log(values))
    return Scale(
        name=name, sense=sense, logarithm=logarithm, worth_logarithm=logarithm and name in COUNT_LIKE and not own_units
    )


def _log(values: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(values, TINY))


def _more_likely_log(values: np.ndarray) -> bool:
    """Whether a log-normal explains values better than a normal (Box and Cox, 1964, at 0 and 1)."""
    logs = np.log(values)
    return bool(min(values.std(), logs.std()) > 0 and math.log(logs.std()) + logs.mean() < math.log(values.std()))
