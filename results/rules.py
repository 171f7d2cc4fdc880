"""What config.json holds, field by field: a configuration that a hand has changed is named before anything follows."""

from typing import Any

from spaces.rules import (
    AMOUNT_OR_NULL,
    OBJECT,
    SHARE_OR_NULL,
    TEXT,
    TEXTS,
    WHOLE,
    Rule,
    check_fields,
    finite,
    is_text,
    keeps,
    list_of,
    object_of,
    or_null,
)

_TEXTS_OR_NULL: Rule = (or_null(list_of(is_text)), "null or a list of texts")
_TEXT_OR_NULL: Rule = (or_null(is_text), "null or a text")
_CHOICES: Rule = (list_of(lambda value: isinstance(value, str | bool) or finite(value)), "texts, numbers and booleans")
_SIZES: dict[str, Rule] = {
    **dict.fromkeys(("min", "max"), WHOLE),
    **dict.fromkeys(("min_share", "max_share"), SHARE_OR_NULL),
    "largest": TEXT,
}
_CONFIG: dict[str, Rule] = {
    "schema": WHOLE,
    "match": OBJECT,
    "hash": TEXT,
    "config": OBJECT,
    "created": TEXT,
    "command": TEXT,
    "task": OBJECT,
    "chance": (object_of(finite), "an object of finite numbers"),
    "space": OBJECT,
    "sampler": TEXT,
    "versions": OBJECT,
    "machine": OBJECT,
}
_PARTS: dict[str, dict[str, Rule]] = {
    "match": {
        "tried": (list_of(lambda value: isinstance(value, dict)), "a list of objects"),
        "objectives": TEXTS,
        "space": _TEXT_OR_NULL,
        "floor": AMOUNT_OR_NULL,
        **dict.fromkeys(("reference", "constraints", "table_blanks", "table_choices"), _TEXTS_OR_NULL),
    },
    "config": {"table": _TEXT_OR_NULL},
    "task": {
        "name": TEXT,
        "remarks": TEXTS,
        "per_class": (object_of(keeps(_SIZES)), "an object of objects with min, max, min_share, max_share, largest"),
    },
    "space": {
        "name": TEXT,
        "blanks": TEXTS,
        "distributions": (
            list_of(keeps({"name": TEXT, "attributes": (keeps({"choices": _CHOICES}), "")}, ("name", "attributes"))),
            "a list of objects with name and attributes",
        ),
    },
}


def check_config(config: dict[str, Any]) -> None:
    """Raises ValueError, in one line, unless what stands in a configuration is of the type that it should be."""
    check_fields(config, _CONFIG, ("match", "hash"))
    for part, rules in _PARTS.items():
        check_fields(config.get(part, {}), rules)
