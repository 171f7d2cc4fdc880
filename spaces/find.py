"""Spaces by name, or out of a person's own file: ``path/to/file.py:NAME``."""

import ast
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from spaces import SPACES, lookup
from spaces.candidate import Value
from spaces.errors import OptionError, SearchError, SpaceError, one_line, typed_line, unknown
from spaces.files import check_regular
from spaces.paths import user_path
from spaces.sound import check_space
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
    with own_code(name, whole=True):
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
        if is_file(name):
            check_space(space)
        used = {key: given.get(key, known[key]) for key in (options or {}) if key in known}
        for key, value in used.items():
            if value is not None and type(value) is not OPTIONS.get(key, type(value)):
                raise SpaceError(
                    f"its option {key} is {value!r} by default: give a value of type {OPTIONS[key].__name__}"
                )
        return replace(space, compiled=compiled), used


OPTIONS = {"width": int, "timesteps": int, "neuron": str}


def is_file(name: str) -> bool:
    """Whether a name is that of a space in a file."""
    return ".py:" in name


def file_of(name: str) -> Path:
    """The file of a name like ``FILE.py:NAME``; raises OptionError where no file can have such a path."""
    return user_path(name.rpartition(":")[0], "space file")


@contextmanager
def own_code(name: str | None, *, whole: bool = False) -> Iterator[None]:
    """Within, what a space's own file raises is a SpaceError that names the file, the line and the reason.

    What has no line of that file on its way goes on as it is, unless the ``whole`` of what is done within is the
    file's: then the line is where the space is defined. So does Ctrl-C.
    """
    try:
        yield
    except (KeyboardInterrupt, OwnError):
        raise
    except BaseException as error:
        if name is None or not is_file(name):
            raise
        file = file_of(name)
        lines = list(_lines(error, file))
        if not lines and (not whole or isinstance(error, OptionError)):
            raise
        line = lines[-1] if lines else _definition(name)
        said = one_line(error, LONGEST) if isinstance(error, SearchError) else typed_line(error, LONGEST)
        raise OwnError(f"space file {str(file)!r}, line {line}: {said}") from error


def _lines(error: BaseException, file: Path) -> Iterator[int]:
    """The lines of a file that an error came by, the last one where it was raised."""
    places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        places.append((error.filename, error.lineno))
    yield from (line for name, line in places if line and name in (str(file), str(file.absolute())))


LONGEST = 500


class OwnError(SpaceError):
    """What a person's own space file raised, told by file and line."""


def _definition(name: str) -> int:
    """The line of a space's file where it is defined; 1 if that cannot be told."""
    attribute = name.rpartition(":")[2]
    with suppress(OSError, ValueError, SyntaxError, RecursionError):
        for node in ast.parse(file_of(name).read_bytes()).body:
            names = {getattr(node, "name", None), *(getattr(one, "id", None) for one in getattr(node, "targets", ()))}
            if attribute in names:
                return node.lineno
    return 1


def _from_file(name: str) -> Callable[..., Space] | Space:
    path, attribute = file_of(name), name.rpartition(":")[2]
    if not path.exists():
        raise OptionError(f"space file {str(path)!r} is not there: give --space FILE.py:NAME")
    try:
        check_regular(path)
    except OSError as error:
        raise OptionError(f"space file {str(path)!r}: {one_line(error)}: give --space FILE.py:NAME") from error
    name_of_module = f"space file {path.resolve()}"  # which no import statement can mean
    spec = importlib.util.spec_from_file_location(name_of_module, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name_of_module] = module  # where dataclasses look up annotations that are texts
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name_of_module]  # what is in it travels to workers by value
    if not hasattr(module, attribute):
        public = [key for key, value in vars(module).items() if _is_made_here(value, module)]
        raise OptionError(f"--space {name}: {unknown(f'name in {str(path)!r}', attribute, public)}")
    found = getattr(module, attribute)
    if not callable(found) and not isinstance(found, Space):
        raise OptionError(f"{name!r} is a {type(found).__name__}: name a function that returns a Space, or a Space")
    return found


def _is_made_here(value: object, module: object) -> bool:
    return isinstance(value, Space) or getattr(value, "__module__", None) == module.__name__


def _list(known: Mapping[str, Any]) -> str:
    names = [f"--{name}" for name in known if name != "compiled"]
    return ", ".join(names) or "none"
