"""Figures: what a network does on samples, with all of its counts, as plain data."""

from typing import Any

from torch import nn

from evaluators.counting import Counts
from evaluators.energy import EnergyModel, energy_nj, energy_statement, layer_energy_nj
from evaluators.evaluation import evaluate
from evaluators.scores import by_class
from evaluators.tasks.task import Split, Task
from spaces.candidate import BALANCED
from spaces.errors import TaskError
from spaces.weights import count_parameters


def figures(
    network: nn.Module, task: Task, split: Split, model: EnergyModel, *, labelled: bool = True, device: str = "cpu"
) -> dict[str, Any]:
    """What a network does on a split: its accuracies, and means a sample of spikes, operations and energy.

    Args:
        network: a candidate's, with its weights.
        task: says how samples are normalised, and names the classes.
        split: the samples.
        model: prices of operations.
        labelled: whether the labels say anything; without, there are no accuracies.
        device: where to run it; the network is moved there.

    Raises:
        TaskError: a readout is not finite.
    """
    found = evaluate(network.to(device), task, split, device=device)
    if not found.finite:
        raise TaskError(
            "the readout of the network is NaN or infinite for some sample: its weights or the samples are damaged"
        )
    counts = found.counts
    right: dict[str, Any] = {}
    if labelled:
        told = by_class(task.class_names, found)
        rows = [
            {"name": row["name"], "samples": row["val_samples"], "accuracy": row["val_accuracy"]}
            for row in told["classes"]
        ]
        right = {"accuracy": found.accuracy, BALANCED: found.balanced_accuracy, "classes": rows}
    statement = energy_statement(counts, model)
    return {
        "samples": counts.samples,
        **right,
        "silent": found.silent,
        "spikes": counts.mean("spikes"),
        "spikes_autosnn": counts.spikes_autosnn / counts.samples,
        "energy_nj": energy_nj(counts, model),
        "with_memory_nj": statement["with_memory_nj"],
        "sops": counts.mean("sops"),
        "sops_by_rate": counts.sops_by_rate / counts.samples,
        "macs": counts.mean("macs"),
        "parameters": count_parameters(network),
        "layers": layer_rows(counts, model),
        "energy": statement,
    }


def layer_rows(counts: Counts, model: EnergyModel) -> list[dict[str, object]]:
    """One plain row a layer that spikes or works, numbers a sample."""
    rows = []
    for layer in counts.layers:
        if not (layer.neurons or layer.sops or layer.macs or layer.weights):
            continue
        rows.append(
            {
                "name": layer.name,
                "op": layer.op,
                "shape": list(layer.shape),
                "neurons": layer.neurons,
                "spikes": layer.spikes / counts.samples if layer.neurons else None,
                "rate": layer.spikes / layer.updates if layer.neurons else None,
                "sops": layer.sops / counts.samples,
                "macs": layer.macs / counts.samples,
                "energy_nj": layer_energy_nj(layer, counts.samples, model),
            }
        )
    return rows
