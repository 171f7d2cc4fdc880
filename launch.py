"""The command line: ``python launch.py --space autosnn`` searches; see ``python launch.py --help``.

Nothing heavy is imported until a verb runs, so that help answers at once.
"""

import argparse
import logging
import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from search.options.needs import check_effect
from search.options.parser import Parser, UnknownOption, parts
from search.options.search_options import DESCRIPTION, EXAMPLES, WORKERS, parse_search, parse_sweep, search_parser
from spaces.credentials import hide
from spaces.errors import OptionError, SearchError, one_line, unknown
from spaces.faults import fault_line, machine_fault
from spaces.paths import user_path
from spaces.terminal import show_all


def main(args: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, 2 for an error the user can mend, 130 after Ctrl-C."""
    args = list(sys.argv[1:] if args is None else args)
    show_all(sys.stdout)
    show_all(sys.stderr)
    try:
        return _dispatch(args)
    except SearchError as error:
        print(f"error: {hide(one_line(error, 10**6), args)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was begun or lost: give the same command again", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        what = f"{error.filename or 'output'}: {one_line(error)}; make room or make it usable"
        print(f"error: {hide(what, args)}", file=sys.stderr)
        return 2
    except Exception as error:
        if not (fault := machine_fault(error)):
            raise
        what = fault_line(error, fault, "give the same command again; all so far is kept")
        print(f"error: {hide(what, args)}", file=sys.stderr)
        return 2


def _dispatch(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(f"usage: launch.py [{' | '.join(VERBS)}] [options]\n\n{DESCRIPTION}\n{EXAMPLES}")
        print("options of search:\n")
        print(search_parser().format_help().split("options:", 1)[1].split("examples:", 1)[0].strip())
        return 0
    verb, rest = ("search", args) if args[0].startswith("-") else (args[0], args[1:])
    if verb not in VERBS:
        raise OptionError(unknown("verb", verb, VERBS))
    try:
        return VERBS[verb](rest)
    except UnknownOption as error:
        others = {option: f"launch.py {one}" for one in reversed(VERBS) for option in parser_of(one).options}
        raise UnknownOption(error.name, error.parser, others) from None


def parser_of(verb: str) -> Parser:
    """The options of a verb."""
    if verb in ("search", "sweep"):
        return search_parser(sweep=verb == "sweep")
    parser = Parser(
        prog=f"launch.py {verb}", allow_abbrev=False, description=ABOUT[verb], argument_default=argparse.SUPPRESS
    )
    if verb == "spaces":
        parser.add_argument("name", nargs="?", default=None, metavar="NAME")
        return parser
    parser.add_argument("name", metavar="RUN")
    if verb == "report":
        parser.add_argument("--export-optuna", metavar="FILE", help="write Optuna studies into this SQLite file, too")
    if verb == "resume":
        _resume_options(parser)
    if verb == "prune":
        _prune_options(parser)
    return parser


def _resume_options(parser: Parser) -> None:
    """Where data and machine of a run to resume are now."""
    parser.add_argument("--data", metavar="PATH", help="where the run's own data file or folder is now")
    parser.add_argument("--table", metavar="PATH", help="where the run's own table is now")
    parser.add_argument("--data-dir", metavar="DIR", help="where the run's public data set is now")
    parser.add_argument("--download", action="store_true", help="download the data set if it is not there")
    parser.add_argument("--no-verify", dest="verify", action="store_false", help="do not check checksums")
    parser.add_argument("--export-optuna", metavar="FILE", help="write Optuna studies into this SQLite file at the end")
    parser.add_argument("--device", metavar="NAME", help="go on on this device")
    parser.add_argument("--threads", type=int, metavar="N", help="go on with this many CPU threads")
    for name, kind in WORKERS.items():
        parser.add_argument("--" + name.replace("_", "-"), type=kind, metavar="X", help="as in search")


ABOUT = {
    "prune": "Makes lottery tickets, sparse networks, of the trained finalists in the run folder RUN, each beside its "
    "dense twin: trained from the same weights, as long. Pruned are weights of convolutions and linear layers, the "
    "stem's and the readout's; never norms, biases or neurons. Tickets are compared on the validation split; --final "
    "reads the test split. The same command goes on where it was cut off.",
    "resume": "Goes on with the run in the folder RUN, from its last epoch, candidate or finalist.",
    "report": "Writes candidates.csv, pareto.csv and report.html of the run in the folder RUN anew.",
    "spaces": "Lists the search spaces with their sizes; with NAME, shows a space's blanks and one drawn sample.",
}


def _search(args: list[str]) -> int:
    if any(arg in ("-h", "--help") for arg in args):
        search_parser().print_help()
        return 0
    config = parse_search(args)
    from search.run import run_search

    return _carry_out(lambda console: run_search(config, console=console))


def _sweep(args: list[str]) -> int:
    if any(arg in ("-h", "--help") for arg in args):
        search_parser(sweep=True).print_help()
        return 0
    config, *grid = parse_sweep(args)
    if all(len(axis) == 1 for axis in grid):
        from search.run import run_search

        config = replace(config, space=grid[0][0], data=grid[1][0])
        return _carry_out(lambda console: run_search(config, console=console))
    from search.grid import run_grid

    return _carry_out_all(lambda console: run_grid(config, *grid, console=console))


def _resume(args: list[str]) -> int:
    options = vars(parser_of("resume").parse_args(args))
    from search.grid import is_grid, resume_grid
    from search.run import resume

    run = user_path(options.pop("name"), "run")
    if is_grid(run):
        return _carry_out_all(lambda console: resume_grid(run, options, console=console))
    return _carry_out(lambda console: resume(run, options, console=console))


def _prune_options(parser: Parser) -> None:
    """Which tickets to make, and where data and machine are."""
    add = parser.add_argument
    add("--candidate", type=int, metavar="N", help="only the finalist of this number (default: all of them)")
    add(
        "--method",
        metavar="NAME",
        help="imp (iterative magnitude pruning with late rewinding, the default), early-bird, early-time (imp at a "
        "smaller T), eb+et (both), gmp (gradual), dst (RigL-like growth by gradient), stds (dendritic spines), fading "
        "(channels that stay silent go), random (the baseline)",
    )
    add("--sparsity", metavar="S,...", help="shares of the weights that go (default: 0.9, or what N:M is)")
    add(
        "--pattern",
        metavar="NAME",
        help="weights (any), N:M such as 2:4, or channels (the network shrinks)",
    )
    add("--budget", metavar="NAME", help="global (smallest of all layers go, the default), layer (alike), or erk")
    add("--floor", type=float, metavar="X", help="least share of every layer that stays (default: 0)")
    add("--spare", metavar="A,B,...", help="layers left as they are, e.g. stem,head (default: none)")
    add("--epochs", type=int, metavar="N", help="of every training (default: the run's --finalist-epochs)")
    add("--rewind-epoch", type=int, metavar="K", help="imp goes back to weights after K epochs of round 0 (default: 1)")
    add(
        "--start",
        metavar="NAME",
        help="initial weights: inherited, fresh or trained (default: the run's)",
    )
    add("--optimiser", metavar="NAME", help="adam (one-cycle, the default), or sgd (momentum 0.9, cosine)")
    add("--learning-rate", type=float, metavar="X", help="its peak (default: the run's)")
    add("--weight-decay", type=float, metavar="X", help="(default: 0; 0.0005 in the tickets' paper, with sgd)")
    add("--spike-penalty", type=float, metavar="X", help="times the mean firing rate, added to the loss (default: 0)")
    add("--weight-bits", type=int, metavar="N", help="8, 4 or 1: train tickets of such weights, straight through")
    add("--fading-rate", type=float, metavar="X", help="fading: channels under this rate go (default: 0.02)")
    add("--final", action="store_true", help="read the test split, too, once a ticket: for those that you have chosen")
    add("--data", metavar="PATH", help="where the run's own data file or folder is now")
    add("--data-dir", metavar="DIR", help="where the run's public data set is now")
    add("--device", metavar="NAME", help="cpu, cuda, ... (default: the run's)")
    add("--threads", type=int, metavar="N", help="CPU threads (default: the run's)")


def _prune(args: list[str]) -> int:
    options = vars(parser_of("prune").parse_args(args))
    from search.options.pruning import NEEDS, PruningOptions, parse_sparsities
    from search.work.tickets import prune_run

    run, number = user_path(options.pop("name"), "run"), options.pop("candidate", None)
    where = {name: options.pop(name) for name in ("data", "data_dir", "device", "threads") if name in options}
    final = options.pop("final", False)
    if "sparsity" in options:
        options["sparsities"] = parse_sparsities(options.pop("sparsity"))
    if "spare" in options:
        options["spare"] = parts("--spare", options["spare"])
    pruning = PruningOptions(**options)
    check_effect([pruning], options, NEEDS)

    def say(made: tuple[Any, list[Path]]) -> str:
        from search.summary import summary_of_tickets

        return summary_of_tickets(*made)

    again = f"python launch.py prune {shlex.join(args)}"
    return _carry_out(
        lambda console: prune_run(run, pruning, number=number, where=where, final=final, console=console), say, again
    )


def _carry_out(job, say=None, again: str = "") -> int:  # noqa: ANN001
    """Runs a job with progress, and prints what came of it; ``again`` is the command that goes on with it."""
    return _carry_out_all(lambda console: iter([job(console)]), say, again)


def _carry_out_all(jobs, say=None, again: str = "") -> int:  # noqa: ANN001
    """Runs jobs with progress, one after the other, and prints what came of each."""
    from rich.console import Console

    from search.summary import summary

    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # a note on CUDA that is no concern here
    console = Console(stderr=True)
    warnings.showwarning = lambda message, *rest: console.print(
        f"note: {hide(str(message))}", highlight=False, markup=False, soft_wrap=True
    )
    folder = None
    try:
        for folder in jobs(console):
            print((say or summary)(folder), flush=True)
    except KeyboardInterrupt as interrupt:
        run = interrupt.args[0] if interrupt.args else folder and str(getattr(folder, "path", ""))
        if not run and not again:
            raise
        way_on = f"go on with `{again or f'python launch.py resume {shlex.quote(run)}'}`"
        console.print(f"interrupted; all so far is kept: {way_on}", highlight=False, markup=False, soft_wrap=True)
        return 130
    return 0


def _report(args: list[str]) -> int:
    found = parser_of("report").parse_args(args)
    from search.publish import refresh

    folder = refresh(user_path(found.name, "run"), getattr(found, "export_optuna", None))
    print(folder.report)
    return 0


def _spaces(args: list[str]) -> int:
    name = parser_of("spaces").parse_args(args).name
    from search.summary import describe_space, list_spaces

    print(describe_space(name) if name else list_spaces())
    return 0


VERBS = {
    "search": _search,
    "sweep": _sweep,
    "resume": _resume,
    "prune": _prune,
    "report": _report,
    "spaces": _spaces,
}

if __name__ == "__main__":
    sys.exit(main())
