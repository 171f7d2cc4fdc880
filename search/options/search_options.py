"""Options of the command line: what ``search`` and ``sweep`` take, and the configuration that comes of it."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from search.options.config import CHOICES, Config
from search.options.data_options import add_data_options
from search.options.needs import check_effect
from search.options.parser import Parser, parts
from search.options.training_options import add_training_options
from spaces import SPACES
from spaces.errors import OptionError

DESCRIPTION = """\
Finds spiking neural networks with the best trade-offs between accuracy, spikes and energy: trains a supernet that
holds every candidate of a search space, scores candidates out of it, trains the finalists, and explains them on one
page.
"""

EXAMPLES = """\
examples:
  python launch.py --space autosnn                            search on scikit-learn's digits, a few minutes on a laptop
  python launch.py --space autosnn --data cifar10 --download  the same on CIFAR-10
  python launch.py --space autosnn --data my_images.npz       your own images (see README for the formats)
  python launch.py --space autosnn --max energy_nj=500        only candidates below 500 nJ a sample
  python launch.py --table bench.csv --table-blanks op1,op2 --objectives val_acc:max,params:min
                                                              search a table of trained networks, in seconds
  python launch.py sweep --space autosnn --seeds 0,1,2        train every candidate alone, several at once
  python launch.py resume runs/NAME                           go on with a run that was stopped or killed
  python launch.py prune runs/NAME --sparsity 0.9             sparse networks (lottery tickets) of its finalists
  python launch.py report runs/NAME                           write its tables and report.html anew
  python launch.py spaces autosnn                             the blanks of a space and a drawn sample

`search` is the verb when none is given. `python launch.py search --help` lists every option.
"""


SHOWN = dict.fromkeys(("width", "timesteps", "neuron"), "the space's own") | {
    "space": "autosnn",
    "batch_size": "32, or fewer where an epoch would have less than 16 steps",
    "sensor": "the largest coordinates of all recordings",
    "workers": "as many as fit",
    "gpus_per_worker": "1 with a GPU as --device, else 0",
    "address": "a Ray of this machine, for this run",
    "train_parts": "with several --train-workers, 1 for each of their cores or GPUs, else 1",
}
WORKERS = {
    "runner": str,
    "workers": int,
    "cpus_per_worker": float,
    "gpus_per_worker": float,
    "address": str,
    "object_store_mb": int,
    "retries": int,
    "candidate_timeout": float,
    "train_workers": int,
    "storage": str,
    "log": str,
}


SWEEP = Config(train_epochs=10, candidates=50, batch=8, sampler="dual", runner="tune", finalist_weights="fresh")
SEARCH_ONLY = (  # what belongs to a supernet, a table, or is given in another way
    *("table", "space", "data", "seed", "candidate_timeout", "train_workers"),
    *("finalist_pool", "finalist_epochs", "finalist_weights", "warm_start", "prune", "sparsity"),
)
SWEEP_ABOUT = """\
Trains every candidate alone, several at once, and shows the best trade-offs: figures are those of the networks
themselves, not of a supernet, at the cost of a training each. Candidates that fall behind are stopped early.
"""


def search_parser(*, sweep: bool = False) -> Parser:
    """Options of ``search``, or of ``sweep``; what is not given is not among the parsed values."""
    parser = Parser(
        prog="launch.py sweep" if sweep else "launch.py search",
        description=SWEEP_ABOUT if sweep else DESCRIPTION,
        epilog=None if sweep else EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    default = SWEEP if sweep else Config()
    if sweep:
        grid = parser.add_argument_group("sweep: a run for each space, data set and seed")
        grid.add_argument("--space", nargs="+", default=["autosnn"], metavar="NAME", help="search spaces, see search")
        grid.add_argument("--data", nargs="+", default=["digits"], metavar="NAME", help="data sets, see search")
        grid.add_argument("--seeds", default="0", metavar="A,B,...", help="seeds, one run each (default: 0)")
        about = "passes over the training split, for each candidate"
        grid.add_argument("--train-epochs", type=int, metavar="N", help=f"{about} (default: {default.train_epochs})")
        grid.add_argument(
            "--train-weights",
            dest="finalist_weights",
            choices=CHOICES["finalist_weights"],
            help="fresh, or inherited: each begins with the weights of the supernet that --proxy supernet trains, "
            "so that its first epochs tell more (default: fresh)",
        )
        grid.add_argument(
            "--proxy",
            metavar="NAME",
            help="by which half of a batch is stopped before it is trained, in place of its accuracy: sahd, naswot or "
            "synflow, figures of the untrained network; or supernet, its accuracy with the weights of a supernet that "
            "is trained first; the report tells how each of them ranked (default: none)",
        )

    def add(
        group: argparse._ArgumentGroup, name: str, about: str, kind: type = str, metavar: str | None = None
    ) -> None:
        if sweep and name in SEARCH_ONLY:
            return
        value = getattr(default, name)
        shown = SHOWN.get(name, "none") if value is None else value
        group.add_argument(
            "--" + name.replace("_", "-"),
            type=kind,
            metavar=metavar or {int: "N", float: "X"}.get(kind, "NAME"),
            help=f"{about} (default: {shown})".replace("%", "%%"),
        )

    space = parser.add_argument_group("space: what can be built")
    add(space, "space", f"search space: {', '.join(SPACES)}, or your own FILE.py:NAME; `launch.py spaces` tells more")
    add(space, "width", "channels of the first layer, C, as `launch.py spaces NAME` says", int)
    add(space, "timesteps", "time steps T. Cost grows in proportion", int)
    neurons = "lif, if, alif, asn, glif, klif, mlf, eclif, eclif2d, ternary, burst, psn or gamma"
    add(space, "neuron", f"the neuron of all layers: plif (learns its time constant), {neurons}")
    add(
        space,
        "search_sparsity",
        "search the share of pruned weights, too: a blank `sparsity` from 0 to X, as 0.95",
        float,
    )

    table = parser.add_argument_group("table: search a benchmark of trained networks, in seconds")
    add(
        table,
        "table",
        "CSV file (.csv, .csv.gz, ...), a row a network; needs --objectives COLUMN:max,...",
        metavar="PATH",
    )
    (argparse.ArgumentParser() if sweep else table).add_argument(
        "--table-blanks",
        metavar="A,B,...",
        help="its columns that name a network: they are the space (default: the blanks of --space)",
    )

    add_data_options(parser.add_argument_group("data"), add)

    goal = parser.add_argument_group("goal: what counts")
    goal.add_argument(
        "--objectives",
        metavar="A,B,...",
        help="columns to trade off: accuracy and balanced_accuracy, where each class counts alike (up); spikes, "
        "energy_nj, sops, macs, parameters, timesteps (down); separability (up): how well a candidate's firing rates "
        "would tell a readout of their own the classes, and "
        "alignment (up): how far samples that fire alike are of a class, both from 0 (nothing) to 1, which in a "
        "supernet may rank better than accuracy (README); other columns of a table as NAME:max or NAME:min "
        f"(default: {','.join(default.objectives)})",
    )
    goal.add_argument(
        "--reference",
        metavar="A=X,B=Y,...",
        help="the worst that is of interest in each objective: the hypervolume is measured from there (default: none)",
    )
    (argparse.ArgumentParser() if sweep else goal).add_argument(
        "--fidelities",
        metavar="X:A=B,...",
        help="of a table: after a share X of its cost, a network shows column B for objective A, as 0.2:acc=acc_ep20; "
        "parts steer, what looks poor is given up, --candidates full evaluations are paid for (default: none)",
    )
    goal.add_argument(
        "--max", action="append", metavar="COLUMN=X", help="only candidates with at most X; may be repeated"
    )
    goal.add_argument("--min", action="append", metavar="COLUMN=X", help="only candidates with at least X; repeatable")
    add(
        goal,
        "floor",
        "networks under this share of the way from chance (the share of the largest class) to the best accuracy found "
        "neither steer the search nor become finalists, however few their spikes; 0: all do. A bound of your own, "
        "--min accuracy=X, takes its place",
        float,
    )
    add(goal, "energy_model", "prices of operations")

    search = parser.add_argument_group("search: what to try next, and for how long")
    add(
        search,
        "sampler",
        "auto (by space and budget: it says what it took), dual (Bayesian optimisation, structure and dynamics in "
        "turn), joint (the same over all blanks), evolution (AutoSNN's: on accuracy and spikes; in a table by rank), "
        "local (Pareto local search), nsga2, tpe or random",
    )
    add(search, "spike_weight", "evolution's fitness is accuracy * (spikes / mean spikes) ** X", float)
    add(search, "candidates", "stop after scoring this many", int)
    add(search, "minutes", "stop after this many minutes of scoring", float)
    add(search, "batch", "candidates a sampler is asked for at a time", int)
    add(
        search,
        "warm_start",
        "results of another search of this space steer this one, and their front is scored first: a run's folder, or a "
        "table like its candidates.csv",
        metavar="RUN",
    )
    search.add_argument(
        "--no-racing",
        dest="racing",
        action="store_false",
        help="train every candidate to the end"
        if sweep
        else "score every candidate on all of the validation split, also one that is clearly dominated",
    )
    add(search, "seed", "names every random choice: the same seed gives the same run", int)

    about = "training" if sweep else "supernet: one network that holds every candidate (README: what each piece gives)"
    add_training_options(parser.add_argument_group(about), add)

    finalists = parser.add_argument_group("finalists: the candidates that are trained")
    add(
        finalists,
        "finalists",
        "how many, spread over the front: best accuracy, knee, other ends, then the farthest",
        int,
    )
    add(
        finalists,
        "finalist_pool",
        "begin with this many, spread over the front and those behind it; after epochs 1, 2, 4, ... the half of best "
        "non-dominated rank goes on, until --finalists are left",
        int,
    )
    add(finalists, "finalist_epochs", "passes over the training split, each", int)
    add(finalists, "finalist_weights", "inherited (start from the supernet's) or fresh")
    add(
        finalists,
        "prune",
        "make lottery tickets of them at the end: imp, early-bird, early-time, eb+et, gmp, dst, stds, fading, random; "
        "`launch.py prune --help` tells more",
        metavar="METHOD",
    )
    add(finalists, "sparsity", "with --prune: shares of the weights that go", metavar="S,...")

    workers = parser.add_argument_group("workers: who scores candidates (results do not depend on it)")
    add(
        workers,
        "runner",
        "in-process; ray: candidates scored by several at once, on this machine or on a cluster; or tune: the same, "
        "and finalists trained side by side",
    )
    add(workers, "workers", "so many, each with one candidate at a time", int)
    add(workers, "cpus_per_worker", "CPUs of one; its threads", float)
    add(workers, "gpus_per_worker", "GPUs of one; with 0.5 two share a GPU", float)
    add(
        workers,
        "address",
        "HOST:PORT of a Ray cluster, or auto for the one that this machine is a node of",
        metavar="HOST:PORT",
    )
    add(workers, "object_store_mb", "shared memory of a Ray started here, for data and supernet, MiB", int)
    add(workers, "retries", "try a candidate so often again after its worker was lost; then it is failed", int)
    add(workers, "train_workers", "train the supernet by so many at once, each with its parts of every batch", int)
    add(
        workers,
        "train_parts",
        "train on every batch in so many parts, each on one core: results are the same to the bit, whatever "
        "--train-workers and --threads (1: batches are whole, which is quicker, and rounded as --threads has it)",
        int,
    )
    add(workers, "candidate_timeout", "end a worker that takes longer than this for a candidate, seconds", float)

    add(
        workers,
        "storage",
        "folder or URI (s3://bucket/key) that all nodes see, for checkpoints; needed on several machines. A run keeps "
        "no credentials: a resume wants them again, or in the environment",
        metavar="PATH",
    )
    add(
        workers, "log", "curves of trainings by Ray's own callbacks: none, tensorboard or mlflow, into the run's folder"
    )

    machine = parser.add_argument_group("machine")
    about = "run folder; one that holds this very search is gone on with, unless another process writes to it"
    add(machine, "out", about, metavar="RUN")
    add(
        machine,
        "export_optuna",
        "at the end, write Optuna studies into this SQLite file, for its dashboard",
        metavar="FILE",
    )
    add(machine, "device", "cpu, cuda, cuda:1, ... or auto")
    add(machine, "threads", "CPU threads", int)
    add(machine, "prefix_cache_mb", "megabytes a worker keeps of what candidates that begin alike share; 0: none", int)
    machine.add_argument(
        "--no-compile", dest="compile", action="store_false", help="run neurons uncompiled and all convolutions dense"
    )
    return parser


def parse_search(args: Sequence[str]) -> Config:
    """The configuration that the arguments of ``search`` spell.

    Raises:
        OptionError: an unknown option, a value that breaks its rule, or an option without effect.
    """
    given = _given(search_parser().parse_args(args))
    config = Config(**given)
    check_effect([config], given)
    return config


def parse_sweep(args: Sequence[str]) -> tuple[Config, list[str], list[str], list[int]]:
    """What all runs of a sweep share, its spaces, data sets and seeds.

    Raises:
        OptionError: as ``parse_search``.
    """
    given = _given(search_parser(sweep=True).parse_args(args))
    seeds, spaces, data = given.pop("seeds"), *(list(dict.fromkeys(given.pop(name))) for name in ("space", "data"))
    if not re.fullmatch(r"\d{1,19}(,\d{1,19})*", seeds, re.ASCII):
        raise OptionError(f"--seeds {seeds!r}: write numbers with commas, e.g. --seeds 0,1,2")
    numbers = list(dict.fromkeys(map(int, seeds.split(","))))
    config = [replace(SWEEP, **given, seed=number) for number in numbers][-1]
    check_effect([replace(config, data=name) for name in data], given)
    return config, spaces, data, numbers


def _given(parsed: argparse.Namespace) -> dict[str, Any]:
    """The fields of Config that arguments give."""
    given = vars(parsed)
    constraints: list[str] = []
    for option, sign in (("max", "<="), ("min", ">=")):
        for text in given.pop(option, ()):
            if text.count("=") != 1:
                raise OptionError(f"--{option} {text!r}: write --{option} COLUMN=NUMBER, e.g. --{option} energy_nj=500")
            constraints.append(text.replace("=", sign))
    lists = {
        name: parts(f"--{name}", given[name]) for name in ("objectives", "reference", "fidelities") if name in given
    }
    if "table_blanks" in given:
        lists["table_blanks"] = parts("--table-blanks", given["table_blanks"])
    return given | lists | ({"constraints": tuple(constraints)} if constraints else {})
