"""Workers that cannot be had are one line, at once; what is asked of them is checked without starting any."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import launch
from search.options.config import configure
from search.runners import cluster
from search.runners.cluster import Cluster, check_room, config_cluster, difference, facts_of_process, room
from spaces.errors import ClusterError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("demand", "nodes", "fit"),
    [
        ((1.0, 0.0), [{"CPU": 4.0}, {"CPU": 2.0}], 6),
        ((3.0, 0.0), [{"CPU": 4.0}, {"CPU": 2.0}, {"CPU": 7.0}], 3),
        ((1.0, 0.5), [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0}], 4),
        ((0.1, 0.0), [{"CPU": 1.0}], 10),
        ((1.0, 0.0), [{}], 0),
    ],
)
def test_workers_that_fit_by_hand(demand, nodes, fit):
    assert room(Cluster(cpus_per_worker=demand[0], gpus_per_worker=demand[1]), nodes) == fit


@pytest.mark.parametrize(
    ("options", "nodes", "words"),
    [
        ({"cpus_per_worker": 5.0}, [{"CPU": 4.0}], "--cpus-per-worker 5: there are 4 CPUs on this machine"),
        ({"gpus_per_worker": 1.0}, [{"CPU": 4.0}], "there are 0 GPUs on this machine; give at most 0"),
        (
            {"cpus_per_worker": 5.0, "address": "host:1"},
            [{"CPU": 4.0}, {"CPU": 2.0}],
            "no node has more than 4 CPUs of the 2 nodes at 'host:1'",
        ),
        ({"cpus_per_worker": 3.0, "gpus_per_worker": 1.0}, [{"CPU": 4.0}, {"CPU": 1.0, "GPU": 1.0}], "at once"),
    ],
)
def test_what_no_node_holds_is_said(options, nodes, words):
    with pytest.raises(ClusterError) as caught:
        check_room(Cluster(**options), nodes)
    assert words in str(caught.value)


def test_versions_are_compared_and_told_without_our_packages(tmp_path):
    """The function that tells them travels whole: it runs where nothing of ours can be imported."""
    mine = facts_of_process()()
    assert {"python", "torch", "numpy", "spikefront"} <= set(mine)
    assert difference(mine, dict(mine)) == ""
    assert "has torch 1.0" in difference(mine, mine | {"torch": "1.0"})
    lacking = {name: version for name, version in mine.items() if name != "spikefront"}
    assert difference(mine, lacking).startswith("lacks spikefront")
    code = "import pickle, sys; print(sorted(pickle.load(sys.stdin.buffer)()))"
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    told = subprocess.run(
        [sys.executable, "-c", f"sys = __import__('sys'); sys.path.append({str(tmp_path)!r}); {code}"],
        input=cloudpickle.dumps(facts_of_process()),
        capture_output=True,
        check=True,
        cwd=tmp_path,
        env=environment,
    )
    assert b"'python'" in told.stdout


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ray://head:10001", "a client's address cannot be used"),
        ("head", "write HOST:PORT"),
        ("head:x", "write HOST:PORT"),
        ("no-such-host.invalid:6379", "nothing answers there"),
    ],
)
def test_an_address_that_is_none_is_one_line(address, words, capsys, tmp_path):
    args = ["--runner", "ray", "--address", address, "--out", str(tmp_path / "run")]
    assert launch.main(args) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_port_where_nobody_listens_is_one_line():
    from search.runners.cluster import connected

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ClusterError, match="nothing answers there"), connected(Cluster(address=address)):
            raise AssertionError("it was not there")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--workers", "3"], "--workers 3 is for several workers: add --runner ray"),
        (["--runner", "ray", "--workers", "0"], "--workers 0 is out of range"),
        (["--runner", "ray", "--cpus-per-worker", "0"], "--cpus-per-worker 0 is out of range"),
        (["--runner", "ray", "--gpus-per-worker", "-1"], "--gpus-per-worker -1 is out of range"),
        (["--runner", "ray", "--candidate-timeout", "nan"], "--candidate-timeout nan"),
        (["--runner", "rays"], "did you mean 'ray'?"),
        (["--runner", "ray", "--table", "x.csv", "--table-choices", "a"], "are looked up"),
    ],
)
def test_options_that_make_no_sense_are_one_line(args, words, capsys):
    assert launch.main(args) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_gpu_as_device_asks_for_one_a_worker_unless_it_is_said_otherwise():
    assert config_cluster(configure(device="cuda:1")).demand == {"CPU": 1.0, "GPU": 1.0}
    assert config_cluster(configure(device="cpu")).demand == {"CPU": 1.0}
    assert config_cluster(configure(device="cuda", gpus_per_worker=0.25)).demand == {"CPU": 1.0, "GPU": 0.25}


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("import sys; print('warm-up'); print(sys.argv[1] + '\"\"', flush=True); print('bye')", ""),
        ("import sys; print('{}'); print(sys.argv[1] + '\"no \\\\n way\"'); print('{')", "no way"),
        ("print('ready')", "does not answer"),
    ],
)
def test_an_answer_of_a_probe_is_known_among_what_libraries_print(monkeypatch, printed, said):
    monkeypatch.setattr(cluster, "PATIENCE", 10.0)
    command = [sys.executable, "-c", printed, cluster.ANSWER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        answer = cluster._said(process)
    assert answer == said or (said and said in answer)
