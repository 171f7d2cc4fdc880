"""Bayesian optimisation over some blanks of a space, the rest held at points of the front: what dual and joint share.

Every figure that counts has a surrogate (``surrogate``): objectives, columns of constraints, and whether a candidate
can be used at all, silent and failed ones being infeasible and not bad. A pool of unseen fillings is laid out: uniform
draws, crossings and neighbours of the front; twice, neighbours of its most promising are added. The batch is picked
from the pool one by one: the largest expected hypervolume improvement (``improvement``) times the probability of
keeping all constraints; what is picked counts as measured at its mean (a kriging believer: Ginsbourger et al., 2010).

The hypervolume is that of the goal's reference point, in the objectives' own units. Without one it is measured from the
worst seen, counts on a log scale. Which figures are modelled by their logarithm: counts, and what is more likely so.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from results.front import pareto_mask, ranks, spread
from results.ledger import Outcome
from search.goal import Goal
from search.samplers.improvement import Boxes, Gain, boxes, expected_improvement, without
from search.samplers.nsga2 import move
from search.samplers.standing import usable, violations
from search.samplers.surrogate import Belief, encoder, fit, one_thread, probability_above
from search.samplers.unseen import distinct, forms
from spaces.candidate import COUNT_LIKE, Candidate, Value
from spaces.seeds import numpy_generator
from spaces.space import Space, draw_blank

START = 10  # outcomes before there is a model
MOST = 256  # outcomes that a model holds
CORNERS = 100  # points of the front that improvement is measured from
BASES = 16  # points of the front that the pool is laid around
UNIFORM = 1000
AROUND = 40  # neighbours and crossings of each base
ROUNDS = 2
PROMISING = 16
SHORTLIST = 400  # of the pool, for the picks of a batch
OUTLIER = 8.0  # median absolute deviations on the bad side, beyond which all is equally bad


def propose(
    space: Space, history: Sequence[Outcome], n: int, seed: int, goal: Goal, *, blanks: Sequence[str]
) -> list[Candidate]:
    """``n`` unseen candidates, that differ from points of the front in ``blanks``; random until there is a model."""
    rng = numpy_generator(seed, "bayes")
    seen = [outcome.candidate for outcome in history]
    learnt = usable(history, goal)
    if len(learnt) < START:
        return distinct(space, seen, n, rng)
    with one_thread():
        chosen = _Search(space, history, learnt, goal, blanks, rng).batch(n)
    return chosen + distinct(space, seen + chosen, n - len(chosen), rng)


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

    def modelled(self, values: np.ndarray) -> np.ndarray:
        """Figures as they are modelled; far outliers on the bad side are drawn in."""
        values = np.log(values) if self.logarithm else values
        middle = np.median(values)
        reach = OUTLIER * np.median(np.abs(values - middle))
        if reach == 0:
            return values
        return np.maximum(values, middle - reach) if self.sense > 0 else np.minimum(values, middle + reach)

    def gains(self, values: np.ndarray) -> np.ndarray:
        """What figures are worth: the more the better."""
        return self.sense * (np.log(values) if self.worth_logarithm else values)


def scale_of(name: str, sense: int, values: np.ndarray, *, own_units: bool) -> Scale:
    """The scale of a figure with these values: see the module."""
    positive = bool((values > 0).all())
    logarithm = positive and (name in COUNT_LIKE or _more_likely_log(values))
    return Scale(
        name=name, sense=sense, logarithm=logarithm, worth_logarithm=logarithm and name in COUNT_LIKE and not own_units
    )


def _more_likely_log(values: np.ndarray) -> bool:
    """Whether a log-normal explains values better than a normal (Box and Cox, 1964, at 0 and 1)."""
    logs = np.log(values)
    return bool(min(values.std(), logs.std()) > 0 and math.log(logs.std()) + logs.mean() < math.log(values.std()))


def informative(values: np.ndarray, senses: Sequence[int], most: int) -> np.ndarray:
    """Places [<= most] of the outcomes to learn from: the half of best rank, and the rest evenly over time."""
    if len(values) <= most:
        return np.arange(len(values))
    order = np.argsort(ranks(values, senses), kind="stable")
    best, rest = order[: most // 2], np.sort(order[most // 2 :])
    return np.sort(np.concatenate([best, rest[np.linspace(0, len(rest) - 1, most - len(best)).astype(int)]]))


class _Search:
    """One batch's search: surrogates fitted once, a pool that grows, and picks."""

    def __init__(
        self,
        space: Space,
        history: Sequence[Outcome],
        usable: Sequence[Outcome],
        goal: Goal,
        blanks: Sequence[str],
        rng: np.random.Generator,
    ) -> None:
        self.space, self.goal, self.blanks, self.rng = space, goal, blanks, rng
        self.taken = {space.canonical(outcome.candidate) for outcome in history}
        values = goal.values([outcome.score for outcome in usable])
        own_units = bool(goal.reference)
        self.scales = [
            scale_of(name, sense, values[:, j], own_units=own_units)
            for j, (name, sense) in enumerate(zip(goal.objectives, goal.senses, strict=True))
        ]
        gains = np.stack([scale.gains(values[:, j]) for j, scale in enumerate(self.scales)], axis=1)
        whole = np.array([outcome.score.state == "ok" for outcome in usable])
        on_front = np.zeros(len(usable), dtype=bool)
        on_front[whole] = pareto_mask(values[whole], goal.senses)
        corners = np.flatnonzero(on_front)
        if len(corners) > CORNERS:
            log = [scale.logarithm for scale in self.scales]
            corners = corners[spread(values[corners], goal.senses, CORNERS, log=log)]
        self.left = boxes(gains[corners], self._reference(values))
        self.bases = self._bases(usable, values, on_front)
        self.learn(usable, values, history)

    def _reference(self, values: np.ndarray) -> np.ndarray:
        if self.goal.reference:
            return np.array([s.sense * self.goal.reference[s.name] for s in self.scales], dtype=float)
        worst = []
        for j, scale in enumerate(self.scales):
            modelled = scale.modelled(values[:, j])  # outliers drawn in
            figures = np.exp(modelled) if scale.logarithm else modelled
            gains = scale.gains(figures)
            worst.append(gains.min() - 0.01 * np.ptp(gains))
        return np.array(worst)

    def _bases(self, usable: Sequence[Outcome], values: np.ndarray, on_front: np.ndarray) -> list[Candidate]:
        if on_front.any():
            places = np.flatnonzero(on_front)
            log = [scale.logarithm for scale in self.scales]
            picked = places[spread(values[places], self.goal.senses, BASES, log=log)]
        else:  # nothing keeps the constraints yet: the nearest to it
            picked = np.argsort(violations(usable, self.goal), kind="stable")[:BASES]
        return [usable[int(place)].candidate for place in picked]

    def learn(self, usable: Sequence[Outcome], values: np.ndarray, history: Sequence[Outcome]) -> None:
        """Fits a process to every figure, and one to what could be used."""
        uniform = [self.space.sample(self.rng) for _ in range(UNIFORM)]
        self.pool = self._unseen(self._laid_out(uniform))
        self.encode = encoder(self.space, [*self.pool, *(outcome.candidate for outcome in usable)])
        places = informative(values, self.goal.senses, MOST)
        points = self.encode([usable[place].candidate for place in places])
        self.processes = [fit(points, scale.modelled(values[:, j])[places]) for j, scale in enumerate(self.scales)]
        self.bounds = []
        for constraint in self.goal.constraints:
            figures = np.array([outcome.score.figure(constraint.metric) for outcome in usable], dtype=float)
            scale = scale_of(constraint.metric, -1 if constraint.most else 1, figures, own_units=False)
            bound = math.log(max(constraint.bound, 1e-300)) if scale.logarithm else constraint.bound
            self.bounds.append((fit(points, scale.modelled(figures)[places]), scale.sense, bound))
        usables = {outcome.number for outcome in usable}
        labels = np.array([outcome.number in usables for outcome in history], dtype=float)
        if not labels.all():
            some = informative(labels[:, None], [-1], MOST)  # the unusable are the rarer
            self.bounds.append((fit(self.encode([history[i].candidate for i in some]), labels[some]), 1, 0.5))

    def batch(self, n: int) -> list[Candidate]:
        """Up to ``n`` distinct unseen candidates, the most promising first."""
        pool = self.pool
        promise = self._promise(self._beliefs(pool), self.left)
        for _ in range(ROUNDS):
            best = np.argsort(-promise, kind="stable")[:PROMISING]
            near = self._unseen(self._neighbour(pool[int(i)]) for i in best for _ in range(AROUND))
            known = set(pool)
            grown = [candidate for candidate in near if candidate not in known]
            pool, promise = pool + grown, np.append(promise, self._promise(self._beliefs(grown), self.left))
        pool = [pool[int(i)] for i in np.argsort(-promise, kind="stable")[: max(SHORTLIST, 2 * n)]]
        beliefs, left, chosen = self._beliefs(pool), self.left, []
        for _ in range(min(n, len(pool))):
            promise = self._promise(beliefs, left)
            promise[chosen] = -1.0
            index = int(promise.argmax())
            chosen.append(index)
            left = without(left, np.array([gain.expected()[index] for gain in self._gains(beliefs)]))
            for belief in beliefs:
                belief.take(index)
        return [pool[index] for index in chosen]

    def _beliefs(self, pool: Sequence[Candidate]) -> list[Belief]:
        points = self.encode(pool)
        return [Belief(process, points) for process in (*self.processes, *(process for process, _, _ in self.bounds))]

    def _gains(self, beliefs: Sequence[Belief]) -> list[Gain]:
        return [
            Gain(
                mean=belief.mean,
                deviation=belief.deviation,
                sense=scale.sense,
                logarithm=scale.logarithm and not scale.worth_logarithm,
            )
            for belief, scale in zip(beliefs, self.scales, strict=False)
        ]

    def _promise(self, beliefs: Sequence[Belief], left: Boxes) -> np.ndarray:
        """Expected improvement times the probability of keeping all constraints, [pool]."""
        promise = expected_improvement(self._gains(beliefs), left)
        for belief, (_, sense, bound) in zip(beliefs[len(self.scales) :], self.bounds, strict=True):
            promise = promise * probability_above(sense * belief.mean, belief.deviation, sense * bound)
        return promise

    def _laid_out(self, uniform: Iterable[Candidate]) -> list[Candidate]:
        """Fillings of the explored blanks at the held points: uniform ones, crossings of the front, and neighbours."""
        found = [self._at(self.bases[i % len(self.bases)], draw) for i, draw in enumerate(uniform)]
        for base in self.bases:
            found += [self._at(base, other) for other in self.bases]
            for _ in range(AROUND // 2):
                found.append(self._neighbour(base))
                other = self.bases[int(self.rng.integers(len(self.bases)))]
                found.append(self._at(base, other, share=0.5))
        return found

    def _at(self, base: Candidate, other: Candidate, share: float = 1.0) -> Candidate:
        """The base with a share of the explored blanks filled as in another."""
        taken = self.rng.random(len(self.blanks)) < share
        return Candidate({**base, **{name: other[name] for name, take in zip(self.blanks, taken, strict=True) if take}})

    def _neighbour(self, base: Candidate) -> Candidate:
        """The base with one explored blank moved, or a few."""
        hit = self.rng.random(len(self.blanks)) * len(self.blanks) < self.rng.integers(1, 4)
        hit[int(self.rng.integers(len(self.blanks)))] = True
        moved: dict[str, Value] = {
            name: self._moved(name, base[name]) for name, moves in zip(self.blanks, hit, strict=True) if moves
        }
        return Candidate({**base, **moved})

    def _moved(self, name: str, value: Value) -> Value:
        """Mostly a step, now and then anywhere."""
        distribution = self.space.blanks[name]
        return draw_blank(distribution, self.rng) if self.rng.random() < 0.2 else move(distribution, value, self.rng)

    def _unseen(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        return [form for form in dict.fromkeys(forms(self.space, candidates)) if form not in self.taken]
