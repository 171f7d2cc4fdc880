"""Config: the whole experiment as nested frozen dataclasses by who reads them. Nothing heavy is imported here."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

from search.options.declare import Declared, declared, values_in
from search.options.how import (
    FinalistOptions,
    SearchOptions,
    SupernetOptions,
    SweepOptions,
    TicketOptions,
    TrainingOptions,
)
from search.options.rules import check_together
from search.options.what import DataOptions, GoalOptions, SpaceOptions, TableOptions
from search.options.where import MachineOptions, WorkerOptions
from spaces.credentials import hide_all
from spaces.errors import OptionError, RunError, one_line, unknown


@dataclass(frozen=True, kw_only=True)
class Config:
    """All options of a search or a sweep, with the command line's defaults; a part of the program takes its part.

    Options have flat names, too: those of the command line, of config.json and of keywords in Python. A run's
    config.json spells out what None stands for.
    """

    space: SpaceOptions = field(default_factory=SpaceOptions)
    table: TableOptions = field(default_factory=TableOptions)
    data: DataOptions = field(default_factory=DataOptions)
    goal: GoalOptions = field(default_factory=GoalOptions)
    search: SearchOptions = field(default_factory=SearchOptions)
    sweep: SweepOptions = field(default_factory=SweepOptions)
    supernet: SupernetOptions = field(default_factory=SupernetOptions)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    finalists: FinalistOptions = field(default_factory=FinalistOptions)
    tickets: TicketOptions = field(default_factory=TicketOptions)
    workers: WorkerOptions = field(default_factory=WorkerOptions)
    machine: MachineOptions = field(default_factory=MachineOptions)

    def __post_init__(self) -> None:
        check_together(self)


TITLES = {
    "space": "space: what can be built",
    "table": "table: search a benchmark of trained networks, in seconds",
    "data": "data",
    "goal": "goal: what counts",
    "search": "search: what to try next, and for how long",
    "sweep": "sweep: a run for each space, data set and seed",
    "supernet": "supernet: one network that holds every candidate (README: what each piece gives)",
    "training": "training: of the supernet, its finalists, a sweep",
    "finalists": "finalists: the candidates that are trained",
    "tickets": "tickets: sparse networks of the finalists",
    "workers": "workers: who scores candidates (results do not depend on it)",
    "machine": "machine",
}
PARTS: Mapping[str, type] = MappingProxyType({one.name: one.default_factory for one in fields(Config)})
OPTIONS: Mapping[str, Declared] = MappingProxyType(
    {name: one for part in PARTS.values() for name, one in declared(part).items()}
)
PART_OF: Mapping[str, str] = MappingProxyType({name: part for part, kind in PARTS.items() for name in declared(kind)})
RENAMED = {"table_blanks": "table_choices"}  # flat names of earlier versions -> today's
SWEEP_DEFAULTS = {
    **{"train_epochs": 10, "candidates": 50, "batch": 8, "sampler": "dual", "runner": "tune"},
    "finalist_weights": "fresh",
}


def configure(verb: str = "search", /, **values: Any) -> Config:  # noqa: ANN401
    """The configuration of a verb, ``search`` or ``sweep``, with some options by their flat names.

    Raises:
        OptionError: an option is unknown, or a value breaks its rule.
        TypeError: a value is of another type.
    """
    base = change(Config(), **SWEEP_DEFAULTS) if verb == "sweep" else Config()
    return change(base, **values)


def change(config: Config, /, **values: Any) -> Config:  # noqa: ANN401
    """The configuration with some options changed, by their flat names; errors as of ``configure``."""
    parts: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        if name not in OPTIONS:
            raise OptionError(unknown("option", name, OPTIONS))
        parts.setdefault(PART_OF[name], {})[OPTIONS[name].field] = value
    return replace(config, **{part: replace(getattr(config, part), **own) for part, own in parts.items()})


def values_of(config: Config) -> dict[str, Any]:
    """All values by flat name."""
    return {name: value for part in PARTS for name, value in values_in(getattr(config, part)).items()}


def to_json(config: Config) -> dict[str, Any]:
    """The configuration as plain JSON values by flat name, without credentials."""
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values_of(config).items()}
    return hide_all(plain)


def matched(config: Config) -> dict[str, Any]:
    """What a resume must agree with: everything that the results depend on."""
    return {name: value for name, value in to_json(config).items() if OPTIONS[name].option.matched}


def renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    """What an earlier version wrote, under today's names."""
    return {RENAMED.get(name, name): value for name, value in values.items()}


def from_json(values: Any) -> Config:  # noqa: ANN401
    """The configuration that ``to_json`` wrote; a field that its version did not have yet is at its default.

    Raises:
        RunError: a field is unknown or of another type.
    """
    if not isinstance(values, Mapping):
        raise RunError("config.json holds no configuration: it is damaged or of another version; start a new run")
    values = renamed(values)
    if strange := sorted(map(str, set(values) - set(OPTIONS))):
        raise RunError(f"config.json is of another version: fields {', '.join(strange)} differ; start a new run")
    try:
        plain = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return configure(**plain)
    except (TypeError, ValueError, OptionError) as error:
        raise RunError(f"config.json is damaged ({one_line(error)}); mend it or start a new run") from error
