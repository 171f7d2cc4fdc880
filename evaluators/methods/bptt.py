"""Backpropagation through time with surrogate gradients (Neftci et al., 2019)."""

from torch import Tensor, nn

from evaluators.methods.method import Method, Progress
from evaluators.plan import loss_of
from evaluators.precision import autocast


def step(network: nn.Module, images: Tensor, labels: Tensor, progress: Progress) -> list[Tensor]:
    """Adds to the network's gradients those of a batch, the mean over candidates; gives the loss of each.

    Args:
        network: called as ``network(images, candidate)``.
        images: [B, C, H, W] or [B, T, C, H, W].
        labels: [B].
        progress: paths, plan, and the share of the whole batch that is here.
    """
    losses, plan, paths = [], progress.plan, progress.candidates
    for candidate in paths:
        with autocast(plan.precision, images.device.type):
            readout = network(images, candidate)
        loss = (loss_of(readout.float(), labels, plan) + progress.penalty()) * progress.share / len(paths)
        loss.backward()
        losses.append(loss.detach() * len(paths))
    return losses


BPTT = Method(name="bptt", step=step)
