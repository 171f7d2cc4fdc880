"""Needs: options that are of no effect unless another says so, as one table; to give one of them is an error."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.options.config import OPTIONS, Config, values_of
from search.options.declare import declared, flag, values_in
from search.options.how import FinalistOptions, SupernetOptions, TicketOptions, TrainingOptions
from search.options.rules import parse_time_schedule
from search.options.what import DataOptions
from search.options.where import WorkerOptions
from spaces.candidate import QUALITIES
from spaces.credentials import without_credentials
from spaces.errors import OptionError

DIGITS, EVENTS = "digits", "nmnist"
IMAGE_SETS = (DIGITS, "mnist", "fashion-mnist", "cifar10", "cifar100", "svhn")
DOWNLOADED = ", ".join((*IMAGE_SETS[1:], EVENTS))
OF_A_SUPERNET = tuple(declared(SupernetOptions))
OF_WORKERS = tuple(
    name for name in declared(WorkerOptions) if name not in ("runner", "train_workers", "train_parts", "log")
)
OF_NETWORKS = (
    *(name for part in (DataOptions, TrainingOptions) for name in declared(part)),
    *OF_A_SUPERNET,
    *(name for part in (FinalistOptions, TicketOptions) for name in declared(part)),
    *(name for name in declared(WorkerOptions) if name != "runner"),
    *("search_sparsity", "spike_weight", "racing", "energy_model", "device", "threads", "compile"),
)


@dataclass(frozen=True)
class Need:
    """Options, and what they need.

    Attributes:
        options: names of fields.
        met: whether they have an effect, beside the other values.
        of: what they are of, to be read behind an option and its value.
        way: what to do, besides dropping them.
    """

    options: tuple[str, ...]
    met: Callable[[Any], bool]
    of: str
    way: str


def _is_floored(config: Config) -> bool:
    steered = [name for name in QUALITIES if {name, f"{name}:max"} & set(config.goal.objectives)]
    return bool(steered) and not any(text.startswith(f"{steered[0]}>=") for text in config.goal.constraints)


def _has_smaller_t(config: Config) -> bool:
    schedule = parse_time_schedule(config.supernet.time_schedule)
    return config.space.timesteps is None or not schedule or any(t < config.space.timesteps for t, _ in schedule)


NEEDS = (
    Need(
        ("table_choices", "fidelities"),
        lambda config: config.table.path is not None,
        "names columns of a table",
        "give its file with --table",
    ),
    Need(
        ("floor",),
        lambda config: config.table.path is None,
        "is a share of the way from chance up, and a table does not say what a guess scores",
        "give a bound with --min COLUMN=X",
    ),
    Need(
        OF_NETWORKS,
        lambda config: config.table.path is None,
        "is of networks that are trained, and a table has their figures",
        "drop --table",
    ),
    Need(
        ("width", "timesteps", "neuron"),
        lambda config: not config.table.choices,
        "is of a space that makes networks, which --table-choices is not",
        "give --space NAME in its place",
    ),
    Need(
        ("floor",),
        _is_floored,
        "bounds accuracy, separability or alignment, where it is an objective without a bound of its own",
        "name one with --objectives, without --min",
    ),
    Need(
        ("data_dir", "download", "verify"),
        lambda config: config.data.name != DIGITS and not set("/\\.") & set(config.data.name),
        "is of public data sets that lie in a folder",
        f"give one of {DOWNLOADED} with --data",
    ),
    Need(
        ("event_frames",),
        lambda config: config.data.name not in IMAGE_SETS,
        "is of recordings of events, and --data names images",
        f"give --data {EVENTS} or the path of recordings",
    ),
    Need(
        ("image_fit",),
        lambda config: config.data.image_size is not None,
        "is of images that are brought to a size",
        "add --image-size 32",
    ),
    Need(
        ("logit_scale",),
        lambda config: config.training.loss != "mse" or config.tickets.prune is not None,
        "is of cross-entropy, which --loss mse has not",
        "give --loss ce or tet",
    ),
    Need(
        ("time_schedule",),
        _has_smaller_t,
        "trains at a smaller T than --timesteps, and names none",
        "give a smaller T",
    ),
    Need(
        ("few_shot_epochs",),
        lambda config: config.supernet.few_shot is not None,
        "is of the supernets that --few-shot makes",
        "add --few-shot CHOICE",
    ),
    Need(
        ("threshold_balancing",),
        lambda config: config.training.recalibration_samples > 0,
        "is done on the samples that BN statistics are renewed on",
        "give --recalibration-samples 1 or more",
    ),
    Need(
        ("spike_weight",),
        lambda config: config.search.sampler == "evolution",
        "is of evolution's fitness",
        "add --sampler evolution",
    ),
    Need(
        ("racing",),
        lambda config: config.supernet.supernets == 1 or config.sweep.train_epochs is not None,
        "is of a search by one supernet, and with --supernets nothing is raced",
        "drop --supernets",
    ),
    Need(
        ("finalist_epochs", "finalist_weights"),
        lambda config: config.finalists.count > 0 or config.sweep.train_epochs is not None,
        "is of finalists, and --finalists 0 asks for none",
        "give --finalists 1 or more",
    ),
    Need(
        ("sparsity",),
        lambda config: config.tickets.prune is not None,
        "is of lottery tickets, which --prune makes",
        "add --prune METHOD",
    ),
    Need(
        ("log",),
        lambda config: config.workers.runner == "tune",
        "is of trainings by Ray Tune",
        "add --runner tune",
    ),
    Need(
        OF_WORKERS,
        lambda config: config.workers.runner != "in-process" or config.workers.train_workers > 1,
        "is for several workers",
        "add --runner ray",
    ),
    Need(
        ("workers", "candidate_timeout"),
        lambda config: config.workers.runner != "in-process",
        "is of workers that score candidates",
        "add --runner ray",
    ),
    Need(
        ("candidate_timeout",),
        lambda config: config.sweep.train_epochs is None,
        "is of candidates that are scored, and a sweep trains them",
        "run launch.py search",
    ),
    Need(
        ("object_store_mb",),
        lambda config: config.workers.address is None,
        "is of a Ray that is started here, and --address joins another",
        "drop --address",
    ),
    Need(
        ("proxy",),
        lambda config: config.sweep.train_epochs is not None,
        "is of a sweep",
        "run launch.py sweep",
    ),
    Need(
        OF_A_SUPERNET,
        lambda config: config.sweep.train_epochs is None or config.sweep.proxy == "supernet",
        "is of a supernet, which a sweep has with --proxy supernet alone",
        "add it",
    ),
)
OFF = ("none", None, 0)  # values that ask for nothing: they may be said where there is nothing to ask for


def check_effect(configs: Sequence[Any], given: Iterable[str], needs: Sequence[Need] = NEEDS) -> None:
    """Raises OptionError where an option that was given is of no effect in any of several configurations.

    Args:
        configs: with all values; of a sweep, one for each data set.
        given: names of the fields that were given, whatever their value.
        needs: what they need.
    """
    names = list(given)
    found = [idle(config, names, needs) for config in configs]
    for name, need in found[0].items() if found else ():
        if all(name in one for one in found):
            said = spelled(name, _values(configs[0])[name])
            raise OptionError(f"{said} {need.of}: {need.way}, or drop {said.split()[0]}")


def idle(config: Any, given: Iterable[str], needs: Sequence[Need] = NEEDS) -> dict[str, Need]:  # noqa: ANN401
    """Those of the options given that are of no effect in a configuration -> the first need that is not met."""
    names, values, found = set(given), _values(config), {}
    for need in needs:
        wanted = [] if need.met(config) else names.intersection(need.options)
        for name in sorted(wanted, key=need.options.index):
            value = values[name]
            if value is False or value not in OFF:
                found.setdefault(name, need)
    return found


def check_recordings(config: Config, provenance: Mapping[str, Any]) -> None:
    """Raises OptionError where a new run's ``--event-frames`` has no effect, as its data turned out to be."""
    frames = config.data.event_frames
    if config.table.path is None and frames != DataOptions.event_frames and "sensor" not in provenance:
        raise OptionError(
            f"--event-frames {frames} is of recordings of events, and {config.data.name!r} holds none that are "
            "still to be cut: drop --event-frames"
        )


def spelled(name: str, value: object) -> str:
    """An option as it was given on the command line.

    >>> spelled("verify", False), spelled("few_shot_epochs", 3), spelled("fidelities", ("0.1:a=b",))
    ('--no-verify', '--few-shot-epochs 3', '--fidelities 0.1:a=b')
    """
    if isinstance(value, bool):
        return OPTIONS[name].flag if name in OPTIONS else flag(name)
    shown = (
        f"{value:g}" if isinstance(value, float) else ",".join(map(str, value)) if isinstance(value, tuple) else value
    )
    return without_credentials(f"{flag(name)} {shown}")


def _values(config: object) -> dict[str, Any]:
    """All values of a configuration, or of one part that stands alone."""
    return values_of(config) if isinstance(config, Config) else values_in(config)
