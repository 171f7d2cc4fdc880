"""Run folder: where everything of a run stands, who may write in it, and what a resume must match."""

import hashlib
import json
import os
import shlex
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from results.rules import check_config
from spaces.checksums import canonical, read_json, write_json
from spaces.credentials import hide, hide_all
from spaces.errors import DamageError, RunError, one_line
from spaces.files import read_file, reason, write_atomic
from spaces.paths import plain_name
from spaces.temporary import NAME, sweep

SCHEMA = 2  # of config.json: 1, which says none, called table_choices table_blanks
LOCK, HOLDER, WARM_START = ".lock", "lock.json", "warm_start.jsonl"


@dataclass(frozen=True)
class RunFolder:
    """The places of one run; nothing is read or made by naming them."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration, versions, seed, and the hash of what a resume must match."""
        return self.path / "config.json"

    @property
    def settings(self) -> Path:
        """The options that make the run again, as ``--config`` takes them."""
        return self.path / "config.toml"

    @property
    def ledger(self) -> Path:
        """One line an outcome."""
        return self.path / "ledger.jsonl"

    @property
    def warm_start(self) -> Path:
        """Earlier results that the search began from, as a ledger."""
        return self.path / WARM_START

    @property
    def supernet(self) -> Path:
        """Weights of the trained supernet."""
        return self.path / "supernet.safetensors"

    @property
    def checkpoints(self) -> Path:
        """Folder of what training resumes from."""
        return self.path / "checkpoints"

    @property
    def finalists(self) -> Path:
        """Folder with one folder a finalist, named by its number in the ledger."""
        return self.path / "finalists"

    @property
    def plan(self) -> Path:
        """How the run's time was planned, where it was given some, and shared out."""
        return self.path / "plan.json"

    @property
    def predictor(self) -> Path:
        """How well scores could be predicted."""
        return self.path / "predictor.json"

    @property
    def report(self) -> Path:
        """The self-contained page."""
        return self.path / "report.html"

    @property
    def candidates_csv(self) -> Path:
        """The ledger as a table."""
        return self.path / "candidates.csv"

    @property
    def pareto_csv(self) -> Path:
        """The front's rows of that table."""
        return self.path / "pareto.csv"

    @property
    def tickets_csv(self) -> Path:
        """The finalists' lottery tickets as a table."""
        return self.path / "tickets.csv"

    def finalist(self, number: int) -> Path:
        """Folder of the finalist whose supernet score is line ``number`` of the ledger."""
        return self.finalists / str(number)

    def finalist_numbers(self) -> list[int]:
        """Numbers of the folders of finalists, whose training may not have ended.

        Raises:
            RunError: what should be the folder of all of them is none.
        """
        try:
            return sorted(int(one.name) for one in self.finalists.iterdir() if one.name.isdecimal() and one.is_dir())
        except FileNotFoundError:
            if not os.path.lexists(self.finalists):
                return []
            fault = "it is a link to what is not there"
        except OSError as error:
            fault = reason(error)
        raise RunError(f"folder {str(self.finalists)!r} cannot be read ({fault}): restore it, or remove it and resume")

    def read_config(self) -> dict[str, Any]:
        """The configuration as written; what stands in it is of the type that it should be.

        Raises:
            RunError: there is none, or it was damaged or edited.
        """
        return _read_config(self.config)


@contextmanager
def claimed(
    path: Path,
    *,
    config: Mapping[str, Any],
    warm_start: bytes = b"",
    defaults: Mapping[str, Any] = MappingProxyType({}),
    of_today: Callable[[Mapping[str, Any]], dict[str, Any]] = dict,
) -> Iterator[RunFolder]:
    """Within, the run folder at ``path``, held for this process and made or opened as ``create_or_open`` does.

    Nothing but the lock is written before it is held, so of two that begin a run in one folder at once one is refused.

    Raises:
        RunError: as ``create_or_open`` and ``lock``.
    """
    folder = RunFolder(Path(path))
    _is_begun(folder)  # first: a folder that is no run gets no lock
    with lock(folder):
        yield create_or_open(path, config=config, warm_start=warm_start, defaults=defaults, of_today=of_today)


def create_or_open(
    path: Path,
    *,
    config: Mapping[str, Any],
    warm_start: bytes = b"",
    defaults: Mapping[str, Any] = MappingProxyType({}),
    of_today: Callable[[Mapping[str, Any]], dict[str, Any]] = dict,
) -> RunFolder:
    """The run folder at ``path``: made with ``config`` if new or empty, opened if its run has the same ``match``.

    ``config`` is plain JSON data; what a resume must match stands under ``"match"``, and ``"hash"`` is filled in.
    A new run keeps ``warm_start``, earlier results as a ledger's lines, if there are any. What ``match`` names and the
    run does not, since its version had no such option yet, the run has at ``defaults``; ``of_today`` gives what the
    run's ``match`` is under today's names.

    Raises:
        RunError: the folder is not a run, belongs to another configuration, is damaged, or cannot be written.
    """
    folder = RunFolder(Path(path))
    if _is_begun(folder):
        match = _plain(config["match"])
        usual = {name: value for name, value in _plain(dict(defaults)).items() if name in match}
        _compare(folder, match, usual | of_today(folder.read_config()["match"]))
        _forget_credentials(folder)
        return folder
    if warm_start:  # first: what has a configuration is whole
        write_atomic(folder.warm_start, warm_start)
    write_json(folder.config, {"schema": SCHEMA} | _plain(config) | {"hash": match_hash(config["match"])})
    return folder


def _forget_credentials(folder: RunFolder) -> None:
    """Takes credentials out of the configuration, where an earlier version has left them."""
    stored = folder.read_config()
    parts = {"config": hide_all(stored.get("config")), "command": hide(stored.get("command", ""))}
    if any(stored.get(name, part) != part for name, part in parts.items()):
        write_json(folder.config, stored | {name: part for name, part in parts.items() if name in stored})
        warnings.warn(
            f"{str(folder.config)!r} held credentials, from an earlier version: they are taken out, and a resume wants "
            "them with --storage or from the environment; change those that others may have read",
            RuntimeWarning,
            stacklevel=2,
        )


def _is_begun(folder: RunFolder) -> bool:
    """Whether a folder, made if missing, has a configuration; raises RunError where it holds something else."""
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        names = [entry.name for entry in folder.path.iterdir()]
    except OSError as error:
        raise RunError(
            f"folder {str(folder.path)!r} cannot be made or read ({one_line(error)}): choose another with --out"
        ) from error
    if folder.config.name in names:
        return True
    foreign = sorted(name for name in names if name not in (LOCK, HOLDER, WARM_START) and not NAME.fullmatch(name))
    if foreign:
        raise RunError(_foreign(folder.path, f"holds {foreign[0]!r} but no config.json"))
    return False


def open_existing(path: Path) -> RunFolder:
    """The run folder at ``path``, which must hold a run.

    Raises:
        RunError: there is no folder, it is not a run, or its configuration is damaged.
    """
    folder = RunFolder(Path(path))
    if not folder.path.is_dir():
        raise RunError(f"no folder {str(path)!r}: give the folder of a run, such as one of those in runs/")
    folder.read_config()
    return folder


def match_hash(match: Mapping[str, Any]) -> str:
    """SHA-256, in hex, of the canonical JSON of ``match``."""
    return hashlib.sha256(canonical(match).encode()).hexdigest()


@contextmanager
def lock(folder: RunFolder) -> Iterator[None]:
    """Hold the run folder for this process; the operating system lets go when the process ends, however it ends.

    Raises:
        RunError: a living process holds it, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    holder = folder.path / HOLDER
    try:
        guard = FileLock(folder.path / LOCK, timeout=0).acquire()
    except Timeout as error:
        raise RunError(
            f"run {str(folder.path)!r} is locked by a living process ({_holder(holder)}): wait for it or stop it, "
            "or choose another folder with --out"
        ) from error
    except (OSError, NotImplementedError) as error:
        raise RunError(
            f"run {str(folder.path)!r} cannot be locked ({reason(error)}): choose a writable local folder with --out"
        ) from error
    with guard:
        sweep(folder.path)
        write_atomic(holder, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}) + "\n")
        try:
            yield
        finally:
            holder.unlink(missing_ok=True)


def default_path(space: str, data: str, now: datetime) -> Path:
    """``runs/<space>-<data>-<YYYYmmdd-HHMMSS>``, with -2, -3, ... behind it if taken; a path as data gives its stem."""
    stem = plain_name(Path(data).stem.removesuffix(".csv"), "data")
    base = f"{plain_name(space, 'space')}-{stem}-{now:%Y%m%d-%H%M%S}"
    path, count = Path("runs") / base, 1
    while path.exists():
        count += 1
        path = Path("runs") / f"{base}-{count}"
    return path


def _plain(value: Any) -> Any:  # noqa: ANN401
    """The value as JSON gives it back: tuples are lists, keys are texts."""
    return json.loads(json.dumps(value, allow_nan=False))


def _read_config(path: Path) -> dict[str, Any]:
    way_out = "restore it, or start anew with another --out (this run's candidates.csv can be its --warm-start)"
    config = read_json(path, "configuration", way_out)
    if config is None:
        raise RunError(_foreign(path.parent, "holds no config.json"))
    if isinstance(schema := config.get("schema", 1), int) and schema > SCHEMA:
        raise RunError(
            f"run {str(path.parent)!r} is of a newer version (schema {schema}, this one reads up to {SCHEMA}): use "
            "that version or a newer one"
        )
    try:
        check_config(config)
        if config["hash"] != match_hash(config["match"]):
            raise ValueError("its hash is not that of its match")
    except ValueError as error:
        raise DamageError(f"configuration {str(path)!r} is damaged or was edited ({reason(error)})", way_out) from error
    return config


def flatten(value: Any, name: str = "") -> dict[str, Any]:  # noqa: ANN401
    """Nested mappings as one flat mapping with dotted names; lists and empty mappings are leaves.

    >>> flatten({"a": {"b": 1}, "c": [2]})
    {'a.b': 1, 'c': [2]}
    """
    if not isinstance(value, Mapping) or (name and not value):
        return {name: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= flatten(inner, f"{name}.{key}" if name else str(key))
    return flat


def _compare(folder: RunFolder, match: dict[str, Any], kept: dict[str, Any]) -> None:
    """Raise RunError if what the run has kept does not match, naming what differs."""
    has, now = flatten(kept), flatten(match)
    absent = object()

    def show(values: dict[str, Any], key: str) -> str:
        return canonical(values[key])[:80] if key in values else "nothing"

    differing = [key for key in sorted(has | now) if not _equal(has.get(key, absent), now.get(key, absent), absent)]
    if differing:
        shown = [f"{key}: run has {show(has, key)}, now {show(now, key)}" for key in differing[:5]]
        more = f"; and {len(differing) - 5} more" if len(differing) > 5 else ""
        raise RunError(
            f"run {str(folder.path)!r} has another configuration: {'; '.join(shown)}{more}; continue it as it is with "
            f"`launch.py resume {shlex.quote(str(folder.path))}`, or choose another folder with --out"
        )


def _equal(one: Any, other: Any, absent: object) -> bool:  # noqa: ANN401
    if one is absent or other is absent:
        return one is other
    return canonical(one) == canonical(other)


def _foreign(path: Path, what: str) -> str:
    return f"folder {str(path)!r} is not a run: it {what}; choose a new or empty folder with --out, or a run's folder"


def _holder(path: Path) -> str:
    try:
        facts = json.loads(read_file(path))
        return f"pid {facts['pid']} on {facts['host']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "pid unknown"
