"""Keywords as options: the same names as on the command line, with ``_`` for ``-``."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from search.loop.progress import Listener
from search.options.commands import BOUNDS, options_of
from search.options.config import Config, configure
from search.options.declare import Declared
from search.options.needs import check_effect
from search.options.sources import KINDS, merged
from spaces.errors import OptionError, unknown

Progress = Callable[[str, int, int], object]
"""Is told the title of a stage, how much of it is done, and how much there is."""


def configured(verb: str, keywords: Mapping[str, Any]) -> Config:
    """The configuration that keywords spell.

    Args:
        verb: ``search`` or ``sweep``.
        keywords: options of the verb; also ``preset``, ``config`` (a TOML file), and ``max`` and ``min``, mappings of
            columns to bounds.

    Raises:
        OptionError: an option is unknown, of another type, out of range or without effect.
    """
    values = dict(keywords)
    preset, file = values.pop("preset", None), values.pop("config", None)
    given = plain(verb, values)
    found = merged(verb, given, preset=preset, file=None if file is None else str(file), tell=lambda line: None)
    config = configure(verb, **found)
    check_effect([config], given)
    return config


def plain(verb: str, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords of a verb as options by flat name: lists as tuples, paths as texts, bounds as constraints; checked."""
    known = options_of(verb)
    found: dict[str, Any] = {}
    constraints = list(keywords.get("constraints", ()))
    for name, value in keywords.items():
        if name in BOUNDS:
            constraints += [f"{column}{BOUNDS[name][0]}{bound}" for column, bound in dict(value).items()]
        elif name == "constraints":
            continue
        elif name not in known:
            elsewhere = {other: other_verb for other_verb in ("sweep", "search") for other in options_of(other_verb)}
            raise OptionError(unknown("option", name, known, elsewhere=elsewhere))
        else:
            found[name] = typed(known[name], value)
    return found | ({"constraints": tuple(constraints)} if constraints else {})


def typed(option: Declared, value: Any) -> Any:  # noqa: ANN401
    """A value as the option has it; raises OptionError where it is of another type."""
    if isinstance(value, Path):
        value = str(value)
    if option.kind is tuple and isinstance(value, Mapping):
        value = [f"{name}={inner}" for name, inner in value.items()]
    if option.kind is tuple and isinstance(value, str):
        value = value.split(",")
    if isinstance(value, list):
        value = tuple(value)
    if not option.fits(value):
        shown = repr(value)[:80]
        raise OptionError(f"{option.name}={shown} is of another type: give {KINDS[option.kind]}")
    return value


def places(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords of ``resume``: where data and machine are now."""
    return plain("resume", keywords)


def listener(progress: Progress | None) -> Listener:
    """What a run tells of its progress."""
    return Listener() if progress is None else Listener(progress)
