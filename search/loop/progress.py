"""Progress on a terminal, with time left, and nothing where there is none; or told to a function."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Stage = Callable[..., Callable[[int, int], None]]
Progressed = Callable[[str, int, int], object]
"""Is told the title of a stage, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Listener:
    """What stands for a terminal where a program calls: nothing is printed.

    Attributes:
        progressed: is told of progress.
    """

    progressed: Progressed = lambda title, done, total: None
    is_terminal = False

    def print(self, text: str, **style: object) -> None:
        """A note to the user, which goes to the log ``spikefront``; its style says nothing here."""
        logging.getLogger("spikefront").info(text)

    def stage(self, title: str, unit: str, status: Callable[[], str] = str) -> Callable[[int, int], None]:
        """As of ``stages``."""
        return lambda done, total: self.progressed(title, done, total) and None


Screen = Console | Listener


class _Status(ProgressColumn):
    """What a stage says of its state, asked for whenever the display is drawn."""

    def render(self, task: Task) -> Text:
        """The state in words."""
        return Text(task.fields["status"]())


@contextmanager
def stages(console: Screen) -> Iterator[Stage]:
    """A display of stages; ``stage(title, unit)`` opens one and gives the function to tell it (done, total).

    ``stage(title, unit, status)`` asks the function ``status`` for further words.
    """
    if isinstance(console, Listener):
        yield console.stage
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
        _Status(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, expand=True) as progress:

        def stage(title: str, unit: str, status: Callable[[], str] = str) -> Callable[[int, int], None]:
            number = progress.add_task(title, total=None, unit=unit, status=status)

            def tell(done: int, total: int) -> None:
                progress.update(number, completed=done, total=total)

            return tell

        yield stage
