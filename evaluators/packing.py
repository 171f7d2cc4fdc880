"""Spike trains kept small: eight spikes a byte, and everything that makes the tensor what it was to the bit."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spaces.native.bits import pack_bits, unpack_bits
from spaces.native.maps import readable

GATHER = 0x0102040810204080  # times eight bytes of 0 or 1: their bits meet, in order, in the highest byte
SPREAD = 0x0101010101010101  # times a byte: eight copies of it
PICK = 0x8040201008040201 - 2**64  # bit i of copy i, as a signed number


@dataclass(frozen=True, eq=False)
class Packed:
    """A tensor put away by ``pack``.

    Attributes:
        data: eight spikes a byte; or the tensor itself, where not all of it is 0 or 1.
        shape, stride, dtype: of the tensor.
        marks: Python attributes of the tensor that counting relies on.
    """

    data: Tensor
    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype
    marks: dict[str, object]
    binary: bool

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return self.data.nbytes + sum(mark.nbytes for mark in self.marks.values() if isinstance(mark, Tensor))


def pack(x: Tensor) -> Packed:
    """Puts a tensor away; spikes take 1 / 32 of their float32 size, anything else is kept as it is."""
    about = (x.shape, x.stride(), x.dtype, dict(vars(x)))
    if not _dense(x):
        return Packed(x, *about, binary=False)
    flat = x.as_strided((x.numel(),), (1,), x.storage_offset())
    if readable(x.dtype, x.device):
        found = pack_bits(flat)
        return Packed(x if found is None else found[0], *about, binary=found is not None)
    spikes = flat != 0
    if not bool((spikes == flat).all()):
        return Packed(x, *about, binary=False)
    padded = torch.nn.functional.pad(spikes.view(torch.uint8), (0, -len(flat) % 8))
    return Packed((padded.view(torch.int64) * GATHER >> 56).to(torch.uint8), *about, binary=True)


def unpack(packed: Packed) -> Tensor:
    """The tensor again: same values, strides, type and marks."""
    x = packed.data
    if packed.binary and readable(packed.dtype, x.device):
        x = unpack_bits(x, packed.shape.numel(), packed.dtype).as_strided(packed.shape, packed.stride)
    elif packed.binary:
        bits = (x.to(torch.int64) * SPREAD & PICK).view(torch.uint8) != 0
        x = bits[: packed.shape.numel()].to(packed.dtype).as_strided(packed.shape, packed.stride)
    for name, mark in packed.marks.items():
        setattr(x, name, mark)
    return x


def _dense(x: Tensor) -> bool:
    """Whether the tensor's elements lie side by side in memory, in whatever order."""
    extent = 1
    for stride, size in sorted(zip(x.stride(), x.shape, strict=True)):
        if size == 1:
            continue
        if stride != extent:
            return False
        extent *= size
    return x.numel() > 0
