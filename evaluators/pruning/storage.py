"""Sparse storage of tickets: of every masked tensor only what its mask keeps, in one safetensors file.

A tensor NAME of shape [outputs, ...] stands as ``NAME.values`` and, in COO, ``NAME.index`` (places in the flattened
tensor), or, in CSR, ``NAME.columns`` (places in a flattened output) and ``NAME.rows`` (where each output begins and the
last ends). Weights of few bits stand as whole numbers, several to a byte, lowest bits first, with ``NAME.scale``; one
bit says whether a weight is above zero. All else stands as it is. Shapes and layouts are in the metadata.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from evaluators.checkpoint import own_tensors, read_stored, save_tensors
from evaluators.pruning.masks import masks_of, owner, prunable
from evaluators.pruning.rules import levels

LAYOUTS = ("coo", "csr")
BESIDE = ("_mask", "_latent", "_width")  # what pruning puts beside a parameter


def plain_tensors(network: nn.Module) -> dict[str, Tensor]:
    """The tensors of a network as it is without pruning: weights with their zeros, none of what lies beside them."""
    parameters = dict(network.named_parameters())
    beside = {f"{name}{suffix}" for name in parameters for suffix in BESIDE}
    return {name: tensor for name, tensor in own_tensors(network).items() if name not in beside}


def save_sparse(path: Path, network: nn.Module, *, layout: str, bits: int | None, metadata: Mapping[str, str]) -> None:
    """Writes a ticket so that only the weights that are kept take room; ``read_sparse`` gives all of it back."""
    tensors, shapes = plain_tensors(network), {}
    masks, weights = masks_of(network), prunable(network)
    packed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name not in masks or name not in weights:
            packed[name] = tensor
            continue
        mask = masks[name].cpu()
        shapes[name] = list(tensor.shape)
        if bits is None:
            packed[f"{name}.values"] = tensor.cpu()[mask]
        else:
            part, field = owner(network, name)
            whole, scale = levels(getattr(part, f"{field}_latent").cpu(), bits, mask)
            packed[f"{name}.values"] = pack(whole[mask], bits)
            packed[f"{name}.scale"] = scale.flatten()
        rows = mask.flatten(1)
        if layout == "csr":
            packed[f"{name}.columns"] = _small(rows.nonzero()[:, 1], rows.shape[1])
            starts = torch.cat([torch.zeros(1, dtype=torch.long), rows.sum(1).cumsum(0)])
            packed[f"{name}.rows"] = _small(starts, rows.numel() + 1)
        else:
            packed[f"{name}.index"] = _small(rows.flatten().nonzero()[:, 0], rows.numel())
    about = {"layout": layout, "bits": str(bits or 32), "shapes": json.dumps(shapes)}
    save_tensors(path, packed, dict(metadata) | about)


def read_sparse(path: Path) -> dict[str, Tensor]:
    """All tensors of a file that ``save_sparse`` wrote, dense and with their zeros, to load into a network.

    Raises:
        RunError: the file is not there, or damaged.
    """
    stored, about = read_stored(path, "remove the ticket's folder and prune again to make it anew")
    bits = int(about["bits"])
    tensors: dict[str, Tensor] = {}
    for name, shape in json.loads(about["shapes"]).items():
        parts = {what: stored.pop(f"{name}.{what}", None) for what in ("values", "scale", "index", "columns", "rows")}
        width = torch.Size(shape[1:]).numel()
        if about["layout"] == "csr":
            starts = parts["rows"].long()
            index = torch.arange(shape[0]).repeat_interleave(starts.diff()) * width + parts["columns"].long()
        else:
            index = parts["index"].long()
        values = parts["values"]
        if bits < 32:
            values = unpack(values, bits, len(index)).to(torch.float32) * parts["scale"][index // width]
        flat = torch.zeros(shape[0] * width)
        flat[index] = values
        tensors[name] = flat.view(shape)
    return tensors | stored


def pack(whole: Tensor, bits: int) -> Tensor:
    """Whole numbers int8 [n] of so many bits as bytes; one bit stands for the sign."""
    if bits == 8:
        return whole
    many = 8 // bits
    field = (whole > 0).to(torch.uint8) if bits == 1 else (whole & (2**bits - 1)).to(torch.uint8)
    field = torch.cat([field, field.new_zeros(-len(field) % many)]).view(-1, many)
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8)
    return (field << shifts).sum(1, dtype=torch.uint8)


def unpack(packed: Tensor, bits: int, number: int) -> Tensor:
    """The whole numbers int8 [number] that ``pack`` made bytes of."""
    if bits == 8:
        return packed
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8)
    field = ((packed[:, None] >> shifts) & (2**bits - 1)).flatten()[:number].to(torch.int8)
    if bits == 1:
        return field * 2 - 1
    return torch.where(field >= 2 ** (bits - 1), field - 2**bits, field)


def _small(index: Tensor, below: int) -> Tensor:
    """Indices in the smallest type that holds all numbers below a bound."""
    kinds = (torch.uint8, torch.int16, torch.int32, torch.int64)
    return index.to(next(kind for kind in kinds if below - 1 <= torch.iinfo(kind).max))
