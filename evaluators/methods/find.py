"""Methods by name, or out of a person's own file."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from evaluators.methods import METHODS
from evaluators.methods.method import Method
from spaces.find import find
from spaces.own import is_file, own_code


def method_of(name: str) -> Method:
    """The method of a name in ``METHODS``, or ``FILE.py:NAME``; errors as of ``spaces.find.find``.

    What the two functions of one's own raise is an OwnError.
    """
    wanted = "an evaluators.methods.method.Method"
    found = find(METHODS, "method", name, wanted=wanted, fits=lambda one: isinstance(one, Method))
    if not is_file(name):
        return found
    return replace(found, step=partial(_own, name, found.step), finish=partial(_own, name, found.finish))


def _own(name: str, function: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401
    """What a function of a person's own gives."""
    with own_code(name, "method"):
        return function(*args)
