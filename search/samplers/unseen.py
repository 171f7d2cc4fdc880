"""Draws of sound candidates that have not been seen, which end when a space is exhausted.

Candidates are taken in their canonical form, so that what is the same network is never asked for twice.
"""

from collections.abc import Callable, Iterable, Iterator

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

    Each comes from ``propose``; once 100 proposals in a row were all seen before or cannot be networks, the rest is
    drawn uniformly from what is left. Fewer than ``n`` come back only if the space has no more (beyond two million
    candidates: if uniform draws find no more).
    """
    taken = {space.canonical(candidate) for candidate in seen}
    chosen: list[Candidate] = []
    rest: list[Candidate] | None = None  # what is left of a nearly exhausted space
    while len(chosen) < n and len(taken) < space.size:
        candidate = None
        if propose is not None:
            candidate = _first_unseen(space, propose, taken)
            propose = propose if candidate is not None else None  # exhausted: parents that are all alike, say
        if candidate is None and rest is None:
            candidate = _first_unseen(space, lambda: space.sample(rng), taken)
        if candidate is None:
            if rest is None:
                rest = list(dict.fromkeys(forms(space, space.all() if space.size <= ENUMERABLE else ())))
            rest = [c for c in rest if c not in taken]
            if not rest:
                break
            candidate = rest[int(rng.integers(len(rest)))]
        taken.add(candidate)
        chosen.append(candidate)
    return chosen


def _first_unseen(space: Space, propose: Callable[[], Candidate], taken: set[Candidate]) -> Candidate | None:
    proposed = forms(space, (propose() for _ in range(TRIES)))
    return next((candidate for candidate in proposed if candidate not in taken), None)


def forms(space: Space, candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    """The canonical forms of those candidates that can be networks, in order."""
    return (space.canonical(candidate) for candidate in candidates if not space.infeasible(candidate))
