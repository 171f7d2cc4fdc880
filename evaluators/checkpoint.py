"""Checkpoints of a training: weights, optimiser and curve in one safetensors file, replaced atomically.

The file lies in a folder, or where a URI that fsspec knows says (``s3://bucket/key``, ...).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from spaces.credentials import hide, without_credentials
from spaces.errors import RunError
from spaces.files import reason, write_atomic

Place = Path | str  # a file or folder, or the URI of one


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """State of a training after its last whole epoch."""

    weights: Mapping[str, Tensor]
    optimiser: Mapping[int, Mapping[str, Tensor]]
    curve: Sequence[Mapping[str, Any]]

    def restore(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Puts the state back, in place; moments take the strides of their weights, which fused kernels rely on."""
        load_weights(network, self.weights)
        state = {index: dict(tensors) for index, tensors in self.optimiser.items()}
        weights = [weight for group in optimiser.param_groups for weight in group["params"]]
        for index, tensors in state.items():
            for name, tensor in tensors.items():
                if tensor.shape == weights[index].shape:
                    tensors[name] = torch.empty_like(weights[index]).copy_(tensor)
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def own_tensors(network: nn.Module) -> dict[str, Tensor]:
    """The network's tensors by name, each shared tensor under its first name only, contiguous."""
    seen: set[int] = set()
    tensors: dict[str, Tensor] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            tensors[name] = tensor.detach().contiguous()
    return tensors


def load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copies tensors written by ``own_tensors`` back; raises RunError unless names and shapes are the same."""
    wanted = own_tensors(network)
    if weights.keys() != wanted.keys() or any(weights[name].shape != wanted[name].shape for name in wanted):
        raise RunError("stored weights are of another network: start a new run with another --out")
    state = network.state_dict()
    with torch.no_grad():
        for name in wanted:
            state[name].copy_(weights[name])


def save_tensors(path: Place, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes a safetensors file so that ``path`` is always whole: the old one or the new one.

    The metadata stand as one JSON text under ``about``, so that the same content gives the same bytes.

    Raises:
        RunError: the file cannot be written, e.g. on a full disk; an old file is left as it is.
    """
    about = json.dumps(dict(metadata), sort_keys=True)
    content = save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, metadata={"about": about})
    if isinstance(path, str):
        _with_remote(path, lambda system, there: _put(system, there, content))
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"folder {str(path.parent)!r} cannot be made ({reason(error)}): make room for it, then resume"
        ) from error
    write_atomic(path, content)


def read_tensors(path: Place, *, match: str) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """Tensors and metadata of a file; None if there is none, or it is damaged, or its ``match`` is another.

    Raises:
        RunError: a URI cannot be reached.
    """
    try:
        if isinstance(path, str):
            content = _with_remote(path, lambda system, there: system.cat_file(there) if system.exists(there) else b"")
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            metadata = json.loads(header["__metadata__"]["about"])
            return (load(content), metadata) if metadata.get("match") == match else None
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get("about", "{}"))
            if metadata.get("match") != match:
                return None
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, KeyError):
        return None


def drop(path: Place) -> None:
    """Removes a file, if it is there."""
    if isinstance(path, str):
        _with_remote(path, lambda system, there: system.rm_file(there) if system.exists(there) else None)
    else:
        path.unlink(missing_ok=True)


def join(place: Place, name: str) -> Place:
    """A file of that name in a folder."""
    return f"{place}/{name}" if isinstance(place, str) else place / name


def _put(system: Any, path: str, content: bytes) -> None:  # noqa: ANN401
    system.makedirs(path.rpartition("/")[0], exist_ok=True)
    system.pipe(path, content)


def _with_remote(uri: str, act: Callable[[Any, str], Any]) -> Any:  # noqa: ANN401
    """What ``act(file system, path)`` gives for a URI; raises RunError where that cannot be reached."""
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(uri)
        return act(system, path)
    except Exception as error:  # each kind of storage has its own
        fault = hide(reason(error), [uri])
        raise RunError(
            f"storage {without_credentials(uri)!r} cannot be used ({fault}): make it usable, then resume"
        ) from None  # a traceback might show what is hidden


def write_checkpoint(
    path: Place, network: nn.Module, optimiser: torch.optim.Optimizer, *, curve: Sequence[Any], match: str
) -> None:
    """Keeps a training's state; ``match`` is what ``read_checkpoint`` will ask for."""
    tensors = {f"network.{name}": tensor for name, tensor in own_tensors(network).items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": tensor.contiguous() for name, tensor in state.items()}
    save_tensors(path, tensors, {"match": match, "curve": json.dumps([asdict(entry) for entry in curve])})


def read_checkpoint(path: Place, *, match: str) -> Checkpoint | None:
    """The state kept at ``path``; None if there is none, or it is damaged or of another training: train anew then."""
    kept = read_tensors(path, match=match)
    if kept is None or "curve" not in kept[1]:
        return None
    tensors, metadata = kept
    curve = json.loads(metadata["curve"])
    optimiser: dict[int, dict[str, Tensor]] = {}
    weights: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        group, rest = name.split(".", 1)
        if group == "network":
            weights[rest] = tensor
        else:
            index, field = rest.split(".", 1)
            optimiser.setdefault(int(index), {})[field] = tensor
    return Checkpoint(weights=weights, optimiser=optimiser, curve=curve)
