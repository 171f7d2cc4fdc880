"""Rules for the fields of JSON objects that are read again: what each must be, in code and in words."""

import json
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

Rule = tuple[Callable[[Any], bool], str]
"""What a value must fulfil, and how a message puts it."""


def finite(value: object) -> bool:
    """Whether a value is a number that is neither NaN nor infinite, nor too large for arithmetic."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300 if isinstance(value, int) else math.isfinite(value)


def is_whole(value: object) -> bool:
    """Whether a value is a whole number >= 0 that arithmetic can be done with."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**300


def is_amount(value: object) -> bool:
    """Whether a value is a number >= 0 that arithmetic can be done with."""
    return finite(value) and 0 <= value < 1e300


def is_share(value: object) -> bool:
    """Whether a value is a number from 0 to 1."""
    return finite(value) and 0 <= value <= 1


def is_text(value: object) -> bool:
    """Whether a value is a text."""
    return isinstance(value, str)


def list_of(rule: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """The rule of lists whose every item keeps a rule."""
    return lambda value: isinstance(value, list) and all(map(rule, value))


def object_of(rule: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """The rule of objects whose every value keeps a rule."""
    return lambda value: isinstance(value, dict) and all(map(rule, value.values()))


def or_null(rule: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """The rule, or null."""
    return lambda value: value is None or rule(value)


def keeps(rules: Mapping[str, Rule], required: Collection[str] = ()) -> Callable[[Any], bool]:
    """The rule of objects whose fields keep rules, see :func:`check_fields`."""

    def kept(value: object) -> bool:
        try:
            check_fields(value, rules, required)
        except ValueError:
            return False
        return True

    return kept


def check_fields(value: object, rules: Mapping[str, Rule], required: Collection[str] = ()) -> None:
    """Raises ValueError, in one line, unless a value is an object whose fields keep their rules.

    Fields that no rule is for may hold anything.

    >>> check_fields({"seed": "1"}, {"seed": (is_whole, "a whole number")})
    Traceback (most recent call last):
    ...
    ValueError: field 'seed' is "1", must be a whole number
    """
    if not isinstance(value, dict):
        raise ValueError(f"{json.dumps(value)[:60]} stands where an object must")
    for name in required:
        if name not in value:
            raise ValueError(f"field {name!r} is missing")
    for name, inner in value.items():
        rule, words = rules.get(name, (None, ""))
        if rule is not None and not rule(inner):
            raise ValueError(f"field {name!r} is {json.dumps(inner)[:60]}, must be {words}")


def is_filling(value: object) -> bool:
    """Whether a value is what stands in a candidate: an object of texts, finite numbers and booleans."""
    return object_of(lambda inner: isinstance(inner, str | bool) or finite(inner))(value)


ANYTHING: Rule = (lambda value: True, "anything")
TEXT: Rule = (is_text, "a text")
TEXTS: Rule = (list_of(is_text), "a list of texts")
OBJECT: Rule = (lambda value: isinstance(value, dict), "an object")
WHOLE: Rule = (is_whole, "a whole number >= 0")
AMOUNT: Rule = (is_amount, "a finite number >= 0")
AMOUNT_OR_NULL: Rule = (or_null(is_amount), "null or a finite number >= 0")
SHARE_OR_NULL: Rule = (or_null(is_share), "null or a number from 0 to 1")
FILLING: Rule = (is_filling, "an object of texts, finite numbers and booleans")
