"""The command line as its users meet it: help that teaches, errors in one line, whole runs, kill -9 and resume."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import launch
from evaluators.checkpoint import load_weights, read_tensors
from evaluators.supernet import new_supernet
from results.ledger import read
from search.options.commands import parse_search, parser_of
from search.options.config import Config, from_json, to_json
from search.runners.payload import pack, scorer
from search.work.prepare import prepare_setting
from spaces.candidate import READINGS, Candidate
from spaces.checksums import without_checksum
from spaces.errors import SearchError
from spaces.find import make_space
from spaces.neurons.neuron import NEURONS

ROOT = Path(__file__).parents[1]
SMALL = ["--width", "3", "--timesteps", "2", "--candidates", "12", "--batch", "5", "--supernet-epochs", "3"]
SMALL += ["--finalists", "2", "--finalist-epochs", "2", "--batch-size", "16", "--threads", "1", "--no-compile"]
SMALL += ["--sampler", "evolution", "--head-gain", "4"]  # twelve features alone would hardly reach the threshold


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run that nothing interrupted."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert launch.main(["--data", str(data), *SMALL, "--out", str(out)]) == 0
    return out


def digest(run):
    """All that equal runs share: every table cell but seconds, and every byte of the finalists' weights."""
    with (run / "candidates.csv").open() as file:
        rows = [{name: cell for name, cell in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    stored = {}
    for home in sorted((run / "finalists").iterdir()):
        metrics = without_checksum(json.loads((home / "metrics.json").read_text()))
        metrics.pop("seconds")
        stored[home.name] = (
            metrics,
            (home / "weights.safetensors").read_bytes(),
            (home / "architecture.json").read_text(),
        )
    return rows, stored


def cut_short(run, other):
    """Leaves in ``other`` what a run has when it is killed after a few scores."""
    other.mkdir()
    for name in ("config.json", "supernet.safetensors"):
        shutil.copy(run / name, other)
    lines = (run / "ledger.jsonl").read_text().splitlines(keepends=True)
    (other / "ledger.jsonl").write_text("".join(lines[:5]))


def error_of(capsys, args):
    """The one line that bad input ends in."""
    assert launch.main(args) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_a_run_leaves_everything(whole):
    assert {
        "config.json",
        "ledger.jsonl",
        "candidates.csv",
        "pareto.csv",
        "predictor.json",
        "supernet.safetensors",
        "report.html",
    } <= {path.name for path in whole.iterdir()}
    rows, stored = digest(whole)
    assert len(rows) == 12 + len(stored)
    assert len({tuple(row[f"param.slot{i}"] for i in range(1, 6)) for row in rows[:12]}) == 12
    assert 1 <= len(stored) <= 2
    for metrics, _, architecture in stored.values():
        assert {"test_accuracy", "val_accuracy", "spikes", "energy_nj", "seed"} <= set(metrics)
        assert json.loads(architecture)["candidate"] == metrics["candidate"]
        assert sum(layer["energy_nj"] for layer in metrics["layers"]) == pytest.approx(metrics["energy_nj"])
        assert sum(layer["spikes"] or 0 for layer in metrics["layers"]) == pytest.approx(metrics["spikes"])
    assert max(metrics["test_accuracy"] for metrics, _, _ in stored.values()) > 0.7


def test_the_same_command_again_changes_nothing(whole, data):
    before = (whole / "ledger.jsonl").read_bytes()
    assert launch.main(["--data", str(data), *SMALL, "--out", str(whole)]) == 0
    assert (whole / "ledger.jsonl").read_bytes() == before


def test_resume_and_report_of_a_finished_run(whole, capsys):
    before = digest(whole)
    (whole / "report.html").unlink()
    assert launch.main(["report", str(whole)]) == 0
    assert capsys.readouterr().out.strip() == str(whole / "report.html")
    assert launch.main(["resume", str(whole)]) == 0
    assert digest(whole) == before


def test_a_search_with_training_in_parts_is_the_same_on_any_number_of_threads(data, tmp_path):
    found = []
    for threads in ("1", "2", "3"):
        out = tmp_path / threads
        parts = ["--train-parts", "3", "--threads", threads]
        assert launch.main(["--data", str(data), *SMALL, *parts, "--out", str(out)]) == 0
        found.append((*digest(out), (out / "supernet.safetensors").read_bytes()))
    assert found[0] == found[1] == found[2]


def killed_at(command, moments):
    """How often a run was killed when its files said that it had come to a moment, and what it printed at its end."""
    kills = 0
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for moment in moments:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        )
        while process.poll() is None and not moment():
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return kills, done.stdout


def test_killed_with_9_at_every_stage_and_resumed_ends_the_same(whole, data, tmp_path):
    """The run is killed whenever its files say that it has come to a new moment of its life."""
    out = tmp_path / "run"
    command = [sys.executable, "-W", "ignore", "launch.py", "--data", str(data), *SMALL, "--out", str(out)]
    moments = [
        lambda: (out / "config.json").exists(),
        lambda: any((out / "checkpoints").glob("supernet*")),
        lambda: (out / "supernet.safetensors").exists(),
        lambda: lines(out) >= 3,
        lambda: lines(out) >= 8,
        lambda: any((out / "checkpoints").glob("finalist*")),
        lambda: any((out / "finalists").glob("*/weights.safetensors")),
    ]
    kills, _ = killed_at(command, moments)
    assert kills >= 4
    assert digest(out) == digest(whole)


def test_a_pool_of_finalists_killed_with_9_at_every_rung_and_resumed_ends_the_same(data, tmp_path):
    options = ["--data", str(data), *SMALL, "--finalist-pool", "5", "--finalist-epochs", "3"]
    assert launch.main([*options, "--out", str(tmp_path / "whole")]) == 0
    out = tmp_path / "run"
    command = [sys.executable, "-W", "ignore", "launch.py", *options, "--out", str(out)]
    moments = [
        lambda: any((out / "checkpoints").glob("finalist*")),
        lambda: (out / "checkpoints" / "rung-1.jsonl").exists(),
        lambda: lines(out) >= 13,
        lambda: lines(out) >= 14,
        lambda: any((out / "finalists").glob("*/weights.safetensors")),
    ]
    kills, printed = killed_at(command, moments)
    assert kills >= 2
    rows, stored = digest(out)
    assert (rows, stored) == digest(tmp_path / "whole")
    assert [row["state"] for row in rows[12:]] == ["pruned"] * 3 + ["ok"] * 2
    assert len(stored) == 2
    assert "3 more stopped early in their training" in printed


def lines(out):
    ledger = out / "ledger.jsonl"
    return ledger.read_bytes().count(b"\n") if ledger.exists() else 0


def test_a_run_of_another_configuration_says_what_differs(whole, data, capsys):
    message = error_of(capsys, ["--data", str(data), *SMALL, "--out", str(whole), "--seed", "7", "--loss", "mse"])
    assert "seed" in message
    assert "run has 0, now 7" in message
    assert "loss" in message


def test_data_that_changed_are_noticed_and_data_that_moved_are_taken(whole, data, tmp_path, capsys):
    copy, changed, moved = tmp_path / "run", tmp_path / data.name, tmp_path / "moved.npz"
    shutil.copytree(whole, copy)
    shutil.copy(data, moved)
    arrays = dict(np.load(data))
    arrays["x_train"][0, 0, 0] ^= 1
    np.savez(changed, **arrays)
    args = ["--data", str(changed), *SMALL, "--out", str(copy)]
    assert "data_sha256" in error_of(capsys, args)
    assert "give the right ones with --data" in error_of(capsys, ["resume", str(copy), "--data", str(changed)])
    assert launch.main(["resume", str(copy), "--data", str(moved), "--threads", "2"]) == 0
    assert digest(copy) == digest(whole)


def test_a_locked_run_names_its_holder(whole, capsys):
    from results.folder import RunFolder, lock

    with lock(RunFolder(whole)):
        message = error_of(capsys, ["resume", str(whole)])
    assert f"pid {os.getpid()}" in message


def test_a_corrupt_line_in_the_ledger_is_named_and_nothing_is_lost(whole, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(whole, copy)
    ledger = copy / "ledger.jsonl"
    content = ledger.read_bytes().split(b"\n")
    content[3] = content[3][:20]
    ledger.write_bytes(b"\n".join(content))
    message = error_of(capsys, ["resume", str(copy)])
    assert "line 4" in message
    assert ledger.read_bytes() == b"\n".join(content)


@pytest.mark.parametrize("moment", ["supernet", "candidates", "finalists"])
def test_a_full_disk_ends_in_one_line_and_the_run_goes_on_afterwards(whole, tmp_path, moment):
    """Files cannot grow beyond a limit, which stands for a disk that fills up at each phase of a run."""
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    shutil.rmtree(out / "finalists")
    ledger = (out / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    kept = {"supernet": 0, "candidates": 5, "finalists": 12}[moment]
    (out / "ledger.jsonl").write_bytes(b"".join(ledger[:kept]))
    if moment == "supernet":
        (out / "supernet.safetensors").unlink()
    limit = len(b"".join(ledger[:kept])) + 700
    code = f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); import launch; "
    command = [sys.executable, "-W", "ignore", "-c", code + "sys.exit(launch.main(sys.argv[1:]))", "resume", str(out)]
    full = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert full.returncode == 2, full.stderr
    assert [line.partition(": ")[0] for line in full.stderr.splitlines()] == ["note", "error"]  # of few steps
    assert kept <= lines(out) <= kept + 3
    assert launch.main(["resume", str(out)]) == 0
    assert digest(out) == digest(whole)


def flip(path):
    data = path.read_bytes()
    path.write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])


@pytest.mark.filterwarnings("default::spaces.errors.DamageWarning")
@pytest.mark.parametrize(
    "damage", ["folder gone", "metrics garbage", "metrics empty", "weights torn", "weights flipped"]
)
def test_a_damaged_finalist_is_made_anew(whole, tmp_path, damage, capsys):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    home = next((out / "finalists").iterdir())
    if damage == "folder gone":
        shutil.rmtree(home)
    elif damage == "weights torn":
        (home / "weights.safetensors").write_bytes((home / "weights.safetensors").read_bytes()[:50])
    elif damage == "weights flipped":
        flip(home / "weights.safetensors")
    else:
        (home / "metrics.json").write_text("{" if damage == "metrics garbage" else "{}")
        if damage == "metrics garbage":
            assert "remove the folder" in error_of(capsys, ["report", str(out)])
    assert launch.main(["resume", str(out)]) == 0
    told = f"finalist {home.name} is made anew" in " ".join(capsys.readouterr().err.split())
    assert told == (damage not in ("folder gone", "metrics empty"))
    assert digest(out) == digest(whole)


@pytest.mark.filterwarnings("default::spaces.errors.DamageWarning")
def test_a_damaged_supernet_is_trained_anew(whole, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    flip(out / "supernet.safetensors")
    assert launch.main(["resume", str(out)]) == 0
    assert "supernet.safetensors' is damaged" in " ".join(capsys.readouterr().err.split())
    assert (out / "supernet.safetensors").read_bytes() == (whole / "supernet.safetensors").read_bytes()
    assert digest(out) == digest(whole)


@pytest.mark.parametrize(
    "change",
    [
        {"config": None},
        *(
            {"config": {name: value}}
            for name, value in (
                ("batch", None),
                ("colour", 1),
                ("width", "x"),
                ("minutes", "x"),
                ("objectives", [1]),
                ("constraints", [1]),
                ("seed", True),
            )
        ),
    ],
    ids=str,
)
def test_a_damaged_config_is_one_line(whole, tmp_path, change, capsys):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    config = without_checksum(json.loads((out / "config.json").read_text()))
    config["config"] = None if change["config"] is None else config["config"] | change["config"]
    (out / "config.json").write_text(json.dumps(config))
    for verb in ("resume", "report"):
        assert "config.json" in error_of(capsys, [verb, str(out)])


@pytest.mark.parametrize("file", ["metrics.json", "architecture.json"])
def test_a_page_of_files_that_no_run_writes_is_one_line(whole, tmp_path, file, capsys):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    path = next((out / "finalists").iterdir()) / file
    path.write_text(json.dumps(without_checksum(json.loads(path.read_text())) | {"layers": [1], "nodes": [1]}))
    assert "is damaged or was edited" in error_of(capsys, ["report", str(out)])


def test_a_search_in_which_nothing_is_feasible_says_why(data, tmp_path, capsys):
    args = ["--data", str(data), *SMALL, "--max", "spikes=1", "--out", str(tmp_path / "run")]
    assert launch.main(args) == 0
    lines = capsys.readouterr().out.splitlines()
    place = lines.index("no candidate is feasible:")
    levers = r"lower --width \(3 now\) or --timesteps \(2 now\), or raise the bound"
    assert re.fullmatch(rf"  12 of 12 break spikes<=1; the least reached is [\d.]+: {levers}", lines[place + 1])
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<li>12 of 12 break spikes&lt;=1; the least reached is" in page
    assert "<strong>12</strong> × breaks spikes&lt;=1</summary>" in page


@pytest.mark.parametrize(
    ("bound", "way"),
    [
        (["--max", "parameters=100"], "parameters: lower --width (3 now), or raise the bound"),
        (["--max", "timesteps=1"], "the nearest has 2 timesteps: give --timesteps 1, or raise the bound"),
        (["--min", "timesteps=7.5"], "the nearest has 2 timesteps: give --timesteps 8, or lower the bound"),
    ],
)
@pytest.mark.parametrize("verb", ["search", "sweep"])
def test_a_bound_that_no_candidate_can_keep_is_an_error_before_anything_is_begun(
    data, tmp_path, capsys, verb, bound, way
):
    small = ["--width", "3", "--timesteps", "2", "--threads", "1", "--no-compile", "--out", str(tmp_path / "run")]
    told = error_of(capsys, [verb, "--data", str(data), *small, *bound])
    assert told.startswith(f"error: {' '.join(bound)}: no candidate of space 'autosnn' keeps it; the nearest has ")
    assert told.endswith(f"{way}\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("reading", READINGS)
def test_a_search_by_what_firing_rates_tell(reading, data, tmp_path, whole, capsys):
    """Every score has it, also a finalist's, and none is raced; killed after its supernet, it ends the same."""
    runs = [tmp_path / "run", tmp_path / "again"]
    options = [*SMALL, "--objectives", f"{reading},spikes", "--floor", "0"]
    for out in runs:
        assert launch.main(["--data", str(data), *options, "--out", str(out)]) == 0
        if out == runs[0]:
            cut_short(out, runs[1])
    assert digest(runs[0]) == digest(runs[1])
    rows = digest(runs[0])[0]
    scored = [row for row in rows if row["state"] == "ok"]
    assert {row["fidelity"] for row in scored} == {"supernet", "trained"}
    assert all(-1 < float(row[reading]) <= 1 for row in scored)
    assert not any(row["state"] == "pruned" for row in rows)
    text = (runs[0] / "report.html").read_text()
    assert f"best {reading}" in text
    assert f"Ranked by {reading} before and by validation accuracy after" in text
    assert not any(name in row for row in digest(whole)[0] for name in READINGS)


@pytest.mark.parametrize(
    "options",
    [["--few-shot", "slot1", "--few-shot-epochs", "2"], ["--supernets", "2"], ["--threshold-balancing"]],
    ids=["several supernets", "an ensemble", "balanced thresholds"],
)
def test_a_supernet_with_more_than_weights(data, tmp_path, whole, options):
    """It is read again after a kill, and a worker that it is sent to scores as it does here."""
    runs = [tmp_path / "run", tmp_path / "again"]
    options = [*options, "--finalist-weights", "inherited"]
    for out in runs:
        assert launch.main(["--data", str(data), *SMALL, *options, "--out", str(out)]) == 0
        assert not (out / "checkpoints").exists() or not any((out / "checkpoints").iterdir())
        if out == runs[0]:
            cut_short(out, runs[1])
    assert digest(runs[0]) == digest(runs[1]) != digest(whole)
    config, setting, _ = prepare_setting(parse_search(["--data", str(data), *SMALL, *options]))
    supernet = new_supernet(setting)
    match = json.loads((runs[0] / "config.json").read_text())["hash"]
    load_weights(supernet, read_tensors(runs[0] / "supernet.safetensors", match=match)[0])
    score = scorer(pack(config, setting, supernet, device="cpu", threads=1))
    for number, outcome in enumerate(read(runs[0] / "ledger.jsonl")[0][:12]):
        assert number == outcome.number
        if outcome.score.state == "ok":
            assert replace(score(outcome.candidate, None), seconds=0) == replace(outcome.score, seconds=0)


def test_an_infeasible_finalist_is_not_called_the_best(data, tmp_path, capsys):
    plain = tmp_path / "plain"
    assert launch.main(["--data", str(data), *SMALL, "--out", str(plain)]) == 0
    rows, _ = digest(plain)
    fewest = min(float(row["spikes"]) for row in rows if row["fidelity"] == "supernet")
    args = ["--data", str(data), *SMALL, "--min", f"spikes={fewest + 1}", "--out", str(tmp_path / "bound")]
    assert launch.main(args) == 0
    for home in (tmp_path / "bound" / "finalists").iterdir():
        metrics = json.loads((home / "metrics.json").read_text())
        assert (metrics["state"] == "ok") == (metrics["spikes"] >= fewest + 1)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["serch"], "unknown verb 'serch' (did you mean 'search'?)"),
        (["--space", "autosn"], "unknown space 'autosn' (did you mean 'autosnn'?)"),
        (["--sampler", "evolutoin"], "did you mean 'evolution'?"),
        (["--sampler", "auto", "--spike-weight", "-0.5"], "add --sampler evolution, or drop --spike-weight"),
        (["--data", "digitz"], "did you mean 'digits'?"),
        (["--data", "nowhere/at/all.npz"], "nowhere/at/all.npz"),
        (["--objectives", "acuracy"], "did you mean 'accuracy'?"),
        (["--widht", "3"], "did you mean '--width'?"),
        (["--width", "0"], "--width 0 is out of range"),
        (["--width", "-3"], "--width -3"),
        (["--width", "x"], "--width"),
        (["--timesteps", "0"], "--timesteps 0"),
        (["--learning-rate", "nan"], "--learning-rate nan"),
        (["--learning-rate", "-1"], "--learning-rate -1"),
        (["--spike-weight", "inf"], "--spike-weight inf"),
        (["--minutes", "0"], "--minutes 0"),
        (["--neuron", "plf"], "did you mean 'plif'?"),
        (["--loss", "mae"], "--loss"),
        (["--max", "energy=5"], "did you mean 'energy_nj'?"),
        (["--max", "energy_nj"], "COLUMN=NUMBER"),
        (["--min", "accuracy=nan"], "finite"),
        (["--min", "spikes=9", "--max", "spikes=3"], "contradict"),
        (["--energy-model", "horowitz"], "did you mean 'horowitz-45nm-fp32'?"),
        (["--device", "cuda:99"], "--device 'cuda:99'"),
        (["--device", "tpu"], "--device 'tpu'"),
        (["--device", "meta"], "--device 'meta'"),
        (["--seed", "9" * 400], "--seed of 400 digits is out of range"),
        (["--threads", "99999999999999999999"], "--threads"),
        (["--width", "99999999"], "--width 99999999 is out of range"),
        (["--few-shot", "slot9"], "unknown choice of space 'autosnn' 'slot9'"),
        (["--few-shot-epochs", "3"], "add --few-shot CHOICE, or drop --few-shot-epochs"),
        (
            ["--threshold-balancing", "--recalibration-samples", "0"],
            "give --recalibration-samples 1 or more, or drop --threshold-balancing",
        ),
        (["--train-parts", "33"], "--train-parts 33: a batch has 32 samples, and each needs one; give at most 32"),
        (["--train-workers", "40"], "--train-workers 40: a batch has 32 samples"),
        (["--train-workers", "3", "--train-parts", "2"], "--train-workers 3: batches are in 2 parts"),
        (["--timesteps", "1" + "0" * 30], "--timesteps"),
        (["--train-samples", "1000000"], "1000000"),
        (["--data", "cifar10", "--data-dir", "nowhere"], "--download"),
        (["resume"], "RUN"),
        (["resume", "no/such/run"], "no/such/run"),
        (["report", "tests"], "config.json"),
        (["spaces", "autosn"], "did you mean 'autosnn'?"),
        (["spaces", "autosnn", "more"], "unexpected argument 'more'"),
        (["--out", "spaces", "--width", "3", "--timesteps", "1"], "spaces"),
    ],
)
def test_bad_input_is_one_line_with_the_value_and_the_way_out(args, words, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert words in error_of(capsys, args)


def test_images_too_small_and_one_class_are_named(tmp_path, capsys):
    for name, images, labels, words in (
        ("small", np.zeros((40, 7, 7), np.uint8), np.arange(40) % 2, "7x7 pixels are too small"),
        ("one", np.zeros((40, 8, 8), np.uint8), np.zeros(40, int), "class"),
    ):
        path = tmp_path / f"{name}.npz"
        np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
        assert words in error_of(capsys, ["--data", str(path), "--out", str(tmp_path / name)])
        assert not (tmp_path / name).exists()


def test_spaces_lists_and_describes(capsys):
    assert launch.main(["spaces"]) == 0
    listed = capsys.readouterr().out
    assert "autosnn" in listed
    assert "3,125 candidates" in listed
    assert launch.main(["spaces", "autosnn"]) == 0
    described = capsys.readouterr().out
    assert "slot5: skip, SCB_k3, SCB_k5, SRB_k3, SRB_k5" in described
    assert "max-pool" in described


def test_help_names_every_option_and_choice(capsys):
    for args in ([], ["--help"], ["search", "--help"]):
        assert launch.main(args) == 0
        text = capsys.readouterr().out
        for name in NEURONS:
            assert name in text
        for option in (
            "--space",
            "--data",
            "--objectives",
            "--max",
            "--sampler",
            "--finalists",
            "--finalist-pool",
            "--no-compile",
            "resume",
        ):
            assert option in text


def test_configurations_survive_json():
    config = parse_search(["--max", "spikes=9000", "--objectives", "accuracy,sops", "--minutes", "3", "--no-compile"])
    assert from_json(json.loads(json.dumps(to_json(config)))) == config
    assert config.goal.constraints == ("spikes<=9000",)
    assert not config.machine.compile
    assert parse_search([]) == Config()


OPTIONS = parser_of("search").options
WORDS = st.one_of(
    st.sampled_from(
        [*OPTIONS, "search", "resume", "nan", "-inf", "1e999", "0", "-1", "autosnn", "digits", "accuracy=1"]
    ),
    st.text(max_size=12),
    st.integers(-(10**30), 10**30).map(str),
    st.integers(300, 4000).map("7".__mul__),
    st.floats().map(str),
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(WORDS, max_size=8))
@example(["--max=", "x"])
@example(["--objectives", ""])
@example(["--seed", "1" * 5000])
@example(["--width", "١٢"])
@example(["--data", "\0"])
def test_any_words_parse_or_end_in_one_clear_line(words):
    """At least 200 malformed command lines: a configuration or a SearchError, never a traceback."""
    if any(word in ("-h", "--help") for word in words):
        return
    try:
        config = parse_search(words)
    except SearchError as error:
        assert str(error).strip()  # noqa: PT017
    else:
        assert from_json(to_json(config)) == config


def test_ctrl_c_keeps_everything_and_says_how_to_go_on(whole, data, tmp_path):
    out = tmp_path / "run"
    args = ["--data", str(data), *SMALL, "--out", str(out)]
    code = """
import os, signal, sys, launch, search.work.supernet as job
signal.signal(signal.SIGINT, signal.default_int_handler)  # children of background jobs inherit "ignore"
score, calls = job.score_from_supernet, []
def interrupted(*args, **options):
    calls.append(args)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGINT)
    return score(*args, **options)
job.score_from_supernet = interrupted
sys.exit(launch.main(sys.argv[1:]))
"""
    command = [sys.executable, "-W", "ignore", "-c", code, *args]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert lines(out) == 3
    assert f"resume {out}" in done.stderr
    assert (out / "report.html").exists()
    assert launch.main(["resume", str(out)]) == 0
    assert digest(out) == digest(whole)


def test_report_of_a_run_that_is_still_running(whole, tmp_path):
    from results.folder import RunFolder, lock

    copy = tmp_path / "run"
    shutil.copytree(whole, copy)
    ledger = copy / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-20])  # a line is just being written
    before = ledger.read_bytes()
    with lock(RunFolder(copy)):
        assert launch.main(["report", str(copy)]) == 0
    assert ledger.read_bytes() == before


def small(options):
    """Options of a small run without autosnn's own head gain."""
    return options[: options.index("--head-gain")]


def test_a_space_of_ones_own_is_searched_resumed_and_held_to_its_file(data, tmp_path, capsys):
    readme = (ROOT / "README.md").read_text()
    path = tmp_path / "my_space.py"
    path.write_text(next(code for code in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "def mine(" in code))
    out = tmp_path / "run"
    options = [*small(SMALL), "--head-gain", "20", "--data", str(data), "--space", f"{path}:mine"]
    assert launch.main([*options, "--out", str(out)]) == 0
    rows, stored = digest(out)
    trained = [row["state"] for row in rows if row["fidelity"] == "trained"]
    assert len(rows) == 12 + len(trained)
    assert trained.count("ok") == len(stored) >= 1
    assert {"param.early_kernel", "param.late_tau"} <= set(rows[0])
    assert launch.main(["resume", str(out)]) == 0
    assert digest(out) == (rows, stored)
    path.write_text(path.read_text().replace("1.2, 8.0", "1.2, 9.0"))
    capsys.readouterr()
    assert "space_sha256" in error_of(capsys, ["resume", str(out)])


def test_candidates_that_are_no_networks_are_not_asked_for(data, tmp_path):
    """A third of snasnet's fillings join nothing."""
    out = tmp_path / "run"
    at = SMALL.index("--finalists")
    options = small(SMALL[:at] + SMALL[at + 4 :])
    options += ["--data", str(data), "--space", "snasnet", "--sampler", "random", "--finalists", "0"]
    assert launch.main([*options, "--out", str(out)]) == 0
    with (out / "candidates.csv").open() as file:
        rows = list(csv.DictReader(file))
    space = make_space("snasnet", options={"timesteps": 2})[0]
    asked = [Candidate({blank: row[f"param.{blank}"] for blank in space.blanks}) for row in rows]
    assert len(asked) == 12
    assert not any(map(space.infeasible, asked))
    drawn = [space.sample(np.random.default_rng(seed)) for seed in range(30)]
    assert any(map(space.infeasible, drawn))


def test_finalists_are_a_study_of_their_own(whole, tmp_path):
    import optuna

    file = tmp_path / "study.db"
    assert launch.main(["report", str(whole), "--export-optuna", str(file)]) == 0
    rows, stored = digest(whole)
    searched, trained = (
        optuna.load_study(study_name=name, storage=f"sqlite:///{file}") for name in ("whole", "whole-trained")
    )
    with (whole / "pareto.csv").open() as table:
        front = [row for row in csv.DictReader(table) if row["fidelity"] == "supernet"]
    assert {trial.number for trial in searched.best_trials} == {int(row["number"]) for row in front}
    assert [len(study.trials) for study in (searched, trained)] == [12, len(stored)]
    accuracies = [float(row["accuracy"]) for row in rows if row["fidelity"] == "trained"]
    assert [trial.values[0] for trial in trained.trials] == accuracies
