"""The trace of a network: which layers run, in what order, and what each one gets, taken by running it.

The network runs without numbers (on PyTorch's meta device) for two time steps, so that feedback shows. Layers are the
modules that say what they emit.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spaces.network import EVENTS, Network
from spaces.spec import TaskSpec
from spaces.timing import set_timesteps

INPUT = "input"


@dataclass(frozen=True)
class Call:
    """A call of a layer.

    Attributes:
        name, module: which layer.
        sources: of each input the layer that made it, ``INPUT`` for the network's own; None where it was made between
            layers, by code of a space's own.
        made: the place in the trace of the call that made it, for each input; -1 where no call did.
        shape: of its output for one sample and step.
        before: the layer that ran before this one.
    """

    name: str
    module: nn.Module
    sources: tuple[str | None, ...]
    made: tuple[int, ...]
    shape: tuple[int, ...]
    before: str


def trace(network: Network, spec: TaskSpec) -> list[Call]:
    """All calls of layers, in order; the network is on the meta device afterwards."""
    names = {module: name for name, module in network.named_modules()}
    calls: list[Call] = []

    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        before = calls[-1].name if calls else INPUT
        shape = tuple(output.shape[2:] if output.dim() in (3, 5) else output.shape[1:])
        places = tuple(getattr(x, "made_at", -1) for x in inputs)
        sources = tuple(_maker(x, first=not calls) for x in inputs)
        output.made_by, output.made_at = names[module], len(calls)
        calls.append(Call(names[module], module, sources, places, shape, before))

    handles = [module.register_forward_hook(hook) for module in network.modules() if hasattr(module, "emits")]
    compiled = [module for module in network.modules() if getattr(module, "compiled", False)]
    try:
        for module in compiled:
            module.compiled = False
        network.to("meta").eval()
        set_timesteps(network, 2)
        frame = (spec.channels, spec.height, spec.width)
        images = torch.empty(2, *([2] if spec.frames else []), *frame, device="meta")
        images.made_by = INPUT
        with torch.no_grad():
            network(images)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _maker(x: Tensor, *, first: bool) -> str | None:
    """The layer that made an input; frames of a recording are summed up in front of the first one."""
    return getattr(x, "made_by", INPUT if first or getattr(x, "kind", None) is EVENTS else None)
