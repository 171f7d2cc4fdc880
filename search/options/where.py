"""Where it runs: options on workers and the machine. What a run gives does not depend on them."""

from dataclasses import dataclass

from search.options.declare import TRAINED, check_all, option
from search.options.rules import check_gpus
from search.options.what import EVERYWHERE, MOVED

TO_RESUME = ("search", "resume")


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Who scores candidates. None of the workers stands for as many as fit, of the parts for one each core or GPU."""

    runner: str = option(
        "in-process",
        "in-process; ray: candidates scored by several at once, on this machine or on a cluster; or tune: the same, "
        "and finalists trained side by side",
        choices=("in-process", "ray", "tune"),
        verbs=MOVED,
        matched=False,
    )
    count: int | None = option(
        None,
        "so many, each with one candidate at a time",
        name="workers",
        range=(1, 10**5),
        unset="as many as fit",
        verbs=MOVED,
        matched=False,
    )
    cpus_per_worker: float = option(1.0, "CPUs of one; its threads", range=(1e-4, 1024), verbs=MOVED, matched=False)
    gpus_per_worker: float | None = option(
        None,
        "GPUs of one; with 0.5 two share a GPU",
        range=(0, 1024),
        check=check_gpus,
        unset="1 with a GPU as --device, else 0",
        verbs=MOVED,
        matched=False,
    )
    address: str | None = option(
        None,
        "HOST:PORT of a Ray cluster, or auto for the one that this machine is a node of",
        metavar="HOST:PORT",
        unset="a Ray of this machine, for this run",
        verbs=MOVED,
        matched=False,
    )
    object_store_mb: int = option(
        1024,
        "shared memory of a Ray started here, for data and supernet, MiB",
        range=(80, 10**9),
        verbs=MOVED,
        matched=False,
    )
    retries: int = option(
        3,
        "try a candidate so often again after its worker was lost; then it is failed",
        range=(0, 1000),
        verbs=MOVED,
        matched=False,
    )
    train_workers: int = option(
        1,
        "train the supernet by so many at once, each with its parts of every batch",
        range=(1, 10**4),
        verbs=TO_RESUME,
        matched=False,
    )
    train_parts: int | None = option(
        None,
        "train on every batch in so many parts, each on one core: results are the same to the bit, whatever "
        "--train-workers and --threads (1: batches are whole, which is quicker, and rounded as --threads has it)",
        range=(1, 10**4),
        unset="with several --train-workers, 1 for each of their cores or GPUs, else 1",
    )
    candidate_timeout: float | None = option(
        None,
        "end a worker that takes longer than this for a candidate, seconds",
        range=(1e-3, 1e9),
        verbs=TO_RESUME,
        matched=False,
    )
    storage: str | None = option(
        None,
        "folder or URI (s3://bucket/key) that all nodes see, for checkpoints; needed on several machines. A run keeps "
        "no credentials: a resume wants them again, or in the environment",
        metavar="PATH",
        verbs=MOVED,
        matched=False,
    )
    log: str = option(
        "none",
        "curves of trainings by Ray's own callbacks: none, tensorboard or mlflow, into the run's folder",
        choices=("none", "tensorboard", "mlflow"),
        verbs=MOVED,
        matched=False,
    )

    def __post_init__(self) -> None:
        check_all(self)


@dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """This machine, and where results go."""

    out: str | None = option(
        None,
        "run folder; one that holds this very search is gone on with, unless another process writes to it",
        metavar="RUN",
        matched=False,
        verbs=TRAINED,
    )
    export_optuna: str | None = option(
        None,
        "at the end, write Optuna studies into this SQLite file, for its dashboard",
        metavar="FILE",
        verbs=(*MOVED, "report"),
        matched=False,
    )
    device: str = option(
        "auto",
        "cpu, cuda, cuda:1, ... or auto",
        verbs=(*EVERYWHERE, "predict", "score"),
        again="go on on this device: cpu, cuda, ...",
        matched=False,
    )
    threads: int | None = option(
        None,
        "CPU threads",
        range=(1, 1024),
        verbs=EVERYWHERE,
        again="go on with this many CPU threads",
        matched=False,
    )
    compile: bool = option(True, "run neurons uncompiled and all convolutions dense", verbs=TRAINED)

    def __post_init__(self) -> None:
        check_all(self)
