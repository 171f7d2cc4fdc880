"""PruningOptions: which lottery tickets to make of a finalist, and how, as the command line says it."""

from dataclasses import dataclass

from evaluators.pruning.masks import CHANNELS, WEIGHTS, Pruning, check_sparsity
from evaluators.pruning.methods import METHODS
from evaluators.pruning.rules import WEIGHT_BITS
from search.options.config import Config, check_ranges
from search.options.needs import Need
from search.options.parser import parts
from spaces.errors import OptionError, unknown

STARTS = ("inherited", "fresh", "trained")
OPTIMISERS = ("adam", "sgd")


@dataclass(frozen=True, kw_only=True)
class PruningOptions:
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
        check_ranges(self, RANGES)


RANGES = {
    "epochs": (1, 10**6),
    "rewind_epoch": (0, 10**6),
    "learning_rate": (1e-12, 1e6),
    "weight_decay": (0, 1e3),
    "spike_penalty": (0, 1e6),
    "fading_rate": (0, 1e3),
}
NEEDS = (
    Need(("fading_rate",), lambda pruning: pruning.method == "fading", "is of method fading", "add --method fading"),
    Need(
        ("rewind_epoch",),
        lambda pruning: pruning.method in ("imp", "early-time"),
        "is of rounds that go back to it, those of imp and early-time",
        "take one of these as --method",
    ),
    Need(
        ("budget",),
        lambda pruning: pruning.method != "fading",
        "shares out a sparsity, and what goes in method fading the firing rates decide",
        "take another --method",
    ),
    Need(
        ("budget", "floor"),
        lambda pruning: pruning.pattern in (WEIGHTS, CHANNELS),
        "shares out a sparsity, and --pattern N:M is the same in all layers",
        "take --pattern weights or channels",
    ),
)


def parse_sparsities(text: str) -> tuple[float, ...]:
    """``0.9`` or ``0.5,0.9``; raises OptionError for anything else."""
    try:
        return tuple(check_sparsity(float(part)) for part in parts("--sparsity", text))
    except ValueError as error:
        raise OptionError(f"--sparsity {text!r}: write shares of the weights, as 0.9 or 0.5,0.8,0.95") from error


def pruning_options_of(config: Config) -> PruningOptions:
    """The tickets that a search shall make of its finalists; raises OptionError where they cannot be."""
    if config.finalists < 1:
        raise OptionError(f"--prune {config.prune} prunes finalists: give --finalists 1 or more")
    fading = config.prune == "fading"
    return PruningOptions(method=config.prune or "", sparsities=() if fading else parse_sparsities(config.sparsity))
