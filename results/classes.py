"""What is to be told of a run's classes: that they are unequal, what a guess scores, and whether anything beats it."""

from collections.abc import Iterable, Mapping
from typing import Any

from results.ledger import Outcome
from spaces.candidate import BALANCED

UNEQUAL = 3  # times as many samples in the largest class as in the smallest: equal shares, rounded, never differ so


def are_unequal(task: Mapping[str, Any]) -> bool:
    """Whether the classes of a task, by its provenance, clearly differ in size where it is trained on."""
    sizes = (task.get("per_class") or {}).get("train") or {}
    return sizes.get("max", 0) >= UNEQUAL * max(sizes.get("min", 0), 1)


def remarks(
    task: Mapping[str, Any], objectives: Iterable[str], constraints: Iterable[str], class_weights: str
) -> list[str]:
    """What to tell of unequal classes, with the options that help and are not used yet; nothing of equal ones.

    Args:
        task: provenance of the data.
        objectives: names of columns.
        constraints: names of columns that are bounded.
        class_weights: as in the configuration.
    """
    if not are_unequal(task):
        return []
    sizes, samples = task["per_class"]["validation"], task["samples"]["validation"]
    said = (
        f"The classes are unequal. Class {sizes['largest'][:40]!r} has {sizes['max']:,} of {samples:,} validation "
        f"samples, so always guessing it has {100 * sizes['max_share']:.1f} % accuracy."
    )
    names, options = list(objectives), []
    if BALANCED not in (*names, *constraints):
        instead = dict.fromkeys(BALANCED if name == "accuracy" else name for name in names)
        wanted = ",".join(instead if BALANCED in instead else [BALANCED, *instead])
        options.append(f"--objectives {wanted} (or --min {BALANCED}=X)")
    if class_weights == "none":
        options.append("--class-weights balanced")
    return [f"{said} To count every class alike, give {' and '.join(options)}." if options else said]


def unbeaten(outcomes: Iterable[Outcome], name: str, chance: Mapping[str, float]) -> list[str]:
    """That no outcome is better than a guess in a figure, in a sentence; none where one is, or nothing is known."""
    figures = [outcome.score.figure(name) for outcome in outcomes if outcome.score.state == "ok"]
    best = max((figure for figure in figures if figure is not None), default=None)
    if best is None or name not in chance or best > chance[name]:
        return []
    return [f"No network beats a guess, which has {100 * chance[name]:.1f} % {name.replace('_', ' ')}."]
