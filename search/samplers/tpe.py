"""Multivariate, multi-objective TPE (Ozaki et al., 2022), by Optuna.

The study lives in memory and is rebuilt from the history for every batch with a sampler seeded by the batch: Optuna's
sampler has hidden state, and this is how it replays exactly. Optuna repeats points; those seen before are asked again.
"""

import warnings
from collections.abc import Sequence

import optuna

from results.ledger import Outcome
from search.loop.goal import Goal
from search.samplers.constraints import misses
from search.samplers.unseen import distinct
from spaces.candidate import Candidate
from spaces.seeds import derive, numpy_generator
from spaces.space import Space

STARTUP = 20


def sample(space: Space, history: Sequence[Outcome], n: int, seed: int, goal: Goal) -> list[Candidate]:
    """``n`` unseen candidates; random until 20 have been scored."""
    rng = numpy_generator(seed, "tpe", "fallback")
    seen = [outcome.candidate for outcome in history]
    if len(history) < STARTUP:
        return distinct(space, seen, n, rng)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(multivariate=True, n_startup_trials=0, seed=derive(seed, "tpe") % 2**32)
    study = optuna.create_study(
        directions=["maximize" if sense > 0 else "minimize" for sense in goal.senses], sampler=sampler
    )
    study.add_trials([trial for outcome in history if (trial := _trial(space, outcome, goal)) is not None])

    def propose() -> Candidate:
        trial = study.ask(fixed_distributions=dict(space.blanks))
        return Candidate({name: trial.params[name] for name in space.blanks})

    return distinct(space, seen, n, rng, propose)


def _trial(space: Space, outcome: Outcome, goal: Goal) -> optuna.trial.FrozenTrial | None:
    """An outcome as Optuna sees it; None for one that has no values (a failure), which TPE cannot learn from."""
    values = goal.values([outcome.score])[0]
    if not all(value == value for value in values):
        return None
    return optuna.trial.create_trial(
        params=dict(outcome.candidate),
        distributions=dict(space.blanks),
        values=list(values),
        constraints=misses(outcome.score, goal) or None,
    )
