"""Goal: what a search is after: objectives with their senses, and constraints on the columns of a score."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from evaluators.ladder import Ladder, parse_ladder
from results.bounds import Constraint, floor_of, quality_of, split_bound
from search.options.config import Config
from spaces.candidate import ACCURACIES, METRICS, READINGS, Frozen, Score
from spaces.errors import OptionError, unknown

SENSES = dict.fromkeys(METRICS, -1) | dict.fromkeys((*ACCURACIES, *READINGS), 1)
WAYS = {"max": 1, "min": -1}
LARGEST = 1e30  # of a bound or a reference point: volumes of some objectives stay finite


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a search is after.

    Attributes:
        objectives: columns of a score. They may be given as ``NAME:max`` or ``NAME:min``, and must be where the name
            is not one of SENSES, of which accuracies, separability and alignment are maximised and all else minimised;
            they are kept as names.
        senses: +1 for each objective to maximise, -1 to minimise; follows from ``objectives`` unless it is given.
        constraints: bounds on columns.
        spike_weight: evolution's.
        reference: value of each objective at the reference point of the hypervolume; empty if there is none.
        ladder: rungs on which candidates are paid for in parts; empty where each is paid for at once.
        chance: what a guess has of a figure, by name; 0 of what is not named.
        floor: share of the way from chance to the best accuracy that is the least of interest; see ``floored``.

    Raises:
        OptionError: an objective is spelled wrongly or twice, or the reference point leaves one out.
    """

    objectives: tuple[str, ...]
    senses: tuple[int, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    spike_weight: float = -0.08
    reference: Mapping[str, float] = field(default_factory=dict)
    ladder: Ladder = ()
    chance: Mapping[str, float] = field(default_factory=dict)
    floor: float = 0.0

    def __post_init__(self) -> None:
        if not self.senses:
            pairs = [parse_objective(text) for text in self.objectives]
            object.__setattr__(self, "objectives", tuple(name for name, _ in pairs))
            object.__setattr__(self, "senses", tuple(sense for _, sense in pairs))
        names = self.objectives
        if len(set(names)) < len(names) or not names:
            raise OptionError(f"--objectives {','.join(names)!r}: name each once, e.g. accuracy,spikes,energy_nj")
        for name in self.reference:
            if name not in names:
                raise OptionError(f"--reference: {unknown('objective', name, names)}")
        if self.reference and (missing := [name for name in names if name not in self.reference]):
            raise OptionError(f"--reference leaves out {', '.join(missing)}: give every objective's value, or none")
        object.__setattr__(self, "chance", Frozen(self.chance))
        object.__setattr__(self, "reference", Frozen({name: self.reference[name] for name in names if self.reference}))

    @property
    def spelled(self) -> list[str]:
        """Objectives with their senses, as ``accuracy:max``."""
        return [
            f"{name}:{'max' if sense > 0 else 'min'}" for name, sense in zip(self.objectives, self.senses, strict=True)
        ]

    @property
    def quality(self) -> str | None:
        """The first of QUALITIES that is maximised; None where none is."""
        return quality_of(self.spelled)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that counts: those of the objectives, then those of the constraints."""
        return tuple(dict.fromkeys((*self.objectives, *(constraint.metric for constraint in self.constraints))))

    def values(self, scores: Sequence[Score]) -> np.ndarray:
        """Objectives as float64 [n, objectives]; NaN where a score lacks one."""
        rows = [[math.nan if (v := s.figure(name)) is None else v for name in self.objectives] for s in scores]
        return np.array(rows, dtype=float).reshape(len(scores), len(self.objectives))

    def floored(self, scores: Iterable[Score]) -> "Goal":
        """The goal with one bound more: a least accuracy, ``floor`` of the way from chance to the best of ``scores``.

        A network that hardly spikes is on the front by its few spikes, whatever it says; without a floor a search
        spends half of its candidates there. None is set where accuracy is no objective, or has a bound as it is. Of
        balanced accuracy where that is an objective; and of separability or alignment where that is one in place of
        accuracy, from 0, which is what knows nothing has.
        """
        bound = floor_of(scores, self.quality, self.constraints, chance=self.chance, share=self.floor)
        return self if bound is None else replace(self, constraints=(*self.constraints, bound))

    def judge(self, score: Score) -> Score:
        """The score, made infeasible with its reason where it breaks a constraint."""
        broken = [c for c in self.constraints if c.violation(score) > 0]
        if score.state != "ok" or not broken:
            return score
        return replace(score, state="infeasible", error="; ".join(c.breach(score) for c in broken))


def parse_objective(text: str) -> tuple[str, int]:
    """Name and sense of ``NAME:max``, ``NAME:min``, or one of SENSES; raises OptionError for anything else."""
    name, colon, way = text.rpartition(":")
    if not colon:
        name = text
        if name not in SENSES:
            raise OptionError(f"--objectives: {unknown('objective', name, SENSES)}; a table's: NAME:max or NAME:min")
        return name, SENSES[name]
    if way not in WAYS or not name:
        raise OptionError(f"--objectives {text!r}: write NAME:max or NAME:min")
    return name, WAYS[way]


def make_goal(config: Config, known: Sequence[str] = tuple(SENSES)) -> Goal:
    """The goal a configuration states, on ``known`` columns.

    Raises:
        OptionError: an objective, constraint or reference point is spelled wrongly, or of no known column.
    """
    goal = Goal(
        objectives=config.goal.objectives,
        constraints=parse_constraints(config.goal.constraints, known),
        spike_weight=config.search.spike_weight,
        reference=parse_reference(config.goal.reference),
    )
    goal = replace(goal, ladder=parse_ladder(config.table.fidelities, goal.objectives))
    for name in goal.objectives:
        if name not in known:
            raise OptionError(f"--objectives: {unknown('objective', name, known)}")
    return goal


def parse_reference(texts: Sequence[str]) -> dict[str, float]:
    """``NAME=X`` each; raises OptionError for anything else."""
    reference: dict[str, float] = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        if not name or name in reference:
            raise OptionError(f"--reference {text!r}: write NAME=X,NAME=X, each objective once, e.g. accuracy=0.5")
        reference[name] = _number("--reference", name, value)
    return reference


def parse_constraint(text: str, known: Iterable[str] = tuple(SENSES)) -> Constraint:
    """``energy_nj<=500`` or ``accuracy>=0.9`` on one of the ``known`` columns; raises OptionError for anything else."""
    if parts := split_bound(text):
        metric, most, bound = parts
        option = "--max" if most else "--min"
        if metric not in (names := list(known)):
            raise OptionError(f"{option}: {unknown('column', metric, names)}")
        return Constraint(metric=metric, most=most, bound=_number(option, metric, bound))
    raise OptionError(
        f"constraint {text!r}: write --max COLUMN=NUMBER or --min COLUMN=NUMBER, e.g. --max energy_nj=500"
    )


def parse_constraints(texts: Sequence[str], known: Iterable[str] = tuple(SENSES)) -> tuple[Constraint, ...]:
    """Several; raises OptionError where two leave nothing between them."""
    names = list(known)
    constraints = tuple(parse_constraint(text, names) for text in texts)
    for upper in constraints:
        for lower in constraints:
            if upper.metric == lower.metric and upper.most and not lower.most and lower.bound > upper.bound:
                raise OptionError(
                    f"constraints {lower} and {upper} contradict each other: no value keeps both; drop one"
                )
    return constraints


def _number(option: str, name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) <= LARGEST:  # NaN, too
        raise OptionError(f"{option} {name}={text}: the number must be finite, at most {LARGEST:g}, e.g. {name}=100")
    return number
