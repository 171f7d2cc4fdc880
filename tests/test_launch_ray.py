"""The command line with several workers: the same tables as without, also after kill -9, and no process left."""

import csv
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest

import launch

ROOT = Path(__file__).parents[1]
CANDIDATES = 200  # so many that the quickest machine has some left when a signal comes
SMALL = ["--width", "3", "--timesteps", "2", "--candidates", f"{CANDIDATES}", "--batch", "15", "--supernet-epochs", "1"]
SMALL += ["--finalists", "0", "--batch-size", "16", "--threads", "1", "--no-compile", "--head-gain", "4"]
SMALL += ["--sampler", "evolution"]
RAY = ["--runner", "ray", "--object-store-mb", "100"]
TOKEN = f"spikefront-test-{uuid.uuid4()}"


def rows(run):
    with (run / "candidates.csv").open() as file:
        return [{name: cell for name, cell in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def lines(run):
    ledger = run / "ledger.jsonl"
    return ledger.read_bytes().count(b"\n") if ledger.exists() else 0


def left():
    """Processes that our command began, after what time they need to end."""
    end = time.monotonic() + 150
    while (found := _marked()) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def _marked():
    found = []
    for home in Path("/proc").glob("[0-9]*"):
        try:
            if f"SPIKEFRONT_TEST={TOKEN}".encode() in (home / "environ").read_bytes():
                found.append((home / "cmdline").read_text().replace("\0", " ")[:100])
        except OSError:
            continue
    return found


def begin(args):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "SPIKEFRONT_TEST": TOKEN}
    command = [sys.executable, "-W", "ignore", "launch.py", *args]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # children of background jobs inherit "ignore"
    )


@pytest.mark.ray
def test_the_same_tables_with_workers_killed_interrupted_and_without(tmp_path):
    """One run is killed with 9 while two workers score, interrupted while one does, and ended without Ray."""
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 2
    images = rng.integers(0, 200, (160, 8, 8)).astype(np.uint8)
    data = tmp_path / "data.npz"
    np.savez(data, x_train=images[:128], y_train=labels[:128], x_test=images[128:], y_test=labels[128:])
    whole, out = tmp_path / "whole", tmp_path / "run"
    assert launch.main(["--data", str(data), *SMALL, "--out", str(whole)]) == 0
    killed = begin(["--data", str(data), *SMALL, *RAY, "--workers", "2", "--cpus-per-worker", "0.5", "--out", str(out)])
    until(killed, lambda: lines(out) >= 2)
    killed.kill()
    killed.communicate()
    assert not left()
    assert 2 <= lines(out) < CANDIDATES
    before = lines(out)
    interrupted = begin(["resume", str(out), "--workers", "1"])
    until(interrupted, lambda: lines(out) > before)
    os.killpg(interrupted.pid, signal.SIGINT)  # as a terminal does, to all of it
    said = interrupted.communicate()[0].decode()
    assert interrupted.returncode == 130, said
    assert "go on with" in said
    assert not left()
    assert before < lines(out) < CANDIDATES
    assert launch.main(["resume", str(out), "--runner", "in-process"]) == 0
    assert rows(out) == rows(whole)


def until(process, moment):
    while process.poll() is None and not moment():
        time.sleep(0.002)
    assert process.poll() is None, process.communicate()[0].decode()
