"""How far one set of figures ranks as another does: Kendall's tau-b with a bootstrap interval, and what it means."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How two rankings of the same candidates agree.

    Attributes:
        candidates: how many.
        pairs, same: pairs that both rankings tell apart, and those of them that stand in the same order.
        tau: Kendall's tau-b, -1..1; NaN where one ranking is all ties.
        low, high: 95 % interval by a bootstrap over candidates.
    """

    candidates: int
    pairs: int
    same: int
    tau: float
    low: float
    high: float


def agreement(one: Sequence[float], other: Sequence[float], *, seed: int = 0) -> Agreement:
    """Agreement of two figures of the same candidates; at least two, all finite."""
    signs = [
        np.sign(np.subtract.outer(np.asarray(values, float), np.asarray(values, float))) for values in (one, other)
    ]
    both = np.triu(signs[0] * signs[1])
    n = len(one)
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    taus = _tau(signs[0], signs[1], draws.astype(float))
    taus = taus[np.isfinite(taus)]
    low, high = np.quantile(taus, (0.025, 0.975)) if len(taus) else (np.nan, np.nan)
    return Agreement(
        candidates=n,
        pairs=int((both != 0).sum()),
        same=int((both > 0).sum()),
        tau=float(_tau(signs[0], signs[1], np.ones((1, n)))[0]),
        low=float(low),
        high=float(high),
    )


def _tau(one: np.ndarray, other: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Tau-b for each row of weights [rows, n], how often each candidate is drawn, from signs of differences [n, n]."""
    agree, *untied = (((weights @ kind) * weights).sum(1) for kind in (one * other, one**2, other**2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return agree / np.sqrt(untied[0] * untied[1])


def in_words(found: Agreement, name: str) -> str:
    """What an agreement says about a figure, in a sentence.

    >>> in_words(Agreement(candidates=20, pairs=190, same=181, tau=0.91, low=0.8, high=0.97), "spikes")
    'Ranked by spikes, 181 of 190 pairs stand in the same order (tau 0.91, 95 % interval 0.80 to 0.97): the ranking can be relied on.'
    """  # noqa: E501
    if not found.pairs:
        return f"Ranked by {name}, no two of them can be told apart."
    text = f"Ranked by {name}, {found.same} of {found.pairs} pair{'s' if found.pairs > 1 else ''} "
    text += f"stand{'s' if found.pairs == 1 else ''} in the same order"
    if found.candidates < 6:
        return f"{text}."  # an interval would be as wide as the scale
    return f"{text} (tau {found.tau:.2f}, 95 % interval {found.low:.2f} to {found.high:.2f}): {_verdict(found)}."


def _verdict(found: Agreement) -> str:
    if found.low >= 0.6:
        return "the ranking can be relied on"
    if found.low > 0:
        return "the ranking helps, but close candidates may be swapped"
    if found.high < 0:
        return "the ranking is backwards, do not choose by it"
    return "not told apart from chance, do not choose by it alone"
