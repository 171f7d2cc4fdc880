"""Lottery tickets of a run's finalists: made by a method, measured beside their dense twin, and stored.

A ticket stands in ``finalists/N/tickets/NAME``; till then what its making resumes from stands in ``checkpoints``.
"""

import json
import math
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from evaluators.building import build_alone, set_initial
from evaluators.checkpoint import load_weights, read_stored, read_tensors, save_tensors
from evaluators.energy import energy_statement, few_bits
from evaluators.evaluation import evaluate
from evaluators.few_shot import supernet_of
from evaluators.figures import layer_rows
from evaluators.pruning.channels import shrink
from evaluators.pruning.making import Making, Ticket, dense
from evaluators.pruning.masks import kept_of, masks_of, sparsity_of
from evaluators.pruning.methods import METHODS
from evaluators.pruning.pattern import CHANNELS, Pruning
from evaluators.pruning.storage import LAYOUTS, plain_tensors, save_sparse
from evaluators.scores import by_class, score_of
from evaluators.setting import Setting
from evaluators.supernet import new_supernet
from results.folder import RunFolder, lock, match_hash, open_existing
from results.stored import read_twin
from results.tickets import ticket_name
from search.loop.progress import Screen, Stage, stages
from search.options.config import Config, change, from_json
from search.options.needs import check_effect
from search.options.pruning import PruningOptions
from search.publish import all_outcomes, publish
from search.setting import config_space, held, load_config_task, make_device, make_setting
from search.work.final import read_test
from search.work.finalists import check_stored
from search.work.job import check_data
from search.work.ticket_checks import candidate_of, is_made
from spaces.candidate import Candidate
from spaces.checksums import write_json
from spaces.errors import DamageError, DamageWarning, OptionError, RunError, SearchError
from spaces.find import own_code
from spaces.seeds import derive, torch_generator
from spaces.weights import inherit


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """A run whose finalists get tickets.

    Attributes:
        setting, config, folder: the run's.
        match: hash of what its results depend on.
        stage: opens a display of progress.
    """

    setting: Setting
    config: Config
    folder: RunFolder
    match: str
    stage: Stage


def prune_run(
    path: Path,
    pruning: PruningOptions,
    *,
    number: int | None,
    where: Mapping[str, Any],
    final: bool = False,
    console: Screen,
) -> tuple[RunFolder, list[Path]]:
    """Makes tickets of a run's finalists, or of one, and writes its report anew; goes on where it was cut off.

    With ``final`` these tickets and their dense twins are measured on the test split, those that were not before.

    Returns:
        The run's folder, and those of the tickets.

    Raises:
        SearchError: something the user can mend.
    """
    folder = open_existing(path)
    stored = folder.read_config()
    config = from_json(stored.get("config"))
    if config.table.path is not None:
        raise RunError(f"run {str(folder.path)!r} has its scores from a table, so there is no network to prune")
    config = change(config, **where)
    check_effect([config], where)
    config = change(config, device=make_device(config.machine.device))
    numbers = finalists_of(folder, number)
    space, config = config_space(config)
    task = load_config_task(config, space)
    check_data(folder, task.provenance["sha256"], config.data.name)
    setting = make_setting(config, space, task)
    with own_code(config.space.name), lock(folder), stages(console) as stage, held(config.machine.threads or 1):
        place = Workplace(setting=setting, config=config, folder=folder, match=stored["hash"], stage=stage)
        try:
            made = [home for one in numbers for home in make_tickets(place, pruning, one, final=final)]
        except BaseException:
            with suppress(SearchError):  # a second error would hide the first
                publish(folder, all_outcomes(folder))
            raise
        publish(folder, all_outcomes(folder))
    return folder, made


def prune_finalists(setting: Setting, config: Config, folder: RunFolder, pruning: PruningOptions, stage: Stage) -> None:
    """Makes tickets of all finalists that a search has trained and stored, in the locked folder."""
    place = Workplace(setting=setting, config=config, folder=folder, match=folder.read_config()["hash"], stage=stage)
    for number in _stored(folder):
        for _ in make_tickets(place, pruning, number):
            pass


def _stored(folder: RunFolder) -> list[int]:
    """Numbers of the finalists that are stored; raises RunError where one of them is damaged."""
    return [number for number in folder.finalist_numbers() if check_stored(folder, number)]


def finalists_of(folder: RunFolder, number: int | None) -> list[int]:
    """Numbers of the trained finalists, or the one that is asked for; raises RunError where there is none."""
    found = _stored(folder)
    if not found:
        raise RunError(
            f"run {str(folder.path)!r} has no trained finalists to prune: let it end with `launch.py resume`, or "
            "search with --finalists 1 or more"
        )
    if number is not None and number not in found:
        raise RunError(
            f"--candidate {number} is no trained finalist of run {str(folder.path)!r}: give one of "
            f"{', '.join(map(str, found))}"
        )
    return found if number is None else [number]


def make_tickets(place: Workplace, pruning: PruningOptions, number: int, *, final: bool = False) -> Iterator[Path]:
    """Makes the tickets of a finalist that are not there yet, and tests them if ``final``; gives the folder of each.

    Raises:
        SearchError: a ticket of that name is of other options, or the method cannot prune this network.
    """
    config = place.config
    home = place.folder.finalist(number)
    candidate = candidate_of(place.folder, place.setting.space, number)
    pruning = replace(
        pruning,
        epochs=pruning.epochs or config.finalists.epochs,
        start=pruning.start or config.finalists.weights,
        learning_rate=pruning.learning_rate or config.training.learning_rate,
    )
    if pruning.rewind_epoch > pruning.epochs:
        raise OptionError(
            f"--rewind-epoch {pruning.rewind_epoch} is beyond the {pruning.epochs} epochs: give at most these"
        )
    options = json.loads(json.dumps(asdict(pruning)))
    names = {sparsity: ticket_name(options, sparsity) for sparsity in pruning.sparsities or (None,)}
    left = [sparsity for sparsity, name in names.items() if not is_made(home / "tickets" / name, options, name)]
    making = _making(place, pruning, number, candidate)
    if left:
        twin = _twin(place, making, candidate)
        targets = (
            pruning.sparsities if pruning.method in ("imp", "early-time") else tuple(left)
        )  # those go down one ladder
        for ticket in METHODS[pruning.method](making, [sparsity for sparsity in targets if sparsity is not None]):
            key = None if None in names else ticket.sparsity
            if key in left:
                _store(place, pruning, home / "tickets" / names[key], ticket, candidate, twin, number, options)
    shutil.rmtree(making.folder, ignore_errors=True)
    homes = [home / "tickets" / name for name in names.values()]
    if final:
        read_test(place.setting, making, candidate, homes)
    yield from homes


def _making(place: Workplace, pruning: PruningOptions, number: int, candidate: Candidate) -> Making:
    setting = place.setting

    def build() -> nn.Module:
        network = build_alone(setting, candidate)
        if pruning.start == "fresh":
            set_initial(network, setting.recipe, torch_generator(setting.seed, "ticket", number, "weights"))
        elif pruning.start == "trained":
            path = place.folder.finalist(number) / "weights.safetensors"
            load_weights(network, read_stored(path, "resume the run, which makes the finalist anew")[0])
        else:
            supernet = new_supernet(setting)
            kept = read_tensors(place.folder.supernet, match=place.match)
            if kept is None:
                raise RunError(
                    f"supernet {str(place.folder.supernet)!r} is gone or damaged, from which tickets start: resume the "
                    "run, which trains it anew, or give --start fresh or trained"
                )
            load_weights(supernet, kept[0])
            inherit(network, supernet_of(supernet, candidate))
        return network

    plan = replace(
        setting.recipe.plan,
        epochs=pruning.epochs,
        time_schedule=(),
        learning_rate=pruning.learning_rate,
        optimiser=pruning.optimiser,
        weight_decay=pruning.weight_decay,
    )
    training = {"plan": asdict(plan), "start": pruning.start, "penalty": pruning.spike_penalty, "run": place.match}
    training = match_hash(training)
    base = place.folder.checkpoints / "tickets" / f"{number}-{training[:12]}"
    return Making(
        build=build,
        task=setting.task,
        plan=plan,
        seed=derive(setting.seed, "ticket", number),
        folder=base / f"{pruning.method}-{match_hash(json.loads(json.dumps(asdict(pruning))))[:12]}",
        twin=base,
        match=training,
        device=setting.device,
        parts=place.config.workers.train_parts or 1,
        recalibration_samples=setting.recipe.recalibration_samples,
        pruning=Pruning(
            pattern=pruning.pattern,
            budget=pruning.budget,
            floor=pruning.floor,
            spare=pruning.spare,
            spec=setting.task.spec,
        ),
        rewind=pruning.rewind_epoch,
        spike_penalty=pruning.spike_penalty,
        weight_bits=pruning.weight_bits,
        fading_rate=pruning.fading_rate,
        stage=lambda title, unit: place.stage(f"finalist {number}: {title}", unit),
    )


def _twin(place: Workplace, making: Making, candidate: Candidate) -> dict[str, Any]:
    """The dense network that was trained like the tickets: what it does, and what it cost; measured once."""
    path = making.twin / "dense.json"
    try:
        if (kept := read_twin(path)) is not None:
            return kept
    except DamageError as error:
        warnings.warn(f"{error.fault}; it is measured anew", DamageWarning, stacklevel=2)
    network, _, cost = dense(making)
    twin = _figures(place, network, candidate) | {"cost": asdict(cost), "bytes": _bytes(network)}
    write_json(path, twin)
    return twin


def _bytes(network: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in plain_tensors(network).values())


def _figures(place: Workplace, network: nn.Module, candidate: Candidate, bits: int | None = None) -> dict[str, Any]:
    """What a network does on the validation split; plain data. The test split is read by ``final`` alone."""
    setting = place.setting if bits is None else replace(place.setting, model=few_bits(place.setting.model, bits))
    task = setting.task
    found = evaluate(network, task, task.validation, device=setting.device)
    score = score_of(setting, candidate, network, found, fidelity="trained", seconds=0.0)
    counts = found.counts
    rows = layer_rows(counts, setting.model)
    weights = {layer.name: (layer.weights, math.prod(_shape(network, layer.name))) for layer in counts.layers}
    for row in rows:
        kept, there = weights[row["name"]]
        row["density"] = kept / there if kept or there else None
    noise = math.sqrt(found.accuracy * (1 - found.accuracy) / counts.samples) if counts.samples else None
    energy = energy_statement(counts, setting.model) if counts.samples else {}
    return {
        "state": score.state,
        "error": score.error,
        "val_accuracy": score.accuracy,
        "val_noise": noise,
        "test_accuracy": None,
        **by_class(task.class_names, found),
        "spikes": score.spikes,
        "sops": score.sops,
        "macs": score.macs,
        "energy_nj": score.energy_nj,
        "with_memory_nj": energy.get("with_memory_nj"),
        "parameters": score.parameters,
        "timesteps": score.timesteps,
        "layers": rows,
        "energy": energy,
    }


def _shape(network: nn.Module, name: str) -> Sequence[int]:
    weight = getattr(network.get_submodule(name), "weight", None)
    return weight.shape if weight is not None and weight.dim() > 1 else (0,)


def _store(
    place: Workplace,
    pruning: PruningOptions,
    home: Path,
    ticket: Ticket,
    candidate: Candidate,
    twin: Mapping[str, Any],
    number: int,
    options: Mapping[str, Any],
) -> None:
    """Writes a ticket's weights, masks and sparse storage, and last its metrics, which say that it is whole."""
    network, space = ticket.network, place.setting.space
    home.mkdir(parents=True, exist_ok=True)
    about = {"space": space.name, "candidate": candidate.key, "timesteps": str(space.steps(candidate))}
    save_tensors(home / "weights.safetensors", plain_tensors(network), about)
    save_tensors(home / "masks.safetensors", masks_of(network), about)
    for layout in LAYOUTS:
        path = home / f"sparse-{layout}.safetensors"
        save_sparse(path, network, layout=layout, bits=pruning.weight_bits, metadata=about)
    compact = None
    if pruning.pattern == CHANNELS:
        small = shrink(network, place.setting.task.spec)
        compact = sum(parameter.numel() for parameter in small.parameters())
        save_tensors(home / "compact.safetensors", plain_tensors(small), about)
    kept = kept_of(network)
    files = sorted(path for path in home.glob("*.safetensors"))
    metrics = {
        "number": number,
        "method": ticket.method,
        "options": dict(options),
        "candidate": dict(candidate),
        "asked_sparsity": ticket.sparsity,
        "sparsity": sparsity_of(network),
        "weights": sum(there for _, there in kept.values()),
        "kept": sum(stay for stay, _ in kept.values()),
        "density": {name.removesuffix(".weight"): stay / there for name, (stay, there) in kept.items()},
        "never_pruned": never_pruned(network),
        "compact_parameters": compact,
        **_figures(place, network, candidate, pruning.weight_bits),
        "cost": {"find": asdict(ticket.find), "train": asdict(ticket.train)},
        "notes": ticket.notes,
        "rounds": list(ticket.rounds),
        "curve": [asdict(epoch) for epoch in ticket.curve],
        "bytes": {path.name: path.stat().st_size for path in files},
        "dense": dict(twin),
    }
    write_json(home / "metrics.json", metrics)


def never_pruned(network: nn.Module) -> list[str]:
    """Parameters that no mask is of: norms, biases, neurons, and layers that were spared."""
    masks = masks_of(network)
    return [name for name, _ in network.named_parameters() if name not in masks]
