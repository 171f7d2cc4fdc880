"""What is searched: options on the space, a table, the data, and the goal."""

from dataclasses import dataclass

from evaluators.tasks.readers.fit import FITS, parse_fit
from evaluators.tasks.readers.framing import FRAMINGS, MAX_SCALE, parse_framing
from search.options.declare import HERE, TRAINED, check_all, option
from search.options.rules import check_share
from spaces import SPACES

MOVED = (*HERE, "resume")
EVERYWHERE = (*MOVED, "prune", "train")
SEARCH = ("search",)
NEURONS = "lif, if, alif, asn, glif, klif, mlf, eclif, eclif2d, ternary, burst, psn or gamma"


@dataclass(frozen=True, kw_only=True)
class SpaceOptions:
    """What can be built. None stands for the space's own default, of the name for ``autosnn``, or ``table``."""

    name: str | None = option(
        None,
        f"search space: {', '.join(SPACES)}, or your own FILE.py:NAME; `launch.py spaces` tells more",
        name="space",
        unset="autosnn",
        verbs=TRAINED,
    )
    width: int | None = option(
        None,
        "channels of the first layer, C, as `launch.py spaces NAME` says",
        range=(1, 4096),
        unset="the space's own",
        verbs=TRAINED,
    )
    timesteps: int | None = option(
        None,
        "time steps T. Cost grows in proportion",
        range=(1, 1024),
        unset="the space's own",
        verbs=TRAINED,
    )
    neuron: str | None = option(
        None,
        f"the neuron of all layers: plif (learns its time constant), {NEURONS}",
        unset="the space's own",
        verbs=TRAINED,
    )
    fix: tuple[str, ...] = option(
        (),
        "choices that take one value and are not searched, as slot1=SRB_k5,slot2=skip; `launch.py spaces NAME` lists "
        "them",
        metavar="CHOICE=VALUE,...",
    )
    search_sparsity: float | None = option(
        None,
        "search the share of pruned weights, too: a choice `sparsity` from 0 to X, as 0.95",
        range=(1e-6, 0.999999),
        verbs=TRAINED,
    )

    def __post_init__(self) -> None:
        check_all(self)


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """A benchmark of trained networks, whose scores are looked up."""

    path: str | None = option(
        None,
        "CSV file (.csv, .csv.gz, ...), a row a network; needs --objectives COLUMN:max,...",
        name="table",
        metavar="PATH",
        verbs=("search", "resume"),
        again="where the run's own table is now",
        matched=False,
    )
    choices: tuple[str, ...] = option(
        (),
        "its columns that name a network: they are the space",
        name="table_choices",
        unset="the choices of --space",
        metavar="A,B,...",
        verbs=SEARCH,
        aliases=("--table-blanks",),
    )
    fidelities: tuple[str, ...] = option(
        (),
        "after a share X of its cost, a network shows column B for objective A, as 0.2:acc=acc_ep20; parts steer, what "
        "looks poor is given up, --candidates full evaluations are paid for",
        metavar="X:A=B,...",
        verbs=SEARCH,
    )

    def __post_init__(self) -> None:
        check_all(self)


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Where data lie, how they are read, how many samples."""

    name: str = option(
        "digits",
        "digits, mnist, fashion-mnist, cifar10, cifar100, svhn, nmnist (an event camera's), or the path of an .npz or "
        "of a folder of images or recordings; images are turned as their EXIF data say and drawn on white",
        name="data",
        verbs=(*EVERYWHERE, "score"),
        again="where the run's own data file or folder is now",
        matched=False,
    )
    data_dir: str = option(
        "data",
        "where data sets lie, or are downloaded to",
        metavar="DIR",
        verbs=(*EVERYWHERE, "score"),
        again="where the run's public data set is now",
        matched=False,
    )
    download: bool = option(
        False, "download the data set if it is not there", verbs=(*MOVED, "train", "score"), matched=False
    )
    verify: bool = option(True, "do not check checksums of the files", verbs=(*MOVED, "train", "score"), matched=False)
    train_samples: int | None = option(
        None, "train on a stratified subset of this many samples", range=(1, 10**9), verbs=TRAINED
    )
    val_samples: int | None = option(
        None,
        "validate on this many samples, held out of the training split",
        range=(1, 10**9),
        verbs=TRAINED,
    )
    test_share: float | None = option(
        None,
        "of a folder without test/: draw this share of each class to test on, the same samples for every --seed; there "
        "may be no train/ either, but the class folders themselves",
        check=check_share,
        verbs=TRAINED,
    )
    image_size: str | None = option(
        None,
        "of a folder of images: bring them to N by N pixels, or to HxW; without it all must have one size",
        metavar="N",
        check=parse_fit,
        verbs=TRAINED,
    )
    image_fit: str = option(
        "crop",
        "with --image-size: crop (resize the shorter side, cut out the middle), pad (resize the longer side, fill up "
        "with white) or stretch",
        choices=tuple(FITS),
        verbs=(*TRAINED, "predict"),
    )
    event_frames: str = option(
        "time",
        "recordings of events: cut into a frame a time step by time (equal slices) or count (equal numbers of events)",
        choices=FRAMINGS,
        verbs=TRAINED,
    )
    event_scale: int = option(
        1,
        "recordings of events: sum up N by N pixels in one; frames have at most 512 pixels a side",
        range=(1, MAX_SCALE),
        verbs=TRAINED,
    )
    sensor: str | None = option(
        None,
        "recordings of events: the camera's HEIGHTxWIDTH in pixels; events outside are left out, and their number told",
        metavar="HxW",
        unset="the largest coordinates of all recordings",
        check=lambda value: parse_framing(frames=1, sensor=value),
        verbs=TRAINED,
    )
    event_columns: str | None = option(
        None,
        "recordings that are arrays [N, 4] without names: the order of their columns, such as xytp",
        metavar="xytp",
        check=lambda value: parse_framing(frames=1, columns=value),
        verbs=TRAINED,
    )

    def __post_init__(self) -> None:
        check_all(self)


@dataclass(frozen=True, kw_only=True)
class GoalOptions:
    """What counts. ``constraints`` are what --max and --min give, as ``spikes<=100``."""

    objectives: tuple[str, ...] = option(
        ("accuracy", "spikes", "energy_nj"),
        "columns to trade off: accuracy and balanced_accuracy, where each class counts alike (up); spikes, "
        "energy_nj, sops, macs, parameters, timesteps (down); separability (up): how well a candidate's firing rates "
        "would tell a readout of their own the classes, and "
        "alignment (up): how far samples that fire alike are of a class, both from 0 (nothing) to 1, which in a "
        "supernet may rank better than accuracy (README); other columns of a table as NAME:max or NAME:min",
        metavar="A,B,...",
    )
    reference: tuple[str, ...] = option(
        (),
        "the worst that is of interest in each objective: the hypervolume is measured from there",
        metavar="A=X,B=Y,...",
    )
    constraints: tuple[str, ...] = option((), "bounds, as --max and --min give them", verbs=())
    floor: float = option(
        0.5,
        "networks under this share of the way from chance (the share of the largest class) to the best accuracy found "
        "neither steer the search nor become finalists, however few their spikes; 0: all do. A bound of your own, "
        "--min accuracy=X, takes its place",
        range=(0, 1),
    )
    energy_model: str = option("horowitz-45nm-fp32", "prices of operations", verbs=TRAINED)

    def __post_init__(self) -> None:
        check_all(self)
