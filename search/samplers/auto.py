"""The sampler for a space and a budget: the first rule that holds."""

from collections.abc import Callable, Sequence

from spaces.space import Space

AUTO = "auto"


def has_both_halves(space: Space, candidates: int) -> bool:
    """Whether a space has structure and dynamics: on ``dualspace`` joint was measured to be the quicker there."""
    return all(space.halves.values())


MODELLED = 2_000  # candidates, beyond which fitting a model for every batch costs more than it brings

RULES: tuple[tuple[str, str, Callable[[Space, int], bool]], ...] = (  # sampler, why, (space, candidates) -> holds
    ("random", "the budget covers the whole space, so the order does not matter", lambda space, n: n >= space.size),
    ("nsga2", f"beyond {MODELLED} candidates a model costs more than it brings", lambda space, n: n > MODELLED),
    ("joint", "a model finds the front with the fewest scores, in both halves at once", has_both_halves),
    ("dual", "a model finds the front with the fewest scores", lambda space, n: True),
)


def choose(space: Space, candidates: int, among: Sequence[str]) -> tuple[str, str]:
    """The name of the sampler for ``candidates`` scores in a space, one of those named, and why, in words."""
    fit = [(name, why) for name, why, holds in RULES if name in among and holds(space, candidates)]
    name, why = fit[0]
    return name, f"{name}, chosen by {AUTO}: {why}"
