"""The verbs' options: parsers made of the declared options, and the configurations that come of them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from search.options.config import OPTIONS, PART_OF, PARTS, SWEEP_DEFAULTS, TITLES, Config, change, configure
from search.options.declare import Declared, declared
from search.options.needs import check_effect
from search.options.parser import Parser, parts
from search.options.pruning import PruningOptions, TicketsOfRun, parse_sparsities
from search.options.sources import AXES, PRESETS, Tell, merged
from spaces.errors import OptionError

DESCRIPTION = """\
Finds spiking neural networks with the best trade-offs between accuracy, spikes and energy: trains a supernet that
holds every candidate of a search space, scores candidates out of it, trains the finalists, and explains them on one
page.
"""
EXAMPLES = """\
examples:
  python launch.py --space autosnn                            search on scikit-learn's digits, a few minutes on a laptop
  python launch.py --space autosnn --preset quick             the same in about a minute
  python launch.py --space autosnn --data cifar10 --download  the same on CIFAR-10
  python launch.py --space autosnn --data my_images.npz       your own images (see README for the formats)
  python launch.py --space autosnn --max energy_nj=500        only candidates below 500 nJ a sample
  python launch.py --config runs/NAME/config.toml             make a run again
  python launch.py --table bench.csv --table-choices op1,op2 --objectives val_acc:max,params:min
                                                              search a table of trained networks, in seconds
  python launch.py sweep --space autosnn --seeds 0,1,2        train every candidate alone, several at once
  python launch.py train --space autosnn --candidate published:AutoSNN --seeds 0,1,2
                                                              train one given architecture
  python launch.py predict runs/NAME#12 photo.png             the class of an image, by finalist 12 of a run
  python launch.py resume runs/NAME                           go on with a run that was stopped or killed
  python launch.py prune runs/NAME --sparsity 0.9             sparse networks (lottery tickets) of its finalists
  python launch.py report runs/NAME                           write its tables and report.html anew
  python launch.py spaces autosnn                             the choices of a space and a drawn sample

`search` is the verb when none is given. `python launch.py search --help` lists every option.
"""
ABOUT = {
    "search": DESCRIPTION,
    "sweep": "Trains every candidate alone, several at once, and shows the best trade-offs: figures are those of the "
    "networks themselves, not of a supernet, at the cost of a training each. Candidates that fall behind are stopped "
    "early.",
    "prune": "Makes lottery tickets, sparse networks, of the trained finalists in the run folder RUN, each beside its "
    "dense twin: trained from the same weights, as long. Pruned are weights of convolutions and linear layers, the "
    "stem's and the readout's; never norms, biases or neurons. Tickets are compared on the validation split; --final "
    "reads the test split. The same command goes on where it was cut off.",
    "resume": "Goes on with the run in the folder RUN, from its last epoch, candidate or finalist.",
    "train": "Trains one given architecture to the end, once a seed, from new weights, and tells mean and spread over "
    "seeds. The same command goes on where it was cut off.",
    "predict": "Tells the class of each FILE, an image or a recording, by the trained finalist RUN#N, such as "
    "runs/NAME#12.",
    "score": "Tells what the trained finalist RUN#N does on data: accuracy, spikes, operations and energy.",
    "report": "Writes candidates.csv, pareto.csv and report.html of the run in the folder RUN anew.",
    "spaces": "Lists the search spaces with their sizes; with NAME, shows a space's choices and one drawn sample.",
}
VERBS = tuple(ABOUT)
BOUNDS = {
    "max": ("<=", "only candidates with at most X; may be repeated"),
    "min": (">=", "only candidates with at least X; repeatable"),
}
ASKED = {  # what options are where a finalist is asked
    "data": "a data set of the same classes (default: the run's own)",
    "image_fit": "how images of another size are brought to the network's: crop, pad or stretch",
    "device": "cpu, cuda, ... (default: cpu)",
}
MORE = {"racing": "train every candidate to the end"}  # what a switch does in a sweep


def options_of(verb: str) -> dict[str, Declared]:
    """The declared options that a verb takes, by flat name."""
    own = [PruningOptions, TicketsOfRun] if verb == "prune" else []
    found = {name: one for part in own for name, one in declared(part).items()}
    return found | {name: one for name, one in OPTIONS.items() if verb in one.option.verbs}


def parser_of(verb: str) -> Parser:
    """The parser of a verb; what is not given is not among the parsed values."""
    epilog = EXAMPLES if verb == "search" else None
    parser = Parser(prog=f"launch.py {verb}", description=ABOUT[verb], epilog=epilog)
    if verb in ("search", "sweep"):
        _add_search(parser, verb)
        return parser
    if verb == "spaces":
        parser.add_argument("name", nargs="?", default=None, metavar="NAME")
        return parser
    if verb == "train":
        _add_train(parser)
        return parser
    if verb in ("predict", "score"):
        _add_ask(parser, verb)
        return parser
    parser.add_argument("name", metavar="RUN")
    own = {**declared(PruningOptions), **declared(TicketsOfRun)} if verb == "prune" else {}
    parser.add_declared("", own.values())
    parser.add_declared("", [one for name, one in options_of(verb).items() if name not in own], begun=True)
    return parser


def _add_search(parser: Parser, verb: str) -> None:
    """All options of ``search`` or ``sweep``, a group for each part of the configuration."""
    first = "all at once"
    parser.add(
        first,
        "--config",
        metavar="FILE.toml",
        help="options from a file, as the config.toml of a run; what stands on the command line takes their place",
    )
    budgets = "budgets together: quick (about a minute on digits), standard (the defaults) or thorough"
    parser.add(first, "--preset", metavar="NAME", help=f"{budgets}; it says what it sets")
    defaults = SWEEP_DEFAULTS if verb == "sweep" else {}
    for part, kind in PARTS.items():
        title = "training" if (verb, part) == ("sweep", "training") else TITLES[part]
        if (verb, part) == ("sweep", "sweep"):
            _add_axes(parser, title)
        for name, one in declared(kind).items():
            if verb in one.option.verbs and not (verb == "sweep" and name in AXES):
                parser.add_declared(title, [_as_in(verb, one)], defaults)
        if part == "goal":
            for name, (_, about) in BOUNDS.items():
                parser.add(title, f"--{name}", action="append", metavar="COLUMN=X", help=about)


def _add_axes(parser: Parser, title: str) -> None:
    """What a sweep has several of, and how its candidates begin."""
    parser.add(title, "--space", nargs="+", metavar="NAME", help="search spaces, see search (default: autosnn)")
    parser.add(title, "--data", nargs="+", metavar="NAME", help="data sets, see search (default: digits)")
    parser.add(title, "--seeds", metavar="A,B,...", help="seeds, one run each (default: 0)")
    parser.add(
        title,
        "--train-weights",
        dest="finalist_weights",
        metavar="NAME",
        choices=OPTIONS["finalist_weights"].option.choices,
        help="fresh, or inherited: each begins with the weights of the supernet that --proxy supernet trains, so that "
        "its first epochs tell more (default: fresh)",
    )


def _add_train(parser: Parser) -> None:
    """What is trained, how often, and all that a training depends on."""
    title = "training"
    what = (
        """published:NAME, an object such as '{"slot1": "SRB_k5", ...}' of all choices, or RUN#N, a candidate of a """
    )
    parser.add(title, "--candidate", metavar="WHAT", help=f"{what}run, which brings its space and data with it")
    parser.add(title, "--epochs", kind=int, dest="train_epochs", metavar="N", help="passes over the data (default: 10)")
    parser.add(title, "--seeds", metavar="A,B,...", help="one training each (default: 0)")
    for part in PARTS:
        own = [one for name, one in options_of("train").items() if PART_OF[name] == part]
        parser.add_declared(TITLES[part], own) if own else None


def _add_ask(parser: Parser, verb: str) -> None:
    """Which finalist is asked, and of what."""
    parser.add_argument("name", metavar="RUN#N")
    if verb == "predict":
        parser.add_argument("files", nargs="+", metavar="FILE")
    else:
        parser.add("", "--split", metavar="NAME", help="of the data: test, validation or train (default: test)")
    parser.add("", "--json", kind=None, action="store_true", help="write JSON")
    own = [
        replace(one, option=replace(one.option, about=ASKED.get(name, one.option.about), again=None))
        for name, one in options_of(verb).items()
    ]
    parser.add_declared("", own, begun=True)


def _as_in(verb: str, one: Declared) -> Declared:
    if verb == "sweep" and one.name in MORE:
        return replace(one, option=replace(one.option, about=MORE[one.name]))
    return one


def given(verb: str, parsed: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a verb that arguments give, by flat name: lists taken apart, bounds as constraints."""
    found, constraints = dict(parsed), []
    for name, (sign, _) in BOUNDS.items():
        for text in found.pop(name, ()):
            if text.count("=") != 1:
                raise OptionError(f"--{name} {text!r}: write --{name} COLUMN=NUMBER, e.g. --{name} energy_nj=500")
            constraints.append(text.replace("=", sign))
    for name, one in options_of(verb).items():
        if one.kind is tuple and isinstance(found.get(name), str):
            found[name] = parts(one.flag, found[name]) if one.item is str else parse_sparsities(found[name])
    return found | ({"constraints": tuple(constraints)} if constraints else {})


def known_to(other: str) -> dict[str, str]:
    """Options of all verbs but one -> the verb that takes them, the first of several."""
    return {flag: f"launch.py {verb}" for verb in reversed(VERBS) if verb != other for flag in parser_of(verb).options}


def parse_seeds(text: str) -> list[int]:
    """Numbers with commas, each once; raises OptionError for anything else."""
    if not re.fullmatch(r"\d{1,19}(,\d{1,19})*", text, re.ASCII):
        raise OptionError(f"--seeds {text!r}: write numbers with commas, e.g. --seeds 0,1,2")
    return list(dict.fromkeys(int(seed) for seed in text.split(",")))


def parse_train(args: Sequence[str]) -> tuple[str, dict[str, Any], list[int]]:
    """The candidate, the options and the seeds that the arguments of ``train`` spell.

    Raises:
        OptionError: an unknown option, or no candidate.
    """
    found = given("train", parser_of("train").parse(args))
    seeds, candidate = parse_seeds(found.pop("seeds", "0")), found.pop("candidate", None)
    if candidate is None:
        raise OptionError("train needs --candidate: published:NAME, an object of all choices as JSON, or RUN#N")
    return candidate, found, seeds


def parse_search(args: Sequence[str], tell: Tell = lambda line: None) -> Config:
    """The configuration that the arguments of ``search`` spell; ``tell`` as of ``merged``.

    Raises:
        OptionError: an unknown option, a value that breaks its rule, or an option without effect.
    """
    parsed = parser_of("search").parse(args)
    preset, file = parsed.pop("preset", None), parsed.pop("config", None)
    said = given("search", parsed)
    values = merged("search", said, preset=preset, file=file, tell=tell)
    config = configure("search", **values)
    check_effect([config], _meant(values, preset, "search", said))
    return config


def parse_sweep(args: Sequence[str], tell: Tell = lambda line: None) -> tuple[Config, list[str], list[str], list[int]]:
    """What all runs of a sweep share, its spaces, data sets and seeds; ``tell`` as of ``merged``.

    Raises:
        OptionError: as ``parse_search``.
    """
    parsed = parser_of("sweep").parse(args)
    preset, file, seeds = parsed.pop("preset", None), parsed.pop("config", None), parsed.pop("seeds", None)
    said = given("sweep", parsed)
    if seeds is not None:
        said["seed"] = parse_seeds(seeds)
    values = merged("sweep", said, preset=preset, file=file, tell=tell)
    usual: dict[str, list[Any]] = {"space": ["autosnn"], "data": ["digits"], "seed": [0]}
    spaces, data, numbers = (list(dict.fromkeys(values.pop(name, usual[name]))) for name in AXES)
    config = [configure("sweep", **values, seed=number) for number in numbers][-1]
    check_effect([change(config, data=name) for name in data], _meant(values, preset, "sweep", said))
    return config, spaces, data, numbers


def _meant(values: Mapping[str, Any], preset: str | None, verb: str, said: Mapping[str, Any]) -> list[str]:
    """Names of the options that a person gave: what a preset alone sets need not have an effect."""
    return [name for name in values if name in said or preset is None or name not in PRESETS[preset][verb]]
