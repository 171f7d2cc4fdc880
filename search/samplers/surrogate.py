"""Surrogate: a Gaussian process over fillings, fitted by maximum a posteriori.

With structure s (categorical and integer blanks, and what the space declares of a candidate without building it) and
dynamics d (float blanks), the covariance is

    k = a1 Ks(s, s') + a2 Kd(d, d') + a3 Ks(s, s') Kd(d, d')        Ks, Kd: Matern 5/2 of distances of coordinates

so that what is learnt of one half holds for every filling of the other. A float or integer blank, and a feature, is a
coordinate with a lengthscale of its own. A categorical blank is a point in a plane: every choice has a place there that
is learnt (latent variables: Zhang et al., Technometrics, 2020), and blanks with the same choices share the
places and differ by a factor, since the same operation on another edge is still the same operation. That is what lets a
hundred scores tell which operations are alike. Places, factors, lengthscales, amplitudes and noise have normal or
log-normal priors and are found by L-BFGS on the exact gradient.

It is written here, and not taken from GPyTorch, since a sampler refits for every batch: this is about eight times as
fast, and it runs in float64 on one thread, so that a run replays to the bit whatever the number of threads.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution
from torch import Tensor

from search.samplers.scale import to_unit
from spaces.candidate import Candidate
from spaces.space import Space

JITTER = 1e-6
ITERATIONS = 60
ENOUGH = 1e-4  # share of the loss that an iteration must bring
LEARNT = 128  # points that hyperparameters are learnt from
PLANE = 2  # dimensions in which choices are laid out


@contextmanager
def one_thread() -> Iterator[None]:
    """Runs torch and BLAS on one thread: sums then have one order, and small matrices are quickest.

    Threads of BLAS that have no work wait in a loop, in the way of whatever else the machine does.
    """
    from threadpoolctl import threadpool_limits

    import_module("scipy.optimize")  # has a BLAS of its own, which must be there to be told
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, kw_only=True)
class Points:
    """Fillings as numbers.

    Attributes:
        kinds: [n, categorical blanks], places in their choices.
        facts: [n, integer blanks and features], scaled to about 0..1.
        dynamics: [n, float blanks], scaled to 0..1.
        shared: for each categorical blank, which list of choices is its own; and how long each list is.
    """

    kinds: Tensor
    facts: Tensor
    dynamics: Tensor
    shared: tuple[tuple[int, ...], tuple[int, ...]]

    def __len__(self) -> int:
        return len(self.kinds)

    def __getitem__(self, index: Sequence[int]) -> "Points":
        chosen = {name: getattr(self, name)[index] for name in ("kinds", "facts", "dynamics")}
        return Points(**chosen, shared=self.shared)


def encoder(space: Space, examples: Sequence[Candidate]) -> Callable[[Sequence[Candidate]], Points]:
    """How candidates of a space become points; features are scaled by their range over ``examples``.

    Blanks with one value, and features that are the same for all examples, say nothing and are left out.
    """
    wide = {name: blank for name, blank in space.blanks.items() if len(space.options(name) or (0, 1)) > 1}
    choices = {name: blank.choices for name, blank in wide.items() if isinstance(blank, CategoricalDistribution)}
    floats = {name: blank for name, blank in wide.items() if isinstance(blank, FloatDistribution)}
    integers = {name: blank for name, blank in wide.items() if name not in choices and name not in floats}
    lists = list(dict.fromkeys(choices.values()))
    shared = tuple(lists.index(own) for own in choices.values()), tuple(map(len, lists))
    places = {name: {choice: place for place, choice in enumerate(own)} for name, own in choices.items()}
    told = {candidate: space.features(candidate) for candidate in examples}
    seen = {name: [known[name] for known in told.values()] for name in next(iter(told.values()), ())}
    bounds = {name: (min(figures), max(figures)) for name, figures in seen.items()}
    ranges = {name: (low, high - low) for name, (low, high) in bounds.items() if high > low}

    def facts(candidate: Candidate) -> list[float]:
        known = told[candidate] if candidate in told else space.features(candidate)
        scaled = [(known[name] - low) / width for name, (low, width) in ranges.items()]
        return [to_unit(blank, candidate[name]) for name, blank in integers.items()] + scaled

    def encode(candidates: Sequence[Candidate]) -> Points:
        def table(rows: list[list[float]], columns: int, kind: torch.dtype = torch.float64) -> Tensor:
            return torch.tensor(rows, dtype=kind).reshape(len(candidates), columns)

        kinds = [[of[c[name]] for name, of in places.items()] for c in candidates]
        dynamics = [[to_unit(blank, c[name]) for name, blank in floats.items()] for c in candidates]
        return Points(
            kinds=table(kinds, len(places), torch.long),
            facts=table([facts(c) for c in candidates], len(integers) + len(ranges)),
            dynamics=table(dynamics, len(floats)),
            shared=shared,
        )

    return encode


@dataclass(frozen=True, kw_only=True)
class Prior:
    """A normal prior of hyperparameters (logarithms, but for places): means [size], one spread; and where to start."""

    mean: Tensor
    spread: float
    start: Tensor


def priors(points: Points) -> dict[str, Prior]:
    """Priors of the hyperparameters by name; they know over how many blanks a distance is summed."""
    (owners, lengths), facts, dynamics = points.shared, points.facts.shape[1], points.dynamics.shape[1]
    amplitudes = 3 if dynamics and (owners or facts) else 1

    def prior(size: int, mean: float, spread: float) -> Prior:
        means = torch.full((size,), mean, dtype=torch.float64)
        return Prior(mean=means, spread=spread, start=means)

    def lengthscales(size: int) -> Prior:
        return prior(size, math.log(0.6 * math.sqrt(max(1, size))), 1.2)

    places = torch.cat([_circle(length) for length in lengths]) if lengths else torch.zeros(0, dtype=torch.float64)
    return {
        "amplitudes": prior(amplitudes, -math.log(amplitudes), 1.0),
        "factors": prior(len(owners), math.log(1 / max(1, len(owners))), 1.0),
        "places": Prior(mean=torch.zeros_like(places), spread=1.0, start=places),
        "facts": lengthscales(facts),
        "dynamics": lengthscales(dynamics),
        "noise": prior(1, math.log(0.05), 1.0),
    }


def _circle(choices: int) -> Tensor:
    """Where the places of so many choices start: evenly around a circle, flat [choices * PLANE]."""
    turns = torch.arange(choices, dtype=torch.float64) / choices * 2 * math.pi
    return torch.stack([turns.cos(), turns.sin()], dim=1).reshape(-1)


Hyperparameters = dict[str, Tensor]


def coordinates(logs: Hyperparameters, points: Points) -> tuple[Tensor, Tensor]:
    """Where points lie: in the structure half [n, s] and in the dynamics half [n, d], in lengthscales."""
    owners, lengths = points.shared
    laid = [points.facts * torch.exp(-logs["facts"])]
    for own, flat in enumerate(logs["places"].split([length * PLANE for length in lengths])):
        alike = [i for i, owner in enumerate(owners) if owner == own]
        at = flat.reshape(-1, PLANE)[points.kinds[:, alike]]  # [n, alike, PLANE]
        laid.append((at * torch.exp(logs["factors"][alike] / 2)[:, None]).flatten(1))
    return torch.cat(laid, dim=1), points.dynamics * torch.exp(-logs["dynamics"])


def covariance(logs: Hyperparameters, one: Points, other: Points) -> Tensor:
    """The kernel [n, m] of the module's equation."""
    amplitudes = logs["amplitudes"].exp()
    structure, dynamics = (_matern(a, b) for a, b in zip(coordinates(logs, one), coordinates(logs, other), strict=True))
    if len(amplitudes) == 1:
        return amplitudes[0] * structure * dynamics
    return amplitudes[0] * structure + amplitudes[1] * dynamics + amplitudes[2] * structure * dynamics


def _matern(one: Tensor, other: Tensor) -> Tensor:
    """Matern 5/2 of the distances of two sets of coordinates; 1 everywhere if there are none."""
    squares = one.square().sum(1)[:, None] + other.square().sum(1)[None] - 2 * one @ other.T
    r = torch.sqrt(5 * squares.clamp_min(0) + 1e-12)
    return (1 + r + r * r / 3) * torch.exp(-r)


@dataclass(frozen=True, kw_only=True)
class Process:
    """A fitted process of one figure, ``shift + scale * f``; ``factor`` is Cholesky's of the points' covariance."""

    points: Points
    logs: Hyperparameters
    factor: Tensor
    weights: Tensor
    shift: float
    scale: float

    @property
    def noise(self) -> float:
        """Variance of a measurement around f."""
        return float(self.logs["noise"].exp()) + JITTER

    def without(self, places: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance [places] that the others leave to the values at some of the points, noise included.

        Source: Rasmussen and Williams, 2006, equation 5.12.
        """
        with torch.no_grad():
            precision = torch.cholesky_inverse(self.factor).diagonal()[list(places)]
            value = (self.factor @ (self.factor.T @ self.weights))[list(places), 0]
            mean = value - self.weights[list(places), 0] / precision
        return self.shift + self.scale * mean.numpy(), self.scale**2 / precision.numpy()


def fit(
    points: Points, values: np.ndarray, extra: np.ndarray | None = None, *, iterations: int = ITERATIONS
) -> Process:
    """The process that explains ``values`` [n] at ``points`` best, as far as so many iterations of L-BFGS find it.

    ``extra`` [n] is the variance of each value beyond the noise that all have.

    Of many points the hyperparameters are learnt from some, evenly taken; the process holds all of them.
    Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, equations 2.25, 2.26 and 5.8.
    """
    from scipy.optimize import minimize

    shift, scale = float(values.mean()), float(values.std()) or 1.0
    y = torch.tensor((values - shift) / scale)[:, None]
    some = np.linspace(0, len(points) - 1, min(len(points), LEARNT)).astype(int)
    fewer, known = points[some], priors(points)
    more = torch.zeros(len(points), dtype=torch.float64) if extra is None else torch.tensor(extra / scale**2)
    mean = torch.cat([prior.mean for prior in known.values()])
    spread = torch.cat([torch.full_like(prior.mean, prior.spread) for prior in known.values()])

    def split(flat: Tensor) -> Hyperparameters:
        return dict(zip(known, flat.split([len(prior.mean) for prior in known.values()]), strict=True))

    def factorise(logs: Hyperparameters, held: Points, more: Tensor) -> Tensor:
        noise = torch.diag(logs["noise"].exp() + JITTER + more)
        return torch.linalg.cholesky(covariance(logs, held, held) + noise)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        logs = torch.tensor(flat, requires_grad=True)
        factor = factorise(split(logs), fewer, more[some])
        fitted = torch.linalg.solve_triangular(factor, y[some], upper=False)
        value = fitted.square().sum() / 2 + factor.diagonal().log().sum() + ((logs - mean) / spread).square().sum() / 2
        value.backward()
        return value.item(), logs.grad.numpy()

    start = torch.cat([prior.start for prior in known.values()]).numpy()
    bounds = list(zip((mean - 4 * spread).tolist(), (mean + 4 * spread).tolist(), strict=True))
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": iterations, "ftol": ENOUGH}
    )
    with torch.no_grad():
        logs = split(torch.tensor(found.x))
        factor = factorise(logs, points, more)
        weights = torch.cholesky_solve(y, factor)
    return Process(points=points, logs=logs, factor=factor, weights=weights, shift=shift, scale=scale)


class Belief:
    """What a process says of a pool of points, and goes on to say as some of them are taken for measured.

    Attributes:
        mean, deviation: of the figure without noise at every point of the pool, numpy [n].
    """

    def __init__(self, process: Process, pool: Points) -> None:
        self.process, self.pool = process, pool
        with torch.no_grad():
            across = covariance(process.logs, pool, process.points)
            self.mean = process.shift + process.scale * (across @ process.weights)[:, 0].numpy()
            self._rows = torch.linalg.solve_triangular(process.factor, across.T, upper=False)
            prior = float(process.logs["amplitudes"].exp().sum())
            self._variance = prior - self._rows.square().sum(0)

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation of the figure at every point of the pool."""
        return self.process.scale * self._variance.clamp_min(1e-12).sqrt().numpy()

    def take(self, index: int) -> None:
        """Takes a point of the pool for measured at its mean: means stay, what is alike gets surer."""
        with torch.no_grad():
            like = covariance(self.process.logs, self.pool, self.pool[[index]])[:, 0]
            between = like - self._rows.T @ self._rows[:, index]
            row = between / math.sqrt(float(self._variance[index].clamp_min(0)) + self.process.noise)
            self._rows = torch.cat([self._rows, row[None]])
            self._variance = self._variance - row.square()


def probability_above(mean: np.ndarray, deviation: np.ndarray, bound: float) -> np.ndarray:
    """Probability that a normal figure is above a bound, [n]."""
    from scipy.special import ndtr

    return ndtr((mean - bound) / deviation)
