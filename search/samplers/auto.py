"""The sampler for a space and a budget: the first rule that holds."""

from collections.abc import Callable

from spaces.space import Space

AUTO = "auto"

RULES: tuple[tuple[str, str, Callable[[Space, int], bool]], ...] = (  # sampler, why, (space, candidates) -> holds
    ("random", "the budget covers the whole space, so the order does not matter", lambda space, n: n >= space.size),
    ("nsga2", "it breeds on all objectives, in any space", lambda space, n: True),
)


def choose(space: Space, candidates: int) -> tuple[str, str]:
    """The name of the sampler for ``candidates`` scores in a space, and why, in words."""
    return next((name, f"{name}, chosen by {AUTO}: {why}") for name, why, holds in RULES if holds(space, candidates))
