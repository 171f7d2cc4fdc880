"""Masks: which weights of a network stay; ``attach`` and ``hold`` keep them, ``one_shot.py`` chooses them.

Weights are those of convolutions and linear layers, all tensors of synapses, the stem's and the readout's too, as in
the lottery tickets of spiking networks (Kim et al., ECCV 2022). Norms, biases and parameters of neurons are never
pruned. A mask is a bool tensor of its weight's shape, by the parameter's name; it lies in the network as the buffer
``NAME_mask``, so that checkpoints and files hold it.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from spaces.errors import OptionError, SpaceError
from spaces.layers import Synapses

Masks = Mapping[str, Tensor]


def prunable(network: nn.Module, spare: Sequence[str] = ()) -> dict[str, nn.Parameter]:
    """The weights that may be pruned, by name: every tensor of synapses, each shared one once.

    Raises:
        OptionError: a name in ``spare`` is no part of the network.
        SpaceError: nothing is left that could be pruned.
    """
    parts = dict(network.named_modules())
    for name in spare:
        if name not in parts or not name:
            layers = [key for key, part in parts.items() if isinstance(part, Synapses)]
            raise OptionError(f"--spare {name!r} is no layer of this network; layers: {', '.join(layers)}")
    kept = {id(weight) for name in spare for weight in parts[name].parameters()}
    synapses = {id(part.weight) for part in parts.values() if isinstance(part, Synapses)}
    found = {n: p for n, p in network.named_parameters() if id(p) in synapses and id(p) not in kept and p.dim() > 1}
    if not found:
        raise SpaceError("this network holds no weights that may be pruned: spare fewer layers")
    return found


def check_budget(kept: int, least: Sequence[int], most: Sequence[int], sparsity: float) -> None:
    """Raises OptionError where floors, or what is left, do not fit a budget."""
    if sum(least) > kept:
        raise OptionError(
            f"--sparsity {sparsity:g} leaves {kept:,} and the floors of all layers ask for {sum(least):,}: lower "
            "--sparsity or --floor"
        )
    if sum(most) < kept:
        raise OptionError(f"--sparsity {sparsity:g} is less than the masks have that it shall narrow: raise it")


def emptied(layer: str, of: str, sparsity: float) -> OptionError:
    """What to say of a layer that keeps nothing."""
    return OptionError(
        f"--sparsity {sparsity:g} empties layer {layer} (none of its {of} stays): lower it, or give --floor, such as "
        "0.01, the least share of every layer that stays"
    )


def apportion(quotas: Sequence[float], total: int, least: Sequence[int], most: Sequence[int]) -> list[int]:
    """Whole numbers near the quotas, within their bounds, that sum up to ``total``: largest remainders first."""
    shares = [min(max(math.floor(q), low), high) for q, low, high in zip(quotas, least, most, strict=True)]
    while (missing := total - sum(shares)) != 0:
        step = 1 if missing > 0 else -1
        open_ = [i for i, s in enumerate(shares) if (s < most[i] if step > 0 else s > least[i])]
        order = sorted(open_, key=lambda i: step * (shares[i] - quotas[i]))
        for i in order[: abs(missing)]:
            shares[i] += step
    return shares


def attach(network: nn.Module, masks: Masks) -> None:
    """Puts masks into a network, in place of those it had, and sets what they leave out to zero."""
    for name, mask in masks.items():
        part, field = owner(network, name)
        part.register_buffer(f"{field}_mask", mask.detach().clone().to(getattr(part, field).device))
    hold(network)


def masks_of(network: nn.Module) -> dict[str, Tensor]:
    """The masks in a network, by the name of the parameter each is of."""
    found = {name: tensor for name, tensor in network.named_buffers() if name.endswith("_mask")}
    return {name.removesuffix("_mask"): mask for name, mask in found.items()}


@torch.no_grad()
def hold(network: nn.Module) -> None:
    """Sets every weight that a mask leaves out to zero, whatever an optimiser has made of it."""
    for name, mask in masks_of(network).items():
        part, field = owner(network, name)
        getattr(part, field).masked_fill_(~mask, 0.0)


def detach(network: nn.Module) -> None:
    """Takes the masks out of a network; what they left out is zero, and nothing keeps it so."""
    for name in masks_of(network):
        part, field = owner(network, name)
        delattr(part, f"{field}_mask")


def owner(network: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module that holds a parameter, and what it calls it."""
    path, _, field = name.rpartition(".")
    return network.get_submodule(path), field


def kept_of(network: nn.Module) -> dict[str, tuple[int, int]]:
    """How many weights stay and how many there are, by the name of each masked tensor of synapses."""
    masks = masks_of(network)
    weights = prunable(network) if masks else {}
    return {name: (int(mask.sum()), mask.numel()) for name, mask in masks.items() if name in weights}


def sparsity_of(network: nn.Module) -> float:
    """Share of the masked tensors' weights that the masks in a network leave out."""
    kept = kept_of(network).values()
    return 1 - sum(k for k, _ in kept) / sum(n for _, n in kept)


def distance(one: Masks, other: Masks) -> float:
    """Normalised Hamming distance: the share of weights that one mask keeps and the other does not."""
    return sum(int((one[name] ^ other[name]).sum()) for name in one) / sum(mask.numel() for mask in one.values())
