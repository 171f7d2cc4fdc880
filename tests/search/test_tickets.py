"""Tickets of a run: files, figures against a brute-force count, kill -9, bad input in one line."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

import launch
from evaluators.checkpoint import load_weights
from evaluators.energy import HOROWITZ_45NM_FP32, few_bits
from evaluators.evaluation import evaluate
from evaluators.pruning.masks import prunable
from evaluators.pruning.storage import read_sparse
from evaluators.tasks.load import load_task
from spaces.autosnn import autosnn
from spaces.candidate import Candidate
from spaces.checksums import without_checksum
from spaces.layers import Conv, Linear

ROOT = Path(__file__).parents[2]
SMALL = ["--width", "3", "--timesteps", "3", "--candidates", "4", "--supernet-epochs", "2", "--finalists", "1"]
SMALL += ["--finalist-epochs", "2", "--batch-size", "16", "--threads", "1", "--no-compile", "--head-gain", "4"]
SMALL += ["--sampler", "evolution"]
PRUNE = ["--floor", "0.1", "--threads", "1"]


@pytest.fixture(scope="module")
def searched(data, tmp_path_factory):
    """A run with trained finalists and no tickets."""
    out = tmp_path_factory.mktemp("runs") / "searched"
    assert launch.main(["--data", str(data), *SMALL, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def pruned(searched, tmp_path_factory):
    """The same with tickets."""
    out = tmp_path_factory.mktemp("runs") / "pruned"
    shutil.copytree(searched, out)
    assert launch.main(["prune", str(out), *PRUNE, "--method", "imp", "--sparsity", "0.25,0.4"]) == 0
    assert launch.main(["prune", str(out), *PRUNE, "--method", "random", "--sparsity", "0.5"]) == 0
    return out


def tickets(run):
    return sorted((run / "finalists").glob("*/tickets/*"))


def digest(run):
    """All that equal prunings share: metrics but for seconds, and every byte of weights and masks."""
    found = {}
    for home in tickets(run):
        metrics = without_checksum(json.loads((home / "metrics.json").read_text()))
        for cost in (*metrics["cost"].values(), metrics["dense"]["cost"]):
            cost.pop("seconds")
        files = {path.name: path.read_bytes() for path in home.glob("*.safetensors")}
        found[f"{home.parents[1].name}/{home.name}"] = metrics, files
    return found


def network_at(home, data):
    """A ticket's network, built alone from its file, and its data."""
    metrics = json.loads((home / "metrics.json").read_text())
    space = autosnn(width=3, timesteps=3, compiled=False)
    task = load_task(str(data), val_samples=None)
    network = space.network(task.spec, Candidate(metrics["candidate"]))
    load_weights(network, load_file(home / "weights.safetensors"))
    return network, task, metrics


def test_a_ticket_is_whole(pruned):
    numbers = {home.parents[1].name for home in tickets(pruned)}
    assert len(tickets(pruned)) == 3 * len(numbers)
    for home in tickets(pruned):
        metrics = json.loads((home / "metrics.json").read_text())
        weights, masks = (load_file(home / f"{name}.safetensors") for name in ("weights", "masks"))
        total = sum(mask.numel() for mask in masks.values())
        asked = metrics["asked_sparsity"]
        assert metrics["kept"] == sum(int(mask.sum()) for mask in masks.values()) == total - round(asked * total)
        assert metrics["weights"] == total
        for name, mask in masks.items():
            assert not bool(weights[name][~mask].any())
            assert metrics["density"][name.removesuffix(".weight")] == pytest.approx(float(mask.float().mean()))
        for layout in ("coo", "csr"):
            stored = read_sparse(home / f"sparse-{layout}.safetensors")
            assert stored.keys() == weights.keys()
            assert all(torch.equal(stored[name], weights[name]) for name in weights)
        assert metrics["bytes"]["weights.safetensors"] == (home / "weights.safetensors").stat().st_size
        assert {"stem.1.weight", "stem.1.bias"} <= set(metrics["never_pruned"])
        assert metrics["dense"]["val_accuracy"] is not None


def test_operations_and_energy_equal_a_brute_force_count_and_fall(pruned, data):
    for home in tickets(pruned):
        network, task, metrics = network_at(home, data)
        sops, macs, spikes = [], [], []

        def note(part, inputs, output, sops=sops, macs=macs):
            x, there = inputs[0], (part.kernel() if isinstance(part, Conv) else part.weight).detach() != 0
            if isinstance(part, Linear):
                sops.append(int((x @ there.float().T).sum()))
            elif x.dim() == 4:  # the image, once
                macs.append(int(F.conv2d(torch.ones_like(x), there.float(), padding=part.k // 2).sum()))
            else:
                sops.append(int(F.conv2d(x.flatten(0, 1), there.float(), padding=part.k // 2).sum()))

        for part in network.modules():
            if isinstance(part, Conv | Linear):
                part.register_forward_hook(note)
        found = evaluate(network, task, task.validation)
        spikes = found.counts.mean("spikes")
        samples = len(task.validation)
        assert metrics["sops"] == sum(sops) / samples == found.counts.mean("sops")
        assert metrics["macs"] == sum(macs) / samples
        assert metrics["spikes"] == spikes
        assert metrics["energy_nj"] == pytest.approx((4.6 * sum(macs) + 0.9 * sum(sops)) / samples / 1000)
        assert metrics["val_accuracy"] == found.accuracy
        assert metrics["energy_nj"] < metrics["dense"]["energy_nj"]
        assert metrics["with_memory_nj"] < metrics["dense"]["with_memory_nj"]
        assert sum(int((w != 0).sum()) for w in prunable(network).values()) == metrics["kept"]


def test_the_table_and_the_page_show_them(pruned):
    with (pruned / "tickets.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(tickets(pruned))
    for row in rows:
        home = pruned / "finalists" / row["finalist"] / "tickets" / row["ticket"]
        metrics = json.loads((home / "metrics.json").read_text())
        assert float(row["val_accuracy"]) == metrics["val_accuracy"]
        assert float(row["dense_energy_nj"]) == metrics["dense"]["energy_nj"]
        assert int(row["find_sample_steps"]) == metrics["cost"]["find"]["sample_steps"]
    page = (pruned / "report.html").read_text()
    assert "Lottery tickets" in page
    assert "imp-0.4" in page
    assert "dense twin" in page


def reads_of_test(monkeypatch):
    """What is evaluated on the test split from now on, one entry a reading."""
    seen = []

    def looking(network, task, split, **options):
        seen.extend([split] if split is task.test else [])
        return evaluate(network, task, split, **options)

    for module in ("search.work.final", "search.work.tickets", "evaluators.pruning.making"):
        monkeypatch.setattr(f"{module}.evaluate", looking)
    return seen


def test_the_test_split_is_read_once_a_ticket_and_only_if_asked_for(searched, tmp_path, data, capsys, monkeypatch):
    out, seen = tmp_path / "run", reads_of_test(monkeypatch)
    shutil.copytree(searched, out)
    one = ["prune", str(out), *PRUNE, "--method", "random", "--weight-bits", "8", "--sparsity"]
    capsys.readouterr()
    assert launch.main([*one, "0.3,0.5"]) == 0
    assert "test" not in re.sub(r"\S*/\S*", "", capsys.readouterr().out)
    assert not seen
    assert "test accuracy" not in tickets_section(out)
    for row in ticket_rows(out):
        assert row["test_accuracy"] == row["dense_test_accuracy"] == ""
        assert float(row["val_accuracy"]) > 0
    for number, sparsities in ((2, "0.3"), (2, "0.3"), (3, "0.3,0.5"), (3, "0.5")):  # the twin's is read once
        assert launch.main([*one, sparsities, "--final"]) == 0
        assert len(seen) == number
    assert "test 0" in capsys.readouterr().out
    assert "test accuracy" in tickets_section(out)
    for home, row in zip(tickets(out), ticket_rows(out), strict=True):
        network, task, metrics = network_at(home, data)
        assert evaluate(network, task, task.validation).accuracy == metrics["val_accuracy"]
        assert evaluate(network, task, task.test).accuracy == metrics["test_accuracy"] == float(row["test_accuracy"])
        assert metrics["dense"]["test_accuracy"] == float(row["dense_test_accuracy"])
    digests = digest(out)
    assert launch.main([*one, "0.3,0.5"]) == 0
    assert digest(out) == digests
    assert len(seen) == 3


def test_tickets_of_before_that_were_tested_are_shown_so(pruned, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(pruned, out)
    for home in tickets(out):
        metrics = json.loads((home / "metrics.json").read_text())
        metrics["test_accuracy"], metrics["dense"]["test_accuracy"] = 0.125, 0.25
        del metrics["crc32"]
        (home / "metrics.json").write_text(json.dumps(metrics))
    assert launch.main(["report", str(out)]) == 0
    assert {(row["test_accuracy"], row["dense_test_accuracy"]) for row in ticket_rows(out)} == {("0.125", "0.25")}
    assert "12.5" in tickets_section(out)


def ticket_rows(run):
    with (run / "tickets.csv").open() as file:
        return list(csv.DictReader(file))


def tickets_section(run):
    return (run / "report.html").read_text().split('<section id="tickets">')[1].split("</section>")[0]


def test_the_same_command_again_changes_nothing(pruned, capsys):
    before = digest(pruned)
    times = {path: path.stat().st_mtime_ns for home in tickets(pruned) for path in home.iterdir()}
    assert launch.main(["prune", str(pruned), *PRUNE, "--method", "imp", "--sparsity", "0.4"]) == 0
    assert "imp-0.4" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for home in tickets(pruned) for path in home.iterdir()} == times
    assert digest(pruned) == before


def test_killed_with_9_and_pruned_again_ends_the_same(searched, pruned, tmp_path):
    """The command is killed whenever its files say that it has come to a new moment."""
    out = tmp_path / "run"
    shutil.copytree(searched, out)
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    command = [sys.executable, "-W", "ignore", "launch.py", "prune", str(out), *PRUNE, "--sparsity", "0.25,0.4"]
    work, kills = out / "checkpoints" / "tickets", 0
    moments = [
        lambda: any(work.rglob("round-2.checkpoint.safetensors")),
        lambda: any((out / "finalists").glob("*/tickets/*/masks.safetensors")),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for moment in moments:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        )
        while process.poll() is None and not moment():
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 1
    assert launch.main(command[4:]) == 0
    expected = {name: found for name, found in digest(pruned).items() if "imp" in name}
    assert digest(out) == expected
    assert not any(work.rglob("round-*"))


def error_of(capsys, args):
    assert launch.main(args) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sparsity", "1"], "--sparsity 1 is out of range"),
        (["--sparsity", "-0.1"], "--sparsity -0.1 is out of range"),
        (["--sparsity", "most"], "--sparsity 'most'"),
        (["--method", "random", "--sparsity", "0.999"], "empties layer"),
        (["--method", "imp", "--pattern", "2:4"], "--pattern 2:4 does not divide the 1 inputs of layer stem.0"),
        (["--pattern", "2:4", "--sparsity", "0.7"], "--pattern 2:4 is a sparsity of 0.5"),
        (["--method", "dst", "--pattern", "channels"], "--method dst exchanges single weights"),
        (["--method", "fading", "--sparsity", "0.5"], "give --fading-rate"),
        (["--method", "fading", "--weight-bits", "8"], "--weight-bits 8: method fading"),
        (["--method", "lottery"], "unknown method 'lottery'"),
        (["--candidate", "99"], "--candidate 99 is no trained finalist"),
        (["--weight-bits", "3"], "--weight-bits"),
        (["--rewind-epoch", "9"], "--rewind-epoch 9 is beyond the 2 epochs"),
        (["--start", "cold"], "--start"),
        (["--learning-rate", "0"], "--learning-rate 0 is out of range"),
        (["--spare", "nothing"], "--spare 'nothing' is no layer"),
        (["--sparsiti", "0.5"], "--sparsity"),
    ],
)
def test_bad_input_is_one_line(searched, capsys, options, said):
    assert said in error_of(capsys, ["prune", str(searched), "--threads", "1", *options])


def test_tickets_of_other_options_are_not_mixed(pruned, capsys):
    said = error_of(capsys, ["prune", str(pruned), *PRUNE, "--sparsity", "0.4", "--epochs", "3"])
    assert "ticket 'imp-0.4' is there, made with other options (epochs: has 2, now 3)" in said


def test_runs_that_have_nothing_to_prune_are_named(searched, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(searched, out)
    shutil.rmtree(out / "finalists")
    assert "has no trained finalists to prune" in error_of(capsys, ["prune", str(out)])
    assert "is not a run" in error_of(capsys, ["prune", str(searched / "finalists")])
    assert "--finalists 1 or more" in error_of(capsys, ["--prune", "imp", "--finalists", "0"])


def test_a_search_makes_tickets_at_its_end(data, tmp_path, capsys):
    out = tmp_path / "run"
    options = [*SMALL, "--finalist-epochs", "1", "--prune", "gmp", "--sparsity", "0.5"]
    assert launch.main(["--data", str(data), *options, "--out", str(out)]) == 0
    (home,) = tickets(out)
    assert home.name == "gmp-0.5"
    assert "gmp-0.5" in capsys.readouterr().out


def test_prices_of_few_bits():
    model = few_bits(HOROWITZ_45NM_FP32, 8)
    assert (model.pj_mac, model.pj_ac, model.weight_bits, model.name) == (0.23, 0.03, 8, "horowitz-45nm-int8")
