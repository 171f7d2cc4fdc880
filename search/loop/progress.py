"""Progress on a terminal, with time left; nothing where there is none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


class _Status(ProgressColumn):
    """What a stage says of its state, asked for whenever the display is drawn."""

    def render(self, task: Task) -> Text:
        """The state in words."""
        return Text(task.fields["status"]())


@contextmanager
def stages(console: Console) -> Iterator[Stage]:
    """A display of stages; ``stage(title, unit)`` opens one and gives the function to tell it (done, total).

    ``stage(title, unit, status)`` asks the function ``status`` for further words.
    """
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
