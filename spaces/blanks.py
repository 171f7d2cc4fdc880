"""Blanks in a network: modules and numbers that a candidate decides on.

``fill(network, candidate)`` tells every such module its value; the network then runs, whatever its nesting. A
``Draft`` makes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optuna.distributions import BaseDistribution
from torch import Tensor, nn

from spaces.candidate import Value
from spaces.errors import SpaceError


class Filled(nn.Module):
    """A module with blanks in it, besides those of its children; ``fill`` is told a candidate before every run."""

    def blanks(self) -> tuple[str, ...]:
        """Names of the blanks that decide what this module does."""
        return ()

    def fill(self, candidate: Mapping[str, Value]) -> None:
        """Takes the values of ``blanks()``."""


@dataclass(frozen=True)
class Free:
    """A number that a candidate decides on at run time.

    Attributes:
        blank: its name.
        largest: the largest value it can take; what is allocated for a width.
        times: what the value is multiplied by.
    """

    blank: str
    largest: float
    times: int = 1

    def of(self, candidate: Mapping[str, Value]) -> float:
        """The number under a candidate."""
        return candidate[self.blank] * self.times

    def __mul__(self, times: int) -> "Free":
        return Free(self.blank, self.largest * times, self.times * times)

    __rmul__ = __mul__


Number = int | float | Free


def largest(number: Number) -> int | float:
    """The number itself, or the largest that a free one can be."""
    return number.largest if isinstance(number, Free) else number


def fill(network: nn.Module, candidate: Mapping[str, Value]) -> None:
    """Tells every module of a network with blanks what a candidate says."""
    for module in network.modules():
        if isinstance(module, Filled):
            module.fill(candidate)


def blanks_in(network: nn.Module) -> tuple[str, ...]:
    """The blanks that decide what a network, or a part of one, does; each once, in the order of its modules."""
    found = (blank for module in network.modules() if isinstance(module, Filled) for blank in module.blanks())
    return tuple(dict.fromkeys(found))


class Choice(Filled):
    """A categorical blank: holds its options and runs the one that a candidate names.

    Built for one candidate it holds that option alone and needs not be told.
    """

    def __init__(self, blank: str, options: Mapping[Value, nn.Module]) -> None:
        super().__init__()
        self.blank = blank
        self.options = nn.ModuleDict({_key(value): option for value, option in options.items()})
        self.only = _key(next(iter(options))) if len(options) == 1 else None
        self.chosen = self.only

    def blanks(self) -> tuple[str, ...]:
        """Its blank."""
        return (self.blank,)

    def fill(self, candidate: Mapping[str, Value]) -> None:
        """Takes the option that the candidate names."""
        self.chosen = self.only or _key(candidate[self.blank])

    def forward(self, *inputs: Tensor) -> Tensor:
        """Runs the chosen option."""
        if self.chosen is None:
            raise SpaceError(f"choice {self.blank!r} is empty: run the supernet with a candidate")
        try:
            return self.options[self.chosen](*inputs)
        except SpaceError as error:
            raise SpaceError(f"choice {self.blank!r} = {self.chosen}: {error}") from error


class Depth(Filled):
    """A blank for how many of a row of blocks run, the first ones."""

    def __init__(self, count: Number, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.count = count
        self.blocks = nn.ModuleList(blocks)
        self.run = len(blocks)

    def blanks(self) -> tuple[str, ...]:
        """Its blank, if it has one."""
        return (self.count.blank,) if isinstance(self.count, Free) else ()

    def fill(self, candidate: Mapping[str, Value]) -> None:
        """Takes the number of blocks."""
        if isinstance(self.count, Free):
            self.run = int(self.count.of(candidate))

    def forward(self, x: Tensor) -> Tensor:
        """Runs the first blocks one after the other."""
        for block in self.blocks[: self.run]:
            x = block(x)
        return x


def declare(*groups: Mapping[str, BaseDistribution]) -> dict[str, BaseDistribution]:
    """Joins groups of blanks, in order; raises SpaceError where a name stands twice."""
    together: dict[str, BaseDistribution] = {}
    for group in groups:
        for name, distribution in group.items():
            if name in together:
                raise SpaceError(f"choice {name!r} is declared twice: give each choice its own name")
            together[name] = distribution
    return together


def _key(value: Value) -> str:
    """A value as a module's name, which may not hold a dot."""
    return str(value).replace(".", "_")
