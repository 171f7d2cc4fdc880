"""Stateless layers that know of time, of widths that a candidate decides on, and of what their outputs are.

Feature maps are [T, B, C, H, W], or [B, C, H, W] before the first neuron, where direct encoding is constant in time and
runs once; layers flatten T and B, channels last. A map may have fewer channels than a layer was made for: the first
weights are used. Parameters are made uninitialised: ``initialise`` draws them from a generator. ``emits`` says of what
kind an output is, given the kinds of the inputs.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spaces.batch_norm import batch_norm
from spaces.blanks import Filled, Free, Number, largest
from spaces.candidate import Value
from spaces.current import Current, computed, unscaled
from spaces.errors import SpaceError
from spaces.kinds import REAL, Kind, added, averaged, joined
from spaces.native.conv import convolve, waits
from spaces.native.fire import Term
from spaces.native.pool import max_pool


def over_time(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Applies a layer of [N, C, H, W] to a map with or without time in front; of a current, to its values."""
    x = computed(x)
    if x.dim() == 4:
        return layer(x)
    return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class Synapses(Filled):
    """A layer of synapses whose number of outputs may be a blank.

    Attributes:
        weight: [outputs, inputs, ...], as many as there can be.
        outputs: in use now.
    """

    def __init__(self, outputs: Number, inputs: Number, *kernel: int) -> None:
        super().__init__()
        self.free = outputs if isinstance(outputs, Free) else None
        self.outputs = int(largest(outputs))
        self.weight = nn.Parameter(torch.empty(self.outputs, int(largest(inputs)), *kernel))

    def blanks(self) -> tuple[str, ...]:
        """The blank of its width, if it has one."""
        return (self.free.blank,) if self.free else ()

    def fill(self, candidate: Mapping[str, Value]) -> None:
        """Takes its width."""
        if self.free:
            self.outputs = int(self.free.of(candidate))

    def used(self, inputs: int) -> Tensor:
        """The weights in use for a number of inputs."""
        if inputs > self.weight.shape[1]:
            raise SpaceError(f"a layer made for {self.weight.shape[1]} inputs gets {inputs}")
        return self.weight[: self.outputs, :inputs]

    def emits(self, *kinds: Kind) -> Kind:
        """Currents are real."""
        return REAL


class Conv(Synapses):
    """Convolution with an odd kernel ``k`` and padding that keeps the size at stride 1, no bias.

    The kernel held may be larger than ``k`` (that of another option which shares it): the centre is used. Spikes are
    convolved event by event where ``compiled`` is true, which it is at first.
    """

    def __init__(self, c_in: Number, c_out: Number, k: int, *, stride: int = 1) -> None:
        super().__init__(c_out, c_in, k, k)
        self.k = k
        self.stride = stride
        self.compiled = True

    def kernel(self, inputs: int | None = None) -> Tensor:
        """The weights used, [c_out, c_in, k, k]."""
        weight = self.used(self.weight.shape[1] if inputs is None else inputs)
        edge = (weight.shape[-1] - self.k) // 2
        return weight[:, :, edge : edge + self.k, edge : edge + self.k] if edge else weight

    def forward(self, x: Tensor) -> Tensor:
        """Current of ``x`` [..., c_in, H, W] as [..., c_out, H / stride, W / stride], rounded up."""
        kernel, x = self.kernel(x.shape[-3]), computed(x)
        if self.compiled and self.stride == 1 and waits(x, kernel):
            return Current(Term(x, kernel=kernel))
        return over_time(lambda maps: convolve(maps, kernel, stride=self.stride, event_driven=self.compiled), x)

    def facts(self) -> dict[str, Any]:
        """See ``spaces.description``."""
        c_out, c_in = self.weight.shape[:2]
        size = {"kernel": self.k, "stride": self.stride, "padding": self.k // 2}
        return {"kind": "conv", "channels": [c_in, c_out], **size, "bias": False}

    def extra_repr(self) -> str:
        """Channels and kernel."""
        c_out, c_in = self.weight.shape[:2]
        return f"{c_in}, {c_out}, k={self.k}" + (f", stride={self.stride}" if self.stride > 1 else "")


class Linear(Synapses):
    """Fully connected layer on the last dimension, without bias unless asked for."""

    def __init__(self, f_in: Number, f_out: Number, *, bias: bool = False) -> None:
        super().__init__(f_out, f_in)
        self.bias = nn.Parameter(torch.zeros(self.outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Current of ``x`` [..., f_in] as [..., f_out]."""
        bias = None if self.bias is None else self.bias[: self.outputs]
        return F.linear(x, self.used(x.shape[-1]).contiguous(), bias)

    def facts(self) -> dict[str, Any]:
        """See ``spaces.description``."""
        return {"kind": "linear", "features": [*self.weight.shape[::-1]], "bias": self.bias is not None}

    def extra_repr(self) -> str:
        """Features."""
        f_out, f_in = self.weight.shape
        return f"{f_in}, {f_out}"


class Norm(nn.BatchNorm2d):
    """Batch normalisation over batch, time and space; of the first channels where a map has fewer.

    Others are made of it, see ``spaces/norms.py``.

    Attributes:
        normalise: what computes it, ``batch_norm`` or that with those who share a batch.
        compiled: whether that runs in C where it can.
    """

    def __init__(self, channels: Number) -> None:
        super().__init__(int(largest(channels)))
        self.normalise: Callable[..., Tensor] = batch_norm
        self.compiled = True

    def forward(self, x: Tensor) -> Tensor:
        """Normalised ``x`` [..., C, H, W], same shape."""
        x, c = unscaled(x), x.shape[-3]
        state = (self.running_mean[:c], self.running_var[:c], self.weight[:c], self.bias[:c])
        return self.normalised(x, *state, momentum=self.counted())

    def normalised(self, x: Tensor, *state: Tensor, momentum: float) -> Tensor:
        """A map by running mean and variance, weight and bias [C]; in training by its own moments."""
        about = {"training": self.training, "eps": self.eps, "compiled": self.compiled}
        return self.normalise(x, *state, momentum=momentum, **about)

    def facts(self) -> dict[str, Any]:
        """See ``spaces.description``."""
        return {"kind": "batch-norm", "channels": self.num_features, "eps": self.eps}

    def counted(self) -> float:
        """Share of this batch in the running statistics, 1 / batches so far without a momentum; counts the batch."""
        if self.training:
            self.num_batches_tracked.add_(1)
        if self.momentum is not None or not self.training:
            return self.momentum or 0.0
        return 1.0 / float(self.num_batches_tracked)

    def emits(self, *kinds: Kind) -> Kind:
        """Currents are real."""
        return REAL


class MaxPool(nn.Module):
    """Max-pooling 2x2, stride 2: spikes stay spikes.

    Attributes:
        compiled: whether it runs in C where it can.
    """

    def __init__(self) -> None:
        super().__init__()
        self.compiled = True

    def forward(self, x: Tensor) -> Tensor:
        """[..., C, H, W] to [..., C, H // 2, W // 2]."""
        return over_time(lambda maps: max_pool(maps, compiled=self.compiled), x)

    def facts(self) -> dict[str, Any]:
        """See ``spaces.description``."""
        return {"kind": "max-pool", "kernel": 2, "stride": 2}

    def emits(self, *kinds: Kind) -> Kind:
        """What it gets."""
        return kinds[0]


class AvgPool(nn.Module):
    """Average pooling ``k`` x ``k``: with stride ``k``, or stride 1 and padding that keeps the size."""

    def __init__(self, k: int = 2, *, stride: int | None = None) -> None:
        super().__init__()
        self.k = k
        self.stride = k if stride is None else stride
        if self.stride != k and (self.stride != 1 or k % 2 == 0):
            raise SpaceError(f"average pooling {k}x{k} cannot have stride {stride}: give {k}, or 1 with an odd size")
        self.padding = k // 2 if self.stride == 1 else 0

    def forward(self, x: Tensor) -> Tensor:
        """[..., C, H, W] to [..., C, H // stride, W // stride]; padding counts as zeros."""
        return over_time(lambda maps: F.avg_pool2d(maps, self.k, self.stride, self.padding), x)

    def facts(self) -> dict[str, Any]:
        """See ``spaces.description``."""
        return {"kind": "avg-pool", "kernel": self.k, "stride": self.stride, "padding": self.padding}

    def emits(self, *kinds: Kind) -> Kind:
        """Spikes pooled stay events: one for every mean that a spike is in."""
        return averaged(kinds[0], self.k**2)


class Even(nn.Module):
    """Leaves out the last row or column of a map of odd size, as poolings 2x2 do."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., H, W] to [..., H - H % 2, W - W % 2]."""
        height, width = x.shape[-2:]
        if height % 2 == width % 2 == 0:
            return x
        cropped = x[..., : height - height % 2, : width - width % 2]
        return over_time(lambda maps: maps.contiguous(memory_format=torch.channels_last), cropped)

    def emits(self, *kinds: Kind) -> Kind:
        """What it gets."""
        return kinds[0]


class Add(nn.Module):
    """Sum of a map and others, a layer of its own so that its additions can be counted."""

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """Elementwise sum of equal shapes."""
        for other in others:
            if other.shape != x.shape:
                raise SpaceError(f"a shortcut of shape {_shape(other)} cannot be added to one of {_shape(x)}")
            x = x + other
        return x

    def emits(self, *kinds: Kind) -> Kind:
        """Sums of spikes are whole numbers of events."""
        return added(*kinds)


class Scale(nn.Module):
    """Product of a map with gates that broadcast against it; every product counts as a multiply-accumulate."""

    def forward(self, x: Tensor, *gates: Tensor) -> Tensor:
        """``x`` times each of the gates, in the type of ``x``."""
        for gate in gates:
            x = x * gate.to(x.dtype)
        return x

    def emits(self, *kinds: Kind) -> Kind:
        """Currents are real."""
        return REAL


class Mean(nn.Module):
    """Mean over dimensions that stay, with size 1; every value counts as an addition."""

    def __init__(self, *dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        """[..., C, H, W] to the same with size 1 in ``dims``, counted from the end."""
        return x.mean(self.dims, keepdim=True)

    def emits(self, *kinds: Kind) -> Kind:
        """Real."""
        return REAL


class Concat(nn.Module):
    """Channels of several maps side by side."""

    def forward(self, *maps: Tensor) -> Tensor:
        """[..., C_i, H, W] to [..., sum of C_i, H, W]."""
        if len({(*x.shape[:-3], *x.shape[-2:]) for x in maps}) > 1:
            raise SpaceError(f"maps of shapes {', '.join(map(_shape, maps))} cannot be joined")
        joint = torch.cat(maps, dim=-3)
        return over_time(lambda x: x.contiguous(memory_format=torch.channels_last), joint)

    def emits(self, *kinds: Kind) -> Kind:
        """Spikes stay spikes."""
        return joined(*kinds)


class Flatten(nn.Module):
    """[T, B, C, H, W] to [T, B, C * H * W] in the order C, H, W."""

    def forward(self, x: Tensor) -> Tensor:
        """Flattened features."""
        return x.flatten(2)

    def emits(self, *kinds: Kind) -> Kind:
        """What it gets."""
        return kinds[0]


class Vote(nn.Module):
    """Mean over groups of ``voters`` output neurons, one group a class: AvgPool1d(voters)."""

    def __init__(self, voters: int) -> None:
        super().__init__()
        self.voters = voters

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, classes * voters] to [T, B, classes]."""
        return x.unflatten(-1, (-1, self.voters)).mean(-1)

    def emits(self, *kinds: Kind) -> Kind:
        """A rate: nothing computes on it."""
        return REAL


def _shape(x: Tensor) -> str:
    return "x".join(map(str, x.shape[-3:]))
