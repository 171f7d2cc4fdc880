"""Fading neurons: channels that stay nearly silent go while a network trains, and its structure shrinks for real."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from evaluators.evaluation import calibration_batches
from evaluators.pruning.channels import faded, trace
from evaluators.pruning.making import Cost, Making, Ticket, cost_of, kept_masks, renew, trained
from evaluators.pruning.masks import Masks, attach, sparsity_of
from evaluators.pruning.one_shot import one_shot
from evaluators.pruning.pattern import CHANNELS, Pruning
from evaluators.pruning.rules import GRADUAL_END, Rule
from spaces.neurons.neuron import Neuron

PATIENCE, RATE_SAMPLES = 2, 256  # epochs that a channel must be nearly silent, and samples that this is measured on


def fading(making: Making, targets: Sequence[float] = ()) -> Iterator[Ticket]:
    """Channels whose neurons stay nearly silent go, while the network trains (after DynSNN's fading neurons).

    After every epoch firing rates are measured on training samples. A channel that is under ``fading_rate`` after two
    epochs in a row goes, with all that it is joined to by sums; every layer keeps one, or its floor. The last quarter
    of the epochs trains what is left. What sparsity comes of it, training decides.
    """
    pruning = replace(making.pruning, pattern=CHANNELS)
    epochs, under, removed, cost = making.plan.epochs, {}, {0: 0}, Cost()
    masks: Masks = one_shot(making.build(), 0.0, replace(pruning, floor=0.0))
    for epoch in range(1, epochs + 1):
        network = making.build()
        attach(network, masks)

        def find(epoch: int = epoch, now: Masks = masks, network: nn.Module = network, under: dict = under) -> tuple:
            def rule(network: nn.Module) -> Rule:
                return lambda step, total, optimiser: attach(network, now)

            _, spent = trained(making, "fading", network, rule=rule, until=epoch, title="fading")
            facts = {"seconds": spent.seconds / epoch, "under": {}, "removed": removed[epoch - 1]}
            if epoch > max(1, math.floor(GRADUAL_END * epochs)):
                return now, facts
            rates = channel_rates(making, network, pruning)
            low = {i: under.get(str(i), 0) + 1 for i, rate in rates.items() if rate < making.fading_rate}
            left, gone = faded(network, {i for i, times in low.items() if times >= PATIENCE}, pruning)
            return left, facts | {"under": {str(i): times for i, times in low.items()}, "removed": len(gone)}

        masks, facts = kept_masks(making, f"faded-{epoch}", find)
        under = facts["under"]
        removed[epoch] = facts["removed"]
        cost = cost + cost_of(making, network, 1, facts["seconds"])
    network = making.build()
    attach(network, masks)
    curve, _ = trained(making, "fading", network)
    yield Ticket(
        method="fading",
        sparsity=sparsity_of(network),
        network=network,
        curve=curve,
        find=cost,
        train=Cost(),
        notes={"fading_rate": making.fading_rate, "channels_gone": removed[epochs]},
        rounds=[{"epoch": epoch, "channels_gone": removed[epoch]} for epoch in range(1, epochs + 1)],
    )


@torch.no_grad()
def channel_rates(making: Making, network: nn.Module, pruning: Pruning) -> dict[int, float]:
    """Firing rate of every class of channels on training samples: of its neurons the busiest layer's."""
    found = trace(network, pruning.spec)
    sums: dict[str, Tensor] = {}

    def note(name: str) -> Callable:
        def hook(part: nn.Module, inputs: tuple[Tensor, ...], spikes: Tensor) -> None:
            rows = spikes.movedim(2, -1).flatten(0, -2) != 0
            fired = rows.sum(0).double()
            sums[name] = sums.get(name, 0) + torch.stack([fired, torch.full_like(fired, len(rows))])

        return hook

    renew(making, network)
    handles = [
        part.register_forward_hook(note(name)) for name, part in network.named_modules() if isinstance(part, Neuron)
    ]
    for images in calibration_batches(making.task, samples=RATE_SAMPLES, seed=making.seed, device=making.device):
        network(images)
    for handle in handles:
        handle.remove()
    rates: dict[int, float] = {}
    for name, (spikes, chances) in sums.items():
        for i, rate in zip(found.passed[name].tolist(), (spikes / chances).tolist(), strict=True):
            rates[i] = max(rates.get(i, 0.0), rate)
    return {i: rate for i, rate in rates.items() if i not in found.fixed}
