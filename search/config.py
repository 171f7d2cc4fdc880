"""Config: the whole experiment as one frozen, JSON-able dataclass. Nothing heavy is imported here."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from spaces.errors import OptionError, RunError, unknown

NOT_MATCHED = ("data_dir", "download", "verify", "out")  # may change between a run and its resume


@dataclass(frozen=True, kw_only=True)
class Config:
    """All options of a search, with the command line's defaults; ``launch.py search --help`` describes them."""

    space: str = "autosnn"
    width: int = 16
    timesteps: int = 4
    neuron: str = "plif"
    compile: bool = True
    data: str = "digits"
    data_dir: str = "data"
    download: bool = False
    verify: bool = True
    train_samples: int | None = None
    val_samples: int | None = None
    seed: int = 0
    supernet_weights: str = "entangled"
    supernet_epochs: int = 6
    batch_size: int = 32
    learning_rate: float = 4e-3
    loss: str = "ce"
    logit_scale: float = 10.0
    norm_scale: float = 2.0
    head_gain: float = 1.0
    kernel_init: str = "identity"
    recalibration_samples: int = 128
    sampler: str = "evolution"
    spike_weight: float = -0.08
    objectives: tuple[str, ...] = ("accuracy", "spikes", "energy_nj")
    constraints: tuple[str, ...] = ()
    candidates: int = 200
    minutes: float | None = None
    batch: int = 20
    finalists: int = 3
    finalist_epochs: int = 5
    finalist_weights: str = "inherited"
    energy_model: str = "horowitz-45nm-fp32"
    device: str = "auto"
    threads: int | None = None
    out: str | None = None

    def __post_init__(self) -> None:
        for name, lowest in LOWEST.items():
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= lowest):
                raise OptionError(f"{flag(name)} {value} is out of range: give a number of at least {lowest:g}")
        for name in POSITIVE:
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise OptionError(f"{flag(name)} {value} is out of range: give a finite number above 0")
        if not math.isfinite(self.spike_weight):
            raise OptionError(f"--spike-weight {self.spike_weight} is out of range: give a finite number, e.g. -0.08")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise OptionError(f"{flag(name)}: {unknown('value', getattr(self, name), choices)}")

    def match(self) -> dict[str, Any]:
        """What a resume must agree with: everything that the results depend on."""
        return {name: value for name, value in to_json(self).items() if name not in NOT_MATCHED}


LOWEST = {
    "width": 1,
    "timesteps": 1,
    "train_samples": 1,
    "val_samples": 1,
    "seed": 0,
    "supernet_epochs": 1,
    "batch_size": 2,
    "recalibration_samples": 0,
    "candidates": 1,
    "batch": 1,
    "finalists": 0,
    "finalist_epochs": 1,
    "threads": 1,
}
POSITIVE = ("learning_rate", "logit_scale", "norm_scale", "head_gain", "minutes")
CHOICES = {
    "supernet_weights": ("entangled", "separate"),
    "loss": ("ce", "mse"),
    "kernel_init": ("identity", "uniform"),
    "finalist_weights": ("inherited", "fresh"),
}


def flag(name: str) -> str:
    """The command-line spelling of a field."""
    return "--" + name.replace("_", "-")


def to_json(config: Config) -> dict[str, Any]:
    """The configuration as plain JSON values."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(config).items()}


def from_json(values: Mapping[str, Any]) -> Config:
    """The configuration that ``to_json`` wrote.

    Raises:
        RunError: a field is missing, unknown or of another type.
    """
    known = {field.name: field for field in fields(Config)}
    if (strange := sorted(set(values) ^ set(known))) or not isinstance(values, Mapping):
        raise RunError(
            f"config.json was written by another version: fields {', '.join(strange)} differ; start a new run"
        )
    defaults = Config()
    for name, value in values.items():
        wanted = getattr(defaults, name)
        fits = (
            value is None
            or wanted is None
            or isinstance(value, type(wanted))
            or (isinstance(wanted, float) and isinstance(value, int))
            or (isinstance(wanted, tuple) and isinstance(value, list))
        )
        if not fits:
            raise RunError(
                f"config.json: {name} is {value!r}, not a {type(wanted).__name__}; mend it or start a new run"
            )
    return Config(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
