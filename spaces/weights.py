"""Weights of networks: shared between options, drawn at first, inherited from a supernet, counted."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from spaces.layers import Conv, Linear, Norm


def share_kernels(options: Iterable[nn.Module]) -> None:
    """Entangles options: convolutions of the same place and channels hold one kernel, the largest.

    The smaller use its centre (Guo et al., single path one-shot; Stamoulis et al., single-path NAS); norms and neurons
    stay apart, since each option has its own statistics.
    """
    largest: dict[tuple[str, int, int], Conv] = {}
    convs = [(name, conv) for option in options for name, conv in option.named_modules() if isinstance(conv, Conv)]
    for name, conv in sorted(convs, key=lambda pair: -pair[1].k):
        conv.weight = largest.setdefault((name, *conv.weight.shape[:2]), conv).weight


@torch.no_grad()
def initialise(
    network: nn.Module,
    generator: torch.Generator,
    *,
    norm_scale: float = 1.0,
    head_gain: float = 1.0,
    identity: bool = False,
) -> None:
    """Draws all weights from ``generator`` in the order of ``modules``.

    Convolutions and linear layers are uniform in +-gain / sqrt(fan-in), PyTorch's own default for gain 1.

    Args:
        network: a network made of this module's layers.
        generator: source of randomness, on the CPU wherever the network is, so that a device changes nothing.
        norm_scale: initial scale of every normalisation. Above 1 more membranes reach the threshold at the start, which
            is the idea of tdBN (Zheng et al., AAAI 2021).
        head_gain: gain of linear layers, which no normalisation follows.
        identity: adds 1 to the tap of every convolution behind the stem that passes channel c % c_in on to channel c
            (as in DiracNets, Zagoruyko & Komodakis, 2017). With a norm scale of 2 every option of a slot then passes on
            the spikes that it gets, so all paths of a supernet speak the same language to what follows from the start.
    """
    done: set[int] = set()
    for module in network.modules():
        if isinstance(module, Norm):
            nn.init.constant_(module.weight, norm_scale)
            nn.init.zeros_(module.bias)
        elif isinstance(module, Conv | Linear) and id(module.weight) not in done:
            first = not done
            done.add(id(module.weight))
            gain = head_gain if isinstance(module, Linear) else 1.0
            bound = gain / math.sqrt(module.weight[0].numel())
            drawn = torch.empty_like(module.weight, device="cpu").uniform_(-bound, bound, generator=generator)
            module.weight.copy_(drawn)
            if identity and isinstance(module, Conv) and not first:
                _add_identity(module.weight)


def _add_identity(weight: Tensor) -> None:
    c_out, c_in, k, _ = weight.shape
    channels = torch.arange(c_out)
    weight[channels, channels % c_in, k // 2, k // 2] += 1


def inherit(network: nn.Module, supernet: nn.Module) -> None:
    """Copies a candidate's weights and statistics out of the supernet into its network.

    Of a larger tensor the first entries of each dimension are taken, and the centre of a convolution's kernel.
    """
    source = supernet.state_dict()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            tensor.copy_(crop(source[name], tensor.shape))


def crop(given: Tensor, shape: torch.Size) -> Tensor:
    """The part of a supernet's tensor that a candidate's of ``shape`` stands for."""
    for dim, size in enumerate(shape):
        if given.shape[dim] != size:
            kernel = len(shape) == 4 and dim >= 2
            given = given.narrow(dim, (given.shape[dim] - size) // 2 if kernel else 0, size)
    return given


def count_parameters(network: nn.Module) -> int:
    """Learnable scalars, each shared tensor once."""
    return sum(parameter.numel() for parameter in network.parameters())
