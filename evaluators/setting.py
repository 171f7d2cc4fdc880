"""Setting: everything that scoring depends on besides the candidate and the supernet's weights."""

from dataclasses import dataclass

from evaluators.energy import EnergyModel
from evaluators.few_shot import families
from evaluators.plan import Plan
from evaluators.tasks.task import Task
from spaces.candidate import Value
from spaces.space import Space


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How supernets are made and scored.

    Attributes:
        plan: training.
        path_rule, paths: which paths a step trains, a name in ``PATH_RULES``, and how many.
        entangled: options of a slot share one kernel pair (the smaller use its centre) instead of having their own.
        norm_scale, head_gain, identity: initial values, see ``initialise``.
        few_shot, few_shot_epochs: a blank of which each family of values has a supernet of its own, and the passes over
            the training split that it is trained on for; None: one supernet for all.
        supernets: how many are trained, each under a seed of its own; a candidate's score is the mean over them.
        recalibration_samples: training samples for the BN statistics of what is judged, see ``recalibrate``; 0 keeps
            a supernet's mixture, and the running means of a network trained alone.
        threshold_balancing: a candidate's neurons are made to fire as often as the supernet's, see ``balance``.
    """

    plan: Plan
    path_rule: str = "balanced"
    paths: int = 1
    entangled: bool = True
    norm_scale: float = 2.0
    head_gain: float = 1.0
    identity: bool = True
    few_shot: str | None = None
    few_shot_epochs: int = 0
    supernets: int = 1
    recalibration_samples: int = 128
    threshold_balancing: bool = False

    def families(self, space: Space) -> list[list[Value]]:
        """Values that share a supernet, for each of several; empty where there is one for all."""
        return families(space, self.few_shot) if self.few_shot else []


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is searched, on which data, how it is trained and scored, at which prices, under which seed, and where.

    Scores have columns of ``evaluators.readings`` where these are asked for by name in ``readings``.
    """

    space: Space
    task: Task
    recipe: Recipe
    model: EnergyModel
    seed: int
    device: str = "cpu"
    readings: tuple[str, ...] = ()
