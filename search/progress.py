"""Progress on a terminal, with time left; nothing where there is none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def stages(console: Console) -> Iterator[Callable[[str, str], Callable[[int, int], None]]]:
    """A display of stages; ``stage(title, unit)`` opens one and gives the function to tell it (done, total)."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, expand=True) as progress:

        def stage(title: str, unit: str) -> Callable[[int, int], None]:
            number = progress.add_task(title, total=None, unit=unit)

            def tell(done: int, total: int) -> None:
                progress.update(number, completed=done, total=total)

            return tell

        yield stage
