"""One-shot pruning: masks at a sparsity by magnitude, or by another score, of weights, of N in M, or of channels."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from evaluators.pruning.channels import channel_masks
from evaluators.pruning.masks import Masks, apportion, check_budget, emptied, prunable
from evaluators.pruning.pattern import CHANNELS, WEIGHTS, Pruning, check_sparsity
from spaces.errors import OptionError


def one_shot(
    network: nn.Module,
    sparsity: float,
    pruning: Pruning | None = None,
    *,
    within: Masks | None = None,
    scores: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Masks of the network's weights at a sparsity, exact to one weight (N:M and channels: to one of these).

    Args:
        network: its weights, as they are now, are judged by their magnitude.
        sparsity: share of the prunable weights that go.
        pruning: what may go; by default single weights, from the whole network.
        within: masks; what is gone there stays gone.
        scores: by name, what is kept where it is largest, instead of magnitudes.

    Raises:
        OptionError: the sparsity is out of range, empties a layer or cannot be had, or N:M does not divide a layer.
    """
    check_sparsity(sparsity)
    pruning = pruning or Pruning()
    if pruning.pattern == CHANNELS:
        return channel_masks(network, sparsity, pruning, within=within, scores=scores)
    weights = prunable(network, pruning.spare)
    values = {name: (scores or weights)[name].detach() for name in weights}
    if scores is None:
        values = {name: value.abs() for name, value in values.items()}
    alive = {
        name: within[name] if within else torch.ones_like(value, dtype=torch.bool) for name, value in values.items()
    }
    if pruning.pattern != WEIGHTS:
        return {name: _grouped(name, value, alive[name], sparsity, *pruning.group) for name, value in values.items()}
    sizes = [value.numel() for value in values.values()]
    kept = sum(sizes) - round(sparsity * sum(sizes))
    least = [math.ceil(pruning.floor * size) for size in sizes]
    most = [int(mask.sum()) for mask in alive.values()]
    check_budget(kept, least, most, sparsity)
    flat = [value.flatten().masked_fill(~alive[name].flatten(), -math.inf) for name, value in values.items()]
    if pruning.budget == "global":
        chosen = _largest_overall(flat, kept, least)
    else:
        shapes = [value.shape for value in values.values()]
        quotas = erk(shapes, kept) if pruning.budget == "erk" else [kept * size / sum(sizes) for size in sizes]
        chosen = [_largest(f, k) for f, k in zip(flat, apportion(quotas, kept, least, most), strict=True)]
    for name, mask in zip(values, chosen, strict=True):
        if not mask.any():
            raise emptied(name.rpartition(".")[0], f"{mask.numel():,} weights", sparsity)
    return {name: mask.view(values[name].shape) for name, mask in zip(values, chosen, strict=True)}


def erk(shapes: Sequence[Sequence[int]], kept: int) -> list[float]:
    """How many weights each layer keeps by the Erdos-Renyi-kernel rule (Evci et al., ICML 2020, section 3).

    A layer's density is in proportion to the sum over the product of its sizes; layers for which that is more than all
    of their weights are dense, and the others share out the rest.
    """
    sizes = [math.prod(shape) for shape in shapes]
    raw = [sum(shape) / size for shape, size in zip(shapes, sizes, strict=True)]
    dense: set[int] = set()
    while True:
        rest = [i for i in range(len(sizes)) if i not in dense]
        if not rest:
            return [float(size) for size in sizes]
        factor = (kept - sum(sizes[i] for i in dense)) / sum(raw[i] * sizes[i] for i in rest)
        over = {i for i in rest if factor * raw[i] > 1}
        if not over:
            return [sizes[i] if i in dense else factor * raw[i] * sizes[i] for i in range(len(sizes))]
        dense |= over


def _largest(values: Tensor, k: int) -> Tensor:
    """Mask of the k largest of a row; the first of equal ones."""
    mask = torch.zeros_like(values, dtype=torch.bool)
    mask[values.argsort(descending=True, stable=True)[:k]] = True
    return mask


def _largest_overall(rows: Sequence[Tensor], k: int, least: Sequence[int]) -> list[Tensor]:
    """Masks of the k largest of all rows together, of which each keeps at least as many as it must."""
    fixed = [_largest(row, low) for row, low in zip(rows, least, strict=True)]
    rest = torch.cat([row.masked_fill(mask, -math.inf) for row, mask in zip(rows, fixed, strict=True)])
    chosen = _largest(rest, k - sum(least)) | torch.cat(fixed)
    return list(chosen.split([len(row) for row in rows]))


def _grouped(name: str, value: Tensor, alive: Tensor, sparsity: float, n: int, m: int) -> Tensor:
    """Of M weights in a row along the inputs, taps last, the largest; N of them stay in the end, more on the way."""
    if value.shape[1] % m:
        layer = name.rpartition(".")[0]
        raise OptionError(
            f"--pattern {n}:{m} does not divide the {value.shape[1]} inputs of layer {layer}: leave it out with "
            f"--spare {layer}, or take another pattern"
        )
    keep = max(n, math.ceil(m * (1 - sparsity) - 1e-9))
    groups = value.masked_fill(~alive, -math.inf).movedim(1, -1).unflatten(-1, (-1, m))
    order = groups.argsort(dim=-1, descending=True, stable=True)[..., :keep]
    mask = torch.zeros_like(groups, dtype=torch.bool).scatter_(-1, order, True)
    return mask.flatten(-2).movedim(-1, 1).contiguous() & alive
