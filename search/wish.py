"""Wish: which lottery tickets to make of a finalist, and how, as the command line says it."""

import math
from dataclasses import dataclass

from evaluators.pruning.masks import CHANNELS, Pruning, check_sparsity
from evaluators.pruning.methods import METHODS
from evaluators.pruning.rules import WEIGHT_BITS
from search.config import Config
from spaces.errors import OptionError, unknown

STARTS = ("inherited", "fresh", "trained")
OPTIMISERS = ("adam", "sgd")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Which tickets to make, and how; ``launch.py prune --help`` describes all of it.

    Raises:
        OptionError: a value breaks its rule.
    """

    method: str = "imp"
    sparsities: tuple[float, ...] = ()
    pattern: str = "weights"
    budget: str = "global"
    floor: float = 0.0
    spare: tuple[str, ...] = ()
    epochs: int | None = None
    rewind_epoch: int = 1
    start: str | None = None
    optimiser: str = "adam"
    learning_rate: float | None = None
    weight_decay: float = 0.0
    spike_penalty: float = 0.0
    weight_bits: int | None = None
    fading_rate: float = 0.02

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise OptionError(f"--method: {unknown('method', self.method, METHODS)}")
        for name, choices in (("start", STARTS), ("optimiser", OPTIMISERS), ("weight_bits", WEIGHT_BITS)):
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise OptionError(f"--{name.replace('_', '-')}: {unknown('value', value, map(str, choices))}")
        pruning = Pruning(pattern=self.pattern, budget=self.budget, floor=self.floor)
        if self.method == "fading":
            if self.sparsities:
                raise OptionError("--sparsity: what goes in method fading the firing rates decide; give --fading-rate")
            if self.pattern not in (CHANNELS, "weights") or self.weight_bits is not None:
                what = f"--weight-bits {self.weight_bits}" if self.weight_bits else f"--pattern {self.pattern}"
                raise OptionError(f"{what}: method fading takes whole channels of float weights: drop it")
            object.__setattr__(self, "pattern", CHANNELS)
        elif pruning.group != (0, 0):
            own = 1 - pruning.group[0] / pruning.group[1]
            if any(abs(sparsity - own) > 1e-9 for sparsity in self.sparsities):
                raise OptionError(f"--pattern {self.pattern} is a sparsity of {own:g}: leave --sparsity out")
            object.__setattr__(self, "sparsities", (own,))
        elif not self.sparsities:
            object.__setattr__(self, "sparsities", (0.9,))
        object.__setattr__(self, "sparsities", tuple(sorted({check_sparsity(s) for s in self.sparsities})))
        for name, low, high in (("epochs", 1, 10**6), ("rewind_epoch", 0, 10**6)):
            if (value := getattr(self, name)) is not None and not low <= value <= high:
                raise OptionError(f"--{name.replace('_', '-')} {value} is out of range: give {low} to {high}")
        for name in ("weight_decay", "spike_penalty", "fading_rate"):
            if not (math.isfinite(value := getattr(self, name)) and value >= 0):
                raise OptionError(f"--{name.replace('_', '-')} {value} is out of range: give a finite number from 0 on")
        if self.learning_rate is not None and not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise OptionError(f"--learning-rate {self.learning_rate} is out of range: give a finite number above 0")


def parse_sparsities(text: str) -> tuple[float, ...]:
    """``0.9`` or ``0.5,0.9``; raises OptionError for anything else."""
    try:
        return tuple(check_sparsity(float(part)) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise OptionError(f"--sparsity {text!r}: write shares of the weights, as 0.9 or 0.5,0.8,0.95") from error


def wish_of(config: Config) -> Wish:
    """The tickets that a search shall make of its finalists; raises OptionError where they cannot be."""
    if config.finalists < 1:
        raise OptionError(f"--prune {config.prune} prunes finalists: give --finalists 1 or more")
    fading = config.prune == "fading"
    return Wish(method=config.prune or "", sparsities=() if fading else parse_sparsities(config.sparsity))
