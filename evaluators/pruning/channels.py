"""Channels: which belong together, masks of whole ones, and the smaller network that is left without them.

A network is run without numbers, and every output channel of a layer of synapses gets a number that travels with it
through norms, neurons and poolings; a sum joins the numbers of its terms. Channels with one number live and die
together (a dependency graph, as Fang et al., DepGraph, CVPR 2023). Without its weights, and with scale and shift of its
norm at zero, a channel's current is zero and its neurons stay silent, so taking it out changes no spike.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from evaluators.pruning.masks import Masks, apportion, check_budget, emptied, masks_of, prunable
from evaluators.pruning.pattern import Pruning
from spaces.errors import SpaceError
from spaces.layers import Add, AvgPool, Concat, Even, Flatten, MaxPool, Norm, Synapses, Vote
from spaces.neurons.neuron import Neuron
from spaces.spec import TaskSpec
from spaces.timing import Frame, Timed, set_timesteps

PASSING = (Norm, MaxPool, AvgPool, Even, Timed, Frame)
MULTIPLE = 8  # event-driven convolutions make outputs by eights


@dataclass
class Channels:
    """Numbers of the channels that a network's layers see and make, by the layers' names; one number a class.

    Attributes:
        inputs, outputs: of layers of synapses; of a linear layer one an input feature, in order.
        passed: of norms and neurons.
        fixed: numbers of channels that must stay: the image's and the readout's.
    """

    inputs: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    passed: dict[str, Tensor] = field(default_factory=dict)
    fixed: set[int] = field(default_factory=set)


def trace(network: nn.Module, spec: TaskSpec) -> Channels:
    """Follows channels through a network.

    Raises:
        SpaceError: a layer mixes channels in a way that is not known here.
    """
    meta = copy.deepcopy(network)
    for part in meta.modules():
        part._forward_hooks.clear()  # who watches the network learns nothing of its copy
        part._forward_pre_hooks.clear()
        if hasattr(part, "compiled"):
            part.compiled = False
    meta.to("meta").eval()
    set_timesteps(meta, 2)
    found, parent, names = Channels(), [], {part: name for name, part in meta.named_modules()}

    def fresh(number: int) -> Tensor:
        start = len(parent)
        parent.extend(range(start, start + number))
        return torch.arange(start, start + number)

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i] = parent[parent[i]]
        return i

    def numbers(x: Tensor, name: str) -> Tensor:
        if not hasattr(x, "channels"):
            if found.outputs:
                raise SpaceError(f"channels cannot be followed to layer {name}: prune single weights of this network")
            x.channels = fresh(x.shape[-3])
            found.fixed.update(x.channels.tolist())
        return x.channels

    def hook(part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        name = names[part]
        seen = [numbers(x, name) for x in inputs]
        if isinstance(part, Synapses):
            found.inputs[name] = seen[0]
            if name not in found.outputs:
                found.outputs[name] = fresh(part.outputs)
            output.channels = found.outputs[name]
        elif (isinstance(part, Neuron) and not part.step.spatial) or isinstance(part, Norm):
            output.channels = found.passed[name] = seen[0]
        elif isinstance(part, PASSING):
            output.channels = seen[0]
        elif isinstance(part, Add):
            for other in seen[1:]:
                for a, b in zip(seen[0].tolist(), other.tolist(), strict=True):
                    parent[root(a)] = root(b)
            output.channels = seen[0]
        elif isinstance(part, Concat):
            output.channels = torch.cat(seen)
        elif isinstance(part, Flatten):
            output.channels = seen[0].repeat_interleave(inputs[0].shape[-2] * inputs[0].shape[-1])
        elif isinstance(part, Vote):
            output.channels = seen[0]
            found.fixed.update(seen[0].tolist())
        else:
            kind = part.kind if isinstance(part, Neuron) else type(part).__name__
            raise SpaceError(f"channels cannot be followed through layer {name} ({kind}): prune single weights instead")

    handles = [part.register_forward_hook(hook) for part in meta.modules() if hasattr(part, "emits")]
    try:
        frames = [2] if spec.frames else []
        with torch.no_grad():
            out = meta(torch.empty(2, *frames, spec.channels, spec.height, spec.width, device="meta"))
    finally:
        for handle in handles:
            handle.remove()
    found.fixed.update(getattr(out, "channels", torch.empty(0)).tolist())
    for table in (found.inputs, found.outputs, found.passed):
        for name, row in table.items():
            table[name] = torch.tensor([root(i) for i in row.tolist()])
    found.fixed = {root(i) for i in found.fixed}
    return found


def channel_masks(
    network: nn.Module,
    sparsity: float,
    pruning: Pruning,
    *,
    within: Masks | None = None,
    scores: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Masks of whole channels: weights of their synapses, and scale and shift of their norms.

    A class of channels is worth the mean magnitude of its weights over that of its layers (after Li et al., Pruning
    filters, ICLR 2017). Its sparsity is a share of classes, exact to one.

    Raises:
        OptionError: a layer is emptied.
        SpaceError: channels cannot be followed.
    """
    found = trace(network, _spec(pruning))
    weights = prunable(network, pruning.spare)
    mine = {name: row for name, row in found.outputs.items() if f"{name}.weight" in weights}
    kept_layers = set(found.outputs) - set(mine)
    spared = found.fixed | {i for name in kept_layers for i in found.outputs[name].tolist()}
    worth: dict[int, list[float]] = {}
    for name, row in mine.items():
        values = (scores or weights)[f"{name}.weight"].detach().abs().flatten(1).mean(1)
        for i, value in zip(row.tolist(), (values / values.mean().clamp(min=1e-30)).tolist(), strict=True):
            worth.setdefault(i, []).append(value)
    value_of = {i: sum(values) / len(values) for i, values in worth.items() if i not in spared}
    if not value_of:
        raise SpaceError("this network has no channels that may be pruned: prune single weights")
    gone = _dead(network, found, within) if within else set()
    chosen = _choose(found, mine, value_of, gone, sparsity, pruning)
    for name, row in mine.items():
        if not any(i in chosen or i in spared for i in row.tolist()):
            raise emptied(name, f"{len(row)} channels", sparsity)
    return _masks(network, found, set(value_of) - chosen, weights)


def _spec(pruning: Pruning) -> TaskSpec:
    if pruning.spec is None:
        raise SpaceError("pruning channels needs the shape of the task: give Pruning(spec=...)")
    return pruning.spec


def _choose(
    found: Channels,
    mine: Mapping[str, Tensor],
    value_of: Mapping[int, float],
    gone: set[int],
    sparsity: float,
    pruning: Pruning,
) -> set[int]:
    """The classes that stay."""
    kept = len(value_of) - round(sparsity * len(value_of))
    groups: dict[int, list[int]] = {}  # by the first layer that makes them; classes of a residual stream are one group
    home: dict[int, int] = {}
    for number, row in enumerate(mine.values()):
        for i in row.tolist():
            if i in value_of:
                groups.setdefault(home.setdefault(i, number), []).append(i)
    groups = {number: sorted(set(group)) for number, group in groups.items()}
    least = [math.ceil(pruning.floor * len(group)) for group in groups.values()]
    alive = [[i for i in group if i not in gone] for group in groups.values()]
    check_budget(kept, least, [len(group) for group in alive], sparsity)
    ranked = [sorted(group, key=lambda i: (-value_of[i], i)) for group in alive]
    if pruning.budget == "layer":
        quotas = [kept * len(group) / len(value_of) for group in groups.values()]
        shares = apportion(quotas, kept, least, [len(group) for group in alive])
        return {i for group, share in zip(ranked, shares, strict=True) for i in group[:share]}
    fixed = {i for group, share in zip(ranked, least, strict=True) for i in group[:share]}
    rest = sorted((i for group in ranked for i in group if i not in fixed), key=lambda i: (-value_of[i], i))
    return fixed | set(rest[: kept - len(fixed)])


def faded(network: nn.Module, fading: set[int], pruning: Pruning) -> tuple[dict[str, Tensor], set[int]]:
    """Masks of a network without these classes either, and all that are gone: each layer keeps one, or its floor."""
    found, weights = trace(network, _spec(pruning)), prunable(network, pruning.spare)
    gone = _dead(network, found, masks_of(network))
    spared = found.fixed | {
        i for name, row in found.outputs.items() if f"{name}.weight" not in weights for i in row.tolist()
    }
    for i in sorted(fading - gone - spared):
        layers = [row.tolist() for row in found.outputs.values() if i in row.tolist()]
        if all(sum(j not in gone for j in row) - 1 >= max(1, math.ceil(pruning.floor * len(row))) for row in layers):
            gone.add(i)
    return _masks(network, found, gone, weights), gone


def _masks(network: nn.Module, found: Channels, gone: set[int], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    masks: dict[str, Tensor] = {}
    parts = dict(network.named_modules())
    for name, row in found.outputs.items():
        if f"{name}.weight" in weights:
            stays = torch.tensor([i not in gone for i in row.tolist()])
            weight = weights[f"{name}.weight"]
            masks[f"{name}.weight"] = stays.view(-1, *[1] * (weight.dim() - 1)).expand(weight.shape).clone()
    for name, row in found.passed.items():
        if isinstance(parts[name], Norm):
            stays = torch.tensor([i not in gone for i in row.tolist()])
            for what in ("weight", "bias"):
                if isinstance(parameter := getattr(parts[name], what), nn.Parameter):
                    masks[f"{name}.{what}"] = stays.expand(parameter.shape).clone()
    return masks


def _dead(network: nn.Module, found: Channels, masks: Masks) -> set[int]:
    """Classes of which masks leave nothing: no weight that makes them, and no norm that could shift them."""
    alive, seen = set(found.fixed), set()
    for name, row in found.outputs.items():
        mask = masks.get(f"{name}.weight")
        stays = [True] * len(row) if mask is None else mask.flatten(1).any(1).tolist()
        alive.update(i for i, stay in zip(row.tolist(), stays, strict=True) if stay)
        seen.update(row.tolist())
    for name, part in network.named_modules():
        if isinstance(part, Norm) and name in found.passed:
            row, mask = found.passed[name], masks.get(f"{name}.weight")
            stays = [True] * len(row) if mask is None else mask.view(-1, len(row)).any(0).tolist()
            alive.update(i for i, stay in zip(row.tolist(), stays, strict=True) if stay)
    return seen - alive


def shrink(network: nn.Module, spec: TaskSpec, *, multiple: int = MULTIPLE) -> nn.Module:
    """A smaller network of the same spikes: the channels that its masks leave nothing of are taken out for real.

    Of a layer as many stay that their number is a multiple of ``multiple``, where it has that many. Masks of single
    weights are taken over. The network that is given stays as it is.

    Raises:
        SpaceError: channels cannot be followed, so none can be taken out.
    """
    found = trace(network, spec)
    dead = _dead(network, found, masks_of(network))
    for row in found.outputs.values():
        gone = sorted({i for i in row.tolist() if i in dead})
        alive = len(set(row.tolist())) - len(gone)
        wanted = min(alive + len(gone), max(1, -(-alive // multiple)) * multiple)
        dead -= set(gone[: wanted - alive])
    small = copy.deepcopy(network)
    for name, part in small.named_modules():
        if isinstance(part, Synapses) and name in found.outputs:
            rows, columns = (_staying(table[name], dead) for table in (found.outputs, found.inputs))
            for what in ("weight", "weight_mask", "weight_latent"):
                if isinstance(tensor := getattr(part, what, None), Tensor):
                    _replace(part, what, tensor[rows][:, columns])
            if isinstance(getattr(part, "bias", None), Tensor):
                _replace(part, "bias", part.bias[rows])
            part.outputs = len(rows)
        elif name in found.passed and isinstance(part, Norm | Neuron):
            stay = _staying(found.passed[name], dead)
            for what, tensor in (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)):
                if tensor.dim() and tensor.shape[-1] == len(found.passed[name]) > 1:
                    _replace(part, what, tensor[..., stay])
            if isinstance(part, Norm):
                part.num_features = len(stay)
    return small.to(memory_format=torch.channels_last)


def _staying(row: Tensor, dead: set[int]) -> Tensor:
    return torch.tensor([place for place, i in enumerate(row.tolist()) if i not in dead], dtype=torch.long)


def _replace(part: nn.Module, name: str, tensor: Tensor) -> None:
    tensor = tensor.detach().clone()
    if name in part._parameters:
        part._parameters[name] = nn.Parameter(tensor)
    else:
        part._buffers[name] = tensor
