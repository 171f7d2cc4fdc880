"""A trained finalist out of its run's folder: its network with its weights, ready to infer."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from evaluators.architecture import FORMAT
from evaluators.checkpoint import load_weights, read_stored
from evaluators.tasks.form import Form, form_from_json
from results.folder import RunFolder
from results.stored import read_drawing, read_metrics
from search.options.config import from_json
from search.setting import config_space, make_device
from spaces.candidate import Candidate
from spaces.errors import DamageError, RunError
from spaces.find import file_of, is_file, own_code
from spaces.network import Network
from spaces.space import Space
from spaces.weights import count_parameters


@dataclass(frozen=True, kw_only=True)
class Reloaded:
    """A finalist as it stands in a run's folder.

    Attributes:
        space, candidate: what it is.
        network: it, with its weights, in eval mode.
        form: of the samples that it was trained on.
        readout: how its readout becomes an answer.
        parameters: learnable scalars, without those that are pruned.
        device: where it is.
    """

    space: Space
    candidate: Candidate
    network: Network
    form: Form
    readout: Mapping[str, Any]
    parameters: int
    device: str


def stored_numbers(folder: RunFolder) -> list[int]:
    """Numbers of the finalists whose training has ended."""
    return [number for number in folder.finalist_numbers() if read_metrics(folder, number) is not None]


def reload(folder: RunFolder, number: int, *, device: str = "cpu") -> Reloaded:
    """The network of finalist ``number`` on a device, in eval mode.

    Raises:
        RunError: the run has no such finalist, one of its files is damaged or of another version, or a space's own
            file has changed since.
    """
    home = folder.finalist(number)
    plan, metrics = read_drawing(folder, number), read_metrics(folder, number)
    if plan is None or metrics is None:
        there = ", ".join(map(str, stored_numbers(folder))) or "none"
        raise RunError(f"run {str(folder.path)!r} has no trained finalist {number}: it has {there}")
    form, readout = _form(home, plan)
    stored = folder.read_config()
    config = from_json(stored.get("config"))
    _check_own(config.space.name, stored, folder)
    with own_code(config.space.name):
        space, _ = config_space(config)
        network = space.network(form.spec, candidate := Candidate(metrics["candidate"]))
    weights, _ = read_stored(home / "weights.safetensors", _anew(home))
    try:
        load_weights(network, weights)
    except RunError as error:
        fault = "it holds weights of another network than the space builds now"
        raise DamageError(f"file {str(home / 'weights.safetensors')!r}: {fault}", _anew(home)) from error
    where = make_device(device)
    network.to(where, memory_format=torch.channels_last).eval()
    return Reloaded(
        space=space,
        candidate=candidate,
        network=network,
        form=form,
        readout=readout,
        parameters=metrics.get("parameters") or count_parameters(network),
        device=where,
    )


def _form(home: Path, plan: Mapping[str, Any]) -> tuple[Form, Mapping[str, Any]]:
    """What architecture.json says of samples and readout."""
    path, version = home / "architecture.json", plan.get("format", 1)
    if version > FORMAT:
        raise RunError(f"{str(path)!r} is of format {version}, and this program reads {FORMAT}: update the program")
    if version < FORMAT:
        raise RunError(
            f"{str(path)!r} is of an earlier version, which did not keep the normalisation and the classes: "
            f"{_anew(home)}"
        )
    try:
        form, readout = form_from_json(plan["data"]), plan["readout"]
        if readout["probabilities"] is None or not float(readout["scale"]):
            raise ValueError("its readout says nothing")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamageError(
            f"{str(path)!r} is damaged or was edited ({type(error).__name__}: {error})", _anew(home)
        ) from error
    return form, readout


def _check_own(name: str | None, stored: Mapping[str, Any], folder: RunFolder) -> None:
    """Raises RunError where a space of a person's own is not what the run was made with."""
    then = stored.get("match", {}).get("space_sha256")
    if name is None or not is_file(name) or then is None:
        return
    path = file_of(name)
    if not path.is_file():
        raise RunError(f"space file {str(path)!r} of run {str(folder.path)!r} is not there: put it back")
    if hashlib.sha256(path.read_bytes()).hexdigest() != then:
        raise RunError(
            f"space file {str(path)!r} has changed since run {str(folder.path)!r} was made: restore it, and load again"
        )


def _anew(home: Path) -> str:
    return f"remove the folder {str(home)!r} and resume the run, which makes it anew"
