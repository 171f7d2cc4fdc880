"""Conformance suite of runners: every runner passes it. The ray runner also survives whatever befalls its workers.

Ray runs here as two nodes of one CPU each, on this machine.
"""

import os
import re
import signal
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest

from results.ledger import Outcome
from search.loop.loop import in_process
from search.loop.memory import is_open
from spaces.candidate import Candidate, Score
from spaces.errors import RunError

TOKEN = f"spikefront-test-{uuid.uuid4()}"


def loader():
    """What scores: the candidate says how long it takes and what it does. Nested, so that it travels by value."""

    def load(payload):
        import os
        import signal
        import time
        from pathlib import Path

        from spaces.candidate import Score
        from spaces.errors import RunError

        def score(candidate, told):
            with Path(payload, str(os.getpid())).open("a") as file:
                file.write(f"{candidate['number']}\n")
            time.sleep(candidate.get("seconds", 0.0))
            match candidate.get("does"):
                case "fails":
                    return Score(state="failed", fidelity="supernet", error="made to fail")
                case "full disk":
                    raise RunError("no space left")
                case "large":
                    raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
                case "bug":
                    raise ZeroDivisionError("made to break")
                case "kills":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "hangs":
                    time.sleep(3600)
            return Score(state="ok", fidelity="supernet", accuracy=0.5, spikes=float(candidate["number"] + told))

        return score

    return load


def numbered(n, does=None, seconds=0.0):
    does = does or {}
    return [Candidate({"number": i, "seconds": seconds, **({"does": does[i]} if i in does else {})}) for i in range(n)]


def spikes(scores):
    return [score.spikes for score in scores]


HISTORY = [
    Outcome(i, 0, Candidate({"number": -1 - i}), Score(state="ok", fidelity="supernet", spikes=1.0)) for i in range(3)
]


@pytest.fixture(scope="module")
def ray_nodes():
    """A cluster of two nodes that this process has joined; nothing of it is left afterwards."""
    variables = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "SPIKEFRONT_TEST": TOKEN}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    from ray.cluster_utils import Cluster as Nodes

    from search.runners.cluster import Cluster, connected

    size = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    nodes = Nodes(initialize_head=True, head_node_args={**size, "include_dashboard": False})
    try:
        nodes.add_node(**size)
        with connected(Cluster(address=nodes.address)):
            yield nodes
    finally:
        nodes.shutdown()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    end = time.monotonic() + 60  # workers notice within a minute that their node is gone
    while (left := children()) and time.monotonic() < end:
        time.sleep(0.2)
    assert not left


def children():
    """Processes that were started under our token, by number, but this one."""
    found = {}
    for home in Path("/proc").glob("[0-9]*"):
        try:
            if TOKEN.encode() in (home / "environ").read_bytes() and int(home.name) != os.getpid():
                found[int(home.name)] = (home / "cmdline").read_text().replace("\0", " ")[:100]
        except OSError:
            continue
    return found


@contextmanager
def by_ray(notes, **options):
    from search.runners.cluster import Cluster
    from search.runners.pool import pooled

    with pooled(Cluster(**options), loader(), str(notes), fidelity="supernet", brief=len) as (runner, status):
        yield runner, status


@pytest.fixture(scope="class")
def ray_runner(ray_nodes, tmp_path_factory):
    with by_ray(tmp_path_factory.mktemp("notes")) as (run, _):
        yield run


@pytest.fixture(params=["in-process", pytest.param("ray", marks=pytest.mark.ray)])
def runner(request, tmp_path):
    if request.param == "in-process":
        return in_process(loader()(str(tmp_path)), len)
    return request.getfixturevalue("ray_runner")


class TestEveryRunner:
    def test_scores_come_in_the_order_of_candidates_and_know_the_history(self, runner):
        slow_first = [Candidate({"number": i, "seconds": 0.3 if i in (0, 7) else 0.0}) for i in range(20)]
        assert spikes(runner(slow_first, HISTORY)) == [i + 3.0 for i in range(20)]
        assert spikes(runner(slow_first[5:9], [])) == [5.0, 6.0, 7.0, 8.0]

    def test_a_candidate_that_fails_is_a_score_among_others(self, runner):
        states = [score.state for score in runner(numbered(6, {0: "fails", 3: "fails", 5: "fails"}), HISTORY)]
        assert states == ["failed", "ok", "ok", "failed", "ok", "failed"]

    @pytest.mark.parametrize(("does", "error"), [("full disk", RunError), ("bug", ZeroDivisionError)])
    def test_what_is_no_candidates_fault_is_raised_and_the_runner_can_go_on(self, runner, does, error):
        told = []
        with pytest.raises(error):  # noqa: PT012
            for score in runner(numbered(8, {5: does}), HISTORY):
                told.append(score.spikes)
        assert told == [3.0, 4.0, 5.0, 6.0, 7.0]  # those before it are not lost
        assert spikes(runner(numbered(4), [])) == [0.0, 1.0, 2.0, 3.0]

    def test_one_for_which_alone_memory_does_not_suffice_is_failed_for_now(self, runner):
        scores = list(runner(numbered(9, {0: "large", 4: "large"}), HISTORY))
        assert [score.state for score in scores] == ["failed", "ok", "ok", "ok", "failed", "ok", "ok", "ok", "ok"]
        assert [is_open(score) for score in scores] == [number in (0, 4) for number in range(9)]
        assert "it alone needs more memory than there is" in scores[4].error

    def test_an_empty_batch_has_no_scores(self, runner):
        assert list(runner([], HISTORY)) == []
        assert len(list(runner(numbered(1), []))) == 1

    def test_one_that_is_not_read_to_its_end_leaves_nothing_behind(self, runner):
        results = runner(numbered(12, {9: "bug"}, seconds=0.02), HISTORY)
        assert spikes([next(results), next(results)]) == [3.0, 4.0]
        results.close()
        assert spikes(runner(numbered(5), [])) == [0.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.ray
def test_two_nodes_share_the_work(ray_nodes, tmp_path):
    with by_ray(tmp_path) as (run, status):
        list(run(numbered(2, seconds=0.1), []))
        deadline = time.monotonic() + 30
        while not status().startswith("2 workers,") and time.monotonic() < deadline:
            list(run(numbered(2, seconds=0.1), []))
        list(run(numbered(20, seconds=0.05), []))
        assert status().startswith("2 workers")
        assert status().endswith("0 queued")
    done = [path.read_text().split() for path in tmp_path.iterdir()]
    assert len(done) == 2
    assert all(len(numbers) >= 5 for numbers in done)


@pytest.mark.ray
def test_who_kills_its_worker_each_time_is_failed_and_all_others_are_scored(ray_nodes, tmp_path):
    with by_ray(tmp_path, retries=1) as (run, _):
        scores = list(run(numbered(10, {4: "kills"}), []))
    assert [score.state for score in scores] == ["ok"] * 4 + ["failed"] + ["ok"] * 5
    assert scores[4].error.startswith("the worker died, 2 times, and once more while nothing else ran")
    assert is_open(scores[4])
    assert scores[4].fidelity == "supernet"


@pytest.mark.ray
def test_who_hangs_is_ended_and_failed(ray_nodes, tmp_path):
    with by_ray(tmp_path, retries=0, candidate_timeout=1.0) as (run, _):
        scores = list(run(numbered(6, {2: "hangs"}), []))
    assert [score.state for score in scores] == ["ok", "ok", "failed", "ok", "ok", "ok"]
    assert scores[2].error == "no score within 1 seconds (--candidate-timeout), once"


@pytest.mark.ray
def test_workers_killed_with_9_again_and_again_cost_nothing_but_time(ray_nodes, tmp_path):
    killed = set()
    with by_ray(tmp_path, retries=5) as (run, status):
        told = []
        for score in run(numbered(40, seconds=0.05), []):
            told.append(score.spikes)
            alive = {int(path.name) for path in tmp_path.iterdir()} - killed
            if alive and len(told) > 12 * len(killed) + 5:
                os.kill(min(alive), signal.SIGKILL)
                killed.add(min(alive))
        assert int(re.search(r"(\d+) workers lost", status())[1]) >= 2  # one that idled is not missed
    assert told == [float(i) for i in range(40)]
    assert len(killed) >= 2


@pytest.mark.ray
def test_workers_that_cannot_start_are_one_line(ray_nodes):
    from search.runners.cluster import Cluster
    from search.runners.pool import pooled
    from spaces.errors import ClusterError

    def load(payload):
        raise ValueError("a payload that nobody can open")

    with (
        pooled(Cluster(retries=0), load, None, fidelity="supernet") as (run, _),
        pytest.raises(ClusterError, match="a payload that nobody can open") as caught,
    ):
        list(run(numbered(3), []))
    assert "\n" not in str(caught.value)


@pytest.mark.ray
def test_a_node_that_is_lost_and_one_that_joins(ray_nodes, tmp_path):
    """The lost node's batch is scored elsewhere; the new one is used."""
    with by_ray(tmp_path) as (run, status):
        told = []
        for score in run(numbered(60, seconds=0.05), []):
            told.append(score.spikes)
            if len(told) == 10:
                ray_nodes.remove_node(next(iter(ray_nodes.worker_nodes)), allow_graceful=False)
            if len(told) == 40:
                ray_nodes.add_node(num_cpus=1, object_store_memory=80 * 2**20)
        assert told == [float(i) for i in range(60)]
        deadline = time.monotonic() + 150
        while not status().startswith("2 workers,") and time.monotonic() < deadline:
            list(run(numbered(2, seconds=0.1), []))
        assert status().startswith("2 workers,"), status()
