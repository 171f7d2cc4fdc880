"""The one tree of exceptions: every message names the value, the rule and the way out, in one line."""

from collections.abc import Iterable
from difflib import get_close_matches


class SearchError(Exception):
    """Something the user can mend. The command line prints it in one line and exits with status 2."""


class OptionError(SearchError):
    """An option's value breaks its rule."""


class SpaceError(SearchError):
    """A search space, candidate or network cannot be built as asked."""


class TaskError(SearchError):
    """A data set is missing, damaged or not usable for classification."""


class LedgerError(SearchError):
    """A ledger holds a line that cannot be read."""


class RunError(SearchError):
    """A run folder cannot be used: foreign, locked, of another configuration, or not writable."""


class ClusterError(SearchError):
    """Workers cannot be had as asked: no cluster, another token, too few resources, other versions."""


def unknown(what: str, value: object, known: Iterable[str]) -> str:
    """One-line message for a name that is not among ``known``, with the nearest one if there is one.

    >>> unknown("space", "autosn", ["autosnn", "snasnet"])
    "unknown space 'autosn' (did you mean 'autosnn'?); known: autosnn, snasnet"
    """
    names = list(known)
    near = get_close_matches(str(value), names, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"unknown {what} {str(value)!r}{hint}; known: {', '.join(names)}"
