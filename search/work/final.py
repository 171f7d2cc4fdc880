"""The test split, read once a ticket, where the user asks for it: what is chosen is chosen on the validation split."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from evaluators.building import build_alone
from evaluators.checkpoint import load_weights, read_stored
from evaluators.evaluation import evaluate
from evaluators.pruning.making import Making, dense
from evaluators.setting import Setting
from results.stored import read_ticket, read_twin
from spaces.candidate import BALANCED, Candidate
from spaces.checksums import write_json

FIGURE, BALANCED_FIGURE = "test_accuracy", f"test_{BALANCED}"
WAY_OUT = "remove the ticket's folder and prune again to make it anew"


def read_test(setting: Setting, making: Making, candidate: Candidate, homes: Sequence[Path]) -> None:
    """Writes the accuracy on the test split, of tickets and of their dense twin, into the metrics that lack it.

    Args:
        setting: the run's.
        making: how the tickets and their twin were made; the twin, if it is gone, is trained again.
        candidate: of which they are.
        homes: the tickets' folders.

    Raises:
        RunError: a ticket's weights are damaged or of another network, or its metrics cannot be written.
    """
    for home in homes:
        metrics = read_ticket(home)
        if metrics.get(FIGURE) is None:
            metrics |= _tested(setting, _stored(setting, candidate, home))
        if metrics["dense"].get(FIGURE) is None:
            metrics["dense"] |= _twin(setting, making, metrics["dense"])
        write_json(home / "metrics.json", metrics)


def _twin(setting: Setting, making: Making, known: dict[str, Any]) -> dict[str, float]:
    """The dense twin's figures, which are kept beside it for the next ticket."""
    path = making.twin / "dense.json"
    kept = read_twin(path) or dict(known)
    if kept.get(FIGURE) is None:
        kept |= _tested(setting, dense(making)[0])
        write_json(path, kept)
    return {name: kept[name] for name in (FIGURE, BALANCED_FIGURE) if name in kept}


def _stored(setting: Setting, candidate: Candidate, home: Path) -> nn.Module:
    network = build_alone(setting, candidate)
    weights, _ = read_stored(home / "weights.safetensors", WAY_OUT)
    load_weights(network, weights)
    return network


def _tested(setting: Setting, network: nn.Module) -> dict[str, float]:
    found = evaluate(network, setting.task, setting.task.test, device=setting.device)
    return {FIGURE: found.accuracy, BALANCED_FIGURE: found.balanced_accuracy}
