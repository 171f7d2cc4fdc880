"""Bayesian optimisation over some blanks of a space, the rest held at points of the front: what dual and joint share.

Every figure that counts has a surrogate (``surrogate``): objectives, columns of constraints, and whether a candidate
can be used at all, silent and failed ones being infeasible and not bad. A pool of unseen fillings is laid out: uniform
draws, crossings and neighbours of the front; twice, neighbours of its most promising are added. The batch is picked
from the pool one by one: the largest expected hypervolume improvement (``improvement``) times the probability of
keeping all constraints; what is picked counts as measured at its mean (a kriging believer: Ginsbourger et al., 2010).

On a ladder, candidates that were paid for in part and not given up are options, too. Their readings are calibrated by
those that went to the end and teach the model, with the variance that this leaves; what one of them will come to joins
what the model says without it and its own reading. The option of the largest expected improvement for its price is
taken: the rest of the way for what was begun, and for a new one somewhat less than all of it, since not all go to the
end.

The hypervolume is that of the goal's reference point, in the objectives' own units. Without one it is measured from the
worst seen, counts on a log scale, or from where an objective is bounded, since what is beyond a bound counts nothing.
Which figures are modelled by their logarithm: counts, and what is more likely so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from results.front import pareto_mask, ranks, spread
from results.ledger import Outcome
from search.loop.goal import Goal
from search.loop.rungs import is_partial, latest, rungs_passed
from search.samplers.constraints import usable, violations
from search.samplers.improvement import Boxes, Gain, boxes, expected_improvement, without
from search.samplers.modelled import Scale, scale_of
from search.samplers.nsga2 import move
from search.samplers.partial import Ahead, as_at_the_end, joined
from search.samplers.surrogate import Belief, encoder, fit, one_thread, probability_above
from search.samplers.unseen import distinct, forms
from spaces.candidate import Candidate, Value
from spaces.seeds import numpy_generator
from spaces.space import Space, draw_blank

START = 10  # outcomes before there is a model
MOST = 256  # outcomes that a model holds
CORNERS = 100  # points of the front that improvement is measured from
BASES = 16  # points of the front that the pool is laid around
UNIFORM = 1000
AROUND = 40  # neighbours and crossings of each base
ROUNDS = 2
BEGINNING = 0.8  # price of a new candidate, in full evaluations, where some are given up on the way
PROMISING = 16
SHORTLIST = 400  # of the pool, for the picks of a batch


def propose(
    space: Space, history: Sequence[Outcome], n: int, seed: int, goal: Goal, *, blanks: Sequence[str]
) -> list[Candidate]:
    """``n`` unseen candidates, that differ from points of the front in ``blanks``; random until there is a model."""
    rng = numpy_generator(seed, "bayes")
    seen = [outcome.candidate for outcome in history]
    learnt = usable(latest(history), goal)
    if len(learnt) - sum(map(is_partial, learnt)) < START:
        begun = [outcome.candidate for outcome in learnt if is_partial(outcome)][:n]
        return begun + distinct(space, seen, n - len(begun), rng)
    with one_thread():
        chosen = _Search(space, history, learnt, goal, blanks, rng).batch(n)
    return chosen + distinct(space, seen + chosen, n - len(chosen), rng)


def informative(values: np.ndarray, senses: Sequence[int], most: int) -> np.ndarray:
    """Places [<= most] of the outcomes to learn from: the half of best rank, and the rest evenly over time."""
    if len(values) <= most:
        return np.arange(len(values))
    order = np.argsort(ranks(values, senses), kind="stable")
    best, rest = order[: most // 2], np.sort(order[most // 2 :])
    return np.sort(np.concatenate([best, rest[np.linspace(0, len(rest) - 1, most - len(best)).astype(int)]]))


def reference_point(goal: Goal, scales: Sequence[Scale], values: np.ndarray) -> np.ndarray:
    """Where hypervolume is measured from, as gains [m]; ``values`` [n, m] are objectives that were seen."""
    if goal.reference:
        return np.array([scale.sense * goal.reference[scale.name] for scale in scales], dtype=float)
    found = []
    for j, scale in enumerate(scales):
        modelled = scale.modelled(values[:, j])  # outliers drawn in
        gains = scale.gains(np.exp(modelled) if scale.logarithm else modelled)
        worst = gains.min() - 0.01 * np.ptp(gains)
        own = [bound for bound in goal.constraints if bound.metric == scale.name and bound.most == (scale.sense < 0)]
        found.append(max([worst, *scale.gains(np.array([bound.bound for bound in own]))]))
    return np.array(found)


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
        full = np.array([not is_partial(outcome) for outcome in usable])
        own_units = bool(goal.reference)
        self.scales = [
            scale_of(name, sense, values[full, j], own_units=own_units)
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
        self.left = boxes(gains[corners], reference_point(goal, self.scales, values[full]))
        self.bases = self._bases(usable, values, on_front)
        self.learn(usable, values, history)

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
        learnt = [usable[place] for place in places]
        points = self.encode([outcome.candidate for outcome in learnt])
        ladder, bounds = self.goal.ladder, self.goal.constraints
        read = {name for rung in ladder for name in rung.readings}  # partial outcomes do not show these at the end
        shown = replace(self.goal, constraints=tuple(bound for bound in bounds if bound.metric not in read))
        passed, kept = rungs_passed(history), violations(learnt, shown) == 0
        begun = [i for i, outcome in enumerate(learnt) if is_partial(outcome) and kept[i]]
        self.begun = [learnt[i].candidate for i in begun]
        self.rest = [1 - ladder[passed[candidate] - 1].share for candidate in self.begun]
        self.processes, self.ahead = [], []
        for scale in self.scales:
            figures, extra = (of[places] for of in as_at_the_end(usable, history, ladder, scale))
            self.processes.append(fit(points, figures, extra))
            self.ahead.append(joined(self.processes[-1], figures, extra, begun))
        self.bounds, self.chance = [], np.ones(len(self.begun))
        for constraint in bounds:
            sense = -1 if constraint.most else 1
            if constraint.metric in read:
                j = self.goal.objectives.index(constraint.metric)
                process, scale = self.processes[j], self.scales[j]
            else:
                figures = np.array([outcome.score.figure(constraint.metric) for outcome in usable], dtype=float)
                scale = scale_of(constraint.metric, sense, figures, own_units=False)
                process = fit(points, scale.modelled(figures)[places])
            bound = float(scale.as_modelled(np.array(constraint.bound)))
            self.bounds.append((process, sense, bound))
            if constraint.metric in read:
                ahead = self.ahead[j]
                self.chance *= probability_above(sense * ahead.mean, ahead.deviation, sense * bound)
        usables, last = {outcome.number for outcome in usable}, latest(history)
        labels = np.array([outcome.number in usables for outcome in last], dtype=float)
        if not labels.all():
            some = informative(labels[:, None], [-1], MOST)  # the unusable are the rarer
            self.bounds.append((fit(self.encode([last[i].candidate for i in some]), labels[some]), 1, 0.5))

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
        options, begun = [*pool, *self.begun], self._gains(self.ahead)
        prices = np.array([BEGINNING] * len(pool) + self.rest)
        for _ in range(min(n, len(options))):
            going_on = expected_improvement(begun, left) * self.chance
            promise = np.append(self._promise(beliefs, left), going_on) / prices
            promise[chosen] = -1.0
            index = int(promise.argmax())
            chosen.append(index)
            new = index < len(pool)
            gains, at = (self._gains(beliefs), index) if new else (begun, index - len(pool))
            left = without(left, np.array([gain.expected()[at] for gain in gains]))
            for belief in beliefs if new else ():
                belief.take(index)
        return [options[index] for index in chosen]

    def _beliefs(self, pool: Sequence[Candidate]) -> list[Belief]:
        points = self.encode(pool)
        return [Belief(process, points) for process in (*self.processes, *(process for process, _, _ in self.bounds))]

    def _gains(self, beliefs: Sequence[Belief | Ahead]) -> list[Gain]:
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
