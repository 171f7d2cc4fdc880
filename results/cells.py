r"""Cells of CSV tables: a text that a spreadsheet would take for a formula stands behind an apostrophe.

That is OWASP's guard against CSV injection. Numbers are never touched. :func:`plain` gives back every text, and so does
pandas: ``table["error"].str.replace(r"^'(?=[=+@\t\r\n＝＋－＠'-])", "", regex=True)``.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")

STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    r"""Rows as CSV with lines that end in ``\n``; every cell is guarded, and None is an empty one.

    >>> csv_text([["a", "b"], ["=1", None], ["\r", -2]])
    'a,b\n\'=1,\n"\'\r",-2\n'
    """
    text = io.StringIO(newline="")
    table = csv.writer(text)  # told to end lines in "\n", Python 3.11 leaves a cell with "\r" unquoted
    lines = []
    for row in rows:
        table.writerow([guarded(cell) for cell in row])
        lines.append(text.getvalue().removesuffix("\r\n") + "\n")
        text.seek(0)
        text.truncate()
    return "".join(lines)


def guarded(value: T) -> T | str:
    """A cell as it is written.

    >>> guarded("=1+1"), guarded("a=b"), guarded(-1.5), guarded("'=")
    ("'=1+1", 'a=b', -1.5, "''=")
    """
    if isinstance(value, str) and (value.startswith(STARTS) or _is_guarded(value)):
        return f"'{value}"
    return value


def plain(cell: str) -> str:
    """The text that :func:`guarded` wrote.

    >>> plain("'=1+1"), plain("'quoted'"), plain("-1.5"), plain("''=")
    ('=1+1', "'quoted'", '-1.5', "'=")
    """
    return cell[1:] if _is_guarded(cell) else cell


def _is_guarded(text: str) -> bool:
    return text.startswith("'") and text[1:].startswith((*STARTS, "'"))
