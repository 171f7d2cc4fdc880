"""Plan: how a training goes, and what it minimises."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to train.

    Attributes:
        epochs: passes over the training split.
        batch_size: samples a step.
        learning_rate: peak of the one-cycle schedule, for Adam.
        loss: ``ce`` (cross-entropy on the mean readout), ``tet`` (mean of all steps' cross-entropies: Deng et al.,
            temporal efficient training, ICLR 2022) or ``mse`` (against one-hot, as in AutoSNN).
        logit_scale: factor on the readout, which is in 0..1, before the cross-entropy.
        time_schedule: (T, share of the steps) in order; what the shares leave is trained at the network's own T
            (time-inheritance training, Deng et al.). Frames of recordings are summed up to T.
        precision: ``fp32``, or ``bf16``: autocast, with weights and membranes in float32.
        optimiser: ``adam`` under the one-cycle schedule, or ``sgd`` (momentum 0.9) under a cosine from the peak to 0.
        weight_decay: factor of the weights that is added to their gradients.
        class_weights: of the samples of each class in the loss, [classes]; empty: all count alike.
    """

    epochs: int
    batch_size: int = 32
    learning_rate: float = 4e-3
    loss: str = "ce"
    logit_scale: float = 1.0
    time_schedule: tuple[tuple[int, float], ...] = ()
    precision: str = "fp32"
    optimiser: str = "adam"
    weight_decay: float = 0.0
    class_weights: tuple[float, ...] = ()

    def timesteps(self, step: int, total: int, full: int) -> int:
        """T at ``step`` of ``total`` for a network of ``full`` time steps; never more than that."""
        end = 0.0
        for timesteps, share in self.time_schedule:
            end += share
            if step < round(end * total):
                return min(timesteps, full)
        return full

    def cost(self, full: int) -> float:
        """Share of the time steps that this plan runs, of those of training at ``full`` throughout."""
        shares = sum(share for _, share in self.time_schedule)
        return 1 - shares + sum(min(t, full) / full * share for t, share in self.time_schedule)


def loss_of(readout: Tensor, labels: Tensor, plan: Plan) -> Tensor:
    """Loss of a readout [T, B, classes] against labels [B]: the mean over samples, weighted by class if the plan is.

    It is divided by the samples, not by their weights, so that parts of a batch add up to the whole.
    """
    if plan.loss == "tet":
        rate, labels = readout.flatten(0, 1), labels.expand(len(readout), -1).flatten()
    else:
        rate = readout.mean(0)
    reduction = "none" if plan.class_weights else "mean"
    if plan.loss == "mse":
        loss = F.mse_loss(rate, F.one_hot(labels, rate.shape[1]).to(rate.dtype), reduction=reduction)
    else:
        loss = F.cross_entropy(rate * plan.logit_scale, labels, reduction=reduction)
    if not plan.class_weights:
        return loss
    each = loss.mean(1) if loss.dim() == 2 else loss
    return (each * torch.tensor(plan.class_weights, dtype=each.dtype, device=each.device)[labels]).mean()
