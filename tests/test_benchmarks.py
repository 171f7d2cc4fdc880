"""Every benchmark runs, at a size at which its figures mean nothing; these are measured, never asserted."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

HOME = Path(__file__).parent / "benchmarks"
TINY = [
    "--width",
    "4",
    "--timesteps",
    "2",
    "--supernet-epochs",
    "1",
    "--batch-size",
    "16",
    "--no-compile",
    "--head-gain",
    "8",
]
OPTIONS = {
    "cluster": ["simulate", "--workers", "4", "--candidates", "40", "--batch", "20", "--space", "autosnn"],
    "fronts": [
        *["--other", "--search-sparsity 0.5", "--seeds", "0", "--reference", "accuracy=0.1,energy_nj=1e6"],
        *["--out", "OUT", "--", *TINY, "--objectives", "accuracy,energy_nj", "--sampler", "random"],
        *["--candidates", "4", "--batch", "2", "--finalists", "2", "--finalist-epochs", "1", "DATA"],
    ],
    "flips": ["--flips", "4"],
    "halves": ["--seeds", "1", "--candidates", "6", "--batch", "3", "--samplers", "dual,random", "--", *TINY, "DATA"],
    "neurons": ["--rounds", "1", "--pixels", "4", "--channels", "8", "--batch", "2", "--neurons", "plif", "--eager"],
    "proxies": [
        *["TABLE", "--supernet", "--candidates", "3", "--processes", "2"],
        *["--", "--space", "spikenas-bench", "--few-shot", "op_e03", "--few-shot-epochs", "1", *TINY],
        *["--supernets", "2", "DATA"],
    ],
    "pruned": ["--repeats", "1", "--size", "8", "--batch", "2", "--", "--width", "8", "--timesteps", "2"],
    "ranking": [
        *["--epochs", "1", "--candidates", "3", "--variants", "default", "--adapt", "1", "--out", "OUT"],
        *["--", *TINY, "--search-sparsity", "0.5", "DATA"],
    ],
    "schedule": [
        *["--schedules", "full", "1:0.5", "--epochs", "1", "--seeds", "0", "--candidates", "2"],
        *["--", *TINY, "DATA"],
    ],
    "scoring": ["--untrained", "--", *TINY, "--candidates", "4", "--batch", "2", "DATA"],
    "search": [
        *["--samplers", "dual,random", "--seeds", "1", "--candidates", "10"],
        *["--space", "table", "--blanks", "op_e01,op_e02", "TABLE"],
    ],
    "step": [
        "--contenders",
        "ours",
        "relu",
        "--rounds",
        "1",
        "--width",
        "4",
        "--timesteps",
        "2",
        "--batch",
        "4",
        "--json",
        "OUT",
    ],
    "suggest": ["--samplers", "nsga2", "--candidates", "20", "--blanks", "4", "--batches", "2", "--repeats", "1"],
    "supernet": ["--epochs", "1", "--seeds", "0", "--candidates", "2", "--train-samples", "100"],
    "tickets": [
        *["--epochs", "1", "--seeds", "0", "--imp", "0.3", "--random", "0.3", "--early", "0.3", "--out", "OUT"],
        *["--", *TINY, "DATA"],
    ],
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Accuracy and cost of every cell of spikenas-bench's first two edges, the others being skips."""
    path = tmp_path_factory.mktemp("table") / "table.csv"
    rng = np.random.default_rng(0)
    lines = ["op_e01,op_e02,op_e03,op_e12,op_e13,op_e23,val_acc_last,test_acc,synops_M"]
    for first in range(5):
        for second in range(5):
            numbers = ",".join(f"{x:.3f}" for x in (80 + 9 * rng.random(), 80 + 9 * rng.random(), 900 * rng.random()))
            lines.append(f"{first},{second},1,1,1,1,{numbers}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_none_is_forgotten():
    shared = {"options", "processes", "walk"}
    assert {path.stem for path in HOME.glob("*.py")} - shared == set(OPTIONS)


@pytest.fixture
def run(data, table, tmp_path, monkeypatch, capsys):
    """Runs a benchmark with some of its options, and gives what it printed."""
    places = {"DATA": ["--data", str(data)], "OUT": [str(tmp_path / "out.json")], "TABLE": ["--table", str(table)]}

    def run(name, options):
        given = [part for option in options for part in places.get(option, [option])]
        monkeypatch.setattr(sys, "argv", [name, *given])
        monkeypatch.setattr(sys, "path", [str(HOME), *sys.path])
        try:
            runpy.run_path(str(HOME / f"{name}.py"), run_name="__main__")
        finally:
            for module in ("options", "processes", "walk"):
                sys.modules.pop(module, None)
            torch.set_num_threads(1)
        return capsys.readouterr().out

    return run


@pytest.mark.filterwarnings("default")  # other packages' own
@pytest.mark.parametrize("name", OPTIONS)
def test_a_benchmark_runs(name, run):
    assert run(name, OPTIONS[name]).strip()


@pytest.mark.filterwarnings("default")
def test_what_the_ranking_lacks_is_done_again_by_any_number_of_processes(run, tmp_path):
    place = tmp_path / "out.json" / "ranking.json"
    first = run("ranking", OPTIONS["ranking"])
    kept = json.loads(place.read_text())
    assert sorted(json.loads(name)[0] for name in kept["done"]) == ["adapted"] * 3 + ["alone"] * 6 + ["supernet"]
    lacking = {name: row for number, (name, row) in enumerate(kept["done"].items()) if number % 3}
    place.write_text(json.dumps(kept | {"done": lacking}))
    assert run("ranking", ["--processes", "2", *OPTIONS["ranking"]]) == first
    again = json.loads(place.read_text())["done"]
    without_time = [
        {name: {key: value for key, value in row.items() if key != "seconds"} for name, row in rows.items()}
        for rows in (kept["done"], again)
    ]
    assert without_time[0] == without_time[1]
    fewer, more = ([count if part == "3" else part for part in OPTIONS["ranking"]] for count in ("2", "4"))
    assert run("ranking", fewer) != first
    before = json.loads(place.read_text())["done"].keys()
    assert run("ranking", ["--skip", "1", *fewer]).startswith("2 candidates")
    assert json.loads(place.read_text())["done"].keys() == before  # the second and the third
    assert run("ranking", more).startswith("4 candidates")
    assert run("ranking", OPTIONS["ranking"]) == first


POOL = """
import os, sys, time
sys.path.insert(0, {home!r})
from processes import processes
if __name__ == "__main__":
    with processes(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(600)
"""


def test_processes_end_with_a_killed_parent(tmp_path):
    script = tmp_path / "pool.py"
    script.write_text(POOL.format(home=str(HOME)))
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert int(parent.stdout.readline()) != parent.pid
        parent.kill()
        parent.communicate(timeout=60)  # whose end its processes hold open, too
