"""Draft: builds the supernet and a candidate's own network by the same code.

For the supernet every blank holds all of its options, for a candidate's network the chosen one alone, under the same
names, so that weights can be inherited.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from torch import nn

from spaces.blanks import Choice, Depth, Free, largest
from spaces.candidate import Candidate, Value
from spaces.errors import SpaceError, unknown
from spaces.weights import share_kernels

Make = Callable[[], nn.Module]


@dataclass(frozen=True, eq=False, kw_only=True)
class Draft:
    """What is being built: the supernet, or (``candidate``) one candidate's network.

    Attributes:
        space: name of the space, for messages.
        distributions: its blanks.
        candidate: None for the supernet.
        entangled: whether options of a choice share kernels.
        fixed: blanks of which the space has one value left, of those that are built.
        used: the blanks that the network has asked for so far.
    """

    space: str
    distributions: Mapping[str, BaseDistribution]
    candidate: Candidate | None
    entangled: bool
    fixed: Mapping[str, Value] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def choice(self, blank: str, options: Mapping[Value, Make]) -> Choice:
        """A categorical blank; ``options`` makes the module of each of its values.

        Raises:
            SpaceError: the space has no such blank, or its values are others.
        """
        distribution = self._distribution(blank, CategoricalDistribution, "categorical")
        if blank in self.fixed and self.fixed[blank] in options:
            options = {self.fixed[blank]: options[self.fixed[blank]]}
        if set(options) != set(distribution.choices):
            raise SpaceError(
                f"choice {blank!r} of space {self.space!r} is declared with {_list(distribution.choices)} but built "
                f"with {_list(options)}: declare and build the same options"
            )
        if self.candidate is not None:
            value = self.candidate[blank]
            return Choice(blank, {value: options[value]()})
        built = {value: options[value]() for value in distribution.choices}
        if self.entangled:
            share_kernels(built.values())
        return Choice(blank, built)

    def number(self, blank: str) -> Free:
        """An integer or float blank, or one with a choice of numbers: filled in at run time, allocated as it can be."""
        distribution = self._distribution(
            blank, (IntDistribution, FloatDistribution, CategoricalDistribution), "number"
        )
        if self.candidate is not None:
            return Free(blank, self.candidate[blank])
        choices = getattr(distribution, "choices", None)
        return Free(blank, max(choices) if choices else distribution.high)

    def depth(self, blank: str, blocks: Sequence[Make]) -> Depth:
        """As many of a row of blocks as an integer blank says."""
        count = self.number(blank)
        return Depth(count, [make() for make in blocks[: int(largest(count))]])

    def check_all_used(self) -> None:
        """Raises SpaceError where a declared blank is not in the network; a fixed one may leave others without use."""
        for blank in self.distributions:
            if blank not in self.used and not self.fixed:
                raise SpaceError(
                    f"choice {blank!r} is declared by space {self.space!r} but not built into its network: build it, "
                    "or take it out of the choices"
                )

    def _distribution(self, blank: str, kind: type | tuple[type, ...], what: str) -> BaseDistribution:
        if blank not in self.distributions:
            raise SpaceError(unknown(f"choice of space {self.space!r}", blank, self.distributions))
        self.used.add(blank)
        if not isinstance(self.distributions[blank], kind):
            raise SpaceError(f"choice {blank!r} of space {self.space!r} is not a {what} choice")
        return self.distributions[blank]


def _list(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))
