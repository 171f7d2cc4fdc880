"""Attention: gates on a block's currents, computed from these. Behind them a neuron fires, so spikes stay binary.

A gate is that of one sample, and of no later step, so readouts do not depend on the batch, and T may be any. Gates are
real: their convolutions and products are multiply-accumulates, their means additions, and counted as such. Sigmoids and
ReLUs are not counted.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from spaces.blanks import Number
from spaces.kinds import REAL, Kind
from spaces.layers import Conv, Mean, Scale


class Relu(nn.Module):
    """Rectifies a current."""

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return torch.relu(x)

    def emits(self, *kinds: Kind) -> Kind:
        """Real."""
        return REAL


class Gate(nn.Module):
    """Twice the sigmoid: a gate that knows nothing yet lets all through, so what comes behind it goes on spiking."""

    def forward(self, x: Tensor) -> Tensor:
        """Same shape, in 0..2."""
        return 2 * torch.sigmoid(x)

    def emits(self, *kinds: Kind) -> Kind:
        """Real."""
        return REAL


class SE(nn.Module):
    """Squeeze-and-excitation (Hu et al., CVPR 2018), step by step: ``x 2 sigmoid(W2 relu(W1 mean_HW x))``.

    Args:
        channels: of the current, which a candidate may decide on.
        hidden: width of the bottleneck; the same for every candidate.
    """

    def __init__(self, channels: Number, hidden: int) -> None:
        super().__init__()
        self.mean = Mean(-2, -1)
        self.squeeze, self.excite = Conv(channels, hidden, 1), Conv(hidden, channels, 1)
        self.relu, self.open = Relu(), Gate()
        self.scale = Scale()

    def gate(self, x: Tensor) -> Tensor:
        """The channels' gates [..., C, 1, 1], in 0..2."""
        return self.open(self.excite(self.relu(self.squeeze(self.mean(x)))))

    def forward(self, x: Tensor) -> Tensor:
        """Gated current ``x`` [..., C, H, W], same shape."""
        return self.scale(x, self.gate(x))


class History(Mean):
    """Mean of a current over the steps so far, this one included: what accumulates in time, at any T."""

    def __init__(self) -> None:
        super().__init__(0)

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, C, H, W], same shape; a map without time as it is."""
        if x.dim() == 4:
            return x
        steps = torch.arange(1, len(x) + 1, device=x.device, dtype=x.dtype)
        return x.cumsum(0) / steps.view(-1, 1, 1, 1, 1)


class SCTFA(nn.Module):
    """Attention over space and channels of what has accumulated in time, after SCTFA (Cai et al., TNNLS 2023).

    ``x_t g_c(h_t) g_s(h_t)``, h_t the mean of x_1 .. x_t; g_c is that of ``SE``, g_s a 3x3 convolution of the mean over
    channels. The paper lets the attention of a step gate the membrane that decays into the next; here history is the
    current's own mean and gates the current, so that neurons stay as they are.

    Args:
        channels, hidden: see ``SE``.
    """

    def __init__(self, channels: Number, hidden: int) -> None:
        super().__init__()
        self.history = History()
        self.channel = SE(channels, hidden)
        self.over_channels, self.place, self.open = Mean(-3), Conv(1, 1, 3), Gate()
        self.scale = Scale()

    def forward(self, x: Tensor) -> Tensor:
        """Gated current ``x`` [..., C, H, W], same shape."""
        past = self.history(x)
        return self.scale(x, self.channel.gate(past), self.open(self.place(self.over_channels(past))))


MakeAttention = Callable[[Number, int], nn.Module]

ATTENTION: Mapping[str, MakeAttention] = {"se": SE, "sctfa": SCTFA}  # (channels, hidden) -> module on currents
