"""How well untried candidates can be predicted from their blanks: the surrogate of the samplers, cross-validated.

For every objective the candidates are dealt into folds; each fold is predicted by a Gaussian process (``surrogate``)
that was fitted to the others, hyperparameters and all. Folds are stratified by the figure itself: plain ones are of
unequal means, and as the rest of a good fold is worse, even a guess that knows nothing would rank backwards.
"""

import math
from collections.abc import Sequence

import numpy as np

from results.folder import RunFolder
from results.ledger import Outcome
from results.predicted import Forecast, Predicted, read_predicted, write_predicted
from results.trust import agreement
from search.loop.goal import Goal
from search.samplers.bayes import informative
from search.samplers.constraints import usable
from search.samplers.modelled import scale_of
from search.samplers.surrogate import Belief, Points, encoder, fit, one_thread
from spaces.errors import RunError
from spaces.seeds import numpy_generator
from spaces.space import Space

FOLDS = 5
FEWEST = 20  # outcomes that say something
MOST = 100  # outcomes that are learnt from, so that it takes seconds
ITERATIONS = 20  # of each fit: a third of a sampler's, hardly worse
LARGEST = math.log(1e300)


def keep_predicted(folder: RunFolder, space: Space, outcomes: Sequence[Outcome], goal: Goal, seed: int) -> None:
    """Writes predictor.json of a finished search, unless it is there already; what is damaged or older is made anew."""
    searched = [outcome for outcome in outcomes if outcome.batch >= 0]
    try:
        kept = read_predicted(folder)
    except RunError:
        kept = None
    if kept is None or kept.searched != len(searched):
        write_predicted(folder, cross_validate(space, searched, goal, seed=seed))


def cross_validate(space: Space, searched: Sequence[Outcome], goal: Goal, *, seed: int) -> Predicted:
    """Predicts the objectives of searched outcomes, each from those of other folds."""
    learnt = usable(searched, goal)
    counts = {"searched": len(searched), "usable": len(learnt), "folds": FOLDS}
    if len(learnt) < FEWEST:
        return Predicted(**counts, used=0, why=f"{len(learnt)} could be learnt from, {FEWEST} are needed")
    values = goal.values([outcome.score for outcome in learnt])
    places = informative(values, goal.senses, MOST)
    chosen, values = [learnt[place] for place in places], values[places]
    candidates = [outcome.candidate for outcome in chosen]
    forecasts = []
    with one_thread():
        points = encoder(space, candidates)(candidates)
        for j, (name, sense) in enumerate(zip(goal.objectives, goal.senses, strict=True)):
            if np.ptp(values[:, j]) == 0:
                forecasts.append(Forecast(name=name, why="it is the same for all"))
                continue
            folds = deal(values[:, j], FOLDS, numpy_generator(seed, "predictor", name))
            guesses, logarithm = predict(points, values[:, j], folds, name, sense)
            shown = zip((o.number for o in chosen), values[:, j].tolist(), guesses.tolist(), strict=True)
            found = agreement(values[:, j], guesses)
            forecasts.append(Forecast(name=name, logarithm=logarithm, points=tuple(shown), found=found))
    return Predicted(**counts, used=len(chosen), forecasts=tuple(forecasts))


def deal(values: np.ndarray, folds: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Places of values [n] in so many disjoint folds: of neighbours in order each fold gets one, by lot."""
    mixed = rng.permutation(len(values))
    order = mixed[np.argsort(values[mixed], kind="stable")]  # of equal ones, too
    turns = np.concatenate([rng.permutation(folds) for _ in range(0, len(values), folds)])[: len(values)]
    return [np.sort(order[turns == fold]) for fold in range(folds)]


def predict(
    points: Points, values: np.ndarray, folds: Sequence[np.ndarray], name: str, sense: int
) -> tuple[np.ndarray, bool]:
    """Each value [n] as predicted from those of the other folds; and whether their logarithm was."""
    logarithm = scale_of(name, sense, values, own_units=False).logarithm
    guesses = np.zeros(len(values))
    for fold in folds:
        rest = np.setdiff1d(np.arange(len(values)), fold)
        scale = scale_of(name, sense, values[rest], own_units=False)
        process = fit(points[rest], scale.modelled(values[rest]), iterations=ITERATIONS)
        mean = Belief(process, points[fold]).mean
        guesses[fold] = np.exp(np.minimum(mean, LARGEST)) if scale.logarithm else mean
    return guesses, logarithm
