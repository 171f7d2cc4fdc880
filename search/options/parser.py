"""Parser: argparse whose every fault is one OptionError: unknown options, empty values, lists with empty parts."""

import argparse
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

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


class UnknownOption(OptionError):
    """An option that a verb does not have."""

    def __init__(self, name: str, parser: "Parser", elsewhere: Mapping[str, str] | None = None) -> None:
        self.name, self.parser = name, parser
        said = unknown("option", name, parser.options, elsewhere=elsewhere, meant=MEANT).split("; known")[0]
        super().__init__(f"{said}; see {parser.prog} --help")


class Parser(argparse.ArgumentParser):
    """An argument parser that raises OptionError, in one line, instead of exiting."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **options)
        self._negative_number_matcher = re.compile(r"^-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")  # argparse lacks exponents

    @property
    def options(self) -> list[str]:
        """Names of all its options, as ``--space``."""
        return sorted(option for option in self._option_string_actions if option.startswith("--"))

    def error(self, message: str) -> NoReturn:
        """Raises what argparse found."""
        short = message if len(message) <= LONGEST else f"{message[:LONGEST]}..."
        raise OptionError(f"{short}; see {self.prog} --help")

    def parse_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """As argparse, but what is empty is refused, and an option that is not known is an UnknownOption."""
        self._refuse_empty(args or ())
        found, rest = self.parse_known_args(args, namespace)
        if rest and rest[0].startswith("-"):
            raise UnknownOption(rest[0].split("=")[0], self)
        if rest:
            raise OptionError(f"unexpected argument {rest[0][:LONGEST]!r}; see {self.prog} --help")
        return found

    def _refuse_empty(self, args: Sequence[str]) -> None:
        """Raises OptionError where an option's value is empty: it is none, and no way to say the default."""
        before = "an argument"
        for arg in args:
            name, equals, value = arg.partition("=")
            if arg in self._option_string_actions:
                before = arg
            elif name in self._option_string_actions and equals:
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
