"""The packages that this one stands on, and whether it is they that Python would import."""

import sys
from importlib.util import find_spec
from pathlib import Path

ROOMS = ("spaces", "evaluators", "search", "results", "launch")
HOME = Path(__file__).resolve().parents[1]


def foreign_room() -> str:
    """One line on a module of another project that stands in the place of one of ours; empty if none does."""
    for name in ROOMS:
        known = sys.modules.get(name)
        spec = getattr(known, "__spec__", None) if known is not None else find_spec(name)
        place = getattr(known, "__file__", None) or (spec.origin if spec is not None else None)
        if spec is None and place is None:
            return f"module {name!r} of spikefront is not there: install spikefront anew"
        if name == "launch" and known is not None and place is None:
            continue
        found = Path(place).resolve() if place else Path("a folder without __init__.py")
        if HOME not in found.parents:
            return (
                f"module {name!r} at {str(found)!r} is not that of spikefront and stands before it on Python's path: "
                "rename it, or take its folder off the path"
            )
    return ""


def check_rooms() -> None:
    """Raises ImportError, in one line, where a foreign module stands in the place of one of ours."""
    if fault := foreign_room():
        raise ImportError(fault)
