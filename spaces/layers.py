"""Stateless layers that know of time, and the two ways a supernet holds options: apart, or sharing their kernels.

Feature maps are [T, B, C, H, W], or [B, C, H, W] before the first neuron, where direct encoding is constant in time and
runs once; layers flatten T and B, channels last. Parameters are made uninitialised: ``initialise`` draws them from a
generator.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spaces.candidate import Value
from spaces.events.conv import convolve


def over_time(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Applies a layer of [N, C, H, W] to a map with or without time in front."""
    if x.dim() == 4:
        return layer(x)
    return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class Conv(nn.Module):
    """Convolution with an odd kernel ``k``, padding that keeps the size, stride 1, no bias.

    The kernel held may be larger than ``k`` (that of another option which shares it): the centre is used. Spikes are
    convolved event by event where ``event_driven`` is true, which it is at first.
    """

    def __init__(self, c_in: int, c_out: int, k: int) -> None:
        super().__init__()
        self.k = k
        self.event_driven = True
        self.weight = nn.Parameter(torch.empty(c_out, c_in, k, k))

    def kernel(self) -> Tensor:
        """The weights used, [c_out, c_in, k, k]."""
        edge = (self.weight.shape[-1] - self.k) // 2
        return self.weight[:, :, edge : edge + self.k, edge : edge + self.k] if edge else self.weight

    def forward(self, x: Tensor) -> Tensor:
        """Current of ``x`` [..., c_in, H, W] as [..., c_out, H, W]."""
        kernel = self.kernel()
        return over_time(lambda maps: convolve(maps, kernel, event_driven=self.event_driven), x)

    def extra_repr(self) -> str:
        """Channels and kernel."""
        c_out, c_in = self.weight.shape[:2]
        return f"{c_in}, {c_out}, k={self.k}"


class Linear(nn.Module):
    """Fully connected layer without bias on the last dimension."""

    def __init__(self, f_in: int, f_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(f_out, f_in))

    def forward(self, x: Tensor) -> Tensor:
        """Current of ``x`` [..., f_in] as [..., f_out]."""
        return F.linear(x, self.weight)

    def extra_repr(self) -> str:
        """Features."""
        f_out, f_in = self.weight.shape
        return f"{f_in}, {f_out}"


class Norm(nn.BatchNorm2d):
    """Batch normalisation over batch, time and space."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalised ``x``, same shape."""
        return over_time(super().forward, x)


class MaxPool(nn.Module):
    """Max-pooling 2x2, stride 2: spikes stay spikes."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., C, H, W] to [..., C, H // 2, W // 2]."""
        return over_time(lambda maps: F.max_pool2d(maps, 2), x)


class Repeat(nn.Module):
    """Direct encoding: the same current at each of T steps."""

    def __init__(self, timesteps: int) -> None:
        super().__init__()
        self.timesteps = timesteps

    def forward(self, x: Tensor) -> Tensor:
        """[B, ...] to [T, B, ...]."""
        return torch.stack([x] * self.timesteps)


def set_timesteps(network: nn.Module, timesteps: int) -> None:
    """Makes a network with direct encoding run at another T; its weights do not depend on T."""
    for module in network.modules():
        if isinstance(module, Repeat):
            module.timesteps = timesteps


class Add(nn.Module):
    """Sum of a current and a shortcut, a layer of its own so that its additions can be counted."""

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        """Elementwise sum of equal shapes."""
        return x + shortcut


class Flatten(nn.Module):
    """[T, B, C, H, W] to [T, B, C * H * W] in the order C, H, W."""

    def forward(self, x: Tensor) -> Tensor:
        """Flattened features."""
        return x.flatten(2)


class Vote(nn.Module):
    """Mean over groups of ``voters`` output neurons, one group a class: AvgPool1d(voters)."""

    def __init__(self, voters: int) -> None:
        super().__init__()
        self.voters = voters

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, classes * voters] to [T, B, classes]."""
        return x.unflatten(-1, (-1, self.voters)).mean(-1)


class Choice(nn.Module):
    """A categorical blank in a network: holds its options and runs the one that a candidate names.

    Built for one candidate it holds that option alone and needs no candidate to run.
    """

    def __init__(self, blank: str, options: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.blank = blank
        self.options = nn.ModuleDict(options)
        self.only = next(iter(options)) if len(options) == 1 else None

    def forward(self, x: Tensor, candidate: Mapping[str, Value] | None = None) -> Tensor:
        """Runs the chosen option."""
        return self.options[self.only or str(candidate[self.blank])](x)


class Chain(nn.Module):
    """A network whose links run one after the other: each sees the one before, and its own blank."""

    def links(self) -> Sequence[nn.Module]:
        """The links in order; those that a candidate decides on are ``Choice``."""
        raise NotImplementedError

    def forward(self, images: Tensor, candidate: Mapping[str, Value] | None = None) -> Tensor:
        """Readout [T, B, classes] of images [B, C, H, W]."""
        x = images
        for link in self.links():
            x = link(x, candidate) if isinstance(link, Choice) else link(x)
        return x


def share_kernels(options: Iterable[nn.Module]) -> None:
    """Entangles options: convolutions of the same place and channels hold one kernel, the largest.

    The smaller use its centre (Guo et al., single path one-shot; Stamoulis et al., single-path NAS); norms and neurons
    stay apart, since each option has its own statistics.
    """
    largest: dict[tuple[str, int, int], Conv] = {}
    convs = [(name, conv) for option in options for name, conv in option.named_modules() if isinstance(conv, Conv)]
    for name, conv in sorted(convs, key=lambda pair: -pair[1].k):
        conv.weight = largest.setdefault((name, *conv.weight.shape[:2]), conv).weight


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
        generator: source of randomness, on the CPU.
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
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            if identity and isinstance(module, Conv) and not first:
                _add_identity(module.weight)


@torch.no_grad()
def _add_identity(weight: Tensor) -> None:
    c_out, c_in, k, _ = weight.shape
    channels = torch.arange(c_out)
    weight[channels, channels % c_in, k // 2, k // 2] += 1


def inherit(network: nn.Module, supernet: nn.Module) -> None:
    """Copies a candidate's weights and statistics out of the supernet into its network, kernels cropped."""
    source = supernet.state_dict()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            given = source[name]
            if given.shape != tensor.shape:
                edge = (given.shape[-1] - tensor.shape[-1]) // 2
                given = given[..., edge : edge + tensor.shape[-2], edge : edge + tensor.shape[-1]]
            tensor.copy_(given)


def count_parameters(network: nn.Module) -> int:
    """Learnable scalars, each shared tensor once."""
    return sum(parameter.numel() for parameter in network.parameters())
