"""Options, declared once: name, type, default, range or choices, help, the verbs that take it, what a resume matches.

A part of the configuration is a frozen dataclass whose fields are made by ``option``. From these come the command line
and its help, config.toml, the checks of config.json and the page of all options. Nothing heavy is imported here.
"""

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from spaces.errors import OptionError, unknown

OPTION = "option"
HERE = ("search", "sweep")  # the verbs that take an option, where it does not say others
TRAINED = (*HERE, "train")  # those that train networks of a space on data


@dataclass(frozen=True, kw_only=True)
class Option:
    """What is known of an option beside its type and default.

    Attributes:
        about: its help; a sentence or two, without the default.
        name: its flat name, where it is not the field's.
        metavar: what stands for its value in the help.
        choices: the values there are.
        range: least and greatest value; of a float, both are within.
        check: raises OptionError where a value breaks a rule of its own.
        unset: what None stands for.
        verbs: the verbs of the command line that take it.
        again: its help where a run that is there is gone on with, by ``resume`` or ``prune``.
        matched: whether a resume must agree with the run in it.
        spelled: its flag, where it is not its name's.
        aliases: other spellings of its flag.
    """

    about: str
    name: str | None = None
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    range: tuple[float, float] | None = None
    check: Callable[[Any], object] | None = None
    unset: str = "none"
    verbs: tuple[str, ...] = HERE
    again: str | None = None
    matched: bool = True
    spelled: str | None = None
    aliases: tuple[str, ...] = ()


def option(default: Any, about: str, **rest: Any) -> Any:  # noqa: ANN401
    """A field of a part of the configuration; ``rest`` is of ``Option``."""
    return field(default=default, metadata={OPTION: Option(about=about, **rest)})


@dataclass(frozen=True, kw_only=True)
class Declared:
    """An option with the field that declares it.

    Attributes:
        name: its flat name: the key in config.json, the flag with ``-`` for ``_``, the keyword in Python.
        field: the field of its part.
        kind: bool, int, float, str, or tuple for a list.
        item: the type of what a list holds.
        optional: whether None is a value.
        default: without a word of the user's.
        option: the rest.
    """

    name: str
    field: str
    kind: type
    item: type
    optional: bool
    default: Any
    option: Option

    @property
    def flag(self) -> str:
        """Its spelling on the command line; of a switch that is on by default, the one that puts it off."""
        if self.option.spelled is not None:
            return self.option.spelled
        return f"--no-{self.name.replace('_', '-')}" if self.kind is bool and self.default else flag(self.name)

    def fits(self, value: object) -> bool:
        """Whether a value is of its type; of a float, also an integer."""
        if value is None:
            return self.optional
        if self.kind is tuple:
            return isinstance(value, tuple) and all(_is_of(item, self.item) for item in value)
        return _is_of(value, self.kind)

    def check(self, value: Any) -> None:  # noqa: ANN401
        """Raises OptionError where a value of its type breaks its rule."""
        if value is None:
            return
        if self.option.range is not None:
            lowest, highest = self.option.range
            if not lowest <= value <= highest:
                raise OptionError(
                    f"{self.flag} {shown(value)} is out of range: give {shown(lowest)} to {shown(highest)}"
                )
        if self.option.choices and value not in self.option.choices:
            raise OptionError(f"{self.flag}: {unknown('value', value, self.option.choices)}")
        if self.option.check is not None:
            self.option.check(value)


@cache
def declared(part: type) -> Mapping[str, Declared]:
    """The options that a part of the configuration declares, by flat name, in their order."""
    hints, found = get_type_hints(part), {}
    for one in fields(part):
        if OPTION in one.metadata:
            said: Option = one.metadata[OPTION]
            hint, optional = _kind(hints[one.name])
            kind, item = get_origin(hint) or hint, (*get_args(hint), str)[0]
            name = said.name or one.name
            default = None if one.default is MISSING else one.default
            found[name] = Declared(
                name=name, field=one.name, kind=kind, item=item, optional=optional, default=default, option=said
            )
    return types.MappingProxyType(found)


def _kind(hint: Any) -> tuple[Any, bool]:  # noqa: ANN401
    """The type of an option, and whether it may be None."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(one for one in get_args(hint) if one is not type(None)), True
    return hint, False


def _is_of(value: object, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def check_all(part: object) -> None:
    """Raises TypeError where a value is of another type, OptionError where it breaks its rule."""
    for one in declared(type(part)).values():
        value = getattr(part, one.field)
        if not one.fits(value):
            raise TypeError(f"{one.name} is {value!r}")
        one.check(value)


def values_in(part: object) -> dict[str, Any]:
    """The values of a part's options, by flat name."""
    return {one.name: getattr(part, one.field) for one in declared(type(part)).values()}


def flag(name: str) -> str:
    """The command-line spelling of a flat name."""
    return "--" + name.replace("_", "-")


def shown(value: float) -> str:
    """A number as a message shows it, however large.

    >>> shown(3), shown(1e-06), shown(10**40)
    ('3', '1e-06', 'of 41 digits')
    """
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if abs(value) < 10**30 else f"of {len(str(value))} digits"
