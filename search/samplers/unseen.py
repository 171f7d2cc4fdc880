"""Draws of sound candidates that have not been seen, which end when a space is exhausted.

Candidates are taken in their canonical form, so that what is the same network is never asked for twice.
"""

from collections.abc import Callable, Iterable

import numpy as np

from spaces.candidate import Candidate
from spaces.space import Space

TRIES = 100
ENUMERABLE = 2_000_000


def distinct(
    space: Space,
    seen: Iterable[Candidate],
    n: int,
    rng: np.random.Generator,
    propose: Callable[[], Candidate] | None = None,
) -> list[Candidate]:
    """Up to ``n`` distinct candidates outside ``seen``, each one that can be a network.

    Each comes from ``propose``, or is drawn uniformly from what is left if 100 proposals were all seen before or
    cannot be networks. Fewer than ``n`` come back only if the space has no more (beyond two million
    candidates: if uniform draws find no more).
    """
    taken = {space.canonical(candidate) for candidate in seen}
    chosen: list[Candidate] = []
    rest: list[Candidate] | None = None  # what is left of a nearly exhausted space
    while len(chosen) < n and len(taken) < space.size:
        candidate = None
        if propose is not None:
            candidate = _first_unseen(space, propose, taken)
        if candidate is None and rest is None:
            candidate = _first_unseen(space, lambda: space.sample(rng), taken)
        if candidate is None:
            if rest is None:
                sound = space.all_sound() if space.size <= ENUMERABLE else ()
                rest = list(dict.fromkeys(map(space.canonical, sound)))
            rest = [c for c in rest if c not in taken]
            if not rest:
                break
            candidate = rest[int(rng.integers(len(rest)))]
        taken.add(candidate)
        chosen.append(candidate)
    return chosen


def _first_unseen(space: Space, propose: Callable[[], Candidate], taken: set[Candidate]) -> Candidate | None:
    sound = (candidate for candidate in (propose() for _ in range(TRIES)) if not space.flaw(candidate))
    return next((candidate for candidate in map(space.canonical, sound) if candidate not in taken), None)
