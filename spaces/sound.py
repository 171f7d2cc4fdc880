"""Sound: what a space must be, checked before anything is begun; and a first run of its networks on a task's shape."""

import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from spaces.candidate import Candidate, Value
from spaces.errors import SpaceError
from spaces.seeds import numpy_generator
from spaces.spec import TaskSpec

if TYPE_CHECKING:
    from spaces.space import Space

MOST_STEPS = 1024
FARTHEST = 2**61  # ends of an integer blank: an index into its values fits into 64 bits
DRAWN = 8
TIMESTEPS = "timesteps"
FUNCTIONS = ("build", "family", "infeasible", "canonical", "features")


def check_space(space: "Space") -> None:
    """Raises SpaceError unless a space's fields are what ``Space`` says of them, on a few draws, too."""
    for name in ("name", "about"):
        text = getattr(space, name)
        if not isinstance(text, str) or (name == "name" and not text.strip()):
            raise SpaceError(f"{name} is {_shown(text)}: give a text")
    for name in FUNCTIONS:
        if not callable(getattr(space, name)) and (name, space.build) != ("build", None):  # of a table: builds none
            raise SpaceError(f"{name} is {_shown(getattr(space, name))}: give a function")
    if not _is_whole(space.timesteps) or not 1 <= space.timesteps <= MOST_STEPS:
        raise SpaceError(f"timesteps is {_shown(space.timesteps)}: T is a whole number from 1 to {MOST_STEPS}")
    for name in ("blanks", "published", "usual"):
        if not isinstance(getattr(space, name), Mapping):
            raise SpaceError(f"{name} is {_shown(getattr(space, name))}: give a mapping of names")
    for name, distribution in space.blanks.items():
        if not isinstance(name, str) or not name.strip():
            raise SpaceError(f"a choice is named {_shown(name)}: give it a text as its name")
        for holds, fault in _faults(distribution):
            if holds:
                raise SpaceError(f"choice {name!r} {fault}")
    _check_steps(space)
    for name, filling in space.published.items():
        if not isinstance(filling, Mapping):
            raise SpaceError(f"published cell {name!r} is {_shown(filling)}: give a filling, choice -> value")
        space.check(filling)
    drawn = [space.sample(numpy_generator(seed, "sound")) for seed in range(DRAWN)]
    for candidate in drawn:
        space.check(candidate)  # usual values are among those drawn
    _check_functions(space, drawn)


def _faults(distribution: BaseDistribution) -> Iterator[tuple[bool, str]]:
    """What must not be of a blank's distribution, in an order in which each may rest on those before."""
    kinds = (CategoricalDistribution, IntDistribution, FloatDistribution)
    names = ", ".join(kind.__name__ for kind in kinds)
    yield not isinstance(distribution, kinds), f"is {_shown(distribution)}: give one of Optuna's {names}"
    if isinstance(distribution, CategoricalDistribution):
        odd = [value for value in distribution.choices if not _is_value(value)]
        yield (
            bool(odd),
            f"has the choice {_shown(next(iter(odd), None))}: choices are texts, finite numbers or booleans",
        )
        written = [str(value) for value in distribution.choices]
        twice = [text for text in written if written.count(text) > 1]
        yield bool(twice), f"has two choices that are written {''.join(twice[:1])!r}: write each in another way"
        return
    ends = distribution.low, distribution.high
    shown = f"goes from {_shown(ends[0])} to {_shown(ends[1])}"
    if isinstance(distribution, IntDistribution):
        yield not all(map(_is_whole, ends)), f"{shown}: give whole numbers"
        yield max(map(abs, ends)) > FARTHEST, f"{shown}: give ends of at most 2**61"
        return
    yield not all(map(_is_number, ends)) or not math.isfinite(ends[1] - ends[0]), f"{shown}: give finite numbers"


def _check_steps(space: "Space") -> None:
    """Raises SpaceError where T is a blank that is no number of time steps, or goes beyond the space's T."""
    distribution = space.blanks.get(TIMESTEPS)
    if distribution is None:
        return
    ends = getattr(distribution, "choices", None) or (distribution.low, distribution.high)
    if not all(_is_whole(end) and 1 <= end <= space.timesteps for end in ends) or isinstance(
        distribution, FloatDistribution
    ):
        raise SpaceError(
            f"choice {TIMESTEPS!r} has {_shown(ends)} and T, the largest there is, is {space.timesteps}: give whole "
            f"numbers from 1 to {space.timesteps}"
        )


def _check_functions(space: "Space", drawn: list[Candidate]) -> None:
    """Raises SpaceError where a function gives another kind of thing than it must."""
    for distribution in space.blanks.values():
        for value in islice(getattr(distribution, "choices", ()), DRAWN):
            _is("family", space.family(value), Hashable, "a value, such as the kind of operation")
    names: set[str] | None = None
    for candidate in drawn:
        if _is("infeasible", space.infeasible(candidate), str, "a text, empty if all is well"):
            continue
        space.check(_is("canonical", space.canonical(candidate), Candidate, "a Candidate"))
        features = _is("features", space.features(candidate), Mapping, "numbers by name")
        for name, value in features.items():
            if not _is_number(value):
                raise SpaceError(f"features gives {name!r}: {_shown(value)}: give a finite number")
        if names is not None and set(features) != names:
            raise SpaceError(
                f"features gives other names for some candidates: {', '.join(map(str, names ^ set(features)))}"
            )
        names = set(features)


def _is(name: str, given: Any, kind: type, what: str) -> Any:  # noqa: ANN401
    if not isinstance(given, kind):
        raise SpaceError(f"{name} gives {_shown(given)}: it must give {what}")
    return given


def try_out(space: "Space", spec: TaskSpec) -> None:
    """Builds a supernet and runs a few candidates on blank samples.

    Raises:
        SpaceError: it builds no network, or one whose readout is not [T, B, classes].
    """
    import torch

    frames = (spec.frames,) if spec.frames else ()
    samples = torch.zeros(2, *frames, spec.channels, spec.height, spec.width)
    generator = numpy_generator(0, "sound", space.name)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        network = replace(space, compiled=False).network(spec).train()
        for candidate in (space.sample_sound(generator) for _ in range(2)):
            readout, wanted = network(samples, candidate), (space.steps(candidate), 2, spec.classes)
            found = tuple(readout.shape) if isinstance(readout, torch.Tensor) else _shown(readout)
            if found != wanted:
                raise SpaceError(
                    f"its network gives {found} for T = {wanted[0]}, 2 samples and {wanted[2]} classes: the readout "
                    f"must be [T, B, classes], here {wanted}"
                )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_value(value: Value) -> bool:
    return isinstance(value, str | bool) or _is_number(value)


def _shown(value: object) -> str:
    """A value as it is written, or its type where that is long."""
    try:
        text = repr(value)
    except Exception:  # a person's own
        text = ""
    return text if text and len(text) <= 40 and "\n" not in text else f"of type {type(value).__name__}"
