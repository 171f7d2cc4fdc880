"""Scores: what an evaluation amounts to, or the error of a candidate that could not be evaluated."""

import traceback
from collections.abc import Sequence
from typing import Any

from torch import nn

from evaluators.energy import energy_nj
from evaluators.evaluation import Evaluation
from evaluators.pruning.masks import kept_of
from evaluators.readings import measured
from evaluators.setting import Setting
from spaces.candidate import BALANCED, Candidate, Score
from spaces.errors import typed_line
from spaces.weights import count_parameters

SILENT = "silent: no spike at the readout for any sample"


def score_of(
    setting: Setting,
    candidate: Candidate,
    network: nn.Module,
    evaluation: Evaluation,
    *,
    fidelity: str,
    seconds: float,
) -> Score:
    """What an evaluation amounts to: ``failed`` where a readout is not finite, ``infeasible`` where it is silent."""
    if not evaluation.finite:
        return Score(state="failed", fidelity=fidelity, seconds=seconds, error="the readout is NaN or infinite")
    counts = evaluation.counts
    read = {} if evaluation.readings is None else measured([evaluation.readings], setting.readings)
    return Score(
        state="infeasible" if evaluation.silent else "ok",
        fidelity=fidelity,
        accuracy=evaluation.accuracy,
        spikes=counts.mean("spikes"),
        energy_nj=energy_nj(counts, setting.model),
        sops=counts.mean("sops"),
        macs=counts.mean("macs"),
        parameters=count_parameters(network) - sum(total - kept for kept, total in kept_of(network).values()),
        timesteps=setting.space.steps(candidate),
        columns={BALANCED: evaluation.balanced_accuracy} | read,
        seconds=seconds,
        error=SILENT if evaluation.silent else "",
    )


def by_class(names: Sequence[str], validation: Evaluation, test: Evaluation | None = None) -> dict[str, Any]:
    """Balanced accuracies and the accuracy of each class, plain data; of the test split, too, where it was read.

    Args:
        names: of the classes.
        validation, test: evaluations on these splits.
    """
    found = {"val": validation} | ({} if test is None else {"test": test})
    rows: list[dict[str, Any]] = [{"name": name} for name in names]
    for split, evaluation in found.items():
        for row, seen, recall in zip(rows, evaluation.seen, evaluation.by_class, strict=True):
            row |= {f"{split}_samples": seen, f"{split}_accuracy": recall}
    return {f"{split}_{BALANCED}": one.balanced_accuracy for split, one in found.items()} | {"classes": rows}


def failure(error: BaseException, *, fidelity: str, seconds: float) -> Score:
    """The outcome of a candidate that raised: one line of reason, and the traceback."""
    return Score(
        state="failed",
        fidelity=fidelity,
        seconds=seconds,
        error=typed_line(error, 500),
        traceback="".join(traceback.format_exception(error)),
    )
