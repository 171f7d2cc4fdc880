"""Dispatch: which worker gets which candidates of a batch, and what follows where a worker is lost.

Each worker walks a stretch of its own through the tree of fillings, so that what it scores begins alike. Stretches are
given out from the front, for scores are told in order and those that come early must wait; when all are given out, who
is done takes the back half of the longest (work stealing: Blumofe and Leiserson, JACM 1999). What goes out at a time is
sized by the time that candidates took. Here is no clock and no Ray: the same code runs in a simulation.
"""

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from search.loop.memory import is_short
from spaces.candidate import Candidate, Score
from spaces.errors import LostError

WORTH = 0.05  # seconds of work that a call should be worth, against the millisecond that it costs
ENOUGH = 0.25  # seconds of work a call at most, so that results keep coming and little is lost with a worker
STRETCH = 32  # candidates, or what is left if that is little, or one call's if that is more
NEW = 0.3  # weight of the newest call in the pace


@dataclass(kw_only=True)
class Pace:
    """Seconds a candidate takes, as a moving mean over calls; 0 before the first."""

    seconds: float = 0.0

    def learn(self, seconds: float, candidates: int) -> None:
        """Takes in a call."""
        each = seconds / candidates
        self.seconds = self.seconds + NEW * (each - self.seconds) if self.seconds else each


@dataclass
class _Stretch:
    start: int
    stop: int
    owner: Hashable | None

    def __len__(self) -> int:
        return self.stop - self.start


class Dispatch:
    """One batch of candidates on its way, and their scores in order as they come back.

    A call whose worker is lost is halved and sent again, till what is left is one candidate. One that was lost alone
    more than ``retries`` times is undecided, and so is one for which memory did not suffice: whether that is its fault
    is for others to say, once all else is back and nothing runs beside it.

    Args:
        candidates: neighbours begin alike.
        pace: what is known of their cost; it learns.
        retries: how often a candidate that was lost alone is sent again.
        longest: seconds of work a call may be worth.
    """

    def __init__(self, candidates: Sequence[Candidate], *, pace: Pace, retries: int, longest: float = ENOUGH) -> None:
        self._candidates = candidates
        self._pace, self._retries, self._longest = pace, retries, min(longest, ENOUGH)
        self._stretches = [_Stretch(0, len(candidates), None)] if candidates else []
        self._suspects: list[range] = []  # calls that were lost, halved; they go out as they are
        self._out: dict[Hashable, range] = {}
        self._losses = [0] * len(candidates)
        self._scores: list[Score | Exception | None] = [None] * len(candidates)
        self._told = 0  # scores that went back
        self._undecided: dict[int, Exception] = {}
        self.unsent = len(candidates)

    @property
    def finished(self) -> bool:
        """Whether all scores have gone back."""
        return self._told == len(self._candidates)

    def take(self, worker: Hashable, workers: int) -> list[Candidate]:
        """What an idle worker, one of so many, is to score next; empty where nothing is left to send."""
        call = self._suspects.pop(0) if self._suspects else self._cut(worker, workers)
        if call:
            self._out[worker] = call
            self.unsent -= len(call)
        return [self._candidates[index] for index in call]

    def done(self, worker: Hashable, scores: Sequence[Score], seconds: float, error: Exception | None = None) -> None:
        """The scores of what a worker took, and how long it had for them; or those before an error, and that."""
        call = self._out.pop(worker)
        if scores:
            self._pace.learn(seconds, len(scores))
        short = error is not None and is_short(error)
        for index, score in zip(call, [*scores, error] if error and not short else scores, strict=error is None):
            self._scores[index] = score
        if short:
            at = call.start + len(scores)
            self._undecided[at] = error
            if rest := range(at + 1, call.stop):
                self._suspects.append(rest)
                self.unsent += len(rest)

    @property
    def undecided(self) -> tuple[int, Candidate, Exception] | None:
        """The first candidate that is undecided, its place and what befell it, once all else is back."""
        if self._out or self._suspects or self._stretches or not self._undecided:
            return None
        index = min(self._undecided)
        return index, self._candidates[index], self._undecided[index]

    def decide(self, index: int, score: Score | Exception) -> None:
        """What came of an undecided candidate."""
        del self._undecided[index]
        self._scores[index] = score

    @property
    def proven(self) -> list[Candidate]:
        """Candidates of the batch that were scored."""
        scored = zip(self._candidates, self._scores, strict=True)
        return [candidate for candidate, score in scored if isinstance(score, Score) and score.state == "ok"]

    def lost(self, worker: Hashable, reason: str, fidelity: str, *, slow: bool = False) -> None:
        """A worker is gone, with what it had taken, if it had: who it was is known, its stretch is anyone's.

        One that was too ``slow`` was ended for its candidate, which is failed once there are no retries left.
        """
        for stretch in self._stretches:
            if stretch.owner == worker:
                stretch.owner = None
        call = self._out.pop(worker, range(0))
        self.unsent += len(call)
        middle = (call.start + call.stop) // 2
        if len(call) > 1:
            self._suspects += [range(call.start, middle), range(middle, call.stop)]
        for index in call if len(call) == 1 else ():
            self._losses[index] += 1
            if self._losses[index] <= self._retries:
                self._suspects.append(call)
            else:
                times = "once" if self._losses[index] == 1 else f"{self._losses[index]} times"
                self.unsent -= 1
                if slow:
                    self._scores[index] = Score(state="failed", fidelity=fidelity, error=f"{reason}, {times}")
                else:
                    self._undecided[index] = LostError(f"{reason}, {times}")

    def ready(self) -> Iterator[Score]:
        """The scores that are next in order and have come back, each once; raises the error whose turn it is."""
        while not self.finished and (score := self._scores[self._told]) is not None:
            if isinstance(score, Exception):
                raise score
            self._told += 1
            yield score

    def _cut(self, worker: Hashable, workers: int) -> range:
        """The next call of a worker: the beginning of its own stretch, of nobody's, or of one that it steals."""
        own = next((stretch for stretch in self._stretches if stretch.owner == worker), None)
        free = min((s for s in self._stretches if s.owner is None), key=lambda s: s.start, default=None)
        if own is None and free is not None:
            length = max(self._size(workers), min(STRETCH, math.ceil(len(free) / (2 * workers))))
            own = self._split(free, range(free.start + length, free.start + length + length // 3 + 1))[0]
        elif own is None and self._stretches:
            longest = max(self._stretches, key=len)
            middle, reach = (longest.start + longest.stop) // 2, len(longest) // 6
            own = self._split(longest, range(middle - reach, middle + reach + 1))[1]
        if own is None:
            return range(0)
        own.owner = worker
        call = range(own.start, own.start + min(len(own), self._size(workers)))
        own.start = call.stop
        if not len(own):
            self._stretches.remove(own)
        return call

    def _size(self, workers: int) -> int:
        """How many candidates a call takes: worth sending, while leaving enough for all workers to end together."""
        if not self._pace.seconds:
            return 1
        worth = min(WORTH, self._longest) / self._pace.seconds
        open_ = self.unsent + sum(map(len, self._out.values()))
        least = min(math.ceil(worth), math.ceil(open_ / workers))
        return max(least, min(int(self._longest / self._pace.seconds), self.unsent // (2 * workers)), 1)

    def _split(self, stretch: _Stretch, places: range) -> tuple[_Stretch, _Stretch]:
        """A stretch in two, cut at the one of some places where neighbours have the least in common; or as it is."""
        inside = [place for place in places if stretch.start < place < stretch.stop]
        if not inside:
            return stretch, stretch
        middle = (inside[0] + inside[-1]) / 2
        cut = min(inside, key=lambda place: (self._common(place), abs(place - middle)))
        back = _Stretch(cut, stretch.stop, stretch.owner)
        stretch.stop = cut
        self._stretches.append(back)
        return stretch, back

    def _common(self, place: int) -> int:
        """How many blanks the candidate at a place, from the first on, shares with the one before it."""
        one, other = self._candidates[place - 1], self._candidates[place]
        return next((number for number, name in enumerate(one) if one[name] != other[name]), len(one))
