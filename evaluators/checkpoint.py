"""Checkpoints of a training: weights, optimiser and curve in one safetensors file, replaced atomically.

The file lies in a folder, or where a URI that fsspec knows says (``s3://bucket/key``, ...). Its metadata hold checksums
of themselves and of the tensors, so a file that was damaged is never taken for a whole one; those of older versions
have none, and are read unchecked.
"""

import json
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from spaces.checksums import parse_object, read_regular, with_checksum
from spaces.credentials import hide, without_credentials
from spaces.errors import DamageError, DamageWarning, RunError
from spaces.files import reason, write_atomic

Place = Path | str  # a file or folder, or the URI of one
TENSORS = "tensors_crc32"  # in the metadata


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

    The metadata stand as one JSON text under ``about``, so that the same content gives the same bytes; checksums are
    added.

    Raises:
        RunError: the file cannot be written, e.g. on a full disk; an old file is left as it is.
    """
    plain = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    about = with_checksum(dict(sorted(metadata.items())) | {TENSORS: checksum_of(plain)})
    content = save(plain, metadata={"about": json.dumps(about)})
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


def checksum_of(tensors: Mapping[str, Tensor]) -> str:
    """CRC-32, in hex, of tensors on the CPU: names, types, shapes and content, whatever their order."""
    crc = 0
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        crc = zlib.crc32(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode("utf-8", "backslashreplace"), crc)
        crc = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy(), crc)
    return f"{crc:08x}"


def read_tensors(path: Place, *, match: str) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """Tensors and metadata of a file; None if there is none, its ``match`` is another, or, with a warning, damaged.

    Raises:
        RunError: a URI cannot be reached.
    """
    try:
        if isinstance(path, str):
            content = _with_remote(path, lambda system, there: system.cat_file(there) if system.exists(there) else None)
        else:
            content = read_regular(path)
        if content is None:
            return None
        tensors, metadata = _unpack(content)
        if "match" not in metadata:
            raise ValueError("it does not say what run it is of")
    except (OSError, ValueError) as error:
        _tell_damage(path, error)
        return None
    return (tensors, metadata) if metadata["match"] == match else None


def read_stored(path: Path, way_out: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file that a run stored; ``way_out`` says what to do where it cannot be read.

    Raises:
        DamageError: the file is not there, or damaged.
    """
    try:
        content = read_regular(path)
        if content is None:
            raise ValueError("it is not there")
        return _unpack(content)
    except (OSError, ValueError) as error:
        raise DamageError(f"file {str(path)!r} is damaged ({reason(error)})", way_out) from error


def _tell_damage(path: Place, error: Exception) -> None:
    fault = f"file {str(path)!r} is damaged ({reason(error)})"
    warnings.warn(f"{fault}; what it held is made anew", DamageWarning, stacklevel=3)


def _unpack(content: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file, checked; ValueError says what is wrong with it."""
    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        about = header.get("__metadata__", {}).get("about", "{}")
    except (SafetensorError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"it is no whole safetensors file: {error}") from error
    metadata = parse_object(about.encode())
    kept = metadata.pop(TENSORS, None)
    if kept is not None and kept != (found := checksum_of(tensors)):
        raise ValueError(f"the checksum of its tensors is {found}, and it says {kept}")
    return tensors, metadata


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
    optimiser: dict[int, dict[str, Tensor]] = {}
    weights: dict[str, Tensor] = {}
    try:
        curve = [
            {"epoch": int(entry["epoch"]), "loss": float(entry["loss"])} for entry in json.loads(metadata["curve"])
        ]
        for name, tensor in tensors.items():
            group, rest = name.split(".", 1)
            if group == "network":
                weights[rest] = tensor
            else:
                index, field = rest.split(".", 1)
                optimiser.setdefault(int(index), {})[field] = tensor
    except (ValueError, TypeError, LookupError) as error:  # of an older version, without a checksum
        _tell_damage(path, error)
        return None
    return Checkpoint(weights=weights, optimiser=optimiser, curve=curve)
