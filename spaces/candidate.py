"""Candidate: one filling of a space's blanks. Score: what scoring it gave. Both are plain immutable values."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Value = str | int | float | bool
T = TypeVar("T")

STATES = ("ok", "failed", "infeasible", "pruned")
FIDELITIES = ("proxy", "supernet", "adapted", "trained")


class Frozen(Mapping[str, T], Generic[T]):
    """An immutable mapping of names, in the order given; equal to any mapping with the same items."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, T]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> T:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __eq__(self, other: object) -> bool:
        return self._values == dict(other) if isinstance(other, Mapping) else NotImplemented

    def __repr__(self) -> str:
        return repr(self._values)

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), (self._values,)


class Candidate(Frozen[Value]):
    """A filling, blank -> value; equal fillings have equal ``key`` and compare equal, in any order."""

    __slots__ = ("key",)

    def __init__(self, values: Mapping[str, Value]) -> None:
        super().__init__(values)
        self.key: str = json.dumps(self._values, sort_keys=True, separators=(",", ":"), allow_nan=False)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Candidate) else NotImplemented

    def __repr__(self) -> str:
        return f"Candidate({self.key})"


METRICS = ("accuracy", "spikes", "energy_nj", "sops", "macs", "parameters", "timesteps")
BALANCED = "balanced_accuracy"  # a further column: the mean over classes of the share of right answers
ACCURACIES = ("accuracy", BALANCED)  # 0..1
ALIGNMENT = "alignment"
READINGS = ("separability", ALIGNMENT)  # further columns, of networks asked for them; larger is better
QUALITIES = (BALANCED, "accuracy", *READINGS)  # what a network is good at; the first that is maximised has a floor
COUNT_LIKE = ("spikes", "energy_nj", "sops", "macs", "parameters")  # span magnitudes: compared on a log scale
TAKEN = ("number", "batch", "state", "fidelity", *METRICS, "seconds", "error", "traceback", "columns", "param", "front")


def is_taken(name: str) -> bool:
    """Whether a column of that name stands in ledgers and tables already, so that no further figure may bear it."""
    return name in TAKEN or name.startswith("param.")


@dataclass(frozen=True, kw_only=True)
class Score:
    """Outcome of scoring one candidate; counts are means over one sample and all its time steps.

    Attributes:
        state: one of STATES. Only ``ok`` may enter a front.
        fidelity: one of FIDELITIES. Numbers of different fidelity are never mixed in one front.
        accuracy: share of correct answers on the validation split, 0..1.
        spikes: non-zero neuron outputs a sample.
        energy_nj: compute energy a sample in nanojoules, by the run's energy model.
        sops: synaptic operations (accumulates) a sample.
        macs: multiply-accumulates of layers that see real-valued input, a sample.
        parameters: learnable scalars of the network built alone, without those that are pruned.
        timesteps: T.
        columns: further figures by name, those of a benchmark table say; no name may be one that ``is_taken``.
        seconds: wall-clock time the score took; the one field that may differ between equal runs.
        error: why the state is not ``ok``; one line, empty otherwise.
        traceback: the full traceback of a failed candidate, empty otherwise.
    """

    state: str
    fidelity: str
    accuracy: float | None = None
    spikes: float | None = None
    energy_nj: float | None = None
    sops: float | None = None
    macs: float | None = None
    parameters: int | None = None
    timesteps: int | None = None
    columns: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    traceback: str = ""

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"state {self.state!r} is not one of {STATES}")
        if self.fidelity not in FIDELITIES:
            raise ValueError(f"fidelity {self.fidelity!r} is not one of {FIDELITIES}")
        if taken := [name for name in self.columns if is_taken(name)]:
            raise ValueError(f"column {taken[0]!r} has a place of its own and cannot be a further figure")
        object.__setattr__(self, "columns", Frozen(self.columns))

    def figure(self, name: str) -> float | None:
        """The figure of a name, one of METRICS or of the further columns; None where the score has none."""
        return getattr(self, name) if name in METRICS else self.columns.get(name)


def figure_names(scores: Iterable[Score]) -> list[str]:
    """Names of all figures that scores may have: METRICS, then further columns in order of first appearance."""
    return list(dict.fromkeys((*METRICS, *(name for score in scores for name in score.columns))))
