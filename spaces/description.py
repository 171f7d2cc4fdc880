"""The layers of a network as plain data: all that someone who builds it by hand needs besides its weights file."""

import re
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from torch import Tensor, nn

from spaces.network import Network
from spaces.spec import TaskSpec
from spaces.timing import Frame, Frames
from spaces.trace import Call, trace

STEP_BY_STEP = (Frame, Frames)  # cut time into steps and join them again; whoever runs step by step needs neither
STATE = ("training", "compiled", "limit", "values")  # attributes that say how a layer is run, not what it is
COUNTER = "num_batches_tracked"  # which inference does not need


def layers(network: Network, spec: TaskSpec) -> list[dict[str, Any]]:
    """Every layer that runs, once, in order: its name, kind and inputs, what it says of itself, its shape and tensors.

    ``inputs`` are names of layers, ``input``, or null for what is made between layers. Further inputs may stand under
    ``from_the_step_before``: what these layers gave one time step earlier, and nothing at the first. ``shape`` is that
    of its output, [C, H, W] or [F], for one sample and step. ``tensors`` are the layer's names for its tensors and
    those in the weights file; see docs/architecture.md.

    Args:
        network: a candidate's, with its weights; it stays as it is.
        spec: shape of the task.
    """
    names, modules = tensor_names(network), dict(network.named_modules())
    found: list[dict[str, Any]] = []
    calls = trace(deepcopy(network), spec)
    shapes = {call.name: list(call.shape) for call in calls}
    for name, (now, before) in _inputs(calls).items():
        tensors = {own: names[id(tensor)] for own, tensor in _tensors(modules[name]).items()}
        about = facts(modules[name])
        row = {"name": name, "kind": about.pop("kind"), "inputs": now}
        row |= {"from_the_step_before": before} if before else {}
        row |= about | {"shape": shapes[name]}
        found.append(row | ({"tensors": tensors} if tensors else {}))
    return found


Inputs = tuple[list[str | None], list[str | None]]


def _inputs(calls: Sequence[Call]) -> dict[str, Inputs]:
    """What each layer gets of the same time step and of the one before, layers in the order that they first run."""
    order = {name: place for place, name in enumerate(dict.fromkeys(call.name for call in calls))}
    times = Counter(call.name for call in calls)
    shown: dict[str | None, str | None] = {}
    last: dict[str, int] = {}
    found: dict[str, Inputs] = {}
    for place, call in enumerate(calls):
        if isinstance(call.module, STEP_BY_STEP):
            shown[call.name] = shown.get(call.sources[0], call.sources[0])
            continue
        got: Inputs = ([], [])
        for source, made in zip(call.sources, call.made, strict=True):
            later = order.get(source, -1) >= order[call.name]
            earlier = made < last.get(call.name, -1) and times[source] > 1
            got[later or earlier].append(shown.get(source, source))
        for known, new in zip(found.setdefault(call.name, ([], [])), got, strict=True):
            known += (Counter(new) - Counter(known)).elements()
        last[call.name] = place
    return found


def facts(module: nn.Module) -> dict[str, Any]:
    """What a layer says of itself; of one that has no ``facts`` its class, as its kind, and its plain attributes."""
    if hasattr(module, "facts"):
        return module.facts()
    kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", type(module).__name__).lower()
    return {"kind": kind} | {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in vars(module).items()
        if not name.startswith("_") and name not in STATE and _is_plain(value)
    }


def tensor_names(network: nn.Module) -> dict[int, str]:
    """Names in the weights file by the identity of tensors: of one that is shared, the first."""
    names: dict[int, str] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        names.setdefault(id(tensor), name)
    return names


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of a layer itself that are in the weights file."""
    own = module.state_dict(keep_vars=True)
    return {name: tensor for name, tensor in own.items() if name.rpartition(".")[2] != COUNTER}


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, bool | int | float | str)
