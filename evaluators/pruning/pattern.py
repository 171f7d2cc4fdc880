"""Pruning: which weights may go, as options say it; nothing heavy is imported here."""

from dataclasses import dataclass

from spaces.errors import OptionError
from spaces.spec import TaskSpec

NAMES = ("imp", "early-bird", "early-time", "eb+et", "gmp", "dst", "stds", "random", "fading")  # of the methods
WEIGHT_BITS = (8, 4, 1)
BUDGETS = ("global", "layer", "erk")
WEIGHTS, CHANNELS = "weights", "channels"


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """What may go, and how the rest is shared out.

    Attributes:
        pattern: ``weights`` (any), ``N:M`` (of M weights in a row along the inputs N stay: Zhou et al., ICLR 2021), or
            ``channels`` (whole output channels; a sparsity is then the share of channels that go).
        budget: ``global`` (the smallest of the whole network go), ``layer`` (the same share of every layer) or ``erk``
            (a layer's density in proportion to the sum over the product of its sizes: Evci et al., ICML 2020).
        floor: the least share of a layer that stays.
        spare: names of layers, or of what holds them, that are left as they are.
        spec: shape of the task, by which channels are followed through the network.

    Raises:
        OptionError: a value breaks its rule.
    """

    pattern: str = WEIGHTS
    budget: str = "global"
    floor: float = 0.0
    spare: tuple[str, ...] = ()
    spec: TaskSpec | None = None

    def __post_init__(self) -> None:
        if self.pattern not in (WEIGHTS, CHANNELS):
            n, m = self.group
            if not 0 < n < m:
                raise OptionError(f"--pattern {self.pattern!r}: write weights, channels, or N:M with 0 < N < M, as 2:4")
        if self.budget not in BUDGETS:
            raise OptionError(f"--budget {self.budget!r} is none of {', '.join(BUDGETS)}: take one of them")
        if self.budget == "erk" and self.pattern != WEIGHTS:
            raise OptionError(f"--budget erk shares out single weights, not {self.pattern}: take global or layer")
        if not 0 <= self.floor < 1:
            raise OptionError(
                f"--floor {self.floor:g} is out of range: give a share of a layer's weights, 0 to below 1"
            )

    @property
    def group(self) -> tuple[int, int]:
        """N and M; (0, 0) for patterns that have none."""
        n, colon, m = self.pattern.partition(":")
        return (int(n), int(m)) if colon and n.isdecimal() and m.isdecimal() else (0, 0)


def check_sparsity(sparsity: float) -> float:
    """The sparsity; raises OptionError unless it is from 0 to below 1."""
    if not 0 <= sparsity < 1:  # NaN, too
        raise OptionError(f"--sparsity {sparsity:g} is out of range: give a share of the weights, 0 to below 1, as 0.9")
    return sparsity
