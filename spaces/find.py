"""Spaces by name, or out of a person's own file: ``path/to/file.py:NAME``."""

import importlib.util
import inspect
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from spaces import SPACES, lookup
from spaces.candidate import Value
from spaces.errors import OptionError, SpaceError, unknown
from spaces.paths import user_path
from spaces.space import Space


def make_space(
    name: str, *, options: Mapping[str, Value | None] | None = None, compiled: bool = True
) -> tuple[Space, dict[str, Value]]:
    """A space and the options it was made with.

    Args:
        name: a name in ``SPACES``, or ``FILE.py:NAME`` of a function that makes a space, or of a space itself.
        options: values for the function's options; None leaves the space's own default.
        compiled: see ``Space``.

    Returns:
        The space, and the value of every one of ``options`` that it has.

    Raises:
        OptionError: no such space, or an option that it does not have.
        SpaceError: the file does not load, or what it makes is no space.
    """
    if name.endswith((".py", ".py:")):
        file = name.rstrip(":")
        raise OptionError(f"--space {name}: a file may hold several spaces, so say which one: write {file}:NAME")
    factory = _from_file(name) if is_file(name) else lookup(SPACES, "space", name)
    if isinstance(factory, Space):
        known: dict[str, Any] = {}
    else:
        known = {key: parameter.default for key, parameter in inspect.signature(factory).parameters.items()}
    given = {key: value for key, value in (options or {}).items() if value is not None}
    for key, value in given.items():
        if key not in known:
            raise OptionError(f"--{key} {value}: space {name!r} has no such option; it has {_list(known)}")
    space = factory if isinstance(factory, Space) else factory(**given)
    if not isinstance(space, Space):
        raise SpaceError(f"{name!r} makes a {type(space).__name__}, not a Space: return spaces.space.Space(...)")
    used = {key: given.get(key, known[key]) for key in (options or {}) if key in known}
    return replace(space, compiled=compiled), used


def is_file(name: str) -> bool:
    """Whether a name is that of a space in a file."""
    return ".py:" in name


def file_of(name: str) -> Path:
    """The file of a name like ``FILE.py:NAME``; raises OptionError where no file can have such a path."""
    return user_path(name.rpartition(":")[0], "space file")


def _from_file(name: str) -> Callable[..., Space] | Space:
    path, attribute = file_of(name), name.rpartition(":")[2]
    if not path.is_file():
        raise SpaceError(f"space file {str(path)!r} is not there: give --space FILE.py:NAME")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SpaceError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = getattr(error, "lineno", None) or (lines[-1] if lines else 1)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise SpaceError(f"space file {str(path)!r} does not load: line {line}: {reason}") from error
    if not hasattr(module, attribute):
        public = [key for key, value in vars(module).items() if _is_made_here(value, module)]
        raise SpaceError(unknown(f"name in {str(path)!r}", attribute, public))
    found = getattr(module, attribute)
    if not callable(found) and not isinstance(found, Space):
        raise SpaceError(f"{name!r} is a {type(found).__name__}: name a function that returns a Space, or a Space")
    return found


def _is_made_here(value: object, module: object) -> bool:
    return isinstance(value, Space) or getattr(value, "__module__", None) == module.__name__


def _list(known: Mapping[str, Any]) -> str:
    names = [f"--{name}" for name in known if name != "compiled"]
    return ", ".join(names) or "none"
