"""Tickets of a run as its folders tell them: sparse networks beside their dense twins, and the table of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from results.cells import csv_text
from results.folder import RunFolder
from results.stored import read_ticket
from spaces.files import write_atomic

COLUMNS = (
    "finalist",
    "ticket",
    "method",
    "sparsity",
    "val_accuracy",
    "test_accuracy",
    "spikes",
    "sops",
    "energy_nj",
    "with_memory_nj",
    "find_sample_steps",
    "find_seconds",
    "train_sample_steps",
    "train_seconds",
    "bytes",
    "dense_val_accuracy",
    "dense_test_accuracy",
    "dense_spikes",
    "dense_sops",
    "dense_energy_nj",
    "dense_with_memory_nj",
    "dense_bytes",
)


def ticket_name(options: Mapping[str, Any], sparsity: float | None) -> str:
    """Name of a ticket's folder: method and sparsity, and what is not as usual.

    >>> ticket_name({"method": "imp", "pattern": "2:4", "budget": "global", "weight_bits": 8}, 0.5)
    'imp-0.5-2of4-int8'
    """
    parts = [options["method"], f"{options['fading_rate'] if sparsity is None else sparsity:.12g}"]
    if options["pattern"] != "weights" and sparsity is not None:
        parts.append(options["pattern"].replace(":", "of"))
    if options["budget"] != "global":
        parts.append(options["budget"])
    if options["weight_bits"] is not None:
        parts.append(f"int{options['weight_bits']}")
    return "-".join(parts)


def read_tickets(folder: RunFolder, number: int) -> list[dict[str, Any]]:
    """Metrics of a finalist's tickets, by method and sparsity, each with its ``name``; those in the making left out.

    Raises:
        RunError: a file is damaged.
    """
    found = []
    for home in sorted((folder.finalist(number) / "tickets").glob("*/")):
        if (ticket := read_ticket(home)) is not None:
            found.append(ticket | {"name": home.name})
    return sorted(found, key=lambda one: (one["method"], one["sparsity"], one["name"]))


def write_ticket_table(folder: RunFolder) -> Path | None:
    """Writes ``tickets.csv``, a row a ticket with its dense twin's figures, if the run has tickets."""
    rows = [row_of(one) for number in folder.finalist_numbers() for one in read_tickets(folder, number)]
    if not rows:
        return None
    write_atomic(folder.tickets_csv, csv_text([COLUMNS, *([row[name] for name in COLUMNS] for row in rows)]))
    return folder.tickets_csv


def row_of(one: Mapping[str, Any]) -> dict[str, Any]:
    """One ticket's metrics as a row of the table; accuracy on the test split only where it was asked for."""
    own = ("method", "sparsity", "val_accuracy", "spikes", "sops", "energy_nj", "with_memory_nj")
    twin = ("val_accuracy", "spikes", "sops", "energy_nj", "with_memory_nj", "bytes")
    row = {"finalist": one["number"], "ticket": one["name"]} | {name: one[name] for name in own}
    for part in ("find", "train"):
        row |= {f"{part}_{name}": one["cost"][part][name] for name in ("sample_steps", "seconds")}
    stored = [size for name, size in one["bytes"].items() if name.startswith(("sparse-", "compact"))]
    tested = {"test_accuracy": one.get("test_accuracy"), "dense_test_accuracy": one["dense"].get("test_accuracy")}
    stored_bytes = {"bytes": min(stored, default=None)}
    return row | tested | stored_bytes | {f"dense_{name}": one["dense"][name] for name in twin}
