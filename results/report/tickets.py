"""Tickets on the page: the figure's points, the table, and densities and firing rates layer by layer."""

from collections.abc import Mapping, Sequence
from typing import Any

from results.report import formats
from results.report.gather import Gathered


def points(run: Gathered) -> list[dict[str, Any]]:
    """What the figure draws: one entry a finalist with tickets, its dense level, its tickets, and rounds on the way."""
    drawn = []
    for one in run.finalists:
        if not one.tickets:
            continue
        drawn.append(
            {
                "number": one.number,
                "twins": [_point(twin) for twin, _ in _twins(one.tickets)],
                "tickets": [
                    _point(ticket) | {"name": ticket["name"], "series": _series(ticket)} for ticket in one.tickets
                ],
            }
        )
    return drawn


def _series(ticket: Mapping[str, Any]) -> str:
    """What a line of the figure joins: tickets that differ in sparsity alone."""
    options = ticket["options"]
    odd = [options["pattern"]] if options["pattern"] != "weights" else []
    odd += [options["budget"]] if options["budget"] != "global" else []
    odd += [f"{options['weight_bits']} bits"] if options["weight_bits"] is not None else []
    return " ".join([ticket["method"], *odd])


def _point(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("val_accuracy", "val_noise", "energy_nj", "with_memory_nj", "sops", "spikes")
    cost = row["cost"].get("find", {})
    own = {name: row.get(name) for name in names}
    return own | {"sparsity": row.get("sparsity", 0.0), "find": cost.get("sample_steps", 0)}


def sections(run: Gathered) -> list[dict[str, Any]]:
    """One a finalist with tickets: rows of the table, and its layers under every ticket."""
    return [
        {
            "number": one.number,
            "rows": [row for twin, mine in _twins(one.tickets) for row in (_dense(twin), *map(_row, mine))],
            "layers": layers(one.tickets),
            "tickets": [ticket["name"] for ticket in one.tickets],
            "tested": any(ticket.get("test_accuracy") is not None for ticket in one.tickets),
        }
        for one in run.finalists
        if one.tickets
    ]


def _twins(tickets: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], list[Mapping[str, Any]]]]:
    """Tickets by the dense twin that they stand beside: it is another where they were trained otherwise."""
    groups: dict[str, tuple[Mapping[str, Any], list[Mapping[str, Any]]]] = {}
    for ticket in tickets:
        keys = ("epochs", "start", "optimiser", "learning_rate", "weight_decay", "spike_penalty")
        key = str([ticket["options"].get(name) for name in keys])
        groups.setdefault(key, (ticket["dense"], []))[1].append(ticket)
    return list(groups.values())


def _dense(twin: Mapping[str, Any]) -> dict[str, Any]:
    cost = twin["cost"]
    return {"name": "dense twin", "dense": True, "sparsity": formats.percent(0.0), **_figures(twin, twin)} | {
        "find": "–",
        "train": _cost(cost),
        "bytes": formats.number(twin["bytes"]),
    }


def _row(ticket: Mapping[str, Any]) -> dict[str, Any]:
    stored = [size for name, size in ticket["bytes"].items() if name.startswith(("sparse-", "compact"))]
    return {
        "name": ticket["name"],
        "dense": False,
        "sparsity": f"{100 * ticket['sparsity']:.2f}{formats.THIN}%",
        **_figures(ticket, ticket["dense"]),
        "find": _cost(ticket["cost"]["find"]),
        "train": _cost(ticket["cost"]["train"]),
        "bytes": formats.number(min(stored)) if stored else "–",
    }


def _figures(row: Mapping[str, Any], twin: Mapping[str, Any]) -> dict[str, Any]:
    changed = row is not twin
    shown = {"test": formats.percent(row.get("test_accuracy")), "val": formats.percent(row["val_accuracy"])}
    shown["val_change"] = formats.change(twin["val_accuracy"], row["val_accuracy"], points=True) if changed else ""
    if row.get("val_noise") is not None and not changed:
        shown["val_change"] = f"±{100 * row['val_noise']:.1f}"
    for name in ("spikes", "sops", "energy_nj", "with_memory_nj"):
        shown[name] = formats.number(row[name])
        shown[f"{name}_change"] = formats.change(twin[name], row[name]) if changed else ""
    return shown


def _cost(cost: Mapping[str, Any]) -> str:
    return f"{formats.number(cost['sample_steps'])} ({formats.duration(cost['seconds'])})" if cost["epochs"] else "–"


def layers(tickets: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Layer by layer of all tickets: density of those that have a mask, firing rate of neurons, the twin's in front."""
    found: dict[str, dict[str, Any]] = {}
    twin = tickets[0]["dense"]
    for index, network in enumerate((twin, *tickets)):
        for layer in network["layers"]:
            row = found.setdefault(layer["name"], {"op": layer["op"], "cells": {}})
            share = network.get("density", {}).get(layer["name"]) if index else layer.get("density")
            row["cells"][index] = share if layer.get("rate") is None else layer["rate"]
            row["rate"] = layer.get("rate") is not None
    rows = []
    for name, row in found.items():
        cells = [row["cells"].get(index) for index in range(len(tickets) + 1)]
        if any(cell is not None for cell in cells):
            what = "firing rate" if row["rate"] else "weights kept"
            shown = [(formats.percent(cell), cell or 0.0) for cell in cells]
            rows.append({"name": name, "op": row["op"], "what": what, "rate": row["rate"], "cells": shown})
    return rows
