"""Candidate: one filling of a space's blanks. Score: what scoring it gave. Both are plain immutable values."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Value = str | int | float | bool

STATES = ("ok", "failed", "infeasible", "pruned")
FIDELITIES = ("proxy", "supernet", "adapted", "trained")


class Candidate(Mapping[str, Value]):
    """An immutable mapping blank -> value; equal fillings have equal ``key`` and compare equal, in any order."""

    __slots__ = ("_values", "key")

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = dict(values)
        self.key: str = json.dumps(self._values, sort_keys=True, separators=(",", ":"), allow_nan=False)

    def __getitem__(self, blank: str) -> Value:
        return self._values[blank]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Candidate) else NotImplemented

    def __repr__(self) -> str:
        return f"Candidate({self.key})"

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return Candidate, (self._values,)


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
        parameters: learnable scalars of the network built alone.
        timesteps: T.
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
    seconds: float = 0.0
    error: str = ""
    traceback: str = ""

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"state {self.state!r} is not one of {STATES}")
        if self.fidelity not in FIDELITIES:
            raise ValueError(f"fidelity {self.fidelity!r} is not one of {FIDELITIES}")


METRICS = ("accuracy", "spikes", "energy_nj", "sops", "macs", "parameters", "timesteps")
COUNT_LIKE = ("spikes", "energy_nj", "sops", "macs", "parameters")  # span magnitudes: compared on a log scale
