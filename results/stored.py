"""What a run stores of its finalists and their tickets as JSON, read again: checked, so that any edit is one line."""

from pathlib import Path
from typing import Any

from results.folder import RunFolder
from spaces.candidate import BALANCED, METRICS, STATES
from spaces.checksums import read_json
from spaces.errors import DamageError
from spaces.files import reason
from spaces.paths import is_plain
from spaces.rules import (
    AMOUNT,
    AMOUNT_OR_NULL,
    FILLING,
    OBJECT,
    SHARE_OR_NULL,
    TEXT,
    TEXTS,
    WHOLE,
    Rule,
    check_fields,
    finite,
    is_amount,
    is_share,
    is_text,
    is_whole,
    keeps,
    list_of,
    object_of,
    or_null,
)


def _objects(rules: dict[str, Rule], required: tuple[str, ...] = ()) -> Rule:
    """The rule of lists of objects."""
    words = ", ".join(f"{name}: {rule[1]}" for name, rule in rules.items())
    return list_of(keeps(rules, required)), f"a list of objects ({words})"


_TEXT_OR_NULL: Rule = (or_null(is_text), "null or a text")
_STATE: Rule = (lambda value: value in STATES, f"one of {', '.join(STATES)}")
_LAYER: dict[str, Rule] = {
    "name": TEXT,
    "op": TEXT,
    "shape": (list_of(is_whole), "a list of whole numbers"),
    **dict.fromkeys(("neurons", "spikes", "rate", "sops", "macs", "energy_nj", "density"), AMOUNT_OR_NULL),
}
_CLASS: dict[str, Rule] = {
    "name": TEXT,
    **dict.fromkeys(("val_samples", "test_samples"), WHOLE),
    **dict.fromkeys(("val_accuracy", "test_accuracy"), SHARE_OR_NULL),
}
_FIGURES: dict[str, Rule] = {
    "number": WHOLE,
    "state": _STATE,
    "error": TEXT,
    "candidate": FILLING,
    **dict.fromkeys(METRICS, AMOUNT_OR_NULL),
    **dict.fromkeys(("with_memory_nj", "val_noise", "spikes_autosnn", "sops_by_rate", "seconds"), AMOUNT_OR_NULL),
    "test_accuracy": SHARE_OR_NULL,
    "val_accuracy": SHARE_OR_NULL,
    **dict.fromkeys((f"val_{BALANCED}", f"test_{BALANCED}"), SHARE_OR_NULL),
    "classes": _objects(_CLASS),
    "epochs": (or_null(is_whole), "null or a whole number >= 0"),
    "layers": _objects(_LAYER),
    "energy": OBJECT,
}
METRICS_RULES: dict[str, Rule] = {
    **_FIGURES,
    "picked_as": TEXT,
    "seed": WHOLE,
    "curve": _objects({"epoch": WHOLE, "loss": (or_null(finite), "null or a finite number")}),
    "supernet": (or_null(keeps(dict.fromkeys((*METRICS,), AMOUNT_OR_NULL))), "null or an object of amounts"),
}
_COST: dict[str, Rule] = {"epochs": WHOLE, "sample_steps": WHOLE, "seconds": AMOUNT}
_OPTIONS: dict[str, Rule] = {
    "method": TEXT,
    "pattern": TEXT,
    "budget": TEXT,
    "weight_bits": (or_null(is_whole), "null or a whole number >= 0"),
}
_COMPARED = ("val_accuracy", "spikes", "sops", "energy_nj", "with_memory_nj")
TWIN_RULES: dict[str, Rule] = {
    **_FIGURES,
    "bytes": WHOLE,
    "cost": (keeps(_COST, tuple(_COST)), f"an object with {', '.join(_COST)}"),
}
TWIN_REQUIRED = (*_COMPARED, "bytes", "cost", "layers")
TICKET_RULES: dict[str, Rule] = {
    **_FIGURES,
    "method": TEXT,
    "sparsity": (is_share, "a number from 0 to 1"),
    "options": (keeps(_OPTIONS, tuple(_OPTIONS)), f"an object with {', '.join(_OPTIONS)}"),
    "density": (object_of(or_null(is_amount)), "an object of amounts"),
    "never_pruned": TEXTS,
    "cost": (
        keeps(
            dict.fromkeys(("find", "train"), (keeps(_COST, tuple(_COST)), "")),
            ("find", "train"),
        ),
        f"an object with find and train, each with {', '.join(_COST)}",
    ),
    "bytes": (
        lambda value: object_of(is_whole)(value) and all(map(is_plain, value)),
        "whole numbers by names of files",
    ),
    "dense": (keeps(TWIN_RULES, TWIN_REQUIRED), f"an object with {', '.join(TWIN_REQUIRED)}"),
}
TICKET_REQUIRED = ("method", "options", "sparsity", *_COMPARED, "cost", "bytes", "dense", "layers")
DRAWING_RULES: dict[str, Rule] = {
    **dict.fromkeys(("format", "classes", "timesteps"), WHOLE),
    **dict.fromkeys(("data", "readout"), OBJECT),
    "nodes": _objects(
        {
            "id": (lambda value: isinstance(value, str | int), "a text"),
            "label": TEXT,
            "detail": _TEXT_OR_NULL,
            "role": TEXT,
            "shape": (or_null(list_of(is_whole)), "null or a list of whole numbers"),
        },
        ("id",),
    ),
    "edges": (
        list_of(lambda pair: list_of(lambda end: isinstance(end, str | int))(pair) and len(pair) == 2),
        "a list of pairs of texts",
    ),
}


def read_metrics(folder: RunFolder, number: int) -> dict[str, Any] | None:
    """metrics.json of finalist ``number``; None where it is not there: its training has not ended.

    Raises:
        DamageError: the file is damaged or was edited.
    """
    way_out = _anew(folder.finalist(number))
    return _read(folder.finalist(number) / "metrics.json", "finalist file", way_out, METRICS_RULES)


def read_drawing(folder: RunFolder, number: int) -> dict[str, Any] | None:
    """architecture.json of finalist ``number``; None where it is not there.

    Raises:
        DamageError: the file is damaged or was edited.
    """
    way_out = _anew(folder.finalist(number))
    return _read(folder.finalist(number) / "architecture.json", "finalist file", way_out, DRAWING_RULES)


def read_ticket(home: Path) -> dict[str, Any] | None:
    """metrics.json of the ticket in a folder; None where it is not there: its making has not ended.

    Raises:
        DamageError: the file is damaged or was edited.
    """
    way_out = f"remove the folder {str(home)!r} and prune again to make it anew"
    return _read(home / "metrics.json", "ticket file", way_out, TICKET_RULES, TICKET_REQUIRED)


def read_twin(path: Path) -> dict[str, Any] | None:
    """What a dense twin does, kept while its tickets are made; None where it is not there.

    Raises:
        DamageError: the file is damaged or was edited.
    """
    return _read(path, "dense twin", "remove it and prune again", TWIN_RULES, TWIN_REQUIRED)


def _anew(home: Path) -> str:
    return f"resume the run, which makes it anew, or remove the folder {str(home)!r}"


def _read(
    path: Path, what: str, way_out: str, rules: dict[str, Rule], required: tuple[str, ...] = ()
) -> dict[str, Any] | None:
    found = read_json(path, what, way_out)
    if found is None:
        return None
    try:
        check_fields(found, rules, required)
    except ValueError as error:
        raise DamageError(f"{what} {str(path)!r} is damaged or was edited ({reason(error)})", way_out) from error
    return found
