"""What several workers cost and give: overhead at so many milliseconds a candidate, the driver's own pace, and a
simulation of many workers and candidates by a clock that is made up and the code that runs.

    python tests/benchmarks/cluster.py overhead --milliseconds 50 --candidates 200
    python tests/benchmarks/cluster.py driver --candidates 10000 --batch 64
    python tests/benchmarks/cluster.py simulate --workers 64 --candidates 100000 --batch 16384
"""

import argparse
import functools
import heapq
import math
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from results.ledger import Ledger, Outcome
from search.loop.goal import Goal
from search.loop.loop import Budget, in_process, search
from search.loop.racing import rivals_of
from search.runners.cluster import Cluster, connected
from search.runners.dispatch import Dispatch, Pace
from search.runners.pool import pooled
from search.samplers import SAMPLERS
from spaces import lookup
from spaces.candidate import Candidate, Score
from spaces.find import make_space
from spaces.seeds import derive, numpy_generator
from spaces.space import Space

GOAL = Goal(objectives=("accuracy", "spikes", "energy_nj"))


def made_up(candidate: Candidate) -> Score:
    """A score that follows from the candidate alone: each value of a blank is worth something, and costs something."""
    worth, cost = (sum(draw(what, item) for item in candidate.items()) / len(candidate) for what in ("worth", "cost"))
    accuracy = min(1.0, 0.5 + 0.45 * worth)
    spikes, noise = 1e4 * math.exp(2 * cost + accuracy), math.exp(0.1 * draw("noise", candidate.key))
    return Score(
        state="ok",
        fidelity="supernet",
        accuracy=accuracy,
        spikes=spikes,
        energy_nj=spikes / 7 * noise,
        sops=spikes * 90,
        macs=1e6,
        parameters=10_000,
        timesteps=4,
        seconds=seconds_of(candidate),
    )


@functools.lru_cache(10_000)
def draw(what: str, item: object) -> float:
    """A number in 0..1 that belongs to an item."""
    return derive(0, what, item) / 2**63


def seconds_of(candidate: Candidate) -> float:
    """A candidate's time: lognormal with sigma 1, mean 1; one in a hundred takes eleven times the median or more."""
    return float(numpy_generator(0, "seconds", candidate.key).lognormal(-0.5, 1.0))


def sleeper(milliseconds: float):
    """A score that takes so long and computes nothing."""

    def load(payload: None):
        import time

        from spaces.candidate import Score

        def score(candidate: Candidate, told: Any) -> Score:
            time.sleep(milliseconds / 1000)
            return Score(state="ok", fidelity="supernet", accuracy=0.5, spikes=1.0)

        return score

    return load


def overhead(milliseconds: float, candidates: int, batch: int, most: int) -> None:
    """Candidates a second of 1, 2, ... workers that sleep."""
    space, _ = make_space("autosnn")
    with connected(Cluster(workers=most, cpus_per_worker=1 / most, object_store_mb=100)):
        first = None
        for workers in range(1, most + 1):
            cluster = Cluster(workers=workers, cpus_per_worker=1 / most)
            with pooled(cluster, sleeper(milliseconds), None, fidelity="supernet") as (runner, _):
                rng = numpy_generator(0, workers)
                while runner_is_cold(runner, space, workers):
                    pass
                begun = time.perf_counter()
                for _ in range(candidates // batch):
                    asked = sorted((space.sample(rng) for _ in range(batch)), key=space.place)
                    list(runner(asked, []))
                rate = candidates // batch * batch / (time.perf_counter() - begun)
            first = first or rate
            print(
                f"{workers} workers: {rate:.1f} candidates a second, {rate / first:.2f} times one worker's; ideal "
                f"{workers * 1000 / milliseconds:.0f}"
            )


def runner_is_cold(runner: Any, space: Space, workers: int) -> bool:
    """Whether some workers are still starting, seen from how long 4 candidates a worker take."""
    rng, begun = numpy_generator(1), time.perf_counter()
    list(runner([space.sample(rng) for _ in range(4 * workers)], []))
    taken, begun = time.perf_counter() - begun, time.perf_counter()
    list(runner([space.sample(rng) for _ in range(4 * workers)], []))
    return time.perf_counter() - begun < 0.8 * taken


def driver(name: str, sampler: str, candidates: int, batch: int) -> None:
    """Candidates a second of processor time that the loop keeps books of, the scores' own time left out."""
    space, _ = make_space(name)
    marks = [(0, time.process_time())]
    spent = 0.0

    def score(candidate: Candidate, told: Any) -> Score:
        nonlocal spent
        begun = time.process_time()
        found = made_up(candidate)
        spent += time.process_time() - begun
        return found

    def note(outcome: Outcome) -> None:
        if (outcome.number + 1) % max(1, candidates // 10) == 0:
            marks.append((outcome.number + 1, time.process_time() - spent))
            (a, then), (b, now) = marks[-2:]
            print(f"to {b:,}: {(b - a) / (now - then):,.0f} candidates a second, {peak():,.0f} MiB", flush=True)

    with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder) / "ledger.jsonl") as ledger:
        begun = time.process_time()
        ended = search(
            space,
            ledger,
            lookup(SAMPLERS, "sampler", sampler),
            in_process(score, rivals_of(GOAL)),
            goal=GOAL,
            budget=Budget(candidates=candidates, batch=batch),
            seed=0,
            on_outcome=note,
        )
        total = time.process_time() - begun - spent
        size = ledger.path.stat().st_size / 2**20
        n = len(ledger.outcomes)
    print(f"{ended}: {n / total:,.0f} a second of bookkeeping with {sampler} at batch {batch}; ledger {size:.1f} MiB")


def simulate(name: str, sampler: str, workers: int, candidates: int, batch: int, call: float) -> None:
    """A whole search whose scores take time by a clock that is made up; what sends them out is the code that runs.

    ``call`` is what a call costs besides its candidates. The sampler's time is this machine's own, and counts.
    """
    space, _ = make_space(name)
    clock, busy, calls, held, asking, asked_at = 0.0, 0.0, 0, 0, 0.0, time.perf_counter()
    pace = Pace()

    def runner(asked: Sequence[Candidate], history: Sequence[Outcome]) -> Iterator[Score]:
        nonlocal clock, busy, calls, held, asking, asked_at
        asking += time.perf_counter() - asked_at
        dispatch = Dispatch(asked, pace=pace, retries=0)
        idle: list[int] = list(range(workers))
        events: list[tuple[float, int, list[Candidate], float]] = []
        came = 0
        while not dispatch.finished:
            for worker in list(idle):
                if taken := dispatch.take(worker, workers):
                    idle.remove(worker)
                    work = sum(map(seconds_of, taken))
                    busy += work
                    calls += 1
                    heapq.heappush(events, (clock + work + call, worker, taken, work))
            if events:
                clock, worker, taken, work = heapq.heappop(events)
                idle.append(worker)
                came += len(taken)
                dispatch.done(worker, [made_up(candidate) for candidate in taken], work)
            told = list(dispatch.ready())
            came -= len(told)
            held = max(held, came)
            if dispatch.finished:
                asked_at = time.perf_counter()
            yield from told

    with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder) / "ledger.jsonl") as ledger:
        begun = time.perf_counter()
        search(
            space,
            ledger,
            lookup(SAMPLERS, "sampler", sampler),
            runner,
            goal=GOAL,
            budget=Budget(candidates=candidates, batch=batch),
            seed=0,
        )
        real = time.perf_counter() - begun
        size, n = ledger.path.stat().st_size / 2**20, len(ledger.outcomes)
    print(f"{n:,} candidates, {workers} workers, {sampler}, batch {batch:,}: {busy / n:.2f} s each, lognormal")
    print(f"simulated {clock:,.0f} s; the workers are busy {busy / workers / clock:.3f} of it,")
    print(f"with {asking:,.0f} s of the sampler's own time {busy / workers / (clock + asking):.3f}")
    print(f"{calls:,} calls; at most {held:,} scores held until their turn; ledger {size:.0f} MiB")
    print(f"driver: peak {peak():,.0f} MiB, {real:,.0f} s in all, {n / real:,.0f} candidates a second", flush=True)


def peak() -> float:
    """Largest memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Runs one of the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("overhead", "driver", "simulate"))
    parser.add_argument("--space", default="everything")
    parser.add_argument("--sampler", default="evolution")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--milliseconds", type=float, default=50.0)
    parser.add_argument("--call", type=float, default=0.002, help="seconds that a call costs")
    found = parser.parse_args()
    if found.what == "overhead":
        overhead(found.milliseconds, found.candidates, found.batch, found.workers)
    elif found.what == "driver":
        driver(found.space, found.sampler, found.candidates, found.batch)
    else:
        simulate(found.space, found.sampler, found.workers, found.candidates, found.batch, found.call)


if __name__ == "__main__":
    main()
