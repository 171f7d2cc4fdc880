"""Pool: the runner that has candidates scored by several workers of a Ray, which may come, go and die meanwhile.

The driver keeps sampler and ledger. A worker is an actor: a process that holds what scoring needs, sent once through
the object store. Scores go back in candidate order, so a ledger does not depend on who computed what.
"""

import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from search.loop.loop import Brief, Runner
from search.loop.memory import AGAIN, fitting
from search.runners.cluster import Cluster, difference, facts_of_process, node_resources, room
from search.runners.dispatch import ENOUGH, Dispatch, Pace
from spaces.candidate import Candidate, Score
from spaces.errors import ClusterError, LostError
from spaces.faults import ADVICE, MEMORY, machine_fault

LOOK = 1.0  # seconds between looks at the cluster: what has come, what has gone, who takes too long
WINDOW = 30.0  # seconds over which throughput is a mean

Load = Callable[[Any], Callable[[Candidate, Any], Score]]


@dataclass(eq=False)
class _Worker:
    actor: Any
    call: Any  # what it is asked for: to start, or scores; None while it is idle
    since: float
    started: bool = False
    batch: Dispatch | None = None  # whose candidates it has


@dataclass(kw_only=True)
class Pool:
    """Workers and what they are told; use :func:`pooled`.

    Attributes:
        cluster: which workers.
        load: makes the function that scores, ``score(candidate, told)``, in a worker, of what ``payload`` holds.
        payload: reference to that in the object store.
        fidelity: of a candidate that is failed for its workers' deaths.
        facts: what a worker's process must agree with.
    """

    cluster: Cluster
    load: Load
    payload: Any
    fidelity: str
    facts: Mapping[str, str]
    workers: list[_Worker] = field(default_factory=list)
    pace: Pace = field(default_factory=Pace)
    lost: int = 0
    failed: int = 0
    queued: int = 0
    false_starts: int = 0
    looked: float = -LOOK
    known: Candidate | None = None  # the last that was scored
    came: deque[float] = field(default_factory=deque)

    def run(self, candidates: Sequence[Candidate], told: Any) -> Iterator[Score]:  # noqa: ANN401
        """Scores of candidates, in order, as they come.

        Raises:
            ClusterError: no worker can be started, again and again.
            Exception: what a score raised, which is no candidate's fault.
        """
        batch = self._dispatch(candidates, self.cluster.retries)
        while not batch.finished:
            for score in self._step(batch, told, len(candidates)):
                self.failed += score.state == "failed"
                self.came.append(time.monotonic())
                yield score
            while found := batch.undecided:
                index, candidate, fault = found
                batch.decide(index, self._decided(candidate, fault, batch.proven[-1:], told))
            self.known = (batch.proven or [self.known])[-1]

    def _dispatch(self, candidates: Sequence[Candidate], retries: int) -> Dispatch:
        timeout = self.cluster.candidate_timeout
        longest = ENOUGH if timeout is None else timeout / 4
        return Dispatch(candidates, pace=self.pace, retries=retries, longest=longest)

    def _step(self, batch: Dispatch, told: Any, useful: int) -> Iterator[Score]:  # noqa: ANN401
        """Gives out what there is to do, and the scores that are ready; then waits for an answer."""
        self._look(useful)
        for worker in self.workers:
            if worker.started and worker.call is None and (asked := batch.take(worker, len(self.workers))):
                self._ask(worker, worker.actor.score.remote(asked, told), batch)
        self.queued = batch.unsent
        yield from batch.ready()
        if not batch.finished and batch.undecided is None:
            for worker in self._answered():
                self._hear(worker, batch)

    def _decided(
        self,
        candidate: Candidate,
        fault: Exception,
        proven: Sequence[Candidate],
        told: Any,  # noqa: ANN401
    ) -> Score | Exception:
        """The score of a candidate that memory did not suffice for, or whose workers died, while nothing else runs.

        It is failed if it is the only one; an error where another one, which was scored before, fares no better.
        """
        others = [*proven, *([self.known] if self.known is not None and not proven else [])]
        try:
            return fitting(lambda one: self._alone(one, told), candidate, others, fidelity=self.fidelity)
        except LostError as error:
            if not any(self._lives(other, told) for other in others):
                return ClusterError(f"{error}, whatever it scores: {ADVICE[MEMORY]} or mend its node, then resume")
            said = f"{fault}, and once more while nothing else ran, where others do not{AGAIN}"
            return Score(state="failed", fidelity=self.fidelity, error=said)
        except Exception as error:  # its turn to be raised comes after the scores before it
            return error

    def _lives(self, other: Candidate, told: Any) -> bool:  # noqa: ANN401
        try:
            self._alone(other, told)
        except LostError:
            return False
        return True

    def _alone(self, candidate: Candidate, told: Any) -> Score:  # noqa: ANN401
        """The score of a candidate while nothing else is computed; raises what befell it, or its workers."""
        batch = self._dispatch([candidate], 0)
        while True:
            for score in self._step(batch, told, 1):
                return score
            if batch.undecided:
                raise batch.undecided[2]

    def status(self) -> str:
        """For people: workers, throughput, queue, failures."""
        now, came = time.monotonic(), list(self.came)
        recent = sum(now - when < WINDOW for when in came)
        span = min(WINDOW, now - came[0]) if came else 0.0
        rate = f", {recent / span:.3g}/s" if span > 1 else ""
        ready = sum(worker.started for worker in self.workers)
        starting = f" (+{len(self.workers) - ready} starting)" if ready < len(self.workers) else ""
        lost = f", {self.lost} workers lost" if self.lost else ""
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{ready} workers{starting}{rate}, {self.queued} queued{failed}{lost}"

    def close(self) -> None:
        """Ends all workers."""
        for worker in list(self.workers):
            self._end(worker)

    def _look(self, useful: int) -> None:
        """Now and then: starts workers where there is room for more, and gives up those that wait for lost room."""
        now = time.monotonic()
        if now - self.looked < LOOK:
            return
        self.looked = now
        while self.came and now - self.came[0] > WINDOW:
            self.came.popleft()
        wanted = self.cluster.workers or room(self.cluster, node_resources())
        waiting = [worker for worker in self.workers if not worker.started]
        for worker in waiting[: max(0, len(self.workers) - wanted)]:  # a node is gone: it would wait for ever
            self._end(worker)
        for _ in range(len(self.workers), min(wanted, useful)):
            actor = _actor(self.cluster).remote(self.load, self.payload, self.facts)
            self.workers.append(_Worker(actor, actor.start.remote(), now))

    def _end(self, worker: _Worker) -> None:
        import ray

        self.workers.remove(worker)
        ray.kill(worker.actor, no_restart=True)

    def _ask(self, worker: _Worker, call: Any, batch: Dispatch) -> None:  # noqa: ANN401
        worker.call, worker.since, worker.batch = call, time.monotonic(), batch

    def _answered(self) -> list[_Worker]:
        """Workers whose call has an end, good or bad; waits for one, but not for ever."""
        import ray

        calls = {worker.call: worker for worker in self.workers if worker.call is not None}
        if not calls:
            time.sleep(LOOK / 10)
            return []
        timeout = self.cluster.candidate_timeout
        ready, _ = ray.wait(list(calls), num_returns=1, timeout=LOOK if timeout is None else min(LOOK, timeout / 4))
        if ready and len(calls) > 1:
            ready, _ = ray.wait(list(calls), num_returns=len(calls), timeout=0)
        answered = [calls[call] for call in ready]
        if timeout is not None:
            now = time.monotonic()
            answered += [w for w in calls.values() if w.started and w not in answered and now - w.since > timeout]
        return answered

    def _hear(self, worker: _Worker, batch: Dispatch) -> None:
        """Takes in what a worker's call ended with; what it had of a batch that was dropped is dropped."""
        import ray

        call, worker.call = worker.call, None
        mine = worker.batch is batch
        try:
            answer = ray.get(call, timeout=0)
        except ray.exceptions.RayTaskError as error:  # an error that cannot travel
            if mine:
                raise (error.cause or error) from None
        except ray.exceptions.RayError as error:
            slow = isinstance(error, ray.exceptions.GetTimeoutError)
            reason = _reason(error, self.cluster.candidate_timeout)
            self._end(worker)
            if not worker.started:
                self._false_start(reason)
                return
            self.lost += 1
            self.looked = -LOOK  # another one, at once
            if mine:
                batch.lost(worker, reason, self.fidelity, slow=slow)
            return
        else:
            if worker.started and mine:
                batch.done(worker, *answer)
        worker.started, self.false_starts = True, 0

    def _false_start(self, reason: str) -> None:
        """Raises ClusterError once nothing else can be expected."""
        self.false_starts += 1
        if self.false_starts > self.cluster.retries and not any(worker.started for worker in self.workers):
            raise ClusterError(f"no worker can be started ({reason}): mend it, then resume")


@contextmanager
def pooled(
    cluster: Cluster,
    load: Load,
    payload: Any,  # noqa: ANN401
    *,
    fidelity: str,
    brief: Brief = lambda history: None,
) -> Iterator[tuple[Runner, Callable[[], str]]]:
    """A runner whose candidates are scored by workers of the Ray that is connected, and its state in words.

    Args:
        cluster: which workers.
        load: importable; called with the payload in each worker, it gives the function that scores there.
        payload: what scoring needs, sent once; large arrays in it are shared by the workers of a node.
        fidelity: of the scores.
        brief: what a score needs of the history.

    Raises:
        ClusterError: the object store cannot hold the payload.
    """
    import ray

    try:
        reference = ray.put(payload)
    except (ray.exceptions.ObjectStoreFullError, ray.exceptions.OutOfDiskError) as error:
        raise ClusterError(
            f"the object store of {cluster.object_store_mb} MiB cannot hold data and supernet: raise --object-store-mb"
        ) from error
    pool = Pool(cluster=cluster, load=load, payload=reference, fidelity=fidelity, facts=facts_of_process()())
    try:
        yield lambda candidates, history: pool.run(candidates, brief(history)), pool.status
    finally:
        pool.close()


def _actor(cluster: Cluster) -> Any:  # noqa: ANN401
    import ray

    return ray.remote(Scorer).options(
        num_cpus=cluster.cpus_per_worker,
        num_gpus=cluster.gpus_per_worker,
        max_restarts=0,
        scheduling_strategy="SPREAD",
    )


class Scorer:
    """What runs in a worker's process."""

    def __init__(self, load: Load, payload: Any, facts: Mapping[str, str]) -> None:  # noqa: ANN401
        if problem := difference(facts, facts_of_process()()):
            raise ClusterError(f"a node that came later {problem}")
        self._score = load(payload)

    def start(self) -> None:
        """Answers once the worker is ready."""

    def score(
        self,
        candidates: Sequence[Candidate],
        told: Any,  # noqa: ANN401
    ) -> tuple[list[Score], float, Exception | None]:
        """Scores, in order, how long they took, and the error that they end with, if one is no candidate's fault."""
        begun, scores = time.perf_counter(), []
        try:
            scores += (self._score(candidate, told) for candidate in candidates)
        except Exception as error:
            error.add_note(f"in a worker: {traceback.format_exc()}")
            return scores, time.perf_counter() - begun, error
        return scores, time.perf_counter() - begun, None


def _reason(error: BaseException, timeout: float | None) -> str:
    """Why a worker is lost, in words that are the same for the same cause."""
    import ray

    if isinstance(error, ray.exceptions.GetTimeoutError):
        return f"no score within {timeout:g} seconds (--candidate-timeout)"
    if machine_fault(error) == MEMORY:
        return f"{MEMORY} on the worker's node, which ended it"
    if "creation task" in (text := str(error)):
        return text.strip().splitlines()[-1][-300:]
    return "the worker died"
