"""Config: the whole experiment as one frozen, JSON-able dataclass. Nothing heavy is imported here."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args, get_origin

from evaluators.tasks.readers.fit import FITS, parse_fit
from evaluators.tasks.readers.framing import FRAMINGS, parse_framing
from spaces.credentials import hide_all
from spaces.errors import OptionError, RunError, one_line, unknown

WHERE = (
    "data",
    "table",
    "data_dir",
    "download",
    "verify",
    "device",
    "threads",
    "export_optuna",
    "runner",
    "workers",
    "cpus_per_worker",
    "gpus_per_worker",
    "address",
    "object_store_mb",
    "retries",
    "candidate_timeout",
    "train_workers",
    "storage",
    "log",
)  # may change between a run and its resume
NOT_MATCHED = (*WHERE, "prefix_cache_mb", "out", "warm_start")  # of that, its content is matched


@dataclass(frozen=True, kw_only=True)
class Config:
    """All options of a search, with the command line's defaults; ``launch.py search --help`` describes them.

    Of width, timesteps and neuron, None stands for the space's own default; of space, for ``autosnn``, or ``table``
    where ``table_blanks`` make one; of train_epochs, for a search by a supernet. A run's config.json spells them out.
    Of batch_size, None stands for 32, or fewer where few samples would make few steps. Of workers, None stands for as
    many as fit, of GPUs a worker for one where the device is a GPU, of train_parts for as many as have a core or a GPU
    of the train_workers, or 1 where there is one of these.
    """

    space: str | None = None
    width: int | None = None
    timesteps: int | None = None
    neuron: str | None = None
    compile: bool = True
    table: str | None = None
    table_blanks: tuple[str, ...] = ()
    data: str = "digits"
    data_dir: str = "data"
    download: bool = False
    verify: bool = True
    train_samples: int | None = None
    val_samples: int | None = None
    event_frames: str = "time"
    event_scale: int = 1
    sensor: str | None = None
    event_columns: str | None = None
    image_size: str | None = None
    image_fit: str = "crop"
    test_share: float | None = None
    seed: int = 0
    supernet_weights: str = "entangled"
    supernet_epochs: int = 10
    few_shot: str | None = None
    few_shot_epochs: int = 10
    supernets: int = 1
    path_rule: str = "balanced"
    paths: int = 1
    time_schedule: str = "1:0.8"
    precision: str = "fp32"
    batch_size: int | None = None
    learning_rate: float = 4e-3
    loss: str = "ce"
    class_weights: str = "none"
    logit_scale: float = 10.0
    norm_scale: float = 2.0
    head_gain: float = 1.0
    kernel_init: str = "identity"
    recalibration_samples: int = 128
    threshold_balancing: bool = False
    prefix_cache_mb: int = 1024
    sampler: str = "auto"
    spike_weight: float = -0.08
    objectives: tuple[str, ...] = ("accuracy", "spikes", "energy_nj")
    constraints: tuple[str, ...] = ()
    reference: tuple[str, ...] = ()
    floor: float = 0.5
    fidelities: tuple[str, ...] = ()
    candidates: int = 200
    minutes: float | None = None
    batch: int = 20
    warm_start: str | None = None
    racing: bool = True
    search_sparsity: float | None = None
    finalists: int = 4
    finalist_pool: int | None = None
    finalist_epochs: int = 5
    finalist_weights: str = "inherited"
    prune: str | None = None
    sparsity: str = "0.9"
    energy_model: str = "horowitz-45nm-fp32"
    device: str = "auto"
    threads: int | None = None
    out: str | None = None
    export_optuna: str | None = None
    runner: str = "in-process"
    workers: int | None = None
    cpus_per_worker: float = 1.0
    gpus_per_worker: float | None = None
    address: str | None = None
    object_store_mb: int = 1024
    retries: int = 3
    candidate_timeout: float | None = None
    train_workers: int = 1
    train_parts: int | None = None
    train_epochs: int | None = None
    proxy: str = "none"
    storage: str | None = None
    log: str = "none"

    def __post_init__(self) -> None:
        for field in fields(self):
            if not _fits(getattr(self, field.name), field.type):
                raise TypeError(f"{field.name} is {getattr(self, field.name)!r}")
        check_ranges(self, RANGES)
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise OptionError(f"{flag(name)}: {unknown('value', getattr(self, name), choices)}")
        for holds, said in (*_of_training(self), *_of_tables(self)):
            if holds:
                raise OptionError(said)
        if self.image_size is not None:
            parse_fit(self.image_size)
        parse_framing(frames=1, scale=self.event_scale, sensor=self.sensor, columns=self.event_columns)
        parse_time_schedule(self.time_schedule)

    def match(self) -> dict[str, Any]:
        """What a resume must agree with: everything that the results depend on."""
        return {name: value for name, value in to_json(self).items() if name not in NOT_MATCHED}


def _of_training(config: Config) -> Iterable[tuple[bool, str]]:
    """What cannot be trained together, and why."""
    pool, finalists, epochs = config.finalist_pool, config.finalists, config.finalist_epochs
    yield (
        config.path_rule == "sandwich" and config.paths < 2,
        f"--path-rule sandwich runs the smallest and the largest path: give --paths 2 or more, not {config.paths}",
    )
    yield (
        pool is not None and not 1 <= finalists <= pool,
        f"--finalist-pool {pool} of which --finalists {finalists} are trained to the end: give 1 finalist or more, and "
        "a pool of at least as many",
    )
    yield (
        (pool or 0) > finalists and epochs < 2,
        f"--finalist-pool {pool} is thinned out during the training: give --finalist-epochs 2 or more, not {epochs}",
    )
    yield (
        config.train_epochs is not None and config.proxy != "supernet" and config.finalist_weights == "inherited",
        "--train-weights inherited are a supernet's: add --proxy supernet, or drop it",
    )
    yield (
        bool(config.gpus_per_worker) and config.gpus_per_worker < RANGES["cpus_per_worker"][0],
        f"--gpus-per-worker {config.gpus_per_worker} is out of range: give 0, or 0.0001 to 1024",
    )
    yield (
        config.test_share is not None and not 0 < config.test_share < 1,
        f"--test-share {config.test_share} is out of range: give more than 0 and less than 1",
    )


def _of_tables(config: Config) -> Iterable[tuple[bool, str]]:
    """What a table does not go with, and why."""
    blanks = config.table_blanks
    yield (
        bool(config.fidelities) and config.sampler not in LADDER_SAMPLERS,
        f"--sampler {config.sampler} cannot tell what a part of an evaluation says of the whole: with --fidelities "
        f"take {', '.join(LADDER_SAMPLERS)}",
    )
    yield (
        config.train_epochs is not None and config.table is not None,
        "a sweep trains its candidates, a table has their scores: drop --table",
    )
    yield (
        bool(blanks) and config.space not in (None, "table"),
        f"--table-blanks makes a space of its own: drop it, or --space {config.space}",
    )
    yield len(set(blanks)) < len(blanks), f"--table-blanks {','.join(blanks)}: name each column once"


OF_A_SUPERNET = (
    "supernet_weights",
    "supernet_epochs",
    "few_shot",
    "few_shot_epochs",
    "supernets",
    "path_rule",
    "paths",
    "time_schedule",
    "threshold_balancing",
    "prefix_cache_mb",
)
LADDER_SAMPLERS = ("dual", "joint", "auto")
RANGES = {
    "width": (1, 4096),
    "timesteps": (1, 1024),
    "train_samples": (1, 10**9),
    "val_samples": (1, 10**9),
    "seed": (0, 2**63 - 1),
    "floor": (0, 1),
    "search_sparsity": (1e-6, 0.999999),
    "learning_rate": (1e-12, 1e6),
    "logit_scale": (1e-6, 1e6),
    "norm_scale": (1e-6, 1e6),
    "head_gain": (1e-6, 1e6),
    "spike_weight": (-10, 10),
    "minutes": (1e-6, 1e7),
    "cpus_per_worker": (1e-4, 1024),
    "candidate_timeout": (1e-3, 1e9),
    "supernet_epochs": (1, 10**6),
    "few_shot_epochs": (1, 10**6),
    "supernets": (1, 64),
    "paths": (1, 64),
    "batch_size": (2, 10**6),
    "recalibration_samples": (0, 10**9),
    "prefix_cache_mb": (0, 10**9),
    "candidates": (1, 10**9),
    "batch": (1, 10**6),
    "finalists": (0, 10**6),
    "finalist_pool": (1, 10**6),
    "finalist_epochs": (1, 10**6),
    "threads": (1, 1024),
    "workers": (1, 10**5),
    "gpus_per_worker": (0, 1024),
    "object_store_mb": (80, 10**9),
    "retries": (0, 1000),
    "train_workers": (1, 10**4),
    "train_parts": (1, 10**4),
    "train_epochs": (1, 10**6),
}
CHOICES = {
    "runner": ("in-process", "ray", "tune"),
    "log": ("none", "tensorboard", "mlflow"),
    "event_frames": FRAMINGS,
    "image_fit": tuple(FITS),
    "supernet_weights": ("entangled", "separate"),
    "path_rule": ("balanced", "uniform", "dense", "fair", "sandwich"),
    "loss": ("ce", "tet", "mse"),
    "class_weights": ("none", "balanced"),
    "precision": ("fp32", "bf16"),
    "kernel_init": ("identity", "uniform"),
    "finalist_weights": ("inherited", "fresh"),
    "proxy": ("none", "sahd", "naswot", "synflow", "supernet"),
}


def check_ranges(values: object, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Raises OptionError where a number, if there is one, is not within its range; NaN is within none."""
    for name, (lowest, highest) in ranges.items():
        value = getattr(values, name)
        if value is not None and not lowest <= value <= highest:
            shown = value if abs(value) < 10**30 or isinstance(value, float) else f"of {len(str(value))} digits"
            raise OptionError(f"{flag(name)} {shown} is out of range: give {_plain(lowest)} to {_plain(highest)}")


def _plain(bound: float) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def _fits(value: object, kind: Any) -> bool:  # noqa: ANN401
    """Whether a value is of a field's type: a plain type, a union with None, or a tuple of texts."""
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(isinstance(item, str) for item in value)
    kinds = get_args(kind) or (kind,)
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds) or (float in kinds and isinstance(value, int))


def parse_time_schedule(text: str) -> tuple[tuple[int, float], ...]:
    """``full``, or ``T:SHARE,T:SHARE,...`` with shares of the training steps that leave some for the full T.

    Raises:
        OptionError: anything else.
    """
    if text == "full":
        return ()
    try:
        pairs = tuple((int(t), float(share)) for t, share in (part.split(":") for part in text.split(",")))
    except ValueError:
        pairs = ()
    least = 1e-6
    if not pairs or any(t < 1 or share < least for t, share in pairs) or not sum(share for _, share in pairs) < 1:
        raise OptionError(
            f"--time-schedule {text!r}: write full, or T:SHARE,... with T of at least 1 and shares that sum up to less "
            "than 1, e.g. 1:0.6,2:0.2: 60 % of the steps at T = 1, 20 % at 2, the rest at --timesteps"
        )
    return pairs


def flag(name: str) -> str:
    """The command-line spelling of a field."""
    return "--" + name.replace("_", "-")


def to_json(config: Config) -> dict[str, Any]:
    """The configuration as plain JSON values, without credentials."""
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(config).items()}
    return hide_all(plain)


def from_json(values: Mapping[str, Any]) -> Config:
    """The configuration that ``to_json`` wrote; a field that its version did not have yet is at its default.

    Raises:
        RunError: a field is unknown or of another type.
    """
    if not isinstance(values, Mapping):
        raise RunError("config.json holds no configuration: it is damaged or of another version; start a new run")
    known = {field.name: field for field in fields(Config)}
    if strange := sorted(map(str, set(values) - set(known))):
        raise RunError(f"config.json is of another version: fields {', '.join(strange)} differ; start a new run")
    try:
        return Config(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    except (TypeError, ValueError) as error:
        raise RunError(f"config.json is damaged ({one_line(error)}); mend it or start a new run") from error
