"""What a name stands for: an entry of a table, or what stands in a person's own file, ``path/to/file.py:NAME``.

One way for all kinds: spaces, samplers, methods.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from spaces import SPACES, lookup
from spaces.candidate import Value
from spaces.errors import OptionError, SpaceError
from spaces.own import is_file, is_own, own, own_code
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
    with own_code(name, whole=True):
        factory = find(SPACES, "space", name, wanted="a function that returns a Space, or a Space", fits=_makes_space)
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


def find(
    table: Mapping[str, tuple[str, str]], what: str, name: str, *, wanted: str, fits: Callable[[object], bool]
) -> Any:  # noqa: ANN401
    """What a name stands for.

    Args:
        table: names of ours -> (where it is, what it is).
        what: the kind of thing, which is its option's name, too.
        name: a name in the table, or ``FILE.py:NAME``.
        wanted: what has to stand in a file, in words; ``fits`` says whether it does.

    Raises:
        OptionError: no such name, no such file, no such name in it, or it is of another kind.
        OwnError: the file does not load.
    """
    return own(name, what, wanted=wanted, fits=fits) if is_own(name, what) else lookup(table, what, name)


def _makes_space(found: object) -> bool:
    return callable(found) or isinstance(found, Space)


OPTIONS = {"width": int, "timesteps": int, "neuron": str}


def _list(known: Mapping[str, Any]) -> str:
    names = [f"--{name}" for name in known if name != "compiled"]
    return ", ".join(names) or "none"
