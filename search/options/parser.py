"""Parser: argparse whose every fault is one OptionError: unknown options, empty values, lists with empty parts."""

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from search.options.declare import Declared
from spaces.errors import OptionError, unknown

MEANT = {  # what other programs call options -> what ours are called; a verb that has none of the name is not proposed
    "lr": "--learning-rate",
    "optimizer": "--optimiser",
    "gpu": "--device",
    "gpus": "--gpus-per-worker",
    "dataset": "--data",
    "output": "--out",
    "model": "--space",
    "jobs": "--workers",
    "steps": "--timesteps",
    "trials": "--candidates",
    "n-trials": "--candidates",
    "timeout": "--minutes",
}
LONGEST = 300  # letters of argparse's own words that are shown
NUMBER = re.compile(r"-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


class UnknownOption(OptionError):
    """An option that a verb does not have."""

    def __init__(self, name: str, parser: "Parser", elsewhere: Mapping[str, str] | None = None) -> None:
        self.name, self.parser = name, parser
        said = unknown("option", name, parser.options, elsewhere=elsewhere, meant=MEANT).split("; known")[0]
        super().__init__(f"{said}; see {parser.prog} --help")


class Parser(argparse.ArgumentParser):
    """An argument parser that raises OptionError, in one line, instead of exiting.

    Attributes:
        flags: every flag of an option -> the type of its value, None for a switch.
    """

    def __init__(self, *, prog: str, description: str = "", epilog: str | None = None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter if epilog else argparse.HelpFormatter,
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
        )
        self.flags: dict[str, type | None] = {}
        self._titled: dict[str, Any] = {}

    @property
    def options(self) -> list[str]:
        """Names of all its options, as ``--space``."""
        return sorted({"--help", *self.flags})

    def add(self, title: str, *flags: str, kind: type | None = str, **settings: Any) -> None:  # noqa: ANN401
        """Adds an option, or a switch (kind None), to the group of a title; other settings are argparse's."""
        if title not in self._titled:
            self._titled[title] = self.add_argument_group(title) if title else self
        if kind is not None:
            settings["type"] = kind
        self._titled[title].add_argument(*flags, **settings)
        self.flags.update(dict.fromkeys(flags, kind))

    def add_declared(
        self, title: str, options: Iterable[Declared], defaults: Mapping[str, Any] | None = None, *, begun: bool = False
    ) -> None:
        """Adds options as they are declared.

        Args:
            title: of their group.
            options: those to add.
            defaults: the defaults that differ from the declared ones.
            begun: whether the verb goes on with a run that is there, so that no default is told.
        """
        for one in options:
            about = (begun and one.option.again) or one.option.about
            if one.kind is bool:
                action = "store_false" if one.default else "store_true"
                self.add(title, one.flag, kind=None, dest=one.name, action=action, help=about.replace("%", "%%"))
                continue
            if not begun:
                default = (defaults or {}).get(one.name, one.default)
                listed = ",".join(map(str, default)) if isinstance(default, tuple) else default
                about = f"{about} (default: {one.option.unset if default in (None, ()) else listed})"
            kind = str if one.kind is tuple else one.kind
            metavar = one.option.metavar or {int: "N", float: "X"}.get(kind, "NAME")
            flags = [one.flag, *one.option.aliases]
            self.add(title, flags[0], kind=kind, dest=one.name, metavar=metavar, help=about.replace("%", "%%"))
            for alias in flags[1:]:
                self.add(title, alias, kind=kind, dest=one.name, metavar=metavar, help=argparse.SUPPRESS)

    def error(self, message: str) -> NoReturn:
        """Raises what argparse found."""
        short = message if len(message) <= LONGEST else f"{message[:LONGEST]}..."
        raise OptionError(f"{short}; see {self.prog} --help")

    def parse(self, args: Sequence[str]) -> dict[str, Any]:
        """What was given, by its name; what is empty is refused, and an option that is not known an UnknownOption."""
        self._refuse_empty(args)
        found, rest = self.parse_known_args(list(self._joined(args)))
        if rest and rest[0].startswith("-"):
            raise UnknownOption(rest[0].split("=")[0], self)
        if rest:
            raise OptionError(f"unexpected argument {rest[0][:LONGEST]!r}; see {self.prog} --help")
        return vars(found)

    def _joined(self, args: Sequence[str]) -> Iterable[str]:
        """The arguments, with each negative number joined to its option: argparse takes -1e-3 for another option."""
        waiting = ""
        for arg in args:
            if waiting and NUMBER.fullmatch(arg):
                yield f"{waiting}={arg}"
                waiting = ""
                continue
            if waiting:
                yield waiting
            waiting = arg if self.flags.get(arg) is not None else ""
            if not waiting:
                yield arg
        if waiting:
            yield waiting

    def _refuse_empty(self, args: Sequence[str]) -> None:
        """Raises OptionError where an option's value is empty: it is none, and no way to say the default."""
        before = "an argument"
        for arg in args:
            name, equals, value = arg.partition("=")
            if arg in self.flags:
                before = arg
            elif name in self.flags and equals:
                before, arg = name, value
            if not arg.strip():
                raise OptionError(
                    f"{before} has an empty value {arg!r}, as an unset shell variable gives: write a value, or leave "
                    "it out"
                )


def parts(option: str, text: str) -> tuple[str, ...]:
    """The parts of a list with commas.

    Raises:
        OptionError: one of them is empty.
    """
    found = tuple(part.strip() for part in text.split(","))
    if not all(found):
        raise OptionError(f"{option} {text!r} has an empty part between commas: write A,B,..., or leave {option} out")
    return found
