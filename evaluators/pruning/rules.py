"""Rules of sparse training: what happens to masks and weights after every step of the optimiser.

A rule is called as ``rule(step, total, optimiser)``, see ``fit``; at its end every weight that its mask leaves out is
exactly zero. Where weights are not what the optimiser moves (those of few bits, and the sizes of spines), what it moves
lies beside them as the buffer ``NAME_latent``: a step on the weight is taken on the latent value, which is
straight-through training (Bengio et al., 2013), and the weight is made of it anew.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from evaluators.pruning.masks import Masks, attach, hold, masks_of, owner, prunable
from evaluators.pruning.one_shot import one_shot
from evaluators.pruning.pattern import Pruning, check_sparsity
from spaces.neurons.neuron import Neuron

Rule = Callable[[int, int, torch.optim.Optimizer], None]
GRADUAL_END, UPDATES = 0.75, 40  # share of the steps in which masks change, and how often at most
REGROWN = 0.3  # share of a layer's weights that is exchanged at first


def holding(network: nn.Module, bits: int | None = None) -> Rule:
    """Masks stay as they are."""

    def rule(step: int, total: int, optimiser: torch.optim.Optimizer) -> None:
        absorb(network, bits)
        commit(network, bits)

    return rule


def gradual(network: nn.Module, sparsity: float, pruning: Pruning, bits: int | None = None) -> Rule:
    """Gradual magnitude pruning (Zhu & Gupta, 2017): at step t a sparsity of s_f - s_f (1 - t / t_n) ** 3.

    It begins with the training, and t_n is three quarters of it; the rest trains what is left.
    """

    def rule(step: int, total: int, optimiser: torch.optim.Optimizer) -> None:
        absorb(network, bits)
        if is_update(step, total):
            now = sparsity * (1 - (1 - min(1.0, step / update_end(total))) ** 3)
            attach(network, one_shot(network, now, pruning, within=masks_of(network), scores=magnitudes(network, bits)))
        commit(network, bits)

    return rule


def begin_gradual(network: nn.Module, sparsity: float, pruning: Pruning, bits: int | None = None) -> Rule:
    """Puts full masks into a network, and weights of few bits where these are asked for; the rule prunes gradually."""
    attach(network, one_shot(network, 0.0, replace(pruning, floor=0.0)))
    begin_bits(network, bits)
    return gradual(network, check_sparsity(sparsity), pruning, bits)


def regrowing(network: nn.Module, bits: int | None = None) -> Rule:
    """Dynamic sparse training as RigL (Evci et al., ICML 2020): small weights go, those of large gradients come.

    In every layer a share of 0.3 / 2 (1 + cos(pi t / t_n)) of its weights is exchanged at a time, so each keeps its
    number. What comes begins at zero, and without moments. The gradient is that of the step before, which is taken,
    too; RigL leaves that one out.
    """

    def rule(step: int, total: int, optimiser: torch.optim.Optimizer) -> None:
        absorb(network, bits)
        if is_update(step, total) and step < update_end(total):
            share = REGROWN / 2 * (1 + math.cos(math.pi * step / update_end(total)))
            weights, values = prunable(network), magnitudes(network, bits)
            for name, mask in masks_of(network).items():
                exchanged = _exchanged(values[name], weights[name].grad, mask, share)
                mask.copy_(exchanged)
                _forget(optimiser, weights[name], ~exchanged)
        commit(network, bits)

    return rule


def _exchanged(value: Tensor, gradient: Tensor, mask: Tensor, share: float) -> Tensor:
    """The mask after its smallest weights have gone and as many others, of the largest gradients, have come."""
    many = min(int(share * int(mask.sum())), int((~mask).sum()))
    flat = mask.flatten()
    going = value.flatten().masked_fill(~flat, math.inf).argsort(stable=True)[:many]
    coming = gradient.abs().flatten().masked_fill(flat, -1.0).argsort(descending=True, stable=True)[:many]
    changed = flat.clone()
    changed[going], changed[coming] = False, True
    return changed.view(mask.shape)


def _forget(optimiser: torch.optim.Optimizer, weight: Tensor, where: Tensor) -> None:
    """Takes moments away, so that what comes back begins anew."""
    for moment in optimiser.state.get(weight, {}).values():
        if moment.shape == weight.shape:
            moment.masked_fill_(where, 0.0)


def spines(network: nn.Module, sparsity: float, pruning: Pruning) -> Rule:
    """State transition of dendritic spines (STDS: Chen et al., ICML 2022).

    A weight is made of its spine's size theta: w = sign(theta) max(|theta| - d, 0), and the size gets the weight's
    gradient, so what is too small to be a synapse (a filopodium) goes on moving and may become one. The distance d
    grows; here it is, after every step, the size at which the network's sparsity is s_f sin(pi t / 2 t_n), by layers
    where the budget is: the paper's sine schedule in terms of sparsity, so that what is asked for is reached to one
    weight. The masks are fixed after three quarters of the training, and d with them.
    """

    def rule(step: int, total: int, optimiser: torch.optim.Optimizer) -> None:
        with torch.no_grad():
            for _, weight, latent, part, field in _latents(network):
                latent.add_(weight - _spine(latent, part, field))
            sizes = {name: latent.abs() for name, _, latent, _, _ in _latents(network)}
        now = sparsity * math.sin(math.pi / 2 * min(1.0, step / update_end(total)))
        if step <= update_end(total):
            masks = one_shot(network, now, pruning, scores=sizes)
            attach(network, masks)
            widths = {name: sizes[name].masked_fill(mask, 0.0).max() for name, mask in masks.items()}
            if pruning.budget == "global":
                widths = dict.fromkeys(widths, max(widths.values()))
            for name, _, _, part, field in _latents(network):
                getattr(part, f"{field}_width").copy_(widths[name])
        with torch.no_grad():
            for _, weight, latent, part, field in _latents(network):
                weight.copy_(_spine(latent, part, field))

    return rule


def _spine(latent: Tensor, part: nn.Module, field: str) -> Tensor:
    """Weights of spines of these sizes, under the mask and the distance in their layer."""
    weight = latent.sign() * (latent.abs() - getattr(part, f"{field}_width")).clamp(min=0)
    return weight.masked_fill(~getattr(part, f"{field}_mask"), 0.0)


def begin_spines(network: nn.Module, spare: tuple[str, ...] = ()) -> None:
    """Puts sizes, distances of zero and full masks into a network."""
    attach(network, full(network, spare))
    for name, weight in prunable(network, spare).items():
        part, field = owner(network, name)
        part.register_buffer(f"{field}_latent", weight.detach().clone())
        part.register_buffer(f"{field}_width", torch.zeros(()))


def full(network: nn.Module, spare: tuple[str, ...] = ()) -> Masks:
    """Masks that leave out nothing."""
    return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable(network, spare).items()}


def update_end(total: int) -> int:
    """The step after which masks stay."""
    return max(1, round(GRADUAL_END * total))


def is_update(step: int, total: int) -> bool:
    """Whether masks change at a step: at most 40 times, the last time at the end of their time."""
    end = update_end(total)
    every = max(1, end // UPDATES)
    return step <= end and (step % every == 0 or step == end)


def begin_bits(network: nn.Module, bits: int | None) -> None:
    """Makes the weights of a network ones of few bits, where that is asked for; masks are in it already."""
    if bits is not None:
        for name, weight in prunable(network).items():
            part, field = owner(network, name)
            part.register_buffer(f"{field}_latent", weight.detach().clone())
        commit(network, bits)


def _latents(network: nn.Module) -> Iterator[tuple[str, nn.Parameter, Tensor, nn.Module, str]]:
    for name, weight in prunable(network).items():
        part, field = owner(network, name)
        if (latent := getattr(part, f"{field}_latent", None)) is not None:
            yield name, weight, latent, part, field


def magnitudes(network: nn.Module, bits: int | None) -> dict[str, Tensor]:
    """What masks are chosen by: of the latent values where there are some."""
    latents = {name: latent for name, _, latent, _, _ in _latents(network)} if bits else {}
    return {name: latents.get(name, weight).detach().abs() for name, weight in prunable(network).items()}


@torch.no_grad()
def absorb(network: nn.Module, bits: int | None) -> None:
    """Takes the step that the optimiser took on weights of few bits on the latent values."""
    if bits is not None:
        for _, weight, latent, part, field in _latents(network):
            latent.add_(weight - quantised(latent, bits, getattr(part, f"{field}_mask", None)))


@torch.no_grad()
def commit(network: nn.Module, bits: int | None) -> None:
    """Makes weights of latent values, if they have some, and sets to zero what masks leave out."""
    if bits is not None:
        for _, weight, latent, part, field in _latents(network):
            weight.copy_(quantised(latent, bits, getattr(part, f"{field}_mask", None)))
    hold(network)


def levels(value: Tensor, bits: int, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Whole numbers int8 of ``value``'s shape and the scale [outputs, 1, ...] whose product is the quantised value.

    With 8 and 4 bits the largest magnitude of an output's weights is 127 and 7 (symmetric); with 1 bit signs stand for
    the mean magnitude of an output's weights (Rastegari et al., XNOR-Net, ECCV 2016). A mask leaves weights out.
    """
    mask = torch.ones_like(value, dtype=torch.bool) if mask is None else mask
    rows = value.masked_fill(~mask, 0.0).flatten(1)
    shape = (-1, *[1] * (value.dim() - 1))
    if bits == 1:
        scale = (rows.abs().sum(1) / mask.flatten(1).sum(1).clamp(min=1)).view(shape)
        whole = torch.where(value >= 0, 1, -1)
    else:
        top = 2 ** (bits - 1) - 1
        scale = (rows.abs().amax(1) / top).view(shape)
        whole = (value / scale.clamp(min=1e-30)).round().clamp(-top, top)
    return whole.masked_fill(~mask, 0).to(torch.int8), scale


def quantised(value: Tensor, bits: int, mask: Tensor | None = None) -> Tensor:
    """The value with as many bits; zero where the mask leaves it out."""
    whole, scale = levels(value, bits, mask)
    return whole.to(value.dtype) * scale


@contextmanager
def spike_penalty(network: nn.Module, strength: float) -> Iterator[Callable[[], Tensor | float]]:
    """Within, gives ``strength`` times the mean firing rate of all neurons in the last forward pass (0..1 if binary).

    Added to the loss it is activity regularisation: fewer spikes, so less work behind them.
    """
    if not strength:
        yield lambda: 0.0
        return
    fired: list[tuple[Tensor, int]] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], spikes: Tensor) -> None:
        fired.append((spikes.float().abs().sum(), spikes.numel()))

    def penalty() -> Tensor:
        rate = sum(total for total, _ in fired) / sum(number for _, number in fired)
        fired.clear()
        return strength * rate

    handles = [module.register_forward_hook(note) for module in network.modules() if isinstance(module, Neuron)]
    try:
        yield penalty
    finally:
        for handle in handles:
            handle.remove()


def random_scores(network: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    """Uniform numbers in place of magnitudes: masks that know nothing, the baseline."""
    return {name: torch.rand(weight.shape, generator=generator) for name, weight in prunable(network).items()}


def layerwise(pruning: Pruning) -> Pruning:
    """The same with ERK's budget, where none is asked for but the global one, which needs magnitudes to share out."""
    return replace(pruning, budget="erk") if pruning.budget == "global" else pruning
