"""Trainings of one architecture under several seeds: their figures, with mean and spread, and their curves."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from results.folder import RunFolder
from results.stored import read_metrics
from spaces.candidate import BALANCED
from spaces.checksums import read_json, write_json

FILE = "trained.json"  # beside the runs of several seeds
FIGURES = (
    "test_accuracy",
    f"test_{BALANCED}",
    "val_accuracy",
    f"val_{BALANCED}",
    "spikes",
    "energy_nj",
    "sops",
    "macs",
    "parameters",
)


def sum_up(folders: Sequence[RunFolder]) -> dict[str, Any]:
    """Plain data on the finalists of runs: ``runs`` (name, seed, state, figures, curve) and ``figures``.

    A figure has ``mean``, ``spread``, the sample standard deviation, null of one, and ``values`` of the runs that have
    it. A run without a finalist, whose network stayed silent say, has none.
    """
    runs = [row for folder in folders for row in _rows(folder)]
    figures = {}
    for name in FIGURES:
        values = [row[name] for row in runs if row[name] is not None]
        if values:
            spread = stdev(values) if len(values) > 1 else math.nan
            figures[name] = {"mean": fmean(values), "spread": spread, "values": values}
    return {"runs": runs, "figures": figures}


def _rows(folder: RunFolder) -> list[dict[str, Any]]:
    """The run's one finalist."""
    seed = (folder.read_config().get("config") or {}).get("seed")
    head = {"run": folder.path.name, "seed": seed}
    stored = [metrics for number in folder.finalist_numbers() if (metrics := read_metrics(folder, number)) is not None]
    if not stored:
        return [head | {"state": "none"} | dict.fromkeys(FIGURES) | {"curve": []}]
    metrics = stored[0]
    found = {name: metrics.get(name) for name in FIGURES}
    return [head | {"state": metrics.get("state", "ok")} | found | {"curve": metrics.get("curve", [])}]


def write_trained(home: Path, folders: Sequence[RunFolder]) -> None:
    """Keeps what ``sum_up`` says in a folder of runs."""
    write_json(home / FILE, sum_up(folders))


def read_trained(home: Path) -> dict[str, Any] | None:
    """What ``write_trained`` wrote; None where it is not there. Raises DamageError where it is damaged."""
    return read_json(home / FILE, "trainings", "resume the trainings, which writes it anew")


def describe(summed: dict[str, Any]) -> str:
    """Mean and spread over seeds, in a line."""
    count = len(summed["runs"])
    shown = {"test_accuracy": ("test", ".4f"), "val_accuracy": ("val", ".4f"), "spikes": ("spikes", ",.0f")}
    shown["energy_nj"] = ("nJ", ",.1f")
    parts = []
    for name, (word, form) in shown.items():
        if name in summed["figures"]:
            one = summed["figures"][name]
            spread = "" if one["spread"] is None or math.isnan(one["spread"]) else f" ± {one['spread']:{form}}"
            parts.append(f"{word} {one['mean']:{form}}{spread}")
    return f"{count} seed{'s' * (count > 1)}: {'  '.join(parts) or 'no network was trained to the end'}"
