"""The command line: ``python launch.py --space autosnn`` searches; see ``python launch.py --help``.

Nothing heavy is imported until a verb runs, so that help answers at once.
"""

import logging
import os
import shlex
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search.options.commands import (
    DESCRIPTION,
    EXAMPLES,
    given,
    known_to,
    parse_search,
    parse_sweep,
    parse_train,
    parser_of,
)
from search.options.config import change
from search.options.declare import declared
from search.options.needs import check_effect
from search.options.parser import UnknownOption
from search.options.pruning import NEEDS, PruningOptions, TicketsOfRun
from spaces.credentials import hide
from spaces.errors import OptionError, SearchError, one_line, unknown
from spaces.faults import fault_line, machine_fault
from spaces.paths import user_path
from spaces.terminal import show_all

PRUNING = (PruningOptions, TicketsOfRun)


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
        print(parser_of("search").format_help().split("options:", 1)[1].split("examples:", 1)[0].strip())
        return 0
    if args[0] == "--version":
        from spaces.version import program_version

        print(f"spikefront {program_version()}")
        return 0
    verb, rest = ("search", args) if args[0].startswith("-") else (args[0], args[1:])
    if verb not in VERBS:
        raise OptionError(unknown("verb", verb, VERBS))
    if any(word in ("-h", "--help") for word in rest):
        parser_of(verb).print_help()
        return 0
    try:
        return VERBS[verb](rest)
    except UnknownOption as error:
        raise UnknownOption(error.name, error.parser, known_to(verb)) from None


def _search(args: list[str]) -> int:
    began = time.monotonic()
    config = parse_search(args, _tell)
    from search.run import run_search

    return _carry_out(lambda console: run_search(config, console=console, began=began))


def _sweep(args: list[str]) -> int:
    config, *grid = parse_sweep(args, _tell)
    if all(len(axis) == 1 for axis in grid):
        from search.run import run_search

        config = change(config, space=grid[0][0], data=grid[1][0])
        return _carry_out(lambda console: run_search(config, console=console))
    from search.grid import run_grid

    return _carry_out_all(lambda console: run_grid(config, *grid, console=console))


def _resume(args: list[str]) -> int:
    began = time.monotonic()
    options = given("resume", parser_of("resume").parse(args))
    from search.grid import is_grid, resume_grid
    from search.run import resume

    run = user_path(options.pop("name"), "run")
    if is_grid(run):
        return _carry_out_all(lambda console: resume_grid(run, options, console=console))
    return _carry_out(lambda console: resume(run, options, console=console, began=began))


def _prune(args: list[str]) -> int:
    options = given("prune", parser_of("prune").parse(args))
    run = user_path(options.pop("name"), "run")
    own, of_run = ({name: options.pop(name) for name in list(options) if name in declared(part)} for part in PRUNING)
    pruning = PruningOptions(**{declared(PruningOptions)[name].field: value for name, value in own.items()})
    wanted = TicketsOfRun(**of_run)
    check_effect([pruning], own, NEEDS)
    from search.work.tickets import prune_run

    def say(made: tuple[Any, list[Path]]) -> str:
        from search.summary import summary_of_tickets

        return summary_of_tickets(*made)

    again = f"python launch.py prune {shlex.join(args)}"
    number, final = wanted.candidate, wanted.final
    return _carry_out(
        lambda console: prune_run(run, pruning, number=number, where=options, final=final, console=console), say, again
    )


def _train(args: list[str]) -> int:
    candidate, options, seeds = parse_train(args)
    from search.train import over_seeds, run_training, training_config

    config, done = training_config(candidate, options), []

    def jobs(console: Any) -> Any:  # noqa: ANN401
        for folder in run_training(config, seeds, console=console):
            done.append(folder)
            yield folder

    status = _carry_out_all(jobs)
    if len(done) > 1:
        print(over_seeds(done))
    return status


def _predict(args: list[str]) -> int:
    found = given("predict", parser_of("predict").parse(args))
    from search.answers import answered, as_json, table_of

    predictions = answered(_asked(found), found["files"], image_fit=found.get("image_fit"))
    print(as_json(predictions.rows()) if "json" in found else table_of(predictions))
    return 0


def _score(args: list[str]) -> int:
    found = given("score", parser_of("score").parse(args))
    from search.answers import as_json, scored, words_of
    from search.candidates import place_of

    where = {name: found[name] for name in ("data_dir", "download", "verify") if name in found}
    told = scored(
        _asked(found), place_of(found["name"])[0], found.get("data"), split=found.get("split", "test"), where=where
    )
    print(as_json(told) if "json" in found else words_of(told))
    return 0


def _asked(found: dict[str, Any]) -> Any:  # noqa: ANN401
    """The finalist that arguments name, loaded."""
    from search.candidates import place_of
    from search.work.reload import reload

    return reload(*place_of(found["name"]), device=found.get("device", "cpu"))


def _tell(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)


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
    found = parser_of("report").parse(args)
    from search.publish import refresh

    folder = refresh(user_path(found["name"], "run"), found.get("export_optuna"))
    print(folder.report)
    return 0


def _spaces(args: list[str]) -> int:
    name = parser_of("spaces").parse(args).get("name")
    from search.summary import describe_space, list_spaces

    print(describe_space(name) if name else list_spaces())
    return 0


VERBS = {
    "search": _search,
    "sweep": _sweep,
    "resume": _resume,
    "prune": _prune,
    "train": _train,
    "predict": _predict,
    "score": _score,
    "report": _report,
    "spaces": _spaces,
}

if __name__ == "__main__":
    sys.exit(main())
