"""Cluster: the workers that Ray gives us, of this machine or of a cluster that is joined, and what must hold of them.

Ray would wait for ever for a worker that no node can hold, and for minutes where nothing answers. So all of it is asked
for before anything is begun, and each fault is one line.
"""

import json
import os
import secrets
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.options.config import Config
from search.runners.own_ray import loopback_only, own_ray, warn_of_listening
from search.runners.private_ray import nodes_to_come
from spaces.credentials import HIDDEN, without_credentials
from spaces.errors import ClusterError, one_line

PATIENCE = 20.0  # seconds that a cluster has for an answer
WORKER_START = 60.0  # seconds that a node has to start a worker and hear from it: a busy one takes long
MEBIBYTE = 2**20
WAY_TO_JOIN = "run on a node of the cluster, or through `ray job submit`, with --address auto or HOST:PORT"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Which workers a run may use.

    Attributes:
        address: ``HOST:PORT`` of a cluster, or ``auto`` for the one that this machine is a node of; None starts a Ray
            on this machine, which ends with the run.
        workers: so many; None: as many as the nodes hold, whichever come and go.
        cpus_per_worker, gpus_per_worker: what one of them takes; with fractions several share one.
        object_store_mb: shared memory of a Ray that is started here, MiB.
        retries: how often a candidate is tried again after its worker was lost.
        candidate_timeout: seconds after which a worker that does not answer is ended; None waits.
    """

    address: str | None = None
    workers: int | None = None
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0
    object_store_mb: int = 1024
    retries: int = 3
    candidate_timeout: float | None = None

    @property
    def demand(self) -> dict[str, float]:
        """What one worker takes of a node, by Ray's names."""
        wanted = {"CPU": self.cpus_per_worker, "GPU": self.gpus_per_worker}
        return {name: amount for name, amount in wanted.items() if amount}

    @property
    def threads(self) -> int:
        """CPU threads of one worker."""
        return max(1, int(self.cpus_per_worker))


def config_cluster(config: Config) -> Cluster:
    """The workers that a configuration asks for; one with a GPU as its device asks for one a worker."""
    gpus = config.workers.gpus_per_worker
    if gpus is None:
        gpus = 1.0 if config.machine.device.startswith("cuda") else 0.0
    return Cluster(
        address=config.workers.address,
        workers=config.workers.count,
        cpus_per_worker=config.workers.cpus_per_worker,
        gpus_per_worker=gpus,
        object_store_mb=config.workers.object_store_mb,
        retries=config.workers.retries,
        candidate_timeout=config.workers.candidate_timeout,
    )


@contextmanager
def connected(cluster: Cluster) -> Iterator[None]:
    """Within, this process is the driver of a Ray that holds such workers; afterwards all that it began has ended.

    Where the process is connected already, that connection is used, and left.

    Raises:
        ClusterError: within 30 seconds, where there is no such cluster, its token is another, no node can hold a
            worker, or nodes have other versions of what the results depend on.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # a thread that is late begins no Ray of its own
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # workers without a GPU see none, and do not warn
    imported = "ray" in sys.modules  # a process reads its token once, when it imports Ray
    if cluster.address is None and "RAY_AUTH_MODE" not in os.environ and not imported:
        # else others on this machine could give orders
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    if cluster.address is not None:
        _probe(cluster.address)
    import ray

    if ray.is_initialized():
        check(cluster)
        yield
        return
    with nullcontext({}) if cluster.address else own_ray() as own:
        try:
            _begin(cluster, own)
            check(cluster)
            yield
        finally:
            ray.shutdown()


def _begin(cluster: Cluster, own: Mapping[str, Any]) -> None:
    """Joins a cluster, or starts a Ray of this machine with the options ``own``."""
    import ray

    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {"PYTHONPATH": os.pathsep.join(paths)}
    if own:
        variables |= loopback_only()
        own = {**own, "object_store_memory": cluster.object_store_mb * MEBIBYTE}
    try:
        ray.init(
            address=cluster.address or "local",
            runtime_env={"env_vars": variables},
            log_to_driver=False,
            logging_level="error",
            **own,
        )
    except Exception as error:
        way_out = WAY_TO_JOIN if cluster.address else "mend that, or drop --runner and --train-workers"
        raise ClusterError(f"Ray cannot be {_way(cluster)} ({_line(error)}): {way_out}") from error
    if own:
        warn_of_listening()


def check(cluster: Cluster) -> None:
    """Raises ClusterError unless some node can hold a worker, and nodes that are joined have our versions."""
    check_room(cluster, [*node_resources(), *nodes_to_come()])
    if cluster.address is not None:
        check_versions()


def node_resources() -> list[dict[str, float]]:
    """What each living node holds in all, by Ray's names."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def room(cluster: Cluster, nodes: Sequence[Mapping[str, float]]) -> int:
    """How many workers fit on the nodes.

    >>> room(Cluster(cpus_per_worker=2, gpus_per_worker=0.5), [{"CPU": 8, "GPU": 1}, {"CPU": 8}])
    2
    """
    return sum(min(int(node.get(name, 0) / share + 1e-9) for name, share in cluster.demand.items()) for node in nodes)


def check_room(cluster: Cluster, nodes: Sequence[Mapping[str, float]]) -> None:
    """Raises ClusterError where none of the nodes can hold a worker."""
    if room(cluster, nodes):
        return
    where = f"of the {len(nodes)} nodes at {cluster.address!r}" if cluster.address else "on this machine"
    for name, share in cluster.demand.items():
        most = max((node.get(name, 0.0) for node in nodes), default=0.0)
        if most < share:
            option = f"--{name.lower()}s-per-worker"
            there = f"no node has more than {most:g}" if cluster.address else f"there are {most:g}"
            raise ClusterError(f"{option} {share:g}: {there} {name}s {where}; give at most {most:g}{_or_cpu(name)}")
    asked = " and ".join(f"{share:g} {name}s" for name, share in cluster.demand.items())
    raise ClusterError(f"no node {where} has {asked} at once: lower --cpus-per-worker or --gpus-per-worker")


def check_versions() -> None:
    """Raises ClusterError where a node lacks a package, or has another version than this process; or none answers.

    One that is slow to answer, or joins later, is asked again when a worker starts there.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    facts = facts_of_process()
    mine, nodes = facts(), [node for node in ray.nodes() if node["Alive"]]
    remote = ray.remote(num_cpus=0, max_retries=0)(facts)
    asked = {
        remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(): node
        for node in nodes
    }
    ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=WORKER_START)
    if not ready:
        names = ", ".join(map(_name, nodes[:3]))
        raise ClusterError(
            f"no node starts a worker within {WORKER_START:g} seconds ({names}): mend or remove what hangs"
        )
    for answer in ready:
        try:
            theirs = ray.get(answer)
        except ray.exceptions.RayError as error:
            raise ClusterError(f"node {_name(asked[answer])} cannot run a worker ({_line(error)}): mend it") from error
        if problem := difference(mine, theirs):
            raise ClusterError(f"node {_name(asked[answer])} {problem}")


def difference(mine: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """What of ``facts_of_process`` tells a worker's process from ours, and the way out; empty if nothing does."""
    for name, version in mine.items():
        if name not in theirs:
            return f"lacks {name}: install there what is installed here, `pip install -e .` of the same source"
        if theirs[name] != version:
            return f"has {name} {theirs[name]}, here is {version}: install the same there, or submit with --working-dir"
    return ""


def facts_of_process() -> Callable[[], dict[str, str]]:
    """A function that tells versions of what results depend on; it travels whole, so a worker needs nothing to run it.

    Of our own packages a hash of all source files stands for the version.
    """

    def facts() -> dict[str, str]:
        import hashlib
        import importlib.metadata
        import importlib.util
        import platform
        from pathlib import Path

        found = {"python": ".".join(platform.python_version_tuple()[:2])}
        for package in ("torch", "numpy", "optuna", "ray"):
            try:
                found[package] = importlib.metadata.version(package).partition("+")[0]  # without +cpu, +cu128
            except importlib.metadata.PackageNotFoundError:
                continue
        source = hashlib.sha256()
        for package in ("spaces", "evaluators", "results", "search"):
            spec = importlib.util.find_spec(package)
            if spec is None or not spec.submodule_search_locations:
                return found
            home = Path(next(iter(spec.submodule_search_locations)))
            for path in sorted(path for path in home.rglob("*") if path.suffix in (".py", ".c")):
                source.update(f"{package}/{path.relative_to(home).as_posix()}".encode() + path.read_bytes())
        return found | {"spikefront": source.hexdigest()[:12]}

    return facts


PROBE = """
import json, ray, sys
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="error")
    said = ""
except Exception as error:
    said = f"{type(error).__name__}: {error}"
print("\\n" + sys.argv[2] + json.dumps(said), flush=True)
"""
ANSWER = "spikefront: "  # begins the line of a probe's answer; libraries may print others


def _probe(address: str) -> None:
    """Raises ClusterError unless a process of its own can join the cluster: a failing attempt may wait for ever."""
    if "://" in address or "@" in address:
        shown = without_credentials(address) if "://" in address else f"{HIDDEN}@{address.rpartition('@')[2]}"
        what = "a client's address" if "://" in address else "what is before the @"
        raise ClusterError(f"--address {shown}: {what} cannot be used; {WAY_TO_JOIN}")
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ClusterError(f"--address {address}: write HOST:PORT, such as 10.0.0.1:6379, or auto")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        except OSError as error:
            raise ClusterError(
                f"--address {address}: nothing answers there ({_line(error)}); begin a cluster by `ray start --head`, "
                "or leave --address out for a Ray of this machine alone"
            ) from error
    command = [sys.executable, "-c", PROBE, address, ANSWER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            said = _said(process)
        finally:
            process.kill()
    if "auth" in said.lower():
        raise ClusterError(_wrong_token(address))
    if said:
        raise ClusterError(f"--address {address}: cannot be joined ({said[:300]}); {WAY_TO_JOIN}")


def _said(process: subprocess.Popen) -> str:
    """What a probe ends with; a refused token is known from Ray's log before."""
    said, logged = process.stdout.fileno(), process.stderr.fileno()
    text, end = {said: b"", logged: b""}, time.monotonic() + PATIENCE
    with selectors.DefaultSelector() as selector:
        for pipe in text:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map() and (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                if more := os.read(key.fd, 2**16):
                    text[key.fd] += more
                else:
                    selector.unregister(key.fd)
            if b"InvalidAuthToken" in text[logged]:
                return "AuthenticationError"
            for line in text[said].split(b"\n")[:-1]:
                if line.startswith(ANSWER.encode()):
                    return " ".join(json.loads(line.removeprefix(ANSWER.encode())).split())
    return f"it does not answer as a Ray cluster within {PATIENCE:g} seconds"


def _wrong_token(address: str) -> str:
    mode = os.environ.get("RAY_AUTH_MODE", "not set")
    return (
        f"--address {address}: the cluster refuses our token (RAY_AUTH_MODE is {mode}); set RAY_AUTH_MODE=token and "
        "RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token to the cluster's own"
    )


def _way(cluster: Cluster) -> str:
    return f"joined at {cluster.address!r}" if cluster.address else "started on this machine"


def _or_cpu(name: str) -> str:
    return ", or --device cpu --gpus-per-worker 0" if name == "GPU" else ""


def _name(node: Mapping[str, Any]) -> str:
    return f"{node['NodeManagerAddress']} ({node['NodeID'][:8]})"


def _line(error: BaseException) -> str:
    return one_line(error, 300)
