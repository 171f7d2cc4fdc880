"""Credentials on the command line: used, never kept in a run's folder, never shown; a resume gets them again."""

import json
import re
import sys
import warnings
from urllib.parse import quote

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.utils import infer_storage_options
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import launch
from results.folder import RunFolder
from results.ledger import read
from search.grid import PLAN, run_grid
from search.options.config import configure, from_json, to_json
from search.publish import refresh
from search.run import resume, run_search
from spaces.checksums import CHECKSUM
from spaces.credentials import has_gap, hide, without_credentials, without_gap
from spaces.errors import OptionError

SECRET = "tr0ub4dor"
URI = f"vault://me:{SECRET}@box/folder"
QUIET = Console(stderr=True, quiet=True)


class Vault(MemoryFileSystem):
    """Storage that wants a password, out of the URI or out of the environment."""

    protocol = "vault"
    cachable = False

    def __init__(self, *args, username=None, password=None, **options):
        super().__init__(*args, **options)
        if password != SECRET:
            raise PermissionError(f"login of {username} with {password} refused")

    @staticmethod
    def _get_kwargs_from_urls(path):
        found = infer_storage_options(path)
        return {name: found[name] for name in ("username", "password") if name in found}

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(re.sub("^vault://([^@]*@)?", "", str(path)))


@pytest.fixture
def vault(monkeypatch):
    fsspec.register_implementation("vault", Vault, clobber=True)
    monkeypatch.setattr(Vault, "store", {})
    monkeypatch.setattr(Vault, "pseudo_dirs", [""])
    return Vault.store


def config(data, out, **options):
    small = {"width": 2, "timesteps": 1, "candidates": 2, "supernet_epochs": 1, "sampler": "random", "compile": False}
    return configure(
        data=str(data), out=str(out), **small, finalists=1, finalist_epochs=1, threads=1, batch_size=16, **options
    )


def leaks(folder):
    """Files of a folder that hold the secret."""
    return [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


@pytest.fixture
def begun(data, tmp_path, vault, monkeypatch):
    """A run that keeps its checkpoints in the vault."""
    monkeypatch.setattr(sys, "argv", ["launch.py", "--storage", URI, f"--storage={URI}"])
    run_search(config(data, tmp_path / "run", storage=URI), console=QUIET)
    return RunFolder(tmp_path / "run")


def cut_short(folder):
    """As if the run had been killed after its first score."""
    folder.supernet.unlink()
    lines = folder.ledger.read_bytes().splitlines(keepends=True)
    folder.ledger.write_bytes(lines[0])


def test_a_run_holds_no_credentials(begun):
    assert begun.report.exists()
    assert not leaks(begun.path)
    stored = begun.read_config()
    assert stored["config"]["storage"] == "vault://me:***@box/folder"
    assert stored["command"] == "launch.py --storage vault://me:***@box/folder --storage=vault://me:***@box/folder"
    assert "vault://me:***@box/folder" in begun.report.read_text()


def test_a_resume_takes_them_again_or_out_of_the_environment_and_says_so(begun, monkeypatch):
    whole = len(read(begun.ledger)[0])
    cut_short(begun)
    with (
        pytest.warns(RuntimeWarning, match="taken from the environment.*or give --storage again"),
        pytest.raises(
            OptionError,
            match=r"--storage 'vault://.*@box/folder' cannot be used \(login of me with None refused\)",
        ),
    ):
        resume(begun.path, {}, console=QUIET)
    monkeypatch.setitem(fsspec.config.conf, "vault", {"password": SECRET})  # as FSSPEC_VAULT_PASSWORD does
    with pytest.warns(RuntimeWarning, match=r"run keeps no credentials: those of its --storage vault://me:\*\*\*@box"):
        resume(begun.path, {}, console=QUIET)
    assert len(read(begun.ledger)[0]) == whole
    monkeypatch.delitem(fsspec.config.conf, "vault")
    cut_short(begun)
    monkeypatch.setattr("search.run.check_effect", lambda configs, where: None)  # --storage is for several workers
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resume(begun.path, {"storage": URI}, console=QUIET)
    assert len(read(begun.ledger)[0]) == whole
    assert not leaks(begun.path)


def test_what_an_earlier_version_kept_is_not_shown_and_goes_at_the_next_resume(begun):
    stored = json.loads(begun.config.read_text())
    stored.pop(CHECKSUM)
    stored["config"]["storage"], stored["command"] = URI, f"launch.py --storage {URI}"
    begun.config.write_text(json.dumps(stored))
    refresh(begun.path)
    assert leaks(begun.path) == [begun.config]
    with pytest.warns(RuntimeWarning, match="held credentials, from an earlier version: they are taken out"):
        resume(begun.path, {}, console=QUIET)
    assert not leaks(begun.path)
    assert begun.read_config()["config"]["storage"] == "vault://me:***@box/folder"


def test_messages_hide_them(vault, data, tmp_path):
    wrong = URI.replace(SECRET, SECRET + "2")
    with pytest.raises(OptionError, match=r"login of me with \*\*\* refused") as caught:
        run_search(config(data, tmp_path / "run", storage=wrong), console=QUIET)
    assert SECRET not in str(caught.value)
    assert not leaks(tmp_path)


@pytest.mark.parametrize(
    "args",
    [
        ["--storage", URI],
        ["--storage", f"nothing://me:{SECRET}@box", "--runner", "ray"],
        ["--storage", f"nothing://{SECRET}@box/x", "--runner", "ray"],
        ["--storage", f"nothing://box/x?token={SECRET}", "--runner", "ray"],
        ["--runner", "ray", "--address", f"ray://me:{SECRET}@box:1"],
        ["--runner", "ray", "--address", f"me:{SECRET}@box:1"],
        ["--address", f"me:{SECRET}@box:1"],
        ["--data", f"s3://me:{SECRET}@box/x.npz"],
        ["--data-dir", f"s3://me:{SECRET}@box", "--data", "mnist"],
        ["--out", f"ftp://me:{SECRET}@box/run"],
        ["--warm-start", f"ftp://me:{SECRET}@box/run"],
        ["--export-optuna", f"postgresql://me:{SECRET}@box/db"],
        ["--space", f"https://me:{SECRET}@box/own.py:mine"],
        ["--table", f"https://box/x.csv?sig={SECRET}", "--table-choices", "a", "--objectives", "b:max"],
        ["--tabel", f"https://me:{SECRET}@box/x.csv"],
        ["--seed", f"https://me:{SECRET}@box/x.csv"],
        ["--sampler", f"https://me:{SECRET}@box/x.csv"],
        ["report", f"ftp://me:{SECRET}@box/run"],
        ["resume", f"ftp://me:{SECRET}@box/run"],
        ["prune", f"ftp://me:{SECRET}@box/run"],
        ["spaces", f"ftp://me:{SECRET}@box/own.py:mine"],
        ["sweep", "--seeds", "0,1", "--out", f"ftp://me:{SECRET}@box/run"],
        [f"ftp://me:{SECRET}@box"],
    ],
    ids=lambda args: " ".join(args).replace(SECRET, "SECRET"),
)
def test_no_error_shows_them(args, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert launch.main(args) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert SECRET not in said.err + said.out
    assert not list(tmp_path.iterdir())


def test_a_sweep_keeps_none_and_its_runs_get_them(tmp_path, monkeypatch):
    given_to = []
    monkeypatch.setattr("search.grid.run_search", lambda config, console: given_to.append(config.workers.storage))
    monkeypatch.setattr("search.grid.check_effect", lambda configs, where: None)
    for _ in range(2):  # the second goes on with it
        list(
            run_grid(
                configure(storage=URI, out=str(tmp_path), train_epochs=None),
                ["autosnn"],
                ["digits"],
                [0, 1],
                console=QUIET,
            )
        )
    assert given_to == [URI] * 4
    assert not leaks(tmp_path)
    assert "vault://me:***@box/folder" in (tmp_path / PLAN).read_text()


TEXT = st.text(min_size=4, max_size=20)


@given(TEXT, st.text("abcdef", max_size=5), st.sampled_from(["s3", "ftp", "simplecache::sftp", "https"]))
def test_no_password_is_left_however_it_is_written(password, user, scheme):
    for secret in (password, quote(password, safe="")):
        uri = f"{scheme}://{user}:{secret}@box/folder"
        hidden = without_credentials(uri)
        assert hidden == f"{scheme}://{user}:***@box/folder"
        assert without_credentials(hidden) == hidden
        assert has_gap(hidden)
        assert without_gap(hidden) == f"{scheme}://{user}@box/folder"
        assert hide(f"{uri!r} and {uri}", [uri]).count("***") >= 1
        assert f":{secret}@" not in hide(f"cannot use {uri}: {secret} refused", [uri])
        kept = to_json(configure(storage=uri))
        assert kept["storage"] == hidden
        assert from_json(kept) == configure(storage=hidden)


@given(
    st.text()
    | st.sampled_from(["digits", "runs/a:b@c", "s3://bucket/a/b", "sftp://me@box/x", "file:///a?b", "C:\\a@b"])
)
def test_what_holds_no_credentials_stays_as_it_is(text):
    if "://" not in text or not set(text.replace("sftp://me@", "").replace("file:///a?b", "")) & {"@", "?"}:
        assert without_credentials(text) == text
        assert not has_gap(text)
