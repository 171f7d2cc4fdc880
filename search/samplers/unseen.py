"""Uniform draws of candidates that have not been seen, which end when a space is exhausted."""

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
    """Up to ``n`` distinct candidates outside ``seen``.

    Each comes from ``propose``, or is drawn uniformly from what is left if 100 proposals were all seen before. Fewer
    than ``n`` come back only if the space has no more (beyond two million candidates: if uniform draws
    find no more).
    """
    taken = set(seen)
    chosen: list[Candidate] = []
    rest: list[Candidate] | None = None  # what is left of a nearly exhausted space
    while len(chosen) < n and len(taken) < space.size:
        candidate = None
        if propose is not None:
            candidate = _first_unseen(propose, taken)
        if candidate is None and rest is None:
            candidate = _first_unseen(lambda: space.sample(rng), taken)
        if candidate is None:
            if rest is None:
                rest = [c for c in space.all() if c not in taken] if space.size <= ENUMERABLE else []
            rest = [c for c in rest if c not in taken]
            if not rest:
                break
            candidate = rest[int(rng.integers(len(rest)))]
        taken.add(candidate)
        chosen.append(candidate)
    return chosen


def _first_unseen(propose: Callable[[], Candidate], taken: set[Candidate]) -> Candidate | None:
    return next((c for c in (propose() for _ in range(TRIES)) if c not in taken), None)
