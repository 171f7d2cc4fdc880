"""PruningOptions: which lottery tickets to make of a finalist, and how, declared like the options of a search."""

from dataclasses import dataclass

from evaluators.pruning.pattern import BUDGETS, CHANNELS, NAMES, WEIGHT_BITS, WEIGHTS, Pruning, check_sparsity
from search.options.config import Config
from search.options.declare import check_all, option
from search.options.needs import Need
from search.options.parser import parts
from spaces.errors import OptionError, unknown

STARTS = ("inherited", "fresh", "trained")
OPTIMISERS = ("adam", "sgd")
VERBS = ("prune",)


def _check_method(name: str) -> None:
    if name not in NAMES:
        raise OptionError(f"--method: {unknown('method', name, NAMES)}")


def _check_bits(bits: int) -> None:
    if bits not in WEIGHT_BITS:
        raise OptionError(f"--weight-bits: {unknown('value', bits, map(str, WEIGHT_BITS))}")


@dataclass(frozen=True, kw_only=True)
class PruningOptions:
    """Which tickets to make, and how; ``launch.py prune --help`` describes all of it.

    Raises:
        OptionError: a value breaks its rule.
    """

    method: str = option(
        "imp",
        "imp (iterative magnitude pruning with late rewinding), early-bird, early-time (imp at a "
        "smaller T), eb+et (both), gmp (gradual), dst (RigL-like growth by gradient), stds (dendritic spines), fading "
        "(channels that stay silent go), random (the baseline)",
        check=_check_method,
        verbs=VERBS,
    )
    sparsities: tuple[float, ...] = option(
        (),
        "shares of the weights that go",
        name="sparsity",
        metavar="S,...",
        unset="0.9, or what N:M is",
        verbs=VERBS,
    )
    pattern: str = option(WEIGHTS, "weights (any), N:M such as 2:4, or channels (the network shrinks)", verbs=VERBS)
    budget: str = option(BUDGETS[0], "global (smallest of all layers go), layer (alike), or erk", verbs=VERBS)
    floor: float = option(0.0, "least share of every layer that stays", verbs=VERBS)
    spare: tuple[str, ...] = option((), "layers left as they are, e.g. stem,head", metavar="A,B,...", verbs=VERBS)
    epochs: int | None = option(
        None, "of every training", range=(1, 10**6), unset="the run's --finalist-epochs", verbs=VERBS
    )
    rewind_epoch: int = option(
        1, "imp goes back to weights after K epochs of round 0", metavar="K", range=(0, 10**6), verbs=VERBS
    )
    start: str | None = option(
        None, "initial weights: inherited, fresh or trained", choices=STARTS, unset="the run's", verbs=VERBS
    )
    optimiser: str = option("adam", "adam (one-cycle), or sgd (momentum 0.9, cosine)", choices=OPTIMISERS, verbs=VERBS)
    learning_rate: float | None = option(None, "its peak", range=(1e-12, 1e6), unset="the run's", verbs=VERBS)
    weight_decay: float = option(
        0.0, "decay of weights; 0.0005 in the tickets' paper, with sgd", range=(0, 1e3), verbs=VERBS
    )
    spike_penalty: float = option(0.0, "times the mean firing rate, added to the loss", range=(0, 1e6), verbs=VERBS)
    weight_bits: int | None = option(
        None, "8, 4 or 1: train tickets of such weights, straight through", check=_check_bits, verbs=VERBS
    )
    fading_rate: float = option(0.02, "fading: channels under this rate go", range=(0, 1e3), verbs=VERBS)

    def __post_init__(self) -> None:
        check_all(self)
        pruning = Pruning(pattern=self.pattern, budget=self.budget, floor=self.floor)
        if self.method == "fading":
            if self.sparsities:
                raise OptionError("--sparsity: what goes in method fading the firing rates decide; give --fading-rate")
            if self.pattern not in (CHANNELS, WEIGHTS) or self.weight_bits is not None:
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


@dataclass(frozen=True, kw_only=True)
class TicketsOfRun:
    """Of which finalists, and whether they are judged on the test split at once."""

    candidate: int | None = option(
        None, "only the finalist of this number", unset="all of them", range=(0, 2**63 - 1), verbs=VERBS
    )
    final: bool = option(False, "read the test split, too, once a ticket: for those that you have chosen", verbs=VERBS)

    def __post_init__(self) -> None:
        check_all(self)


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
    method = config.tickets.prune
    if config.finalists.count < 1:
        raise OptionError(f"--prune {method} prunes finalists: give --finalists 1 or more")
    fading = method == "fading"
    return PruningOptions(method=method or "", sparsities=() if fading else parse_sparsities(config.tickets.sparsity))
