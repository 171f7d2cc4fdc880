import hashlib
import json
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from results.folder import (
    RunFolder,
    claimed,
    create_or_open,
    default_path,
    flatten,
    lock,
    match_hash,
    open_existing,
)
from spaces.checksums import CHECKSUM, with_checksum
from spaces.errors import RunError
from spaces.files import write_atomic

ROOT = Path(__file__).parents[2]
CONFIG = {
    "match": {"space": "autosnn", "seed": 0, "options": {"width": 16, "sizes": (1, 2)}},
    "versions": {"torch": "2"},
}


def with_match(**changes):
    return CONFIG | {"match": CONFIG["match"] | changes}


def test_a_new_or_empty_folder_becomes_a_run_and_is_opened_again(tmp_path):
    folder = create_or_open(tmp_path / "a" / "b", config=CONFIG)
    config = json.loads(folder.config.read_text())
    assert config["match"]["options"]["sizes"] == [1, 2]
    text = '{"options":{"sizes":[1,2],"width":16},"seed":0,"space":"autosnn"}'
    assert config["hash"] == match_hash(CONFIG["match"]) == hashlib.sha256(text.encode()).hexdigest()
    before = folder.config.read_bytes()
    assert create_or_open(folder.path, config=CONFIG | {"versions": {"torch": "3"}}) == folder
    assert open_existing(folder.path) == folder
    assert folder.config.read_bytes() == before
    assert with_checksum(folder.read_config()) == config


def test_another_configuration_is_refused_naming_what_differs(tmp_path):
    create_or_open(tmp_path, config=CONFIG)
    other = with_match(seed=1, extra=True, options={"width": 32, "sizes": [1, 2]})
    with pytest.raises(RunError) as caught:
        create_or_open(tmp_path, config=other)
    message = str(caught.value)
    assert "options.width: run has 16, now 32" in message
    assert "seed: run has 0, now 1" in message
    assert "extra: run has nothing, now true" in message
    assert "sizes" not in message
    assert f"launch.py resume {tmp_path}" in message
    assert "\n" not in message


def test_at_most_five_differences_are_named(tmp_path):
    create_or_open(tmp_path, config=CONFIG)
    with pytest.raises(RunError, match=r"and 4 more"):
        create_or_open(tmp_path, config=with_match(**{f"key{n}": n for n in range(9)}))


def test_what_a_run_does_not_name_yet_it_has_at_its_default(tmp_path):
    create_or_open(tmp_path, config=CONFIG)
    defaults = {"scale": 1, "seed": 5, "sides": (1, 2), "not asked for": 0}
    create_or_open(tmp_path, config=with_match(scale=1, sides=[1, 2]), defaults=defaults)
    with pytest.raises(RunError, match=r"configuration: scale: run has 1, now 2; continue"):
        create_or_open(tmp_path, config=with_match(scale=2), defaults=defaults)
    with pytest.raises(RunError, match="seed: run has 0, now 5"):
        create_or_open(tmp_path, config=with_match(seed=5), defaults=defaults)
    with pytest.raises(RunError, match="scale: run has nothing, now 1"):
        create_or_open(tmp_path, config=with_match(scale=1))


@pytest.mark.parametrize("change", [0.0, False, "0", None])
def test_a_value_of_another_type_differs(tmp_path, change):
    create_or_open(tmp_path, config=CONFIG)
    with pytest.raises(RunError, match="seed: run has 0, now"):
        create_or_open(tmp_path, config=with_match(seed=change))


def test_a_foreign_folder_is_refused_and_not_touched(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    for attempt in (lambda: create_or_open(tmp_path, config=CONFIG), lambda: open_existing(tmp_path)):
        with pytest.raises(RunError, match=r"is not a run.*--out"):
            attempt()
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_run_killed_while_it_was_made_can_be_made_again(tmp_path):
    (tmp_path / ".config.json.4711.tmp").write_text("{")
    (tmp_path / ".lock").touch()
    assert create_or_open(tmp_path, config=CONFIG).config.exists()


def test_a_configuration_without_a_checksum_is_of_an_older_version_and_read(tmp_path):
    folder = create_or_open(tmp_path, config=CONFIG)
    kept = folder.read_config()
    folder.config.write_text(json.dumps(kept))
    assert CHECKSUM not in folder.config.read_text()
    assert folder.read_config() == kept


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("match", []),
        ("hash", 1),
        ("config", None),
        ("created", 7),
        ("space", "autosnn"),
        ("space", {"blanks": "abc"}),
        ("space", {"blanks": [1]}),
        ("space", {"distributions": [1]}),
        ("task", []),
        ("sampler", {}),
        ("versions", "2"),
        ("machine", 3),
    ],
)
def test_a_field_of_another_type_is_named(tmp_path, name, value):
    folder = create_or_open(tmp_path, config=CONFIG)
    folder.config.write_text(json.dumps(folder.read_config() | {name: value}))
    with pytest.raises(RunError, match=r"is damaged or was edited \(field '\w+' is .*must be"):
        open_existing(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace('"torch": "2"', '"torch": "3"'),
        lambda text: text.replace('"hash"', '"hash": 1, "hash"'),
        lambda text: text.replace('"versions": {', '"versions": {"deep": ' + "[" * 90 + "]" * 90 + ", "),
        lambda text: text[:40],
        lambda text: "",
        lambda text: "[]",
        lambda text: "{}",
        lambda text: "[" * 100_000,
        lambda text: text.replace('"seed": 0', '"seed": 1'),
        lambda text: "\udcff" + text,
    ],
)
def test_a_damaged_configuration_is_refused(tmp_path, damage):
    folder = create_or_open(tmp_path, config=CONFIG)
    bad = damage(folder.config.read_text()).encode("utf-8", "surrogateescape")
    folder.config.write_bytes(bad)
    for attempt in (lambda: create_or_open(tmp_path, config=CONFIG), lambda: open_existing(tmp_path)):
        with pytest.raises(RunError, match="damaged or was edited") as caught:
            attempt()
        assert "\n" not in str(caught.value)
    assert folder.config.read_bytes() == bad


def test_a_folder_that_is_missing_or_a_file_is_refused(tmp_path):
    with pytest.raises(RunError, match="no folder"):
        open_existing(tmp_path / "gone")
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be made or read"):
        create_or_open(tmp_path / "file", config=CONFIG)
    with pytest.raises(RunError, match="no folder"):
        open_existing(tmp_path / "file")


HOLDING = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from results.folder import RunFolder, lock
with lock(RunFolder(Path(sys.argv[2]))):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_living_process_keeps_the_lock_and_a_killed_one_does_not(tmp_path):
    folder = create_or_open(tmp_path, config=CONFIG)
    with subprocess.Popen([sys.executable, "-c", HOLDING, str(ROOT), str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match=rf"locked by a living process \(pid {process.pid} on "), lock(folder):
            pass
        half_written = folder.path / f".supernet.safetensors.{process.pid}.tmp"
        half_written.touch()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (folder.path / "lock.json").exists()
    with lock(folder):
        assert json.loads((folder.path / "lock.json").read_text())["pid"] == os.getpid()
        assert not half_written.exists()
        with pytest.raises(RunError, match=f"pid {os.getpid()} on"), lock(folder):
            pass
    assert not (folder.path / "lock.json").exists()
    with lock(folder):
        pass


def test_a_broken_side_file_does_not_matter(tmp_path):
    folder = create_or_open(tmp_path, config=CONFIG)
    (tmp_path / "lock.json").write_text("{")
    with lock(folder):
        (tmp_path / "lock.json").write_text("[]")
        with pytest.raises(RunError, match="pid unknown"), lock(folder):
            pass


def test_what_has_begun_elsewhere_is_not_begun_here(tmp_path):
    with lock(RunFolder(tmp_path)), pytest.raises(RunError, match="is locked"), claimed(tmp_path, config=CONFIG):
        pass
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".lock"]
    with claimed(tmp_path, config=CONFIG, warm_start=b"x") as folder:
        assert folder.read_config()["match"]["seed"] == 0
        with pytest.raises(RunError, match=f"locked by a living process .pid {os.getpid()}"), lock(folder):
            pass
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").touch()
    with pytest.raises(RunError, match="is not a run"), claimed(tmp_path / "b", config=CONFIG):
        pass
    assert [entry.name for entry in (tmp_path / "b").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("content", [b"\x00\xff", "größer", "lone \ud800"])
def test_write_atomic_replaces_the_whole_file(tmp_path, content):
    path = tmp_path / "file"
    path.write_text("before, and longer than what comes after")
    write_atomic(path, content)
    assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace"))
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")
    code = (
        "import sys, resource; sys.path.insert(0, sys.argv[1]); from spaces.files import write_atomic\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); write_atomic(sys.argv[2], b'x' * 2000)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(ROOT), str(path)], capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("spaces.errors.RunError: file ")
    assert "File too large" in last
    assert str(path) in last
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_write_atomic_into_a_folder_that_is_gone(tmp_path):
    with pytest.raises(RunError, match="No such file"):
        write_atomic(tmp_path / "gone" / "file", "x")


def test_default_path_counts_up_and_tames_paths_as_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    now = datetime(2026, 11, 22, 1, 2, 3)
    assert default_path("autosnn", "digits", now) == Path("runs/autosnn-digits-20261122-010203")
    for suffix in ("", "-2"):
        Path(f"runs/autosnn-digits-20261122-010203{suffix}").mkdir(parents=True)
    assert default_path("autosnn", "digits", now) == Path("runs/autosnn-digits-20261122-010203-3")
    assert default_path("autosnn", "/data/my images!.npz", now).name == "autosnn-my-images-20261122-010203"
    assert default_path("autosnn", "../..", now).name == "autosnn-data-20261122-010203"


def test_flatten_and_places():
    assert flatten({"a": {"b": {"c": 1}}, "d": {}, "e": [{"f": 2}]}) == {"a.b.c": 1, "d": {}, "e": [{"f": 2}]}
    folder = RunFolder(Path("run"))
    names = ["ledger", "supernet", "checkpoints", "finalists", "report", "candidates_csv", "pareto_csv"]
    found = [getattr(folder, name).name for name in names]
    assert found == [
        *("ledger.jsonl", "supernet.safetensors", "checkpoints", "finalists", "report.html"),
        *("candidates.csv", "pareto.csv"),
    ]
    assert folder.finalist(7) == Path("run/finalists/7")
