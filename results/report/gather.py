"""What the report is made of, read from the run folder: configuration, outcomes, finalists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.bounds import bounds_of
from results.classes import are_unequal
from results.folder import RunFolder
from results.ledger import Outcome, read
from results.predicted import Predicted, read_predicted
from results.reasons import why_fewer
from results.stored import read_drawing, read_metrics
from results.table import front_numbers
from results.tickets import read_tickets
from results.timing import TimePlan, read_plan, told
from spaces.candidate import BALANCED, figure_names
from spaces.terminal import text_name


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """One trained finalist as its folder tells it.

    Attributes:
        number: line of the ledger with the supernet score it was picked by.
        trained: line of the ledger with its score after training, None if it is not there.
        metrics: its metrics.json.
        architecture: its architecture.json, empty if it is not there.
        tickets: metrics of its lottery tickets.
    """

    number: int
    trained: int | None
    metrics: Mapping[str, Any]
    architecture: Mapping[str, Any]
    tickets: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """Everything a report shows.

    Attributes:
        name: name of the run's folder.
        config: the resolved configuration.
        table: name of the benchmark table that gave the scores, empty if there is none.
        objectives, senses: what was searched for, and +1 (maximise) or -1 (minimise) for each.
        outcomes: the ledger, in order.
        front: numbers of the outcomes on the front of their own fidelity.
        blanks: names of the blanks, in order of first appearance.
        finalists: by validation accuracy, best first, those that break a bound last.
        training: numbers of finalists whose folder holds no metrics yet.
        reference: the reference point of the hypervolume, in the objectives' order; empty if there is none.
        predicted: how well scores could be predicted; None before the search has ended.
    """

    name: str
    config: Mapping[str, Any]
    table: str
    objectives: list[str]
    senses: list[int]
    outcomes: list[Outcome]
    front: set[int]
    blanks: list[str]
    finalists: list[Finalist]
    training: list[int]
    reference: list[float]
    predicted: Predicted | None
    plan: TimePlan | None = None

    @property
    def sweep(self) -> bool:
        """Whether every candidate was trained alone, without a supernet."""
        return (self.config.get("config") or {}).get("train_epochs") is not None

    @property
    def shortage(self) -> str:
        """Why a search that has ended gave fewer finalists than it was asked for; empty where it did not."""
        ended = self.predicted is not None and not self.training
        if self.plan is not None and len(self.finalists) == self.plan.finalists:
            return ""
        return why_fewer(self.outcomes, self.config, len(self.finalists)) if ended and self.front else ""

    @property
    def time(self) -> str:
        """How the run's time was shared out; empty where it was given none."""
        return "" if self.plan is None else told(self.plan, self.config.get("config") or {})

    @property
    def balance(self) -> bool:
        """Whether balanced accuracy is shown: where the goal names it, or classes clearly differ in size."""
        named = [*self.objectives, *(bound.metric for bound in bounds_of(self.config["match"]))]
        return BALANCED in named or are_unequal(self.config.get("task") or {})

    @property
    def quality(self) -> str:
        """The figure that is drawn upwards: an accuracy if there is any, else the first objective to maximise.

        It is balanced accuracy where that is an objective.
        """
        if (BALANCED, 1) in zip(self.objectives, self.senses, strict=True):
            return BALANCED
        if any(outcome.score.accuracy is not None for outcome in self.outcomes):
            return "accuracy"
        upwards = [name for name, sense in zip(self.objectives, self.senses, strict=True) if sense > 0]
        return (upwards or self.objectives or ["accuracy"])[0]

    @property
    def figures(self) -> list[str]:
        """Names of the figures to show, which at least one outcome has: METRICS, then further columns."""
        scores = [outcome.score for outcome in self.outcomes]
        names = [name for name in figure_names(scores) if name != BALANCED or self.balance]
        return [name for name in names if any(score.figure(name) is not None for score in scores)]


def gather(folder: RunFolder) -> Gathered:
    """Read the run folder; missing parts of an unfinished run are simply empty.

    Raises:
        RunError: the configuration, predictor.json or a finalist's file is damaged.
        LedgerError: the ledger holds a corrupt line.
    """
    config = folder.read_config()
    outcomes, _ = read(folder.ledger)
    objectives, senses = _objectives(config["match"].get("objectives") or ["accuracy:max", "spikes:min"])
    numbers = folder.finalist_numbers()
    stored = {number: metrics for number in numbers if (metrics := read_metrics(folder, number)) is not None}
    finalists = [_finalist(folder, number, metrics, outcomes) for number, metrics in stored.items()]
    return Gathered(
        name=text_name(folder.path.resolve()),
        config=config,
        table=Path((config.get("config") or {}).get("table") or "").name,
        objectives=objectives,
        senses=senses,
        outcomes=outcomes,
        front=front_numbers(outcomes, objectives, senses),
        blanks=list(dict.fromkeys(blank for outcome in outcomes for blank in outcome.candidate)),
        finalists=sorted(finalists, key=lambda one: _rank(one, objectives)),
        training=[number for number in numbers if number not in stored],
        reference=_reference(config["match"].get("reference") or [], objectives),
        predicted=read_predicted(folder),
        plan=read_plan(folder),
    )


def _rank(one: Finalist, objectives: Sequence[str]) -> tuple[bool, float]:
    """Feasible ones first, best validation accuracy first, balanced accuracy where that is an objective.

    The test split is looked at, never chosen by.
    """
    quality = BALANCED if BALANCED in objectives else "accuracy"
    return one.metrics.get("state", "ok") != "ok", -(one.metrics.get(f"val_{quality}") or 0.0)


def _objectives(texts: list[str]) -> tuple[list[str], list[int]]:
    pairs = [text.rpartition(":")[::2] for text in texts]
    return [name for name, _ in pairs], [1 if sense == "max" else -1 for _, sense in pairs]


def _reference(texts: list[str], objectives: list[str]) -> list[float]:
    values = {name: float(value) for name, _, value in (text.rpartition("=") for text in texts)}
    return [values[name] for name in objectives if name in values]


def _finalist(folder: RunFolder, number: int, metrics: dict[str, Any], outcomes: list[Outcome]) -> Finalist:
    trained = None
    if number < len(outcomes):
        key = outcomes[number].candidate.key
        same = [o.number for o in outcomes if o.score.fidelity == "trained" and o.candidate.key == key]
        trained = same[-1] if same else None
    return Finalist(
        number=number,
        trained=trained,
        metrics=metrics,
        architecture=read_drawing(folder, number) or {},
        tickets=read_tickets(folder, number),
    )
