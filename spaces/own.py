"""Code of a person's own: what stands under a name in a file, ``path/to/file.py:NAME``, and what it raises."""

import ast
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from spaces.errors import OptionError, SearchError, SpaceError, one_line, typed_line, unknown
from spaces.files import check_regular
from spaces.paths import user_path


def own(name: str, what: str, *, wanted: str, fits: Callable[[object], bool]) -> Any:  # noqa: ANN401
    """What stands in a file under a name ``FILE.py:NAME``.

    Args:
        name: of file and thing.
        what: the kind of thing, which is its option's name, too.
        wanted: what has to stand there, in words; ``fits`` says whether it does.

    Raises:
        OptionError: there is no such file, no such name in it, or it is of another kind.
        OwnError: the file does not load.
    """
    with own_code(name, what, whole=True):
        found = _from_file(name, what, fits)
    if not fits(found):
        raise OptionError(f"{name!r} is a {type(found).__name__}: name {wanted}")
    return found


def sha256_of(name: str, what: str = "space") -> str:
    """SHA-256, in hex, of the file of a name like ``FILE.py:NAME``, which a resume must find unchanged."""
    return hashlib.sha256(file_of(name, what).read_bytes()).hexdigest()


def is_file(name: str) -> bool:
    """Whether a name is that of something in a file."""
    return ".py:" in name


def is_own(name: str, what: str) -> bool:
    """Whether a name is that of something in a file; raises OptionError where it is a file's alone."""
    if name.endswith((".py", ".py:")):
        file = name.rstrip(":")
        raise OptionError(f"--{what} {name}: a file may hold several {what}s, so say which one: write {file}:NAME")
    return is_file(name)


def file_of(name: str, what: str = "space") -> Path:
    """The file of a name like ``FILE.py:NAME``; raises OptionError where no file can have such a path."""
    return user_path(name.rpartition(":")[0], f"{what} file")


@contextmanager
def own_code(name: str | None, what: str = "space", *, whole: bool = False) -> Iterator[None]:
    """Within, what a person's own file raises is a SpaceError that names the file, the line and the reason.

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
        file = file_of(name, what)
        lines = list(_lines(error, file))
        if not lines and (not whole or isinstance(error, OptionError)):
            raise
        line = lines[-1] if lines else _definition(name)
        said = one_line(error, LONGEST) if isinstance(error, SearchError) else typed_line(error, LONGEST)
        raise OwnError(f"{what} file {str(file)!r}, line {line}: {said}") from error


def _lines(error: BaseException, file: Path) -> Iterator[int]:
    """The lines of a file that an error came by, the last one where it was raised."""
    places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        places.append((error.filename, error.lineno))
    yield from (line for name, line in places if line and name in (str(file), str(file.absolute())))


LONGEST = 500


class OwnError(SpaceError):
    """What a person's own file raised, told by file and line."""


def _definition(name: str) -> int:
    """The line of a file where a name is defined; 1 if that cannot be told."""
    attribute = name.rpartition(":")[2]
    with suppress(OSError, ValueError, SyntaxError, RecursionError):
        for node in ast.parse(file_of(name).read_bytes()).body:
            names = {getattr(node, "name", None), *(getattr(one, "id", None) for one in getattr(node, "targets", ()))}
            if attribute in names:
                return node.lineno
    return 1


def _from_file(name: str, what: str, fits: Callable[[object], bool]) -> object:
    path, attribute = file_of(name, what), name.rpartition(":")[2]
    if not path.exists():
        raise OptionError(f"{what} file {str(path)!r} is not there: give --{what} FILE.py:NAME")
    try:
        check_regular(path)
    except OSError as error:
        raise OptionError(f"{what} file {str(path)!r}: {one_line(error)}: give --{what} FILE.py:NAME") from error
    name_of_module = f"{what} file {path.resolve()}"  # which no import statement can mean
    spec = importlib.util.spec_from_file_location(name_of_module, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name_of_module] = module  # where dataclasses look up annotations that are texts
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name_of_module]  # what is in it travels to workers by value
    if not hasattr(module, attribute):
        public = [key for key, value in vars(module).items() if fits(value) and _is_made_here(value, module)]
        raise OptionError(f"--{what} {name}: {unknown(f'name in {str(path)!r}', attribute, public)}")
    return getattr(module, attribute)


def _is_made_here(value: object, module: object) -> bool:
    """Whether a value is no import: an instance, or a function or class of this file."""
    return not callable(value) or getattr(value, "__module__", None) == module.__name__
