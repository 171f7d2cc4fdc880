"""The time of a run that was given some: how it was planned, and how it was shared out; ``plan.json`` in its folder."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from results.folder import RunFolder
from spaces.checksums import read_json, write_json
from spaces.errors import DamageError

STAGES = ("start", "supernet", "scoring", "finalists")
WAY_OUT = "restore it, or remove it: a resume plans what is left anew"


@dataclass(frozen=True, kw_only=True)
class TimePlan:
    """What is planned; None where it is not yet. A resume keeps to what stands here.

    Attributes:
        minutes: that the run was given.
        supernet_epochs, few_shot_epochs: of the supernet's training.
        pace: seconds of a step of the supernet's training, at the smallest T of its schedule and at full T.
        scoring_seconds: for scoring, and asking the sampler, together.
        candidates: that were scored when that time was over.
        finalists: that are trained.
        finalist_epochs: of each.
        shortened: whether they are trained at a smaller T for a part, as the supernet is.
        spent: seconds so far of each of STAGES, over all sessions.
    """

    minutes: float
    supernet_epochs: int | None = None
    few_shot_epochs: int | None = None
    pace: tuple[float, float] | None = None
    scoring_seconds: float | None = None
    candidates: int | None = None
    finalists: int | None = None
    finalist_epochs: int | None = None
    shortened: bool = False
    spent: Mapping[str, float] = field(default_factory=dict)

    def after(self, stage: str, seconds: float) -> "TimePlan":
        """The plan once so many more seconds went into a stage."""
        return replace(self, spent={**self.spent, stage: self.spent.get(stage, 0.0) + seconds})


def read_plan(folder: RunFolder) -> TimePlan | None:
    """The plan of a run; None where it has none.

    Raises:
        DamageError: the file is damaged or was edited.
    """
    stored = read_json(folder.plan, "plan of the time", WAY_OUT)
    if stored is None:
        return None
    try:
        plan = TimePlan(**{one.name: stored[one.name] for one in fields(TimePlan) if one.name in stored})
        numbers = [plan.minutes, *(plan.pace or ()), *plan.spent.values()]
        whole = [plan.supernet_epochs, plan.few_shot_epochs, plan.candidates, plan.finalists, plan.finalist_epochs]
        sound = all(isinstance(one, int | float) and one >= 0 for one in numbers) and set(plan.spent) <= set(STAGES)
        if plan.pace is not None and len(plan.pace) != 2:
            raise ValueError
        if not (sound and all(one is None or (isinstance(one, int) and one >= 0) for one in whole)):
            raise ValueError
    except (TypeError, ValueError, AttributeError) as error:
        raise DamageError(f"plan {str(folder.plan)!r} is damaged or was edited", WAY_OUT) from error
    return plan


def write_plan(folder: RunFolder, plan: TimePlan) -> None:
    """Keeps the plan."""
    write_json(folder.plan, asdict(plan))


def told(plan: TimePlan, config: Mapping[str, Any]) -> str:
    """One sentence on how the time of a run was shared out; ``config`` holds its options by flat name."""
    spent = plan.spent
    parts = [f"start {spent['start']:.0f} s"] if "start" in spent else []
    if "supernet" in spent:
        of = f" of {config['supernet_epochs']}" if plan.supernet_epochs != config.get("supernet_epochs") else ""
        parts.append(f"supernet {spent['supernet']:.0f} s ({_counted(plan.supernet_epochs, 'epoch', of)})")
    if "scoring" in spent:
        amount = f" ({_counted(plan.candidates, 'candidate')})" if plan.candidates is not None else ""
        parts.append(f"scoring {spent['scoring']:.0f} s{amount}")
    if "finalists" in spent:
        of = f" of {config['finalists']}" if plan.finalists != config.get("finalists") else ""
        less = f" of {config['finalist_epochs']}" if plan.finalist_epochs != config.get("finalist_epochs") else ""
        short = ", a part at a smaller T" if plan.shortened else ""
        how = f"{plan.finalists}{of}, {_counted(plan.finalist_epochs, 'epoch', less)} each{short}"
        parts.append(f"finalists {spent['finalists']:.0f} s ({how})")
    return f"time: {sum(spent.values()):.0f} s of {plan.minutes * 60:.0f} s: {', '.join(parts)}"


def _counted(number: int | None, what: str, of: str = "") -> str:
    """A number of things.

    >>> _counted(1, "epoch"), _counted(2, "epoch", " of 5")
    ('1 epoch', '2 of 5 epochs')
    """
    return f"{number}{of} {what}{'' if number == 1 and not of else 's'}"
