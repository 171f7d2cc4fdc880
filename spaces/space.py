"""Space: named blanks with Optuna's distributions, and how a network is built from a filling of them."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from spaces.candidate import Candidate, Value
from spaces.errors import SpaceError, near_names, unknown
from spaces.spec import TaskSpec

if TYPE_CHECKING:
    from spaces.draft import Draft
    from spaces.network import Network


TRIES = 10_000
LISTED = 10**6  # values of a blank that are listed at most; beyond, they are only drawn
COUNTABLE = 10**300
NEAR_STEP = 1e-8  # share of a step by which a value may be off, for its rounding
USUAL = 0.75  # share of draws that take a blank's usual value, whatever it would be drawn as


class Build(Protocol):
    """Builds a network from a draft, which holds every option or one candidate's; see ``Space.network``."""

    def __call__(self, spec: TaskSpec, draft: "Draft") -> "Network":
        """Returns the network; its readout is [T, B, classes]."""
        ...


@dataclass(frozen=True, kw_only=True)
class Space:
    """A picture of a spiking network with blanks in it.

    Attributes:
        name: as on the command line.
        about: one line for people.
        blanks: name -> distribution. Categorical and integer blanks are the structure half, float ones the
            dynamics half. Choices stand from least to most. A blank named ``timesteps`` is T.
        timesteps: T, the largest there is where it is a blank.
        build: makes networks; called through ``network``.
        published: name -> filling, of the cells known from papers.
        usual: blank -> the value that a draw takes three times in four, for blanks whose values seldom work together:
            a supernet then learns, and a search begins, around one design. A space may have none.
        family: value of a categorical blank -> the kind of operation it is; values of one family differ in size only.
        infeasible: why a candidate cannot be a network at all, such as a cell that joins nothing; empty if it can.
        canonical: the candidate that stands for all that are the same network but for dead or renamed parts; samplers
            ask for no other.
        features: what is known of a candidate without building it, as numbers by name: operations on live paths, depth,
            weights. Surrogates learn from them; a space may have none.
        compiled: whether neurons are compiled, and convolutions of spikes run event by event.
        fixed: choice -> the one value left of those that ``build`` knows; see ``spaces/fixed.py``.
    """

    name: str
    about: str
    blanks: Mapping[str, BaseDistribution]
    timesteps: int
    build: Build
    published: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    usual: Mapping[str, Value] = field(default_factory=dict)
    family: Callable[[Value], Value] = lambda value: value
    infeasible: Callable[[Candidate], str] = lambda candidate: ""
    canonical: Callable[[Candidate], Candidate] = lambda candidate: candidate
    features: Callable[[Candidate], Mapping[str, float]] = lambda candidate: {}
    compiled: bool = True
    fixed: Mapping[str, Value] = field(default_factory=dict)

    def network(self, spec: TaskSpec, candidate: Candidate | None = None, *, entangled: bool = True) -> "Network":
        """The supernet, or the network of one candidate: same layers, same names, same code.

        Args:
            spec: shape of the task.
            candidate: a filling of all blanks; without one, the network holds every option.
            entangled: whether the options of a blank share what they can; of no effect on a candidate's network.

        Raises:
            SpaceError: the candidate does not fill this space, or the task does not fit the network.
        """
        from spaces.blanks import fill
        from spaces.draft import Draft
        from spaces.network import Network

        if candidate is not None:
            self.check(candidate)
            if reason := self.infeasible(candidate):
                raise SpaceError(f"candidate {candidate.key} of space {self.name!r} is no network: {reason}")
        draft = Draft(
            space=self.name, distributions=self.blanks, candidate=candidate, entangled=entangled, fixed=self.fixed
        )
        if self.build is None:
            raise SpaceError(f"space {self.name!r} has no build: give it a function that makes a Network")
        network = self.build(spec, draft)
        if not isinstance(network, Network):
            raise SpaceError(f"build of space {self.name!r} gives a {type(network).__name__}: it must give a Network")
        if candidate is None:
            draft.check_all_used()
        else:
            fill(network, candidate)
        for module in network.modules():
            if hasattr(module, "compiled"):
                module.compiled = self.compiled
        return network

    def picture(self, spec: TaskSpec, candidate: Candidate) -> dict[str, Any]:
        """A plain, JSON-able drawing of a candidate's network: nodes with labels and shapes, and edges."""
        from spaces.picture import picture

        head = {
            "space": self.name,
            "candidate": dict(candidate),
            "input": [spec.channels, spec.height, spec.width],
            "classes": spec.classes,
            "timesteps": self.steps(candidate),
        }
        return head | picture(self.network(spec, candidate), spec)

    def steps(self, candidate: Candidate) -> int:
        """T of a candidate."""
        return int(candidate.get("timesteps", self.timesteps))

    @property
    def size(self) -> float:
        """Number of candidates; infinite where a blank is continuous, or from 1e300 on."""
        size = math.prod(_levels(distribution) for distribution in self.blanks.values())
        return size if size < COUNTABLE else math.inf

    def sample(self, rng: np.random.Generator) -> Candidate:
        """One uniform draw of every blank, but for the usual values that it takes."""
        usual = {name: value for name, value in self.usual.items() if rng.random() < USUAL}
        drawn = {name: draw_blank(distribution, rng) for name, distribution in self.blanks.items()}
        return Candidate(drawn | usual)

    def sample_sound(self, rng: np.random.Generator) -> Candidate:
        """One uniform draw among the candidates that can be networks.

        Raises:
            SpaceError: none of many draws can.
        """
        for _ in range(TRIES):
            if not (reason := self.infeasible(candidate := self.sample(rng))):
                return candidate
        raise SpaceError(f"none of {TRIES} random candidates of space {self.name!r} is a network: {reason}")

    @property
    def halves(self) -> dict[str, list[str]]:
        """The blanks of either half of the dual search space: dynamics are the float ones, structure all others."""
        dynamics = [name for name, distribution in self.blanks.items() if isinstance(distribution, FloatDistribution)]
        return {"structure": [name for name in self.blanks if name not in dynamics], "dynamics": dynamics}

    def options(self, blank: str) -> list[Value] | None:
        """The values of a blank, least first as the space lists them; None where it is continuous or lists too many."""
        distribution = self.blanks[blank]
        return list(_values(distribution)) if _levels(distribution) <= LISTED else None

    def families(self, values: Iterable[Value]) -> list[list[Value]]:
        """Values of a categorical blank by family, both in the order given."""
        groups: dict[Value, list[Value]] = {}
        for value in values:
            groups.setdefault(self.family(value), []).append(value)
        return list(groups.values())

    @property
    def smallest(self) -> Candidate:
        """The candidate of every blank's first value."""
        return Candidate({name: _ends(distribution)[0] for name, distribution in self.blanks.items()})

    @property
    def largest(self) -> Candidate:
        """The candidate of every blank's last value."""
        return Candidate({name: _ends(distribution)[1] for name, distribution in self.blanks.items()})

    def place(self, candidate: Candidate) -> tuple[float, ...]:
        """Where a candidate stands in the tree of fillings, first blank first: neighbours in this order begin alike."""
        return tuple(_rank(distribution, candidate[name]) for name, distribution in self.blanks.items())

    def all(self) -> Iterator[Candidate]:
        """Every candidate of a finite space, in a fixed order."""
        if math.isinf(self.size):
            raise SpaceError(f"space {self.name!r} has continuous choices and cannot be enumerated")
        for values in product(*(_values(distribution) for distribution in self.blanks.values())):
            yield Candidate(dict(zip(self.blanks, values, strict=True)))

    def check(self, candidate: Mapping[str, Value]) -> None:
        """Raises SpaceError unless the candidate fills every blank with a value of its distribution."""
        for name in candidate:
            if name not in self.blanks:
                raise SpaceError(unknown(f"choice of space {self.name!r}", name, self.blanks))
        for name, distribution in self.blanks.items():
            if name not in candidate:
                raise SpaceError(
                    f"candidate leaves choice {name!r} of space {self.name!r} empty; {describe_domain(distribution)}"
                )
            value = candidate[name]
            if not holds(distribution, value):
                near = near_names(str(value), map(str, getattr(distribution, "choices", ())), {})
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                raise SpaceError(
                    f"choice {name!r} of space {self.name!r} cannot be {value!r}{hint}; {describe_domain(distribution)}"
                )


def draw_blank(distribution: BaseDistribution, rng: np.random.Generator) -> Value:
    """One uniform draw (log-uniform where the distribution says so)."""
    if isinstance(distribution, FloatDistribution) and distribution.step is None:
        if distribution.log:
            return float(np.exp(rng.uniform(np.log(distribution.low), np.log(distribution.high))))
        return float(rng.uniform(distribution.low, distribution.high))
    return _value(distribution, int(rng.integers(_levels(distribution))))


def _values(distribution: BaseDistribution) -> Iterator[Value]:
    return (_value(distribution, place) for place in range(_levels(distribution)))


def _value(distribution: BaseDistribution, place: int) -> Value:
    """The value at a place of those that a blank lists, least first."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[place]
    return distribution.low + place * distribution.step if place else distribution.low


def _ends(distribution: BaseDistribution) -> tuple[Value, Value]:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0], distribution.choices[-1]
    return distribution.low, distribution.high


def _rank(distribution: BaseDistribution, value: Value) -> float:
    return distribution.choices.index(value) if isinstance(distribution, CategoricalDistribution) else float(value)


def _levels(distribution: BaseDistribution) -> float:
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    if distribution.step is None:
        return math.inf if distribution.low < distribution.high else 1
    if isinstance(distribution, IntDistribution):
        return (distribution.high - distribution.low) // distribution.step + 1
    return round((distribution.high - distribution.low) / distribution.step) + 1


def holds(distribution: BaseDistribution, value: object) -> bool:
    """Whether a value, of the same type too, is one of a distribution's."""
    if isinstance(distribution, CategoricalDistribution):
        return any(value == choice and type(value) is type(choice) for choice in distribution.choices)
    if isinstance(value, bool):
        return False
    if isinstance(distribution, IntDistribution):
        inside = isinstance(value, int) and distribution.low <= value <= distribution.high
        return inside and (value - distribution.low) % distribution.step == 0
    if not isinstance(value, int | float) or not distribution.low <= value <= distribution.high:
        return False
    steps = 0.0 if distribution.step is None else (value - distribution.low) / distribution.step
    return abs(steps - round(steps)) < NEAR_STEP


def describe_domain(distribution: BaseDistribution) -> str:
    """What a choice may be, in words."""
    if isinstance(distribution, CategoricalDistribution):
        return f"choose one of {', '.join(map(str, distribution.choices))}"
    return f"choose from {distribution.low} to {distribution.high}"
