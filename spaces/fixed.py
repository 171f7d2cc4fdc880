"""Choices that are frozen: a space in which each of them has one value left, so that the rest is searched around it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from spaces.candidate import Candidate, Value
from spaces.errors import OptionError, SpaceError, unknown
from spaces.space import Space, describe_domain, holds


def parse_fixed(space: Space, texts: Sequence[str]) -> dict[str, Value]:
    """``CHOICE=VALUE`` each -> the value of each choice, as its distribution has it.

    Raises:
        OptionError: a text is none, the space has no such choice, or a choice no such value.
    """
    fixed: dict[str, Value] = {}
    for text in texts:
        name, equals, said = text.partition("=")
        if not (name and equals and said):
            raise OptionError(f"--fix {text!r}: write CHOICE=VALUE,..., e.g. --fix slot1=SRB_k5")
        if name not in space.blanks:
            raise OptionError(f"--fix {text!r}: {unknown(f'choice of space {space.name!r}', name, space.blanks)}")
        if name in fixed:
            raise OptionError(f"--fix {text!r}: choice {name!r} is fixed already: name it once")
        try:
            fixed[name] = parse_value(space.blanks[name], name, said)
        except SpaceError as error:
            raise OptionError(f"--fix {text!r}: {error}") from error
    return fixed


def parse_value(kind: BaseDistribution, name: str, said: str) -> Value:
    """The value of a choice that a text spells; raises SpaceError where it has no such value."""
    if isinstance(kind, CategoricalDistribution):
        for value in kind.choices:
            if str(value) == said:
                return value
        raise SpaceError(unknown(f"value of {name}", said, map(str, kind.choices)))
    try:
        value = int(said) if isinstance(kind, IntDistribution) else float(said)
    except ValueError:
        value = None
    if not holds(kind, value):
        raise SpaceError(f"{name} cannot be {said!r}; {describe_domain(kind)}")
    return value


def with_fixed(space: Space, fixed: Mapping[str, Value]) -> Space:
    """The space with one value left for some choices; candidates name them as before, and networks hold that option.

    What a space holds for the same network may have another value there: then the candidate stands for itself.
    """

    def canonical(candidate: Candidate) -> Candidate:
        found = space.canonical(candidate)
        return found if all(found[name] == value for name, value in fixed.items()) else candidate

    return replace(
        space,
        blanks={name: _only(kind, fixed[name]) if name in fixed else kind for name, kind in space.blanks.items()},
        timesteps=int(fixed.get("timesteps", space.timesteps)),
        published={
            name: filling
            for name, filling in space.published.items()
            if all(filling[choice] == value for choice, value in fixed.items())
        },
        usual={name: value for name, value in space.usual.items() if name not in fixed},
        canonical=canonical,
        fixed=dict(fixed),
    )


def _only(kind: BaseDistribution, value: Value) -> BaseDistribution:
    """A distribution of the same kind with one value."""
    if isinstance(kind, CategoricalDistribution):
        return CategoricalDistribution([value])
    if isinstance(kind, IntDistribution):
        return IntDistribution(int(value), int(value), log=kind.log)
    return FloatDistribution(float(value), float(value), log=kind.log)
