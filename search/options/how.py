"""How it is searched and trained: options on the search, a sweep, the supernet, training, finalists and tickets."""

from dataclasses import dataclass

from evaluators.methods import METHODS, USUAL
from search.options.declare import TRAINED, check_all, option
from search.options.rules import parse_time_schedule
from search.options.what import SEARCH

SWEEP = ("sweep",)


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What to try next, and for how long."""

    sampler: str = option(
        "auto",
        "auto (by space and budget: it says what it took), dual (Bayesian optimisation, structure and dynamics in "
        "turn), joint (the same over all choices), evolution (AutoSNN's: on accuracy and spikes; in a table by rank), "
        "local (Pareto local search), nsga2, tpe or random",
    )
    spike_weight: float = option(
        -0.08, "evolution's fitness is accuracy * (spikes / mean spikes) ** X", range=(-10, 10)
    )
    candidates: int = option(200, "stop after scoring this many", range=(1, 10**9))
    minutes: float | None = option(
        None,
        "bound the whole run, supernet, scoring, finalists and report: it measures its pace and plans how much of each "
        "there is time for, at most what the other options say; a sweep, or a search in a table, stops after as many "
        "minutes of scoring",
        range=(1e-6, 1e7),
    )
    batch: int = option(20, "candidates a sampler is asked for at a time", range=(1, 10**6))
    warm_start: str | None = option(
        None,
        "results of another search of this space steer this one, and their front is scored first: a run's folder, or a "
        "table like its candidates.csv",
        metavar="RUN",
        verbs=SEARCH,
        matched=False,  # of it, its content is
    )
    try_first: str | None = option(
        None,
        "score these candidates first, then search on: a .csv file like candidates.csv, or a .json list of objects",
        metavar="FILE",
        spelled="--try",
        matched=False,  # of it, the candidates are
    )
    racing: bool = option(True, "score every candidate on all of the validation split, also one clearly dominated")
    seed: int = option(
        0, "names every random choice: the same seed gives the same run", range=(0, 2**63 - 1), verbs=SEARCH
    )

    def __post_init__(self) -> None:
        check_all(self)


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """Every candidate trained alone. Without ``train_epochs`` a search is by a supernet or a table."""

    train_epochs: int | None = option(
        None, "passes over the training split, for each candidate", range=(1, 10**6), verbs=SWEEP
    )
    proxy: str = option(
        "none",
        "by which half of a batch is stopped before it is trained, in place of its accuracy: sahd, naswot or "
        "synflow, figures of the untrained network; or supernet, its accuracy with the weights of a supernet that "
        "is trained first; the report tells how each of them ranked",
        choices=("none", "sahd", "naswot", "synflow", "supernet"),
        verbs=SWEEP,
    )

    def __post_init__(self) -> None:
        check_all(self)


@dataclass(frozen=True, kw_only=True)
class SupernetOptions:
    """The one network that holds every candidate."""

    epochs: int = option(10, "passes over the training split", name="supernet_epochs", range=(1, 10**6))
    few_shot: str | None = option(
        None,
        "a choice of the space: a supernet of its own for each kind of operation there, trained on from that for all",
        metavar="CHOICE",
    )
    few_shot_epochs: int = option(10, "passes that each of these is trained on for", range=(1, 10**6))
    supernets: int = option(
        1,
        "train so many, each from other weights, on the CPU as many at once as --threads; a candidate's score is the "
        "mean over them, its separability and alignment those of all their rates side by side, and none is raced",
        range=(1, 64),
    )
    path_rule: str = option(
        "balanced",
        "paths a step trains: balanced (kinds of operation alike), uniform, dense (without the least of three options "
        "or more, seldom an identity), fair (every option once a round), sandwich (smallest, largest, random)",
        choices=("balanced", "uniform", "dense", "fair", "sandwich"),
    )
    paths: int = option(1, "paths a step, their gradients averaged", range=(1, 64))
    time_schedule: str = option(
        "1:0.8",
        "full, or T:SHARE,...: train shares of the steps at smaller T, the rest at --timesteps, e.g. 1:0.5,2:0.25",
        metavar="T:SHARE",
        check=parse_time_schedule,
    )
    weights: str = option(
        "entangled",
        "entangled (options of a slot share kernels) or separate",
        name="supernet_weights",
        choices=("entangled", "separate"),
    )
    threshold_balancing: bool = option(
        False,
        "scale a candidate's thresholds meanwhile until its layers fire as often as in the supernet on average; "
        "spikes and energy then rank better where options differ in threshold",
    )
    prefix_cache_mb: int = option(
        1024,
        "megabytes a worker keeps of what candidates that begin alike share; 0: none",
        range=(0, 10**9),
        matched=False,
    )

    def __post_init__(self) -> None:
        check_all(self)


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Of every training: the supernet's, its finalists', a sweep's. None of the batch size: by how many samples."""

    method: str = option(
        USUAL,
        "how finalists, or a sweep's candidates, find their weights: bptt (backpropagation through time), or readout "
        "(the last layer alone, by least squares on layers as they are, without passes); a supernet is trained by bptt",
        choices=tuple(METHODS),
    )
    precision: str = option(
        "fp32",
        "of training and scoring: fp32, or bf16 (membranes stay float32), for machines that compute in it",
        choices=("fp32", "bf16"),
        verbs=TRAINED,
    )
    batch_size: int | None = option(
        None,
        "samples a training step",
        range=(2, 10**6),
        unset="32, or fewer where an epoch would have less than 16 steps",
        verbs=TRAINED,
    )
    learning_rate: float = option(4e-3, "peak of the one-cycle schedule of Adam", range=(1e-12, 1e6), verbs=TRAINED)
    loss: str = option(
        "ce",
        "ce (cross-entropy on the mean readout), tet (on the readout of every step) or mse (AutoSNN's)",
        choices=("ce", "tet", "mse"),
        verbs=TRAINED,
    )
    class_weights: str = option(
        "none",
        "none, or balanced: every training, also of finalists and tickets, weighs a sample in the loss by the inverse "
        "of its class's size",
        choices=("none", "balanced"),
        verbs=TRAINED,
    )
    logit_scale: float = option(
        10.0,
        "factor on the readout, 0..1, in the cross-entropy; 1 switches it off",
        range=(1e-6, 1e6),
        verbs=TRAINED,
    )
    kernel_init: str = option(
        "identity",
        "identity (options pass spikes on at the start, so paths agree) or uniform",
        choices=("identity", "uniform"),
        verbs=TRAINED,
    )
    norm_scale: float = option(
        2.0, "initial scale of normalisation; 1 switches it off", range=(1e-6, 1e6), verbs=TRAINED
    )
    head_gain: float = option(1.0, "initial gain of the readout's weights", range=(1e-6, 1e6), verbs=TRAINED)
    recalibration_samples: int = option(
        128,
        "training samples that what is judged gets its BN statistics from, trained or not; 0 keeps those it has",
        range=(0, 10**9),
        verbs=TRAINED,
    )

    def __post_init__(self) -> None:
        check_all(self)


@dataclass(frozen=True, kw_only=True)
class FinalistOptions:
    """The candidates that are trained to the end."""

    count: int = option(
        4,
        "how many, spread over the front: best accuracy, knee, other ends, then the farthest",
        name="finalists",
        range=(0, 10**6),
    )
    pool: int | None = option(
        None,
        "begin with this many, spread over the front and those behind it; after epochs 1, 2, 4, ... the half of best "
        "non-dominated rank goes on, until --finalists are left",
        name="finalist_pool",
        range=(1, 10**6),
        verbs=SEARCH,
    )
    epochs: int = option(
        5, "passes over the training split, each", name="finalist_epochs", range=(1, 10**6), verbs=SEARCH
    )
    weights: str = option(
        "inherited",
        "inherited (start from the supernet's) or fresh",
        name="finalist_weights",
        choices=("inherited", "fresh"),
        verbs=SEARCH,
    )

    def __post_init__(self) -> None:
        check_all(self)


@dataclass(frozen=True, kw_only=True)
class TicketOptions:
    """Sparse networks of the finalists, at the end."""

    prune: str | None = option(
        None,
        "make lottery tickets of the finalists at the end: imp, early-bird, early-time, eb+et, gmp, dst, stds, fading, "
        "random; `launch.py prune --help` tells more",
        metavar="METHOD",
        verbs=SEARCH,
    )
    sparsity: str = option("0.9", "with --prune: shares of the weights that go", metavar="S,...", verbs=SEARCH)

    def __post_init__(self) -> None:
        check_all(self)
